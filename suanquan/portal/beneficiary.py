"""Pages of who holds vouchers: what is left of each, how long it lasts, its code; usage line by line; applications and open rounds."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ledger.amount import ASSETS_BY_NUMBER, parse_units
from ledger.errors import Kind
from ledger.sql import Connection
from metering.instants import parse_instant
from metering.notice_store import urns_of
from suanquan.errors import ServiceError
from suanquan.http.auth import may, principal, scope_of
from suanquan.http.routers import page_router
from suanquan.portal import due, exports, figures
from suanquan.portal.forms import BACK
from suanquan.portal.frame import language_of, link, or_failure, reading, render, service_of, texts_of
from suanquan.portal.stamps import version_of
from suanquan.portal.table import Cell, Column, Row, amount, exported, table
from suanquan.portal.text import TEXTS
from suanquan.service import Service
from suanquan.use_cases.applications import load_rounds
from suanquan.use_cases.forecast import voucher_outlook
from suanquan.use_cases.issue import load, voucher_object
from suanquan.use_cases.line_disputes import Line, Person, bound_accounts, open_dispute
from suanquan.use_cases.procedure_views import application_line, round_object
from suanquan.use_cases.statement import statement
from voucher import store as voucher_store
from voucher.qr import render as render_qr

LISTED_MAX = 1000
"""Vouchers that one list holds; a holder with more finds the rest by the API."""
PARTS = ("available", "held", "redeemed", "expired", "returned", "split")
"""What a voucher is at any time: issued is their sum."""
REASON_MAX = 2000
BATCHES_MAX = 50
"""Reports whose lines one page holds; its search, order and export are of these."""

router = page_router()

VOUCHERS = (
    Column("jti", "jti"), Column("scheme", "scheme"), Column("unit", "unit"), Column("issued", "issued", number=True),
    *(Column(part, part, number=True) for part in PARTS), Column("until", "valid_to"),
)  # fmt: skip
LINES = (
    Column("start", "from"), Column("end", "to"), Column("job", "job"), Column("model", "model"),
    Column("hours", "gpu_hours", number=True), Column("yuan", "rated", number=True), Column("id", "record", key=True),
    Column("state", "state"), Column("proof", "proof_of"), Column("act", "act"),
)  # fmt: skip
APPLICATIONS = (
    Column("id", "application_no"), Column("project", "project"), Column("clause", "scheme"), Column("state", "stage"),
    Column("received", "received_on"), Column("amount", "amount_yuan", number=True),
)  # fmt: skip


@router.get("/vouchers", dependencies=[may("voucher.list", scoped=True)])
async def get_vouchers(request: Request) -> Response:
    """All vouchers of the holder, each with the identity that adds up."""
    return await or_failure(request, _vouchers(request))


async def _vouchers(request: Request) -> Response:
    service, who = service_of(request), await principal(request)
    with reading():
        async with service.database.read() as conn:
            found = await voucher_store.newest_vouchers(conn, scope_of(who), LISTED_MAX)
            waits, rounds = ([], 0) if exports.form_of(request) else await due.of_holder(service, conn, scope_of(who))
    rows = [_voucher_row(request, service, voucher_object(one)) for one in found]
    if (file := exported(request, "vouchers", VOUCHERS, rows)) is not None:
        return file
    left = [bool(voucher_object(one)["available"].strip("0.")) for one in found]
    return render(
        request, "vouchers.html", table=table(request, "vouchers", VOUCHERS, rows), sums=_sums(found), due=waits, rounds=rounds,
        soonest=due.soonest(found, left, service.now_us),
    )  # fmt: skip


def _sums(found: list[Any]) -> list[dict[str, Any]]:
    """One line for each unit: what all vouchers together are, in units of the asset."""
    sums: dict[int, dict[str, int]] = {}
    for one in found:
        said, asset = voucher_object(one), ASSETS_BY_NUMBER[one.asset]
        line = sums.setdefault(one.asset, dict.fromkeys(("issued", *PARTS), 0))
        for part in line:
            line[part] += parse_units(said[part], asset)
    return [{"asset": ASSETS_BY_NUMBER[number], "units": line} for number, line in sums.items()]


def _voucher_row(request: Request, service: Service, said: dict[str, Any]) -> Row:
    texts, scheme = texts_of(request), service.catalog.schemes.get(said["scheme"])
    name = said["scheme"] if scheme is None else scheme.name_en if language_of(request) == "en" else scheme.name_zh
    amounts = {part: amount(said[part], said["unit"]) for part in ("issued", *PARTS)}
    return amounts | {
        "jti": Cell(said["jti"], href=link(request, f"/vouchers/{said['jti']}"), code=True),
        "scheme": Cell(name),
        "unit": Cell(texts[f"unit_{said['unit']}"]),
        "until": Cell(figures.day(parse_instant(said["valid_until"])), said["valid_until"]),
    }


@router.get("/vouchers/{jti}", dependencies=[may("voucher.read", scoped=True)])
async def get_voucher(jti: str, request: Request) -> Response:
    """One voucher: its sums, how long it lasts at this pace, and its code to show."""
    return await or_failure(request, _voucher(request, jti))


async def _voucher(request: Request, jti: str) -> Response:
    service, who = service_of(request), await principal(request)
    with reading():
        async with service.database.read() as conn:
            stored = await load(conn, jti, scope_of(who))
            forecast, days = await voucher_outlook(conn, jti, service.now_us)
    return render(
        request,
        "voucher.html",
        voucher=voucher_object(stored),
        forecast=forecast,
        days=days,
        parts=PARTS,
        released=stored.cwt,
    )


@router.get("/vouchers/{jti}/code.svg", dependencies=[may("voucher.read", scoped=True)])
async def get_code(jti: str, request: Request) -> Response:
    """The QR code of a voucher."""
    return await or_failure(request, _code(request, jti))


async def _code(request: Request, jti: str) -> Response:
    service, who = service_of(request), await principal(request)
    with reading():
        async with service.database.read() as conn:
            stored = await load(conn, jti, scope_of(who))
    if not stored.cwt:
        zh, en = "该券尚未签出", "this voucher is not signed yet"
        raise ServiceError("voucher-unreleased", zh, en, kind=Kind.NOT_FOUND)
    return Response(render_qr(stored.cwt, "svg"), media_type="image/svg+xml", headers={"Cache-Control": "no-store"})


@router.get("/usage", dependencies=[may("statement.read", scoped=True)])
async def get_usage(request: Request) -> Response:
    """Accounts that the vouchers pay for, and the usage of one line by line."""
    return await or_failure(request, _usage(request))


async def _usage(
    request: Request, problem: str = "", typed: dict[str, str] | None = None, status: int = 200
) -> Response:
    service, who = service_of(request), await principal(request)
    centre, account = ((typed or request.query_params).get(name, "")[:255] for name in ("centre", "account"))
    before = request.query_params.get("before", "")
    with reading():
        async with service.database.read() as conn:
            accounts = await bound_accounts(conn, scope_of(who))
            if not centre and len(accounts) == 1:
                ((centre, account),) = accounts
            found = None
            if centre:
                upto = int(before) if before.isdecimal() and len(before) < 19 else 2**62
                found = await statement(conn, service.catalog, scope_of(who), centre, account, upto, BATCHES_MAX)
            stamp = await version_of(request, conn, "/usage/disputes", who, {"centre": centre, "account": account})
    lines = [] if found is None else found["lines"]
    rows = [_line_row(request, line) for line in lines]
    if (file := exported(request, "usage", LINES, rows)) is not None:
        return file
    return render(
        request,
        "usage.html",
        status=status,
        stamp=stamp,
        accounts=accounts,
        batches=BATCHES_MAX,
        centre=centre,
        account=account,
        found=found,
        table=table(request, "usage", LINES, rows),
        problem=problem,
        typed=typed or _named(request),
    )


def _named(request: Request) -> dict[str, str]:
    """The line that a link to the dispute form names."""
    return {name: request.query_params.get(name, "")[:255] for name in ("batch", "record")}


def _line_row(request: Request, line: dict[str, Any]) -> Row:
    texts = TEXTS[language_of(request)]
    dispute = line.get("dispute")
    models = " + ".join(f"{count / 1000:g} × {model}" for model, count in line["accelerators"].items())
    return {
        "start": Cell(figures.shanghai(line["start"], texts), line["start"]),
        "end": Cell(figures.shanghai(line["end"], texts), line["end"]),
        "job": Cell(line["job"], code=True),
        "model": Cell(models),
        "hours": Cell(figures.hours(line["gpu_ms"]), order=line["gpu_ms"]),
        "yuan": amount(line["yuan"]),
        "id": Cell(line["id"], code=True),
        "state": Cell(line["state"], tag=texts["disputed"] if dispute else ""),
        "proof": Cell(texts["receipt"], href=_to_receipt(request, line), plain=" "),
        "act": Cell(texts["dispute"], href=_to_dispute(request, line), plain=" "),
    }


def _to_receipt(request: Request, line: dict[str, Any]) -> str:
    return link(request, "/usage/line", batch=str(line["batch"]), record=line["id"]) if line["counts"] else ""


def _to_dispute(request: Request, line: dict[str, Any]) -> str:
    if line.get("dispute"):
        return ""
    here = {name: request.query_params.get(name, "") for name in ("centre", "account", "before")}
    return link(request, "/usage", **here, batch=str(line["batch"]), record=line["id"]) + "#dispute"


@router.post("/usage/disputes", dependencies=[may("dispute.open", scoped=True)])
async def post_dispute(request: Request) -> Response:
    """Dispute a line of one's own usage; what was typed stays where something is wrong."""
    return await or_failure(request, _dispute(request))


