"""A form of a page whose object has changed meanwhile: says who changed what and when, writes nothing, keeps what was typed."""

import html
import re
import threading

import httpx2
import pytest

from suanquan.db import people
from suanquan.http.app import PAGES
from suanquan.http.auth import COOKIE
from suanquan.portal.forms import MARK, STAMP
from suanquan.portal.stamp_text import NAMES, TEXTS
from suanquan.portal.stamps import STAMPED
from suanquan.settings import load_settings
from suanquan.use_cases import accounts
from tests.back_ends import rows
from tests.suanquan.site import VISITS, made_site
from tests.suanquan.test_portal import CJK, FROM_HERE, HOLDER, words

ZH, EN = TEXTS["zh"], TEXTS["en"]
UNSTAMPED = {
    "/login": "no object", "/keep": "changes nothing", "/find": "changes nothing", "/present": "makes a new hold", "/channels": "makes a new channel",
    "/channels/{channel}/{act}": "twice is once", "/holds/{hold}/release": "gives back whatever is left",
    "/logout": "no object", "/verify": "changes nothing", "/views": "one's own names",
    "/views/remove": "one's own names", "/inbox/read": "one's own", "/inbox/choice": "one's own", "/settlements": "makes a new batch", "/members": "makes a new account",
    "/vouchers/{jti}/statement": "changes nothing",
    **{f"/bulk/{name}": "each row has its own stamp" for name in ("applications", "quarantine", "findings", "settlements")},
    "/sheets/{sheet}": "makes a new draft", "/sheets/drafts/{draft}": "rules are looked at in the transaction",
}  # fmt: skip
"""Forms of pages that change no object that the page shows."""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with made_site(tmp_path_factory.mktemp("stale")) as site:
        yield site


@pytest.fixture(scope="module")
def visit(site):
    """`visit(who, path, data)`: the page that somebody gets, or gets after sending a form."""
    with httpx2.Client(base_url=site.url, headers=FROM_HERE, timeout=60) as client:

        def go(who, path, data=None):
            cookie = {"Cookie": f"{COOKIE}={site.tokens[who]}"}
            return client.get(path, headers=cookie) if data is None else client.post(path, data=data, headers=cookie)

        yield go


def fields_of(page, action, within=""):
    """Hidden and typed fields of the form of a page that is sent to an address and has this in it."""
    forms = re.findall(r'<form[^>]*action="([^"]*)"[^>]*>(.*?)</form>', page, re.DOTALL)
    [found] = [body for address, body in forms if html.unescape(address) == action and within in body]
    return {
        name: html.unescape(value)
        for name, value in re.findall(r'<input[^>]*name="([^"]*)"[^>]*value="([^"]*)"', found)
    }


