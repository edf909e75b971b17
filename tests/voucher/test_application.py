"""Applications as their scheme judges them: what may be stated, what it comes to, what is due, and how a closed round is shared."""

from dataclasses import replace
from datetime import date

import pytest

from subsidy.procedure import Case
from subsidy.unit import YUAN
from tests.shared_data import ROOT
from tests.voucher.application_samples import FACTS, SCHEME, contract
from voucher.application import Sums, allocate, call_faults, closed, due, judge, read_stated
from voucher.errors import VoucherError
from voucher.programme import RoundClaim
from voucher.scheme_reader import load_series

SERIES = load_series(ROOT / "config/schemes")
SANDBOX = SERIES[SCHEME]
ON = date(2025, 9, 1)
CASE = Case(facts={"beneficiary.startup": False, "beneficiary.related_to_provider": False}, contract=contract())


def ruled(**budget):
    """The sandbox with other rules of its budget."""
    scheme = SANDBOX.latest
    return replace(scheme, budget=replace(scheme.budget, **budget))


def claim(name, amount, signed, received=1):
    return RoundClaim(name, amount, signed, received)


def test_facts_are_flat_plain_and_the_applicants_own():
    """Nested facts become full names; what the ledger, the contract or an officer knows better is refused where it stands."""
    assert read_stated(SANDBOX, FACTS, "/facts", ON) == (
        {"beneficiary.kind": "enterprise", "beneficiary.startup": False, "beneficiary.related_to_provider": False}, [],
    )  # fmt: skip
    stated = {"contract": {"prior_claims": 0}, "to_date": {"claimed_yuan": "0"}, "override": {"cap_yuan": "9"}}
    found = read_stated(SANDBOX, stated, "/facts", ON)[1]
    assert {one.code for one in found} == {"fact-reserved"}
    assert [one.where for one in found] == [
        "/facts/contract/prior_claims", "/facts/to_date/claimed_yuan", "/facts/override/cap_yuan",
    ]  # fmt: skip


def test_the_figure_is_that_of_the_quote():
    """The same pure function as quotes and cases: contract, items and sums of the ledger stand for what one would state."""
    standing, findings = judge(SANDBOX, CASE, Sums(), ON)
    assert findings == []
    assert (standing.judged.ceiling, standing.judged.refused) == (10_000_000, ())
    cap = SANDBOX.latest.caps[0].units
    standing, _ = judge(SANDBOX, CASE, Sums(year_claimed=cap - 7), ON)
    assert standing.judged.ceiling == 7, "what this year's vouchers left of the cap"
    standing, _ = judge(SANDBOX, CASE, Sums(prior_claims=1), ON)
    assert [one.where for one in standing.judged.findings] == ["/contract/prior_claims"]
    standing, _ = judge(SANDBOX, replace(CASE, facts={}), Sums(), ON)
    assert (standing.judged.missing, standing.judged.ceiling) == (("beneficiary.related_to_provider",), None)


def test_tranches_release_what_was_approved():
    """Half on approval, half on the report; never more than was approved, and what was issued is not due again."""
    case = replace(CASE, committed=10_000_001)
    scheme = SANDBOX.latest
    assert due(scheme, case) == 0
    first = replace(case, reached=frozenset({"approval"}))
    assert due(scheme, first) == 5_000_001
    both = replace(case, reached=frozenset({"approval", "progress_report"}), issued=5_000_001)
    assert due(scheme, both) == 5_000_000
    assert due(replace(scheme, tranches=()), case) == 10_000_001


def test_a_round_is_shared_in_the_order_of_the_scheme():
    """Earlier contract before later, whoever came first; or by arrival, in proportion, or all or nothing; over-issuing gives all."""
    claims = [claim("late", 80, signed=20, received=1), claim("early", 80, signed=10, received=2)]
    shares = {
        order: {name: one.amount for name, one in allocate(ruled(on_exhaustion=order), YUAN, 100, 9, claims).items()}
        for order in ("contract_signed_at_asc", "application_received_at_asc", "pro_rata", "closed")
    }
    assert shares == {
        "contract_signed_at_asc": {"early": 80, "late": 20}, "application_received_at_asc": {"late": 80, "early": 20},
        "pro_rata": {"late": 50, "early": 50}, "closed": {"late": 0, "early": 0},
    }  # fmt: skip
    over = allocate(ruled(over_issue=True), YUAN, 100, 9, claims)
    assert [one.amount for one in over.values()] == [80, 80]
    with pytest.raises(VoucherError) as caught:
        allocate(SANDBOX.latest, YUAN, 100, None, claims)
    assert caught.value.code == "round-open"
    with pytest.raises(VoucherError) as caught:
        allocate(SANDBOX.latest, YUAN, 100, 1, claims)
    assert caught.value.code == "claims-late"


def test_a_rest_below_the_smallest_voucher_is_not_given():
    """庆阳: 30 % of 16,000 is below the 5,000 of a voucher; neither rounded up nor given as a rest of the budget."""
    claims = [claim("first", 600_000, signed=1), claim("second", 600_000, signed=2)]
    least = replace(ruled(), min_voucher_fen=500_000)
    assert [one.amount for one in allocate(least, YUAN, 1_000_000, 9, claims).values()] == [600_000, 0]
    assert [one.amount for one in allocate(least, YUAN, 1_100_000, 9, claims).values()] == [600_000, 500_000]


@pytest.mark.parametrize(
    ("scheme", "code"),
    [
        ("cn-ha-2023-2024", "scheme-draft"),
        ("cn-gx-nanning-2025", "scheme-without-voucher"),
        ("cn-bj-ai-compute-2023", "scheme-incomplete"),
        (SCHEME, None),
    ],
)
def test_who_can_be_applied_to(scheme, code):
    """A draft, a scheme that pays without vouchers, and one that lacks what issuing needs take no application."""
    why = closed(SERIES[scheme].latest)
    assert (why and why[0]) == code


def test_a_round_has_the_budget_of_a_round():
    """Henan's fifty million a round is a limit of the call, with its source."""
    henan = replace(SERIES["cn-ha-2023-2024"].latest, status=SANDBOX.latest.status)
    codes = [one.code for one in call_faults(henan, YUAN, 5_000_000_001, "/budgets/x")]
    assert "round-budget-exceeded" in codes
    assert "round-budget-exceeded" not in [one.code for one in call_faults(henan, YUAN, 5_000_000_000, "/budgets/x")]
