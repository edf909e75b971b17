"""Tables of applicants: cells are facts, and a cell that is none is named with its line and what to write."""

from datetime import date

import pytest

from subsidy.applicants import Applicant, BadRow, read_applicants, read_cell
from subsidy.errors import SubsidyError
from subsidy.facts import Fault

DAY = date(2025, 9, 1)


def read(policies, text, on=None):
    return list(read_applicants(policies, text.splitlines(keepends=True), "t.csv", on))


def test_cells_are_facts(policies):
    """Flags, numbers, words, sets and days; an empty cell is not known, and what is assumed stays assumed."""
    text = (
        "applicant,date,pue,has_loan_need,company_size,levels_already_rewarded,compute_equipment_investment_yuan\n"
        "甲,2025-09-01,1.2499,true,small,national;district,2999999999\n"
        "\n"
        "乙,2025-09-02,,false,,-,\n"
    )
    first, second = read(policies, text)
    assert (first.line, first.name, first.on) == (2, "甲", DAY)
    assert str(first.facts["pue"]) == "1.2499"
    assert first.facts["has_loan_need"] is True
    assert first.facts["levels_already_rewarded"] == {"national", "district"}
    assert first.facts["compute_equipment_investment_yuan"] == 2_999_999_999
    assert second.line == 4
    assert second.facts.keys() == {
        "has_loan_need", "levels_already_rewarded", "superior_policy_conflicts", "earlier_district_policy_conflicts",
    }  # fmt: skip
    assert second.facts["levels_already_rewarded"] == frozenset()


@pytest.mark.parametrize(
    ("cells", "advice"),
    [
        ("2025-09-01,1.2e3,true", "`pue` must be a decimal such as 0.10, no percent sign, not '1.2e3'"),
        ("2025-09-01,125%,true", "no percent sign"),
        ("2025-09-01,0.5,true", "`pue` must be at least 1"),
        ("2025-09-01,1.2,yes", "`has_loan_need` must be true or false, not 'yes'"),
        ("2025-9-1,1.2,true", "`date` must be a day such as 2025-05-26, not '2025-9-1'"),
        (",1.2,true", "`date` must be a day"),
        ("2025-09-01,1.2", "3 cells are needed, not 2"),
    ],
)
def test_a_bad_row_is_named_and_the_next_is_read(policies, cells, advice):
    """Line and advice; nothing of a bad row counts."""
    bad, good = read(policies, f"date,pue,has_loan_need\n{cells}\n2025-09-01,1.2,true\n")
    assert isinstance(bad, BadRow)
    assert bad.findings[0].where == "t.csv:2"
    assert advice in bad.findings[0].en
    assert isinstance(good, Applicant)


@pytest.mark.parametrize(
    ("header", "advice"),
    [
        ("date,peu", "there is no fact `peu`; did you mean `pue`?"),
        ("date,pue,pue", "the column `pue` is repeated"),
        ("pue", "there is no column `date`; add it or give --on"),
        ("", "there is no column `date`"),
        ('date,"pue', "unexpected end of data"),
    ],
)
def test_a_table_whose_columns_are_no_facts_is_refused(policies, header, advice):
    """A misspelt column would silently leave a fact unknown for everybody."""
    with pytest.raises(SubsidyError) as error:
        read(policies, header)
    assert advice in error.value.findings[0].en


def test_a_table_without_days_takes_the_day_given(policies):
    """`--on` is the day of receipt of every row."""
    (row,) = read(policies, "pue\n1.2\n", DAY)
    assert row.on == DAY


def test_cells_never_become_floats_and_are_kept_apart_by_column(policies):
    """The same text means one thing in a column of yuan and another in one of words."""
    yuan, size = policies.facts["security_test_fee_yuan"], policies.facts["company_size"]
    assert read_cell(yuan, "100000") == 100_000
    assert isinstance(read_cell(yuan, "100000.0"), Fault)
    assert isinstance(read_cell(size, "100000"), Fault)
