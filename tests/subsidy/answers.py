"""Outcomes in the words of the rows."""

from collections import Counter

from subsidy.evaluate import evaluate
from subsidy.facts import read_facts
from subsidy.outcome import Outcome, Status
from subsidy.policies import Closed, Policies
from subsidy.policy import AmountKind
from tests.subsidy.rows import Row


def outcome_of(policies: Policies, row: Row) -> Outcome:
    """The outcome of a row's clause, day and facts."""
    facts, findings = read_facts(policies.facts, row.facts, str)
    assert not findings
    return evaluate(policies, row.clause, facts, row.on)


def agrees(outcome: Outcome, wanted: list[str]) -> bool:
    """Whether an outcome is what a row says, in any order; the conditions that refuse are counted, other words are not."""
    said = words(outcome, wanted)
    return Counter(said) == Counter(wanted) if said[0] == "refused" else set(said) == set(wanted)


def words(outcome: Outcome, wanted: list[str]) -> list[str]:
    """The outcome in the words of a row; `asks` and `gifts` only if the row speaks of them."""
    said = [*_head(outcome)]
    if outcome.amount.kind is AmountKind.EXACT:
        said.append("exact")
    if outcome.amount.kind is AmountKind.RANGE:
        said.append("range")
    if outcome.amount.cap_hit:
        said.append("cap")
    if outcome.needs_human:
        said.append("person")
    if any(word.startswith("asks=") for word in wanted):
        said.append(f"asks={len(outcome.questions)}")
    if outcome.gifts or any(word.startswith("gifts=") for word in wanted):
        said.append("gifts=" + ",".join(gift.id for gift in outcome.gifts))
    return said


def _head(outcome: Outcome) -> list[str]:
    amount = outcome.amount
    figure = "none" if amount.fen is None else str(amount.fen // 100)
    if amount.range_yuan is not None:
        figure = "{}..{}".format(*amount.range_yuan)
    match outcome.status:
        case Status.ELIGIBLE:
            return ["eligible", figure]
        case Status.NOT_OPEN:
            return ["closed", outcome.reasons[0]]
        case Status.NOT_ELIGIBLE if isinstance(outcome.rule, Closed):
            return ["closed", outcome.reasons[0]]
        case Status.NOT_ELIGIBLE:
            return ["refused", *(requirement.id for requirement, verdict in outcome.judged() if verdict is False)]
        case Status.NEED_MORE_INFO if outcome.eligible is None:
            return ["open", *outcome.missing]
        case _ if figure == "none" and amount.kind is AmountKind.UNDETERMINED and outcome.rule.benefit.of is not None:
            return ["amount-open", *outcome.missing]
        case _:
            return ["settled", figure, *outcome.missing]
