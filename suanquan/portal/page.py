"""The first page, public notices and the API page. Where reading fails, the page says so and shows no figure."""

from __future__ import annotations

from collections import Counter
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ledger.scope import EVERYTHING
from suanquan.access.policy import Reach
from suanquan.catalog import Catalog
from suanquan.http.auth import COOKIE, identify, may, permit
from suanquan.http.routers import page_router
from suanquan.portal import figures
from suanquan.portal.frame import or_failure, reading, render, service_of
from suanquan.use_cases.applications import load_rounds
from suanquan.use_cases.overview import Overview, overview
from suanquan.use_cases.procedure_views import procedure_object, public_notices, round_object
from voucher import store as voucher_store

VOUCHERS_MAX = 50
LATE_US = figures.DAY_US
"""A centre silent for longer than this is marked late."""
STATUSES = {
    "accepted": "accepted",
    "duplicate": "duplicate",
    "held": "pending",
    "conflict": "conflict",
    "rejected": "rejected",
}
"""Statuses of usage records, in the order shown, with the key of their text: `held` names money elsewhere on the page."""
DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""The vendored API page styles its own elements inline; nothing else on it does more than elsewhere."""

router = page_router()


@router.get("/", dependencies=[may("figures.read")])
async def get_home(request: Request) -> Response:
    """Public figures; with a token, single vouchers, too."""
    return await or_failure(request, _home(request))


@router.get("/notices", dependencies=[may("notice.read")])
async def get_notices(request: Request) -> Response:
    """Calls for applications, what is in public notice today, and the process with its clauses."""
    return await or_failure(request, _notices(request))


@router.get("/docs", dependencies=[may("service.look")])
async def get_docs(request: Request) -> Response:
    """Describe the API by the vendored page."""
    return render(request, "docs.html", headers={"Content-Security-Policy": DOCS_POLICY})


async def _home(request: Request) -> Response:
    service = service_of(request)
    with reading():
        who = await identify(request)
        found = who.reach("voucher.list") is Reach.EVERYTHING
        if found:
            await permit(request, "voucher.list")
        async with service.database.read() as connection:
            read = await overview(connection, service.catalog, service.now_us, service.memo)
            vouchers = await voucher_store.newest_vouchers(connection, EVERYTHING, VOUCHERS_MAX) if found else []
    revoked = who.is_public and COOKIE in request.cookies
    response = render(
        request,
        "page.html",
        problem="token_revoked" if revoked else "",
        role=found,
        vouchers=vouchers,
        statuses=STATUSES,
        vouchers_max=VOUCHERS_MAX,
        **_shown(read, service.catalog, service.now_us),
    )
    if revoked:
        response.delete_cookie(COOKIE, path="/")
    return response


async def _notices(request: Request) -> Response:
    service = service_of(request)
    with reading():
        proceedings = service.proceedings
        office = proceedings.office
        async with service.database.read() as connection:
            rounds = await load_rounds(connection, office)
            notices = await public_notices(connection, office, proceedings.today)
    return render(
        request,
        "notices.html",
        notices=notices,
        rounds=[round_object(office, found) for found in rounds],
        procedures=[procedure_object(office, procedure) for procedure in office.procedures.values()],
    )


def _shown(read: Overview, catalog: Catalog, now_us: int) -> dict[str, Any]:
    """Prepare what the page says beyond the figures read."""
    covered: Counter[str] = Counter()
    for _scheme, centre, units in read.redeemed:
        covered[centre] += units
    return {
        "figures": read,
        "covered": covered,
        "models": [
            (centre.centre, centre.name, model, gpu_ms)
            for centre in read.centres
            for model, gpu_ms in sorted(centre.gpu_ms.items())
        ],
        "late": {c.centre for c in read.centres if c.received_us and now_us - c.received_us > LATE_US},
        "unused": [name for name in catalog.schemes if name not in {known.scheme for known in read.schemes}],
        "sandbox_schemes": {name for name, scheme in catalog.schemes.items() if scheme.status.value == "sandbox"},
    }
