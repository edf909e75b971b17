"""Forty faults of spreadsheets, in rows that chance chose: each is named by its cell, and no cell that is right is; codes stay whole."""

import html
import io
import random
import re
import zipfile
from datetime import date

from suanquan.portal.files import comma as comma_file
from suanquan.portal.files import excel
from suanquan.portal.files.incoming import address, read
from suanquan.portal.files.sheet import Book, Head, Sheet
from suanquan.portal.files.templates import marked
from suanquan.portal.sheet_kinds import SHEETS
from suanquan.portal.sheet_rows import read_rows
from tests.suanquan.test_portal_sheets import book, comma, send
from tests.voucher.application_samples import SCHEME
from voucher.holder import sandbox_uscc

ROWS = 60


def month(at):
    """A month that stands once, long before any that the site has."""
    return f"{2001 + at // 12}-{at % 12 + 1:02d}"


FINE = {
    "energy": lambda at: [month(at), str(1_200_000 + at), str(1_000_000 + at), "180000"],
    "inventory": lambda at: [f"{at:022d}", "A100", "2026-01-05", "2026-12-31"],
    "vouchers": lambda at: [sandbox_uscc(2_000 + at), "10.50", "CNY", "", "", "试点单位"],
    "parties": lambda at: [sandbox_uscc(2_000 + at), "shareholder", sandbox_uscc(3_000 + at)],
}
ASKED = {
    "energy": ("centre", {"evidence": "ab" * 32}),
    "inventory": ("department", {"centre": "sj01", "since": "2026-11-01"}),
    "vouchers": ("officer", {"scheme": SCHEME}),
    "parties": ("department", {"origin": "工商登记"}),
}
CODE = sandbox_uscc(9)
FAULTS = [
    ("energy", 0, "", "须填写"),
    ("energy", 0, "2026-13", "不是月份"),
    ("energy", 0, "去年十月", "不是月份"),
    ("energy", 0, "2026-9月份", "不是月份"),
    ("energy", 0, 46_000, "序号"),
    ("energy", 0, 202_610, "不是日期"),
    ("energy", 1, "一百万", "不是数"),
    ("energy", 1, "1200000千瓦时", "不是数"),
    ("energy", 1, "1.2.3", "不是数"),
    ("energy", 1, -5, "不为负"),
    ("energy", 2, "1.5", "不带小数"),
    ("energy", 2, "9" * 25, "不是数"),
    ("energy", 2, "NaN", "不是数"),
    ("energy", 3, "", "须填写"),
    ("energy", 3, ("formula", "=1+1"), "公式"),
    ("energy", 3, ("error", "#DIV/0!"), "错误值|公式"),
    ("energy", 3, ("day", date(2026, 7, 1)), "不是数"),
    ("energy", 1, ("merged", ""), "合并"),
    ("inventory", 0, "", "须填写"),
    ("inventory", 0, "x" * 65, "超过 64"),
    ("inventory", 0, 1_650_924_012_345_678, "失真"),
    ("inventory", 0, "a\x0bb", "可见字符"),
    ("inventory", 1, "", "须填写"),
    ("inventory", 2, "2026-02-30", "没有这一天"),
    ("inventory", 2, "05/01/2026", "不是日期"),
    ("inventory", 2, 45_000, "序号"),
    ("inventory", 3, 7, "不是日期"),
    ("vouchers", 0, CODE[:17], "18"),
    ("vouchers", 0, CODE[:-1] + ("A" if CODE[-1] != "A" else "B"), "校验"),
    ("vouchers", 0, CODE[:3] + "O" + CODE[4:], ""),
    ("vouchers", 0, 913_101_170_000_000_000, "失真"),
    ("vouchers", 1, "0", "大于零"),
    ("vouchers", 1, "-20", "大于零"),
    ("vouchers", 1, "二十", "大于零"),
    ("vouchers", 1, "", "须填写"),
    ("vouchers", 2, "USD", "不在可填的值"),
    ("vouchers", 4, 12_345_678_901_234_567, "失真"),
    ("vouchers", 5, "x" * 401, "超过 400"),
    ("parties", 0, "", "须填写"),
    ("parties", 1, "亲戚", "不在可填的值"),
    ("parties", 2, "", "须填写"),
]
assert len(FAULTS) >= 40


