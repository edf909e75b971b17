"""The evaluator: one clause, one set of facts, one day, three-valued.

A definite failure beats an unknown fact; nothing is asked that cannot change the answer; what the texts leave open goes to
a person as a question. The day is an argument: no clock is read.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from subsidy.facts import Facts
from subsidy.operators import Number, share
from subsidy.outcome import FEN_PER_YUAN, Amount, Outcome, Status
from subsidy.policies import Closed, Policies, Rule
from subsidy.policy import AmountKind, Benefit, Gift, Question

EVALUATOR_VERSION = 2
"""Changes whenever the same documents and facts could give another answer."""

_NO_AMOUNT = Amount(AmountKind.NONE)
_NO_GIFTS: tuple[Gift, ...] = ()


def evaluate(policies: Policies, clause: str, facts: Facts, on: date) -> Outcome:
    """The answer of `clause` for an application received on that day (Asia/Shanghai); `facts` come from `read_facts`.

    Raises:
        SubsidyError: `clause-unknown`.

    """
    rule = policies.rule(clause, on)
    if isinstance(rule, Closed):
        return _closed(rule, on)
    known = _with_quantities(rule, facts)
    if rule.opening is not None and rule.opening(known) is False:
        return _not_open(rule, on, known)
    verdicts = tuple([test(known) for test in rule.tests])
    failed = [at for at, verdict in enumerate(verdicts) if verdict is False] if False in verdicts else []
    if any(rule.requirements[at].lacks is None for at in failed):
        return _refused(rule, on, known, verdicts)
    return _Open(rule, on, known).outcome(verdicts)


def _with_quantities(rule: Rule, facts: Facts) -> Facts:
    if not rule.steps:
        return facts
    known = dict(facts)
    for name, measure in rule.steps:
        value = measure(known)
        if value is not None:
            known[name] = value
    return known


def _closed(closed: Closed, on: date) -> Outcome:
    """Expired and not yet in force are refusals with a date; without implementing rules a living clause is just not open."""
    not_open = closed.reason == "implementing_rules_not_in_force"
    return Outcome(
        rule=closed,
        on=on,
        status=Status.NOT_OPEN if not_open else Status.NOT_ELIGIBLE,
        eligible=False,
        amount=_NO_AMOUNT,
        reasons=(closed.reason,),
        needs_human=not_open,
    )


def _not_open(rule: Rule, on: date, known: Facts) -> Outcome:
    return Outcome(
        rule=rule,
        on=on,
        status=Status.NOT_OPEN,
        eligible=False,
        amount=_NO_AMOUNT,
        reasons=("implementing_rules_not_in_force",),
        needs_human=True,
        known=known,
    )


def _refused(rule: Rule, on: date, known: Facts, verdicts: tuple[bool | None, ...]) -> Outcome:
    failed = [requirement for requirement, verdict in zip(rule.requirements, verdicts, strict=True) if verdict is False]
    questions = [requirement.question for requirement in failed if requirement.question is not None]
    questions += [
        question for question, ask in zip(rule.questions, rule.asks, strict=True) if question.regardless and ask(known)
    ]
    return Outcome(
        rule=rule,
        on=on,
        status=Status.NOT_ELIGIBLE,
        eligible=False,
        amount=_NO_AMOUNT,
        reasons=(*(requirement.id for requirement in failed), *_codes(questions)),
        questions=tuple(questions),
        needs_human=bool(questions),
        verdicts=verdicts,
        known=known,
    )


class _Open:
    """An application that nothing refuses: what is still missing, what a person must decide, and the figure."""

    def __init__(self, rule: Rule, on: date, known: Facts) -> None:
        self._rule = rule
        self._on = on
        self._known = known
        self._missing: dict[str, None] = {}

    def outcome(self, verdicts: tuple[bool | None, ...]) -> Outcome:
        self._need_for_verdicts(verdicts)
        undecided = bool(self._missing)
        questions, asked = self._standing()
        amount, gifts = _undecided(self._rule.benefit), _NO_GIFTS
        if False not in verdicts:  # what lacks a paper stays open, whatever its benefit might be
            amount, gifts = self._benefit(questions, asked)
        if undecided:
            questions = [question for question in questions if question.regardless]
            amount, gifts = _undecided(self._rule.benefit), _NO_GIFTS
        return Outcome(
            rule=self._rule,
            on=self._on,
            status=Status.NEED_MORE_INFO if self._missing else Status.ELIGIBLE,
            eligible=None if undecided else True,
            amount=amount,
            reasons=self._reasons(questions, gifts),
            questions=tuple(questions),
            needs_human=any(question.person for question in questions),
            missing=tuple(self._missing),
            gifts=gifts,
            verdicts=verdicts,
            known=self._known,
        )

    def _need(self, names: Iterable[str]) -> None:
        self._missing.update(dict.fromkeys(names))

    def _need_for_verdicts(self, verdicts: tuple[bool | None, ...]) -> None:
        if False in verdicts or None in verdicts:
            for requirement, verdict in zip(self._rule.requirements, verdicts, strict=True):
                if verdict is False:
                    self._missing[str(requirement.lacks)] = None
                elif verdict is None:
                    self._need(requirement.condition.unknown(self._known))

    def _standing(self) -> tuple[list[Question], list[bool | None]]:
        """The questions that certainly stand, and whether each of the rule's questions does."""
        asked = [ask(self._known) for ask in self._rule.asks]
        return [question for question, stands in zip(self._rule.questions, asked, strict=True) if stands], asked

    def _benefit(self, questions: list[Question], asked: list[bool | None]) -> tuple[Amount, tuple[Gift, ...]]:
        amount = self._amount(questions, asked)
        if None in asked:
            self._need_for_questions(asked, settled=any(question.person for question in questions))
        return amount, self._gifts()

    def _need_for_questions(self, asked: list[bool | None], *, settled: bool) -> None:
        """Facts that only decide whether a person is asked are missing too, unless a person is needed anyway (`settled`)."""
        for question, stands in zip(self._rule.questions, asked, strict=True):
            if (
                stands is None
                and question.when is not None
                and question.person
                and (question.withholds_amount or not settled)
            ):
                self._need(question.when.unknown(self._known))

    def _amount(self, questions: list[Question], asked: list[bool | None]) -> Amount:
        """The figure as far as it can be given; adds what keeps it open to the missing facts or to `questions`."""
        benefit = self._rule.benefit
        if benefit.of is None or benefit.cap is None:
            return Amount(benefit.kind, range_yuan=benefit.range_yuan)
        cap = benefit.cap.value(self._known)
        withheld = [asked[at] for at in self._rule.withholding]
        if cap is not None and (not withheld or set(withheld) == {False}):
            base = benefit.of.value(self._known)
            least, most = (base, base) if base is not None else benefit.of.bounds(self._known)
            figure = _figure(benefit, most, cap)
            if base is not None or figure == _figure(benefit, least, cap):
                return figure
        if benefit.unless_known is not None and benefit.of.value(self._known) is None:
            questions.append(benefit.unless_known)
        elif True not in withheld:
            self._need(benefit.of.unknown(self._known))
            self._need(benefit.cap.unknown(self._known))
        return Amount(AmountKind.UNDETERMINED, cap_yuan=None if cap is None else int(cap))

    def _gifts(self) -> tuple[Gift, ...]:
        if not self._rule.benefit.gifts:
            return _NO_GIFTS
        for gift in self._rule.benefit.gifts:
            self._need(gift.when.unknown(self._known))
        return tuple([gift for gift in self._rule.benefit.gifts if gift.when.test(self._known)])

    def _reasons(self, questions: list[Question], gifts: tuple[Gift, ...]) -> tuple[str, ...]:
        missing = [f"missing:{name}" for name in self._missing]
        return (*missing, *_codes(questions), *[f"benefit:{gift.id}" for gift in gifts])


def _figure(benefit: Benefit, base: Number, cap: Number) -> Amount:
    """Floored to the fen: 不超过 forbids rounding up."""
    uncapped = share(benefit.rate, base)
    fen = int(min(uncapped, cap) * FEN_PER_YUAN)
    assert 0 <= fen <= cap * FEN_PER_YUAN
    return Amount(benefit.kind, fen, int(cap), uncapped > cap)


def _undecided(benefit: Benefit) -> Amount:
    return _NO_AMOUNT if benefit.kind is AmountKind.NONE else Amount(AmountKind.UNDETERMINED)


def _codes(questions: Iterable[Question]) -> list[str]:
    return [f"human:{question.id}" if question.person else question.id for question in questions]
