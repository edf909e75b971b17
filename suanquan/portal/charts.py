"""Pages of charts by question: ways of applications, supply and price of computing, what the checks find, the hours of a day."""

from __future__ import annotations

from datetime import date
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ledger import log_store
from ledger.sql import Connection
from metering import store as metering_store
from metering.zones import shanghai_day_us
from suanquan.http.auth import may
from suanquan.http.routers import page_router
from suanquan.portal import chart_views
from suanquan.portal.chart_parts import QUESTIONS, flow_in, stages_shown
from suanquan.portal.chart_text import TEXTS
from suanquan.portal.frame import language_of, or_failure, reading, service_of
from suanquan.portal.office import render, size_of
from suanquan.service import Service
from suanquan.use_cases import daily, uptake
from suanquan.use_cases.admission_chart import load_admissions
from suanquan.use_cases.postings import receivable
from suanquan.use_cases.programme import list_programmes
from suanquan.use_cases.public_price import load_costs
from suanquan.use_cases.subsidies import day_of
from voucher import finding_store, uptake_store
from voucher.findings import CHECKS, State

MONTHS_SHOWN = 12
LINES_MAX = 5
OLD_RUN_US = 48 * 3_600_000_000
router = page_router()


@router.get("/office/charts", dependencies=[may("programme.read")])
async def get_charts(request: Request) -> Response:
    """Every question, and where its chart is."""
    return await or_failure(request, _charts(request))


async def _charts(request: Request) -> Response:
    rows = [(key, *where.partition("#")[::2]) for key, where in QUESTIONS]
    return render(request, "charts.html", questions=rows)


@router.get("/office/flow", dependencies=[may("application.read")])
async def get_flow(request: Request) -> Response:
    """Where applications get stuck, and whether time limits are kept."""
    return await or_failure(request, _flow(request))


async def _flow(request: Request) -> Response:
    service = service_of(request)
    with reading():
        async with service.database.read() as conn:
            flow, size = await flow_in(conn, service), await size_of(conn)
    returns = chart_views.returns_said(TEXTS[language_of(request)], flow)
    return render(request, "flow.html", flow=flow, stages=stages_shown(request, flow), returns=returns, size=size)


@router.get("/office/supply", dependencies=[may("centre.read")])
async def get_supply(request: Request) -> Response:
    """What was delivered, at which price to the public, by which centres."""
    return await or_failure(request, _supply(request))


async def _supply(request: Request) -> Response:
    service, texts = service_of(request), TEXTS[language_of(request)]
    with reading():
        async with service.database.read() as conn:
            usage = await uptake.utilisation(conn, service.catalog, service.now_us)
            costs = await load_costs(conn, service.charts.covered, usage, service.now_us)
            admissions = await load_admissions(conn, service.catalog, service.subsidies, service.now_us)
            names, size = await metering_store.load_centres(conn), await size_of(conn)
    models, months = chart_views.delivered_rows(usage, texts["other_models"], MONTHS_SHOWN)
    lines = chart_views.price_lines(costs, names, LINES_MAX)
    return render(
        request,
        "supply.html",
        models=models,
        months=months,
        this_month=day_of(service.now_us).isoformat()[:7],
        edition=service.catalog.digest.hex()[:8],
        lines=lines,
        names=names,
        costs={(one.quarter, one.centre): one for one in costs},
        quarters=sorted({(one.quarter, one.is_open) for one in costs}),
        price=chart_views.price,
        receivable=receivable,
        admissions=admissions,
        said=lambda one: chart_views.criterion_said(one, texts),
        size=size,
    )


@router.get("/office/checks", dependencies=[may("finding.list")])
async def get_checks(request: Request) -> Response:
    """What the checks find, rule by rule, and whether the books are whole."""
    return await or_failure(request, _checks(request))


async def _checks(request: Request) -> Response:
    service = service_of(request)
    with reading():
        async with service.database.read() as conn:
            counts = await finding_store.count_states(conn)
            last = await finding_store.last_run(conn)
            books = await _books(conn, service)
            size = await size_of(conn)
    english = language_of(request) == "en"
    rules = [(one.name, one.en if english else one.zh) for one in CHECKS.values()]
    return render(
        request, "checks.html", rules=rules, counts=counts, states=tuple(state.value for state in State), last=last,
        is_old=last.number > 0 and service.now_us - last.at_us > OLD_RUN_US, old_hours=OLD_RUN_US // 3_600_000_000,
        books=books, size=size,
    )  # fmt: skip


async def _books(conn: Connection, service: Service) -> dict[str, Any]:
    """What can be said of the books without recomputing them: identities, programmes, the newest signed heads."""
    totals = await uptake_store.scheme_totals(conn, service.now_us)
    parts = ("available", "held", "redeemed", "expired", "returned")
    unequal = [row["scheme"] for row in totals if row["issued"] != sum(row[name] for name in parts)]
    programmes = await list_programmes(conn, service.catalog.series)
    return {
        "unequal": unequal,
        "differing": [one["scheme"] for one in programmes if not one["agrees"]],
        "signed": await log_store.newest_head(conn),
        "witnessed": await log_store.newest_head(conn, witnessed=True),
    }


@router.get("/office/hours", dependencies=[may("centre.read")])
async def get_hours(request: Request) -> Response:
    """The hours of a centre's day: which were heard of, and by whom."""
    return await or_failure(request, _hours(request))


async def _hours(request: Request) -> Response:
    service = service_of(request)
    centre, asked = request.query_params.get("centre", "")[:32], request.query_params.get("day", "")[:10]
    with reading():
        async with service.database.read() as conn:
            names, size = await metering_store.load_centres(conn), await size_of(conn)
            heard = await service.charts.batches.heard(conn, service.now_us)
    chosen = centre if centre in names else next(iter(names), "")
    day = _day(asked) or day_of(service.now_us)
    within = 0 <= (day_of(service.now_us) - day).days < daily.DAYS
    hours = daily.hours_list(chosen, day, heard, service.now_us) if within else []
    count = sum(one.gpu_ms > 0 or one.seen_ms is not None for one in hours)
    first = shanghai_day_us(day) // 3_600_000_000
    return render(
        request, "hours.html", centres=names, chosen=chosen, day=day.isoformat(), hours=hours, heard=count, first=first, days=daily.DAYS, receivable=receivable, size=size
    )  # fmt: skip


def _day(text: str) -> date | None:
    """A day as an address has it; None for anything else."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
