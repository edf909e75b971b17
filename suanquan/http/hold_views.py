"""`GET /v1/holds`: what is set aside of vouchers. A centre sees what it holds, a holder what is held of his."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query

from suanquan.http.auth import Scoped, may
from suanquan.http.routers import api_router
from suanquan.http.routes import JTI, Name, Opened
from suanquan.use_cases.hold_views import list_holds, show_hold
from voucher.hold_view_store import HoldFilter

router = api_router(tags=["holds"])

PAGE_MAX = 1000


@router.get("/v1/holds", dependencies=[may("hold.list", scoped=True)])
async def get_holds(
    service: Opened,
    scope: Scoped,
    voucher: Annotated[JTI | None, Query()] = None,
    centre: Annotated[str | None, Query(max_length=32)] = None,
    state: Literal["open", "captured", "released", "expired"] | None = None,
    after: Annotated[
        str, Query(max_length=32, description="上一页最后一笔的编号 / the last hold of the page before")
    ] = "",
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 100,
) -> dict[str, Any]:
    """Holds, oldest first; `next` is where the next page begins, null on the last."""
    async with service.database.read() as connection:
        found = await list_holds(connection, scope, HoldFilter(None, voucher, centre, state, after, limit))
    return {"holds": found, "next": found[-1]["hold"] if len(found) == limit else None}


@router.get("/v1/holds/{hold}", dependencies=[may("hold.read", scoped=True)])
async def get_hold(hold: Name, service: Opened, scope: Scoped) -> dict[str, Any]:
    """One hold with its parts and what was captured of it; another's is as unknown as one that does not exist."""
    async with service.database.read() as connection:
        return await show_hold(connection, scope, hold)
