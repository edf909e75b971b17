"""Files for who asks a page for one: `format=csv|xlsx|pdf` in its address gives the tables that it shows, `table=` one of them."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, BinaryIO, cast

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse

from suanquan.errors import ServiceError
from suanquan.letters.render import own_fonts
from suanquan.portal.files import comma, excel, paper, seen
from suanquan.portal.files.sheet import FORMATS, Book, Head, Sheet
from suanquan.service import Service

TYPES = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "pdf": "application/pdf",
}
PIECE_BYTES = 1 << 18
Parts = AsyncIterator[list[list[str]]]
"""Rows as they are read; the first part is the headings alone."""


class Later(Response):
    """A file that is yet to be made, which takes a thread of its own: see `finished`."""

    def __init__(self, form: str, book: Book) -> None:
        super().__init__()
        self.form, self.book = form, book


def form_of(request: Request) -> str:
    """The form of file that an address asks for; empty for a page."""
    form = request.query_params.get("format", "")
    return form if form in FORMATS else ""


def headers_of(name: str, form: str) -> dict[str, str]:
    """What names the file."""
    return {"Content-Disposition": f'attachment; filename="{name}.{form}"'}


def about(request: Request, texts: Mapping[str, str], as_of: str) -> list[tuple[str, str]]:
    """Where the tables of a file are from, as of when: what its last sheet or its first lines say."""
    query = "&".join(f"{name}={value}" for name, value in request.query_params.multi_items() if name != "format")
    return [
        (texts["export_as_of"], as_of),
        (texts["export_address"], request.url.path + (f"?{query}" if query else "")),
        (texts["export_exact"], texts["export_exact_note"]),
    ]


def mark_of(service: Service, texts: Mapping[str, str]) -> str:
    """The words of the sandbox's band, where it is one."""
    return texts["sandbox"] if service.settings.sandbox else ""


async def finished(request: Request, response: Response, texts: Mapping[str, str]) -> Response:
    """An answer whose file is made; a page, where its address asks for a file, turned into one.

    Raises:
        ServiceError: `no-table` for a page without any, and what `paper.made` raises.

    """
    service: Service = request.app.state.service
    if isinstance(response, Later):
        return await _made(service, response.form, response.book)
    form = form_of(request)
    if not form or not isinstance(response, HTMLResponse) or response.status_code != 200:
        return response
    found = await asyncio.to_thread(seen.read, bytes(response.body).decode())
    wanted = request.query_params.get("table", "")
    sheets = [sheet for sheet in found.sheets if wanted in {"", sheet.key}]
    if not sheets:
        raise ServiceError("no-table", "本页没有这张表可以导出", "this page has no such table to export")
    name = request.url.path.strip("/").replace("/", "-") or "home"
    told = [pair for pair in about(request, texts, found.as_of) if pair[1]]
    book = Book(name, found.title, told, sheets, texts["export_language"], mark_of(service, texts))
    return await _made(service, form, book)


async def _made(service: Service, form: str, book: Book) -> Response:
    make: Callable[[], bytes] = {
        "csv": lambda: comma.made(book),
        "xlsx": lambda: excel.made(book),
        "pdf": lambda: paper.made(book, service.now_us // 1_000_000, own_fonts(service.home.path / "fonts")),
    }[form]
    data = await asyncio.to_thread(make)
    return Response(data, media_type=TYPES[form], headers=headers_of(book.name, form))


async def streamed(request: Request, book: Book, numbers: Sequence[bool], parts: Parts) -> Response:
    """A long list as the file asked for, made while it is read: CSV is sent at once, Excel is written to disk in between.

    `book` has no sheets: their rows are `parts`. A PDF is refused where there are too many rows for it.
    """
    form = form_of(request) or "csv"
    service: Service = request.app.state.service
    if form == "xlsx":
        return await _workbook(book, numbers, parts)
    if form == "pdf":
        return await _made(service, form, book._replace(sheets=[await _sheet(book, numbers, parts)]))

    async def text() -> AsyncIterator[str]:
        yield comma.BOM
        async for rows in parts:
            yield comma.lines(rows)

    return StreamingResponse(text(), media_type=TYPES["csv"], headers=headers_of(book.name, "csv"))


def _heads(numbers: Sequence[bool], texts: Sequence[str]) -> list[Head]:
    return [Head(text, number) for text, number in zip(texts, numbers, strict=True)]


async def _sheet(book: Book, numbers: Sequence[bool], parts: Parts) -> Sheet:
    rows: list[list[str]] = []
    async for some in parts:
        rows += some
        if len(rows) * len(numbers) > paper.CELLS_MAX + len(numbers):
            raise paper.too_long(len(rows) - 1)
    return Sheet(book.name, book.title, _heads(numbers, rows[0]), rows[1:])


async def _workbook(book: Book, numbers: Sequence[bool], parts: Parts) -> Response:
    file = _scratch()
    workbook = excel.Workbook(file, book.language)
    try:
        await _fill(workbook, book, numbers, parts)
    finally:
        await asyncio.to_thread(
            workbook.finish, book.title, book.about
        )  # also where reading failed: it removes its files
    file.seek(0)
    return StreamingResponse(_pieces(file), media_type=TYPES["xlsx"], headers=headers_of(book.name, "xlsx"))


def _scratch() -> BinaryIO:
    """A file without a name: nothing stays of it when a reader goes away."""
    return cast("BinaryIO", tempfile.TemporaryFile(prefix="suanquan-"))


async def _fill(workbook: excel.Workbook, book: Book, numbers: Sequence[bool], parts: Parts) -> None:
    """Write all parts.

    Raises:
        ServiceError: `export-too-long`.

    """
    heads, count = _heads(numbers, (await anext(parts))[0]), 0
    async for rows in parts:
        if not count:
            workbook.begin(book.title, heads, rows[:200])
        count += len(rows)
        if count >= excel.ROWS_MAX:
            raise ServiceError(
                "export-too-long",
                f"超过 Excel 的上限 {excel.ROWS_MAX:,} 行；请缩小筛选范围或导出 CSV",
                f"more than the {excel.ROWS_MAX:,} rows of Excel; narrow the filter or export to CSV",
            )
        await asyncio.to_thread(workbook.add, rows)
    if not count:
        workbook.begin(book.title, heads)


async def _pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    with file:
        while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
            yield piece


def links(link: Callable[..., str], path: str, rest: Mapping[str, Any]) -> dict[str, str]:
    """Where a view's files are, by form."""
    return {form: link(path, **{**rest, "format": form}) for form in FORMATS}
