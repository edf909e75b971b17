"""The box that takes everything: what people have at hand, in any dress, leads to its page, and others' to nothing."""

import random
from urllib.parse import quote

import pytest

from ledger.scope import EVERYTHING
from suanquan.portal.recognise import Kind, as_uuid, recognise
from suanquan.use_cases.issue import load
from tests.suanquan.test_portal import HOLDER
from voucher.holder import sandbox_uscc

NUMBER = "01a222db24017b93a510e1bb3342d6b7"
RECEIPT = "c2sp.org/tlog-proof@v1\nindex 4\n\nabc\n"
TOKEN = "eyJhbGciOiJFZDI1NTE5In0.eyJqdGkiOiIwMWEyIn0.c2ln_bmF0-dXJl"
KNOWN = {
    NUMBER: (Kind.NUMBER, NUMBER),
    as_uuid(NUMBER): (Kind.NUMBER, NUMBER),
    as_uuid(NUMBER).upper(): (Kind.NUMBER, NUMBER),
    " ".join(NUMBER[at : at + 4] for at in range(0, 32, 4)): (Kind.NUMBER, NUMBER),
    "Rvoucher-sandbox-2026-3-0001": (Kind.APPLICATION, "Rvoucher-sandbox-2026-3-0001"),
    "rvoucher-sandbox-2026-3-0001": (Kind.APPLICATION, "Rvoucher-sandbox-2026-3-0001"),
    "Rvoucher-sandbox-2026-3": (Kind.ROUND, "Rvoucher-sandbox-2026-3"),
    "R16-2025-1-0002": (Kind.APPLICATION, "R16-2025-1-0002"),
    "B2026Q3-0001": (Kind.BATCH, "B2026Q3-0001"),
    "sj03/xinghe/2026-10": (Kind.MONTH, "sj03/xinghe/2026-10"),
    sandbox_uscc(7): (Kind.COMPANY, sandbox_uscc(7)),
    sandbox_uscc(7).lower(): (Kind.COMPANY, sandbox_uscc(7)),
    "91350100M000100Y43": (Kind.COMPANY, "91350100M000100Y43"),
    "https://quan.example.cn/vouchers/1?lang=en": (Kind.PAGE, "/vouchers/1?lang=en"),
    "松江大学": (Kind.WORDS, "松江大学"),
}
DRESSES = (
    "{}", "  {}\n", "“{}”", "券号：{}", "申请编号: {}", "「{}」。", "编号 ：{}，", "\u200b{}\ufeff", "（{}）", "\t{}、", "No.: {}",
)  # fmt: skip


@pytest.mark.parametrize("text", KNOWN)
def test_what_people_have_at_hand_is_recognised(text):
    """Capital letters, blanks and hyphens do not matter; what pages write is what comes out."""
    assert recognise(text) == KNOWN[text]


def test_in_any_dress(seed):
    """Two hundred pastes with labels, quotation marks, blanks and full-width letters around them: each is what it is without."""
    chance = random.Random(f"pastes {seed}")
    for _ in range(200):
        text, expected = chance.choice(list(KNOWN.items()))
        shown = text
        if expected[0] is not Kind.PAGE and chance.random() < 0.3:
            shown = "".join(chr(ord(one) + 0xFEE0) if "!" <= one <= "~" else one for one in text)
        dress = chance.choice(
            [
                one
                for one in DRESSES
                if expected[0] not in {Kind.PAGE, Kind.WORDS} or (":" not in one and "：" not in one)
            ]
        )
        assert recognise(dress.format(shown)) == expected, dress.format(shown)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", Kind.NOTHING), (" \n", Kind.NOTHING), ("。", Kind.NOTHING),
        (RECEIPT, Kind.RECEIPT), (f"\n{RECEIPT}", Kind.RECEIPT),
        ("SQ1:6BF5", Kind.CODE), ("券码：SQ1:6BF5", Kind.CODE), (TOKEN, Kind.CODE), (f"券码: {TOKEN[:30]}\n{TOKEN[30:]}", Kind.CODE),
        ('{"payload": "x"}', Kind.CODE),
        (NUMBER[:-1], Kind.WORDS), ("91350100M000100Y44", Kind.WORDS), ("a.b.c", Kind.WORDS),
        ("https://[", Kind.WORDS), ("https://host//evil.example", Kind.WORDS), ("https://host", Kind.WORDS), ("javascript:alert(1)", Kind.WORDS),
    ],
)  # fmt: skip
def test_what_is_sent_and_what_is_nothing(text, kind):
    """Codes and receipts are told from numbers; a wrong check digit makes words; no address leaves the site."""
    assert recognise(text).kind is kind


