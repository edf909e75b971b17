"""What people are told of open cases and of what was done: five facts of each, findings with their evidence, the audit log."""

import csv
import html
import io
import re
from dataclasses import replace
from datetime import date
from hashlib import sha256

import pytest

from suanquan.portal import auditing
from suanquan.portal.check_text import NAMES, TEXTS
from suanquan.portal.work_text import TEXTS as WORK
from suanquan.use_cases.standing_of_case import forward, limit, owners
from subsidy.procedure import Case, Role
from tests.contracts.bureau import OFFICE
from tests.suanquan.test_portal import CJK, words

ZH, EN = TEXTS["zh"], TEXTS["en"]
FACTS = ("with_whom", "since", "until_when", "what_next", "your_part")
CASES = {
    "application": ("/applications/{application}", ("holder", "林", "专家组")),
    "returned": ("/applications/{returned}", ("holder", "林")),
    "batch": ("/settlements/{batch}", ("department", "林", "centre")),
}


def shown(page):
    return html.unescape(words(page.text))


@pytest.mark.parametrize("case", CASES)
def test_each_open_case_says_five_facts(acted_on, visit, case):
    """Who has it, since when, until when, what is next, and what the reader must do: none of them empty, in both languages."""
    path, readers = CASES[case]
    for who in readers:
        for language in ("zh", "en"):
            page = visit(who, f"{path.format(**acted_on._asdict())}?lang={language}")
            told = dict(re.findall(r"<dt>([^<]*)</dt>\s*<dd[^>]*>(.*?)</dd>", html.unescape(page.text), re.DOTALL))
            for fact in FACTS:
                said = told[WORK[language][fact]]
                assert words(said).strip() not in {"", "—"}, (case, who, fact)


def test_who_must_act_is_told_so(acted_on, visit):
    """The one whose turn it is has a link to the form; the others are told that there is nothing for them."""
    case = f"/applications/{acted_on.application}"
    assert '<a href="#acts">' in visit("专家组", case).text
    for who in ("holder", "林"):
        assert ZH["nothing_of_you"] in visit(who, case).text or '<a href="#acts">' in visit(who, case).text
    assert ZH["nothing_of_you"] in visit("holder", case).text


def test_a_finding_is_reviewed_with_its_evidence_in_view(acted_on, visit):
    """Its evidence and question; a reason is needed and what was chosen stays; decided once, by name, and opened again."""
    path = f"/office/findings/{acted_on.finding}"
    assert path in visit("department", "/office/findings").text
    assert visit("holder", path).status_code == 403
    page = visit("officer", path).text
    assert "52.00" in page
    assert "<code>claim:C-1</code>" in page
    assert f'action="{path}"' not in visit("auditor", path).text
    empty = visit("department", path, {"state": "dismissed", "reason": ""})
    assert empty.status_code == 422
    assert 'value="dismissed" required checked' in empty.text
    assert visit("department", path, {"state": "", "reason": "x"}).status_code == 422
    preview = visit(
        "department",
        "/bulk/findings",
        {f"row.{acted_on.finding}": "0-1", "deed": "dismissed", "reason": "已核", "act": "preview"},
    )
    assert "将“排除”" in html.unescape(preview.text)
    assert visit("department", path, {"state": "dismissed", "reason": "独有的结论"}).status_code == 303
    assert "独有的结论" in shown(visit("auditor", path))
    stale = visit(
        "department",
        "/bulk/findings",
        {f"row.{acted_on.finding}": "0-1", "deed": "upheld", "reason": "x", "act": "preview"},
    )
    assert "row-changed" in stale.text
    assert visit("department", path, {"state": "upheld", "reason": "x"}).status_code == 409
    assert visit("department", path, {"state": "open", "reason": "新证据"}).status_code == 303
    assert visit("department", f"/office/findings/{'0' * 32}").status_code == 404


