"""Pages of commission and bureaus: how far vouchers have come, centres, budgets, clauses; every figure leads to its entries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ledger import store as ledger_store
from ledger.amount import ASSETS, CNY, parse_units
from ledger.budget import open_name
from ledger.sql import Connection
from metering import fate_store, notice_store
from suanquan.http.auth import may
from suanquan.http.routers import page_router
from suanquan.portal import chart_views, figures, frame
from suanquan.portal.chart_parts import QUESTIONS, burn_in, burn_shown, centres_in, flow_in, stages_shown
from suanquan.portal.chart_text import TEXTS
from suanquan.portal.frame import language_of, or_failure, reading, service_of
from suanquan.service import Service
from suanquan.use_cases import uptake
from suanquan.use_cases.applications import Application, load_budgets
from suanquan.use_cases.firsts import lines_of, tenths_of
from suanquan.use_cases.overview import overview
from suanquan.use_cases.postings import receivable
from suanquan.use_cases.procedure_money import budget_account
from suanquan.use_cases.programme import programme_object
from suanquan.use_cases.subsidies import day_of
from voucher import finding_store, uptake_store
from voucher.uptake_store import DAY_US, Part

LATE_US = DAY_US
"""A centre silent for longer than this is named, and its figures are a lower bound."""
EXPIRING_DAYS = 90
STAGES_MAX = 6
MONTHS_SHOWN = 12
router = page_router()


def render(request: Request, page: str, **values: Any) -> Response:
    """A page with the texts of these pages."""
    return frame.render(request, f"office/{page}", t=TEXTS[language_of(request)], **values)


def texts_of(request: Request) -> Mapping[str, str]:
    """The texts of these pages, in the reader's language and unit."""
    return figures.texts_in(TEXTS[language_of(request)])


async def size_of(conn: Connection) -> int:
    """Entries of the log that what is shown is as of."""
    head = await ledger_store.load_head(conn)
    assert head is not None, "a home has a ledger"
    return head.size


@router.get("/office", dependencies=[may("programme.read")])
async def get_office(request: Request) -> Response:
    """What was issued and became of it, centres, what waits, what ends."""
    return await or_failure(request, _office(request))


async def _office(request: Request) -> Response:
    service = service_of(request)
    with reading():
        async with service.database.read() as conn:
            read = await overview(conn, service.catalog, service.now_us, service.memo)
            found = await finding_store.count_open(conn)
            waiting = await fate_store.count_waiting(conn)
            disputed = await notice_store.count_states(conn)
            cases = sum(not _state(one).final for one in await service.cases.applications(conn))
            soon = await uptake.expiring(conn, Part(), service.now_us, EXPIRING_DAYS)
            burn, flow = await burn_in(conn, service), await flow_in(conn, service)
            centres = await centres_in(conn, service)
    late = [one.name for one in read.centres if one.received_us and service.now_us - one.received_us > LATE_US]
    return render(
        request,
        "overview.html",
        read=read,
        size=read.head.size,
        adds_up=all(
            one.issued == one.available + one.held + one.redeemed + one.expired + one.returned for one in read.schemes
        ),
        states=("available", "held", "redeemed", "expired", "returned"),
        paid=_paid(read.redeemed),
        late=late,
        soon=soon,
        soon_days=EXPIRING_DAYS,
        counts={
            "open_cases": (cases, frame.link(request, "/office/queue")),
            "open_findings": (sum(found.values()), frame.link(request, "/office/findings", state="open")),
            "quarantined": (sum(waiting.values()), frame.link(request, "/centre/quarantine")),
            "gaps": (sum(one.gaps for one in read.centres), frame.link(request, "/office/gaps")),
            "disputes_open": (disputed["open"], frame.link(request, "/disputes", state="open")),
            "disputes_answered": (disputed["answered"], frame.link(request, "/disputes", state="answered")),
        },
        documents=_documents(service),
        receivable=receivable,
        burn=burn_shown(request, burn),
        stages=_worst(stages_shown(request, flow)),
        centres=centres.rows,
        questions=[(key, *where.partition("#")[::2]) for key, where in QUESTIONS],
        **chart_views.DAYS_SHOWN,
    )


def _worst(rows: Sequence[chart_views.StageRow]) -> list[chart_views.StageRow]:
    """Stages that the first page has room for, in their order: those at which most wait."""
    kept = sorted(rows, key=lambda row: (-row.stage.waiting, -(row.stage.p90 or 0)))[:STAGES_MAX]
    return [row for row in rows if row in kept]


def _paid(redeemed: Sequence[tuple[str, str, int]]) -> dict[str, int]:
    paid: dict[str, int] = {}
    for _, centre, units in redeemed:
        paid[centre] = paid.get(centre, 0) + units
    return paid


