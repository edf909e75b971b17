"""The audit log on HTTP, for auditors; looking at it leaves a row as well."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query

from metering.instants import parse_instant
from suanquan.db import trail
from suanquan.errors import ServiceError
from suanquan.http.auth import may
from suanquan.http.routers import api_router
from suanquan.http.routes import Opened
from suanquan.use_cases.audit_file import row_object

router = api_router(tags=["audit"])


@router.get("/v1/audit", dependencies=[may("audit.read")])
async def get_audit(
    service: Opened,
    person: Annotated[str, Query(max_length=64)] = "",
    action: Annotated[str, Query(max_length=64)] = "",
    since: Annotated[str, Query(max_length=40)] = "",
    until: Annotated[str, Query(max_length=40)] = "",
    after: Annotated[int, Query(ge=-1, le=2**62)] = -1,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, Any]:
    """Rows of a person, an action (or its first word) and a time (RFC 3339), oldest first; `next` continues, `head` is that of the whole log."""
    wanted = trail.Wanted(person, action, _instant(since, 0), _instant(until, 2**62), after, limit)
    async with service.database.read() as connection:
        found = await trail.search(connection, wanted)
        size, root = await trail.head(connection)
        signed = await trail.newest_head(connection)
    return {
        "rows": [row_object(row) for row in found],
        "next": found[-1].seq if len(found) == limit else None,
        "head": {"size": size, "root": root.hex(), "signed": None if signed is None else signed.note},
    }


def _instant(text: str, otherwise: int) -> int:
    try:
        return parse_instant(text) if text else otherwise
    except ValueError as fault:
        raise ServiceError("instant-invalid", f"时间有误：{fault}", f"no RFC 3339 instant: {fault}") from fault
