"""A hundred receipts, tokens and QR texts in which one letter was changed: none matches, and each verdict names what differs."""

import html
import random
import re
import sqlite3
from contextlib import closing

import pytest

from suanquan.portal.office_text import TEXTS
from tests.suanquan.test_portal import CJK

EACH = {"receipt": 34, "token": 33, "code": 33}
B45 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
B64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
NAMED = {
    "receipt-malformed": r"第 \d+ 行|extra 行",
    "receipt-content": "承诺|编号",
    "leaf-malformed": "叶",
    "proof-invalid": "行哈希|内容、编号或哈希行",
    "note-malformed": "签名行|正文",
    "note-signature": "的签名不符",
    "note-stranger": r"第 \d+ 行签名",
    "note-unsigned": "日志名 .* 或签名行",
    "checkpoint-malformed": "检查点",
    "token-malformed": "段|二维码|令牌",
    "token-json": "JSON",
    "token-header": "令牌头",
    "token-typ": "类型",
    "token-alg": "算法",
    "token-kid": "密钥",
    "token-signature": r"收到的 \d+",
}
"""What each refusal names: the first thing that differs, in the order in which things are looked at."""


@pytest.fixture(scope="module")
def genuine(acted_on, visit):
    """A receipt, a token and a QR text that match."""
    entries = visit("officer", f"/office/entries?account=voucher/{acted_on.jti}").text
    receipt = visit("officer", re.search(r'href="(/office/receipts/[^"]+)"', entries)[1]).text
    with closing(sqlite3.connect(acted_on.home.database)) as connection:
        row = connection.execute("SELECT token, cwt FROM released WHERE jti = ?", (acted_on.jti,)).fetchone()
    return dict(zip(EACH, (receipt, *row), strict=True))


def verdict(visit, text, language="zh"):
    """The word, what is said below it, and the code."""
    page = visit(None, f"/verify?lang={language}", {"pasted": text})
    shown = page.text[page.text.index('id="verdict">') :]
    word = re.match(r'id="verdict">(.*?)<', shown)[1]
    why = re.search(r"</h2>\s*<p>(.*?)</p>", shown, re.DOTALL)
    said = html.unescape(why[1]) if why else ""
    code = re.search(r"<code>(.*?)</code>", said)
    return word, re.sub(r"<code>.*", "", said).strip(), code[1] if code else ""


def changed(text, place, draw):
    """The text with another letter of its kind at a place."""
    letters = B45 if text.startswith("SQ1:") else B64
    return text[:place] + draw.choice([one for one in letters if one != text[place]]) + text[place + 1 :]


def test_what_is_genuine_matches(genuine, visit):
    """Without this, the rest would prove nothing."""
    for kind, text in genuine.items():
        assert verdict(visit, text)[0] == TEXTS["zh"]["matches"], kind


def test_a_hundred_changed_ones_never_match_and_say_what_differs(genuine, visit, seed):
    """One letter changed anywhere; the verdict names a line, the signature, the key or the form, with its code."""
    draw = random.Random(seed)
    count = 0
    for kind, times in EACH.items():
        text = genuine[kind]
        places = [at for at, letter in enumerate(text) if not letter.isspace()]
        for place in draw.sample(places, times):
            word, said, code = verdict(visit, changed(text, place, draw))
            assert word != TEXTS["zh"]["matches"], (seed, kind, place)
            count += 1
            if word == TEXTS["zh"]["cannot_tell"] and not code:
                assert said == TEXTS["zh"]["not_known_form"], (seed, kind, place, said)
                assert place < len("c2sp.org/tlog-proof") or text[place] in ".:", (seed, kind, place)
            else:
                assert re.search(NAMED[code], said), (seed, kind, place, code, said)
    assert count == sum(EACH.values()) == 100


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("extra ", "receipt-malformed proof-invalid leaf-malformed"),
        ("index ", "proof-invalid"),
        ("\n\nurn:", "note-unsigned"),
    ],
)
def test_each_part_of_a_receipt_is_told_apart(genuine, visit, line, code):
    """Content, number, and the log's name; in English without Chinese."""
    text = genuine["receipt"]
    place = text.index(line) + len(line) + (60 if line == "extra " else 0)
    other = text[:place] + ("1" if text[place] not in "19" else "3") + text[place + 1 :]
    word, said, found = verdict(visit, other, "en")
    assert word == TEXTS["en"]["differs_word"]
    assert found in code.split(), said
    assert said
    assert not CJK.search(said)


def test_a_changed_key_id_of_a_signature_is_no_match(genuine, visit):
    """The id of a key is a part of its line: a line that names no key of the log does not pass for one of somebody else."""
    text = genuine["receipt"]
    for line in re.finditer(r"— \S+ ", text):
        for place in range(line.end(), line.end() + 4):
            word, said, _ = verdict(visit, changed(text, place, random.Random(place)))
            assert word == TEXTS["zh"]["differs_word"], (place, said)
