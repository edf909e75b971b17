"""How long the details of the audit log are kept, and how they go: by an account that may, with a reason, in a row of their own."""

from __future__ import annotations

from ledger.errors import Kind
from metering.zones import rfc3339
from suanquan.access.acting import act_of
from suanquan.access.principal import Principal
from suanquan.access.trail import ERASE
from suanquan.db import trail
from suanquan.errors import ServiceError
from suanquan.service import Service
from suanquan.use_cases.access import DAY_US


async def erase_before(service: Service, who: Principal, until_us: int, reason: str) -> int:
    """Drop details of rows before a moment; how many.

    Raises:
        ServiceError: `reason-missing`, or `retention` for rows that must be kept still.

    """
    if not reason.strip():
        raise ServiceError("reason-missing", "请写明理由", "give a reason")
    kept_us = service.settings.audit_days * DAY_US
    if until_us > service.now_us - kept_us:
        raise ServiceError(
            "retention",
            f"明细至少保存 {service.settings.audit_days} 天",
            f"details are kept for at least {service.settings.audit_days} days",
            kind=Kind.NOT_ALLOWED,
        )
    async with service.database.write() as conn:
        about = f"before {rfc3339(until_us)}: {reason.strip()}"
        return await trail.erase(conn, await trail.before(conn, until_us), act_of(who, ERASE, about), service.now_us)
