"""What figures of usage are made of: monthly totals by account, months that lack something, and accounts of the ledger under a name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ledger import store as ledger_store
from ledger.amount import ASSETS_BY_NUMBER, CNY, format_units
from ledger.state import Account
from metering import month_store
from metering import store as metering_store
from metering.month_store import Declared
from metering.store import UsageKey, UsagePart, UsageRow, usage_page, usage_rows
from suanquan.catalog import Catalog
from suanquan.errors import ServiceError
from suanquan.http.auth import may
from suanquan.http.routers import page_router
from suanquan.portal import exports, figures
from suanquan.portal.frame import language_of, link, or_failure, reading, service_of
from suanquan.portal.office import render, size_of, texts_of
from suanquan.portal.office_lists import ROWS, TEXT_MAX, long_file
from suanquan.portal.office_text import TEXTS
from suanquan.portal.table import Cell, Chosen, Column, Row, exported, paged, shown_columns, table, view_of

USAGE = (
    Column("centre", "centre"), Column("account", "account"), Column("model", "model"), Column("month", "month"),
    Column("records", "records", number=True), Column("hours", "gpu_hours", number=True),
    Column("compute", "compute", number=True), Column("yuan", "rated", number=True),
)  # fmt: skip
GAPS = (
    Column("centre", "centre"), Column("account", "account"), Column("month", "month"),
    Column("state", "gap_state"), Column("declared", "declared_records", number=True), Column("arrived", "arrived_records", number=True),
    Column("declared_hours", "declared_hours", number=True), Column("arrived_hours", "arrived_hours", number=True),
    Column("key", "gap_key", key=True, extra=True),
)  # fmt: skip
ACCOUNTS = (
    Column("account", "account", key=True), Column("unit", "unit"), Column("debits", "debits", number=True),
    Column("credits", "credits", number=True), Column("balance", "balance", number=True),
)  # fmt: skip
FILTERS = ("centre", "account", "model", "month")
UNDER_MAX = 4
router = page_router()


def _asked(request: Request, names: Sequence[str]) -> dict[str, str]:
    return {name: value for name in names if (value := request.query_params.get(name, "").strip()[:TEXT_MAX])}


def month_of(text: str) -> int:
    """A month such as 2026-11 as 202611, 0 for nothing.

    Raises:
        ServiceError: `month-invalid`.

    """
    year, dash, month = text.partition("-")
    if not text:
        return 0
    if not (dash and len(year) == 4 and len(month) == 2 and (year + month).isascii() and (year + month).isdecimal()):
        raise ServiceError(
            "month-invalid", f"月份“{text[:20]}”应形如 2026-10", f"the month {text[:20]!r} must look like 2026-10"
        )
    return int(year + month)


def said_month(month: int) -> str:
    """202611 as 2026-11."""
    return f"{month // 100}-{month % 100:02d}"


@router.get("/office/usage", dependencies=[may("statement.read")])
async def get_usage(request: Request) -> Response:
    """Monthly totals behind a figure, with their sum; each leads to its account's lines."""
    return await or_failure(request, _usage(request))


@router.get("/office/usage.csv", dependencies=[may("statement.read")])
async def get_usage_file(request: Request) -> Response:
    """The same as a file, whatever its address names; of everything if it names nothing."""
    return await or_failure(request, long_file(request, "usage", USAGE, _usage_rows(request)))


def _part(request: Request) -> UsagePart:
    asked = _asked(request, FILTERS)
    return UsagePart(
        asked.get("centre", ""), asked.get("account", ""), asked.get("model", ""), month_of(asked.get("month", ""))
    )


def _after(text: str) -> UsageKey:
    parts = text.split("~")
    if len(parts) != 4 or not parts[3].isdecimal() or len(parts[3]) > 6:
        return "", "", "", 0
    return parts[0], parts[1], parts[2], int(parts[3])


