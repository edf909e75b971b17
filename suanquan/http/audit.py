"""The audit log on HTTP, for auditors; looking at it leaves a row as well."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from suanquan.db import trail
from suanquan.http.auth import may
from suanquan.http.routes import Opened
from suanquan.use_cases.audit_file import row_object

router = APIRouter(tags=["audit"])


@router.get("/v1/audit", dependencies=[may("audit.read")])
async def get_audit(
    service: Opened,
    person: Annotated[str, Query(max_length=64)] = "",
    action: Annotated[str, Query(max_length=64)] = "",
    after: Annotated[int, Query(ge=-1, le=2**62)] = -1,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, Any]:
    """Rows of a person and an action (or its first word), oldest first; `next` continues, `head` is that of the whole log."""
    async with service.database.read() as connection:
        found = await trail.search(connection, trail.Wanted(person, action, after=after, limit=limit))
        size, root = await trail.head(connection)
    return {
        "rows": [row_object(row) for row in found],
        "next": found[-1].seq if len(found) == limit else None,
        "head": {"size": size, "root": root.hex()},
    }
