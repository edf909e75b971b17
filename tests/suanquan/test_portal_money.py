"""元 or 万元: chosen once, kept by the browser, obeyed on every page with amounts; a file goes by its address and says its unit."""

import html
import re
from decimal import Decimal

import pytest

from suanquan.portal.files import seen
from suanquan.portal.frame import IN_WAN, MONEY_COOKIE
from tests.suanquan.site import VISITS
from tests.suanquan.test_portal import FROM_HERE

AMOUNTS = {
    name: one
    for name, one in VISITS.items()
    if one[1].partition("?")[0] in {*IN_WAN, "/bulk/settlements", "/statements/sj01/covered/2026-11"}
}

NOTHING = {
    "subsidies",
    "applications",
    "apply",
    "apply-company",
    "apply-amount",
    "apply-material",
    "present",
    "office-queue",
}
"""Pages that have no amount other than what is typed, as the site stands."""


def visited(acted_on, client, name, more="", cookie=""):
    who, path = VISITS[name]
    path = path.format(**acted_on._asdict())
    headers = FROM_HERE | (
        {"Cookie": "; ".join(filter(None, (f"suanquan_token={acted_on.tokens[who]}" if who else "", cookie)))}
    )
    return client.get(f"{path}{'&' if '?' in path else '?'}{more}" if more else path, headers=headers)


def pairs_of(page):
    """Terms and what stands beside them, and sheets, of what is shown and not typed."""
    text = re.sub(r"<form.*?</form>|<label.*?</label>", " ", page, flags=re.DOTALL)
    told = {}
    for term, said in re.findall(r"<dt>(.*?)</dt>\s*<dd[^>]*>(.*?)</dd>", text, re.DOTALL):
        told.setdefault(html.unescape(term), html.unescape(re.sub(r"<[^>]+>", "", said)))
    return told, seen.read(page.replace('class="listed', 'class="')).sheets


def is_moved(before, after):
    """Whether every number of a text is a ten-thousandth of what it was."""
    numbers = [
        [Decimal(one) for one in re.findall(r"\d+(?:\.\d+)?", text.replace(",", ""))] for text in (before, after)
    ]
    return len(numbers[0]) == len(numbers[1]) and all(new * 10_000 == old for old, new in zip(*numbers, strict=True))


@pytest.mark.parametrize("name", AMOUNTS)
def test_every_amount_of_a_page_moves_with_its_unit(acted_on, browser, name):
    """Where 万元 stands for 元 the figures are a ten-thousandth, in lists of terms and in tables; all else is as it was."""
    yuan, wan = (visited(acted_on, browser, name, cookie=f"{MONEY_COOKIE}={unit}").text for unit in ("yuan", "wan"))
    (terms, sheets), (other_terms, other_sheets) = pairs_of(yuan), pairs_of(wan)
    assert [term.replace("（元）", "（万元）") for term in terms] == list(other_terms)
    for (term, before), after in zip(terms.items(), other_terms.values(), strict=True):
        assert (
            is_moved(before, after)
            if "（元）" in term and before != "—"
            else before == after or is_moved(before, after)
        ), term
    moved = sum(before != after for before, after in zip(terms.values(), other_terms.values(), strict=True))
    for one, other in zip(sheets, other_sheets, strict=True):
        for head, new, *cells in zip(one.heads, other.heads, *map(zip, one.rows, other.rows), strict=True):
            assert new.text == head.text.replace("（元）", "（万元）")
            for before, after in cells:
                moved += before != after
                if "（元）" in head.text and before != "—":
                    assert is_moved(before, after), (head.text, before, after)
    assert moved or name in NOTHING, name
    yuan = re.sub("<noscript>.*?</noscript>", "", yuan)
    assert "money=wan" not in yuan.replace(f'{html.escape("money=wan")}">', ""), "only the switch leads there"


def test_the_choice_is_kept_by_the_browser(acted_on, browser):
    """The switch sets it, pages without a word in their address obey, the other switch ends it; what is typed stays in yuan."""
    first = visited(acted_on, browser, "settlement", "money=wan")
    kept = first.headers["set-cookie"]
    assert kept.startswith(f"{MONEY_COOKIE}=wan;")
    assert "HttpOnly" in kept
    assert "（万元）" in visited(acted_on, browser, "statements", cookie=f"{MONEY_COOKIE}=wan").text
    back = visited(acted_on, browser, "settlement", "money=yuan", cookie=f"{MONEY_COOKIE}=wan")
    assert back.headers["set-cookie"].startswith(f"{MONEY_COOKIE}=yuan;")
    assert "（万元）" not in back.text
    assert visited(acted_on, browser, "settlement", cookie=f"{MONEY_COOKIE}=<script>").status_code == 200
    applied = visited(acted_on, browser, "apply-amount", cookie=f"{MONEY_COOKIE}=wan").text
    assert "其中算力金额（元）" in applied, "an amount that is typed is in yuan"


def test_a_file_says_its_unit_and_loses_nothing(acted_on, browser):
    """By its address alone: without a word in it in yuan, whatever the browser keeps; both are the same money."""
    plain = visited(acted_on, browser, "settlements", "format=csv", cookie=f"{MONEY_COOKIE}=wan").text
    moved = visited(acted_on, browser, "settlements", "format=csv&money=wan").text
    assert "金额（元）" in plain
    assert "金额（万元）" in moved
    [amount], [other] = (re.findall(r",(\d+\.\d+),", text) for text in (plain, moved))
    assert Decimal(other) * 10_000 == Decimal(amount)
