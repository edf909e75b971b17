"""What holds for every clause, every day and all facts."""

import itertools
import random
from datetime import date

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from subsidy.evaluate import evaluate
from subsidy.facts import FactType, read_facts
from subsidy.outcome import Outcome, Status
from subsidy.policies import Closed, Policies, assemble, load_policies
from subsidy.policy import AmountKind
from subsidy.yaml_text import read_yaml
from tests.shared_data import ROOT

DIRECTORY = ROOT / "config" / "policies"
POLICIES = load_policies(DIRECTORY)
DAYS = [date(2025, 3, 1), date(2025, 9, 1), date(2026, 11, 22)]
RULES = sorted(
    ((name, day) for name in POLICIES.clauses for day in DAYS if not isinstance(POLICIES.rule(name, day), Closed)),
    key=str,
)
INTEGERS = {
    "parameter_count": [10**11, 10**11 + 1],
    "compute_equipment_investment_yuan": [3 * 10**9 - 1, 3 * 10**9],
    "racks_upgraded_in_this_single_project": [999, 1000, 2001],
    "industries_covered": [0, 1, 2, 3, 4, 5],
    "publicity_working_days_completed": [4, 5],
    "rounds_already_held_this_year": [0, 1],
    "rd_cost_paid_with_compute_vouchers_yuan": [0, 100_000],
    "rd_cost_hardware_yuan": [0, 300_000, 50_000_000],
    "rd_cost_non_hardware_yuan": [0, 700_000, 60_000_000],
    "security_test_fee_yuan": [0, 99_999, 600_000],
    "amount_under_referenced_service_industry_policy_yuan": [0, 150_000_000, 250_000_000],
}
EXTREMES = {
    "rd_cost_hardware_yuan": [10**12],
    "rd_cost_non_hardware_yuan": [10**14],
    "rd_cost_paid_with_compute_vouchers_yuan": [10**14],
}
"""Beside any known cost of the other kind, these make the hardware share very large or very small."""
DECIMALS = {
    "green_power_share": ["0.0999", "0.1"],
    "pue": ["1.2499", "1.25"],
    "pue_after_upgrade": ["1.2499", "1.25"],
    "compute_pflops_fp16_dense": ["19999.99", "20000"],
    "compute_rack_share_after_upgrade": ["0.7", "0.7001"],
}
NEVER_UNKNOWN = {
    "superior_policy_conflicts": "absent means false",
    "earlier_district_policy_conflicts": "absent means false",
    "amount_under_referenced_service_industry_policy_yuan": "a department's decision, asked as a question for a person",
}


def words_of(fact):
    """Written values of a fact that make every difference the rules know."""
    match fact.type:
        case FactType.FLAG:
            return [True, False]
        case FactType.CHOICE:
            return list(fact.values)
        case FactType.SET:
            sets = itertools.chain.from_iterable(itertools.combinations(fact.values, size) for size in (0, 1, 2))
            return [list(words) for words in sets] + [list(fact.values)]
        case FactType.INTEGER:
            return INTEGERS[fact.name]
        case _:
            return DECIMALS[fact.name]


def facts_of(name, day):
    """The facts that decide a clause on that day."""
    return POLICIES.facts_read(POLICIES.rule(name, day))


@st.composite
def situations(draw, policies: Policies = POLICIES):
    """A clause, a day, and values for all its facts; mostly such as pass, so that every condition gets to decide."""
    name, day = draw(st.sampled_from(RULES))
    values = {}
    for fact in facts_of(name, day).values():
        options = words_of(fact)
        values[fact.name] = draw(st.sampled_from(options) | st.just(passing(fact, options)))
    return name, day, values


def passing(fact, options):
    """A value that tends to satisfy: what is asked of an applicant is mostly true, what is asked against it false."""
    against = (
        "received",
        "supported",
        "paid",
        "conflicts",
        "dishonesty",
        "bad_credit",
        "objection",
        "confidential",
        "changed",
        "claims",
    )
    if fact.type is FactType.FLAG:
        return not any(word in fact.name for word in against)
    return options[-1] if fact.type in {FactType.SET, FactType.INTEGER} else options[0]


def answer(name, day, values, policies=POLICIES):
    """The outcome for written values; None among them means unknown."""
    facts, findings = read_facts(policies.facts, values, str)
    assert not findings
    return evaluate(policies, name, facts, day)


def result(outcome: Outcome):
    """What an outcome promises: the rest only explains it."""
    refused = outcome.status is Status.NOT_ELIGIBLE
    lacking = frozenset(name for name in outcome.missing if name not in POLICIES.facts)
    return (outcome.status, outcome.eligible, outcome.amount, outcome.gifts, refused or outcome.needs_human, lacking)


@st.composite
def partly_unknown(draw, unknown_max=4):
    """A situation of which up to a few facts are unknown."""
    name, day, values = draw(situations())
    names = sorted(values.keys() - NEVER_UNKNOWN.keys())
    hidden = draw(st.lists(st.sampled_from(names), min_size=1, max_size=unknown_max, unique=True))
    return name, day, values, hidden


