"""The one-file page verifies with the network off what the service wrote, and a hundred changed texts never."""

import html
import random
import re

import pytest

from suanquan.portal.offline_text import TEXTS
from tests.conftest import ALL
from tests.shared_data import ROOT
from tests.suanquan.browsing import CHROMIUM, NEEDS_CHROMIUM, sync_api
from tests.suanquan.test_ux_verify import EACH, changed, genuine

__all__ = ["genuine"]
ZH, EN = TEXTS["zh"], TEXTS["en"]
NAMES = {
    "receipt_line", "receipt_extra", "note_form", "note_line", "note_signature", "note_unsigned", "note_stranger",
    "proof_differs", "number_differs", "content_differs", "leaf_form", "not_known_form", "token_form", "code_form",
    "token_header", "token_key", "token_signature",
}  # fmt: skip
"""What a changed letter may be told as."""
STRANGERS = {"note_stranger", "token_key", "not_known_form"}
"""Where the letter names a key or the form: it may be another's, so that the page cannot tell."""


@pytest.fixture(scope="module")
def page_file(visit):
    return visit(None, "/verify/offline.html?lang=zh")


@pytest.fixture(scope="module")
def chromium():
    with sync_api.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def kept(page_file, tmp_path_factory):
    path = tmp_path_factory.mktemp("kept") / "suanquan-verify.html"
    path.write_text(page_file.text, "utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def offline(chromium, kept):
    """The file, kept and opened in a browser without a network; whatever it asks for or complains of is a fault."""
    context = chromium.new_context(viewport={"width": 390, "height": 844})
    context.set_offline(True)
    page, faults = context.new_page(), []
    page.on("request", lambda sent: faults.append(sent.url) if not sent.url.startswith("file:") else None)
    page.on("console", lambda said: faults.append(said.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(kept)
    yield page
    assert not faults


def verdict(page, text):
    """The word, the key of what differs, and the sentence."""
    page.fill("#pasted", text)
    page.evaluate("verify()")
    why = page.query_selector("#why")
    return page.inner_text("#verdict"), page.inner_text("#why code") if why else "", why.inner_text() if why else ""


def rows(page):
    return [
        [cell.inner_text() for cell in row.query_selector_all("th, td")] for row in page.query_selector_all("#told tr")
    ]


def test_it_is_one_file_that_asks_nobody(page_file):
    """It is sent to be kept; its policy allows its own script and style by hash and nothing else, and no address stands in it."""
    assert page_file.status_code == 200
    assert page_file.headers["content-disposition"] == 'attachment; filename="suanquan-verify.html"'
    policy = html.unescape(re.search(r'Content-Security-Policy" content="(.*?)"', page_file.text)[1])
    assert re.fullmatch(
        r"default-src 'none'; script-src 'sha256-\S+'; style-src 'sha256-\S+'; base-uri 'none'; form-action 'none'",
        policy,
    )
    assert not re.findall(r'(?:src|href|action)="', page_file.text)
    assert page_file.text.count("<script>") == 1


def test_every_text_is_used():
    """No sentence stands in the file for nothing."""
    used = "".join(
        (ROOT / "suanquan/portal" / name).read_text("utf-8")
        for name in ("static/offline.js", "templates/office/offline.html")
    )
    assert not [key for key in ZH if not re.search(rf"\b{key}\b", used)]


@NEEDS_CHROMIUM
def test_what_is_genuine_matches_with_the_network_off(genuine, offline):
    """Receipt, token and code match, with four lines each of what is and what is not proven, in both languages."""
    for kind, text in genuine.items():
        assert verdict(offline, text)[0] == ZH["matches"], (kind, verdict(offline, text))
        heads, *told = rows(offline)
        assert heads == [ZH[key] for key in ("looked_at", "found", "proves", "proves_not")]
        assert [row[0] for row in told] == [ZH[key] for key in ("signature", "included", "unchanged", "complete")]
        assert [row[1] == ZH["matches"] for row in told] == [True, kind == "receipt", True, False], kind
        assert all(row[3] != "—" for row in told)
    offline.click("#switch")
    assert offline.inner_text("#verdict") == EN["matches"]
    assert verdict(offline, genuine["receipt"])[0] == EN["matches"]
    offline.click("#switch")
    wide = offline.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, "it fits a telephone"


@NEEDS_CHROMIUM
def test_a_hundred_changed_ones_never_match_and_name_what_differs(genuine, offline, seed):
    """One letter changed anywhere: no match, and the first thing that differs is named."""
    draw, count = random.Random(seed), 0
    for kind, times in EACH.items():
        text = genuine[kind]
        places = [at for at, letter in enumerate(text) if not letter.isspace()]
        for place in draw.sample(places, times * (10 if ALL else 1)) if times * 10 < len(places) else places:
            word, key, said = verdict(offline, changed(text, place, draw))
            count += 1
            assert key in NAMES, (seed, kind, place, key, said)
            assert word == ZH["differs"] or (word == ZH["cannot"] and key in STRANGERS), (seed, kind, place, word, key)
            assert len(said) > 12
    assert count >= 100


@NEEDS_CHROMIUM
def test_each_line_of_a_refusal_says_how_far_it_got(genuine, offline):
    """What comes before the difference was right, what comes after was not looked at."""
    receipt = genuine["receipt"]
    place = receipt.index("extra ") + 60
    word, key, _ = verdict(offline, receipt[:place] + ("A" if receipt[place] != "A" else "B") + receipt[place + 1 :])
    assert word == ZH["differs"]
    if key == "proof_differs":
        assert [row[1] for row in rows(offline)[1:]] == [
            ZH[one] for one in ("matches", "differs", "not_reached", "not_reached")
        ]
    index = re.search(r"\nindex (\d+)\n", receipt)[1]
    _, key, _ = verdict(offline, receipt.replace(f"\nindex {index}\n", f"\nindex {int(index) + 1}\n"))
    assert key == "proof_differs"
    assert [row[1] for row in rows(offline)[1:]] == [
        ZH[one] for one in ("matches", "differs", "not_reached", "not_reached")
    ]


@NEEDS_CHROMIUM
@pytest.mark.parametrize(
    ("take", "key"),
    [("SubtleCrypto.prototype.importKey = () => Promise.reject(new Error())", "no_ed25519"),
     ("Object.defineProperty(crypto, 'subtle', { value: undefined })", "no_crypto")],
)  # fmt: skip
def test_a_browser_that_cannot_says_so(genuine, chromium, kept, take, key):
    """Without Ed25519, or without cryptography for files, the word is that it cannot tell, and what to do; never a match."""
    page = chromium.new_page()
    page.add_init_script(take)
    page.goto(kept)
    assert verdict(page, genuine["token"])[:2] == (ZH["cannot"], key)


@NEEDS_CHROMIUM
def test_a_signature_that_the_browser_cannot_compute_is_said_to_be_unseen(genuine, chromium, kept):
    """Without ML-DSA the log's Ed25519 signature counts alone, and the row of the signature says which line was not looked at."""
    page = chromium.new_page()
    page.add_init_script(
        "const had = SubtleCrypto.prototype.importKey; SubtleCrypto.prototype.importKey = function (form, ...rest) {"
        " return form === 'raw-public' ? Promise.reject(new Error()) : had.call(this, form, ...rest); }"
    )
    page.goto(kept)
    assert verdict(page, genuine["receipt"])[0] == ZH["matches"]
    assert ZH["note_unable"].format(lines=2) in rows(page)[1][3]


@NEEDS_CHROMIUM
def test_without_javascript_it_says_what_else_there_is(chromium, kept):
    """It shows no form that would do nothing."""
    page = chromium.new_context(java_script_enabled=False).new_page()
    page.goto(kept)
    assert ZH["no_script"] in page.inner_text("body")
    assert not page.is_visible("#form")


def test_the_page_verify_leads_to_it(visit):
    """In both languages; where it is too old, it says when it was made."""
    for language in ("zh", "en"):
        assert "/verify/offline.html" in visit(None, f"/verify?lang={language}").text
        assert re.search(r"20\d\d-\d\d-\d\dT", visit(None, f"/verify/offline.html?lang={language}").text)
