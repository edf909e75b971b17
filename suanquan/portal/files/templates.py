"""Workbooks to fill in, and workbooks that came back with what is wrong as a comment at each cell. Every cell is text."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Final

import xlsxwriter

from suanquan.portal.files import comma
from suanquan.portal.files.incoming import Grid

ROWS_AS_TEXT: Final = 2_000
"""Rows of a template whose cells are text before anything is typed: codes keep their digits, days stay as typed."""
_OPTIONS: Final = {
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
    "in_memory": True,
}


def workbook(
    title: str, heads: Sequence[str], example: Sequence[str], about: tuple[str, Sequence[Sequence[str]]]
) -> bytes:
    """An empty table under its headings, and a sheet that says what each column takes."""
    out = io.BytesIO()
    book = xlsxwriter.Workbook(out, _OPTIONS)
    bold, text = book.add_format({"bold": True, "bottom": 1}), book.add_format({"num_format": "@"})
    table = book.add_worksheet(title[:31])
    table.freeze_panes(1, 0)
    for at, (head, one) in enumerate(zip(heads, example, strict=True)):
        table.set_column(at, at, max(2 * len(head), len(one)) + 4, text)
        table.write_string(0, at, head, bold)
        for row in range(1, ROWS_AS_TEXT):
            table.write_blank(row, at, None, text)
    name, rows = about
    told = book.add_worksheet(name[:31])
    told.set_column(0, 2, 44)
    for number, cells in enumerate(rows):
        for at, cell in enumerate(cells):
            told.write_string(number, at, cell, bold if not number else None)
    book.close()
    return out.getvalue()


def marked(grid: Grid, faults: Mapping[str, str]) -> bytes:
    """The table as it was read, its cells at fault marked, each with what is wrong."""
    out = io.BytesIO()
    book = xlsxwriter.Workbook(out, _OPTIONS)
    wrong = book.add_format({"bg_color": "#ffe08a", "num_format": "@"})
    table = book.add_worksheet((grid.sheet or "Table")[:31])
    cells = {(line.number, at): cell.text for line in grid.lines for at, cell in line.cells.items()}
    for (row, at), text in cells.items():
        table.write_string(row - 1, at, text)
    for place, said in faults.items():
        row, at = _of(place)
        table.write_string(row - 1, at, cells.get((row, at), ""), wrong)
        table.write_comment(row - 1, at, said, {"x_scale": 2})
    book.close()
    return out.getvalue()


def _of(place: str) -> tuple[int, int]:
    letters = place.rstrip("0123456789")
    column = 0
    for letter in letters:
        column = column * 26 + ord(letter) - 64
    return int(place[len(letters) :]), column - 1


def plain(heads: Sequence[str]) -> bytes:
    """The headings as CSV with the mark by which spreadsheets know UTF-8."""
    return (comma.BOM + comma.lines([heads])).encode()
