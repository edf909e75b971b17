"""Forms that act once and lose nothing, and views that people save: by the buttons of the pages themselves."""

import html
import re
import threading
from hashlib import sha256

import httpx2
import pytest
from starlette.requests import Request

from suanquan.http.auth import COOKIE
from suanquan.portal import forms
from suanquan.portal.table import ROWS_PER_PART, Cell, Column, table
from suanquan.portal.text import TEXTS
from tests.suanquan.test_portal import FROM_HERE
from tests.suanquan.test_portal_office import filled  # noqa: F401 - a fixture

ZH = TEXTS["zh"]
REASON = "多算了一小时：作业 1 在 13:00 已停"


def form_in(page, action):
    """The hidden and typed fields of a form of a page, by name."""
    [found] = re.findall(rf'<form[^>]*action="{action}[^"]*"[^>]*>.*?</form>', page, re.DOTALL)
    fields = re.findall(r'<input[^>]*name="([^"]*)"[^>]*value="([^"]*)"', found)
    return {name: html.unescape(value) for name, value in fields}


@pytest.fixture
def browser(filled):  # noqa: F811
    """A browser of a holder, whose session a test may end."""
    running, tokens = filled
    with httpx2.Client(base_url=running.url, headers=FROM_HERE, timeout=60) as client:
        client.cookies.set(COOKIE, tokens["holder"])
        yield client


def disputes_of(filled):  # noqa: F811
    """How many lines are disputed."""

    async def count(service):
        async with service.database.read() as conn:
            return (await conn.exec_driver_sql("SELECT COUNT(*) FROM usage_dispute")).scalar_one()

    return filled[0].call(count(filled[0].service))


def dispute_form(browser):
    """The form for disputing the holder's one line."""
    page = browser.get("/usage").text
    [address] = set(re.findall(r'href="(/usage\?[^"]*record=[^"]*)#dispute"', page))
    return form_in(browser.get(html.unescape(address)).text, "/usage/disputes")


def test_a_form_comes_back_after_its_session_has_ended_and_acts_once(filled, browser):  # noqa: F811
    """Typed, session over, signed in again (the second time right): everything is there; pressed twice, one act, and it is said."""
    fields = dispute_form(browser) | {"reason": REASON}
    assert fields[forms.MARK]
    before = disputes_of(filled)
    browser.cookies.clear()
    over = browser.post("/usage/disputes", data=fields)
    assert (over.status_code, ZH["session_over"] in over.text, REASON in over.text) == (401, True, True)
    kept = _login_of(over.text)
    wrong = browser.post("/login", files=_as_files(kept | {"token": "sqt_wrong"}))
    assert (wrong.status_code, REASON in wrong.text) == (401, True)
    back = browser.post("/login", files=_as_files(_login_of(wrong.text) | {"token": filled[1]["holder"]}))
    assert (back.status_code, ZH["resume_title"] in back.text, REASON in back.text) == (200, True, True)
    again = form_in(back.text, "/usage/disputes")
    form = browser.post("/usage/disputes", files=_as_files(again | {forms.BACK: "1"}))
    assert f">{REASON}</textarea>" in form.text
    assert disputes_of(filled) == before, "nothing was acted on so far"

    last = form_in(form.text, "/usage/disputes") | {"reason": REASON}
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(browser.post("/usage/disputes", data=last))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [one.status_code for one in answers] == [303, 303, 303], [one.text for one in answers]
    assert disputes_of(filled) == before + 1
    places = sorted(one.headers["location"] for one in answers)
    assert [f"{forms.AGAIN}=1" in place for place in places].count(True) == 2
    told = browser.get(next(place for place in places if forms.AGAIN in place)).text
    assert ZH["sent_before"] in told
    assert f"{forms.AGAIN}=1" not in re.sub(r"<option.*?>", "", told), "no link keeps it"
    filled[0].call(_forget_places(filled[0].service))
    unsettled = browser.post("/usage/disputes", data=last)
    assert (unsettled.status_code, "form-unsettled" in unsettled.text) == (409, True)
    late = browser.post("/usage/disputes", data=last | {"reason": "另一个理由"})
    assert (late.status_code, "page-stale" in late.text) == (409, True)
    unstamped = {name: text for name, text in last.items() if name != forms.STAMP} | {"reason": "另一个理由"}
    stale = browser.post("/usage/disputes", data=unstamped)
    assert (stale.status_code, "dispute-open" in stale.text) == (409, True)
    assert ZH["typed_not_lost"] in stale.text
    assert "另一个理由" in stale.text


async def _forget_places(service):
    """As after a crash in the middle of an act: nobody knows what came of any form."""
    async with service.database.write() as conn:
        await conn.exec_driver_sql("UPDATE form_sent SET place = ''")


def _login_of(page):
    """The fields of the form that takes a token, as the page has them."""
    found = re.findall(r'<form[^>]*action="/login"[^>]*>.*?</form>', page, re.DOTALL)[-1]
    return {name: html.unescape(text) for name, text in re.findall(r'name="(kept|once)" value="([^"]*)"', found)}


