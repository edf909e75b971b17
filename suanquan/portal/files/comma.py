"""Tables as CSV (RFC 4180), with the mark by which spreadsheets know UTF-8."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from ledger.cells import plain_cell
from suanquan.portal.files.sheet import Book

BOM = "\ufeff"
"""Without it spreadsheets take Chinese in a CSV file for another encoding."""


def lines(rows: Iterable[Sequence[str]]) -> str:
    """Rows as lines of CSV."""
    out = io.StringIO(newline="")
    csv.writer(out).writerows([plain_cell(cell) for cell in row] for row in rows)
    return out.getvalue()


def made(book: Book) -> bytes:
    """One table as it is; of several, each under a line with its title and an empty line between."""
    parts = []
    for sheet in book.sheets:
        title = [[sheet.title]] if len(book.sheets) > 1 else []
        parts.append(lines([*title, [head.text for head in sheet.heads], *sheet.rows]))
    return (BOM + "\r\n".join(parts)).encode()
