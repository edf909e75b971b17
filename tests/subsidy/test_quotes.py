"""Quotes: every word stands in the source text, and the numbers of a rule stand in its quote."""

from dataclasses import replace

import pytest

from ledger.errors import Kind
from subsidy.errors import SubsidyError
from subsidy.quotes import SourceText, check_text, document_of, unquoted
from tests.shared_data import SHARED, needs_shared

TEXTS = {"323": "323-2024.txt", "16": "16-2025.txt"}


@needs_shared
@pytest.mark.parametrize("document", TEXTS)
def test_every_quote_stands_in_the_source_text(policies, document):
    """The text has the recorded hash and says every quote on the line that the rule names."""
    content = (SHARED / "policy" / TEXTS[document]).read_bytes()
    assert check_text(policies.documents[document], content) == []
    assert document_of(policies.documents, content).id == document


@needs_shared
def test_a_changed_text_and_a_changed_quote_are_noticed(policies):
    """One changed character changes the hash; a word that is not there, or stands elsewhere, is reported with its place."""
    document = policies.documents["323"]
    content = (SHARED / "policy" / TEXTS["323"]).read_bytes()
    changed = content.replace("3年".encode(), "5年".encode())
    assert [finding.code for finding in check_text(document, changed)] == ["text-changed", "quote-not-found"]
    moved = replace(document, validity=replace(document.validity, lines=(1,)))
    assert "stands on line 117" in check_text(moved, content)[0].en


def test_quotes_are_found_across_line_breaks_and_asterisks():
    """A source breaks lines inside sentences and marks words with asterisks; neither hides a quote."""
    source = SourceText("一、总则\n支持标准为**不超过\n 50%**的\n支持标准")
    assert source.lines_of("支持标准为不超过 50%") == [2]
    assert source.lines_of("支持标准") == [2, 4]
    assert source.lines_of("不超过 51%") == []


def test_a_text_of_no_known_document_must_be_named(policies):
    """Without the recorded hash the document must be named; an unknown name is refused."""
    assert document_of(policies.documents, b"", "16").id == "16"
    with pytest.raises(SubsidyError) as error:
        document_of(policies.documents, b"")
    assert error.value.kind is Kind.NOT_FOUND


def test_rates_and_caps_stand_in_the_quote_of_the_benefit(policies):
    """Every fixed sum and rate of a benefit is a number that its quote names."""
    for clause in policies.clauses.values():
        assert not unquoted(clause.benefit), clause.id
