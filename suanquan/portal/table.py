"""A list on a page: what is found, how it is sorted, which columns and which part are shown all stand in the URL.

Its files are what is on the screen, without its division into parts: the same rows, columns and order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlencode

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from suanquan.portal import exports, figures
from suanquan.portal.files.sheet import Book, Head, Sheet
from suanquan.portal.frame import MOMENTARY, kept, language_of, link, service_of
from suanquan.portal.text import TEXTS

ROWS_PER_PART = 20
FIND_MAX = 200
CURSOR_MAX = 300
DENSE = "compact"


class Column(NamedTuple):
    """One column: its name in URLs, the key of its heading, whether figures stand in it, and whether it tells rows apart."""

    name: str
    text: str
    number: bool = False
    key: bool = False
    extra: bool = False
    """Whether it is shown only when it is chosen."""


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


class Plain(NamedTuple):
    """What a row says, by column: the plain text of each cell, and the numbers by which figures are ordered."""

    texts: Mapping[str, str]
    orders: Mapping[str, int]


class Later(Mapping[str, Cell]):
    """A row whose cells are made when they are shown: of thousands twenty are. Search and order go by what it says."""

    def __init__(self, plain: Callable[[], Plain], make: Callable[[], Row]) -> None:
        self._say, self._make = plain, make
        self._plain: Plain | None = None
        self._row: Row | None = None

    @property
    def plain(self) -> Plain:
        """What the row says."""
        if self._plain is None:
            self._plain = self._say()
        return self._plain

    def __getitem__(self, name: str) -> Cell:
        """The cell of a column."""
        if self._row is None:
            self._row = self._make()
        return self._row[name]

    def __iter__(self) -> Iterator[str]:
        """Names of columns."""
        return iter(self.plain.texts)

    def __len__(self) -> int:
        """How many columns there are."""
        return len(self.plain.texts)


class Views(NamedTuple):
    """What an account calls addresses of this page, and the one that is shown, which it may give a name to."""

    saved: Sequence[tuple[str, str]]
    path: str
    query: str


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
    files: Mapping[str, str]
    dense: bool = False
    sums: Mapping[str, Any] | None = None
    by_address: bool = False
    """Whether the page itself chose these rows by its address: then it has the search, and headings do not sort."""
    views: Views | None = None


def amount(text: str, unit: str = "CNY") -> Cell:
    """The cell of a decimal text: yuan in the unit that the page shows, all digits kept."""
    return Cell(figures.fine(text, unit), figures.money(text, unit), order=int(text.replace(".", "")))


def table(
    request: Request, name: str, columns: Sequence[Column], rows: Sequence[Row], most: int = ROWS_PER_PART
) -> Table:
    """Rows as the URL asks for them: `find`, `sort` (`-` for descending), `columns`, `density`, and `after` or `until` a row."""
    asked = _Asked.of(request, columns)
    found, key = asked.select(columns, rows), _key_of(columns)
    first, last = asked.window(found, key, most)
    path, rest = request.url.path, asked.query() | _own(request)
    links = {f"sort {one.name}": link(request, path, **rest | {"sort": asked.next_sort(one.name)}) for one in columns}
    if first:
        links["start"] = link(request, path, **rest)
        links["previous"] = link(request, path, **rest, until=_cursor(first, found[first][key]))
    if last < len(found):
        links["next"] = link(request, path, **rest, after=_cursor(last - 1, found[last - 1][key]))
    links["reset"] = link(request, path, **_own(request))
    links["density"] = link(request, path, **rest | {"density": "" if asked.dense else DENSE})
    hidden = _own(request) | kept(request) | ({"sort": asked.sort} if asked.sort else {})
    return Table(
        name, columns, asked.shown(columns), found[first:last], len(rows), len(found), first, asked.find, asked.sort,
        links, hidden | ({"density": DENSE} if asked.dense else {}), _files(request, rest), asked.dense, views=_views(request),
    )  # fmt: skip


def matching(request: Request, columns: Sequence[Column], rows: Sequence[Row]) -> Sequence[Row]:
    """The rows of a list that its address asks for, of all its parts: what a sum below it is over."""
    return _Asked.of(request, columns).select(columns, rows)


class Chosen(NamedTuple):
    """Rows that a query of the database found, how many match (-1: nobody counted), and the way on as addresses or empty."""

    rows: Sequence[Row]
    found: int = -1
    following: str = ""
    start: str = ""
    sums: Mapping[str, Any] | None = None


def paged(request: Request, name: str, columns: Sequence[Column], chosen: Chosen, filters: Mapping[str, str]) -> Table:
    """A list that the database searches, sorts and divides: here are its columns, its density, its files and the way on."""
    asked, path = _Asked.of(request, columns), request.url.path
    rest = dict(filters) | {"columns": ",".join(asked.chosen), "density": DENSE if asked.dense else ""}
    links = {
        "density": link(request, path, **rest | {"density": "" if asked.dense else DENSE}),
        "reset": link(request, path),
    }
    links |= {word: address for word, address in (("next", chosen.following), ("start", chosen.start)) if address}
    hidden = {key: value for key, value in filters.items() if value} | kept(request)
    return Table(
        name, columns, asked.shown(columns), chosen.rows, max(chosen.found, len(chosen.rows)), chosen.found, 0, "", "", links,
        hidden | ({"density": DENSE} if asked.dense else {}), _files(request, rest), asked.dense, chosen.sums, by_address=True, views=_views(request),
    )  # fmt: skip


def view_of(request: Request, columns: Sequence[Column]) -> dict[str, str]:
    """What of a view goes along from part to part of a list that the database divides."""
    asked = _Asked.of(request, columns)
    return {"columns": ",".join(asked.chosen), "density": DENSE if asked.dense else ""}


def shown_columns(request: Request, columns: Sequence[Column]) -> Sequence[Column]:
    """The columns that the URL chooses."""
    return _Asked.of(request, columns).shown(columns)


def exported(
    request: Request,
    name: str,
    columns: Sequence[Column],
    rows: Sequence[Row],
    all_texts: Mapping[str, Mapping[str, str]] = TEXTS,
) -> Response | None:
    """The list as a file, where the URL asks for one; `table` may name another table of the page, which is not this list."""
    form = exports.form_of(request)
    if not form or request.query_params.get("table", name) != name:
        return None
    asked, texts = _Asked.of(request, columns), figures.texts_in(all_texts[language_of(request)])
    selected, shown = asked.select(columns, rows), asked.shown(columns)
    shown = [column for column in shown if any(row[column.name].said.strip() for row in selected) or not selected]
    sheet = Sheet(
        name,
        title_of(request, texts),
        [Head(texts[column.text], column.number) for column in shown],
        [[_written(row[column.name], column, form) for column in shown] for row in selected],
    )
    return exports.Later(form, book_of(request, name, sheet.title, [sheet]))


def _written(cell: Cell, column: Column, form: str) -> str:
    """What a file says in a cell: plain in CSV, which programs read; elsewhere the words of the screen, and figures as such."""
    if form == "csv" or column.number:
        return cell.said
    return _bare(cell.shown) if cell.code or not cell.tag else f"{_bare(cell.shown)} · {cell.tag}"


def worded(cell: Cell, column: Column, form: str) -> str:
    """What a file of a long list says in a cell: what tells a row apart or is a number in full, a time as on the screen."""
    words = _bare(cell.shown)
    return words if form != "csv" and not cell.code and not column.number and _TIME.match(words) else cell.said


_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:")


def _bare(shown: str | Markup) -> str:
    return shown.striptags() if isinstance(shown, Markup) else shown


def title_of(request: Request, texts: Mapping[str, str]) -> str:
    """What a file of this page's list is called: as the page is in the navigation."""
    path = request.url.path
    return next((texts[key] for place, key in _TITLES.items() if path == place), texts["list_of_page"])


