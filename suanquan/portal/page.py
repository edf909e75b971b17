"""The first page, public notices and the API page. Where reading fails, the page says so and shows no figure."""

from __future__ import annotations

from collections import Counter
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ledger.scope import EVERYTHING
from ledger.sql import Connection
from suanquan.access.policy import Reach
from suanquan.catalog import Catalog
from suanquan.http.auth import COOKIE, identify, may, permit
from suanquan.http.routers import page_router
from suanquan.portal import chart_views, figures
from suanquan.portal.chart_text import TEXTS as CHART_TEXTS
from suanquan.portal.frame import language_of, or_failure, reading, render, service_of
from suanquan.use_cases import uptake
from suanquan.use_cases.admission_chart import load_admissions
from suanquan.use_cases.applications import load_rounds
from suanquan.use_cases.overview import Overview, overview
from suanquan.use_cases.procedure_views import procedure_object, public_notices, round_object
from suanquan.use_cases.subsidies import day_of
from voucher import store as voucher_store
from voucher.uptake_store import Part

VOUCHERS_MAX = 50
LATE_US = figures.DAY_US
"""A centre silent for longer than this is marked late."""
MONTHS_SHOWN = 12
OPEN_FACTS = frozenset({"green_power_share", "pue", "compute_pflops_fp16_dense"})
"""Facts of a centre that anybody may see, as the metrics have them; of the others the verdict alone."""
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
            charts = await _charts(request, connection)
    revoked = who.is_public and COOKIE in request.cookies
    response = render(
        request,
        "page.html",
        problem="token_revoked" if revoked else "",
        role=found,
        vouchers=vouchers,
        statuses=STATUSES,
        vouchers_max=VOUCHERS_MAX,
        t=CHART_TEXTS[language_of(request)],
        **charts,
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


async def _charts(request: Request, conn: Connection) -> dict[str, Any]:
    """Charts that anybody may see: who benefits (no group of few), what was delivered, whether centres meet admission."""
    service, texts = service_of(request), CHART_TEXTS[language_of(request)]
    usage = await uptake.utilisation(conn, service.catalog, service.now_us)
    every = await uptake.by_class(conn, Part())
    models, months = chart_views.delivered_rows(usage, texts["other_models"], MONTHS_SHOWN)
    return {
        "beneficiaries": uptake.merged(every),
        "too_few": bool(every),
        "models_by_month": models,
        "months": months,
        "this_month": day_of(service.now_us).isoformat()[:7],
        "edition": service.catalog.digest.hex()[:8],
        "admissions": await load_admissions(conn, service.catalog, service.subsidies, service.now_us),
        "said": lambda one: chart_views.criterion_said(one, texts),
        "open_facts": OPEN_FACTS,
        "by_unused": lambda rows: sorted(rows, key=lambda row: (-row.available, row.scheme)),
    }


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
