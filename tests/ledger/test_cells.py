"""Cells of exports: no spreadsheet runs what somebody called a job, an account or a company."""

import csv
import io

import pytest

from ledger.cells import plain_cell

FORMULAS = [
    *("=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1+1", "＝1+1", "＋1+1", "－a", "＠a"),
    *('=HYPERLINK("http://x")', "%0A=1", "|calc", "\u3000=1", "\xa0@x", "-1-1", "+1a"),
]  # fmt: skip


@pytest.mark.parametrize("text", FORMULAS, ids=repr)
def test_formulas_become_text(text):
    """Whatever begins a formula, behind blanks too, in both widths, and after a way through CSV."""
    out = io.StringIO()
    csv.writer(out).writerow([plain_cell(text)])
    ((cell,),) = csv.reader(io.StringIO(out.getvalue(), newline=""))
    assert cell == f"'{text}"


@pytest.mark.parametrize("text", ["", "0", "-12.50", "+3", "12.000000", "训练=1", "a@b", "2026-11-22", "job-1"])
def test_other_cells_stay(text):
    """Numbers with their signs, days, and text that holds such a character further on."""
    assert plain_cell(text) == text
