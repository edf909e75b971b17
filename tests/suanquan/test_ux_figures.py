"""Figures can be questioned: each of the office's pages reaches its entries, whoever reads a figure reads the same, an address is a view."""

import re
from html.parser import HTMLParser
from typing import NamedTuple

from tests.suanquan.site import OFFICE, VISITS

CLICKS = 3
FIGURE = re.compile(r"[−-]?\d[\d,]*(\.\d+)?%?")


class Figure(NamedTuple):
    """A number of a page: where it stands, its text, the links of its cell, of its row and of its section."""

    where: str
    text: str
    near: tuple[str, ...]


class Figures(HTMLParser):
    """Numbers of a page's tables and lists of terms, with the links beside them."""

    def __init__(self, page):
        super().__init__()
        self.found, self.links, self._section, self._row, self._cells = [], {}, "", [], []
        self._cell = None
        self.feed(re.sub(r"<(svg|meter|nav|form).*?</\1>", " ", page[page.index("<main") :], flags=re.DOTALL))

    def handle_starttag(self, tag, attrs):
        about = dict(attrs)
        if tag == "section":
            self._section = about.get("aria-labelledby", "")
        elif tag == "tr":
            self._row, self._cells = [], []
        elif tag in {"td", "th", "dd"}:
            self._cell = ("n" in (about.get("class") or "").split() or tag == "dd", [], [])
            if tag == "dd":
                self._row, self._cells = [], []
        elif tag == "a" and about.get("href") and "download" not in about:
            self.links.setdefault(self._section, []).append(about["href"])
            if self._cell:
                self._cell[2].append(about["href"])
                self._row.append(about["href"])

    def handle_data(self, data):
        if self._cell:
            self._cell[1].append(data)

    def handle_endtag(self, tag):
        if tag in {"td", "th", "dd"} and self._cell:
            number, said, links = self._cell
            text = " ".join("".join(said).split())
            if number and tag != "th" and FIGURE.match(text):
                self._cells.append((text, tuple(links)))
            self._cell = None
        if tag in {"tr", "dd"}:
            for text, links in self._cells:
                self.found.append(Figure(self._section, text, links or tuple(self._row)))
            self._cells = []

    def way_on(self, figure):
        """Where a figure leads: by its cell or row, else by its section."""
        return figure.near or tuple(self.links.get(figure.where, ()))


ENTRIES = re.compile(r"/office/(entries\?|findings/)|/applications/")
"""Where single entries stand: those of an account, what a check found, a case."""


def read_figures(look, who, path, seen):
    if path not in seen:
        answer = look(who, path)
        assert answer.status_code == 200, path
        seen[path] = Figures(answer.text), answer.text
    return seen[path]


def clicks(look, who, links, seen):
    """How many clicks lead to entries, and where; nought if too many."""
    tried, now = set(), [link.partition("#")[0] for link in links if link.startswith("/")]
    for count in range(1, CLICKS + 1):
        if (found := next((link for link in now if ENTRIES.match(link)), None)) is not None:
            return count, found
        now = [link for link in dict.fromkeys(now) if link.startswith("/office/") and link not in tried]
        tried |= set(now)
        pages = [read_figures(look, who, link, seen)[0] for link in now]
        now = [link.partition("#")[0] for page in pages for some in page.links.values() for link in some]
    return 0, ""


def test_every_figure_of_the_office_reaches_its_entries(untouched, look):
    """Each number that is not nought, of each page: by its own link, its row's or its section's, in three clicks; the entries are there.

    Where vouchers are the way, the list that a sum leads to has that sum at its foot.
    """
    seen, ends, sums = {}, set(), 0
    for name in OFFICE:
        who, path = VISITS[f"office-{name}".strip("-")]
        page, _ = read_figures(look, who, path, seen)
        ends |= {(who, link) for some in page.links.values() for link in some if link.startswith("/office/entries")}
        for one in page.found:
            if not re.search("[1-9]", one.text):
                continue
            way = page.way_on(one)
            count, end = clicks(look, who, way, seen)
            assert count, (path, one)
            ends.add((who, end))
            listed = one.near[0] if one.near else ""
            if re.fullmatch(r"[\d,]+\.\d{6,9}", one.text) and listed.startswith("/office/vouchers?"):
                foot = re.search(r"<tfoot>.*?</tfoot>", read_figures(look, who, listed, seen)[1], re.DOTALL)[0]
                assert one.text in re.sub(r"<[^>]+>|&[^;]+;", "", foot.replace("</td>", " ")), (path, one)
                sums += 1
    assert sums > 20
    for who, end in sorted(ends):
        answer = look(who, end)
        assert answer.status_code == 200, end
        assert "/office/entries" not in end or "/office/receipts/" in answer.text, end
