"""Pages of disputes: where each stands and who has it; another's is as missing; officials answer, and a third person decides."""

import html
import re

from suanquan.portal.dispute_text import TEXTS
from tests.suanquan.test_portal import words

ZH, EN = TEXTS["zh"], TEXTS["en"]
FACTS = ("with_whom", "since", "until_when", "what_next", "your_part")
PAGE = "/disputes/1"


def facts_of(page, texts):
    """The five facts of a case, as a page tells them."""
    told = dict(re.findall(r"<dt>([^<]*)</dt>\s*<dd[^>]*>(.*?)</dd>", html.unescape(page.text), re.DOTALL))
    return [words(told[texts[fact]]).strip() for fact in FACTS]


def test_a_dispute_is_answered_and_then_decided_by_another(acted_on, visit):
    """The holder sees each step; a reason is needed and what was chosen stays; who answered does not decide; once decided nobody acts."""
    listed = visit("holder", "/disputes")
    assert PAGE in listed.text
    assert ZH["dispute_now_open"] in listed.text
    for language, texts in (("zh", ZH), ("en", EN)):
        assert all(facts_of(visit("holder", f"{PAGE}?lang={language}"), texts))
    assert 'name="reason"' not in visit("holder", PAGE).text
    assert visit("holder", PAGE, {"act": "answer", "reason": "x"}).status_code == 403
    assert visit("auditor", PAGE).status_code == 200
    empty = visit("department", PAGE, {"act": "answer", "reason": ""})
    assert (empty.status_code, 'value="answer" required checked' in empty.text) == (422, True)
    assert visit("department", PAGE, {"act": "none", "reason": "x"}).status_code == 422
    assert visit("department", PAGE, {"act": "uphold", "reason": "x"}).status_code == 409
    assert visit("department", PAGE, {"act": "answer", "reason": "探针确有记录"}).status_code == 303
    told = html.unescape(words(visit("holder", PAGE).text))
    assert "“探针确有记录”" in told
    assert ZH["dispute_now_answered"] in told
    assert 'name="reason"' not in visit("department", PAGE).text, "who answered does not decide"
    own = visit("department", PAGE, {"act": "uphold", "reason": "x"})
    assert (own.status_code, "另一人裁定" in own.text) == (403, True)
    assert visit("林", PAGE, {"act": "refuse", "reason": "以探针为准"}).status_code == 303
    closed = visit("林", PAGE)
    assert ZH["nobody_anymore"] in closed.text
    assert 'name="reason"' not in closed.text
    assert visit("林", PAGE, {"act": "uphold", "reason": "x"}).status_code == 409
    assert PAGE in visit("officer", "/disputes?state=refused").text
    assert ZH["no_disputes_of_state"] in visit("officer", "/disputes?state=upheld").text


def test_anothers_dispute_is_as_missing(acted_on, visit):
    """A stranger's list is empty, and the page of another's dispute is, but for its number, that of none; a centre sees those of its usage."""
    assert ZH["no_disputes"] in html.unescape(visit("stranger", "/disputes").text)
    missing = visit("stranger", "/disputes/9")
    foreign = visit("stranger", PAGE)
    assert (foreign.status_code, missing.status_code) == (404, 404)
    assert "dispute-unknown" in foreign.text
    for text in (acted_on.jti, "covered", "那一天没有用过"):
        assert text not in foreign.text
    assert visit("centre", PAGE).status_code == 200
    for odd in ("0", "x", "²", "9" * 40):
        assert visit("officer", f"/disputes/{odd}").status_code == 404
