"""What is set aside of vouchers, list prices, and a centre's energy: what each party sees of its own, and what a centre reports."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response

from ledger.amount import ASSETS, CNY, format_units, parse_units
from ledger.errors import DomainError
from metering import store as metering_store
from metering.centre import Energy
from metering.prices import Price
from metering.zones import shanghai_day_us
from suanquan.access.policy import CENTRE, Reach
from suanquan.errors import ServiceError
from suanquan.http.auth import identify, may, principal, scope_of
from suanquan.http.routers import page_router
from suanquan.portal import figures
from suanquan.portal.forms import digest_of
from suanquan.portal.frame import language_of, link, or_failure, reading, service_of
from suanquan.portal.stamps import version_of
from suanquan.portal.table import Cell, Column, Row, amount, exported, table
from suanquan.portal.work import render, said_of, status_for, to
from suanquan.portal.work_text import TEXTS
from suanquan.use_cases.centre_admission import centre_object
from suanquan.use_cases.centres import Said, register_energy, require_own
from suanquan.use_cases.hold_views import list_holds
from voucher.hold_view_store import STATES, HoldFilter

HOLDS_MAX = 1_000
FAR_US = 2**62
ALWAYS = shanghai_day_us(date(1970, 1, 2))
"""A month's reading speaks of its month, whatever the day on which it was registered."""
KWH = ("total_kwh", "it_kwh", "green_kwh")
router = page_router()

HOLDS = (
    Column("hold", "hold"), Column("voucher", "jti"), Column("centre", "centre"), Column("state", "state"),
    Column("unit", "unit"), Column("amount", "held_amount", number=True), Column("rest", "held_rest", number=True),
    Column("taken", "taken_at"), Column("ends", "ends_at"), Column("by", "settled_by"), Column("about", "reference"),
)  # fmt: skip
PRICES = (
    Column("model", "model"), Column("centre", "centre"), Column("price", "price_per_hour", number=True),
    Column("from", "from"), Column("to", "to"), Column("basis", "basis"),
)  # fmt: skip


@router.get("/holds", dependencies=[may("hold.list", scoped=True)])
async def get_holds(request: Request) -> Response:
    """Vouchers that were presented: what is held of them, until when, and what became of it."""
    return await or_failure(request, _holds(request))


async def _holds(request: Request) -> Response:
    service, who = service_of(request), await principal(request)
    asked, below = (request.query_params.get(name, "")[:32] for name in ("state", "below"))
    state = asked if asked in STATES else ""
    wanted = HoldFilter(state=state or None, limit=HOLDS_MAX, newest=True, below=below)
    with reading():
        async with service.database.read() as conn:
            found = await list_holds(conn, scope_of(who), wanted)
    texts = figures.texts_in(TEXTS[language_of(request)])
    rows = [_hold_row(request, texts, one) for one in found]
    if (file := exported(request, "holds", HOLDS, rows)) is not None:
        return file
    return render(
        request, "holds.html", table=table(request, "holds", HOLDS, rows), states=STATES, state=state,
        more=link(request, "/holds", state=state, below=found[-1]["hold"]) if len(found) == HOLDS_MAX else "", begun=bool(below),
    )  # fmt: skip


def _hold_row(request: Request, texts: Mapping[str, str], one: dict[str, Any]) -> Row:
    asset = ASSETS[one["unit"]]
    cells = {name: parse_units(one[field], asset) for name, field in (("amount", "amount"), ("rest", "remaining"))}
    return {
        "hold": Cell(one["hold"], href=link(request, f"/holds/{one['hold']}"), code=True),
        "voucher": Cell(one["voucher"], code=True),
        "centre": Cell(one["centre"], code=True),
        "state": Cell(texts[f"hold_{one['state']}"], tag=texts["lease"] if one["lease"] else ""),
        "unit": Cell(texts[f"unit_{one['unit']}"]),
        **{name: amount(format_units(units, asset), asset.code) for name, units in cells.items()},
        "taken": Cell(figures.shanghai(one["taken_at"], texts), one["taken_at"]),
        "ends": Cell(figures.shanghai(one["expires_at"], texts) if one["expires_at"] else "—", one["expires_at"] or ""),
        "by": Cell(texts[f"settled_{one['settled_by']}"] if one["settled_by"] else "—"),
        "about": Cell(one["reference"] or "—"),
    }  # fmt: skip


