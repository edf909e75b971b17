"""What a scheme gives and why: the edge cases of real schemes, each with the figure that its text gives."""

import re
from fractions import Fraction

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.shared_data import SHARED, needs_shared
from tests.voucher.claims import SHIPPED, bill, city, decision, result
from voucher.decide import Status
from voucher.figure import round_fen, yuan_text
from voucher.scheme import Rounding
from voucher.scheme_cases import answer_cases, decision_object

BEIJING = SHIPPED["cn-bj-ai-compute-2023"]
QINGYANG = SHIPPED["cn-gs-qingyang-2024"]
NANNING = SHIPPED["cn-gx-nanning-2025"]
HENAN = SHIPPED["cn-ha-2023-2024"]
HANGZHOU = SHIPPED["cn-zj-hangzhou-2025"]
SONGJIANG = SHIPPED["cn-sh-songjiang-2024"]


def nanning(on="2026-01-10", **changes):
    dates = {"contract__starts_on": "2025-01-01", "contract__ends_on": "2026-12-31"}
    return decision(NANNING, on, **{"cost_items": bill("200000"), **dates, **changes})


@needs_shared
def test_every_case_is_decided_as_expected():
    """Status, amount, limits, failures and whether money may follow are those of the cases of six cities."""
    text = (SHARED / "cases/schemes.yaml").read_text("utf-8")
    expected = {case["id"]: case["expect"] for case in yaml.safe_load(text)["cases"]}
    answers = answer_cases(SHIPPED, text, "schemes.yaml")
    assert len(answers) == len(expected) >= 14
    for given_answer in answers:
        assert not given_answer.findings
        said, wanted = decision_object(given_answer.decision), expected[given_answer.id]
        wanted = {"failed": [], **wanted}
        assert {name: said[name] for name in wanted} == wanted, given_answer.id


# --- edge cases of real schemes -----------------------------------------------------------------------------------------


def test_days_count_end_exclusive_where_the_published_example_does():
    """305/729 of 200,000 is a base of 83,676, and 30 % of it, truncated, 25,102; counting both ends would pay 25,150."""
    decided = nanning()
    assert result(decided) == ("eligible", "25102", [])
    prorated = next(step for step in decided.steps if step.id == "prorate")
    assert "305/729" in prorated.zh
    assert int(prorated.fen) // 100 == 83_676
    inclusive = city(
        """
[version.base]
kind = "settled_amount"
period_from = 2025-03-01
period_to = 2025-12-31
prorate = "days_inclusive"
excluded = ["storage"]
[[version.ratio]]
max_percent = "30"
[[version.cap]]
limit = "beneficiary_year"
fen = 200_000_000
counts = ["redeemed"]
[version.rounding]
mode = "truncate"
quantum_fen = 100
[version.application]
from = 2026-01-04
to = 2026-01-23
"""
    )
    changes = {"contract__starts_on": "2025-01-01", "contract__ends_on": "2026-12-31", "cost_items": bill("200000")}
    assert result(decision(inclusive, "2026-01-10", **changes)) == ("eligible", "25150", [])


@pytest.mark.parametrize(
    ("starts", "ends", "yuan"),
    [
        ("2025-04-01", "2025-09-30", "60000"),  # wholly inside: nothing is cut
        ("2024-01-01", "2024-12-31", "0"),  # before it: an empty base is eligible with nothing
        ("2026-01-01", "2026-06-30", "0"),
        ("2025-12-31", "2025-12-31", "60000"),  # a single day inside
        ("2026-01-01", "2026-01-01", "0"),
    ],
)
def test_a_contract_counts_as_far_as_it_lies_in_the_period(starts, ends, yuan):
    """Inside, outside and a single day, whose date difference is nothing."""
    assert result(nanning(contract__starts_on=starts, contract__ends_on=ends)) == ("eligible", yuan, [])


@pytest.mark.parametrize(("on", "inside"), [("2026-01-03", 0), ("2026-01-04", 1), ("2026-01-23", 1), ("2026-01-24", 0)])
def test_the_application_window_includes_both_ends(on, inside):
    """A day late is too late."""
    assert result(nanning(on))[2] == ([] if inside else ["application.window"])


@pytest.mark.parametrize(
    ("yuan", "outcome"),
    [("16666.66", "min_voucher"), ("16666.67", "5000"), ("16666.69", "5000"), ("16666.70", "5000.01")],
)
def test_below_the_minimum_is_refused_never_rounded_up(yuan, outcome):
    """30 % of 16,666.66 is 4,999.998: not 5,000. Money is floored to the fen where no text says how to round."""
    status, amount, why = result(decision(QINGYANG, cost_items=bill(yuan)))
    assert (status, amount or why[0]) == ("not_eligible" if outcome == "min_voucher" else "eligible", outcome)


