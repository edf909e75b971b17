"""The rows that ship with the rules, and their outcomes."""

import functools

from subsidy.evaluate import evaluate
from subsidy.outcome import Outcome
from subsidy.policies import Policies
from subsidy.rows import Row, read_rows
from tests.shared_data import ROOT

ROWS = ROOT / "config" / "policies" / "cases" / "clauses.rows"


@functools.cache
def rows(policies: Policies) -> list[Row]:
    """Every row of the file."""
    return read_rows(policies, ROWS.read_text(encoding="utf-8"), ROWS.name)


def outcome_of(policies: Policies, row: Row) -> Outcome:
    """The outcome of a row's clause, day and facts."""
    return evaluate(policies, row.clause, row.facts, row.on)
