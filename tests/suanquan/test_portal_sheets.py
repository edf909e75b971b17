"""Spreadsheets that officials can trust: every fault by its cell, nothing written before all is right, and then all or nothing."""

import contextlib
import csv
import html
import io
import re
import sqlite3
import zipfile
from datetime import date

import pytest
import xlsxwriter

from suanquan.errors import ServiceError
from suanquan.portal.files import incoming
from suanquan.portal.files.incoming import Cell, read
from suanquan.portal.sheet_kinds import SHEETS
from suanquan.portal.sheet_rows import read_rows
from suanquan.portal.sheet_text import NAMES, TEXTS
from tests.suanquan.test_portal import CJK, PORTAL, words
from tests.voucher.application_samples import SCHEME
from voucher.holder import sandbox_uscc

ZH, EN = TEXTS["zh"], TEXTS["en"]
HEADS = [field.zh for field in SHEETS["energy"].fields]


def book(rows, *, write=None):
    """A workbook of one sheet, all cells as text but what `write(sheet, book)` puts there."""
    out = io.BytesIO()
    made = xlsxwriter.Workbook(out, {"in_memory": True})
    sheet = made.add_worksheet("用电")
    for number, row in enumerate(rows):
        for at, cell in enumerate(row):
            if isinstance(cell, str):
                sheet.write_string(number, at, cell)
            else:
                sheet.write_number(number, at, cell)
    if write:
        write(sheet, made)
    made.close()
    return out.getvalue()


def comma(rows, encoding="utf-8-sig"):
    out = io.StringIO(newline="")
    csv.writer(out).writerows(rows)
    return out.getvalue().encode(encoding)


def faults_of(body, name="a.xlsx", kind="energy"):
    """`cell: what is wrong` of a file."""
    found = {}
    for one in read_rows(read(name, body), SHEETS[kind].fields).faults:
        found.setdefault(one.cell, one.zh)
    return found


GOOD = ["2026-09", "1200000", "1000000", "180000"]


def test_every_fault_stands_at_its_cell():
    """Formulas, merged cells, error values, dates as numbers, words for numbers: by address, each with what to do."""

    def write(sheet, made):
        sheet.write_formula("B2", "=1+1", None, 2)
        sheet.merge_range("C3:D3", "1", made.add_format())
        sheet.write_formula("B4", "=1/0", None, "#DIV/0!")
        sheet.write_datetime("A5", date(2026, 7, 1), made.add_format({"num_format": "mmm yy"}))
        sheet.write_blank("A50", None, made.add_format({"bg_color": "red"}))

    rows = [HEADS, [*GOOD], ["2026-08", "1200000"], ["2026-07", "1"], ["", "1,240,000", "一百万", "1.5"]]
    rows += [
        ["", "", "", ""],
        [46_000, "12", "", "-3"],
        ["2026-13", "5", "5", "5"],
        ["2026年6月", 1_240_000, 1e6, "１２"],
    ]
    found = faults_of(book(rows, write=write))
    assert found.keys() == {"B2", "C3", "D3", "B4", "C4", "D4", "C5", "D5", "A7", "C7", "D7", "A8"}
    assert "公式" in found["B2"]
    assert "合并" in found["C3"]
    assert "2025-12" in found["A7"], "which month the number may have meant"
    read_ = read_rows(read("a.xlsx", book(rows, write=write)), SHEETS["energy"].fields).rows
    assert [row["month"] for _, row in read_][3] == "2026-07", "a cell shown as a date is one"
    assert read_[-1] == (9, {"month": "2026-06", "total_kwh": "1240000", "it_kwh": "1000000", "green_kwh": "12"})
    assert [number for number, _ in read_] == [2, 3, 4, 5, 7, 8, 9], "rows that were only formatted are none"


