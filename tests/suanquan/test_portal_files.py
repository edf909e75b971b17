"""Tables as files: what CSV, Excel and PDF hold is what the page shows; no formula, no lost digit, no missing glyph."""

import csv
import io
import random
import re
from decimal import Decimal

import httpx2
import pypdfium2
import pytest

from suanquan.errors import ServiceError
from suanquan.portal import figures
from suanquan.portal.files import comma, excel, paper, seen
from suanquan.portal.files.sheet import Book, Head, Sheet
from suanquan.portal.frame import IN_WAN
from suanquan.portal.office_text import TEXTS
from tests.suanquan import workbooks
from tests.suanquan.test_portal_office import bearer, client, filled  # noqa: F401 - fixtures
from voucher.holder import sandbox_uscc

HOLDER = sandbox_uscc(1)
ENTRIES = "/office/entries?account=centre/sj01/receivable"
PAGES = ["/office", "/office/uptake", "/office/centres", "/office/budgets", "/office/clauses", "/"]
LISTS = ["/office/vouchers", ENTRIES, "/office/usage.csv"]


def asked(path, **more):
    """A path with more in its query."""
    return path + ("&" if "?" in path else "?") + "&".join(f"{name}={value}" for name, value in more.items())


def rows_of(text):
    """Tables of a CSV file, headings first."""
    return [row for row in csv.reader(io.StringIO(text.removeprefix("\ufeff"))) if row]


def words_of(pdf):
    """All that stands in a PDF, without any space."""
    document = pypdfium2.PdfDocument(pdf)
    text = "".join(page.get_textpage().get_text_bounded() for page in document)
    return re.sub(r"[\s\u200b\ufffe\x02]", "", text)


def plain(cell):
    """A cell of a workbook as CSV has it."""
    return cell if isinstance(cell, str) else str(Decimal(cell[1]))


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_the_same_on_the_screen_and_in_each_file(client, path):  # noqa: F811
    """Every table of a page, heading by heading and cell by cell; the last sheet says from where and as of when."""
    shown = seen.read(client.get(path).text)
    assert shown.sheets
    expected = [[head.text for head in sheet.heads] for sheet in shown.sheets]
    text = rows_of(client.get(asked(path, format="csv")).text)
    for sheet in shown.sheets:
        assert [head.text for head in sheet.heads] in text
        assert all(list(row) in text for row in sheet.rows)
    book = workbooks.read(client.get(asked(path, format="xlsx")).content)
    *tables, about = book.values()
    assert [table[0] for table in tables] == expected
    for sheet, table in zip(shown.sheets, tables, strict=True):
        for row, cells in zip(sheet.rows, table[1:], strict=True):
            same = [Decimal(a) == Decimal(b) if a != b and head.number else a == b for a, b, head in zip(row, map(plain, cells), sheet.heads, strict=True)]  # fmt: skip
            assert all(same), (row, cells)
    assert [TEXTS["zh"]["export_address"], path] in about
    said = words_of(client.get(asked(path, format="pdf")).content)
    for sheet in shown.sheets:
        for row in sheet.rows:
            for cell in row:
                assert "".join(cell.replace("-", "").split()) in said.replace(",", "").replace("−", "").replace("-", "")


@pytest.mark.parametrize("path", LISTS)
def test_a_list_is_a_file_with_all_of_its_rows(client, path):  # noqa: F811
    """The same headings and rows in CSV and Excel, and every character in the PDF."""
    text = rows_of(client.get(asked(path, format="csv")).text)
    assert len(text) > 1
    answer = client.get(asked(path, format="xlsx"))
    assert answer.headers["content-disposition"].endswith('.xlsx"')
    table, about = workbooks.read(answer.content).values()
    assert [plain(row[0]) for row in table] == [row[0] for row in text]
    assert table[0] == text[0]
    assert len(table) == len(text)
    assert "沙箱" not in str(about)
    answer = client.get(asked(path, format="pdf"))
    assert answer.headers["content-type"] == "application/pdf"
    said = words_of(answer.content)
    assert all("".join(row[0].split()).replace("-", "") in said.replace(",", "").replace("-", "") for row in text)


def test_columns_chosen_on_the_screen_are_the_columns_of_the_file(client):  # noqa: F811
    """Those that the address names, extra ones among them; a page has no table that it does not show."""
    path = "/office/vouchers?columns=jti&columns=unit&columns=issued"
    text = rows_of(client.get(asked(path, format="csv")).text)
    zh = TEXTS["zh"]
    assert text[0] == [zh["jti"], zh["issued"], zh["unit"]]
    page = client.get(path).text
    assert re.findall(r'<th scope="col"[^>]*>\s*(.*?)\s*</th>', page) == text[0]
    assert client.get(asked("/office", format="pdf", table="nowhere")).status_code == 422
    assert "no-table" in client.get(asked("/verify", format="xlsx")).text


def test_a_stranger_gets_no_file(filled):  # noqa: F811
    """Rights are those of the page, and a failed page is no file."""
    for path in ("/office?format=xlsx", "/office/vouchers?format=pdf", "/vouchers?format=csv"):
        answer = httpx2.get(filled[0].url + path)
        assert answer.status_code == 401
        assert answer.headers["content-type"].startswith("text/html")
    mine = httpx2.get(filled[0].url + "/vouchers?format=xlsx&columns=jti,issued", headers=bearer(filled[1]["holder"]))
    assert workbooks.read(mine.content)[TEXTS["zh"]["my_vouchers"]][1][1] == ("n", "100000.500000")


