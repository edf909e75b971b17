"""The first page: what everyone may see, what needs a token, two languages, and honesty when there is nothing to show."""

import asyncio
import contextlib
import html
import json
import re
import shutil
import sqlite3
from hashlib import sha256
from pathlib import Path

import httpx2
import pytest
import structlog.testing

from ledger.amount import CNY, COMPUTE
from metering.batch import decode_cloudevents
from suanquan import portal
from suanquan.db.tokens import create_token
from suanquan.home import Home, create_home
from suanquan.http.app import create_app
from suanquan.http.auth import COOKIE
from suanquan.portal import figures
from suanquan.portal.text import TEXTS
from suanquan.service import create_ledger, open_service
from suanquan.settings import Settings
from suanquan.use_cases.ingest import Request, ingest
from suanquan.use_cases.issue import Order, issue
from suanquan.use_cases.setup import bind_account, register_centre
from voucher.holder import sandbox_uscc
from voucher.issuance import IssueRequest

PORTAL = Path(portal.__file__).parent
PASSPHRASE = b"correct horse battery"
SCHEME = "cn-sh-songjiang-sandbox"
HOLDER = sandbox_uscc(1)
HOSTILE = "<script>alert(1)</script>"
NAMES = ("松江智算中心", "空闲中心", HOSTILE)
JTI = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
CJK = re.compile(r"[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]")


def with_token(token):
    """Headers of a browser that was given a token before."""
    return {"Cookie": f"{COOKIE}={token}"}


FROM_HERE = {"Sec-Fetch-Site": "same-origin"}


def record(number, account, cards, model="A100", seconds=36_000):
    """A usage record of `cards` cards for ten hours."""
    return {
        "specversion": "1.0",
        "type": "cn.suanquan.usage.interval.v1",
        "source": "urn:centre:sj01:agent:test",
        "id": f"job:{number:06d}",
        "time": "2026-11-01T12:00:00Z",
        "subject": account,
        "sequence": f"{number:018d}",
        "data": {
            "job": str(number),
            "attempt": 0,
            "start": "2026-11-01T00:00:00Z",
            "end": "2026-11-01T10:00:00Z",
            "active_s": seconds,
            "accelerators": [{"model": model, "count_milli": cards * 1000}],
            "state": "COMPLETED",
            "final": True,
        },
    }


async def report(service, *records):
    """Take in a batch as the usage route does once the signature is checked."""
    body = json.dumps(records).encode()
    name = sha256(body).hexdigest()
    about = Request("sj01", "test-key", name, 2**60, name, sha256(body).digest())
    batch = decode_cloudevents(body, service.now_us)
    await service.journal.transact(lambda tx: ingest(tx, about, batch, service.rules, service.issuer))


async def fill(home):
    """Two vouchers, three centres of which one reported: 20 GPU-hours covered, 30 paid by the account itself, one record held."""
    async with open_service(home, PASSPHRASE) as service:
        for key, request in {
            "a": IssueRequest(HOLDER, "CNY", "100000.50", None),
            "b": IssueRequest(sandbox_uscc(2), "PFLOPS.h", "12.5", None),
        }.items():
            order = Order(request, service.catalog.schemes[SCHEME], key)
            await issue(service.journal, order, service.keys, service.issuer.sign)
        for centre, name, cards in zip(("sj01", "sj02", "x"), NAMES, ({"A100": 8}, {"A100": 8}, {}), strict=True):
            await register_centre(service.journal, service.catalog, centre, name, cards)
        await bind_account(service.journal, "sj01", "covered", HOLDER)
        await report(service, record(1, "covered", 2), record(2, "alone", 3), record(3, "alone", 1, model="unheard-of"))
        async with service.database.write() as connection:
            return await create_token(connection, "officer", "test", service.now_us)


