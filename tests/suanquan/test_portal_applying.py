"""Applying page by page: each page asks one thing, says its own faults, and loses nothing on the way forwards, back or out."""

import html
import re
import threading
from hashlib import sha256

import httpx2
import pytest

from suanquan.http.auth import COOKIE
from suanquan.portal import forms
from suanquan.portal.apply_text import NAMES, TEXTS
from tests.suanquan.test_portal import CJK, FROM_HERE, words
from tests.suanquan.test_portal_forms import _as_files, _login_of
from tests.suanquan.test_portal_pages import form, made_bureau
from tests.voucher.application_samples import APPLICANT, CALL

ZH = TEXTS["zh"]
PAPERS = ("application_form", "business_licence_copy", "credit_report")
PROJECT = "行业模型训练"


@pytest.fixture(scope="module")
def bureau(tmp_path_factory):
    """A home with a round open."""
    with made_bureau(tmp_path_factory.mktemp("applying")) as bureau:
        bureau.http("POST", "/v1/rounds", "方", CALL)
        yield bureau


@pytest.fixture
def browser(bureau):
    """A browser of the company."""
    with httpx2.Client(base_url=bureau.service.url, headers=FROM_HERE, timeout=60) as client:
        client.cookies.set(COOKIE, bureau.tokens[APPLICANT])
        yield client


class Walk:
    """Somebody who fills in page after page, as the pages have their forms."""

    def __init__(self, client, page, answers=None):
        self.client, self.page = client, page
        self.answers = form() if answers is None else answers

    @property
    def title(self):
        return html.unescape(re.search(r"<h1>(.*?)</h1>", self.page)[1])

    @property
    def address(self):
        return html.unescape(re.search(r'<form id="apply"[^>]*action="([^"]*)"', self.page)[1])

    def fields(self):
        """What the form of the page is sent with: hidden fields, what stands in its fields, what is ticked."""
        [found] = re.findall(r'<form id="apply".*?</form>', self.page, re.DOTALL)
        fields, asked = {}, set()
        for tag in re.findall(r"<input[^>]*>", found):
            at = {name: html.unescape(value) for name, value in re.findall(r'([\w-]+)="([^"]*)"', tag)}
            if at.get("type") == "hidden":
                fields[at["name"]] = at["value"]
                continue
            asked.add(at["name"])
            if at.get("type") not in {"radio", "file"} or tag.endswith(" checked>"):
                fields[at["name"]] = at.get("value", "")
        return fields, asked

    def press(self, act, typed=None, files=None):
        """Press a button; where nothing else is typed, each field of the page is answered as it should be."""
        fields, asked = self.fields()
        typed = {name: value for name, value in self.answers.items() if name in asked} if typed is None else typed
        answer = self.client.post(self.address, data=fields | typed | {"act": act}, files=files)
        self.page = answer.text if answer.status_code in {200, 422} else self.page
        return answer

    def go_on(self):
        """To the page of all answers, with a file for each paper; the titles on the way."""
        titles = []
        while self.title != ZH["ask_check"]:
            titles.append(self.title)
            [paper] = re.findall(r'name="material\.(\w+):file"', self.page) or [""]
            files = {f"material.{paper}:file": (f"{paper}.pdf", f"%PDF {paper}".encode())} if paper in PAPERS else None
            answer = self.press("next", files=files)
            assert answer.status_code == 200, words(answer.text)
        return titles


def begun(client, language=""):
    """The first question, once the round is chosen."""
    first = client.get(f"/applications/new{language}").text
    [value] = re.findall(r'<input type="radio" name="call" value="([^"]*)"', first)
    return client.get("/applications/new", params={"step": "call", "call": html.unescape(value)})


def test_each_page_asks_one_thing_and_the_last_shows_all(browser):
    """In order, each once; then every answer with its way back, what the scheme says and why, and one application."""
    before = browser.get("/applications").text.count(PROJECT)
    walk = Walk(browser, begun(browser).text)
    titles = walk.go_on()
    assert titles[:4] == [ZH[f"ask_{name}"] for name in ("company", "project", "contract", "amount")]
    assert len(titles) == len(set(titles)) == 9
    for value in (PROJECT, "200000", sha256(b"%PDF credit_report").hexdigest()):
        assert value in walk.page
    assert len(set(re.findall(r'value="change\.([^"]+)"', walk.page))) == 10, "each page, and the round"
    assert "100,000" in words(walk.page)
    assert ZH["materials_whole"] in walk.page, words(walk.page)
    assert browser.get("/applications").text.count(PROJECT) == before, "nothing was sent so far"
    sent = walk.press("submit", {})
    assert sent.status_code == 303, words(sent.text)
    assert PROJECT in browser.get(sent.headers["location"]).text


