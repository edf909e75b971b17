"""An explanation lets a person check the answer: values, thresholds, quotes, what to ask, what to change."""

import json
from datetime import date

import pytest

from subsidy.evaluate import evaluate
from subsidy.explain import Explainer
from subsidy.facts import read_facts
from tests.subsidy.passing import outcome_of, rows


@pytest.fixture(scope="module")
def explainer(policies):
    return Explainer(policies)


def explained(policies, explainer, clause, on="2025-09-01", **changes):
    """The explanation for the passing facts of a clause with some changed."""
    row = next(row for row in rows(policies) if row.id == f"{clause} .")
    facts, findings = read_facts(policies.facts, row.written | changes, str)
    assert not findings
    return explainer.explain(evaluate(policies, clause, facts, date.fromisoformat(on)))


def test_every_condition_shows_value_operator_threshold_quote_and_place(policies, explainer):
    """The condition that fails can be read beside the words it rests on."""
    explanation = explained(policies, explainer, "323:(一)1", pue="1.25")
    (failed,) = [condition for condition in explanation["conditions"] if condition["verdict"] == "failed"]
    assert failed == {
        "id": "pue_below",
        "verdict": "failed",
        "layer": "entitlement",
        "fact": "pue",
        "operator": "<",
        "threshold": "1.25",
        "value": "1.25",
        "quote": "PUE 能源效率低于 1.25",
        "document": "松发改字〔2024〕323号",
        "line": 53,
        "revision": 1,
        "department": "区发改委",
    }
    assert explanation["layers"] == {"calendar": "open", "entitlement": "failed", "duplicates": "met"}


def test_the_nearest_pass_names_only_what_would_have_to_change(policies, explainer):
    """If PUE were below 1.25 and the project not supported elsewhere, the application would pass."""
    explanation = explained(
        policies, explainer, "323:(一)1", pue="1.25", project_supported_under_other_industrial_policy=True
    )
    said = [(change["fact"], change["operator"], change["threshold"]) for change in explanation["nearest_pass"]]
    assert said == [("pue", "<", "1.25"), ("project_supported_under_other_industrial_policy", "=", False)]
    both = dict.fromkeys(
        ("project_received_national_or_municipal_support", "project_district_matching_funds_paid"), True
    )
    (change,) = explained(policies, explainer, "323:(五)", **both)["nearest_pass"]
    assert (change["operator"], change["threshold"], change["value"]) == ("!=", True, True)
    (change,) = explained(policies, explainer, "323:(八)", standard_role="none")["nearest_pass"]
    assert change["fact"] in {"standard_role", "intellectual_property_award"}


def test_the_next_question_is_the_cheapest_that_can_refuse(policies, explainer):
    """What the applicant knows by heart is asked before what needs an audit; a question that cannot refuse comes last."""
    unknown = dict.fromkeys(("security_test_fee_yuan", "passed_crypto_security_test", "applicant_is_submitting_unit"))
    assert (
        explained(policies, explainer, "16:三(四)", **unknown)["next_question"]["fact"]
        == "applicant_is_submitting_unit"
    )
    assert explained(policies, explainer, "16:三(四)", security_test_fee_yuan=None)["next_question"]["en"].endswith("?")
    assert explained(policies, explainer, "16:三(四)")["next_question"] is None


def test_figures_are_explained_by_the_quantities_they_rest_on(policies, explainer):
    """Fourteen million of hardware beside fourteen of other cost: six million are recognised, twenty in all."""
    explanation = explained(
        policies, explainer, "16:三(一)", rd_cost_non_hardware_yuan=14_000_000, rd_cost_hardware_yuan=14_000_000
    )
    values = {quantity["name"]: quantity["value"] for quantity in explanation["quantities"]}
    assert values["hardware_limit_yuan"] == 6_000_000
    assert values["recognised_rd_cost_yuan"] == 20_000_000
    assert [question["id"] for question in explanation["questions"]] == ["hardware_share_over_30pct"]
    assert {point["id"] for point in explanation["open_points"]} >= {"A19", "A20", "A26"}


def test_a_living_clause_without_implementing_rules_is_not_called_expired(policies, explainer):
    """Alive but not open, expired, and not yet in force are different answers, each with the document's days."""
    assert explained(policies, explainer, "323:(四)1", "2026-11-22")["layers"] == {
        "calendar": "implementing_rules_not_in_force"
    }
    expired = explained(policies, explainer, "16:三(二)", "2026-11-22")
    assert expired["layers"] == {"calendar": "document_expired"}
    assert expired["carries_out"] == "323:(四)1"
    assert expired["documents"][0]["in_force_to"] == "2026-05-25"


def test_both_documents_are_named_while_both_decide(policies, explainer):
    """While the implementing rules live, each condition says which document it stands in."""
    explanation = explained(policies, explainer, "323:(一)2")
    assert [document["id"] for document in explanation["documents"]] == ["323", "16"]
    assert {condition["document"] for condition in explanation["conditions"]} == {
        "松发改字〔2024〕323号",
        "沪松数〔2025〕16号",
    }


def test_every_explanation_is_json_without_floats(policies, explainer):
    """Explanations of all rows can be written as JSON, and no figure in them is a float."""

    def refuse(text):
        raise AssertionError(text)

    for row in rows(policies):
        answer = explainer.answer(outcome_of(policies, row))
        assert json.loads(json.dumps(answer), parse_float=refuse) == answer
