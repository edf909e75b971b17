"""Letters: every word of the decision is on the page, every character has a glyph, the code verifies, the bytes repeat."""

import asyncio
import copy
import io
import json
import runpy
import unicodedata
from pathlib import Path
from random import Random

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTFont

from ledger import jws
from suanquan.errors import ServiceError
from suanquan.letters.content import letter_content, unset_authorities
from suanquan.letters.glyphs import coverage, missing, strings
from suanquan.letters.render import FONTS, TEMPLATE, covered, own_fonts, render
from suanquan.use_cases.check_decision import letter_text, token_in
from suanquan.use_cases.decisions import decide
from subsidy.decision import TYP, digest_of, parse, signing_input, token_of
from tests.conftest import ALL
from tests.ledger.desk import Desk, make_ledger
from tests.shared_data import ROOT
from tests.suanquan.letters.pages import codes_on, page_count, text_of
from tests.subsidy.decisions import LOAN, NAME, application, decision_desk, grant, refusal
from tests.voucher.samples import KEY, PRIVATE

FONT = FONTS / "NotoSansCJKsc-Letters.otf"
AT_S = 1_795_822_778


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """A grant in money, one of another kind, a refusal, a refusal because the document expired, and a correction."""
    loan = grant("loan", answers={"terms_in_other_policy": "依园区贷批次包办理"})
    expired = refusal("old")
    orders = {
        "money": grant("money"),
        "terms": loan._replace(application=application("323:(七)", LOAN)),
        "refusal": refusal("refusal"),
        "expired": expired._replace(application=expired.application._replace(on=expired.application.on.replace(2030))),
    }

    async def make(path):
        await asyncio.to_thread(asyncio.run, make_ledger(path))
        desk = Desk(path)
        desk.now_ns = AT_S * 10**9
        async with desk:
            by = decision_desk(PRIVATE)
            made = {name: await decide(desk.journal, by, order) for name, order in orders.items()}
            made["correction"] = await decide(desk.journal, by, refusal("c", corrects=made["money"].id))
        return {name: parse(stored.record) for name, stored in made.items()}

    return asyncio.run(make(tmp_path_factory.mktemp("letters") / "ledger.db"))


def content_of(record, url=""):
    token = token_of(record, PRIVATE.sign(signing_input(record)))
    return letter_content(record, letter_text(url, record["id"], token), digest_of(record).hex())


def letter(record, url="", fonts=()):
    return render(content_of(record, url), AT_S, fonts)


def squeezed(text):
    return "".join(text.split())


KINDS = ("money", "terms", "refusal", "expired", "correction")


@pytest.mark.parametrize("kind", KINDS)
def test_every_word_is_on_the_page(records, kind):
    """All that the content holds can be read from the PDF: names, reasons, quotes, facts, remedies, digests."""
    content, seen = content_of(records[kind]), text_of(letter(records[kind]))
    for name in content.keys() - {"qr"}:
        for text in strings(content[name]):
            assert squeezed(text) in seen.replace("\u200b", ""), (name, text)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("url", ["", "https://suanquan.example.cn"])
def test_the_code_on_the_page_verifies(records, kind, url):
    """A scanner reads from the rendered page the signed statement of exactly this record."""
    [text] = codes_on(letter(records[kind], url))
    assert text.startswith(f"{url}/v1/decisions/{records[kind]['id']}?token=" if url else "eyJ")
    claims = jws.verify(token_in(text), {KEY.kid: KEY}, TYP)
    assert claims["jti"] == records[kind]["id"]
    assert squeezed(digest_of(records[kind]).hex()) in text_of(letter(records[kind])).replace("\u200b", "")


def test_the_same_decision_gives_the_same_bytes(records):
    """Set twice, and in another order, a letter is the same file; another second is another file."""
    first = letter(records["refusal"])
    letter(records["money"])
    assert letter(records["refusal"]) == first
    assert render(content_of(records["refusal"]), AT_S + 1) != first
    assert first.startswith(b"%PDF-1.7")
    assert len(first) < 200_000


def test_a_refusal_names_the_remedies(records):
    """Both ways, their time, their law and where to: 行政复议 within sixty days, 行政诉讼 within six months."""
    record = copy.deepcopy(records["refusal"])
    unset = text_of(letter(record))
    for words in ("六十日内", "《中华人民共和国行政复议法》（2023年修订）第二十条", "申请行政复议", "六个月内",
                  "《中华人民共和国行政诉讼法》第四十六条", "提起行政诉讼", "within60days", "withinsixmonths"):  # fmt: skip
        assert words in unset, words
    assert unset.count("（本机关尚未设定该机关名称）") == 2
    assert [one["id"] for one in unset_authorities(record)] == ["reconsideration", "court"]
    for remedy, authority in zip(record["remedies"], ("某某区人民政府", "某某人民法院"), strict=True):
        remedy["authority"] = authority
    named = text_of(letter(record))
    assert "向某某区人民政府申请行政复议" in named
    assert "向某某人民法院提起行政诉讼" in named
    assert unset_authorities(record) == []


