"""LibreOffice reads our templates and exports and writes them again: codes and long numbers keep every digit, and we read its files."""

import csv
import io
import shutil
import subprocess

import pytest
import xlsxwriter

from suanquan.portal.files.incoming import read
from suanquan.portal.sheet_kinds import SHEETS
from suanquan.portal.sheet_rows import read_rows
from tests.conftest import ALL
from tests.suanquan import workbooks
from tests.suanquan.test_portal_sheets import GOOD, HEADS, comma
from voucher.holder import sandbox_uscc

SOFFICE = shutil.which("soffice")
pytestmark = [
    pytest.mark.skipif(not ALL, reason="LibreOffice takes seconds to start: run with --all"),
    pytest.mark.skipif(SOFFICE is None, reason="no soffice: install libreoffice-calc"),
]
XLSX = "xlsx:Calc MS Excel 2007 XML"
UTF8 = "44,34,76,1"
"""Comma, quotation mark, UTF-8, from the first line: what the import dialogue finds by itself."""
NUMBERS = ("1234567890123456789012", "0000000000000000000007", "9007199254740993.000001")
CODES = ("91350100M000100Y43", "913501001234567890", sandbox_uscc(1))
EXPORTS = {
    "vouchers": ("officer", "/office/vouchers"),
    "entries": ("officer", "/office/entries?account=centre/sj01/receivable"),
    "usage": ("holder", "/usage"),
    "settlements": ("department", "/settlements"),
    "statement": ("holder", "/statements/sj01/covered/2026-11"),
}


@pytest.fixture(scope="module")
def convert(tmp_path_factory):
    """`convert({name: bytes}, to)`: the same files as LibreOffice writes them."""
    home = tmp_path_factory.mktemp("libreoffice")

    def run(files, to, read_as=""):
        given, made = (home / f"{len(list(home.iterdir()))}-{part}" for part in ("in", "out"))
        given.mkdir()
        for name, data in files.items():
            (given / name).write_bytes(data)
        options = ["--headless", f"-env:UserInstallation={(home / 'profile').as_uri()}"]
        options += [f"--infilter=CSV:{read_as}"] if read_as else []
        done = subprocess.run(
            [SOFFICE, *options, "--convert-to", to, "--outdir", made, *sorted(given.iterdir())],
            capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        ending = to.partition(":")[0]
        return {name: (made / f"{name.rpartition('.')[0]}.{ending}").read_bytes() for name in files}

    return run


def texts(rows):
    """Rows with the cells that are text, without empty ones at the end; numbers by their value."""
    told = [[cell if isinstance(cell, str) else float(cell[1] or 0) for cell in row] for row in rows]
    return [row for row in ([*trimmed(row)] for row in told) if row]


def trimmed(row):
    while row and row[-1] in {"", None}:
        row = row[:-1]
    return row


def test_exports_keep_every_digit_in_a_workbook(visit, convert):
    """Every cell of five exports: texts, codes and numbers beyond 15 digits as they were, numbers of the same value."""
    where = {
        name: visit(who, f"{path}{'&' if '?' in path else '?'}format=xlsx").content
        for name, (who, path) in EXPORTS.items()
    }
    for name, data in convert({f"{name}.xlsx": data for name, data in where.items()}, XLSX).items():
        before, after = workbooks.read(where[name.removesuffix(".xlsx")]), workbooks.read(data)
        assert before.keys() == after.keys(), name
        for sheet in before:
            assert texts(after[sheet]) == texts(before[sheet]), (name, sheet)


def test_codes_and_long_numbers_are_identical_after_a_round_trip(convert):
    """In cells of a template, which are text before anything is typed; by workbook, and by CSV with the columns read as text."""
    rows = [[code, number] for code, number in zip(CODES, NUMBERS, strict=True)]
    body = io.BytesIO()
    book = xlsxwriter.Workbook(body, {"in_memory": True})
    sheet, text = book.add_worksheet("单位"), book.add_format({"num_format": "@"})
    for at, row in enumerate([["代码", "数"], *rows]):
        for column, cell in enumerate(row):
            sheet.write_string(at, column, cell, text)
    book.close()
    once = convert({"a.xlsx": body.getvalue()}, XLSX)["a.xlsx"]
    twice = convert({"a.xlsx": once}, XLSX)["a.xlsx"]
    for data in (once, twice):
        assert texts(workbooks.read(data)["单位"])[1:] == rows
    sent = comma([["代码", "数"], *rows])
    found = convert({"a.csv": sent}, XLSX, f"{UTF8},1/2/2/2")["a.csv"]
    assert texts(workbooks.read(found)["a"])[1:] == rows
    back = convert({"a.xlsx": found}, f"csv:Text - txt - csv (StarCalc):{UTF8},,0,true,true")["a.xlsx"]
    assert list(csv.reader(io.StringIO(back.decode("utf-8-sig"))))[1:] == rows


@pytest.mark.parametrize("kind", SHEETS)
def test_what_libreoffice_writes_of_a_template_is_read(visit, convert, kind):
    """An empty template has the same headings; nothing of its thousands of formatted rows is taken for a row."""
    who = {"energy": "centre"}.get(kind, "department")
    if kind == "vouchers":
        who = "officer"
    given = visit(who, f"/sheets/{kind}/template.xlsx").content
    after = convert({"t.xlsx": given}, XLSX)["t.xlsx"]
    before, found = (read_rows(read("t.xlsx", data), SHEETS[kind].fields) for data in (given, after))
    assert found == before


def test_a_filled_template_counts_after_libreoffice(convert):
    """The rows that were typed are the rows that we read, from its workbook and from its CSV."""
    filled = io.BytesIO()
    book = xlsxwriter.Workbook(filled, {"in_memory": True})
    sheet = book.add_worksheet("用电")
    for at, row in enumerate([HEADS, GOOD]):
        for column, cell in enumerate(row):
            sheet.write_string(at, column, cell, book.add_format({"num_format": "@"}))
    book.close()
    once = convert({"a.xlsx": filled.getvalue()}, XLSX)["a.xlsx"]
    back = convert({"a.xlsx": once}, f"csv:Text - txt - csv (StarCalc):{UTF8},,0,true,true")["a.xlsx"]
    wanted = read_rows(read("a.xlsx", filled.getvalue()), SHEETS["energy"].fields)
    assert not wanted.faults
    for name, data in (("a.xlsx", once), ("a.csv", back)):
        found = read_rows(read(name, data), SHEETS["energy"].fields)
        assert (found.rows, found.faults) == (wanted.rows, []), name