def _documents(service: Service) -> list[dict[str, Any]]:
    today = day_of(service.now_us)
    return [
        {
            "number": one.number,
            "title_zh": one.title_zh,
            "title_en": one.title_en,
            "last_day": one.last_day.isoformat(),
            "days": (one.last_day - today).days,
        }
        for one in service.subsidies.policies.documents.values()
    ]


def _state(one: Application) -> Any:
    return one.round.procedure.states[one.case.state]


@router.get("/office/uptake", dependencies=[may("programme.read")])
async def get_uptake(request: Request) -> Response:
    """By scheme, class, month of issue and of end, centre; how soon used; how concentrated."""
    return await or_failure(request, _uptake(request))


async def _uptake(request: Request) -> Response:
    service = service_of(request)
    part = Part()
    with reading():
        async with service.database.read() as conn:
            read = await overview(conn, service.catalog, service.now_us, service.memo)
            tables = {
                "by_scheme": ("scheme", "scheme", await uptake_store.sums_by(conn, part, "scheme")),
                "by_class": ("class", "class", await uptake.by_class(conn, part)),
                "by_issue_month": ("month", "issued", await uptake.by_month(conn, part)),
                "by_end_month": ("month", "ends", await uptake.by_month(conn, part, "end")),
            }
            uses = await service.charts.firsts.load(conn, part)
            spread = await uptake.concentration(conn, part)
            tenths = tenths_of([units for _, units in await uptake_store.redeemed_by_holder(conn, part)])
    firsts, texts = lines_of(uses, service.now_us), TEXTS[language_of(request)]
    return render(
        request, "uptake.html", heads=chart_views.first_heads(texts, firsts), firsts=chart_views.first_rows(firsts),
        first_marks=chart_views.FIRST_MARKS, soon_months=_months_to(service.now_us), tenths=tenths, spread_share=chart_views.spread_share(tenths), tables=tables, first=uptake.first_use(uses), marks=uptake.MARKS, spread=spread, size=read.head.size,
        centres=[(one.centre, one.name, _paid(read.redeemed).get(one.centre, 0)) for one in read.centres],
        states=("issued", "available", "held", "redeemed", "expired", "returned"), receivable=receivable,
    )  # fmt: skip


def _months_to(now_us: int) -> list[str]:
    """Months that end within the next days that are watched for what expires, this one among them."""
    today = day_of(now_us)
    days = (today + timedelta(days=ahead) for ahead in range(EXPIRING_DAYS + 1))
    return list(dict.fromkeys(f"{day:%Y-%m}" for day in days))


@router.get("/office/centres", dependencies=[may("centre.read")])
async def get_centres(request: Request) -> Response:
    """Utilisation by centre, month and card model; whether the data can be trusted."""
    return await or_failure(request, _centres(request))


async def _centres(request: Request) -> Response:
    service = service_of(request)
    chosen = request.query_params.get("centre", "")[:32]
    with reading():
        async with service.database.read() as conn:
            read = await overview(conn, service.catalog, service.now_us, service.memo)
            rows = await uptake.utilisation(conn, service.catalog, service.now_us, chosen)
            complete = await uptake.completeness(conn)
            days = await centres_in(conn, service, chosen)
    models = uptake.fold(rows, "centre", "model")
    return render(
        request,
        "centres.html",
        read=read,
        size=read.head.size,
        chosen=chosen,
        names={one.centre: one.name for one in read.centres},
        months=uptake.fold(rows, "centre", "month"),
        models=models,
        pairs={(one["centre"], one["model"]): one for one in models},
        cards=sorted({row.model for row in rows}),
        month_models=uptake.fold(rows, "centre", "model", "month") if chosen else [],
        complete=complete,
        complete_months=sorted({month for _, month in complete})[-MONTHS_SHOWN:],
        this_month=day_of(service.now_us).isoformat()[:7],
        late_us=LATE_US,
        paid=[(scheme, units) for scheme, centre, units in read.redeemed if centre == chosen] if chosen else None,
        receivable=receivable,
        days=days.rows,
        **chart_views.DAYS_SHOWN,
    )


@router.get("/office/budgets", dependencies=[may("programme.read")])
async def get_budgets(request: Request) -> Response:
    """Budgets year by year from ledger accounts, and how long what is available lasts at the pace of late."""
    return await or_failure(request, _budgets(request))


