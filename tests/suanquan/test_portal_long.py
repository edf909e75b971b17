"""Lists that are longer than a page reads at once begin with the newest rows, and lead to every earlier one."""

import html
import re

import pytest

from ledger.scope import EVERYTHING
from metering.notice_store import urns_of
from suanquan.portal import disputing, holding
from suanquan.use_cases.line_disputes import Line, Person, open_dispute
from tests.suanquan.harness import SCHEME
from tests.suanquan.spender import HOLDER_KEY, Spender
from tests.suanquan.test_portal import HOLDER
from voucher.issuance import IssueRequest


@pytest.fixture(scope="module")
def held(acted_on):
    """Holds of one centre, as they were taken."""
    bound = acted_on.call(acted_on.service.issue(SCHEME, IssueRequest(HOLDER, "CNY", "500", dict(HOLDER_KEY.jwk()))))
    spender = Spender(acted_on.url, clock=lambda: acted_on.service.now_us / 1_000_000)
    return [spender.hold(bound.token, 1 + at).content["hold"] for at in range(5)], spender, bound


@pytest.fixture(scope="module")
def disputed(acted_on):
    """Lines that their holder disputed, by number of the dispute."""

    async def dispute(record):
        async with acted_on.service.database.read() as conn:
            source = (await urns_of(conn, [acted_on.number]))[acted_on.number]
        line = Line("sj01", "covered", source, record)
        who = Person("holder", "beneficiary_admin")
        return await open_dispute(acted_on.service.journal, line, who, "逐页", EVERYTHING)

    for number in (7, 8, 9):
        acted_on.call(dispute(f"job:{number:06d}"))


def pages_of(visit, who, path, pattern, between=lambda: None):
    """What each part of a list has, from the newest on."""
    parts, address = [], path
    while address:
        page = visit(who, address).text
        parts.append(list(dict.fromkeys(re.findall(pattern, page))))
        following = re.search(r'href="([^"]*below=[^"]*)" rel="next"', page)
        address = html.unescape(following[1]) if following else ""
        between()
    return parts


def test_the_newest_holds_come_first(acted_on, visit, held, monkeypatch):
    """Each once, also while another is taken in between; a state stays chosen; the way back to the newest is there."""
    taken, spender, bound = held
    monkeypatch.setattr(holding, "HOLDS_MAX", 2)
    pattern = r'href="/holds/([0-9a-f]{32})"'
    parts = pages_of(visit, "centre", "/holds?state=open", pattern, lambda: spender.hold(bound.token, 1))
    seen = [hold for part in parts for hold in part]
    assert all(len(part) <= 2 for part in parts)
    assert seen == sorted(set(seen), reverse=True)
    assert set(taken) <= set(seen)
    last = visit("centre", f"/holds?state=open&below={taken[2]}").text
    assert 'href="/holds?state=open"' in last
    assert f"below={taken[2]}" in last, "its own links stay in this part"
    assert visit("centre", "/holds?below=x").status_code == 200


@pytest.mark.parametrize("who", ["holder", "centre", "officer"])
def test_the_newest_disputes_come_first(visit, disputed, monkeypatch, who):
    """Each once, to whoever may see them."""
    del disputed
    monkeypatch.setattr(disputing, "ROWS_MAX", 2)
    parts = pages_of(visit, who, "/disputes", r'href="/disputes/(\d+)"')
    numbers = [int(number) for part in parts for number in part]
    assert len(numbers) >= 4
    assert numbers == sorted(set(numbers), reverse=True)
    assert numbers[-1] == 1
