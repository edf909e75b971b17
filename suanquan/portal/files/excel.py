"""Tables as an Excel workbook (ISO/IEC 29500), written row by row to disk; identifiers are texts, and nothing is a formula."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, BinaryIO, Final

import xlsxwriter

from suanquan.portal.files.sheet import NUMBER, Book, Head

DIGITS_MAX = 15
"""Decimal digits that a cell keeps: a figure with more of them is written as text, so that none is lost."""
ROWS_MAX: Final = 1_048_576
TEXT_MAX = 32_767
WIDTH_LEAST, WIDTH_MOST = 8, 44
_OPTIONS: Final = {
    "constant_memory": True,
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
}
_NO_NAME = re.compile(r"[\[\]:*?/\\]")
_WORDS = {"zh": ("说明", "数据表"), "en": ("About", "Table")}


class Workbook:
    """A workbook under way. Rows of a sheet are written once and in order, and do not stay in memory."""

    def __init__(self, target: BinaryIO, language: str) -> None:
        self._book = xlsxwriter.Workbook(target, _OPTIONS)
        self._words = _WORDS[language]
        self._bold = self._book.add_format({"bold": True, "bottom": 1, "text_wrap": True, "valign": "top"})
        self._decimals: dict[int, Any] = {}
        self._sheet: Any = None
        self._heads: Sequence[Head] = ()
        self._row = 0
        self._names: set[str] = set()

    def begin(self, title: str, heads: Sequence[Head], sample: Iterable[Sequence[str]] = ()) -> None:
        """Begin a sheet; `sample` are rows by which the columns get their width."""
        self._sheet, self._heads, self._row = self._book.add_worksheet(self._name(title)), heads, 1
        looked = [[head.text for head in heads], *sample]
        for at, head in enumerate(heads):
            widest = max(_width(row[at]) for row in looked)
            self._sheet.set_column(at, at, min(max(widest + 2, WIDTH_LEAST), WIDTH_MOST))
            self._sheet.write_string(0, at, head.text, self._bold)
        self._sheet.freeze_panes(1, 0)

    def add(self, rows: Iterable[Sequence[str]]) -> None:
        """Write more rows of the sheet begun last."""
        for row in rows:
            for at, (cell, head) in enumerate(zip(row, self._heads, strict=True)):
                self._write(at, cell, head)
            self._row += 1

    def _write(self, at: int, cell: str, head: Head) -> None:
        if head.number and NUMBER.fullmatch(cell) and sum(map(str.isdigit, cell)) <= DIGITS_MAX:
            self._sheet.write_number(self._row, at, Decimal(cell), self._figure(len(cell.partition(".")[2])))
        else:
            self._sheet.write_string(self._row, at, cell[:TEXT_MAX])

    def _figure(self, decimals: int) -> Any:
        if decimals not in self._decimals:
            form = "#,##0" + ("." + "0" * decimals if decimals else "")
            self._decimals[decimals] = self._book.add_format({"num_format": form})
        return self._decimals[decimals]

    def finish(self, title: str, about: Sequence[tuple[str, str]]) -> None:
        """End with the sheet that says where the tables come from, and write the file."""
        self.begin(self._words[0], [Head(self._words[0]), Head(title)], [(name, said) for name, said in about])
        self.add(about)
        self._book.close()

    def _name(self, title: str) -> str:
        """A name that Excel takes: 31 characters, some not, none twice."""
        base = _NO_NAME.sub(" ", title).strip(" '")[:31] or self._words[1]
        name, count = base, 1
        while name.casefold() in self._names:
            count += 1
            name = f"{base[:27]} {count}"
        self._names.add(name.casefold())
        return name


def _width(text: str) -> int:
    """Columns of a fixed font that a text takes: two for a Chinese character."""
    return sum(1 if ord(one) < 0x2E80 else 2 for one in text)


def made(book: Book) -> bytes:
    """The workbook of tables that are all there."""
    out = io.BytesIO()
    workbook = Workbook(out, book.language)
    for sheet in book.sheets:
        workbook.begin(sheet.title, sheet.heads, sheet.rows[:200])
        workbook.add(sheet.rows)
    workbook.finish(book.title, book.about)
    return out.getvalue()