CENTRE_ENERGY = {"centre": "sj01", "total_kwh": "1000", "it_kwh": "900", "green_kwh": "100", "evidence": "ab" * 32}
DETAILS = {
    "act": "set",
    "payee": "centre:sj01",
    "uscc": HOLDER,
    "account": "62220001",
    "bank": "某银行",
    "bank_code": "102290000001",
}
FORMS = {
    # route: who, page, address of the form, what the form has in it, typed, who acts first and how, what is told of it
    "/applications/{application}/steps/{step}": (
        "专家组", VISITS["application"][1], "/applications/{application}/steps/record_review", "",
        {"method": "experts", "opinion": "意见不会丢", "score": "80.5"},
        ("专家组", "/applications/{application}/steps/record_review", {"method": "experts", "opinion": "先办的", "score": "90.5"}),
        "记录专家评审",
    ),
    "/applications/{application}/supplement": (
        "holder", "/applications/{returned}/supplement", "/applications/{returned}/supplement", "", {"contract.number": "号不会丢"},
        ("holder", "/applications/{returned}/steps/withdraw", {"reason": "不再需要"}), "撤回",
    ),
    "/office/rounds": (
        "何", "/office/rounds", "/office/rounds", 'value="fund"', {"round": "{round}", "basis": "依据不会丢"},
        ("何", "/v1/subsidies/rounds/{round}/budgets", {"budgets": {"cn-sh-songjiang-sandbox": "2000"}, "basis": "再追加"}),
        ZH["round_fund"],
    ),
    "/office/findings/{finding}": (
        "department", "/office/findings/{finding}", "/office/findings/{finding}", "", {"state": "dismissed", "reason": "理由也不会丢"},
        ("林", "/office/findings/{finding}", {"state": "explained", "reason": "先判的"}), ZH["did_finding"],
    ),
    "/applications/new": (
        "holder", VISITS["apply-company"][1], VISITS["apply-company"][1] + "&unit=CNY&step=company", "", {"act": "submit", "project": "不会丢的项目"},
        ("何", "/v1/subsidies/rounds/{round}/budgets", {"budgets": {"cn-sh-songjiang-sandbox": "1000"}, "basis": "追加"}),
        ZH["round_fund"],
    ),
    "/settlements/{batch}/{act}": (
        "department", "/settlements/{batch}", "/settlements/{batch}/return", "", {"reason": "理由不会丢"},
        ("department", "/settlements/{batch}/certify", {}), ZH["fact_kind_evidence"],
    ),
    "/payees": (
        "department", "/payees", "/payees", 'value="set"', DETAILS | {"name": "不会丢的户名"},
        ("林", "/payees", DETAILS | {"name": "先填的户名"}), ZH["fact_kind_payee"],
    ),
    "/energy": (
        "centre", "/energy", "/energy", "", CENTRE_ENERGY | {"month": "2026-09"},
        ("centre", "/energy", CENTRE_ENERGY | {"month": "2026-08"}), f"{ZH['energy_month']} 2026-08",
    ),
    "/usage/disputes": (
        "holder", VISITS["line"][1].replace("/usage/line", "/usage"), "/usage/disputes", "", {"reason": "理由也不会丢"},
        ("holder", "/usage/disputes", {"reason": "先提的"}), ZH["dispute_state_open"],
    ),
    "/disputes/{dispute}": (
        "department", "/disputes/1", "/disputes/1", "", {"act": "answer", "reason": "答复不会丢"},
        ("林", "/disputes/1", {"act": "answer", "reason": "先答的"}), ZH["dispute_state_answered"],
    ),
    "/members/end": (
        "holder", "/members", "/members/end", "temp", {},
        ("holder", "/members", {"name": "temp", "role": "beneficiary_admin"}), ZH["did_account.make"],
    ),
    "/clock": (
        "department", "/clock", "/clock", "", {"span": "1d"}, ("officer", "/clock", {"span": "1m"}), ZH["did_clock.set"],
    ),
}  # fmt: skip


def test_every_form_that_changes_something_is_stamped():
    """A form that somebody adds is in one of the lists above."""
    sent = {route.path for pages in PAGES for route in pages.routes if "POST" in route.methods}
    assert sent == STAMPED.keys() | UNSTAMPED.keys()
    assert FORMS.keys() == STAMPED.keys()


def entries_of(visit):
    """How many entries the log has."""
    return re.search(r"(\d[\d,]*) ?条", words(visit("officer", "/office").text))[1]


@pytest.fixture
def opened(site, visit):
    """`opened(route)`: who sends the form of a route, to which address, and what it holds as the page shows it."""

    def get(route):
        who, page, action, within, typed, _, _ = FORMS[route]
        if route == "/members/end":
            visit("holder", "/members", {"name": "temp", "role": "beneficiary_member"})
        page, action = (text.format(**site._asdict()) for text in (page, action))
        shown = visit(who, page)
        assert shown.status_code == 200, shown.text
        typed = {name: text.format(**site._asdict()) for name, text in typed.items()}
        return who, action, fields_of(shown.text, action, within) | typed

    return get


def act_first(site, visit, route, fields):
    """Somebody else acts on the object meanwhile."""
    who, path, typed = FORMS[route][5]
    path = path.format(**site._asdict())
    if path.startswith("/v1/"):
        bearer = {"Authorization": f"Bearer {site.tokens[who]}"}
        done = httpx2.post(site.url + path, json=typed, headers=bearer, timeout=60)
    else:
        base = fields if route == "/usage/disputes" else {}
        done = visit(who, path, {name: text for name, text in base.items() if name not in {MARK, STAMP}} | typed)
    assert done.status_code in {200, 201, 303}, done.text
    return who


