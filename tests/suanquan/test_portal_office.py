"""Pages of officials and of whoever checks: rights, languages, figures that lead to their entries, verdicts, exports."""

import contextlib
import csv
import html
import io
import re
import shutil
import sqlite3
from random import Random

import httpx2
import pytest

from suanquan.home import Home
from suanquan.portal.office_text import NAMES as KEYS
from suanquan.portal.office_text import TEXTS
from suanquan.portal.text import TEXTS as COMMON
from tests.conftest import ALL
from tests.suanquan.harness import ThreadedService
from tests.suanquan.test_portal import CJK, FROM_HERE, PORTAL, words
from voucher.holder import sandbox_uscc

HOLDER = sandbox_uscc(1)
OFFICE = [
    *("/office", "/office/uptake", "/office/centres", "/office/budgets", "/office/clauses", "/office/queue"),
    *("/office/findings", "/office/vouchers", "/office/entries?account=centre/sj01/receivable"),
]
PUBLIC = ["/log", "/verify", "/policies"]


@pytest.fixture
def filled(figured):
    """See `figured`."""
    return figured


def bearer(token):
    """Headers of somebody with a token."""
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def client(filled):
    """A browser of somebody in finance."""
    with httpx2.Client(base_url=filled[0].url, headers=bearer(filled[1]["finance"]), timeout=60) as client:
        yield client


def links(page):
    return [html.unescape(link) for link in re.findall(r'href="([^"]+)"', page)]


@pytest.mark.parametrize("path", [*OFFICE, *PUBLIC])
def test_a_page_is_whole_in_both_languages(client, path):
    """It answers, has one heading and no Chinese in English but names, titles and words of texts; nothing from elsewhere."""
    for language in ("zh", "en"):
        answer = client.get(path, params={"lang": language} if "?" not in path else None)
        assert answer.status_code == 200, answer.text
        assert answer.text.count("<h1>") == 1
        scripts = re.findall(r"<script.*?</script>", answer.text, re.DOTALL)
        assert all(re.fullmatch(r'<script src="/static/[\w./]+" defer></script>', one) for one in scripts)
        assert answer.text.count("<script") == len(scripts)
        assert not re.search(r'(src|href)="(https?:)?//', answer.text)
        if language == "en" and "?" not in path:
            english = words(answer.text)
            for name in ("中文", "松发改字〔2024〕323号", "沪松数〔2025〕16号"):
                english = english.replace(name, "")
            assert not CJK.findall(english), CJK.findall(english)


@pytest.mark.parametrize("path", OFFICE)
def test_only_officials_see_what_is_theirs(filled, path):
    """Nobody in particular is asked to sign in; holders, centres and operators are refused; no company is named to them."""
    for who, status in ((None, 401), ("holder", 403), ("centre", 403)):
        answer = httpx2.get(filled[0].url + path, headers=bearer(filled[1][who]) if who else {})
        assert answer.status_code == status, who
        assert HOLDER not in answer.text


def test_a_figure_leads_to_its_entries_in_three_clicks(client):
    """Overview → vouchers → entries → receipt; sums agree on the way, and the receipt is one."""
    overview = (client.get("/office")).text
    assert "100,000.50" in words(overview)
    listed = next(link for link in links(overview) if link.startswith("/office/vouchers?") and "CNY" in link)
    vouchers = (client.get(listed)).text
    [foot] = re.findall(r"<tfoot>.*?</tfoot>", vouchers, re.DOTALL)
    assert "100,000.50" in words(foot)
    account = next(link for link in links(vouchers) if "account=voucher" in link)
    entries = (client.get(account)).text
    assert '100,000.50<span class="rest">0000</span>' in entries
    receipts = [link for link in links(entries) if link.startswith("/office/receipts/")]
    receipt = client.get(receipts[0])
    assert receipt.text.startswith("c2sp.org/tlog-proof")
    verdict = client.post("/verify", data={"pasted": receipt.text.replace("\n", "\r\n")}, headers=FROM_HERE)
    assert TEXTS["zh"]["matches"] in words(verdict.text), words(verdict.text)
    assert verdict.status_code == 200


def test_every_figure_has_a_way_on(client, seed):
    """Every link of the pages answers, for whoever may see the page; ordinarily forty that the seed draws are followed."""
    found = set()
    for path in OFFICE:
        found |= {link.partition("#")[0] for link in links((client.get(path)).text) if "/office" in link}
    assert len(found) > 20
    for link in sorted(found) if ALL else Random(seed).sample(sorted(found), min(40, len(found))):
        answer = client.get(link)
        assert answer.status_code == 200, link


