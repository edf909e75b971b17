"""Every clause of both documents, row by row."""

from subsidy.rows import agrees, words
from tests.subsidy.passing import outcome_of, rows


def test_every_clause_answers_every_row_as_written(policies):
    """Each change to facts that pass has exactly the effect that its row says, each document's verdict kept apart."""
    table = rows(policies)
    assert len(table) > 600
    for row in table:
        outcome = outcome_of(policies, row)
        assert agrees(outcome, row.answer), (row.id, row.answer, words(outcome, row.answer))


def test_no_clause_is_without_rows(policies):
    """Every clause of both documents has rows, under its id or a name it answers to."""
    assert {policies.rule(row.clause, row.on).clause.id for row in rows(policies)} == set(policies.clauses)
