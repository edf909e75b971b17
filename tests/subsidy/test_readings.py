"""Readings as switches: every option loads, and each changes what it says and nothing else."""

from datetime import date

import pytest

from ledger.errors import Kind
from subsidy.errors import SubsidyError
from subsidy.evaluate import evaluate
from subsidy.facts import read_facts
from subsidy.outcome import Status
from subsidy.policies import load_policies, policy_texts, read_policies
from subsidy.what_if import Situation, compare
from tests.shared_data import ROOT
from tests.subsidy.passing import rows

FOLDER = ROOT / "config" / "policies"
DAY, AFTER = date(2025, 9, 1), date(2026, 11, 22)
MILLION = 10**6


def under(policies, reading, clause, on=DAY, **changes):
    """The outcome of a clause's passing facts, some changed, under another reading."""
    row = next(row for row in rows(policies) if row.id == f"{clause} .")
    facts, findings = read_facts(policies.facts, row.written | changes, str)
    assert not findings
    other = load_policies(FOLDER, dict([reading.split("=")]) if reading else {})
    return evaluate(other, clause, facts, on)


COST = {"rd_cost_non_hardware_yuan": 14 * MILLION, "rd_cost_hardware_yuan": 14 * MILLION}


@pytest.mark.parametrize(
    ("reading", "clause", "changes", "expected"),
    [
        (None, "16:三(一)", COST, (Status.ELIGIBLE, 10 * MILLION)),
        ("A20=30 % of the claim", "16:三(一)", COST, (Status.ELIGIBLE, 11_200_000)),
        ("A20=refuse", "16:三(一)", COST, (Status.NOT_ELIGIBLE, None)),
        ("A20=refuse", "16:三(一)", {}, (Status.ELIGIBLE, 5 * MILLION)),
        (
            None,
            "16:三(二)",
            {"rd_cost_paid_with_compute_vouchers_yuan": 100_000, "rd_cost_hardware_yuan": 0},
            (Status.ELIGIBLE, 480_000),
        ),
        (
            "A19=ignored",
            "16:三(二)",
            {"rd_cost_paid_with_compute_vouchers_yuan": 100_000, "rd_cost_hardware_yuan": 0},
            (Status.ELIGIBLE, 560_000),
        ),
        (
            "A19=project excluded",
            "16:三(二)",
            {"rd_cost_paid_with_compute_vouchers_yuan": 1},
            (Status.NOT_ELIGIBLE, None),
        ),
        ("A19=project excluded", "16:三(二)", {}, (Status.ELIGIBLE, 800_000)),
        ("A21=at least 3", "16:三(三)", {"industries_covered": 3}, (Status.ELIGIBLE, MILLION)),
        (None, "16:三(三)", {"industries_covered": 3}, (Status.ELIGIBLE, 500_000)),
        ("A22=tier three is empty", "16:三(三)", {"usage_frequency_level": "ordinary"}, (Status.NOT_ELIGIBLE, None)),
        ("A23=it fails", "16:三(三)", {"industries_covered": 1}, (Status.NOT_ELIGIBLE, None)),
        ("A23=it fails", "16:三(三)", {"industries_covered": 2}, (Status.ELIGIBLE, 200_000)),
        ("A13=dropped", "16:三(三)", {"recommended_by_computing_centre": False}, (Status.ELIGIBLE, MILLION)),
        (
            "A5=per retrofit",
            "323:(二)1",
            {"one_off_upgrade_subsidy_already_received": True},
            (Status.ELIGIBLE, MILLION),
        ),
        ("A2=sparse", "323:(一)1", {"compute_pflops_fp16_dense": "10000"}, (Status.ELIGIBLE, 150 * MILLION)),
        ("A2=sparse", "323:(一)1", {"compute_pflops_fp16_dense": "9999.9"}, (Status.NOT_ELIGIBLE, None)),
        (
            "A4=named only",
            "16:三(一)",
            {"evaluated_by_named_agency": "another authoritative agency"},
            (Status.NOT_ELIGIBLE, None),
        ),
        (
            "A16=full",
            "323:(六)2",
            {"recognised_technology_centre_levels": ["national"], "levels_already_rewarded": ["municipal"]},
            (Status.ELIGIBLE, 2 * MILLION),
        ),
    ],
)
def test_a_reading_changes_the_figure_it_is_about(policies, reading, clause, changes, expected):
    """The price of an ambiguity: the same project under the reading taken, and under the others."""
    outcome = under(policies, reading, clause, **changes)
    figure = None if outcome.amount.fen is None else outcome.amount.fen // 100
    assert (outcome.status, figure) == expected


