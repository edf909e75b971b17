"""Spreadsheets that people send: the cells of the first sheet of an Excel workbook (ISO/IEC 29500), or of a CSV file.

Nothing is computed, and nothing guessed: a formula, a merged cell or an error value is a fault at its address. What no office
should open is refused before it is expanded (`voucher.settlement.upload`); XML with a document type is refused unread.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import NamedTuple
from xml.parsers import expat  # nosec B407 -- document types, and so all entities, are refused

from suanquan.errors import ServiceError
from voucher.settlement.upload import fault_of

FILE_BYTES_MAX = 4 * 1024 * 1024
PART_BYTES_MAX = 32 * 1024 * 1024
ROWS_MAX = 10_000
COLUMNS_MAX = 60
TEXT_MAX = 2_000
_OLD = b"\xd0\xcf\x11\xe0"
_DATES = frozenset({*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)})
"""Numbers of built-in formats that show a number as a date or time (ISO/IEC 29500-1, 18.8.30)."""
_DAY_ZERO, _DAY_ZERO_1904 = date(1899, 12, 30), date(1904, 1, 1)
_QUOTED = re.compile(r'"[^"]*"|\[[^\]]*\]|\\.')
_ADDRESS = re.compile(r"([A-Z]{1,3})([1-9][0-9]{0,6})")
_ESCAPED = re.compile("_x((?![Dd][89A-Fa-f])[0-9A-Fa-f]{4})_")
"""How a workbook writes a character that XML cannot hold (ST_Xstring, ISO/IEC 29500-1, 22.9.2.19); halves of a pair stay as they are."""


class Cell(NamedTuple):
    """What a cell says. `kind` is `text`, `number`, `day` (a number shown as a date; `text` is that day) or `fault`."""

    text: str
    kind: str = "text"
    zh: str = ""
    en: str = ""


class Line(NamedTuple):
    """A row that says something: its number in the sheet, and its cells by column, counted from nought."""

    number: int
    cells: Mapping[int, Cell]


class Grid(NamedTuple):
    """The sheet that was read: its name (empty for CSV) and its lines."""

    sheet: str
    lines: list[Line]


def address(column: int, row: int) -> str:
    """`B3` of a column counted from nought and a row counted from one."""
    letters, number = "", column + 1
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(65 + rest) + letters
    return f"{letters}{row}"


def read(name: str, body: bytes) -> Grid:
    """The cells of a file.

    Raises:
        ServiceError: `sheet-malformed`, with what to send instead.

    """
    if not body:
        raise _malformed("文件是空的", "the file is empty")
    if len(body) > FILE_BYTES_MAX:
        most = FILE_BYTES_MAX // 1024**2
        raise _malformed(f"文件超过 {most} MiB", f"the file is over {most} MiB")
    kind = name.rpartition(".")[2].lower()
    if kind == "csv":
        return _trimmed(Grid("", list(_csv_lines(_decoded(body)))))
    if kind != "xlsx" or body.startswith(_OLD):
        raise _malformed(
            "只收 .xlsx 和 .csv；旧版 .xls、含宏的 .xlsm 或加密的文件请另存为 .xlsx（不加密）",
            "it must be .xlsx or .csv; save an old .xls, an .xlsm with macros or an encrypted file as a plain .xlsx",
        )
    if (fault := fault_of(name, body)) is not None:
        raise _malformed(*fault)
    return _trimmed(_Workbook(body).grid())


def _malformed(zh: str, en: str) -> ServiceError:
    return ServiceError("sheet-malformed", f"这个文件没有读入：{zh}", f"the file was not read: {en}")


def _trimmed(grid: Grid) -> Grid:
    """Without lines and cells that say nothing: rows that were only formatted are no rows."""
    lines = []
    for line in grid.lines:
        cells = {at: cell for at, cell in line.cells.items() if cell.text.strip() or cell.kind == "fault"}
        if cells:
            lines.append(Line(line.number, cells))
    if len(lines) > ROWS_MAX + 1:
        raise _malformed(f"超过 {ROWS_MAX:,} 行，请分成几份", f"it has over {ROWS_MAX:,} rows; divide it")
    if any(at >= COLUMNS_MAX for line in lines for at in line.cells):
        raise _malformed(f"超过 {COLUMNS_MAX} 列", f"it has over {COLUMNS_MAX} columns")
    return Grid(grid.sheet, lines)


def _decoded(body: bytes) -> str:
    """Text of a CSV file: UTF-8, or what Excel writes in China."""
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            text = body.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise _malformed("不是文本：CSV 应为 UTF-8 或 GB18030", "it is no text: a CSV file is UTF-8 or GB18030")


def _csv_lines(text: str) -> Iterator[Line]:
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for number, row in enumerate(rows, 1):
            yield Line(number, {at: _plain(said) for at, said in enumerate(row)})
    except csv.Error as fault:
        raise _malformed(f"第 {rows.line_num} 行：{fault}", f"line {rows.line_num}: {fault}") from None


def _plain(said: str) -> Cell:
    """A cell of text; what a spreadsheet would compute is a fault."""
    text = said.strip()
    if text.startswith("="):
        return _formula(text)
    if len(text) > TEXT_MAX or not text.isprintable():
        return Cell(text[:40], "fault", "应为可见字符，且不过长", "must be printable, and no longer than a line or two")
    return Cell(text)


def _formula(text: str) -> Cell:
    zh, en = (
        "是公式，请改为它的值（复制后“选择性粘贴—数值”）",
        "is a formula; put its value there (paste special, values)",
    )
    return Cell(text[:40], "fault", zh, en)


class _Workbook:
    """An Excel workbook as far as cells go."""

    def __init__(self, body: bytes) -> None:
        self._archive = zipfile.ZipFile(io.BytesIO(body))
        self._zero = _DAY_ZERO
        self._shared: list[str] = []
        self._dates: list[bool] = []

    def grid(self) -> Grid:
        """The first sheet that is not hidden.

        Raises:
            ServiceError: `sheet-malformed`.

        """
        try:
            with self._archive:
                name, part = self._first_sheet()
                self._shared = list(self._strings())
                self._dates = list(self._formats())
                return Grid(name, self._lines(part))
        except (KeyError, IndexError, ValueError, expat.ExpatError, zipfile.BadZipFile, OSError, EOFError) as fault:
            raise _malformed(
                "不是 Excel 工作簿或已损坏，请用表格软件另存为 .xlsx", f"it is no workbook, or broken: {fault!r}"[:200]
            ) from None

    def _events(self, part: str) -> Iterator[tuple[str, dict[str, str], str]]:
        """Each element of a part with its attributes, and once it ends again with a slash and its text."""
        with self._archive.open(part) as file:
            data = file.read(PART_BYTES_MAX + 1)
        if len(data) > PART_BYTES_MAX:
            raise _malformed("工作表过大，请只留一张表", "its sheet is too large; keep one table alone")
        events: list[tuple[str, dict[str, str], str]] = []
        text: list[str] = []
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = _refuse_doctype

        def begin(tag: str, attributes: dict[str, str]) -> None:
            text.clear()
            events.append((tag.rpartition(":")[2], attributes, ""))

        def end(tag: str) -> None:
            events.append(("/" + tag.rpartition(":")[2], {}, "".join(text)))
            text.clear()

        parser.StartElementHandler, parser.EndElementHandler = begin, end
        parser.CharacterDataHandler = text.append
        for at in range(0, len(data), 1 << 16):
            parser.Parse(data[at : at + (1 << 16)], at + (1 << 16) >= len(data))
            yield from events
            events.clear()

    def _first_sheet(self) -> tuple[str, str]:
        sheets = []
        for tag, attributes, _ in self._events("xl/workbook.xml"):
            if tag == "workbookPr" and attributes.get("date1904") in {"1", "true"}:
                self._zero = _DAY_ZERO_1904
            if tag == "sheet" and attributes.get("state", "visible") == "visible":
                sheets.append((attributes["name"], next(v for k, v in attributes.items() if k.endswith(":id"))))
        targets = {
            attributes["Id"]: attributes["Target"]
            for tag, attributes, _ in self._events("xl/_rels/workbook.xml.rels")
            if tag == "Relationship"
        }
        name, id_ = sheets[0]
        target = targets[id_]
        return name, target.removeprefix("/") if target.startswith("/") else f"xl/{target}"

    def _strings(self) -> Iterator[str]:
        if "xl/sharedStrings.xml" not in self._archive.namelist():
            return
        parts: list[str] = []
        spoken = False
        for tag, _, text in self._events("xl/sharedStrings.xml"):
            if tag == "si":
                parts = []
            elif tag in {"rPh", "/rPh"}:
                spoken = tag == "rPh"  # how it is pronounced is no part of it
            elif tag == "/t" and not spoken:
                parts.append(text)
            elif tag == "/si":
                yield _unescaped("".join(parts))

    def _formats(self) -> Iterator[bool]:
        """Of each cell format, whether it shows a number as a date."""
        if "xl/styles.xml" not in self._archive.namelist():
            return
        own, inside = set(_DATES), False
        for tag, attributes, _ in self._events("xl/styles.xml"):
            if tag == "numFmt" and re.search("[ymdYMD年月日]", _QUOTED.sub("", attributes["formatCode"])):
                own.add(int(attributes["numFmtId"]))
            elif tag in {"cellXfs", "/cellXfs"}:
                inside = tag == "cellXfs"
            elif tag == "xf" and inside:
                yield int(attributes.get("numFmtId", "0")) in own

    def _lines(self, part: str) -> list[Line]:
        lines: dict[int, dict[int, Cell]] = {}
        at, attributes, value, computed = (0, 0), {}, "", False
        for tag, found, text in self._events(part):
            if tag == "c":
                attributes, value, computed, at = found, "", False, _place(found["r"])
            elif tag in {"/v", "/t"}:
                value += text
            elif tag == "f":
                computed = True
            elif tag == "/c":
                cell = _formula(f"={value}") if computed else self._cell(attributes, value)
                lines.setdefault(at[1], {})[at[0]] = cell
            elif tag == "mergeCell":
                column, row = _place(found["ref"].partition(":")[0])
                zh, en = f"{found['ref']} 是合并的单元格，请拆开", f"{found['ref']} is merged; undo that"
                lines.setdefault(row, {})[column] = Cell(found["ref"], "fault", zh, en)
        return [Line(number, lines[number]) for number in sorted(lines)]

    def _cell(self, attributes: Mapping[str, str], value: str) -> Cell:
        kind = attributes.get("t", "n")
        if kind == "s":
            return _plain(self._shared[int(value)])
        if kind in {"str", "inlineStr", "d"}:
            return _plain(_unescaped(value))
        if kind == "e":
            return Cell(value, "fault", f"是错误值 {value}", f"is the error {value}")
        if kind == "b" or not value:
            return Cell({"1": "true", "0": "false"}.get(value, ""))
        style = int(attributes.get("s", "0"))
        if style < len(self._dates) and self._dates[style]:
            return Cell(serial_day(value, self._zero), "day")
        return Cell(value, "number")


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)


def serial_day(number: str, zero: date = _DAY_ZERO) -> str:
    """The day of a serial number of Excel."""
    return (zero + timedelta(days=int(number.partition(".")[0]))).isoformat()


def _place(text: str) -> tuple[int, int]:
    found = _ADDRESS.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:20]!r} is no address")
    column = 0
    for letter in found[1]:
        column = column * 26 + ord(letter) - 64
    return column - 1, int(found[2])


def _refuse_doctype(*_: object) -> None:
    raise ValueError("a document type")