_TITLES = {
    "/vouchers": "my_vouchers",
    "/usage": "my_usage",
    "/applications": "my_applications",
    "/centre": "capacity",
    "/centre/quarantine": "quarantine_list",
    "/office/vouchers": "vouchers_of",
    "/office/usage.csv": "usage",
    "/office/usage": "usage_of",
    "/office/gaps": "gaps_list",
    "/office/accounts": "accounts_under",
    "/office/entries": "entries_of",
    "/office/queue": "queue",
    "/office/findings": "findings",
    "/office/rounds": "rounds",
    "/audit": "audit",
}


def book_of(request: Request, name: str, title: str, sheets: Sequence[Sheet] = ()) -> Book:
    """A file of this page, as of now."""
    service, texts = service_of(request), TEXTS[language_of(request)]
    about = exports.about(request, texts, texts["as_of"].format(time=figures.instant(service.now_us, texts)))
    return Book(name, title, about, sheets, language_of(request), exports.mark_of(service, texts))


def _own(request: Request) -> dict[str, str]:
    """Parameters of the page itself, which its list keeps."""
    ours = {"find", "sort", "columns", "density", "after", "until", "format", "table", "lang", "money", "again"}
    return {name: value for name, value in request.query_params.items() if name not in ours}


def _views(request: Request) -> Views | None:
    """Views of who is signed in; nobody else has any."""
    saved = getattr(request.state, "views", None)
    if saved is None:
        return None
    query = [(name, value) for name, value in request.query_params.multi_items() if name not in MOMENTARY]
    return Views([(one.name, f"{one.path}?{one.query}") for one in saved], request.url.path, urlencode(query))