def test_the_hardware_limit_may_guide_the_clause_after_its_rules_expired(policies):
    """Without the rules the figure waits for a decision; read as a guide, it is given and still confirmed by a person."""
    withheld = under(policies, None, "323:(一)2", AFTER, **COST)
    guided = under(policies, "A26=guide", "323:(一)2", AFTER, **COST)
    assert withheld.amount.fen is None
    assert guided.amount.fen == 10 * MILLION * 100
    assert guided.needs_human


def test_every_option_of_every_switch_loads_and_changes_some_row(policies):
    """No reading is a switch in name only: another option gives some row another answer."""
    switching = [reading for reading in policies.readings.values() if reading.switches]
    assert {reading.id for reading in switching} == {
        "A2", "A4", "A5", "A13", "A16", "A19", "A20", "A21", "A22", "A23", "A26",
    }  # fmt: skip
    for reading in switching:
        for option in set(reading.options) - {reading.taken}:
            other = load_policies(FOLDER, {reading.id: option})
            assert other.readings[reading.id].taken == option
            assert any(
                not compare(
                    row.clause, Situation(policies, row.facts, row.on), Situation(other, row.facts, row.on)
                ).same
                for row in rows(policies)
            ), (reading.id, option)


def test_readings_that_are_only_shown_change_nothing(policies):
    """What no fact decides is a question beside the clause, whatever its option."""
    other = load_policies(FOLDER, {"A24": "all tests", "A17": "per year"})
    for row in rows(policies):
        assert compare(row.clause, Situation(policies, row.facts, row.on), Situation(other, row.facts, row.on)).same, (
            row.id
        )


@pytest.mark.parametrize(
    ("chosen", "kind", "advice"),
    [
        ({"A99": "refuse"}, Kind.NOT_FOUND, "there is no reading A99"),
        (
            {"A20": "refused"},
            Kind.INVALID,
            "A20 is read as one of: cut to 30 % of what is recognised | 30 % of the claim",
        ),
    ],
)
def test_an_unknown_reading_is_refused(chosen, kind, advice):
    """A misspelt reading never falls back to the one taken."""
    with pytest.raises(SubsidyError) as error:
        load_policies(FOLDER, chosen)
    assert error.value.kind is kind
    assert advice in error.value.en


@pytest.mark.parametrize(
    ("good", "bad", "advice"),
    [
        (
            "{A21: {at least 5: 5, at least 3: 3}}",
            "{A21: {at least 5: 5}}",
            "a value for each option: at least 5, at least 3",
        ),
        ("{A21: {at least 5: 5, at least 3: 3}}", "{A98: {at least 5: 5, at least 3: 3}}", "takes a reading"),
        (
            "only_under: {A23: it fails}",
            "only_under: {A23: it fail}",
            "takes a reading and an option: capability differs",
        ),
        ("only_under: {A23: it fails}", "only_under: A23", "takes a reading and an option"),
    ],
)
def test_a_switch_that_names_no_reading_or_leaves_one_out_is_refused_at_its_line(good, bad, advice):
    """A file whose other reading could not be taken does not load."""
    texts = policy_texts(FOLDER)
    texts["16-2025.yaml"] = texts["16-2025.yaml"].replace(good, bad, 1)
    line = next(at for at, text in enumerate(texts["16-2025.yaml"].splitlines(), 1) if bad in text)
    with pytest.raises(SubsidyError) as error:
        read_policies(texts)
    assert any(finding.where == f"16-2025.yaml:{line}" and advice in finding.en for finding in error.value.findings)


def test_a_reading_is_taken_one_way_in_all_documents():
    """An ambiguity that two documents list has one answer; two would contradict each other."""
    texts = policy_texts(FOLDER)
    texts["16-2025.yaml"] = texts["16-2025.yaml"].replace("taken: deducted", "taken: ignored", 1)
    with pytest.raises(SubsidyError) as error:
        read_policies(texts)
    assert "A19 must have the options and the `taken` that it has elsewhere" in error.value.findings[0].en