def _as_files(fields):
    """Fields as a browser sends them in a form of several parts."""
    return {name: (None, value) for name, value in fields.items()}


async def test_a_form_is_read_before_its_files_are_closed():
    """What was typed, and the SHA-256 of a file in the place of its field, are there after the handler has closed the form."""
    body = (
        b'--b\r\nContent-Disposition: form-data; name="reason"\r\n\r\n'
        + REASON.encode()
        + b'\r\n--b\r\nContent-Disposition: form-data; name="paper:file"; filename="a.pdf"\r\n\r\n%PDF\r\n--b--\r\n'
    )
    headers = {"content-type": "multipart/form-data; boundary=b", "sec-fetch-site": "same-origin", "host": "x"}

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {"type": "http", "method": "POST", "path": "/applications/new", "query_string": b"", "server": ("x", 80)}
    request = Request(scope | {"headers": [(k.encode(), v.encode()) for k, v in headers.items()]}, receive)
    first = await forms.typed_of(request)
    await request.close()
    assert first == await forms.typed_of(request)
    assert dict(first.fields) == {"reason": REASON, "paper": sha256(b"%PDF").hexdigest()}
    assert first.can_go_on


def test_what_another_site_sends_is_neither_kept_nor_shown(browser):
    """Nothing typed elsewhere comes back under our name, signed in or not."""
    for cookies in (True, False):
        if not cookies:
            browser.cookies.clear()
        answer = browser.post(
            "/usage/disputes", data={"reason": "WRITTEN-ELSEWHERE"}, headers={"Sec-Fetch-Site": "cross-site"}
        )
        assert answer.status_code in {401, 403}
        assert "WRITTEN-ELSEWHERE" not in answer.text
    for kept in ('["//evil.example",[["a","b"]]]', '["https://evil.example",[]]', "[1,2]", "x", '["/x",7]', "[" * 5000):
        assert forms.read_kept(kept) is None


def test_views_are_saved_by_account_and_found_at_their_list(filled, browser):  # noqa: F811
    """Saved from the list, shown there and on a page of its own; another account sees none; a wrong one says what is wrong."""
    page = browser.get("/vouchers?sort=-issued&columns=jti&columns=issued&after=0~x").text
    fields = form_in(page, "/views") | {"name": "按发放额"}
    assert (
        browser.post("/views", data=fields).headers["location"] == "/vouchers?sort=-issued&columns=jti&columns=issued"
    )
    shown = browser.get("/vouchers").text
    assert ">按发放额</a>" in shown
    assert ">按发放额</a>" in browser.get("/views").text
    assert ">按发放额</a>" not in browser.get("/applications").text
    officer = {"Authorization": f"Bearer {filled[1]['finance']}"}
    browser.cookies.clear()
    assert "按发放额" not in browser.get("/views", headers=officer).text
    browser.cookies.set(COOKIE, filled[1]["holder"])
    for wrong in (
        {"name": " "},
        {"name": "x" * 41},
        {"path": "//evil.example"},
        {"path": "/nowhere"},
        {"query": "a=" + "b" * 3000},
    ):
        refused = browser.post("/views", data=fields | {forms.MARK: ""} | wrong)
        assert (refused.status_code, "view-malformed" in refused.text) == (422, True), wrong
    gone = form_in(browser.get("/views").text, "/views/remove")
    assert browser.post("/views/remove", data=gone).status_code == 303
    assert "按发放额" not in browser.get("/vouchers").text


COLUMNS = (Column("id", "record", key=True), Column("size", "cards", number=True))


def part(names, query=""):
    """The part of a list that an address shows, and its links."""
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/usage",
        "query_string": query.encode(),
        "headers": [],
        "server": ("x", 80),
    }
    rows = [{"id": Cell(name), "size": Cell(str(len(name)), order=len(name))} for name in names]
    found = table(Request(scope), "list", COLUMNS, rows)
    return [row["id"].said for row in found.rows], found.links


def test_rows_that_come_in_between_make_none_twice_and_none_missing(seed):
    """Paging on while rows are added in front, and back again: every row that was there is seen once, in order."""
    print("seed", seed)
    names, seen, link = [f"r{number:03d}" for number in range(97)], [], "?"
    for turn in range(10):
        shown, links = part(names, link.partition("?")[2])
        seen += shown
        names = [f"n{turn}-{seed % 7}-{at}" for at in range(turn % 3)] + names
        if "next" not in links:
            break
        link = links["next"]
    assert seen == [f"r{number:03d}" for number in range(97)]
    shown, links = part(names, links["previous"].partition("?")[2])
    assert shown == [f"r{number:03d}" for number in range(60, 80)]
    del names[names.index("r079")]
    assert part(names, "after=79~r079")[0][:1] == [names[79]], "where it stood, once the row is gone"
    assert len(part(names, "after=9999999~nothing")[0]) == ROWS_PER_PART
    same = [["twice"]] * 45
    assert part([one for [one] in same], "after=39~twice")[0] == ["twice"] * 5, (
        "names that do not tell rows apart go by place"
    )
