"""The tables of a page as it is shown, read from its own HTML: what a file says cannot differ from what the screen says.

Lists (`class="listed"`) are not taken: a page shows a part of them, and they have an export of their own.
"""

from __future__ import annotations

from html.parser import HTMLParser
from typing import NamedTuple

from suanquan.portal.files.sheet import Head, Sheet, plain

_HEADINGS = frozenset({"h1", "h2", "h3"})
_UNSEEN = frozenset({"meter", "svg", "script", "style", "title"})
"""What stands inside is no text for the reader: the text of a meter is for browsers that draw none."""
_SPACED = frozenset({"small", "br", "span", "p", "li"})


class Seen(NamedTuple):
    """What was found: the page's title, the line that says as of when, and the tables."""

    title: str
    as_of: str
    sheets: list[Sheet]


class _Cell(NamedTuple):
    text: str
    number: bool
    head: bool


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found = Seen("", "", [])
        self._key = self._heading = ""
        self._said: list[str] | None = None  # the text under way, where one is wanted
        self._unseen = 0
        self._rows: list[list[_Cell]] | None = None
        self._cell: tuple[bool, bool] = (False, False)
        self._listed = self._small = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a heading, a table, a row or a cell."""
        about = dict(attrs)
        classes = (about.get("class") or "").split()
        if tag in _UNSEEN:
            self._unseen += 1
        elif tag in _SPACED and self._said is not None and "rest" not in classes:
            self._said.append(" ")
        if tag == "table":
            self._rows, self._listed = [], "listed" in classes
        elif tag == "tr" and self._rows is not None:
            self._rows.append([])
        elif tag in {"td", "th"}:
            self._cell, self._said = ("n" in classes, tag == "th"), []
        elif tag in _HEADINGS:
            self._key, self._said = about.get("id") or self._key, []
        elif tag == "p" and "as-of" in classes:
            self._said = []

    def handle_endtag(self, tag: str) -> None:
        """End what was begun."""
        if tag in _UNSEEN:
            self._unseen -= 1
        elif tag in {"td", "th"} and self._rows:
            self._rows[-1].append(_Cell(self._text(), *self._cell))
        elif tag in _HEADINGS:
            self._heading = self._text()
            if tag == "h1":
                self.found = self.found._replace(title=self._heading)
        elif tag == "p" and self._said is not None and self._rows is None:
            self.found = self.found._replace(as_of=self.found.as_of or self._text())
        elif tag == "table":
            self._end_table()

    def handle_data(self, data: str) -> None:
        """Keep what is read out."""
        if self._said is not None and not self._unseen:
            self._said.append(data)

    def _text(self) -> str:
        said, self._said = " ".join("".join(self._said or []).split()), None
        return said

    def _end_table(self) -> None:
        rows, self._rows = self._rows or [], None
        if self._listed or not rows:
            return
        headed = all(cell.head for cell in rows[0])
        first, body = (rows[0], rows[1:]) if headed else ([_Cell("", cell.number, head=True) for cell in rows[0]], rows)
        numbers = [any(row[at].number for row in body if at < len(row)) for at in range(len(first))]
        heads = [Head(cell.text, number) for cell, number in zip(first, numbers, strict=True)]
        width = len(heads)
        said = [
            [plain(cell.text) if cell.number else cell.text for cell in row][:width] + [""] * (width - len(row))
            for row in body
        ]
        self.found.sheets.append(Sheet(self._key, self._heading, heads, said))


def read(page: str) -> Seen:
    """The tables of a page, in order."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    return reader.found
