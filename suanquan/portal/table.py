"""A list on a page: what is found, how it is sorted, which columns and which part are shown all stand in the URL.

The export is what is on the screen, without its division into parts: the same rows, columns and order.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from ledger.cells import plain_cell
from suanquan.portal.frame import language_of, link
from suanquan.portal.text import TEXTS

ROWS_PER_PART = 20
FIND_MAX = 200
BOM = "\ufeff"
"""Without it spreadsheets take Chinese in a CSV file for another encoding."""


class Column(NamedTuple):
    """One column: its name in URLs, the key of its heading, and whether figures stand in it."""

    name: str
    text: str
    number: bool = False


class Cell(NamedTuple):
    """What stands in a cell; `plain` is what is sought, sorted and exported, the shown text if none is given."""

    shown: str | Markup
    plain: str = ""
    href: str = ""
    tag: str = ""
    code: bool = False
    order: int | None = None

    @property
    def said(self) -> str:
        """The cell without any dress."""
        return self.plain or str(self.shown)


Row = Mapping[str, Cell]


class Table(NamedTuple):
    """A list as it is to be shown. `whole` is how many rows there are, `found` how many match."""

    name: str
    every_column: Sequence[Column]
    columns: Sequence[Column]
    rows: Sequence[Row]
    whole: int
    found: int
    first: int
    find: str
    sort: str
    links: Mapping[str, str]
    hidden: Mapping[str, str]


def table(request: Request, name: str, columns: Sequence[Column], rows: Sequence[Row]) -> Table:
    """Rows as the URL asks for them: `find`, `sort` (`-` for descending), `columns`, `part`."""
    asked = _Asked.of(request, columns)
    found = asked.select(columns, rows)
    first = (asked.part - 1) * ROWS_PER_PART if (asked.part - 1) * ROWS_PER_PART < len(found) else 0
    path, rest = request.url.path, asked.query()
    links = {f"sort {one.name}": link(request, path, **rest | {"sort": asked.next_sort(one.name)}) for one in columns}
    part = first // ROWS_PER_PART + 1
    if first:
        links["previous"] = link(request, path, **rest | {"part": str(part - 1)})
    if first + ROWS_PER_PART < len(found):
        links["next"] = link(request, path, **rest | {"part": str(part + 1)})
    links["export"] = link(request, path, **rest | {"format": "csv"})
    links["reset"] = link(request, path)
    hidden = {"lang": "en"} if language_of(request) == "en" else {}
    if asked.sort:
        hidden["sort"] = asked.sort
    shown = asked.shown(columns)
    return Table(
        name, columns, shown, found[first : first + ROWS_PER_PART], len(rows), len(found), first, asked.find, asked.sort,
        links, hidden,
    )  # fmt: skip


def exported(request: Request, name: str, columns: Sequence[Column], rows: Sequence[Row]) -> Response | None:
    """The list as a CSV file, where the URL asks for it."""
    if request.query_params.get("format") != "csv":
        return None
    asked = _Asked.of(request, columns)
    texts = TEXTS[language_of(request)]
    out = io.StringIO(BOM, newline="")
    out.seek(0, io.SEEK_END)
    writer = csv.writer(out)
    shown = asked.shown(columns)
    writer.writerow([texts[column.text] for column in shown])
    writer.writerows([plain_cell(row[column.name].said) for column in shown] for row in asked.select(columns, rows))
    disposition = f'attachment; filename="{name}.csv"'
    return Response(out.getvalue(), media_type="text/csv; charset=utf-8", headers={"Content-Disposition": disposition})


class _Asked(NamedTuple):
    find: str
    sort: str
    chosen: tuple[str, ...]
    part: int

    @classmethod
    def of(cls, request: Request, columns: Sequence[Column]) -> _Asked:
        """What the URL asks for; what it cannot ask for is left out."""
        query, names = request.query_params, [column.name for column in columns]
        sort = query.get("sort", "")
        chosen = tuple(name for name in ",".join(query.getlist("columns")).split(",") if name in names)
        part = query.get("part", "1")
        return cls(
            query.get("find", "").strip()[:FIND_MAX],
            sort if sort.removeprefix("-") in names else "",
            chosen,
            max(1, int(part)) if part.isdecimal() and len(part) < 7 else 1,
        )

    def select(self, columns: Sequence[Column], rows: Sequence[Row]) -> Sequence[Row]:
        """The rows that match, in the order asked for."""
        words = self.find.casefold().split()
        found = [
            row
            for row in rows
            if all(any(word in row[column.name].said.casefold() for column in columns) for word in words)
        ]
        if self.sort:
            key = self.sort.removeprefix("-")
            found.sort(key=lambda row: _order(row[key]), reverse=self.sort.startswith("-"))
        return found

    def shown(self, columns: Sequence[Column]) -> Sequence[Column]:
        """The columns chosen; all, without a choice."""
        return [column for column in columns if column.name in self.chosen] or list(columns)

    def next_sort(self, name: str) -> str:
        """What a heading asks for when it is chosen: ascending, then descending, then as it was."""
        return {name: f"-{name}", f"-{name}": ""}.get(self.sort, name)

    def query(self) -> dict[str, str]:
        """The part of the URL that stays while one thing changes."""
        found = {"find": self.find, "sort": self.sort}
        return found | ({"columns": ",".join(self.chosen)} if self.chosen else {})


def _order(cell: Cell) -> tuple[int, int, str]:
    return (0, cell.order, "") if cell.order is not None else (1, 0, cell.said)
