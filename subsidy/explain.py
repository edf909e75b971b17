"""An outcome in words and figures that JSON can carry: every condition with value, operator, threshold and quote."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any, TypeAlias

from subsidy.advice import Change, nearest_pass, next_question
from subsidy.evaluate import EVALUATOR_VERSION
from subsidy.facts import Facts, Value
from subsidy.lives import lives
from subsidy.operators import OPPOSITES, SYMBOLS, Compare, Condition, Count, Junction, Number, Quantity
from subsidy.outcome import FEN_PER_YUAN, Outcome, Status
from subsidy.policies import Closed, Policies, Rule
from subsidy.policy import Clause, Document, OpenPoint, Question, Requirement

_VERDICTS = {True: "met", False: "failed", None: "unknown"}
_Describe: TypeAlias = Callable[[Facts, bool | None], dict[str, Any]]

LIVES_KEPT_MAX = 10_000
_PLAIN = frozenset({bool, int, str, type(None)})


def summary(outcome: Outcome) -> dict[str, Any]:
    """The figures of an outcome: whole yuan rounded down, and fen."""
    amount = outcome.amount
    return {
        "status": outcome.status.value,
        "eligible": outcome.eligible,
        "amount_yuan": None if amount.fen is None else amount.fen // FEN_PER_YUAN,
        "amount_kind": amount.kind.value,
        "amount_fen": amount.fen,
        "amount_range_yuan": None if amount.range_yuan is None else list(amount.range_yuan),
        "cap_yuan": amount.cap_yuan,
        "cap_hit": amount.cap_hit,
        "needs_human": outcome.needs_human,
        "missing_facts": list(outcome.missing),
        "reasons": list(outcome.reasons),
    }


@dataclass(frozen=True, slots=True)
class _Wording:
    """What a rule says whatever the facts: about itself, about each requirement, and which of these make up each layer."""

    clause: dict[str, Any]
    requirements: tuple[_Describe, ...] = ()
    quantities: tuple[dict[str, Any], ...] = ()
    layers: tuple[tuple[str, tuple[int, ...]], ...] = ()


class Explainer:
    """Explains outcomes of one set of policies. What does not depend on the facts is put into words once, at the start."""

    def __init__(self, policies: Policies) -> None:
        self._policies = policies
        self._rules: dict[int, _Wording] = {}
        self._closed: dict[int, _Wording] = {}
        self._lives: dict[tuple[int, date], list[dict[str, Any]]] = {}
        for era in policies.eras():
            words = _Words(era)
            self._rules |= {id(rule): words.of(rule) for rule in era.rules()}
            self._closed |= {id(clause): _Wording(words.describe(clause, (clause,))) for clause in era.clauses.values()}

    def answer(self, outcome: Outcome) -> dict[str, Any]:
        """The figures of an outcome and, as `explanation`, why."""
        return {**summary(outcome), "explanation": self.explain(outcome)}

    def explain(self, outcome: Outcome) -> dict[str, Any]:
        """Why: documents, layers, conditions, questions for a person, what to ask next, what would have to change, open readings."""
        rule = outcome.rule
        wording = self._closed[id(rule.clause)] if isinstance(rule, Closed) else self._rules[id(rule)]
        known, verdicts = outcome.known or {}, outcome.verdicts
        return {
            **wording.clause,
            "on": outcome.on.isoformat(),
            "layers": _layers(wording, outcome),
            "lives": self._lives_of(rule.clause, outcome.on),
            "conditions": [
                describe(known, verdict) for describe, verdict in zip(wording.requirements, verdicts, strict=False)
            ],
            "quantities": [{**words, "value": plain(known.get(words["name"]))} for words in wording.quantities],
            "gifts": [{"id": gift.id, "zh": gift.zh, "en": gift.en} for gift in outcome.gifts],
            "questions": [_question(question) for question in outcome.questions],
            "next_question": self._next_question(outcome) if outcome.missing else None,
            "nearest_pass": [_change(change, known) for change in nearest_pass(outcome)] if False in verdicts else [],
        }

    def _next_question(self, outcome: Outcome) -> dict[str, str] | None:
        fact = next_question(self._policies, outcome)
        return None if fact is None else {"fact": fact.name, "zh": fact.question_zh, "en": fact.question_en}

    def _lives_of(self, clause: Clause, on: date) -> list[dict[str, Any]]:
        """Lives of the layers on a day, put into words once for each day."""
        key = (id(clause), on)
        found = self._lives.get(key)
        if found is None:
            if len(self._lives) >= LIVES_KEPT_MAX:
                self._lives.clear()
            found = self._lives[key] = [
                {
                    "layer": life.layer.value,
                    "clause": life.clause.id,
                    "document": life.document.number,
                    "state": life.state,
                    "in_force_from": life.document.first_day.isoformat(),
                    "in_force_to": life.document.last_day.isoformat(),
                }
                for life in lives(self._policies, clause, on)
            ]
        return found


class _Words:
    """Puts into words what the rules of one set of revisions say whatever the facts."""

    def __init__(self, policies: Policies) -> None:
        self._policies = policies

    def of(self, rule: Rule) -> _Wording:
        """The wording of a rule."""
        layers: dict[str, list[int]] = {}
        for at, requirement in enumerate(rule.requirements):
            layers.setdefault(requirement.layer.value, []).append(at)
        return _Wording(
            self.describe(rule.clause, rule.parts),
            tuple(self._describe_requirement(requirement) for requirement in rule.requirements),
            tuple(self._describe_quantity(name) for name, _ in rule.steps),
            tuple((layer, tuple(positions)) for layer, positions in layers.items()),
        )

    def _describe_quantity(self, name: str) -> dict[str, Any]:
        entries = (document.quantities.get(name) for document in self._policies.documents.values())
        entry = next(entry for entry in entries if entry is not None)
        return {"name": name, "zh": entry.zh, "en": entry.en}

    def describe(self, clause: Clause, parts: tuple[Clause, ...]) -> dict[str, Any]:
        """What stands about a clause and the documents that decide it."""
        quote = parts[-1].benefit.quote
        return {
            "evaluator_version": EVALUATOR_VERSION,
            "clause": clause.id,
            "carries_out": clause.implements,
            "title_zh": clause.title_zh,
            "title_en": clause.title_en,
            "departments": list(clause.departments),
            "review": parts[-1].review.value,
            "benefit_quote": None if quote is None else quote.text,
            "documents": [_document(self._policies.documents[part.document]) for part in parts],
            "open_points": [_open_point(point) for part in parts for point in part.open_points],
        }

    def _describe_requirement(self, requirement: Requirement) -> _Describe:
        document = self._policies.documents[requirement.document]
        before = {"id": requirement.id, "verdict": None, "layer": requirement.layer.value}
        after = {
            "quote": requirement.quote.text,
            "document": document.number,
            "line": requirement.quote.lines[0],
            "revision": document.revision,
            "department": requirement.department,
        }
        return _describer(requirement.condition, before, after)


def _document(document: Document) -> dict[str, Any]:
    return {
        "id": document.id,
        "number": document.number,
        "revision": document.revision,
        "digest": document.digest,
        "in_force_from": document.first_day.isoformat(),
        "in_force_to": document.last_day.isoformat(),
        "quote": document.validity.text,
        "line": document.validity.lines[0],
    }


def _layers(wording: _Wording, outcome: Outcome) -> dict[str, str]:
    """The calendar's word, and each layer as its worst condition has it: failed, else unknown, else met."""
    if isinstance(outcome.rule, Closed):
        return {"calendar": outcome.rule.reason}
    if outcome.status is Status.NOT_OPEN:
        return {"calendar": outcome.reasons[0]}
    layers = {"calendar": "open"}
    for layer, positions in wording.layers:
        verdicts = [outcome.verdicts[at] for at in positions]
        layers[layer] = _VERDICTS[False if False in verdicts else None if None in verdicts else True]
    return layers