def test_the_audit_log_is_searched(visit, monkeypatch):
    """By person, action and day; what does not match is told apart from nothing; looking leaves a row; others have no page."""
    assert visit("department", "/audit").status_code == 403
    visit("department", "/office/queue")
    page = visit("auditor", "/audit?person=department&action=application")
    assert "application.read" in page.text
    assert "GET /office/queue" in page.text
    assert "/office/rounds" not in page.text.partition("<tbody>")[2]
    assert ZH["audit_no_match"] in visit("auditor", "/audit?since=2031-01-01").text
    assert visit("auditor", "/audit?since=gestern").status_code == 422
    monkeypatch.setattr(auditing, "ROWS", 3)
    first = visit("auditor", "/audit")
    after = re.search(r'href="(/audit\?[^"]*after=(\d+))"', first.text)
    following = visit("auditor", html.unescape(after[1]))
    assert f'scope="row">{int(after[2]) + 1}<' in re.sub(r"\s*(<|>)\s*", r"\1", following.text)
    looked = visit("auditor", "/audit?person=auditor&format=csv").text
    assert "/audit?person=department" in looked


def test_a_sample_of_the_audit_log_is_drawn_again(visit):
    """The same seed, filters and size draw the same rows however much was looked at since, by the rule that the page states."""
    for _ in range(12):
        visit("department", "/office/queue")
    asked = "/audit?sample=5&seed=2026-11&person=department"
    page = visit("auditor", asked)
    upto = re.search(r"upto=(\d+)", page.text)[1]
    again = visit("auditor", f"{asked}&upto={upto}").text
    numbers = [
        re.findall(r'<th scope="row">(\d+)</th>', re.sub(r"\s*(<|>)\s*", r"\1", one).replace('"row">', '"row">'))
        for one in (page.text, again)
    ]
    assert numbers[0] == numbers[1]
    assert len(numbers[0]) == 5
    rows = csv.DictReader(
        io.StringIO(visit("auditor", "/audit?person=department&format=csv").content.decode("utf-8-sig"))
    )
    every = [int(row[ZH["audit_seq"]]) for row in rows if int(row[ZH["audit_seq"]]) < int(upto)]
    by_rule = sorted(every, key=lambda seq: sha256(f"2026-11\0{seq}".encode()).digest())[:5]
    assert list(map(int, numbers[0])) == sorted(by_rule)
    kept = csv.DictReader(io.StringIO(visit("auditor", f"{asked}&upto={upto}&format=csv").content.decode("utf-8-sig")))
    assert [row[ZH["audit_seq"]] for row in kept] == numbers[0]
    for wrong in ("sample=5", "sample=0&seed=a", "sample=201&seed=a", "sample=x&seed=a"):
        assert visit("auditor", f"/audit?{wrong}").status_code == 422, wrong


def test_every_text_of_these_pages_stands_in_both_languages(acted_on, visit):
    """No English text has Chinese, placeholders agree, and the pages are English."""
    for key in NAMES:
        assert not CJK.search(EN[key]), key
        assert sorted(re.findall(r"{\w*}", ZH[key])) == sorted(re.findall(r"{\w*}", EN[key])), key
    page = visit("department", f"/office/findings/{acted_on.finding}?lang=en").text
    left = re.sub(r'<(\w+)[^>]*lang="zh-CN".*?</\1>', " ", page, flags=re.DOTALL).replace("中文", "")
    assert not CJK.findall(words(left))


def test_an_open_case_is_with_one_of_them():
    """In each state of each procedure that is not its end one role has the case, the applicant in its turn; limits are those of the state."""
    for procedure in OFFICE.procedures.values():
        for name, state in procedure.states.items():
            if not state.final:
                assert len(owners(forward(procedure, name))) == 1, (procedure.id, name)
        assert owners(forward(procedure, "returned")) == [Role.APPLICANT]
        case = Case(
            state="issued" if procedure.for_schemes else "paid",
            until=date(2026, 1, 5),
            last_notice_day=date(2026, 2, 5),
        )
        assert limit(procedure, case) is None, "what was to be done before is over"
        assert limit(procedure, replace(case, state="returned")) == date(2026, 1, 5)
        assert limit(procedure, replace(case, state="in_notice")) == date(2026, 2, 5)