async def _dispute(request: Request) -> Response:
    service, who = service_of(request), await principal(request)
    form = await request.form(max_files=0, max_fields=8)
    typed = {name: str(form.get(name, "")).strip() for name in ("centre", "account", "batch", "record", "reason")}
    if BACK in form:
        return await _usage(request, "", typed)
    async with service.database.read() as conn:
        own = (typed["centre"], typed["account"]) in await bound_accounts(conn, scope_of(who))
        source = await _source_of(conn, typed["batch"]) if own else None
    if source is None:
        return await _usage(request, "dispute_unknown", typed, 422)
    if not typed["reason"] or len(typed["reason"]) > REASON_MAX:
        return await _usage(request, "dispute_reason", typed, 422)
    line = Line(typed["centre"], typed["account"], source, typed["record"])
    await open_dispute(service.journal, line, Person(who.name, who.role.value), typed["reason"], scope_of(who))
    return RedirectResponse(link(request, "/usage", centre=line.centre, account=line.account), 303)


async def _source_of(conn: Connection, batch: str) -> str | None:
    """The source of the batch that a line came in."""
    if not (batch.isdecimal() and len(batch) < 19):
        return None
    return (await urns_of(conn, [int(batch)])).get(int(batch))


@router.get("/applications", dependencies=[may("application.read", scoped=True)])
async def get_applications(request: Request) -> Response:
    """Every application of the company, and the rounds that are open."""
    return await or_failure(request, _applications(request))