async def _budgets(request: Request) -> Response:
    service = service_of(request)
    chosen = request.query_params.get("class", "")
    part = Part(letters=uptake.LETTERS.get(chosen, ()))
    with reading():
        async with service.database.read() as conn:
            months = await uptake.by_month(conn, part)
            found = [await programme_object(conn, series) for series in service.catalog.series.values()]
            size = await size_of(conn)
            soon = await uptake.expiring(conn, Part(), service.now_us, EXPIRING_DAYS)
            scheme = request.query_params.get("scheme", "")[:64]
            burn = await burn_in(conn, service, scheme)
    shown = [one | {"years": [_year(one["scheme"], year) for year in one["years"]]} for one in found if one["years"]]
    return render(
        request, "budgets.html", programmes=shown, size=size, soon=soon, soon_days=EXPIRING_DAYS, months=months,
        burn=burn_shown(request, burn), scheme=scheme if scheme in service.catalog.series else "",
        series=[one.latest.id for one in service.catalog.series.values()],
        classes=uptake.CLASSES, chosen=chosen if chosen in uptake.CLASSES else "",
        states=("issued", "available", "held", "redeemed", "expired", "returned"),
    )  # fmt: skip


def _year(scheme: str, year: dict[str, Any]) -> dict[str, Any]:
    """A year of a programme in units, with what is set aside for rounds and centres together, and the accounts of each figure."""
    asset = ASSETS[year["unit"]]
    names = ("budget", "left", "approved", "issued", "available", "held", "redeemed", "expired", "returned")
    aside = sum(parse_units(text, asset) for group in ("rounds", "allotted") for text in year[group].values())
    units = {name: parse_units(year[name], asset) for name in names}
    cap, root = open_name((scheme, str(year["year"])), asset), f"scheme/{scheme}/{year['year']}"
    accounts = {"budget": cap, "left": cap, "approved": f"{root}/approved/{asset.code}" if units["approved"] else ""}
    aside_of = {
        name: f"{root}/{group}/{name}/{asset.code}"
        for group, key in (("round", "rounds"), ("allotted", "allotted"))
        for name in year[key]
    }
    return {
        "year": year["year"],
        "asset": asset,
        "set_aside": aside,
        "accounts": accounts,
        "aside_of": aside_of,
        "aside_under": [f"{root}/round/", f"{root}/allotted/"],
    } | units


@router.get("/office/clauses", dependencies=[may("programme.read")])
async def get_clauses(request: Request) -> Response:
    """Clause by clause: applications, approved, committed, paid; how long the document lasts."""
    return await or_failure(request, _clauses(request))


async def _clauses(request: Request) -> Response:
    service = service_of(request)
    today = day_of(service.now_us)
    with reading():
        listed = service.subsidies.list_clauses(today)
        async with service.database.read() as conn:
            size = await size_of(conn)
            cases = await service.cases.applications(conn)
            budgets = await load_budgets(conn, service.proceedings.office)
    committed = {key: given - left for key, (given, left) in budgets.items()}
    by_clause: dict[str, list[Application]] = {}
    for one in cases:
        by_clause.setdefault(one.clause, []).append(one)
    sums, rest = Counter[str](), Counter[str]()
    for (name, _), (given, left) in budgets.items():
        sums[name] += given - left
        rest[name] += left
    accounts = _accounts(committed, service)
    lines = [_clause(service, one, by_clause.get(one["clause"], []), sums, today) for one in listed]
    for line in lines:
        line["accounts"] = accounts.get(line["clause"], {})
        line["left"] = rest.get(line["clause"])
    most = max(max(line["committed"], line["paid"], line["left"] or 0) for line in lines) or 1
    return render(request, "clauses.html", lines=lines, most=most, size=size)


def _accounts(committed: Mapping[tuple[str, int], int], service: Service) -> dict[str, dict[int, str]]:
    """Accounts of the budgets from which each clause has committed something, by year."""
    found: dict[str, dict[int, str]] = {}
    for procedure in service.proceedings.office.procedures.values():
        for (clause, year), units in sorted(committed.items()):
            if units and not procedure.for_schemes and clause in procedure.clauses:
                found.setdefault(clause, {})[year] = budget_account(procedure.id, year, clause)
    return found


def _clause(
    service: Service, clause: dict[str, Any], cases: Sequence[Application], sums: dict[str, int], today: date
) -> dict[str, Any]:
    policies = service.subsidies.policies
    document = policies.documents[policies.clause(clause["clause"]).document]
    return clause | {
        "received": len(cases),
        "decided": sum(one.case.committed > 0 for one in cases),
        "committed": sums.get(clause["clause"], 0),
        "paid": sum(one.case.net_paid for one in cases) * 10 ** (CNY.scale - 2),
        "days": (document.last_day - today).days,
        "last_day": document.last_day.isoformat(),
    }