async def _usage(request: Request) -> Response:
    service, part = service_of(request), _part(request)
    if exports.form_of(request):
        return await long_file(request, "usage", USAGE, _usage_rows(request))
    after = request.query_params.get("after", "")[: 2 * TEXT_MAX]
    with reading():
        async with service.database.read() as conn:
            found = await usage_page(conn, part, _after(after), ROWS + 1)
            sums = await metering_store.usage_by(conn, "model", **part.wanted())
            centres = await metering_store.load_centres(conn)
            size = await size_of(conn)
    asked, path = _asked(request, FILTERS), "/office/usage"
    view, catalog = asked | view_of(request, USAGE), service.catalog
    last = "~".join(map(str, found[ROWS - 1][:4])) if len(found) > ROWS else ""
    chosen = Chosen(
        [_usage_row(request, one, catalog) for one in found[:ROWS]],
        -1,
        link(request, path, **view, after=last) if last else "",
        link(request, path, **view) if after else "",
        {
            "records": f"{sum(one['records'] for one in sums):,}",
            "hours": figures.hours(sum(one["gpu_ms"] for one in sums)),
            "compute": figures.pflops_hours(sum(one["gpu_ms"] * _gflops(catalog, one["model"]) for one in sums)),
            "yuan": figures.amount(sum(one["rated_units"] for one in sums)),
        },
    )
    return render(
        request, "usage.html", size=size, asked=dict.fromkeys(FILTERS, "") | asked, narrowed=bool(asked), centres=centres,
        table=paged(request, "usage", USAGE, chosen, asked),
    )  # fmt: skip


def _gflops(catalog: Catalog, model: str) -> int:
    return catalog.capacity_gflops.get(model, 0)


def _usage_row(request: Request, row: UsageRow, catalog: Catalog) -> Row:
    centre, account, model, month, records, gpu_ms, yuan = row
    return {
        "centre": Cell(centre, code=True),
        "account": Cell(account, href=link(request, "/usage", centre=centre, account=account), code=True),
        "model": Cell(model),
        "month": Cell(said_month(month)),
        "records": Cell(f"{records:,}"),
        "hours": Cell(figures.hours(gpu_ms)),
        "compute": Cell(figures.pflops_hours(gpu_ms * _gflops(catalog, model))),
        "yuan": Cell(figures.amount(yuan)),
    }


def _usage_said(row: UsageRow, catalog: Catalog) -> dict[str, str]:
    """A monthly total in plain words, by column."""
    centre, account, model, month, records, gpu_ms, yuan = row
    return {
        "centre": centre,
        "account": account,
        "model": model,
        "month": said_month(month),
        "records": str(records),
        "hours": f"{gpu_ms // 3_600_000}.{gpu_ms % 3_600_000 * 10**6 // 3_600_000:06d}",
        "compute": figures.pflops_hours(gpu_ms * _gflops(catalog, model)).replace(",", ""),
        "yuan": figures.money(format_units(yuan, CNY)),
    }


async def _usage_rows(request: Request) -> exports.Parts:
    texts, catalog, columns = texts_of(request), service_of(request).catalog, shown_columns(request, USAGE)
    yield [[texts[column.text] for column in columns]]
    async with service_of(request).database.read() as conn:
        async for rows in usage_rows(conn, _part(request)):
            said = [_usage_said(row, catalog) for row in rows]
            yield [[one[column.name] for column in columns] for one in said]


@router.get("/office/gaps", dependencies=[may("statement.read")])
async def get_gaps(request: Request) -> Response:
    """Account-months that lack usage; with `every` those that are whole, too."""
    return await or_failure(request, _gaps(request))


