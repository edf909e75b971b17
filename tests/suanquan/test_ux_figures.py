"""Figures can be questioned: each of the office's pages and of the public one reaches its entries, and where it leads the rows come to the same."""

import html
import re
from html.parser import HTMLParser
from typing import NamedTuple

from tests.suanquan.site import OFFICE, VISITS

CLICKS = 3
FIGURE = re.compile(r"[−-]?\d[\d,]*(\.\d+)?%?")


class Figure(NamedTuple):
    """A number of a page: where it stands, what it is, its text, its own link, the links of its row."""

    where: str
    what: str
    text: str
    own: tuple[str, ...]
    row: tuple[str, ...]


class Figures(HTMLParser):
    """Numbers of a page's tables and lists of terms, with the links beside them."""

    def __init__(self, page):
        super().__init__()
        self.found, self.links, self._section, self._row, self._cells, self._term = [], {}, "", [], [], ""
        self._cell = None
        self.feed(re.sub(r"<(svg|meter|nav|form|tfoot).*?</\1>", " ", page[page.index("<main") :], flags=re.DOTALL))

    def handle_starttag(self, tag, attrs):
        about = dict(attrs)
        if tag == "section":
            self._section = about.get("aria-labelledby", "")
        elif tag == "tr":
            self._row, self._cells = [], []
        elif tag in {"td", "th", "dd", "dt"}:
            number = "n" in (about.get("class") or "").split() or tag == "dd"
            self._cell = (number, [], [], about.get("data-label") or self._term)
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
        if tag in {"td", "th", "dd", "dt"} and self._cell:
            number, said, links, what = self._cell
            text = " ".join("".join(said).split())
            if tag == "dt":
                self._term = text
            elif number and tag != "th" and FIGURE.match(text):
                self._cells.append((what, text, tuple(links)))
            self._cell = None
        if tag in {"tr", "dd"}:
            self.found += [
                Figure(self._section, what, text, links, tuple(self._row)) for what, text, links in self._cells
            ]
            self._cells = []

    def way_on(self, figure):
        """Where a figure leads: by its cell, by its row, else by its section."""
        return figure.own or figure.row or tuple(self.links.get(figure.where, ()))


ENTRIES = re.compile(r"/office/(entries\?|findings/)|/applications/|/usage\?|/disputes/\d|/centre/quarantine|/log")
"""Where single entries stand: those of an account, lines of usage, what a check found, a case, a dispute, records that wait, the log."""
NO_ROWS = frozenset({"已接受", "重复", "暂缓", "冲突", "拒收"})
"""Counts of which no rows are kept: how records were answered when they came. What waits of them has its own figure."""


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
        now = [link for link in dict.fromkeys(now) if link.startswith(("/office/", "/disputes?")) and link not in tried]
        tried |= set(now)
        pages = [read_figures(look, who, link, seen)[0] for link in now]
        now = [link.partition("#")[0] for page in pages for some in page.links.values() for link in some]
    return 0, ""


NUMBER = re.compile(r"[−-]?\d[\d,]*(?:\.\d+)?")


def bare(text):
    """A number without separators, sign and part that is not its own: what two pages have to agree on."""
    said = NUMBER.match(text)[0].replace(",", "").lstrip("−-")
    return said if re.search("[1-9]", said) else "0"


def plain(text):
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", text)).split())


def told(page, anchor):
    """What the rows of a page come to: the sums at the foot of its list, how many there are, the newest balance of an account."""
    part = page[page.index(f'id="{anchor}"') :] if anchor else page[page.index("<main") :]
    feet = re.findall(r"<tfoot>(.*?)</tfoot>", part, re.DOTALL)
    said = [plain(cell) for foot in feet[:1] for cell in re.findall(r"<span>(.*?)</span>", foot, re.DOTALL)]
    said += re.findall(r"[\d,]+", plain(" ".join(re.findall(r"<caption>(.*?)</caption>", part, re.DOTALL)[:1])))
    said += re.findall(r"[\d,]+", plain(" ".join(re.findall(r"<p><strong>(.*?)</strong></p>", part, re.DOTALL))))
    newest = re.search(r"<tbody>.*?</tr>", part, re.DOTALL)
    if newest and "/office/receipts/" in newest[0]:
        said += [
            plain(cell) for cell in re.findall(r'data-label="(?:余额|预占)"><span>(.*?)</span>', newest[0], re.DOTALL)
        ]
    return {bare(one) for one in said if NUMBER.match(one)} | ({"0"} if 'class="empty"' in part else set())


