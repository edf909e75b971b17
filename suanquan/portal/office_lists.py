"""What figures are made of: vouchers, accounts and entries; and files that are written as they are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ledger.amount import ASSETS, ASSETS_BY_NUMBER, CNY, Asset, format_units
from metering.instants import parse_instant
from suanquan.errors import ServiceError
from suanquan.http.auth import may
from suanquan.http.routers import page_router
from suanquan.portal import exports, figures
from suanquan.portal.frame import link, or_failure, reading, service_of
from suanquan.portal.office import render, size_of, texts_of
from suanquan.portal.table import Cell, Chosen, Column, Row, book_of, paged, shown_columns, title_of, view_of, worded
from suanquan.service import Service
from suanquan.use_cases.books import account_lines
from suanquan.use_cases.receipts import prove_event
from suanquan.use_cases.uptake import CLASSES, LETTERS, ending_within, month_span
from voucher import uptake_store
from voucher.uptake_store import Line, Part

ROWS = 50
STATES = ("issued", "available", "held", "redeemed", "expired", "returned")
FILTERS = ("scheme", "class", "issued", "ends", "holder", "unit", "unused", "used", "year", "within")
DAYS_MAX = 3_660
TEXT_MAX = 255
VOUCHERS = (
    Column("jti", "jti", key=True), Column("scheme", "scheme", extra=True), Column("holder", "holder"),
    *(Column(state, state, number=True) for state in STATES),
    Column("issued_on", "issued_on", extra=True), Column("until", "valid_to"), Column("unit", "unit", extra=True),
)  # fmt: skip
ENTRIES = (
    Column("entry", "entry"), Column("kind", "kind"), Column("recorded", "recorded_at"), Column("debits", "debits", number=True),
    Column("credits", "credits", number=True), Column("balance", "balance", number=True), Column("held", "on_hold", number=True),
    Column("proof", "proof", key=True),
)  # fmt: skip
router = page_router()


def part_of(request: Request) -> Part:
    """The part of all vouchers that a URL names.

    Raises:
        ServiceError: `filter-malformed`.

    """
    query = {name: request.query_params.get(name, "").strip()[:TEXT_MAX] for name in FILTERS}
    spans = {"issued": (0, 0), "ends": (0, 0)}
    try:
        asset = ASSETS[query["unit"]].number if query["unit"] else CNY.number
        for name in spans:
            if query[name]:
                spans[name] = month_span(query[name])
        letters = LETTERS[query["class"]] if query["class"] else ()
        year, within = (_whole(query[name], most) for name, most in (("year", 9_999), ("within", DAYS_MAX)))
    except (KeyError, ValueError):
        raise ServiceError(
            "filter-malformed",
            f"筛选条件有误：月份形如 2026-11，类别为 {'、'.join(CLASSES)}，单位为 {'、'.join(ASSETS)}，年度和天数为整数",
            f"a filter is wrong: months look like 2026-11, classes are {', '.join(CLASSES)}, units {', '.join(ASSETS)}, "
            "years and days whole numbers",
        ) from None
    if within:
        spans["ends"] = ending_within(service_of(request).now_us, within)
    return Part(
        asset, query["scheme"], letters, query["holder"], *spans["issued"], *spans["ends"], bool(query["unused"]),
        bool(query["used"]), year,
    )  # fmt: skip


def _whole(text: str, most: int) -> int:
    """A whole number up to `most`, 0 for nothing.

    Raises:
        ValueError: it is something else.

    """
    if not text:
        return 0
    if not (text.isascii() and text.isdecimal()) or not 0 < int(text[:8]) <= most:
        raise ValueError
    return int(text)


def _asked(request: Request) -> dict[str, str]:
    return {name: value for name in FILTERS if (value := request.query_params.get(name, "").strip()[:TEXT_MAX])}


@router.get("/office/vouchers", dependencies=[may("programme.read")])
async def get_vouchers(request: Request) -> Response:
    """Vouchers behind a figure, with their sum; in parts, or all of them as a file."""
    return await or_failure(request, _vouchers(request))


async def _vouchers(request: Request) -> Response:
    service, part = service_of(request), part_of(request)
    if exports.form_of(request):
        return await long_file(request, "vouchers", VOUCHERS, _voucher_rows(request, service, part))
    after = request.query_params.get("after", "")[:64]
    with reading():
        async with service.database.read() as conn:
            sums = await uptake_store.sums_of(conn, part)
            found = await uptake_store.lines_of(conn, part, after, ROWS + 1)
            size = await size_of(conn)
    path, asked, asset = "/office/vouchers", _asked(request), ASSETS_BY_NUMBER[part.asset]
    view = asked | view_of(request, VOUCHERS)
    chosen = Chosen(
        [_voucher_row(request, one, asset) for one in found[:ROWS]],
        sums.vouchers,
        link(request, path, **view, after=found[ROWS - 1].jti) if len(found) > ROWS else "",
        link(request, path, **view) if after else "",
        {state: figures.amount(sums[STATES.index(state) + 2], asset) for state in STATES},
    )
    return render(
        request, "vouchers.html", size=size, asked=dict.fromkeys(FILTERS, "") | asked, narrowed=bool(asked),
        classes=CLASSES, asset=asset, sums=sums, schemes=list(service.catalog.series), table=paged(request, "vouchers", VOUCHERS, chosen, asked),
    )  # fmt: skip


def _said(texts: Any, one: Line, asset: Asset) -> dict[str, str]:
    """A voucher in plain words, by column."""
    amounts = {state: figures.money(format_units(getattr(one, state), asset), asset.code) for state in STATES}
    return amounts | {
        "jti": one.jti,
        "scheme": one.scheme,
        "holder": one.holder,
        "issued_on": figures.day(one.issued_us),
        "until": figures.day(one.until_us),
        "unit": texts[f"unit_{asset.code}"],
    }


def _voucher_row(request: Request, one: Line, asset: Asset) -> Row:
    said = _said(texts_of(request), one, asset)
    cells = {name: Cell(text) for name, text in said.items()}
    cells |= {state: Cell(figures.amount(getattr(one, state), asset), said[state]) for state in STATES}
    return cells | {
        "jti": Cell(one.jti, href=link(request, "/office/entries", account=f"voucher/{one.jti}"), code=True),
        "holder": Cell(one.holder, href=link(request, "/office/vouchers", holder=one.holder), code=True),
    }


async def _voucher_rows(request: Request, service: Service, part: Part) -> exports.Parts:
    texts, asset = texts_of(request), ASSETS_BY_NUMBER[part.asset]
    names = [column.name for column in shown_columns(request, VOUCHERS)]
    yield [[texts[column.text] for column in shown_columns(request, VOUCHERS)]]
    async with service.database.read() as conn:
        async for lines in uptake_store.every_line(conn, part):
            yield [[said[name] for name in names] for said in (_said(texts, one, asset) for one in lines)]


async def long_file(request: Request, name: str, columns: Sequence[Column], parts: exports.Parts) -> Response:
    """A long list as a file, with the columns that the address chooses."""
    book = book_of(request, name, title_of(request, texts_of(request)))
    return await exports.streamed(request, book, [column.number for column in shown_columns(request, columns)], parts)


@router.get("/office/entries", dependencies=[may("ledger.read")])
async def get_entries(request: Request) -> Response:
    """Entries of a ledger account, newest first, each with its receipt."""
    return await or_failure(request, _entries(request))


async def _entries(request: Request) -> Response:
    service = service_of(request)
    name = request.query_params.get("account", "")[:TEXT_MAX]
    before = request.query_params.get("before") or None
    with reading():
        async with service.database.read() as conn:
            found = await account_lines(conn, name, before, ROWS)
            size = await size_of(conn)
    if exports.form_of(request):
        return await long_file(request, "entries", ENTRIES, _entry_rows(request, name))
    path, view = "/office/entries", {"account": name} | view_of(request, ENTRIES)
    chosen = Chosen(
        [_entry_row(request, line, found["asset"]) for line in found["lines"]],
        -1,
        link(request, path, **view, before=found["next"]) if found["next"] else "",
        link(request, path, **view) if before else "",
    )
    shown = paged(request, "entries", ENTRIES, chosen, {"account": name})
    return render(request, "entries.html", found=found, size=size, table=shown)


def _entry_row(request: Request, line: dict[str, Any], unit: str) -> Row:
    at_us, receipt = parse_instant(line["recorded_at"]), link(request, f"/office/receipts/{line['event_id']}")
    figures_of = {
        name: Cell(figures.fine(line[name], unit), figures.money(line[name], unit))
        for name in ("debits", "credits", "balance", "held")
    }
    return figures_of | {
        "entry": Cell(f"{line['seq']:,}", str(line["seq"])),
        "kind": Cell(line["kind"]),
        "recorded": Cell(figures.instant(at_us, texts_of(request)), line["recorded_at"]),
        "proof": Cell(f"{line['event_id'][:12]}…", line["event_id"], receipt, code=True),
    }


async def _entry_rows(request: Request, name: str) -> exports.Parts:
    texts, columns, form = texts_of(request), shown_columns(request, ENTRIES), exports.form_of(request)
    yield [[texts[column.text] for column in columns]]
    before: str | None = None
    async with service_of(request).database.read() as conn:
        while True:
            found = await account_lines(conn, name, before, ROWS * 10)
            rows = [_entry_row(request, line, found["asset"]) for line in found["lines"]]
            yield [[worded(row[column.name], column, form) for column in columns] for row in rows]
            if not (before := found["next"]):
                return


@router.get("/office/receipts/{event_id}", dependencies=[may("ledger.read")])
async def get_receipt(event_id: str, request: Request) -> Response:
    """The receipt of an entry: what anybody can check offline."""
    return await or_failure(request, _receipt(request, event_id))


async def _receipt(request: Request, event_id: str) -> Response:
    data = await prove_event(service_of(request).log, event_id)
    headers = {"Content-Disposition": f'attachment; filename="{event_id}.tlog-proof"'}
    return Response(data, media_type="text/plain; charset=utf-8", headers=headers)
