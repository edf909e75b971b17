"""Revisions: a corrected file decides from its day on, and what was received before is answered as it was."""

from datetime import date, timedelta

import pytest

from subsidy.errors import SubsidyError
from subsidy.evaluate import evaluate
from subsidy.explain import Explainer
from subsidy.facts import read_facts
from subsidy.outcome import Status
from subsidy.policies import policy_texts, read_policies
from tests.shared_data import ROOT
from tests.subsidy.passing import rows

FOLDER = ROOT / "config" / "policies"
FIRST = date(2026, 12, 1)
CLAUSE = "323:(一)1"


def revised(texts, *changes, name="323-2024.yaml", revision=2, since="2026-12-01"):
    """A further revision of a file."""
    text = texts[name].replace("  revision: 1\n", f"  revision: {revision}\n  effective_from: {since}\n")
    for good, bad in changes:
        assert good in text
        text = text.replace(good, bad)
    return {**texts, f"r{revision}.yaml": text}


@pytest.fixture(scope="module")
def corrected():
    """From December on a PUE of 1.3 is enough."""
    return read_policies(revised(policy_texts(FOLDER), ('lt: "1.25"', 'lt: "1.30"')))


def answered(policies, on, **changes):
    row = next(row for row in rows(policies) if row.id == f"{CLAUSE} .")
    facts, _ = read_facts(policies.facts, row.written | changes, str)
    return evaluate(policies, CLAUSE, facts, on)


def test_the_day_of_receipt_chooses_the_revision(corrected):
    """The day before is answered by the old revision, the day itself by the new one; explanations name which."""
    before, after = (answered(corrected, on, pue="1.26") for on in (FIRST - timedelta(days=1), FIRST))
    assert (before.status, after.status) == (Status.NOT_ELIGIBLE, Status.ELIGIBLE)
    explainer = Explainer(corrected)
    said = [explainer.explain(outcome)["documents"][0] for outcome in (before, after)]
    assert [document["revision"] for document in said] == [1, 2]
    assert said[0]["digest"] != said[1]["digest"]


def test_a_new_document_decides_nothing_before_its_day():
    """Implementing rules adopted with a first day are not applied to what was received before."""
    texts = policy_texts(FOLDER)
    texts["16-2025.yaml"] = texts["16-2025.yaml"].replace(
        "  revision: 1\n", "  revision: 1\n  effective_from: 2025-07-01\n"
    )
    policies = read_policies(texts)
    early, late = (policies.rule("323:(四)1", date(2025, month, 1)) for month in (6, 7))
    assert early.reason == "implementing_rules_not_in_force"
    assert [part.id for part in late.parts] == ["323:(四)1", "16:三(二)"]
    assert "16:三(二)" in policies.clause_names
    with pytest.raises(SubsidyError, match="there is no clause"):
        policies.rule("16:三(二)", date(2025, 6, 1))


@pytest.mark.parametrize(
    ("revision", "since", "advice"),
    [
        (1, "2026-12-01", "there is another document 323 with revision 1"),
        (2, "", "revision 2 needs `effective_from`"),
    ],
)
def test_revisions_need_numbers_and_days_in_order(revision, since, advice):
    """Two files of one document are refused unless it is certain which decides when."""
    texts = policy_texts(FOLDER)
    added = f"  revision: {revision}\n" + (f"  effective_from: {since}\n" if since else "")
    texts["other.yaml"] = texts["323-2024.yaml"].replace("  revision: 1\n", added)
    with pytest.raises(SubsidyError) as error:
        read_policies(texts)
    assert advice in error.value.findings[0].en


def test_a_third_revision_must_come_after_the_second():
    """A later number with an earlier day would make the newer one decide nothing."""
    texts = revised(policy_texts(FOLDER))
    with pytest.raises(SubsidyError) as error:
        read_policies({**texts, **revised(policy_texts(FOLDER), revision=3, since="2026-11-01")})
    assert "after that of r2.yaml" in error.value.findings[0].en


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("  has_loan_need:\n    type: flag\n", "  has_loan_need:\n    type: integer\n"),
        ("values: [large, medium, small, micro]", "values: [large, medium, small]"),
    ],
)
def test_a_fact_keeps_its_type_and_its_words(good, bad):
    """The newest dictionary reads the facts of every revision; a fact that means something else needs another name."""
    texts = policy_texts(FOLDER)
    if bad.endswith("integer\n"):
        changes = [(good, bad), ("fact: has_loan_need\n        is: true", "fact: has_loan_need\n        ge: 1")]
    else:
        changes = [(good, bad), ("in: [medium, small, micro]", "in: [medium, small]")]
    with pytest.raises(SubsidyError) as error:
        read_policies(revised(texts, *changes))
    assert "must keep its type and the values it had" in error.value.findings[0].en
