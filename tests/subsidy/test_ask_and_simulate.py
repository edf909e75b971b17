"""Asking few questions, adding up budgets, and comparing answers."""

import random
from datetime import date

from subsidy.ask import beneficial, questions
from subsidy.evaluate import evaluate
from subsidy.facts import FactType, read_facts
from subsidy.outcome import Status
from subsidy.policies import Closed
from subsidy.simulate import simulate
from subsidy.what_if import difference
from tests.subsidy.passing import outcome_of, rows

DAY = date(2025, 9, 1)


def passing(policies, clause, **changes):
    """The facts that pass a clause, some changed, as typed facts."""
    row = next(row for row in rows(policies) if row.id == f"{clause} .")
    return read_facts(policies.facts, row.written | changes, str)[0]


def test_the_first_question_settles_most_clauses(policies):
    """Knowing nothing, the fact that most clauses wait for comes first: earlier support decides thirteen of them."""
    first = questions(policies, {}, DAY, beneficial(policies))[0]
    assert first.fact.name.startswith("project_")
    assert len(first.clauses) == 13
    assert first.stake_fen > 200_000_000 * 100


def test_questions_end_when_nothing_can_change(policies):
    """Answering the best question again and again comes to an end, with every clause settled, in far fewer questions than facts."""
    chance = random.Random(16)
    clauses = beneficial(policies)
    written, asked = {}, 0
    while open_ := questions(policies, read_facts(policies.facts, written, str)[0], DAY, clauses):
        fact = open_[0].fact
        assert fact.name not in written
        written[fact.name] = any_value(fact, chance)
        asked += 1
    assert asked < len(policies.facts)
    for name in clauses:
        outcome = evaluate(policies, name, read_facts(policies.facts, written, str)[0], DAY)
        assert outcome.status is not Status.NEED_MORE_INFO


def any_value(fact, chance):
    """Some value of a fact, as written."""
    match fact.type:
        case FactType.FLAG:
            return chance.random() < 0.5
        case FactType.CHOICE:
            return chance.choice(fact.values)
        case FactType.SET:
            return [chance.choice(fact.values)]
        case FactType.INTEGER:
            return chance.choice([0, 1500, 10**12])
        case _:
            return "1"


def test_a_refusal_stops_the_questions_of_its_clause(policies):
    """Once a project is supported elsewhere, no fact is asked for a clause that this excludes from."""
    facts, _ = read_facts(policies.facts, {"project_supported_under_other_industrial_policy": True}, str)
    asked = {clause for item in questions(policies, facts, DAY, beneficial(policies)) for clause in item.clauses}
    assert asked == {"323:(三)", "323:(七)", "323:(九)"}


def test_budgets_are_exact_sums_with_a_low_and_a_high_end(policies):
    """What is sure counts in both ends, what a person must decide or a fact may bring only in the high one."""
    sure = passing(policies, "16:三(四)", security_test_fee_yuan=99_999)
    person = passing(
        policies, "16:三(四)", security_test_fee_yuan=100_000, product_category="other_advanced_computing_product"
    )
    unknown = passing(policies, "16:三(四)", security_test_fee_yuan=None)
    refused = passing(policies, "16:三(四)", passed_crypto_security_test=False)
    people = [(facts, DAY) for facts in (sure, sure, person, unknown, refused)] + [(sure, date(2026, 1, 5))]
    *_, budgets = simulate(policies, people, ["323:(六)1"])
    first, second = budgets["323:(六)1", 2025], budgets["323:(六)1", 2026]
    assert (first.applicants, first.eligible, first.undecided, first.needs_human) == (5, 3, 1, 1)
    assert first.low_fen == 2 * 4_999_950
    assert first.high_fen == 2 * 4_999_950 + 5_000_000 + 25_000_000
    assert (second.low_fen, second.high_fen) == (4_999_950, 4_999_950)


def test_bounds_hold_the_figure_of_every_row(policies):
    """The least is never above the most, a figure never outside, and only a clause that names no sum has no most."""
    for row in rows(policies):
        outcome = outcome_of(policies, row)
        low, high = outcome.bounds_fen()
        if high is None:
            assert not isinstance(outcome.rule, Closed)
            assert outcome.rule.clause.id in {"323:(二)2.b", "323:(三)"}
            continue
        assert 0 <= low <= high
        if outcome.amount.fen is not None:
            assert low in {0, outcome.amount.fen}
            assert high == outcome.amount.fen


def test_what_if_shows_the_conditions_that_come_out_otherwise(policies):
    """A PUE of 1.25 instead of 1.2499 changes one verdict; the end of the implementing rules takes their conditions away."""
    facts = passing(policies, "323:(一)1")
    worse = passing(policies, "323:(一)1", pue="1.25")
    before, after = (evaluate(policies, "323:(一)1", known, DAY) for known in (facts, worse))
    (changed,) = difference(before, after)
    assert (changed.condition, changed.before, changed.after) == ("pue_below", True, False)
    assert difference(before, before) == ()
    model = passing(policies, "323:(一)2")
    living, expired = (evaluate(policies, "323:(一)2", model, day) for day in (DAY, date(2026, 11, 22)))
    assert {changed.document for changed in difference(living, expired)} == {"16"}