LEADS = [
    ("holder", "{jti}", "/vouchers/{jti}"),
    ("holder", "券号：{jti}", "/vouchers/{jti}"),
    ("officer", "{jti}", "/office/entries?account=voucher%2F{jti}"),
    ("stranger", "{jti}", None),
    (None, "{jti}", None),
    ("centre", "{hold}", "/holds/{hold}"),
    ("stranger", "{hold}", None),
    ("holder", "{application}", "/applications/{application}"),
    ("department", "{application}", "/applications/{application}"),
    ("stranger", "{application}", None),
    ("department", "{round}", "/office/rounds"),
    (None, "{round}", "/notices"),
    ("department", "{batch}", "/settlements/{batch}"),
    ("centre", "{batch}", "/settlements/{batch}"),
    ("other centre", "{batch}", None),
    ("department", "{finding}", "/office/findings/{finding}"),
    ("holder", "{finding}", None),
    ("holder", "sj01/covered/2026-11", "/statements/sj01/covered/2026-11"),
    ("holder", HOLDER, "/vouchers"),
    ("officer", HOLDER, f"/office/vouchers?find={HOLDER}"),
    ("stranger", HOLDER, None),
    ("department", "模型", "/office/queue?stage=every&find=%E6%A8%A1%E5%9E%8B"),
    ("holder", "模型", "/applications?find=%E6%A8%A1%E5%9E%8B"),
    ("centre", "covered", "/statements?find=covered"),
    (None, "模型", None),
    (None, "https://quan.example.cn/log", "/log"),
]


@pytest.mark.parametrize(("who", "text", "place"), LEADS)
def test_it_leads_to_what_one_may_see(look, untouched, who, text, place):
    """One's own leads to its page; what is another's is as missing as what is not there."""
    names = untouched._asdict()
    answer = look(who, f"/find?q={quote(text.format(**names))}")
    if place is None:
        assert (answer.status_code, "location" in answer.headers) == (404, False)
        assert 'role="alert"' in answer.text
        assert ("/login?next=" in answer.text) == (who is None)
    else:
        assert (answer.status_code, answer.headers["location"]) == (303, place.format(**names))
        assert look(who, answer.headers["location"]).status_code == 200


@pytest.mark.parametrize("name", ["jti", "hold", "application", "batch", "finding"])
def test_anothers_is_as_missing(look, untouched, name):
    """The answer to a stranger is the same for what is there and for what is not."""
    there = getattr(untouched, name)
    other = there[:-1] + ("0" if there[-1] != "0" else "1")
    said = [look("stranger", f"/find?q={text}").text.replace(text, "…") for text in (there, other)]
    said = [text.split("<main")[1].split("<form")[0] for text in said]
    assert said[0] == said[1]


def test_language_stays(look, untouched):
    """Where it leads to is in the language in which it was asked for."""
    answer = look("holder", f"/find?lang=en&q={untouched.jti}")
    assert answer.headers["location"] == f"/vouchers/{untouched.jti}?lang=en"


def test_codes_and_receipts_are_looked_at_in_place(visit, acted_on):
    """A code is verified, and at a centre looked at for what it buys; a receipt is verified; the beginning of a code asks for all of it."""
    running = acted_on.service

    async def token():
        async with running.database.read() as conn:
            return (await load(conn, acted_on.jti, EVERYTHING)).token

    code = acted_on.call(token())
    assert 'id="verdict"' in visit(None, "/find", {"pasted": f"券码：{code}"}).text
    counter = visit("centre", "/find", {"pasted": code})
    assert 'action="/present' in counter.text
    assert 'id="verdict"' in visit(None, "/find", {"pasted": RECEIPT}).text
    cut = visit(None, f"/find?q={code[:64]}")
    assert (cut.status_code, cut.headers["location"]) == (303, "/find?cut=1"), "no code stays in an address"
    assert 'role="alert"' in visit(None, "/find?cut=1").text
    assert visit("holder", "/find", {"pasted": acted_on.jti}).headers["location"] == f"/vouchers/{acted_on.jti}"
