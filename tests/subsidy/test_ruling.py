"""What an office may decide: within what the rules say, with every question answered."""

import pytest

from subsidy.evaluate import evaluate
from subsidy.facts import read_facts
from subsidy.ruling import TEXT_MAX, Ruling, Verdict, award_of, check_ruling, fen_of, yuan_of
from tests.subsidy.decisions import DAY, LOAN, RACKS


def outcome(policies, clause, raw, on=DAY):
    facts, findings = read_facts(policies.facts, raw, str)
    assert not findings
    return evaluate(policies, clause, facts, on)


def codes(ruling, found):
    return [finding.code for finding in check_ruling(ruling, found)]


def grant(**changes):
    return Ruling(Verdict.GRANT, "符合", **changes)


REFUSE = Ruling(Verdict.REFUSE, "不符合")


def test_an_exact_figure_is_granted_as_it_is(policies):
    """The sum by formula needs not be repeated, and no other may be named."""
    found = outcome(policies, "323:(二)1", RACKS)
    assert codes(grant(), found) == []
    assert award_of(grant(), found) == 200_000_000
    assert award_of(REFUSE, found) is None
    assert codes(grant(award_fen=200_000_000), found) == []
    for fen in (199_999_999, 200_000_001):
        assert codes(grant(award_fen=fen), found) == ["award-out-of-bounds"]


def test_a_ceiling_is_not_exceeded(policies):
    """Up to the figure of the rules any sum may be granted, none beyond it, and one must be named."""
    duplicates = {name: False for name in RACKS if name.startswith("project_")}
    centre = {"recognised_technology_centre_levels": ["district"], "levels_already_rewarded": []}
    company = {"company_is_large_model_or_generative_ai_related": True}
    found = outcome(policies, "323:(六)2", centre | company | duplicates)
    assert found.amount.fen == 20_000_000
    top, answers = found.amount.fen, {question.id: "已核" for question in found.questions if question.person}
    assert codes(grant(award_fen=top, answers=answers), found) == []
    assert codes(grant(award_fen=1, answers=answers), found) == []
    assert codes(grant(award_fen=top + 1, answers=answers), found) == ["award-out-of-bounds"]
    assert codes(grant(answers=answers), found) == ["award-missing"]


def test_a_range_and_an_open_figure_have_their_bounds(policies):
    """Between 50,000 and 1,000,000 yuan; and up to the cap where another document has the figure."""
    newcomer = {
        "newly_registered_computing_related_company": True,
        "reached_above_scale_standard": True,
        "included_in_official_statistics": True,
        "revenue_grew_over_previous_year": True,
        "one_off_reward_already_received": False,
    }
    centre = {
        "centre_built_in_songjiang": True,
        "green_power_share": "0.10",
        "pue": "1.24",
        "compute_pflops_fp16_dense": 20_000,
        "compute_equipment_investment_yuan": 3_000_000_000,
        "meets_latest_shanghai_data_centre_guideline": True,
        "meets_municipal_energy_and_new_build_rules": True,
    }
    duplicates = {name: False for name in RACKS if name.startswith("project_")}
    for clause, raw, low, high in (
        ("323:(二)2.a", newcomer | duplicates, 5_000_000, 100_000_000),
        ("323:(一)1", centre | duplicates, 0, 20_000_000_000),
    ):
        found = outcome(policies, clause, raw)
        assert found.eligible, (clause, found.missing, found.reasons)
        answers = {question.id: "已核" for question in found.questions if question.person}
        for fen, fault in ((low, []), (high, []), (high + 1, ["award-out-of-bounds"]), (None, ["award-missing"])):
            assert codes(grant(award_fen=fen, answers=answers), found) == fault, (clause, fen)
        if low:
            assert codes(grant(award_fen=low - 1, answers=answers), found) == ["award-out-of-bounds"]


def test_what_the_rules_refuse_cannot_be_granted(policies):
    """Neither a failed condition, nor an expired document, nor facts that are missing: each says why."""
    failed = outcome(policies, "323:(二)1", RACKS | {"pue_after_upgrade": "1.25"})
    expired = outcome(policies, "323:(二)1", RACKS, DAY.replace(year=2030))
    unknown = outcome(policies, "323:(二)1", {})
    for found in (failed, expired, unknown):
        assert codes(grant(award_fen=1), found) == ["not-eligible"]
        assert codes(REFUSE, found) == []
    [finding] = check_ruling(grant(), failed)
    assert "pue" in finding.en


def test_every_question_for_a_person_is_answered(policies):
    """A grant and a refusal alike; an answer to what nobody asked is refused, too."""
    found = outcome(policies, "323:(七)", LOAN)
    assert codes(grant(), found) == codes(REFUSE, found) == ["question-open"]
    answer = {"terms_in_other_policy": "依批次包办理"}
    assert codes(grant(answers=answer), found) == []
    assert codes(grant(answers={"terms_in_other_policy": " "}), found) == ["question-open"]
    assert codes(grant(answers=answer | {"other": "是"}), found) == ["answer-unasked"]


def test_what_gives_no_money_gets_none(policies):
    """A clause without money, and a refusal, name no sum."""
    answer = {"terms_in_other_policy": "依批次包办理"}
    found = outcome(policies, "323:(七)", LOAN)
    assert codes(grant(award_fen=1, answers=answer), found) == ["award-unexpected"]
    assert codes(Ruling(Verdict.REFUSE, "不符合", 1, answer), found) == ["award-unexpected"]


def test_a_reason_is_given(policies):
    """Never none, and none that fills a letter."""
    found = outcome(policies, "323:(二)1", RACKS)
    for reason in ("", "  ", "长" * (TEXT_MAX + 1)):
        assert codes(Ruling(Verdict.GRANT, reason), found) == ["reason-missing"]


@pytest.mark.parametrize(
    ("text", "fen"),
    [("0", 0), ("1.5", 150), ("1234.56", 123_456), ("2000000", 200_000_000), ("1.234", None), ("01", None), ("-1", None),
     ("1e3", None), ("", None), ("1.", None), ("１", None)],
)  # fmt: skip
def test_sums_are_read_exactly(text, fen):
    """Yuan with at most two decimals; nothing else is a sum."""
    assert fen_of(text) == fen
    if fen is not None:
        assert fen_of(yuan_of(fen)) == fen