def test_a_voucher_smaller_than_the_minimum_is_not_left_by_a_cap():
    """With 4,000 left of the year no voucher of at least 5,000 can be issued; with nothing left the claim is eligible with 0."""
    assert result(decision(QINGYANG, year_to_date__claimed_yuan="1996000"))[0] == "not_eligible"
    assert result(decision(QINGYANG, year_to_date__claimed_yuan="2000000")) == (
        "eligible",
        "0",
        ["cap_beneficiary_year"],
    )
    assert result(decision(QINGYANG, year_to_date__claimed_yuan="1995000")) == (
        "eligible",
        "5000",
        ["cap_beneficiary_year"],
    )


def test_a_year_that_is_used_up_is_eligible_with_nothing():
    """20 % of 15,000,000 is capped at 2,000,000; a second contract of that year gets 0 although its own ratio allows more."""
    assert result(decision(BEIJING, cost_items=bill("15000000"))) == ("eligible", "2000000", ["cap_beneficiary_year"])
    second = decision(BEIJING, year_to_date__claimed_yuan="2000000")
    assert result(second) == ("eligible", "0", ["cap_beneficiary_year"])
    assert second.payable
    assert result(decision(BEIJING, cost_items=bill("10000000"))) == (
        "eligible",
        "2000000",
        [],
    )  # exactly: nothing bound


@pytest.mark.parametrize(
    ("claimed", "redeemed", "yuan"),
    [("500000", "0", "1500000"), ("0", "700000", "1300000"), ("500000", "700000", "1300000")],
)
def test_claimed_and_redeemed_use_the_cap_up_each_on_its_own(claimed, redeemed, yuan):
    """The sums are not added to one another: what counts is the larger one."""
    sums = {"year_to_date__claimed_yuan": claimed, "year_to_date__redeemed_yuan": redeemed}
    assert result(decision(BEIJING, cost_items=bill("15000000"), **sums))[1] == yuan
    assert result(decision(QINGYANG, cost_items=bill("15000000"), **sums))[1] == str(2_000_000 - int(claimed))


@pytest.mark.parametrize(
    ("starts", "ends", "allowed"),
    [
        ("2024-02-01", "2025-01-31", True),
        ("2024-02-01", "2025-02-01", False),
        ("2024-02-29", "2025-02-28", True),
        ("2024-02-29", "2025-03-01", False),
        ("2024-01-01", "2024-12-31", True),
    ],
)
def test_twelve_months_include_both_days(starts, ends, allowed):
    """A year from 29 February ends on 28 February."""
    decided = decision(BEIJING, contract__starts_on=starts, contract__ends_on=ends)
    assert result(decided)[2] == ([] if allowed else ["contract.duration"])


def test_a_ratio_needs_the_facts_it_names():
    """Hangzhou: 30 % for filed models as a service and for domestic chips, if that is known; else 20 %; a draft all the same."""
    model = {"service__filed_multimodal_foundation_model": True, "use": "maas"}
    for changes, yuan in (
        (model, "300000"),
        ({**model, "use": "training"}, "200000"),
        ({"use": "training", "facility__domestic_chips": True}, "300000"),
        ({"use": "maas", "facility__domestic_chips": True}, "200000"),
        ({"facility__domestic_chips": True}, "200000"),
        ({}, "200000"),
    ):
        decided = decision(HANGZHOU, **changes)
        assert result(decided) == ("draft", yuan, []), changes
        assert not decided.payable


def test_an_override_lifts_a_cap_for_whom_the_text_allows_it():
    """一事一议: a named approver and a reason stand in the steps; for anybody else the cap stays."""
    asked = {"override": {"cap_yuan": "20000000", "approved_by": "市政府专题会", "reason": "〔2025〕3号纪要"}}
    plain = {"cost_items": bill("50000000"), **asked}
    assert result(decision(HANGZHOU, **plain)) == ("draft", "8000000", ["cap_beneficiary_year"])
    lifted = decision(HANGZHOU, beneficiary__multimodal_foundation_model_company=True, **plain)
    assert result(lifted) == ("draft", "10000000", [])
    assert any("市政府专题会" in step.zh for step in lifted.steps)
    assert result(decision(BEIJING, cost_items=bill("50000000"), **asked))[1] == "2000000"


def test_what_counts_as_cost_differs():
    """Storage, network and security are no compute in Beijing; Henan pays storage and support, and nothing else."""
    mixed = [
        *(bill("100000"), bill("50000", "storage"), bill("20000", "network"), bill("10000", "security")),
        bill("5000", "support"),
    ]
    items = [item for (item,) in mixed]
    assert result(decision(BEIJING, cost_items=items))[1] == "21000"
    henan = {"beneficiary__region": "河南省郑州市", "cost_items": items}
    assert result(decision(HENAN, **henan))[1] == "31000"
    assert result(decision(BEIJING, cost_items=bill("50000", "storage"))) == ("eligible", "0", [])
    assert result(decision(BEIJING, cost_items=[])) == ("eligible", "0", [])
    assert result(decision(QINGYANG, cost_items=[])) == ("eligible", "0", [])