def test_each_kind_says_what_it_is(records):
    """Sum in figures and capitals; what is not money; why not, with the condition's words; a document that has expired."""
    seen = {kind: text_of(letter(records[kind])) for kind in KINDS}
    assert "人民币2,000,000.00元（大写：贰佰万元整）" in seen["money"]
    assert "已按上限计" in seen["money"]
    assert "准予支持（非资金）" in seen["terms"]
    assert "认定（区财政局）：依园区贷批次包办理" in seen["terms"]
    assert "不予支持决定书" in seen["refusal"]
    assert "不满足“" in seen["refusal"]
    assert "有效期已满" in seen["expired"]
    assert "2027年9月30日" in seen["expired"]
    assert f"本决定更正{records['money']['id']}号决定" in seen["correction"]


def test_what_must_not_be_and_what_may_be_is_said_so(records):
    """Several facts that must not hold together, and alternatives, are named as such and not as demands."""
    money = text_of(letter(records["money"]))
    assert "以下情形不得同时存在：项目是否已享受国家或上海市政策支持：否（情形：为是）" in money
    assert "999" not in money
    record = copy.deepcopy(records["money"])
    either = {"operator": "any", "verdict": "met", "parts": [
        {"fact": "a", "operator": "count >=", "threshold": 1, "of": ["x", "y"], "value": ["x"], "verdict": "met"},
        {"operator": "not", "verdict": None, "parts": [
            {"fact": "b", "operator": ">", "threshold": 5, "value": None, "verdict": None}]},
    ]}  # fmt: skip
    record["explanation"]["conditions"][0] |= either
    del record["explanation"]["conditions"][0]["fact"]
    assert "以下情形至少须有其一：a：x（情形：其中至少1项：x、y）b：未查明（不得高于5）" in text_of(letter(record))


def test_a_sandbox_says_that_its_letters_have_no_effect(records):
    """In both languages, on the first page."""
    assert "Sandbox:ademonstrationwithoutanyeffect" not in text_of(letter(records["money"]))
    assert "沙箱演示，不具任何效力" in text_of(letter(records["money"] | {"sandbox": True}))


@pytest.mark.parametrize(
    "name", ['#panic() $x$ *b* _i_ `r` <l> @r \\ " [c] // /* ~', "a" * 255, "司" * 255, "= 标题", "- x", "（“”）…—"]
)
def test_no_text_becomes_markup(records, name):
    """Whatever a name holds is shown as it is, and long ones stay on the page."""
    record = records["money"] | {"applicant": {"name": name, "uscc": "91350100M000100Y43"}, "project": name}
    assert squeezed(name) in text_of(letter(record))


def test_a_long_decision_goes_on_over_pages(records):
    """Many conditions with long words: the table breaks, and nothing is lost."""
    record = copy.deepcopy(records["money"])
    rows = record["explanation"]["conditions"]
    record["explanation"]["conditions"] = [
        row | {"quote": f"{row['quote']} 第{at}次"} for at in range(12) for row in rows
    ]
    pdf = letter(record)
    assert page_count(pdf) > 4
    assert all(squeezed(f"{row['quote']} 第11次") in text_of(pdf) for row in rows)


def test_the_font_has_what_letters_need():
    """All of GB/T 2312, the 8,105 standard characters, Latin-1, and every character of template and policy files."""
    known = coverage(FONT.read_bytes())
    gb2312 = [bytes([row, cell]).decode("gb2312", "ignore") for row in range(0xA1, 0xF8) for cell in range(0xA1, 0xFF)]
    assert len("".join(gb2312)) == 7445
    assert missing(gb2312, known) == ""
    beyond = (ROOT / "tools/letter_characters.txt").read_text("utf-8")
    assert len(beyond.replace("\n", "")) == 1467
    assert missing([beyond, "喆堃燚", "".join(map(chr, range(0x20, 0x7F))), "éüñ"], known) == ""
    files = [TEMPLATE, *(ROOT / "config/policies").glob("*.yaml"), *(ROOT / "config/letters").glob("*.toml")]
    assert missing([path.read_text("utf-8") for path in files], known | {ord("\u200b")}) == ""
    assert FONT.stat().st_size < 3_000_000


def test_the_font_is_what_the_tool_makes():
    """It has exactly the characters of the tool; in a long run, where the source font is installed, it is made again."""
    tool = runpy.run_path(str(ROOT / "tools/build_letter_font.py"))
    assert coverage(FONT.read_bytes()) == {ord(one) for one in tool["characters"]()}
    source = Path("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc")
    if not ALL:
        return  # cutting a font of 65,000 glyphs takes ten seconds
    if not source.exists():
        pytest.skip("no fonts-noto-cjk to make the font from")
    made = io.BytesIO()
    tool["make"](source).save(made)
    assert made.getvalue() == FONT.read_bytes()