HOSTILE = ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("http://x","y")', "=cmd|' /C calc'!A0"]


def test_no_cell_is_a_formula_and_no_identifier_a_number():
    """Texts that spreadsheets would run are texts; codes of 18 and numbers of 22 digits come back as they were."""
    codes = ["913101170000000001", "0000000000000000000042", "1234567890123456"]
    rows = (
        [[text, "1.5"] for text in HOSTILE] + [[code, "-320.000000"] for code in codes] + [["x", "1234567890.123456"]]
    )
    book = Book(
        "t", "表", [("时点", "=1+1")], [Sheet("t", "=表[1]:*?/\\", [Head("甲"), Head("乙", number=True)], rows)]
    )
    sheets = workbooks.read(excel.made(book))
    (name, cells), (_, about) = sheets.items()
    assert not set(name) & set("[]:*?/\\")
    strip = [row[0].strip("\t\r") for row in cells[1:]]
    assert strip == [row[0].strip("\t\r") for row in rows]
    assert cells[9][1] == ("n", "-320.000000")
    assert cells[-1][1] == "1234567890.123456", "sixteen digits do not fit a number"
    assert about[1] == ["时点", "=1+1"]
    text = list(csv.reader(io.StringIO(comma.made(book).decode().removeprefix(comma.BOM), newline="")))
    assert [row[0] for row in text[1:9]] == [f"'{one}" for one in HOSTILE]
    assert text[9] == [codes[0], "-320.000000"]


def test_every_word_of_the_pages_can_be_printed():
    """Each Chinese and English sentence of all pages comes out of a PDF as it went in: no character is a box."""
    texts = sorted({text for language in TEXTS.values() for text in language.values()})
    book = Book("t", "字", [], [Sheet("t", "字", [Head("文")], [[text] for text in texts])])
    said = words_of(paper.made(book, 1_795_000_000, []))
    lost = set("".join("".join(texts).split())) - set(said)
    assert lost <= {"\x02", "-"}, lost
    with pytest.raises(ServiceError, match="U\\+1F600") as refused:
        paper.made(book._replace(title="笑😀"), 1_795_000_000, [])
    assert refused.value.code == "glyph-missing"


def test_a_pdf_that_nobody_leafs_through_is_refused():
    """It says how many rows there are and what to do instead; Excel and CSV have no such limit."""
    many = Sheet("t", "表", [Head("甲")], [["1"]] * (paper.CELLS_MAX + 1))
    with pytest.raises(ServiceError, match="24,001"):
        paper.made(Book("t", "表", [], [many]), 1_795_000_000, [])
    assert comma.made(Book("t", "表", [], [many])).count(b"\n") == paper.CELLS_MAX + 2


def test_the_point_moves_and_no_digit_is_lost(seed):
    """An amount in 万元 is the amount in 元 with its point moved by four, whatever its size and sign."""
    print("seed", seed)
    random_ = random.Random(seed)
    figures.in_wan.set(True)
    try:
        for _ in range(300):
            units = random_.choice((-1, 1)) * random_.randrange(10 ** random_.randrange(1, 19))
            text = f"{'-' if units < 0 else ''}{abs(units) // 10**6}.{abs(units) % 10**6:06d}"
            moved = figures.money(text)
            assert Decimal(moved) * 10_000 == Decimal(text)
            assert re.fullmatch(r"-?(0|[1-9]\d*)\.\d{10}", moved)
        assert figures.money("12.500000000", "PFLOPS.h") == "12.500000000"
    finally:
        figures.in_wan.set(False)


WAN = sorted(
    path
    for path in IN_WAN
    if (path.startswith("/office") or path == "/")
    and path not in {"/office/entries", "/office/accounts", "/office/usage.csv", "/office/rounds", "/office/queue"}
)


@pytest.mark.parametrize("path", [*WAN, ENTRIES, "/office/accounts?under=self-pay/sj01/"])
def test_a_page_in_wan_says_so_and_is_the_same_page(client, path):  # noqa: F811
    """Where 万元 stands over a column its figures are a ten-thousandth; every other cell is as it was; links keep the unit."""
    yuan = seen.read(client.get(path).text.replace('class="listed', 'class="'))
    page = client.get(asked(path, money="wan")).text
    wan = seen.read(page.replace('class="listed', 'class="'))
    assert TEXTS["zh"]["switch_yuan"] in page
    assert "money=wan" in page
    moved = 0
    for one, other in zip(yuan.sheets, wan.sheets, strict=True):
        for head, new, *cells in zip(one.heads, other.heads, *map(zip, one.rows, other.rows), strict=True):
            assert new.text == head.text.replace("（元）", "（万元）")
            for before, after in cells:
                if not head.number or before == after:
                    assert after in {before, before.removesuffix("元") + "万元"}
                    assert "（元）" not in head.text or before == "—" or Decimal(before) == 0
                else:
                    assert Decimal(after) * 10_000 == Decimal(before), (head, before, after)
                    moved += 1
    assert moved or path == "/office/clauses"