def _describer(condition: Condition, before: dict[str, Any], after: dict[str, Any]) -> _Describe:
    """Words for a condition, made once; a call adds the verdict and the values that were compared."""
    words = {**before, **_form(condition), **after}
    if isinstance(condition, Compare | Count):
        name, operand = condition.name, condition.operand if isinstance(condition, Compare) else None
        limit = operand.value if isinstance(operand, Quantity) else None

        def describe(known: Facts, verdict: bool | None) -> dict[str, Any]:
            described = words.copy()
            described["verdict"] = _VERDICTS[verdict]
            value = known.get(name)
            described["value"] = value if type(value) in _PLAIN else plain(value)
            if limit is not None:
                described["threshold"] = plain(limit(known))
            return described

        return describe

    parts = condition.parts if isinstance(condition, Junction) else (condition.part,)
    inner = tuple((part.test, _describer(part, {}, {"verdict": None})) for part in parts)

    def describe_parts(known: Facts, verdict: bool | None) -> dict[str, Any]:
        described = words.copy()
        described["verdict"] = _VERDICTS[verdict]
        described["parts"] = [describe(known, test(known)) for test, describe in inner]
        return described

    return describe_parts


def _form(condition: Condition) -> dict[str, Any]:
    """What a condition compares with what, its values still open."""
    match condition:
        case Compare():
            operand = condition.operand
            threshold = None if isinstance(operand, Quantity) else plain(operand)
            return {
                "fact": condition.name,
                "operator": SYMBOLS[condition.operator],
                "threshold": threshold,
                "value": None,
            }
        case Count():
            operator = f"count {SYMBOLS[condition.operator]}"
            return {
                "fact": condition.name,
                "operator": operator,
                "threshold": condition.number,
                "of": list(condition.of),
                "value": None,
            }
        case Junction():
            return {"operator": "any" if condition.decisive else "all", "parts": None}
        case _:
            return {"operator": "not", "parts": None}


def plain(value: Value | Number | None) -> Any:
    """A value as JSON can carry it without a float: fractions as `"3/7"`, decimals as text, sets sorted."""
    if type(value) in _PLAIN:
        return value
    match value:
        case Fraction():
            return int(value) if value.denominator == 1 else str(value)
        case Decimal():
            return str(value)
        case date():
            return value.isoformat()
        case frozenset():
            return sorted(value)


def _change(change: Change, known: Facts) -> dict[str, Any]:
    words = _describer(change.test, {}, {})(known, change.test.test(known))
    if not change.wanted:
        words["operator"] = words["operator"].replace(SYMBOLS[change.test.operator], OPPOSITES[change.test.operator])
    return words


def _question(question: Question) -> dict[str, Any]:
    return {
        "id": question.id,
        "zh": question.zh,
        "en": question.en,
        "decided_by": question.decided_by,
        "person": question.person,
        "withholds_amount": question.withholds_amount,
    }


def _open_point(point: OpenPoint) -> dict[str, Any]:
    return {
        "id": point.id,
        "zh": point.zh,
        "en": point.en,
        "options": list(point.options),
        "taken": point.taken or None,
    }