def test_a_fault_stands_on_the_page_of_its_field(browser):
    """The page stays, with a summary that links to the field; back takes no notice of faults; nothing typed is lost."""
    walk = Walk(browser, begun(browser).text)
    empty = walk.press("next", {"applicant_name": " "})
    assert (empty.status_code, 'href="#applicant_name"' in empty.text) == (422, True)
    for _ in range(3):
        walk.press("next")
    assert walk.title == ZH["ask_amount"]
    wrong = walk.press("next", {"contract.yuan": "二十万"})
    assert (wrong.status_code, walk.title) == (422, ZH["ask_amount"])
    assert re.findall(r'href="#([\w.]+)"', wrong.text) == ["main", "contract.yuan"]
    assert re.search(r'id="contract.yuan"[^>]*value="二十万"[^>]*aria-invalid', wrong.text)
    walk.press("back", {"contract.yuan": "二十万"})
    assert (walk.title, 'value="HT-2025-001"' in walk.page) == (ZH["ask_contract"], True)
    late = walk.press("next", {"contract.ends_on": "2020-01-01"})
    assert late.status_code == 200, "days are compared once all of the contract is well formed"
    assert 'value="二十万"' in walk.page, "it was carried along, wrong as it is"
    walk.press("next", {"contract.yuan": "200000"})
    assert (walk.title, 'href="#contract.' in walk.page) == (ZH["ask_contract"], True)
    assert PROJECT in str(walk.fields()[0]), "what stands on other pages goes along"


def test_an_answer_is_changed_and_leads_back(browser):
    """From the last page to one page and back, the others as they were; the round, too."""
    walk = Walk(browser, begun(browser).text)
    walk.go_on()
    walk.press("change.project", {})
    assert (walk.title, f'value="{PROJECT}"' in walk.page) == (ZH["ask_project"], True)
    bad = walk.press("check", {"project": ""})
    assert (bad.status_code, walk.title) == (422, ZH["ask_project"])
    walk.press("check", {"project": "改过的项目"})
    assert (walk.title, "改过的项目" in walk.page, PROJECT in walk.page) == (ZH["ask_check"], True, False)
    walk.press("change.call", {})
    action = html.unescape(re.search(r'<form method="post" action="(/applications/new[^"]*)"', walk.page)[1])
    fields = {name: html.unescape(value) for name, value in re.findall(r'name="([^"]*)" value="([^"]*)"', walk.page)}
    walk.page = browser.post(action, data=fields | {"act": "check"}).text
    assert (walk.title, "改过的项目" in walk.page) == (ZH["ask_check"], True)


def test_a_session_that_ends_in_the_middle_loses_nothing(browser, bureau):
    """Signed in again, one is on the same page with what stood there and everything before; sent thrice, it is one application."""
    walk = Walk(browser, begun(browser).text, form() | {"project": "中断的项目", "contract.number": "HT-中断"})
    for _ in range(3):
        walk.press("next")
    browser.cookies.clear()
    over = walk.press("next", {"contract.yuan": "200001"})
    assert (over.status_code, "200001" in over.text) == (401, True)
    back = browser.post("/login", files=_as_files(_login_of(over.text) | {"token": bureau.tokens[APPLICANT]})).text
    [path] = set(re.findall(r' action="(/applications/new[^"]*)"', back))
    fields = {name: html.unescape(value) for name, value in re.findall(r'type="hidden" name="([^"]*)" value="([^"]*)"', back)}  # fmt: skip
    walk.page = browser.post(html.unescape(path), files=_as_files(fields | {forms.BACK: "1"})).text
    assert (walk.title, 'value="200001"' in walk.page) == (ZH["ask_amount"], True)
    walk.go_on()
    assert "中断的项目" in walk.page
    last, address, answers = walk.fields()[0] | {"act": "submit"}, walk.address, []
    threads = [threading.Thread(target=lambda: answers.append(browser.post(address, data=last))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [one.status_code for one in answers] == [303] * 3, [words(one.text) for one in answers]
    assert len({one.headers["location"].partition("?")[0] for one in answers}) == 1


def test_what_is_lacking_is_said_before_it_is_sent(browser):
    """Without a paper one may go on; the last page names what will have to be supplemented."""
    answers = form() | {"material.credit_report.bad_record": "yes"}
    walk = Walk(browser, begun(browser).text, answers)
    while walk.title != ZH["ask_check"]:
        assert walk.press("next").status_code == 200
    assert ZH["materials_open"] in walk.page
    assert ZH["materials_whole"] not in walk.page


def test_an_address_chooses_nothing_that_is_not_open(browser):
    """Without a choice the first page says so; a round or scheme that is not there is refused; words are not taken for pages."""
    missed = browser.get("/applications/new?step=call")
    assert (missed.status_code, ZH["call_missing"] in missed.text) == (422, True)
    for call in ("x y z", "R2025-01", "<script>"):
        refused = browser.get("/applications/new", params={"call": call})
        assert refused.status_code in {404, 409, 422}
        assert "<script>" not in refused.text
    here = re.search(r"round=[^&]*&amp;clause=[^&]*", begun(browser).text)[0].replace("&amp;", "&")
    for step in ("check", "nowhere", "../x"):
        shown = Walk(browser, browser.get(f"/applications/new?{here}&step={step}").text)
        assert shown.title == ZH["ask_company"], "there is nothing to check yet"
    english = browser.get(f"/applications/new?{here}&lang=en&step=material.credit_report").text
    assert not CJK.findall(
        words(re.sub(r'<(\w+)[^>]*lang="zh-CN".*?</\1>', " ", english, flags=re.DOTALL)).replace("中文", "")
    )


def test_every_sentence_is_in_both_languages():
    """None is left out, and none in Chinese stands among the English."""
    for name in NAMES:
        assert TEXTS["en"][name] != TEXTS["zh"][name]
        assert not CJK.findall(TEXTS["en"][name])
