"""Every clause of both documents, row by row."""

from datetime import date

import pytest

from tests.subsidy.answers import agrees, outcome_of, words
from tests.subsidy.rows import BLOCKS, rows


@pytest.mark.parametrize("clause", [block[0] for block in BLOCKS])
def test_a_clause_answers_every_row_as_written(policies, clause):
    """Each change to facts that pass has exactly the effect that its row says, each document's verdict kept apart."""
    for row in rows(policies):
        if row.clause == clause:
            outcome = outcome_of(policies, row)
            assert agrees(outcome, row.answer), (row.id, row.answer, words(outcome, row.answer))


def test_no_clause_is_without_rows(policies):
    """Every clause of both documents has rows, under its id or a name it answers to."""
    written = {policies.rule(clause, date.fromisoformat(on)).clause.id for clause, on, _, _ in BLOCKS}
    assert written == set(policies.clauses)