async def _gaps(request: Request) -> Response:
    service, asked = service_of(request), _asked(request, ("centre", "month", "every"))
    with reading():
        async with service.database.read() as conn:
            month = month_of(asked.get("month", ""))
            declared = await month_store.list_declared(conn, asked.get("centre", ""), month)
            centres = await metering_store.load_centres(conn)
            size = await size_of(conn)
    texts = texts_of(request)
    lacking = [one for one in declared if one.lacks]
    rows = [
        _gap_row(request, one, texts["lacks" if one.lacks else "whole"])
        for one in (declared if asked.get("every") else lacking)
    ]
    if (file := exported(request, "gaps", GAPS, rows, TEXTS)) is not None:
        return file
    return render(
        request, "gaps.html", size=size, asked=dict.fromkeys(("centre", "month", "every"), "") | asked, centres=centres,
        declared=len(declared), lacking=len(lacking), table=table(request, "gaps", GAPS, rows), english=language_of(request) == "en",
    )  # fmt: skip


def _gap_row(request: Request, one: Declared, state: str) -> Row:
    return {
        "centre": Cell(one.centre, code=True),
        "account": Cell(one.account, href=link(request, "/usage", centre=one.centre, account=one.account), code=True),
        "month": Cell(said_month(one.month)),
        "state": Cell(state),
        "declared": Cell(f"{one.records:,}", order=one.records),
        "arrived": Cell(f"{one.arrived:,}", order=one.arrived),
        "declared_hours": Cell(figures.hours(one.gpu_ms), order=one.gpu_ms),
        "arrived_hours": Cell(figures.hours(one.arrived_ms), order=one.arrived_ms),
        "key": Cell(f"{one.centre}/{one.account}/{said_month(one.month)}", code=True),
    }


@router.get("/office/accounts", dependencies=[may("ledger.read")])
async def get_accounts(request: Request) -> Response:
    """Accounts of the ledger whose names begin so, with their sum; each leads to its entries."""
    return await or_failure(request, _accounts(request))


async def _accounts(request: Request) -> Response:
    service, unit = service_of(request), request.query_params.get("unit", "")
    under = [name[:TEXT_MAX] for name in request.query_params.getlist("under")][:UNDER_MAX]
    if not under or not all(name.endswith("/") for name in under):
        raise ServiceError(
            "prefix-malformed", "名称的前一部分应以 / 结尾，如 self-pay/sj01/", "the beginning of a name ends with /, such as self-pay/sj01/"
        )  # fmt: skip
    with reading():
        async with service.database.read() as conn:
            named = [one for name in under for one in await ledger_store.accounts_under(conn, name)]
            size = await size_of(conn)
    found = [one for one in named if unit in {"", ASSETS_BY_NUMBER[one.asset].code}]
    rows = [_account_row(request, one) for one in found]
    if (file := exported(request, "accounts", ACCOUNTS, rows, TEXTS)) is not None:
        return file
    shown = table(request, "accounts", ACCOUNTS, rows)
    return render(request, "accounts.html", size=size, under=under, table=shown._replace(sums=_account_sums(found)))


def _account_sums(found: Sequence[Account]) -> dict[str, Any] | None:
    """Sums over all of them, if they count the same."""
    if len({one.asset for one in found}) != 1:
        return None
    asset = ASSETS_BY_NUMBER[found[0].asset]
    sums = {
        "debits": sum(one.debits_posted for one in found),
        "credits": sum(one.credits_posted for one in found),
        "balance": sum(one.balance for one in found),
    }
    return {name: figures.amount(units, asset) for name, units in sums.items()}


def _account_row(request: Request, one: Account) -> Row:
    asset = ASSETS_BY_NUMBER[one.asset]
    units = {"debits": one.debits_posted, "credits": one.credits_posted, "balance": one.balance}
    cells = {
        name: Cell(figures.amount(value, asset), figures.money(_signed(value, asset), asset.code), order=value)
        for name, value in units.items()
    }
    return cells | {
        "account": Cell(one.name, href=link(request, "/office/entries", account=one.name), code=True),
        "unit": Cell(texts_of(request)[f"unit_{asset.code}"]),
    }


def _signed(units: int, asset: Any) -> str:
    return f"{'-' if units < 0 else ''}{format_units(abs(units), asset)}"