def put(sheet, made, row, at, what):
    """Write a cell that no text or number is."""
    kind, value = what
    if kind == "formula":
        sheet.write_formula(row, at, value, None, 2)
    elif kind == "error":
        sheet.write_formula(row, at, "=1/0", None, value)
    elif kind == "day":
        sheet.write_datetime(row, at, value, made.add_format({"num_format": "yyyy-mm-dd"}))
    else:
        sheet.merge_range(row, at, row + 1, at, "1", made.add_format())


def with_faults(kind, random_):
    """A workbook of one kind with all of its faults, each in a row of its own; and what must be said of which cell."""
    rows = [[field.zh for field in SHEETS[kind].fields], *(FINE[kind](at) for at in range(ROWS))]
    wanted, special = {}, []
    free = random_.sample(range(1, ROWS, 2), k=ROWS // 2)  # the row below each is left, for a merged cell reaches there
    for (_, at, what, said), row in zip([one for one in FAULTS if one[0] == kind], free, strict=False):
        wanted[address(at, row + 1)] = said
        if isinstance(what, tuple):
            special.append((row, at, what))
        else:
            rows[row][at] = what
        if what == ("merged", ""):
            wanted[address(at, row + 2)] = "须填写"
    assert len(wanted) >= sum(one[0] == kind for one in FAULTS)

    def write(sheet, made):
        for row, at, what in special:
            put(sheet, made, row, at, what)

    return book(rows, write=write), wanted


def test_forty_faults_are_named_by_their_cells(acted_on, visit, seed):
    """On the page of the sheet and as a comment in the workbook that it gives back; 41 of 41, and nothing else is called wrong."""
    print("seed", seed)
    random_, named = random.Random(seed), 0
    for kind, (who, typed) in ASKED.items():
        body, wanted = with_faults(kind, random_)
        page, place = send(visit, who, kind, body, **typed)
        listed = re.findall(r'<th scope="row"><code>(?:用电!)?([A-Z]+\d+)</code>.*?class="error">(.*?)</span>', page.text, re.DOTALL)  # fmt: skip
        found = {cell: html.unescape(said) for cell, said in listed}
        assert found.keys() == wanted.keys(), (kind, found.keys() ^ wanted.keys())
        for cell, said in wanted.items():
            assert re.search(said, found[cell]), (kind, cell, found[cell])
        with zipfile.ZipFile(io.BytesIO(visit(who, f"{place}/faults.xlsx").content)) as archive:
            comments = archive.read("xl/comments1.xml").decode()
        assert set(re.findall(r'<comment ref="([A-Z]+\d+)"', comments)) == wanted.keys(), kind
        named += sum(one[0] == kind for one in FAULTS)
    assert named == len(FAULTS)


def test_codes_and_long_numbers_come_back_as_they_were(seed):
    """Codes of 18 and numbers of 22 digits, with noughts before: through what people send, what pages export and what is given back."""
    print("seed", seed)
    random_ = random.Random(seed)
    kind = SHEETS["parties"].fields
    rows = [
        [sandbox_uscc(random_.randrange(10**6)), "shareholder", f"{random_.randrange(10**22):022d}"] for _ in range(50)
    ]
    heads = [field.zh for field in kind]
    export = Book("t", "表", [], [Sheet("t", "表", [Head(head) for head in heads], rows)])
    for name, body in (
        ("a.xlsx", book([heads, *rows])),
        ("a.csv", comma([heads, *rows])),
        ("a.xlsx", excel.made(export)),
        ("a.csv", comma_file.made(export)),
    ):
        grid = read(name, body)
        for sheet in (grid, read("a.xlsx", marked(grid, {"A2": "看过"}))):
            found = read_rows(sheet, kind)
            assert not found.faults
            assert [[row[field.name] for field in kind] for _, row in found.rows] == rows