def test_headings_may_stand_in_any_order_and_are_all_needed():
    """Foreign order and English headings are taken; one too many, one twice and one lacking are named."""
    turned = [[*HEADS[::-1]], [*GOOD[::-1]]]
    assert not faults_of(comma(turned), "a.csv")
    assert not faults_of(comma([[field.en for field in SHEETS["energy"].fields], GOOD]), "a.csv")
    assert not faults_of(comma([HEADS, GOOD], "gb18030"), "a.csv")
    wrong = faults_of(comma([["月份", "月份", "备注"], ["2026-09", "2026-09", "x"]]), "a.csv")
    assert wrong.keys() == {"B1", "C1", "A1"}
    assert faults_of(comma([HEADS]), "a.csv") == {"A2": "表头之下没有任何一行"}
    assert faults_of(comma([HEADS, ["=cmd()", "1", "1", "1"]]), "a.csv").keys() == {"A2"}


def test_codes_keep_their_digits():
    """A code in a cell of numbers is refused, and so is any number of more digits than a cell keeps."""
    heads = [field.zh for field in SHEETS["vouchers"].fields]
    code = sandbox_uscc(3)
    found = faults_of(
        book([heads, [913101170000000000, 1, "CNY", "", 1650924012345678], [code, 1234.56, "", "", "x"]]),
        kind="vouchers",
    )
    assert found.keys() == {"A2", "E2"}
    rows = read_rows(read("a.xlsx", book([heads, [code.lower(), 0.1 + 0.2, "", "", "x"]])), SHEETS["vouchers"].fields)
    assert (rows.rows[0][1]["holder"], rows.rows[0][1]["amount"]) == (code, "0.30")


