"""What was booked, and its proof: statements by month, the receipt of a usage line, and a voucher's statement that is complete.

Each download says how it is checked without this service. A holder and a centre see their own; another's is as one not there.
"""

from __future__ import annotations

import functools
import re
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from ledger.amount import CNY, format_units
from ledger.errors import Kind
from ledger.scope import Scope
from ledger.sql import Connection
from metering import month_store
from metering import store as metering_store
from metering.notice_store import urns_of
from suanquan.errors import ServiceError
from suanquan.http.auth import may, principal, scope_of
from suanquan.http.claims import receipts_of
from suanquan.http.routers import page_router
from suanquan.http.settlements import by_of
from suanquan.note_keys import load_verifier_keys
from suanquan.portal import figures
from suanquan.portal.frame import link, or_failure, reading, service_of
from suanquan.portal.table import Cell, Column, Later, Plain, Row, amount, exported, table
from suanquan.portal.work import render
from suanquan.use_cases.job_receipts import About
from suanquan.use_cases.line_disputes import bound_accounts
from suanquan.use_cases.month_statement import month_statement
from suanquan.use_cases.receipts import prove_entry, prove_event
from suanquan.use_cases.statements import VOUCHER, make_statement, require_own_account

MONTH = re.compile(r"20[0-9]{2}-(0[1-9]|1[0-2])")
NAME_MAX = 255
TLOG_PROOF = "text/plain; charset=utf-8"
router = page_router()

MONTHS = (
    Column("month", "month"), Column("centre", "centre"), Column("account", "accounts"),
    Column("records", "records", number=True), Column("hours", "gpu_hours", number=True),
    Column("yuan", "rated", number=True),
)  # fmt: skip


@router.get("/statements", dependencies=[may("statement.read", scoped=True)])
async def get_months(request: Request) -> Response:
    """Each account and month of which there is a statement; for officials those of a centre."""
    return await or_failure(request, _months(request))


async def _months(request: Request) -> Response:
    service, who = service_of(request), await principal(request)
    scope, centre = scope_of(who), request.query_params.get("centre", "")[:32]
    with reading():
        async with service.database.read() as conn:
            centres = await metering_store.load_centres(conn)
            found, months = await _usage(conn, scope, centre, request.query_params.get("month", "")[:7])
    found.sort(key=lambda one: -int(one["month"]))
    rows: list[Row] = [
        Later(functools.partial(_month_said, one), functools.partial(_month_row, request, one)) for one in found
    ]
    if (file := exported(request, "statements", MONTHS, rows)) is not None:
        return file
    return render(
        request, "statements.html", table=table(request, "statements", MONTHS, rows), centres=centres,
        centre=centre, official=scope.everything, months=months,
        month=f"{found[0]['month'] // 100}-{found[0]['month'] % 100:02d}" if found and months else "",
    )  # fmt: skip


async def _usage(conn: Connection, scope: Scope, centre: str, month: str) -> tuple[list[dict[str, Any]], list[str]]:
    """Sums by centre, account and month: of the holder's accounts, or of a centre, of which one month is shown out of those it has."""
    keys = ("centre", "account", "month")
    if scope.holder:
        own = [
            row
            for one, account in await bound_accounts(conn, scope)
            for row in await metering_store.usage_by(conn, *keys, centre=one, account=account)
        ]
        return own, []
    if not (wanted := centre if scope.everything else scope.centre):
        return [], []
    months = [f"{one // 100}-{one % 100:02d}" for one in await month_store.months_used(conn, wanted)]
    chosen = month if month in months else next(iter(months), "")
    if not chosen:
        return [], []
    return await metering_store.usage_by(conn, *keys, centre=wanted, month=int(chosen.replace("-", ""))), months


def _month_said(one: dict[str, Any]) -> Plain:
    texts = {
        "month": f"{one['month'] // 100}-{one['month'] % 100:02d}",
        "centre": one["centre"],
        "account": one["account"],
        "records": f"{one['records']:,}",
        "hours": figures.hours(one["gpu_ms"]),
        "yuan": figures.money(format_units(one["rated_units"], CNY)),
    }
    return Plain(texts, {"records": one["records"], "hours": one["gpu_ms"], "yuan": one["rated_units"]})


def _month_row(request: Request, one: dict[str, Any]) -> Row:
    month = f"{one['month'] // 100}-{one['month'] % 100:02d}"
    yuan = format_units(one["rated_units"], CNY)
    path = f"/statements/{one['centre']}/{quote(one['account'], safe='')}/{month}"
    return {
        "month": Cell(month, href=link(request, path)),
        "centre": Cell(one["centre"], code=True),
        "account": Cell(one["account"], code=True),
        "records": Cell(f"{one['records']:,}", order=one["records"]),
        "hours": Cell(figures.hours(one["gpu_ms"]), order=one["gpu_ms"]),
        "yuan": amount(yuan),
    }