def make(path, **settings):
    home = Home(path)
    create_home(home, Settings(**settings), PASSPHRASE)
    asyncio.run(create_ledger(home, home.database, "urn:test/ledger/0"))
    return home


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    return make(tmp_path_factory.mktemp("empty") / "home")


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A home with figures, and a token to it."""
    home = make(tmp_path_factory.mktemp("filled") / "home", sandbox=True)
    return home, asyncio.run(fill(home))


@contextlib.asynccontextmanager
async def visiting(home):
    """A browser without JavaScript at the page of a home."""
    async with open_service(home) as service:
        transport = httpx2.ASGITransport(create_app(service))
        async with httpx2.AsyncClient(transport=transport, base_url=service.settings.url) as client:
            yield client


async def page_of(home, path="/", **request):
    async with visiting(home) as client:
        return await client.get(path, **request)


def words(page):
    """What a reader sees: text without tags, commands and identifiers."""
    without = re.sub(r"<(code|small id|script|title)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", without)).split())


async def test_the_page_shows_vouchers_usage_and_the_ledger_head(filled):
    """Sums per scheme and unit, GPU-hours by model, yuan by who paid, utilisation with its number, the head of the log."""
    page = words((await page_of(filled[0])).text)
    assert "100,000.50 0000 99,760.50 0000 0.00 0000 240.00 0000" in page  # issued, available, on hold, redeemed
    assert "12.500 000000" in page
    assert "50.00" in page  # GPU-hours: 20 covered, 30 not; those of an unknown card are not guessed
    assert "600.00 0000 240.00 0000 360.00 0000" in page  # rated, by voucher, by the account
    assert "62.5%" in page  # 50 of 8 cards × 10 hours
    assert "没有登记容量或尚未上报" in page
    assert "尚未上报" in page
    async with open_service(filled[0]) as service, service.database.read() as connection:
        size, root = (await connection.exec_driver_sql("SELECT size, root FROM log_state")).one()
    assert f"分录数 {size} " in page
    assert root.hex() in (await page_of(filled[0])).text


@pytest.mark.parametrize("path", ["/", "/docs", "/notices"])
async def test_a_sandbox_says_so_on_every_page(filled, empty, path):
    """Trial data cannot be taken for real data; a real home carries no such mark."""
    assert TEXTS["zh"]["sandbox"] in (await page_of(filled[0], path)).text
    assert TEXTS["en"]["sandbox"] in (await page_of(filled[0], path, params={"lang": "en"})).text
    assert TEXTS["zh"]["sandbox"] not in (await page_of(empty, path)).text


async def test_the_page_is_chinese_unless_asked_otherwise(filled):
    """Chinese first; a link of the page leads to the other language and back."""
    async with visiting(filled[0]) as client:
        chinese = (await client.get("/", headers={"Accept-Language": "en"})).text
        assert '<html lang="zh-CN">' in chinese
        assert '<a href="/?lang=en" lang="en"' in chinese
        english = (await client.get("/?lang=en")).text
        assert '<html lang="en">' in english
        assert '<a href="/" lang="zh-CN"' in english
        assert (await client.get("/?lang=%3Cb%3E")).text.startswith('<!doctype html>\n<html lang="zh-CN">')


@pytest.mark.parametrize("signed_in", [False, True])
async def test_no_page_mixes_languages(filled, signed_in):
    """Names apart, the English page has no Chinese character and the Chinese page no English phrase."""
    headers = with_token(filled[1]) if signed_in else {}
    english = words((await page_of(filled[0], "/?lang=en", headers=headers)).text)
    for name in (*NAMES, "中文"):
        english = english.replace(name, "")
    assert not CJK.findall(english)
    chinese = words((await page_of(filled[0], headers=headers)).text)
    chinese = chinese.replace(HOSTILE, "").replace("suanquan init", "").replace("English test", "English")
    assert not re.findall(r"[A-Za-z]{2,} [a-z]{2,}", chinese)


BY_VALUE = re.compile("(acts|complete|contract|do|fact|field|forecast|money|role|status|unit|verdict)_")
"""Texts that are named by what they stand for."""


def test_every_text_stands_in_both_languages():
    """No key lacks a language, no Chinese stands in the English column, placeholders agree, and nothing is left over."""
    assert TEXTS["zh"].keys() == TEXTS["en"].keys()
    used = "".join(path.read_text("utf-8") for path in [*PORTAL.glob("templates/**/*.html"), *PORTAL.glob("[!t]*.py")])
    for key, chinese in TEXTS["zh"].items():
        assert not hasattr(dict, key), f"a template would find dict.{key}"
        english = TEXTS["en"][key]
        assert chinese, key
        assert english, key
        assert not CJK.search(english), key
        assert sorted(re.findall(r"{\w*}", chinese)) == sorted(re.findall(r"{\w*}", english)), key
        assert re.search(rf"\bt\.{re.escape(key)}\b|[\"']{re.escape(key)}[\"']", used) or BY_VALUE.match(key), key


async def test_names_of_companies_need_a_token(filled):
    """Without a token neither a holder nor a voucher number leaves the service; with one they are listed."""
    public = (await page_of(filled[0])).text
    assert HOLDER not in public
    assert not JTI.search(public)
    private = (await page_of(filled[0], headers=with_token(filled[1]))).text
    assert HOLDER in private
    assert len(set(JTI.findall(private))) == 2
    assert filled[1] not in private


async def test_a_token_opens_the_list_until_one_signs_out(filled):
    """The form sets a cookie that scripts cannot read and other sites cannot send; signing out clears it."""
    home, token = filled
    async with visiting(home) as client:
        answer = await client.post("/login?lang=en", data={"token": f" {token}\n"}, headers=FROM_HERE)
        assert (answer.status_code, answer.headers["location"]) == (303, "/office?lang=en")
        cookie = answer.headers["set-cookie"]
        assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
        assert "Secure" not in cookie
        assert HOLDER in (await client.get("/")).text
        answer = await client.post("/logout", headers=FROM_HERE)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert HOLDER not in (await client.get("/")).text


async def test_behind_tls_the_cookie_never_leaves_it(filled, monkeypatch):
    """A home that is reached by https marks the cookie so."""
    monkeypatch.setenv("SUANQUAN_PUBLIC_URL", "https://quan.example/")
    async with visiting(filled[0]) as client:
        origin = {"Origin": "https://quan.example"}
        answer = await client.post("/login", data={"token": filled[1]}, headers=origin)
    assert answer.status_code == 303
    assert "Secure" in answer.headers["set-cookie"]


@pytest.mark.parametrize(
    ("token", "message"), [("sqt_wrong", "token_unknown"), ("", "token_missing"), ("x" * 1000, "token_unknown")]
)
async def test_a_wrong_token_is_answered_at_the_form(filled, token, message):
    """Status 401, the form again with what is wrong and what to do, and no cookie."""
    async with visiting(filled[0]) as client:
        answer = await client.post("/login", data={"token": token}, headers=FROM_HERE)
    assert answer.status_code == 401
    assert TEXTS["zh"][message] in answer.text
    assert TEXTS["zh"]["by_token"] in answer.text
    assert "set-cookie" not in answer.headers


async def test_a_revoked_token_is_said_and_forgotten(filled):
    """Whose token was revoked sees the public page, reads why, and loses the cookie."""
    answer = await page_of(filled[0], headers=with_token("sqt_revoked"))
    assert answer.status_code == 200
    assert TEXTS["zh"]["token_revoked"] in answer.text
    assert "Max-Age=0" in answer.headers["set-cookie"]


@pytest.mark.parametrize("path", ["/login", "/logout"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:8080"},
    ],
)
async def test_forms_of_other_sites_do_nothing(filled, path, headers):
    """Neither signing in nor out is done for a request that no page of ours sent."""
    async with visiting(filled[0]) as client:
        answer = await client.post(path, data={"token": filled[1]}, headers=headers)
    assert answer.status_code == 403
    assert TEXTS["zh"]["foreign"] in answer.text
    assert "set-cookie" not in answer.headers


async def test_hostile_names_are_only_text(filled):
    """A centre named like a script is shown letter by letter."""
    page = (await page_of(filled[0])).text
    assert html.escape(HOSTILE) in page
    assert HOSTILE not in page
    assert not re.findall(r"<script(?! src=\"/static/[\w./]+\" defer></script>)", page)


@pytest.mark.parametrize("language", ["zh", "en"])
async def test_an_empty_home_says_that_there_is_nothing_yet(empty, language):
    """Nothing yet is said in words, with the next step, and is no table of zeros."""
    answer = await page_of(empty, "/", params={"lang": language})
    assert answer.status_code == 200
    page = words(answer.text)
    for key in ("no_vouchers", "no_centres"):
        assert TEXTS[language][key] in page
    assert "<code>suanquan voucher issue</code>" in answer.text
    assert "<table" not in answer.text
    assert TEXTS[language]["schemes_unused"] in page


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("headers", [{}, with_token("sqt_any")])
async def test_a_failing_database_is_said_and_not_shown_as_zero(filled, tmp_path, language, headers):
    """Status 503, when and that nothing was changed, a number to ask about, a way to try again, and no figure."""
    home = Home(tmp_path / "home")
    shutil.copytree(filled[0].path, home.path)
    async with visiting(home) as client:
        with contextlib.closing(sqlite3.connect(home.database)) as connection:
            for table in ("log_state", "api_token"):
                connection.execute(f"ALTER TABLE {table} RENAME TO {table}_gone")
            connection.commit()
        with structlog.testing.capture_logs() as logged:
            answer = await client.get("/", params={"lang": language}, headers=headers)
            form = await client.post("/login", data={"token": "sqt_any"}, headers=FROM_HERE)
    assert (answer.status_code, form.status_code) == (503, 503)
    page = words(answer.text)
    assert TEXTS[language]["failed_effect"] in page
    assert answer.headers["x-request-id"] in answer.text
    assert {"event": "page not read", "id": answer.headers["x-request-id"]}.items() <= logged[0].items()
    assert TEXTS[language]["sandbox"] in page
    assert not re.search(r"\d[\d,]*\.\d|<table|\b0\b", answer.text)
    assert TEXTS[language]["no_vouchers"] not in page


async def test_pages_load_nothing_from_elsewhere(filled):
    """No address of another host stands in a page or style sheet; policy headers hold on each, once."""
    async with visiting(filled[0]) as client:
        for path in ("/", "/docs", "/notices", "/?lang=en"):
            answer = await client.get(path)
            assert not re.search(r"(?:src|href|url)\s*[=(]\s*[\"']?(?:https?:)?//", answer.text)
            assert ' style="' not in answer.text
            (policy,) = answer.headers.get_list("content-security-policy")
            assert policy.startswith("default-src 'none'; ")
            assert ("'unsafe-inline'" in policy) == (path == "/docs")
            for linked in re.findall(r"(?:src|href)=\"(/static/[^\"]+)\"", answer.text):
                assert (await client.get(linked)).status_code == 200
        style = (await client.get("/static/page.css")).text
        assert "//" not in style
        assert "@import" not in style
        assert 'load-fonts="false"' in (await client.get("/docs")).text


def test_vendored_files_are_what_their_list_says():
    """Each vendored script is listed with the sum of its bytes, and its licence lies beside it."""
    folder = PORTAL / "static/vendor"
    listed = (folder / "VENDORED.md").read_text("utf-8")
    for script in (*folder.glob("*.js"), *folder.glob("*.css")):
        assert f"`{script.name}`" in listed
        assert sha256(script.read_bytes()).hexdigest() in listed
    for licence in folder.glob("*LICENSE*"):
        assert f"`{licence.name}`" in listed


def test_figures_show_every_digit_or_round_half_up():
    """Amounts keep all digits of their asset; quotients are rounded; the minus sign is one."""
    assert figures.amount(1_234_567_890_001) == '1,234,567.89<span class="rest">0001</span>'
    assert figures.amount(-320_000_000) == '−320.00<span class="rest">0000</span>'
    assert figures.amount(1_500_000_001, COMPUTE) == '1.500<span class="rest">000001</span>'
    assert figures.amount(0, CNY) == '0.00<span class="rest">0000</span>'
    assert figures.hours(3_600_000 * 1000 + 18_000) == "1,000.01"
    assert figures.hours(17_999) == "0.00"
    assert figures.percent(2, 3) == "66.7%"
    assert figures.percent(3, 2) == "150.0%"


def test_times_are_of_shanghai_and_complete():
    """An instant is shown with date, second and eight hours ahead of UTC; an age in its largest unit."""
    at_us = 1_795_276_799 * 1_000_000
    assert figures.instant(at_us, TEXTS["zh"]) == "2026-11-21 23:59:59"
    assert figures.instant(at_us + 1_000_000, TEXTS["en"]) == "22 Nov 2026, 00:00:00"
    ages = [figures.age(minutes * 60_000_000, TEXTS["en"]) for minutes in (0, 59, 60, 1439, 1440, 4000)]
    assert ages == ["0 min ago", "59 min ago", "1 h ago", "23 h ago", "1 d ago", "2 d ago"]


def luminance(colour):
    """Relative luminance of `#rgb` or `#rrggbb` (WCAG 2.2)."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    channels = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_colours_can_be_told_apart_in_both_themes():
    """Text has a contrast of 4.5 to what it stands on, lines of controls have 3 (WCAG 2.2 AA), light and dark."""
    style = (PORTAL / "static/page.css").read_text("utf-8")
    themes = [
        dict(re.findall(r"--([\w-]+): (#\w+);", block)) for block in re.findall(r":root {(.*?)}", style, re.DOTALL)
    ]
    for theme in themes:
        pairs = [(name, on, 4.5) for name in ("text", "quiet", "accent", "alert") for on in ("ground", "panel")]
        for name, on, least in [*pairs, ("line", "ground", 3), ("on-accent", "accent", 4.5)]:
            if {name, on} <= theme.keys():
                low, high = sorted((luminance(theme[name]), luminance(theme[on])))
                assert (high + 0.05) / (low + 0.05) >= least, (name, on, theme)
    assert len(themes) == 3
