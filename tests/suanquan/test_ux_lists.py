"""Lists: a file has what the screen has, part by part; an address is the view, whoever opens it."""

import html
import re
from decimal import Decimal
from urllib.parse import quote

import httpx2
import pytest

from suanquan.db.tokens import create_token
from suanquan.http.auth import COOKIE
from suanquan.portal.files import seen
from tests.suanquan import workbooks
from tests.suanquan.site import PEOPLE, VISITS
from tests.suanquan.test_portal import FROM_HERE, PORTAL
from tests.suanquan.test_portal_files import plain, rows_of
from tests.subsidy.procedure_samples import OFFICERS

LISTS = (
    *("vouchers", "usage", "applications", "centre", "quarantine", "disputes", "statements", "members", "holds"),
    *("settlements", "prices", "audit", "office-rounds", "office-vouchers", "office-queue", "office-findings"),
    *("office-entries", "office-usage", "office-gaps", "office-accounts"),
)
"""Visits to pages with a list; those of an inbox and of bulk acts are for their reader alone, and no views."""
FIRST = re.compile(r'<table class="listed.*?</table>', re.DOTALL)


def listed(page):
    """The list of a page: headings and rows as they are shown, and what stands at its foot."""
    found = FIRST.search(page)
    if found is None:
        return None
    [sheet] = seen.read(re.sub(r'class="listed[^"]*"', "", re.sub(r"<tfoot>.*?</tfoot>", "", found[0], flags=re.DOTALL))).sheets  # fmt: skip
    foot = re.search(r"<tfoot>(.*?)</tfoot>", found[0], re.DOTALL)
    return [head.text for head in sheet.heads], [list(row) for row in sheet.rows], foot[1] if foot else ""


def way(path, **more):
    return path + ("&" if "?" in path else "?") + "&".join(f"{name}={value}" for name, value in more.items())


def following(page):
    """The address of the next part."""
    found = re.search(r'<a href="([^"]+)" rel="next"', page)
    return html.unescape(found[1]) if found else ""


def place(site, name):
    """Who looks at a list, and its address; of the audit log a part that grows by no look at it."""
    who, path = VISITS[name]
    return who, path.format(**site._asdict()) + ("?action=round.call" if name == "audit" else "")


def whole(look, who, path):
    """Every row of a list, part after part, and the foot of each part."""
    rows, feet, page = [], set(), look(who, path).text
    while True:
        heads, some, foot = listed(page)
        rows += some
        feet.add(foot)
        if not (path := following(page)):
            return heads, rows, feet
        page = look(who, path).text


def test_every_list_is_here():
    """A page with a list that somebody adds fails here until it is named above."""
    made = {path for path in (PORTAL / "templates").glob("**/*.html") if re.search(r"{{ (listed|grid)\(", path.read_text("utf-8"))}  # fmt: skip
    names = {
        f"{'office-' if path.parent.name == 'office' else ''}{path.stem}" for path in made if path.stem != "macros"
    }
    assert {name.replace("office-audit", "audit") for name in names} == set(LISTS)


def same(shown, kept):
    """Whether a file says in a cell what the screen says: a number without its separators, a text to the letter."""
    bare = shown.replace(",", "").replace("−", "-")
    if re.fullmatch(r"-?[\d.]+", bare) and re.fullmatch(r"-?[\d.]+(E-\d+)?", kept):
        return Decimal(bare) == Decimal(kept)
    if shown.endswith("…"):
        return kept.startswith(shown[:-1])
    return kept.replace(" · ", " ") == shown.replace(" · ", " ")


@pytest.mark.parametrize("name", LISTS)
def test_a_file_is_the_screen(untouched, look, name):
    """Row by row and cell by cell, over all parts; as many rows in CSV; sums at the foot are those of its columns."""
    who, path = place(untouched, name)
    heads, rows, feet = whole(look, who, path)
    assert rows
    table, *_ = workbooks.read(look(who, way(path, format="xlsx")).content).values()
    assert len(table) == len(rows) + 1
    for at, head in enumerate(table[0]):
        column = heads.index(head)
        for row, kept in zip(rows, table[1:], strict=True):
            assert same(row[column], plain(kept[at])), (head, row[column], kept[at])
    for column, head in enumerate(heads):  # what a file leaves out are links, or nothing
        assert head in table[0] or len({row[column] for row in rows}) == 1, head
    lines = rows_of(look(who, way(path, format="csv")).text)
    start = next(at for at, line in enumerate(lines) if line == table[0])
    assert len(lines) - start - 1 == len(rows)
    for foot in filter(None, feet):
        for label, said in re.findall(r'data-label="([^"]+)"><span>(.*?)</span>', foot):
            column = lines[start].index(html.unescape(label))
            total = Decimal(re.sub(r"<[^>]+>|,", "", said))
            assert sum(Decimal(line[column]) for line in lines[start + 1 :]) == total, label


@pytest.fixture(scope="module")
def colleagues(untouched):
    """A second person for each who looks at a list: the same right, another token."""
    rights = PEOPLE | {actor.person: (actor.role.value, "") for actor in OFFICERS}

    async def made():
        service = untouched.service
        async with service.database.write() as conn:
            return {
                who: await create_token(conn, rights[who][0], f"colleague of {who}", service.now_us, tenant=rights[who][1])
                for who in sorted({VISITS[name][0] for name in LISTS})
            }  # fmt: skip

    return untouched.call(made())


@pytest.mark.parametrize("name", LISTS)
def test_an_address_is_the_view(untouched, look, colleagues, name):
    """What was sought, the order, columns and density: in another browser, by another person with the same right, the same."""
    who, path = place(untouched, name)
    page = look(who, path).text
    names = re.findall(r'name="columns" value="(\w+)"', page)
    sorts = [html.unescape(one) for one in re.findall(r'href="([^"]*[?&]sort=[^"]*)"', page)]
    heads, rows, _ = listed(page)
    view = {"density": "compact"} | ({"columns": ",".join(names[:3])} if names else {})
    word = max(rows[0][0].split(), key=len, default="") if sorts else ""
    if sorts:
        view |= {"find": quote(word), "sort": "-" + re.search(r"sort=-?(\w+)", sorts[0])[1]}
    address = way(path, **view)
    mine = look(who, address)
    assert mine.status_code == 200
    with httpx2.Client(base_url=untouched.url, headers=FROM_HERE, timeout=60) as other:
        theirs = other.get(address, headers={"Cookie": f"{COOKIE}={colleagues[who]}", "User-Agent": "another"})
    assert listed(theirs.text) == listed(mine.text)
    assert following(theirs.text) == following(mine.text)
    shown, found, _ = listed(mine.text)
    assert found, "what was sought is found"
    assert not names or len(shown) == min(3, len(names)), (shown, heads)
    for link in re.findall(r'href="([^"]+)"', mine.text):
        assert len(link) <= 2_000