@router.get("/statements/{centre}/{account}/{month}", dependencies=[may("statement.read", scoped=True)])
async def get_month(centre: str, account: str, month: str, request: Request) -> Response:
    """The statement of a month, with the file and the proof of each entry."""
    return await or_failure(request, _month(request, centre, account, month))


async def _month(request: Request, centre: str, account: str, month: str) -> Response:
    service = service_of(request)
    found = await _statement(request, centre, account, month)
    path = f"{quote(centre, safe='')}/{quote(account, safe='')}/{month}"
    keys = [str(key) for key in load_verifier_keys(service.home.log_keys)]
    return render(request, "month.html", found=found, path=path, keys=keys)


async def _statement(request: Request, centre: str, account: str, month: str) -> dict[str, Any]:
    """The statement, if there is anything to state: another's account is as one without usage.

    Raises:
        ServiceError: `statement-empty`.

    """
    service, who = service_of(request), await principal(request)
    known = MONTH.fullmatch(month) is not None and max(len(centre), len(account)) <= NAME_MAX
    with reading():
        number = int(month.replace("-", "")) if known else 0
        found = await month_statement(service, scope_of(who), centre, account, number) if known else None
    if found is None or not found["rows"]:
        zh, en = "这个账户在这个月没有入账的用量", "nothing was booked of this account in this month"
        raise ServiceError("statement-empty", zh, en, kind=Kind.NOT_FOUND)
    return found


@router.get(
    "/statements/{centre}/{account}/{month}/{event}.tlog-proof", dependencies=[may("statement.read", scoped=True)]
)
async def get_month_proof(centre: str, account: str, month: str, event: str, request: Request) -> Response:
    """The receipt of an entry that this statement names, and of no other."""
    return await or_failure(request, _month_proof(request, centre, account, month, event))


async def _month_proof(request: Request, centre: str, account: str, month: str, event: str) -> Response:
    found = await _statement(request, centre, account, month)
    if event not in {name for row in found["rows"] for name in row["events"]}:
        zh, en = "这张对账单里没有这条分录", "this statement has no such entry"
        raise ServiceError("event-unknown", zh, en, kind=Kind.NOT_FOUND)
    return _file(f"{event}.tlog-proof", await prove_event(service_of(request).log, event), TLOG_PROOF)


def _file(name: str, data: bytes, media: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return Response(data, media_type=media, headers=headers)


@router.get("/usage/line", dependencies=[may("receipt.read", scoped=True)])
async def get_line(request: Request) -> Response:
    """The receipt of a usage line: price, who paid, in which entries; signed, to be kept."""
    return await or_failure(request, _line(request))


async def _line(request: Request) -> Response:
    found = await _receipt(request)
    if request.query_params.get("format") == "jwt":
        return _file(f"{found['receipt'][:16]}.jwt", found["token"].encode(), "application/jwt")
    named = {name: request.query_params.get(name, "") for name in ("batch", "record")}
    return render(request, "line.html", found=found, named=named)


async def _receipt(request: Request) -> dict[str, Any]:
    """The receipt of the line that a URL names.

    Raises:
        ServiceError: `record-unknown`, also for another's.

    """
    service, who = service_of(request), await principal(request)
    batch, record = (request.query_params.get(name, "")[:NAME_MAX] for name in ("batch", "record"))
    with reading():
        async with service.database.read() as conn:
            number = int(batch) if batch.isdecimal() and len(batch) < 19 else 0
            source = (await urns_of(conn, [number])).get(number, "")
        return await receipts_of(service).receipt(by_of(who, None), About(source, record), service.issuer)


@router.get("/usage/line/{seq}.tlog-proof", dependencies=[may("receipt.read", scoped=True)])
async def get_line_proof(seq: str, request: Request) -> Response:
    """The proof that an entry which paid this line is in the log."""
    return await or_failure(request, _line_proof(request, seq))


async def _line_proof(request: Request, seq: str) -> Response:
    found = await _receipt(request)
    if seq not in {str(part["log_index"]) for part in found["paid"]}:
        zh, en = "这条用量没有这条分录", "this line has no such entry"
        raise ServiceError("entry-unknown", zh, en, kind=Kind.NOT_FOUND)
    return _file(f"entry-{seq}.tlog-proof", await prove_entry(service_of(request).log, int(seq)), TLOG_PROOF)


@router.post("/vouchers/{jti}/statement", dependencies=[may("statement.make", scoped=True)])
async def post_statement(jti: str, request: Request) -> Response:
    """A statement of the voucher's account until now, which proves to be complete."""
    return await or_failure(request, _voucher_statement(request, jti))


async def _voucher_statement(request: Request, jti: str) -> Response:
    service, who = service_of(request), await principal(request)
    name = f"{VOUCHER}/{jti}"
    await require_own_account(service.database, scope_of(who), name)
    data = await make_statement(service.log, service.journal, service.now_us * 1000, who.name, name, None, None)
    return _file(f"voucher-{jti}-statement.json", data, "application/json")
