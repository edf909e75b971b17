"""The page that says what a run would cost: what the API says, until when vouchers pay, and what is wrong at its field."""

import html
import re
from datetime import datetime, timedelta

import httpx2

from suanquan.portal.quote_text import NAMES, TEXTS
from tests.suanquan.test_portal import CJK, words

ZH, EN = TEXTS["zh"], TEXTS["en"]
START = "2026-11-20T12:00"
RUN = "/quote?account=sj01/covered&model=A100"


def told(page):
    """Terms of the result and what stands beside them."""
    pairs = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", page.text)
    return {html.unescape(term): html.unescape(re.sub("<[^>]*>", "", said)) for term, said in pairs}


def asked(site, hours, start=START):
    """What the API says of the same run."""
    body = {"centre": "sj01", "account": "covered", "accelerators": [{"model": "A100", "count": "8"}]}
    body |= {"start": f"{start}:00+08:00", "seconds": str(round(hours * 3600, 3))}
    answer = httpx2.post(
        f"{site.url}/v1/quotes", json=body, headers={"Authorization": f"Bearer {site.tokens['holder']}"}, timeout=60
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_run_is_estimated_as_it_would_be_debited(acted_on, visit):
    """Enough or not; where not, vouchers pay up to the second that is told; nothing is recorded; units and languages follow."""
    page = visit("holder", f"{RUN}&count=8&hours=10&start={START}")
    said, api = told(page), asked(acted_on, 10)
    assert said[ZH["quote_enough"]] == ZH["quote_yes"]
    assert said[ZH["quote_total"]].replace(",", "") == api["yuan"]
    assert said[ZH["quote_self"]] == "0.000000"
    assert api["paid_by"][0]["voucher"] in page.text
    long = visit("holder", f"{RUN}&count=8&hours=90000&start={START}")
    verdict = told(long)[ZH["quote_enough"]]
    at, hours = re.search(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)", verdict)[1], re.search(r"用 ([\d,.]+) 小时", verdict)[1]
    until = datetime.fromisoformat(at)
    paid = (until - datetime.fromisoformat(START)) / timedelta(hours=1)
    assert abs(paid - float(hours.replace(",", ""))) < 0.01
    assert asked(acted_on, paid)["self_pay_yuan"] == "0.000000"
    assert asked(acted_on, paid + 3 / 3600)["self_pay_yuan"] != "0.000000"
    english = visit("holder", f"{RUN}&count=8&hours=10&lang=en")
    assert EN["quote_yes"] in english.text


def test_what_is_wrong_is_said_at_its_field(acted_on, visit):
    """Numbers, the account, the card; another's account is none; a card without a price is no run for nothing."""
    del acted_on
    for more, name, status in (
        ("&count=0&hours=1", "count", 422),
        ("&count=8&hours=1.2345", "hours", 422),
        ("&count=8&hours=1&start=morgen", "start", 422),
        ("&count=8&hours=1&account=sj01/other", "account", 422),
        ("&count=8&hours=1&model=unheard-of", "model", 404),
    ):
        page = visit("holder", re.sub(rf"(?<=[?&]){name}=[^&]*&(?=.*{name}=)", "", RUN + more))
        assert (page.status_code, f'id="{name}-problem"' in page.text) == (status, True), (more, words(page.text)[:600])
    foreign = visit("stranger", f"{RUN}&count=8&hours=1")
    assert ZH["quote_none"] in foreign.text
    assert ZH["quote_result"] not in foreign.text


def test_every_text_stands_in_both_languages():
    """No English text has Chinese in it, and placeholders agree."""
    for key in NAMES:
        assert not CJK.search(EN[key]), key
        assert re.findall(r"{\w*}", ZH[key]) == re.findall(r"{\w*}", EN[key]), key