@pytest.mark.parametrize("route", FORMS)
def test_a_form_that_comes_too_late_writes_nothing(site, visit, opened, route):
    """Who did what is told, what was typed is there, the log is as long as before; and one goes on with the state as it is."""
    who, action, fields = opened(route)
    assert fields[STAMP]
    person = act_first(site, visit, route, fields)
    before = entries_of(visit)
    stale = visit(who, action, fields)
    told = html.unescape(words(stale.text))
    assert (stale.status_code, ZH["stale_title"] in told, "page-stale" in stale.text) == (409, True, True), told
    assert ZH["stale_nobody"] not in told
    assert person in told
    assert FORMS[route][6] in told
    assert re.search(r"2026-11-2\d|2026 年 11 月 2\d 日", told), "when"
    typed = {name: fields[name] for name in FORMS[route][4] if name != "act"}
    for text in typed.values():
        assert text in html.unescape(stale.text)
    assert entries_of(visit) == before
    again = fields_of(stale.text, action)
    assert {name: again[name] for name in typed} == typed
    assert again[STAMP] != fields[STAMP]
    on = visit(who, action, again | {"act": fields.get("act", "")})
    assert "page-stale" not in on.text, "it is judged by the state as it is now"
    english = visit(who, f"{action}{'&' if '?' in action else '?'}lang=en", fields)
    assert EN["stale_title"] in english.text


def test_who_disputed_is_told_of_each_step(site, visit):
    """A dispute's steps are told to the centre, the office and the holder of the account."""
    fields = fields_of(
        visit("holder", VISITS["line"][1].replace("/usage/line", "/usage").format(**site._asdict())).text,
        "/usage/disputes",
    )
    visit("holder", "/usage/disputes", fields | {"reason": "再问一次"})
    told = rows(
        site.home.place(load_settings(site.home.settings_file)),
        "SELECT DISTINCT audience FROM notice WHERE kind = 'dispute.step'",
    )
    assert {audience for (audience,) in told} == {"centre:sj01", "office", f"holder:{HOLDER}"}


def test_of_two_at_once_one_is_too_late(visit, opened):
    """The version is looked at within the transaction of the act: of forms that were shown the same state, one is acted on."""
    who, action, fields = opened("/energy")
    answers = []
    send = [fields | {"month": f"2026-0{month}"} for month in range(1, 7)]
    threads = [threading.Thread(target=lambda one=one: answers.append(visit(who, action, one))) for one in send]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(one.status_code for one in answers) == [303, *[409] * 5]


def test_a_member_is_looked_at_within_the_transaction(site, visit, monkeypatch):
    """Whose role changes between the page's look and the act keeps the account: it is looked at where it is written."""
    visit("holder", "/members", {"name": "later", "role": "beneficiary_member"})
    fields = fields_of(visit("holder", "/members").text, "/members/end", "/later")
    end = accounts.end_account

    async def changed_first(access, by, name, request=""):
        async with access.database.write() as conn:
            await people.grant(conn, name, people.Grant("auditor", ""), "林", access.now_us)
        return await end(access, by, name, request)

    with monkeypatch.context() as patched:
        patched.setattr(accounts, "end_account", changed_first)
        late = visit("holder", "/members/end", fields)
    assert (late.status_code, "page-stale" in late.text) == (409, True), late.text

    async def state():
        async with site.service.database.read() as conn:
            return (await people.find_person(conn, fields["name"])).state

    assert site.call(state()) == people.ACTIVE


def test_a_form_tells_nothing_of_what_is_anothers(site, visit):
    """A stranger's made-up stamp learns neither who acted nor that there is something."""
    made_up = {STAMP: "0", "method": "experts", "opinion": "x", "score": "1"}
    case = visit("stranger", f"/applications/{site.application}/steps/record_review", made_up)
    line = visit(
        "stranger",
        "/usage/disputes",
        {STAMP: "0", "centre": "sj01", "account": "covered", "batch": "1", "record": "x", "reason": "y"},
    )
    end = visit("stranger", "/members/end", {STAMP: "x", "name": f"{HOLDER}/temp"})
    for answer in (case, line, end):
        assert answer.status_code in {403, 404, 422}, answer.text
        assert ZH["stale_title"] not in answer.text


def test_every_text_stands_in_both_languages():
    """No English text has Chinese in it."""
    assert not [key for key in NAMES if CJK.search(EN[key])]
