"""The rules of a home as its surfaces use them: answers, questions, and what the metrics say of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from functools import cached_property
from pathlib import Path
from typing import Any

from ledger.errors import Finding
from suanquan.errors import ServiceError
from suanquan.home import packaged_config
from subsidy.ask import Asked, beneficial, questions
from subsidy.evaluate import evaluate
from subsidy.explain import Explainer, summary
from subsidy.facts import Facts, read_facts
from subsidy.outcome import FEN_PER_YUAN, Status
from subsidy.policies import Policies, Rule, load_policies

SHANGHAI = timezone(timedelta(hours=8))
"""Policy days are days in Shanghai, which has kept this offset since 1991."""
UNKNOWN_NAMES_MAX = 20
"""Names of facts that do not exist for which advice is given in one answer; looking for near ones is slow."""


def rules_folder(config: Path, name: str) -> Path:
    """The folder `name` of a home's configuration, or the one that ships with suanquan where the home has none."""
    own = config / name
    return own if own.is_dir() else packaged_config() / name


def day_of(now_us: int) -> date:
    """The day in Shanghai of a UTC instant in microseconds."""
    return datetime.fromtimestamp(now_us // 1_000_000, SHANGHAI).date()


@dataclass(frozen=True, slots=True)
class RuleFigures:
    """What metrics say of the rules: last instants of documents (UTC epoch seconds), open clauses, evaluations."""

    expiry_s: Mapping[str, int] = field(default_factory=dict)
    open: Mapping[str, bool] = field(default_factory=dict)
    evaluations: Mapping[tuple[str, str], int] = field(default_factory=dict)
    committed: Mapping[tuple[str, int], int] = field(default_factory=dict)
    """Yuan units that a clause has committed in a year."""


class Subsidies:
    """The policy documents of a home, read when first asked for, and a count of the answers given."""

    def __init__(self, config: Path) -> None:
        self._config = config
        self._given: Counter[tuple[str, str]] = Counter()

    @cached_property
    def policies(self) -> Policies:
        """The documents in use.

        Raises:
            SubsidyError: a document is missing or malformed.

        """
        return load_policies(rules_folder(self._config, "policies"))

    def load(self) -> None:
        """Read the documents now, so that a service with broken rules does not start.

        Raises:
            SubsidyError: a document is missing or malformed.

        """
        assert self._explainer is not None

    @cached_property
    def _explainer(self) -> Explainer:
        return Explainer(self.policies)

    def clauses(self, named: Sequence[str]) -> tuple[str, ...]:
        """The clauses `named`, or every one that gives something.

        Raises:
            SubsidyError: `clause-unknown`.

        """
        for name in named:
            self.policies.clause(name)
        return tuple(dict.fromkeys(named)) or beneficial(self.policies)

    def facts(self, written: Mapping[str, object]) -> Facts:
        """Typed facts.

        Raises:
            ServiceError: `facts-refused`, with one finding per fact and what to write instead.

        """
        unknown = [name for name in written if name not in self.policies.facts]
        skipped = set(unknown[UNKNOWN_NAMES_MAX:])
        read = {name: value for name, value in written.items() if name not in skipped}
        facts, findings = read_facts(self.policies.facts, read, lambda name: f"/facts/{name}")
        if findings:
            raise refused(findings)
        return facts

    def answer(self, clauses: Iterable[str], facts: Facts, on: date) -> list[dict[str, Any]]:
        """The full answer of each clause, counted."""
        answers = []
        for name in clauses:
            outcome = evaluate(self.policies, name, facts, on)
            self._given[outcome.rule.clause.id, outcome.status.value] += 1
            answers.append({"clause": name, **self._explainer.answer(outcome)})
        return answers

    def ask(self, clauses: Sequence[str], facts: Facts, on: date, skipped: Iterable[str] = ()) -> dict[str, Any]:
        """The questions worth asking, best first, and where each clause stands."""
        asked = questions(self.policies, facts, on, clauses, skipped)
        standing = ((name, evaluate(self.policies, name, facts, on)) for name in clauses)
        return {
            "on": on.isoformat(),
            "next": asked_object(asked[0]) if asked else None,
            "questions": [asked_object(item) for item in asked],
            "clauses": [
                {"clause": name, "title_zh": outcome.rule.clause.title_zh, "title_en": outcome.rule.clause.title_en}
                | summary(outcome)
                for name, outcome in standing
            ],
        }

    def list_clauses(self, on: date) -> list[dict[str, Any]]:
        """Every clause that gives something, and whether anybody may apply on that day."""
        listed = []
        for name in beneficial(self.policies):
            rule = self.policies.rule(name, on)
            benefit = (rule.benefit if isinstance(rule, Rule) else rule.clause.benefit).quote
            listed.append(
                {
                    "clause": name,
                    "title_zh": rule.clause.title_zh,
                    "title_en": rule.clause.title_en,
                    "departments": list(rule.clause.departments),
                    "document": self.policies.documents[rule.clause.document].number,
                    "open": self._open(name, on),
                    "reason": None if isinstance(rule, Rule) else rule.reason,
                    "benefit_quote": None if benefit is None else benefit.text,
                }
            )
        return listed

    def _open(self, name: str, on: date) -> bool:
        """A clause that opens on a condition (the voucher's implementing rules) counts as not open: nobody has stated it."""
        rule = self.policies.rule(name, on)
        return isinstance(rule, Rule) and rule.opening is None

    def figures(self, on: date) -> RuleFigures:
        """What metrics say on a day; every series is there from the start, at zero."""
        names = beneficial(self.policies)
        zero = {(name, status.value): 0 for name in names for status in Status}
        return RuleFigures(
            {document.id: _end_of(document.last_day) for document in self.policies.documents.values()},
            {name: self._open(name, on) for name in names},
            zero | self._given,
        )


def _end_of(day: date) -> int:
    return int(datetime.combine(day + timedelta(days=1), time(), SHANGHAI).astimezone(UTC).timestamp())


def refused(findings: Sequence[Finding]) -> ServiceError:
    """Facts that cannot be taken."""
    return ServiceError("facts-refused", "事实有误", "some facts cannot be taken", findings=list(findings))


def asked_object(asked: Asked) -> dict[str, Any]:
    """A question with what it is for."""
    fact = asked.fact
    return {
        "fact": fact.name,
        "type": fact.type.value,
        "zh": fact.question_zh,
        "en": fact.question_en,
        "unit": fact.unit or None,
        "values": list(fact.values),
        "from": fact.supplier.value,
        "evidence": fact.evidence or None,
        "clauses": list(asked.clauses),
        "settles_most": asked.settles_most,
        "stake_yuan": asked.stake_fen // FEN_PER_YUAN,
    }