def rezipped(body, change):
    """A workbook whose parts were changed: `change(name, data)` gives the new data, or None to leave a part out."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(body)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if (data := change(name, old.read(name))) is not None:
                new.writestr(name, data)
    return out.getvalue()


FINE = book([HEADS, GOOD])
BOMB = rezipped(FINE, lambda name, data: data + b" " * 50_000_000 if "sheet1" in name else data)
DOCTYPE = rezipped(
    FINE, lambda name, data: data.replace(b"?>", b'?><!DOCTYPE x [<!ENTITY a "aa">]>', 1) if "sheet1" in name else data
)
WRONG = {
    "empty": ("a.xlsx", b"", "空"),
    "old": ("a.xls", b"\xd0\xcf\x11\xe0" + bytes(600), "另存为 .xlsx"),
    "locked": ("a.xlsx", b"\xd0\xcf\x11\xe0" + bytes(600), "加密"),
    "pdf": ("a.xlsx", b"%PDF-1.7", "类型不符"),
    "macro": ("a.xlsm", FINE, "宏"),
    "hidden macro": (
        "a.xlsx",
        rezipped(FINE, lambda name, data: data.replace(b"sheet.main+xml", b"sheet.macroEnabled.main+xml")),
        "宏",
    ),
    "bomb": ("a.xlsx", BOMB, "压缩炸弹"),
    "doctype": ("a.xlsx", DOCTYPE, "损坏"),
    "cut": ("a.xlsx", FINE[:-300], "损坏"),
    "no sheet": ("a.xlsx", rezipped(FINE, lambda name, data: None if "sheet1" in name else data), "损坏"),
    "large": ("a.csv", b"x" * (incoming.FILE_BYTES_MAX + 1), "超过"),
    "bytes": ("a.csv", b"\x00\x01\xff\xfe", "不是文本"),
    "quote": ("a.csv", b'a,b\n"c', "第 2 行"),
    "long": ("a.csv", b"x\n" * 10_002, "10,000"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_spreadsheet_is_said(name):
    """Each wrong file has its own words, and what to send instead; nothing of it is expanded or run."""
    file, body, said = WRONG[name]
    with pytest.raises(ServiceError) as refused:
        read(file, body)
    assert refused.value.code == "sheet-malformed"
    assert said in refused.value.zh


def test_parts_of_workbooks_are_read_as_they_are_meant(tmp_path):
    """Shared and inline strings, rich text without its pronunciation, truth values; the first sheet that is not hidden."""

    def change(name, data):
        if name == "xl/sharedStrings.xml":
            return data.replace(b"<t>2026-09</t>", b"<r><t>2026</t></r><rPh><t>er</t></rPh><r><t>-09</t></r>")
        if name == "xl/worksheets/sheet1.xml":
            return data.replace(
                b"</row>", b'<c r="F2" t="b"><v>1</v></c><c r="G2" t="inlineStr"><is><t>x</t></is></c></row>', 2
            )
        return data

    [_, line] = read("a.xlsx", rezipped(FINE, change)).lines
    assert (line.cells[0], line.cells[5], line.cells[6]) == (Cell("2026-09"), Cell("true"), Cell("x"))
    assert [incoming.address(at, 3) for at in (0, 25, 26, 701)] == ["A3", "Z3", "AA3", "ZZ3"]


def shown(page):
    return html.unescape(words(page.text))


def count(site, table):
    with contextlib.closing(sqlite3.connect(site.home.database)) as connection:
        return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def send(visit, who, kind, body, name="表.xlsx", **typed):
    """The page that a spreadsheet leads to, and its address."""
    answer = visit(who, f"/sheets/{kind}", typed, {"file": (name, body)})
    place = answer.headers.get("location", "")
    return (visit(who, place) if place else answer), place


def test_electricity_comes_in_as_a_whole(acted_on, visit):
    """A template that reads back; a fault writes nothing; then all months in one go, once, whatever is pressed again."""
    template = visit("centre", "/sheets/energy/template.xlsx")
    assert [cell.text for cell in read("t.xlsx", template.content).lines[0].cells.values()] == HEADS
    with zipfile.ZipFile(io.BytesIO(template.content)) as archive:
        assert ZH["template_note"] in archive.read("xl/workbook.xml").decode()
    assert visit("centre", "/sheets/energy/template.csv").text.removeprefix("\ufeff").strip() == ",".join(HEADS)
    before = count(acted_on, "centre_fact")
    page, place = send(visit, "centre", "energy", book([HEADS, GOOD, ["2026-09", "1", "2", "3"]]), evidence="cd" * 32)
    assert "用电!A3" in page.text
    assert "用电!C3" in page.text
    assert ZH["draft_faults"].format(count=2) in shown(page)
    assert "<button>导入" not in page.text
    assert visit("centre", place, {}).status_code == 422
    marked = visit("centre", f"{place}/faults.xlsx")
    with zipfile.ZipFile(io.BytesIO(marked.content)) as archive:
        assert "设备用电" in archive.read("xl/comments1.xml").decode()
    assert visit("holder", place).status_code == 404, "another's"
    good = book([HEADS, GOOD, ["2026-08", "1", "1", "0"]])
    lacking, nowhere = send(visit, "centre", "energy", good)[0], send(visit, "centre", "energy", good)[1]
    assert ZH["confirm_sheet"].format(rows=2) in lacking.text
    refused = visit("centre", nowhere, {})
    assert "证据" in refused.text
    assert count(acted_on, "centre_fact") == before
    page, place = send(visit, "centre", "energy", good, evidence="cd" * 32)
    assert visit("centre", place, {}).status_code == 303
    assert visit("centre", place, {}).status_code == 303
    assert count(acted_on, "centre_fact") == before + 2
    assert "2026-08" in visit("centre", "/energy").text
    assert ZH["sheet_done"].partition("{")[0] in shown(visit("centre", place))
    with contextlib.closing(sqlite3.connect(acted_on.home.database)) as connection:
        [kept] = connection.execute("SELECT content FROM sheet_draft WHERE done <> '' AND kind = 'energy'").fetchall()
    assert kept == (b"",), "what counted is forgotten"
    page, _ = send(visit, "centre", "energy", good, evidence="cd" * 32)
    assert "2026-08 已填报过" in page.text
    wrong = visit("centre", "/sheets/energy", {"evidence": "ef" * 32}, {"file": ("a.xlsm", FINE)})
    assert (wrong.status_code, "ef" * 32 in wrong.text) == (422, True), "what was typed is still there"
    none = visit("centre", "/sheets/energy", {"evidence": "ef" * 32}, {"x": ("", b"")})
    assert (none.status_code, ZH["sheet_not_chosen"] in none.text) == (422, True)
    assert visit("holder", "/sheets/energy").status_code == 403
    assert visit("centre", "/sheets/inventory").status_code == 403


def test_vouchers_are_issued_all_or_none(acted_on, visit):
    """The row that the scheme refuses is named beforehand; the whole is issued in one transaction, and never twice."""
    heads = [field.zh for field in SHEETS["vouchers"].fields]
    first, other = sandbox_uscc(31), sandbox_uscc(32)
    rows = [heads, [first, "100", "CNY", "某公司", "HT-31", ""], [other, "200", "", "", "HT-32", ""]]
    before = count(acted_on, "voucher")
    page, _ = send(visit, "officer", "vouchers", comma(rows), "券.csv", scheme=SCHEME)
    assert "<code>D3</code>" in page.text, "a contract without its provider"
    assert count(acted_on, "voucher") == before
    rows[2][4:6] = ["", "试点单位"]
    twice = [*rows, [other, "300", "", "某公司", "HT-31", ""]]
    page, _ = send(visit, "officer", "vouchers", comma(twice), "券.csv", scheme=SCHEME)
    assert ZH["draft_faults"].format(count=1) in shown(page), "one contract twice, which no row says alone"
    page, place = send(visit, "officer", "vouchers", comma(rows), "券.csv", scheme=SCHEME)
    assert "300.000000 CNY" in page.text
    assert count(acted_on, "voucher") == before
    assert visit("officer", place, {}).status_code == 303
    assert visit("officer", place, {}).status_code == 303
    assert count(acted_on, "voucher") == before + 2 == count(acted_on, "released")
    assert visit("department", "/sheets/vouchers").status_code == 403


def test_cards_and_ties_come_in(acted_on, visit):
    """An inventory replaces the one before and names cards nobody registered; ties are kept with where they are known from."""
    heads = [field.zh for field in SHEETS["inventory"].fields]
    typed = {"centre": "sj01", "since": "2026-11-01"}
    page, _ = send(
        visit,
        "department",
        "inventory",
        comma([heads, ["S1", "A100", "", ""], ["S1", "A100", "2026/12/1", ""]]),
        "卡.csv",
        **typed,
    )
    assert "同一时间出现两次" in page.text
    page, place = send(
        visit,
        "department",
        "inventory",
        comma([heads, ["S1", "A100", "", ""], ["S2", "没有的", "", ""]]),
        "卡.csv",
        **typed,
    )
    assert "“没有的”没有登记" in page.text
    assert visit("department", place, {}).status_code == 303
    heads = [field.zh for field in SHEETS["parties"].fields]
    ties = comma([heads, [sandbox_uscc(4), "shareholder", sandbox_uscc(5)], [sandbox_uscc(4), "亲戚", "x"]])
    page, _ = send(visit, "department", "parties", ties, "t.csv", origin="工商登记")
    assert "<code>B3</code>" in page.text
    page, place = send(
        visit,
        "department",
        "parties",
        comma([heads, [sandbox_uscc(4), "shareholder", sandbox_uscc(5)]]),
        "t.csv",
        origin="工商登记",
    )
    assert visit("department", place, {}).status_code == 303
    assert {one for one in SHEETS if f"/sheets/{one}" in visit("department", "/sheets").text} == {
        "energy",
        "inventory",
        "parties",
    }
    assert ZH["sheets_none"] in visit("holder", "/sheets").text


def test_every_text_of_these_pages_stands_in_both_languages(visit, acted_on):
    """No key lacks a language, placeholders agree, each is used, and English pages are English."""
    used = "".join(path.read_text("utf-8") for path in [*PORTAL.glob("templates/**/*.html"), *PORTAL.glob("[!t]*.py")])
    used = used.replace((PORTAL / "sheet_text.py").read_text("utf-8"), "")
    for key in NAMES:
        chinese, english = ZH[key], EN[key]
        assert not CJK.search(english), key
        assert sorted(re.findall(r"{\w*}", chinese)) == sorted(re.findall(r"{\w*}", english)), key
        assert re.search(rf"\bt\.{key}\b|\"{key}\"", used) or re.match("(sheet|ask)_", key), key
    for path in ("/sheets", "/sheets/energy", f"/sheets/drafts/{acted_on.draft}"):
        page = re.sub(r'<(\w+)[^>]*lang="zh-CN".*?</\1>', " ", visit("centre", f"{path}?lang=en").text, flags=re.DOTALL)
        for name in ("用电.csv", "百万", "中文", "松江智算中心"):
            page = page.replace(name, "")
        assert not CJK.findall(words(page)), path