def follow(look, who, figure, seen):
    """What the page says to which a figure's own link leads, else its row's."""
    address, _, anchor = (figure.own or figure.row)[0].partition("#")
    if address.startswith("/log"):
        return {bare(one) for one in re.findall(r"<dd>([\d,]+)</dd>", read_figures(look, who, address, seen)[1])}
    return told(read_figures(look, who, address, seen)[1], anchor)


def adds_up(row):
    """Whether a budget is what is left of it, set aside, approved and issued."""
    units = {one.what: int(bare(one.text).replace(".", "")) for one in row}
    return units["预算"] == sum(units[name] for name in ("未动用", "留用", "已批准未发", "发放"))


def share(look, who, figure, seen):
    """Whether a percentage is that of the rows it leads to: of hours their sum stands there; of months whole ones of the declared."""
    address = (figure.own or figure.row)[0]
    page = read_figures(look, who, address, seen)[1]
    if "/office/gaps" in address:
        declared, lacking = map(int, re.findall(r"\d+", plain(re.search(r"<p><strong>(.*?)</strong></p>", page)[1])))
        return figure.text.startswith(f"{100 * (declared - lacking) / declared:.1f}%")
    if "/office/hours" in address:
        passed, heard = map(int, re.findall(r"\d+", plain(re.search(r"<p><strong>(.*?)</strong></p>", page)[1])))
        return figure.text.startswith(f"{100 * heard / passed:.1f}%")
    return bool(told(page, ""))


def test_every_figure_leads_to_rows_that_come_to_it_and_on_to_its_entries(untouched, look):
    """Each number of each page, nought too: by its own link or its row's; the sum or count of the rows there is the figure.

    Every figure that is not nought reaches single entries in three clicks, and these are there.
    """
    seen, ends, compared = {}, set(), 0
    pages = [VISITS[f"office-{name}".strip("-")] for name in OFFICE] + [
        ("officer", "/"),
        ("officer", "/office/centres?centre=sj01"),
    ]
    for who, path in pages:
        page, _ = read_figures(look, who, path, seen)
        ends |= {(who, link) for some in page.links.values() for link in some if link.startswith("/office/entries")}
        for one in page.found:
            if one.what in NO_ROWS | OF_A_ROW or one.where in ROWS:
                continue
            if one.own or (one.row and not path.startswith(LISTED) and one.where not in CHARTS):
                if one.what == "预算":  # what it is made of stands beside it, each part compared by itself
                    assert adds_up(
                        [other for other in page.found if other.row == one.row and other.where == one.where]
                    ), (path, one)
                elif one.text.endswith("%") or "%" in one.text:
                    assert share(look, who, one, seen), (path, one)
                else:
                    assert bare(one.text) in follow(look, who, one, seen), (path, one, follow(look, who, one, seen))
                compared += 1
            if re.search("[1-9]", one.text):
                count, end = clicks(look, who, page.way_on(one), seen)
                assert count, (path, one)
                ends.add((who, end))
    assert compared > 60
    for who, end in sorted(ends):
        answer = look(who, end)
        assert answer.status_code == 200, end
        assert "/office/entries" not in end or "/office/receipts/" in answer.text, end


CHARTS = frozenset(
    {
        *("four-burn", "burn", "four-used", "used", "four-trust", "trust", "four-stuck", "stuck", "limits"),
        *("first", "spread", "price", "admission", "found", "hours", "uses", "who"),
    }
)
"""Charts: moments that are over, middles, shares. What has a link of its own is compared; the others lead to what they are of."""
LISTED = ("/office/vouchers", "/office/queue", "/office/findings", "/office/usage", "/office/gaps", "/office/rounds")
"""Lists of single things: what stands in a row is of the thing that the row leads to, and no sum."""
OF_A_ROW = frozenset({"占比", "最近一条分录"})
"""Shares of a sum beside it, which is compared itself; and a time."""
ROWS = frozenset({"paid", "list"})
"""Sections that are the rows behind another figure, each with the way to its entries."""