def without(values, hidden):
    """The values with some of them unknown."""
    return {name: None if name in hidden else value for name, value in values.items()}


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(partly_unknown())
def test_more_facts_never_turn_a_definite_answer_around(situation):
    """What is eligible, refused or fixed as an amount while facts are unknown stays so when they become known."""
    name, day, values, hidden = situation
    before, after = answer(name, day, without(values, hidden)), answer(name, day, values)
    if before.eligible is not None:
        assert after.eligible is before.eligible
    if before.amount.fen is not None:
        assert after.amount == before.amount
    if before.status is Status.ELIGIBLE:
        assert result(after) == result(before)
    if before.status is Status.NOT_ELIGIBLE:
        opens = getattr(before.rule, "opening", None)
        assert after.status is Status.NOT_ELIGIBLE or (opens is not None and after.status is Status.NOT_OPEN)


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(partly_unknown(), st.data())
def test_unknown_facts_that_are_not_missing_change_nothing(situation, data):
    """Whatever value an unknown fact takes that is not named as missing, the result stays."""
    name, day, values, hidden = situation
    written = without(values, hidden)
    before = answer(name, day, written)
    silent = [fact for fact in hidden if fact not in before.missing]
    filled = {fact: data.draw(st.sampled_from(words_of(POLICIES.facts[fact]))) for fact in silent}
    if getattr(before.rule, "opening", None) is None:
        assert result(answer(name, day, written | filled)) == result(before)


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(partly_unknown(unknown_max=3))
def test_every_missing_fact_can_still_change_the_result(situation):
    """For each missing fact there are values of the unknown facts between which it alone makes the difference."""
    name, day, values, hidden = situation
    written = without(values, hidden)
    before = answer(name, day, written)
    missing = [fact for fact in before.missing if fact in hidden]
    assume(missing)
    results = {}
    options = [words_of(POLICIES.facts[fact]) + EXTREMES.get(fact, []) for fact in hidden]
    for chosen in itertools.product(*options):
        results[tuple(map(str, chosen))] = result(answer(name, day, written | dict(zip(hidden, chosen, strict=True))))
    for fact in missing:
        at = hidden.index(fact)
        seen = {}
        for chosen, outcome in results.items():
            seen.setdefault(chosen[:at] + chosen[at + 1 :], set()).add(outcome)
        assert any(len(outcomes) > 1 for outcomes in seen.values()), (name, day, fact, written)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(situations())
def test_amounts_never_exceed_cap_or_rate(situation):
    """A figure is at most the cap, at most the rate of what was spent, and the cap is hit only if the figure without it is above."""
    name, day, values = situation
    outcome = answer(name, day, values)
    amount, benefit = outcome.amount, getattr(outcome.rule, "benefit", None)
    if amount.fen is None:
        assert not amount.cap_hit
        return
    assert 0 <= amount.fen <= amount.cap_yuan * 100
    spent = sum(
        values.get(fact, 0) for fact in ("rd_cost_non_hardware_yuan", "rd_cost_hardware_yuan", "security_test_fee_yuan")
    )
    if benefit.rate < 1:
        assert amount.fen <= benefit.rate * spent * 100
    assert amount.cap_hit is (benefit.rate * benefit.of.value(outcome.known) > amount.cap_yuan)
    assert amount.cap_hit is False or amount.fen == amount.cap_yuan * 100


def shuffled(node, chance):
    """The same document with conditions, parts and questions in another order; tiers keep theirs, which has a meaning."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in {"requires", "ask", "all", "any", "include"} and isinstance(value, list):
                chance.shuffle(value)
            shuffled(value, chance)
    elif isinstance(node, list):
        for item in node:
            shuffled(item, chance)


@pytest.fixture(scope="module")
def reordered():
    """The policies with every order that should not matter changed."""
    tables = {path.name: read_yaml(path.read_text(encoding="utf-8"), path.name) for path in DIRECTORY.glob("*.yaml")}
    for table in tables.values():
        shuffled(table, random.Random(323))
    return assemble(tables, dict.fromkeys(tables, ""))


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(partly_unknown())
def test_the_order_of_conditions_is_irrelevant(reordered, situation):
    """Conditions, their parts and the facts may stand in any order: the answer, its reasons and what is missing stay."""
    name, day, values, hidden = situation
    written = without(values, hidden)
    ours = answer(name, day, written)
    theirs = answer(name, day, dict(reversed(written.items())), reordered)
    assert (ours.status, ours.eligible, ours.amount, ours.needs_human) == (
        theirs.status,
        theirs.eligible,
        theirs.amount,
        theirs.needs_human,
    )
    assert sorted(ours.reasons) == sorted(theirs.reasons)
    assert sorted(ours.missing) == sorted(theirs.missing)


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(partly_unknown())
def test_what_is_definite_asks_nothing(situation):
    """Only an application that is still open has missing facts, and an open one always has."""
    name, day, values, hidden = situation
    outcome = answer(name, day, without(values, hidden))
    assert bool(outcome.missing) is (outcome.status is Status.NEED_MORE_INFO)
    assert outcome.amount.kind is not AmountKind.NONE or outcome.amount.fen is None
