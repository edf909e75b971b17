"""What figures are made of: vouchers, accounts and entries; cases and findings; and exports that are written as they are read."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Iterable
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from ledger.amount import ASSETS, ASSETS_BY_NUMBER, CNY, format_units
from ledger.cells import plain_cell
from metering.instants import parse_instant
from metering.store import usage_rows
from metering.zones import rfc3339
from suanquan.errors import ServiceError
from suanquan.http.auth import may
from suanquan.portal.frame import language_of, link, or_failure, reading, service_of
from suanquan.portal.office import every_application, render, size_of
from suanquan.portal.office_text import TEXTS
from suanquan.portal.table import BOM
from suanquan.service import Service
from suanquan.use_cases.books import account_lines
from suanquan.use_cases.findings import list_findings
from suanquan.use_cases.receipts import prove_event
from suanquan.use_cases.uptake import CLASSES, LETTERS, month_span
from subsidy.step_body import decode
from voucher import uptake_store
from voucher.uptake_store import Line, Part

ROWS = 50
STATES = ("issued", "available", "held", "redeemed", "expired", "returned")
FILTERS = ("scheme", "class", "issued", "ends", "holder", "unit", "unused")
TEXT_MAX = 255
router = APIRouter()


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
    except (KeyError, ValueError):
        raise ServiceError(
            "filter-malformed",
            f"筛选条件有误：月份形如 2026-11，类别为 {'、'.join(CLASSES)}，单位为 {'、'.join(ASSETS)}",
            f"a filter is wrong: months look like 2026-11, classes are {', '.join(CLASSES)}, units {', '.join(ASSETS)}",
        ) from None
    return Part(
        asset, query["scheme"], letters, query["holder"], *spans["issued"], *spans["ends"], bool(query["unused"])
    )


def _asked(request: Request) -> dict[str, str]:
    return {name: value for name in FILTERS if (value := request.query_params.get(name, "").strip()[:TEXT_MAX])}


@router.get("/office/vouchers", dependencies=[may("programme.read")])
async def get_vouchers(request: Request) -> Response:
    """Vouchers behind a figure, with their sum; in parts, or all of them as CSV."""
    return await or_failure(request, _vouchers(request))


async def _vouchers(request: Request) -> Response:
    service, part = service_of(request), part_of(request)
    if request.query_params.get("format") == "csv":
        return _file("vouchers", _voucher_rows(service, part, language_of(request)))
    after = request.query_params.get("after", "")[:64]
    with reading():
        async with service.database.read() as conn:
            sums = await uptake_store.sums_of(conn, part)
            found = await uptake_store.lines_of(conn, part, after, ROWS + 1)
            size = await size_of(conn)
    path, asked = "/office/vouchers", _asked(request)
    return render(
        request, "vouchers.html", sums=sums, lines=found[:ROWS], size=size, asked=dict.fromkeys(FILTERS, "") | asked, narrowed=bool(asked), states=STATES, classes=CLASSES,
        asset=ASSETS_BY_NUMBER[part.asset], schemes=list(service.catalog.series), after=after,
        following=link(request, path, **asked, after=found[ROWS - 1].jti) if len(found) > ROWS else "",
        start=link(request, path, **asked) if after else "", export=link(request, path, **asked, format="csv"),
    )  # fmt: skip


async def _voucher_rows(service: Service, part: Part, language: str) -> AsyncIterator[list[list[str]]]:
    texts, asset = TEXTS[language], ASSETS_BY_NUMBER[part.asset]
    names = ("jti", "scheme", "holder", "issued_on", "valid_to", "unit", *STATES)
    yield [[texts.get(name, name) for name in names]]
    async with service.database.read() as conn:
        async for lines in uptake_store.every_line(conn, part):
            yield [_voucher_line(one, asset) for one in lines]


def _voucher_line(one: Line, asset: Any) -> list[str]:
    figures = [format_units(getattr(one, state), asset) for state in STATES]
    return [one.jti, one.scheme, one.holder, rfc3339(one.issued_us), rfc3339(one.until_us), asset.code, *figures]


@router.get("/office/usage.csv", dependencies=[may("statement.read")])
async def get_usage(request: Request) -> Response:
    """Usage by centre, account, model and month, all of it."""
    return _file("usage", _usage_rows(service_of(request), language_of(request)))


async def _usage_rows(service: Service, language: str) -> AsyncIterator[list[list[str]]]:
    texts = TEXTS[language]
    names = ("centre", "account", "model", "month", "records", "gpu_hours", "rated")
    yield [[texts.get(name, name) for name in names]]
    async with service.database.read() as conn:
        async for rows in usage_rows(conn):
            yield [
                [
                    centre, account, model, f"{month // 100}-{month % 100:02d}", str(records),
                    f"{gpu_ms // 3_600_000}.{gpu_ms % 3_600_000 * 10**6 // 3_600_000:06d}", format_units(yuan, CNY),
                ]
                for centre, account, model, month, records, gpu_ms, yuan in rows
            ]  # fmt: skip


def _file(name: str, parts: AsyncIterator[list[list[str]]]) -> Response:
    """A CSV file, sent while it is read: nothing holds it whole."""

    async def text() -> AsyncIterator[str]:
        yield BOM
        async for rows in parts:
            yield _csv(rows)

    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    return StreamingResponse(text(), media_type="text/csv; charset=utf-8", headers=headers)


def _csv(rows: Iterable[list[str]]) -> str:
    out = io.StringIO(newline="")
    csv.writer(out).writerows([plain_cell(cell) for cell in row] for row in rows)
    return out.getvalue()


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
    for line in found["lines"]:
        line["at_us"] = parse_instant(line["recorded_at"])
    following = link(request, "/office/entries", account=name, before=found["next"]) if found["next"] else ""
    return render(request, "entries.html", found=found, size=size, following=following)


@router.get("/office/receipts/{event_id}", dependencies=[may("ledger.read")])
async def get_receipt(event_id: str, request: Request) -> Response:
    """The receipt of an entry: what anybody can check offline."""
    return await or_failure(request, _receipt(request, event_id))


async def _receipt(request: Request, event_id: str) -> Response:
    data = await prove_event(service_of(request).log, event_id)
    headers = {"Content-Disposition": f'attachment; filename="{event_id}.tlog-proof"'}
    return Response(data, media_type="text/plain; charset=utf-8", headers=headers)


@router.get("/office/queue", dependencies=[may("application.read")])
async def get_queue(request: Request) -> Response:
    """Open applications, those that have waited longest first."""
    return await or_failure(request, _queue(request))


async def _queue(request: Request) -> Response:
    service = service_of(request)
    with reading():
        async with service.database.read() as conn:
            found = await every_application(conn, service)
            size = await size_of(conn)
    cases = []
    for one in found:
        procedure, case = one.round.procedure, one.case
        if procedure.states[case.state].final:
            continue
        limit = case.until or case.last_notice_day
        following = procedure.next_steps(case.state)
        cases.append(
            {
                "id": one.id,
                "applicant": one.applicant_name,
                "project": one.project,
                "clause": one.clause,
                "state": procedure.states[case.state],
                "roles": sorted({role.value for step in following for role in step.roles}),
                "since": decode(one.rows[-1])["day"],
                "until": limit.isoformat() if limit else "",
                "next": following,
            }
        )
    cases.sort(key=lambda case: str(case["since"]))
    return render(request, "queue.html", cases=cases, size=size)


@router.get("/office/findings", dependencies=[may("finding.list")])
async def get_findings(request: Request) -> Response:
    """What the checks pointed out, newest first."""
    return await or_failure(request, _findings(request))


async def _findings(request: Request) -> Response:
    service = service_of(request)
    after = request.query_params.get("after", "")[:64]
    with reading():
        async with service.database.read() as conn:
            found = await list_findings(conn, after=after, limit=ROWS)
            size = await size_of(conn)
    following = link(request, "/office/findings", after=found["next"]) if found["next"] else ""
    return render(request, "findings.html", found=found["findings"], size=size, following=following)