def test_what_is_pasted_gets_one_of_three_words(filled, client):
    """A voucher's token matches; changed anywhere it does not; nothing known cannot be told, and stays in the box."""
    token = filled[1]["voucher"]
    head, body, signature = token.split(".")
    other = "A" if body[30] != "A" else "B"

    def verdict(text, query=""):
        answer = client.post(f"/verify{query}", data={"pasted": text}, headers=FROM_HERE)
        assert html.unescape(re.search(r"<textarea.*?>(.*?)</textarea>", answer.text, re.DOTALL)[1]) == text
        return re.search(r'id="verdict">(.*?)<', answer.text)[1], answer

    said, answer = verdict(token)
    assert said == TEXTS["zh"]["matches"]
    assert TEXTS["zh"]["line_not_balance"] in html.unescape(answer.text)
    for wrong in (f"{head}.{body[:30]}{other}{body[31:]}.{signature}", f"{head}.{body}.AAAA", "SQ1:NONSENSE"):
        said, answer = verdict(wrong)
        assert said == TEXTS["zh"]["differs_word"], wrong
    for unknown in ("hello", "<b>", "91310000"):
        said, answer = verdict(unknown, "?lang=en")
        assert (said, answer.status_code) == (TEXTS["en"]["cannot_tell"], 422)


def test_a_changed_receipt_never_matches(client):
    """Whichever letter of it is another one."""
    entries = (client.get("/office/entries?account=centre/sj01/receivable")).text
    link = next(link for link in links(entries) if link.startswith("/office/receipts/"))
    receipt = (client.get(link)).text
    for place in range(30, len(receipt) - 1, max(1, len(receipt) // 25)):
        changed = receipt[:place] + ("A" if receipt[place] != "A" else "B") + receipt[place + 1 :]
        answer = client.post("/verify", data={"pasted": changed}, headers=FROM_HERE)
        assert f'id="verdict">{TEXTS["zh"]["matches"]}<' not in answer.text, place


def test_an_export_is_what_the_screen_shows(client):
    """The same vouchers and sums as CSV, for the same filters; a class without vouchers has none, and says so."""
    answer = client.get("/office/vouchers?format=csv")
    rows = list(csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff"))))
    assert [row[TEXTS["zh"]["issued"]] for row in rows] == ["100000.500000"]
    assert rows[0][TEXTS["zh"]["holder"]] == HOLDER
    usage = client.get("/office/usage.csv?lang=en")
    assert [row["Account"] for row in csv.DictReader(io.StringIO(usage.text[1:]))] == ["alone", "covered"]
    none = client.get("/office/vouchers?class=enterprise")
    assert TEXTS["zh"]["no_match_view"] in none.text
    compute = client.get("/office/vouchers?unit=PFLOPS.h")
    assert "12.500" in words(compute.text)


@pytest.mark.parametrize("query", ["issued=2026-13", "issued=x", "class=nobody", "unit=USD", "ends=0000-00"])
def test_a_wrong_filter_is_said(client, query):
    """What a filter looks like, instead of everything or nothing."""
    answer = client.get(f"/office/vouchers?{query}")
    assert answer.status_code == 422
    assert "2026-11" in answer.text
    assert "<table" not in answer.text


def test_a_failing_database_is_no_good_news(filled, tmp_path):
    """Every page says that nothing could be read, and shows neither a figure nor that there is nothing."""
    home = Home(tmp_path / "home")
    shutil.copytree(filled[0].service.home.path, home.path)
    with ThreadedService(home) as running:
        with contextlib.closing(sqlite3.connect(home.database)) as connection:
            connection.execute("ALTER TABLE log_state RENAME TO log_state_gone")
            connection.commit()
        for path in [*(OFFICE if ALL else OFFICE[:1]), "/log"]:  # each waits for the journal
            answer = httpx2.get(running.url + path, headers=bearer(filled[1]["finance"]), timeout=60)
            assert answer.status_code == 503, path
            assert TEXTS["zh"]["failed_effect"] in answer.text
            assert not re.search(r"\d[\d,]*\.\d\d|<table", answer.text), path
            assert not any(TEXTS["zh"][key] in answer.text for key in ("no_findings", "no_cases", "nothing_waits"))


def test_every_text_stands_in_both_languages():
    """No key lacks a language, placeholders agree, none is a name of dict, and each is used."""
    files = [
        *PORTAL.glob("templates/office/*.html"),
        PORTAL / "office.py",
        PORTAL / "office_lists.py",
        PORTAL / "office_usage.py",
        PORTAL / "office_cases.py",
        PORTAL / "checking.py",
    ]
    used = "".join(path.read_text("utf-8") for path in files)
    built = re.compile("(stage|finding)_")
    values = ("enterprise", "public-institution", "social-organisation", "other")
    for key in KEYS:
        chinese, english = TEXTS["zh"][key], TEXTS["en"][key]
        assert not hasattr(dict, key), key
        assert chinese, key
        assert not CJK.search(english), key
        assert sorted(re.findall(r"{\w*}", chinese)) == sorted(re.findall(r"{\w*}", english)), key
        assert (
            re.search(rf"\bt\.{re.escape(key)}\b|\"{re.escape(key)}\"|\.{re.escape(key)} \|", used)
            or key in values
            or built.match(key)
        ), key
    assert COMMON["zh"].keys() <= TEXTS["zh"].keys()