@router.get("/prices", dependencies=[may("scheme.read")])
async def get_prices(request: Request) -> Response:
    """List prices of card-hours, each with its days and basis."""
    return await or_failure(request, _prices(request))


async def _prices(request: Request) -> Response:
    service = service_of(request)
    with reading():
        who = await identify(request)
        prices, models = service.catalog.prices, sorted(service.catalog.accelerators.models)
        own = [who.tenant] if who.role in CENTRE else sorted(prices.centres)
        found = [
            (one, price) for model in models for one in ("", *own) for price in _of(prices.intervals(one, model), one)
        ]
    texts = TEXTS[language_of(request)]
    rows = [_price_row(texts, centre, price) for centre, price in found]
    if (file := exported(request, "prices", PRICES, rows)) is not None:
        return file
    return render(
        request, "prices.html", table=table(request, "prices", PRICES, rows), digest=service.catalog.digest.hex()
    )


def _of(prices: tuple[Price, ...], centre: str) -> list[Price]:
    """Of a centre's prices those that are its own; the general ones stand once, under no centre."""
    return [price for price in prices if (price.centre or "") == centre]


def _price_row(texts: dict[str, str], centre: str, price: Price) -> Row:
    yuan = format_units(price.micro_yuan_per_gpu_hour, CNY)
    return {
        "model": Cell(price.model),
        "centre": Cell(centre or texts["every_centre"], code=bool(centre)),
        "price": amount(yuan),
        "from": Cell(figures.day(price.from_us)),
        "to": Cell(figures.day(price.to_us) if price.to_us < FAR_US else "—"),
        "basis": Cell(price.basis),
    }


@router.get("/energy", dependencies=[may("centre.read", scoped=True)])
async def get_energy(request: Request) -> Response:
    """PUE and green power of a centre, month by month, against the thresholds of the policy."""
    return await or_failure(request, _energy(request))


@router.post("/energy", dependencies=[may("energy.report", scoped=True)])
async def post_energy(request: Request) -> Response:
    """Report a month; reported again, the later counts and both stay."""
    return await or_failure(request, _report(request))


async def _energy(
    request: Request, problem: str = "", typed: dict[str, str] | None = None, status: int = 200
) -> Response:
    service, who = service_of(request), await principal(request)
    scope = scope_of(who)
    centre = scope.centre or (typed or request.query_params).get("centre", "")[:32]
    found = None
    with reading():
        async with service.database.read() as conn:
            names = {
                one: name for one, name in (await metering_store.load_centres(conn)).items() if scope.holds(centre=one)
            }
            if centre in names:
                found = await centre_object(conn, service.catalog, service.subsidies, centre, service.now_us)
            stamp = await version_of(request, conn, "/energy", who, {"centre": centre})
    return render(
        request, "energy.html", status=status, stamp=stamp, centres=names, centre=centre, found=found, kwh=KWH, problem=problem,
        typed=typed or {}, able=who.reach("energy.report") is not Reach.NOTHING,
    )  # fmt: skip


async def _report(request: Request) -> Response:
    service, who = service_of(request), await principal(request)
    async with request.form(max_files=1, max_fields=12) as sent:
        typed = {name: str(sent.get(name, "")).strip()[:80] for name in ("centre", "month", *KWH, "evidence")}
        if isinstance(chosen := sent.get("evidence:file"), UploadFile) and chosen.filename:
            typed["evidence"] = await digest_of(chosen)
    typed["centre"] = scope_of(who).centre or typed["centre"]
    try:
        require_own(scope_of(who), typed["centre"])
        reading_of_month = Energy(typed["month"], *(_whole(typed[name], name) for name in KWH))
        said = Said(who.name, ALWAYS, typed["evidence"])
        await register_energy(service.journal, typed["centre"], reading_of_month, said)
    except DomainError as error:
        return await _energy(request, said_of(request, error), typed, status_for(error))
    return to(request, "/energy", centre="" if scope_of(who).centre else typed["centre"])


def _whole(text: str, name: str) -> int:
    plain = text.replace(",", "").replace("，", "")
    if not plain.isdecimal() or len(plain) > 15:
        zh, en = f"{name} 应为整数千瓦时，如 1240000", f"{name} must be whole kilowatt-hours such as 1240000"
        raise ServiceError("energy-malformed", zh, en)
    return int(plain)
