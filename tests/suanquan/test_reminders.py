"""Reminders: each event of a voucher's, a centre's and a budget's life is told once to those whom it concerns, and shown in the inbox."""

import copy
import html
from datetime import date, timedelta

import httpx2
import pytest

from suanquan.db import notices
from suanquan.db.tokens import create_token
from suanquan.home import Home
from suanquan.http.auth import COOKIE
from suanquan.notices.model import OFFICE, Kind, of_centre, of_holder
from suanquan.portal.inbox_page import CHOSEN
from suanquan.portal.inbox_text import NAMES, TEXTS
from suanquan.settings import Settings
from suanquan.use_cases import reminders, setup
from suanquan.use_cases.reminders import remind
from tests.suanquan.bureau import MovedService
from tests.suanquan.harness import PASSPHRASE, give
from tests.suanquan.test_portal import CJK, FROM_HERE, HOLDER, record, report, words
from tests.subsidy.procedure_samples import Clock
from voucher.findings import CHECKS

ZH = TEXTS["zh"]
CENTRE, MINE = of_centre("sj01"), of_holder(HOLDER)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A service with a clock, and `told()`: reminders that are due now, by kind and audience."""
    home, clock = Home(tmp_path_factory.mktemp("reminders") / "home"), Clock("2026-09-28T09:00:00+08:00")
    setup.initialise(home, Settings(sandbox=True), PASSPHRASE, clock)
    with MovedService(home, clock) as served:
        service, seen = served.service, [0]

        async def new():
            await remind(service)
            async with service.database.read() as conn:
                rows = [
                    one
                    for audience in (OFFICE, CENTRE, MINE)
                    for one in await notices.list_notices(conn, audience, (), 2**62, 500)
                ]
            found = {(one.kind, one.audience): one.subject for one in rows if one.number > seen[0]}
            seen[0] = max([seen[0], *(one.number for one in rows)])
            return found

        yield served, clock, lambda: served.call(new())


def test_each_event_is_told_once_to_whom_it_concerns(told):
    """Issued, quarantined, silent, statement ready, a document about to end: told when it comes, and not again."""
    served, clock, due = told
    service = served.service

    async def begin():
        await setup.register_centre(service.journal, service.catalog, "sj01", "松江智算中心", {"A100": 8})
        return (await give(service, HOLDER, "10000", accounts=["covered"])).jti

    jti = served.call(begin())
    assert due() == {("voucher.issued", MINE): jti}
    assert due() == {}

    def used(number, model):
        one = copy.deepcopy(record(number, "covered", 1, model=model))
        one["data"] |= {"start": "2026-09-27T00:00:00Z", "end": "2026-09-27T10:00:00Z"}
        served.call(report(service, one | {"time": "2026-09-27T11:00:00Z"}))

    used(1, "A100")
    assert due() == {}
    for number in (2, 3):
        used(number, "unheard-of")
        assert due() == {("quarantine.new", CENTRE): "sj01", ("quarantine.new", OFFICE): "sj01"}
        assert due() == {}
    clock.set("2026-10-02T09:00:00+08:00")
    month = {("statement.ready", audience): "2026-09" for audience in (CENTRE, MINE)}
    assert due() == month | {("agent.silent", CENTRE): "sj01", ("agent.silent", OFFICE): "sj01"}
    assert due() == {}
    clock.set("2026-11-02T09:00:00+08:00")
    assert due() == {}, "nothing was used in October, and it is the same silence"
    last = max(one.last_day for one in service.subsidies.policies.documents.values())
    assert last > date(2026, 11, 3)
    for days, span in ((90, 90), (30, 30), (29, None), (7, 7), (1, 1), (0, None)):
        clock.set(f"{last - timedelta(days=days)}T09:00:00+08:00")
        spans = [subject.rpartition("/")[2] for (kind, _), subject in due().items() if kind == "document.expiring"]
        assert spans == ([str(span)] if span else []), days


def test_a_budget_is_told_of_at_its_share():
    """At 80 % and at 95 %, under names of their own; a budget of nothing is not used up."""

    def told_of(whole, left):
        year = {"year": 2026, "unit": "CNY", "budget": whole, "left": left}
        return [one.subject for one in reminders._budget("s", year)]

    assert told_of("100.000000", "20.000001") == []
    assert told_of("100.000000", "20.000000") == ["s/2026/CNY/80"]
    assert told_of("100.000000", "5.000000") == ["s/2026/CNY/95"]
    assert told_of("0.000000", "0.000000") == []


def test_a_number_is_told_of_when_it_grows(told):
    """Findings and gaps: five after three, not three again, nor fewer; nothing of none."""
    served, _, _ = told
    check = next(iter(CHECKS))

    async def grown(count):
        async with served.service.database.write() as conn:
            one = notices.Notice(Kind.FINDING_RAISED, OFFICE, check, "x", "x", {"open": count})
            found = await reminders._grown(conn, Kind.FINDING_RAISED, [one], "open")
            for notice in found:
                await notices.put(conn, notice, served.service.now_us)
            return len(found)

    assert [served.call(grown(count)) for count in (0, 3, 3, 5, 4, 5, 6)] == [0, 1, 0, 1, 0, 0, 1]


def test_the_inbox_shows_what_one_was_told(told):
    """New ones are marked and counted on every page, lead to what they are about, and are read once one says so; one's choice holds."""
    served, _, _ = told

    async def tokens(service):
        async with service.database.write() as conn:
            return [
                await create_token(conn, role, role, service.now_us, tenant=tenant)
                for role, tenant in (("beneficiary_admin", HOLDER), ("centre_operator", "sj01"), ("finance", ""))
            ]

    mine, centre, office = served.call(tokens(served.service))
    with httpx2.Client(base_url=served.url, headers=FROM_HERE, timeout=60) as client:

        def visit(token, path="/inbox", data=None):
            cookie = {"Cookie": f"{COOKIE}={token}"}
            return client.get(path, headers=cookie) if data is None else client.post(path, data=data, headers=cookie)

        page = visit(mine)
        shown = html.unescape(words(page.text))
        assert f"{ZH['inbox']} 2" in shown, "in the navigation"
        assert ZH["inbox_unread"].format(count=2) in shown
        assert page.text.count(f'<span class="tag">{ZH["inbox_new"]}</span>') == 2
        [jti] = {part.partition('"')[0] for part in page.text.split('href="/vouchers/')[1:]}
        assert visit(mine, f"/vouchers/{jti}").status_code == 200
        newest = page.text.partition('name="up_to" value="')[2].partition('"')[0]
        assert visit(mine, "/inbox/read", {"up_to": newest}).status_code == 303
        assert ZH["inbox_unread"].format(count=0) in words(visit(mine).text)
        assert 'href="/centre/quarantine"' in visit(centre).text.partition("<main")[2]
        assert 'href="/office/clauses"' in visit(office).text.partition("<main")[2]
        wrong = visit(mine, "/inbox/choice", {"email": "nobody", "muted": "voucher.issued"})
        assert (wrong.status_code, 'value="nobody"' in wrong.text, wrong.text.count(" checked")) == (422, True, 1)
        chosen = {"email": "p@example.cn", "mailed": ["voucher.used", "no.such"], "muted": "voucher.issued"}
        assert visit(mine, "/inbox/choice", chosen).status_code == 303
        after = visit(mine).text
        assert after.count(" checked") == 2
        assert "/vouchers/" not in after.partition("<main")[2], "kept out of the inbox"


def test_every_kind_has_its_words():
    """In both languages, the English without Chinese beside names of products."""
    assert {f"kind_{kind.value}" for kind in Kind} <= NAMES
    assert len(CHOSEN) == len(Kind) - 1
    plain = {key: TEXTS["en"][key] for key in NAMES}
    assert not [key for key, text in plain.items() if CJK.search(text)]