async def _applications(request: Request) -> Response:
    service, who = service_of(request), await principal(request)
    proceedings = service.proceedings
    with reading():
        async with service.database.read() as conn:
            rounds = await load_rounds(conn, proceedings.office)
            cases = await service.cases.applications(conn, scope_of(who))
    found = [application_line(proceedings.office, one) for one in cases]
    rows = [_application_row(request, one) for one in reversed(found)]
    if (file := exported(request, "applications", APPLICATIONS, rows)) is not None:
        return file
    open_now = [round_object(proceedings.office, one) for one in rounds if one.opens <= proceedings.today <= one.closes]
    return render(
        request, "applications.html", table=table(request, "applications", APPLICATIONS, rows), rounds=open_now
    )


def _application_row(request: Request, one: dict[str, Any]) -> Row:
    return {
        "id": Cell(one["id"], href=link(request, f"/applications/{one['id']}"), code=True),
        "project": Cell(one["project"]),
        "clause": Cell(one["clause"]),
        "state": Cell(one["state"][language_of(request)]),
        "received": Cell(one["received"] or "—"),
        "amount": _applied_for(one),
    }


def _applied_for(one: dict[str, Any]) -> Cell:
    if one["amount"] is None:
        return Cell("—")
    if one["amount_yuan"] is not None:
        return amount(one["amount_yuan"])
    return amount(one["amount"], one["unit"])._replace(tag=one["unit"], plain=f"{one['amount']} {one['unit']}")