def test_coverage_is_what_another_reader_of_fonts_says():
    """fontTools finds the same characters in our font."""
    assert coverage(FONT.read_bytes()) == frozenset(TTFont(FONT).getBestCmap())


@pytest.mark.parametrize("format_", [4, 12])
def test_coverage_reads_both_forms_of_the_table(tmp_path, format_):
    """Segments and groups; a character that is mapped to the missing glyph counts as missing."""
    path = tiny_font(tmp_path / "t.ttf", "ab中" + ("𠮷" if format_ == 12 else ""))
    font = TTFont(path)
    font["cmap"].tables = [table for table in font["cmap"].tables if table.format == format_]
    for table in font["cmap"].tables:
        table.cmap[ord("z")] = ".notdef"
    font.save(path)
    assert coverage(path.read_bytes()) == {ord(one) for one in "ab中" + ("𠮷" if format_ == 12 else "")}


def tiny_font(path, characters):
    """A font that draws a square for each of these characters."""
    names = {ord(one): f"g{at}" for at, one in enumerate(characters)}
    pen = TTGlyphPen(None)
    for move, *points in (("moveTo", (100, 0)), ("lineTo", (900, 0)), ("lineTo", (900, 800)), ("lineTo", (100, 800))):
        getattr(pen, move)(*points)
    pen.closePath()
    square = pen.glyph()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", *names.values()])
    builder.setupCharacterMap(names)
    builder.setupGlyf(dict.fromkeys([".notdef", *names.values()], square))
    builder.setupHorizontalMetrics(dict.fromkeys([".notdef", *names.values()], (1000, 100)))
    builder.setupHorizontalHeader(ascent=880, descent=-120)
    builder.setupNameTable({"familyName": "Own Names", "styleName": "Regular", "psName": "OwnNames"})
    builder.setupOS2(sTypoAscender=880, usWinAscent=880, usWinDescent=120)
    builder.setupPost()
    builder.save(path)
    return path


@pytest.mark.parametrize("odd", ["𠮷", "😀", "\u202e", "가", "\U000f0000"])
def test_a_character_without_a_glyph_is_named_and_never_drawn_as_a_box(records, odd):
    """The letter is refused; the finding says which character and in which part."""
    record = records["money"] | {"applicant": {"name": f"上海{odd}公司", "uscc": "91350100M000100Y43"}}
    with pytest.raises(ServiceError) as caught:
        letter(record)
    assert caught.value.code == "glyph-missing"
    assert {finding.where for finding in caught.value.findings} == {"/applicant", "/english"}
    assert all(f"U+{ord(odd):04X}" in finding.zh for finding in caught.value.findings)


def test_an_operators_font_is_asked_for_what_ours_lacks(records, tmp_path):
    """With a font that has the character in the home's folder the letter is set, and the name can be read from it."""
    record = records["money"] | {"applicant": {"name": "上海𠮷公司", "uscc": "91350100M000100Y43"}}
    tiny_font(tmp_path / "names.ttf", "𠮷")
    (tmp_path / "notes.txt").write_text("no font")
    fonts = own_fonts(tmp_path)
    assert fonts == [tmp_path / "names.ttf"]
    assert "上海𠮷公司" in text_of(letter(record, fonts=fonts))
    assert own_fonts(tmp_path / "nowhere") == []


@pytest.mark.parametrize(
    "data", [b"", b"OTTO", b"ttcf" + bytes(100), b"OTTO\x00\x01" + bytes(40), FONT.read_bytes()[:300]]
)
def test_what_is_no_font_is_named(tmp_path, data):
    """An operator's broken file is an error that says so, not a crash."""
    (tmp_path / "bad.otf").write_bytes(data)
    with pytest.raises(ServiceError) as caught:
        covered(own_fonts(tmp_path))
    assert caught.value.code == "font-unreadable"


def test_random_damage_to_a_font_never_crashes(seed):
    """Coverage answers or refuses, whatever the bytes."""
    random, font = Random(seed), tiny_font(io.BytesIO(), "ab中𠮷").getvalue()
    codes = set()
    for _ in range(500):
        damaged = bytearray(font)
        for _ in range(3):
            damaged[random.randrange(len(damaged))] = random.randrange(256)
        codes.add(code_of(bytes(damaged)))
    assert codes == {"", "font-unreadable"}


def code_of(font):
    try:
        coverage(font)
    except ServiceError as error:
        return error.code
    return ""


def test_names_of_companies_are_drawn_from_the_font(records):
    """Rare characters of names, 喆 and 堃 among them, are there to be read."""
    assert NAME in text_of(letter(records["money"]))
    assert all(unicodedata.category(one) == "Lo" for one in NAME)


def test_the_content_is_plain_data(records):
    """Everything that the template gets is JSON without numbers to format."""
    for record in records.values():
        json.dumps(content_of(record))
        assert all(isinstance(text, str) for text in strings(content_of(record)))