def test_a_place_is_inside_the_places_it_begins_with():
    """A district of Beijing is in Beijing, a city elsewhere is not, whatever it contains."""
    assert result(decision(BEIJING, beneficiary__region="北京市"))[2] == []
    for region in ("上海市松江区", "河北省北京市", "北京"):
        assert result(decision(BEIJING, beneficiary__region=region))[2] == ["beneficiary.region"]


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        ({"contract__signed_on": "2023-08-31"}, "contract.signed_on"),
        ({"contract__prior_claims": 1}, "contract.prior_claims"),
        ({"beneficiary__sector": "餐饮业"}, "beneficiary.sector"),
        ({"beneficiary__independent_legal_person": False}, "beneficiary.independent_legal_person"),
        ({"beneficiary__years_without_dishonesty_record": 2}, "beneficiary.years_without_dishonesty_record"),
        ({"beneficiary__same_cost_subsidised_elsewhere": True}, "beneficiary.same_cost_subsidised_elsewhere"),
        ({"beneficiary__related_to_provider": True}, "beneficiary.related_to_provider"),
        ({"provider__admitted": False}, "provider.admitted"),
    ],
)
def test_a_failure_names_the_fact_the_rule_and_its_source(changes, failed):
    """Nobody has to guess what refused him; an unknown fact elsewhere does not change a definite refusal."""
    for more in ({}, {"purpose": None, "cost_items": None}):
        decided = decision(BEIJING, **changes, **more)
        assert result(decided) == ("not_eligible", None, [failed])
        (failure,) = decided.failed
        assert "北京" in failure.source
        assert failure.en
        assert not decided.payable


@pytest.mark.parametrize(
    ("missing", "name"),
    [
        ({"contract__signed_on": None}, "contract.signed_on"),
        ({"beneficiary__related_to_provider": None}, "beneficiary.related_to_provider"),
        ({"contract__ends_on": None}, "contract.ends_on"),
        ({"cost_items": None}, "cost_items"),
        ({"year_to_date": None}, "year_to_date.claimed_yuan"),
        ({"contract__prior_claims": None}, "contract.prior_claims"),
    ],
)
def test_an_unknown_fact_is_asked_for_never_guessed(missing, name):
    """Absent is not zero and not false: the claim waits, and no figure is given."""
    decided = decision(BEIJING, **missing)
    assert decided.status is Status.NEED_MORE_INFO
    assert decided.amount_fen is None
    assert name in decided.missing
    assert not decided.payable


def test_a_draft_says_what_is_unknown_and_pays_nothing():
    """Songjiang: no figure, its unknown list; Henan: a figure, never payable; a refusal of a draft gives no figure."""
    songjiang = decision_object(decision(SONGJIANG, "2026-11-22"))
    assert (songjiang["status"], songjiang["amount_yuan"], songjiang["payable"]) == ("draft", None, False)
    assert {"ratio", "caps", "budget"} <= set(songjiang["unknown"])
    henan = decision(HENAN, beneficiary__region="河南省洛阳市")
    assert (result(henan), henan.payable) == (("draft", "200000", []), False)
    refused = decision(HENAN, beneficiary__region="北京市")
    assert (result(refused), refused.payable) == (("draft", None, ["beneficiary.region"]), False)


def test_after_the_last_day_of_a_scheme_nothing_is_decided():
    """Songjiang's document lives for three years; afterwards no version is in force."""
    assert "application.window" not in result(decision(SONGJIANG, "2027-09-30"))[2]
    assert "application.window" in result(decision(SONGJIANG, "2027-10-01"))[2]
    assert "application.window" in result(decision(SONGJIANG, "2024-09-30"))[2]


# --- properties -----------------------------------------------------------------------------------------------------------

fen = st.integers(0, 10**12)


@given(fen, fen, fen)
def test_no_figure_exceeds_ratio_or_cap(cost, claimed, redeemed):
    """Whatever the sums: never more than 20 %, never more than what is left of the year, and whole fen."""
    sums = {"claimed_yuan": yuan_text(Fraction(claimed)), "redeemed_yuan": yuan_text(Fraction(redeemed))}
    decided = decision(BEIJING, cost_items=bill(yuan_text(Fraction(cost))), year_to_date=sums)
    room = max(200_000_000 - max(claimed, redeemed), 0)
    assert decided.amount_fen == min(cost // 5, room)
    assert bool(decided.limits) == (cost // 5 > room)


@given(st.fractions(min_value=0, max_value=10**9, max_denominator=1000), st.integers(1, 10_000))
def test_rounding_stays_within_one_quantum(amount, quantum):
    """Truncating gives at most the amount and less than one quantum below it; half up is never further than half of one."""
    down, half = (round_fen(amount, Rounding(mode, quantum, "")) for mode in ("truncate", "half_up"))
    assert down % quantum == half % quantum == 0
    assert 0 <= amount - down < quantum
    assert abs(amount - half) * 2 <= quantum


@given(fen)
def test_yuan_are_written_so_that_they_read_back(amount):
    """Two decimals or none."""
    text = yuan_text(Fraction(amount))
    assert re.fullmatch(r"[0-9]+(\.[0-9]{2})?", text)
    assert Fraction(text) * 100 == amount
