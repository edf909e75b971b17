"""Setting a sandbox's clock forwards: what is due on later days can be seen to happen within seconds."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from ledger.errors import Kind
from metering.zones import SHANGHAI, rfc3339
from suanquan.access.trail import Act
from suanquan.clock import AHEAD_DAYS_MAX, parse_span, read_ahead, wall_ns
from suanquan.errors import ServiceError
from suanquan.home import write_secret
from suanquan.service import Service

DAY_S = 86_400


def clock_object(service: Service) -> dict[str, Any]:
    """What time it is in the sandbox and outside.

    Raises:
        ServiceError: `clock-not-sandbox`.

    """
    _require_sandbox(service)
    return _object(service, read_ahead(service.home.sandbox_clock))


async def advance(service: Service, span: str, act: Act) -> dict[str, Any]:
    """Set the clock forwards by a span such as 30d. The audit log has it before it happens.

    Raises:
        ServiceError: `clock-not-sandbox`, `span-malformed`, `clock-too-far`, `audit-unavailable`.

    """
    _require_sandbox(service)
    ahead_s = read_ahead(service.home.sandbox_clock) + parse_span(span)
    if ahead_s > AHEAD_DAYS_MAX * DAY_S:
        raise ServiceError(
            "clock-too-far",
            f"沙箱时钟最多比今天早走 {AHEAD_DAYS_MAX} 天；要重新开始，请另建沙箱",
            f"a sandbox is at most {AHEAD_DAYS_MAX} days ahead; to begin again, make another sandbox",
        )
    told = _object(service, ahead_s)
    await service.audit(
        Act(act.action, act.person, act.role, act.tenant, f"{span} -> {told['now']}", act.request, act.via)
    )
    write_secret(service.home.sandbox_clock, json.dumps({"ahead_s": ahead_s}).encode())
    return told


def _object(service: Service, ahead_s: int) -> dict[str, Any]:
    wall_s = wall_ns(service.clock_ns) // 1_000_000_000
    day = datetime.fromtimestamp(wall_s + ahead_s, SHANGHAI).date()
    return {"now": rfc3339((wall_s + ahead_s) * 1_000_000), "shanghai_day": day.isoformat(), "ahead_seconds": ahead_s}


def _require_sandbox(service: Service) -> None:
    if not service.settings.sandbox:
        raise ServiceError(
            "clock-not-sandbox",
            "只有沙箱的时钟可以拨动；正式环境的公示期和有效期按真实时间计",
            "only a sandbox's clock can be set: notices and validities of a real home go by real time",
            kind=Kind.NOT_ALLOWED,
        )