def _files(request: Request, rest: Mapping[str, str]) -> dict[str, str]:
    return exports.links(lambda path, **more: link(request, path, **more), request.url.path, rest)


def _key_of(columns: Sequence[Column]) -> str:
    return next((column.name for column in columns if column.key), columns[0].name)


def _cursor(place: int, cell: Cell) -> str:
    return f"{place}~{cell.said}"[:CURSOR_MAX]


class _Asked(NamedTuple):
    find: str
    sort: str
    chosen: tuple[str, ...]
    after: str
    until: str
    dense: bool

    @classmethod
    def of(cls, request: Request, columns: Sequence[Column]) -> _Asked:
        """What the URL asks for; what it cannot ask for is left out."""
        query, names = request.query_params, [column.name for column in columns]
        sort = query.get("sort", "")
        chosen = tuple(name for name in ",".join(query.getlist("columns")).split(",") if name in names)
        return cls(
            query.get("find", "").strip()[:FIND_MAX],
            sort if sort.removeprefix("-") in names else "",
            tuple(dict.fromkeys(chosen)),
            query.get("after", "")[:CURSOR_MAX],
            query.get("until", "")[:CURSOR_MAX],
            query.get("density") == DENSE,
        )

    def select(self, columns: Sequence[Column], rows: Sequence[Row]) -> Sequence[Row]:
        """The rows that match, in the order asked for."""
        words = self.find.casefold().split()
        found = [
            row
            for row in rows
            if all(any(word in _said(row, column.name).casefold() for column in columns) for word in words)
        ]
        if self.sort:
            key = self.sort.removeprefix("-")
            found.sort(key=lambda row: _order(row, key), reverse=self.sort.startswith("-"))
        return found

    def window(self, found: Sequence[Row], key: str, most: int) -> tuple[int, int]:
        """Which rows are shown: those after the row that the address names, or up to it, wherever it stands by now."""
        first = 0
        if self.after:
            first = _place(found, key, self.after, 1)
        elif self.until:
            first = max(0, _place(found, key, self.until, 0) - most)
        first = first if first < len(found) else 0
        return first, min(first + most, len(found))

    def shown(self, columns: Sequence[Column]) -> Sequence[Column]:
        """The columns chosen; without a choice all but the extra ones."""
        chosen = [column for column in columns if column.name in self.chosen]
        return chosen or [column for column in columns if not column.extra]

    def next_sort(self, name: str) -> str:
        """What a heading asks for when it is chosen: ascending, then descending, then as it was."""
        return {name: f"-{name}", f"-{name}": ""}.get(self.sort, name)

    def query(self) -> dict[str, str]:
        """The part of the URL that stays while one thing changes."""
        found = {"find": self.find, "sort": self.sort, "columns": ",".join(self.chosen)}
        return found | {"density": DENSE if self.dense else ""}


def _place(found: Sequence[Row], key: str, cursor: str, step: int) -> int:
    """Where the row of a cursor stands, `step` further; where it stood, if it is gone."""
    place, _, name = cursor.partition("~")
    stood = int(place) if place.isdecimal() and len(place) < 7 else 0
    if stood < len(found) and _said(found[stood], key) == name:
        return stood + step
    known = next((at for at, row in enumerate(found) if _said(row, key) == name), None)
    return stood if known is None else known + step


def _said(row: Row, name: str) -> str:
    return row.plain.texts[name] if isinstance(row, Later) else row[name].said


def _order(row: Row, name: str) -> tuple[int, int, str]:
    order = row.plain.orders.get(name) if isinstance(row, Later) else row[name].order
    return (0, order, "") if order is not None else (1, 0, _said(row, name))
