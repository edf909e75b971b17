"""Files of rows: what each clause must answer, one line a case; the introduction of such a file explains its form.

Rows guard the rules: a changed document is checked against them, and small wrong changes must break some of them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from ledger.errors import Finding
from subsidy.facts import Facts, FactType, read_facts
from subsidy.fields import Faults, parse_day
from subsidy.outcome import Outcome, Status
from subsidy.policies import Closed, Policies, Rule
from subsidy.policy import AmountKind

_CLAUSE = re.compile(r"# (\S+) on (\S+)")
_NAME = re.compile(r"([A-Z_]+) = (.+)")
_START = re.compile(r"[A-Z_]+ = |# \S+ on |@ ")


@dataclass(frozen=True, slots=True)
class Row:
    """One row: a clause, a day, facts as written and as read, and the answer in words."""

    id: str
    clause: str
    on: date
    written: dict[str, object]
    facts: Facts
    answer: list[str]


def read_rows(policies: Policies, text: str, source: str) -> list[Row]:
    """Every row of a file.

    Raises:
        SubsidyError: `document-malformed`, with the line of each row that cannot be read.

    """
    reader = _Reader(policies, Faults(source))
    for number, line in _logical_lines(text):
        try:
            reader.take(line)
        except (ValueError, KeyError) as error:
            zh, en = f"这一行看不懂：{error}", f"this row cannot be read: {error}"
            reader.faults.add(f"{source}:{number}", zh, en)
    reader.faults.raise_any()
    return reader.rows


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines after the introduction with their numbers, continued lines put together."""
    started, held, at = False, "", 0
    for number, line in enumerate(text.splitlines(), start=1):
        started = started or _START.match(line) is not None
        if not started:
            continue
        if line.startswith(" "):
            held += " " + line.strip()
            continue
        if held:
            yield at, held
        held, at = line, number
    if held:
        yield at, held


class _Reader:
    """Reads line by line, holding the names, the repeated rows, and the clause that the next rows are about."""

    def __init__(self, policies: Policies, faults: Faults) -> None:
        self.rows: list[Row] = []
        self.faults = faults
        self._policies = policies
        self._names: dict[str, str] = {}
        self._repeated: dict[str, list[str]] = {}
        self._block: list[str] | None = None
        self._clause, self._on, self._passing = "", date.min, ""

    def take(self, line: str) -> None:
        if line.startswith("@ "):
            self._block = self._repeated.setdefault(line[2:], [])
        elif match := _CLAUSE.fullmatch(line):
            self._clause, self._on, self._block = match[1], _day(match[2]), None
            if self._clause not in self._policies.clause_names:
                raise ValueError(self._clause)
        elif match := _NAME.fullmatch(line):
            self._names[match[1]] = self._replaced(match[2])
        elif line.startswith("passing: "):
            self._passing = self._replaced(line.removeprefix("passing: "))
        elif self._block is not None:
            self._block.append(line)
        else:
            written = self._replaced(line)
            for text in self._expanded(written) if line.startswith("+ ") else [written]:
                self.rows.append(self._row(text))

    def _replaced(self, text: str) -> str:
        """The text with every `$NAME` written out."""
        return re.sub(r"\$([A-Z_]+)", lambda match: self._names[match[1]], text)

    def _expanded(self, line: str) -> list[str]:
        """The rows that a line starting with `+` stands for."""
        kind, _, rest = line.removeprefix("+ ").partition(": ")
        if kind == "lacking each":
            names = rest.split(",")
            kept = (",".join(other for other in names if other != name) for name in names)
            return [f"materials_submitted=[{left}] -> open {name}" for left, name in zip(kept, names, strict=True)]
        name, documents = kind.split()
        if name == "flags":
            return [text for pair in rest.split() for text in _flag_rows(pair, int(documents))]
        answers = (text.replace("$passes", rest) for text in self._repeated[name])
        return [re.sub(r"(\S+)\*", lambda match: " ".join([match[1]] * int(documents)), text) for text in answers]

    def _row(self, line: str) -> Row:
        """One row with its facts."""
        changes, answer = line.split(" -> ")
        pairs = dict(pair.split("=", 1) for pair in f"{self._passing} {changes}".split() if "=" in pair)
        day = _day(pairs.pop("on")) if "on" in pairs else self._on
        written = {name: self._value(name, text) for name, text in pairs.items()}
        facts, findings = read_facts(self._policies.facts, written, str)
        if findings:
            raise ValueError(_said(findings))
        return Row(f"{self._clause} {changes}", self._clause, day, written, facts, answer.split())

    def _value(self, name: str, written: str) -> object:
        """A value as a case file would hold it."""
        fact = self._policies.facts[name]
        if written in {"null", "true", "false"}:
            return {"null": None, "true": True, "false": False}[written]
        if written.startswith("["):
            return [item for item in written[1:-1].split(",") if item]
        if fact.type is FactType.INTEGER:
            return int(written)
        if fact.type is FactType.CHOICE and written not in fact.values:
            return written.replace("_", " ")
        return written


def _day(text: str) -> date:
    day = parse_day(text)
    if day is None:
        raise ValueError(text)
    return day


def _said(findings: list[Finding]) -> str:
    return "; ".join(finding.en for finding in findings)


def _flag_rows(pair: str, documents: int) -> list[str]:
    """`fact=id` or `fact=true=id`."""
    fact, *value, requirement = pair.split("=")
    refused = " ".join([requirement] * documents)
    return [f"{fact}={value[0] if value else 'false'} -> refused {refused}", f"{fact}=null -> open {fact}"]


def agrees(outcome: Outcome, wanted: list[str]) -> bool:
    """Whether an outcome is what a row says, in any order; the conditions that refuse are counted, other words are not."""
    said = words(outcome, wanted)
    return Counter(said) == Counter(wanted) if said[0] == "refused" else set(said) == set(wanted)


def words(outcome: Outcome, wanted: list[str]) -> list[str]:
    """The outcome in the words of a row; `asks` and `gifts` only if the row speaks of them."""
    said = [*_head(outcome)]
    if outcome.amount.kind in {AmountKind.EXACT, AmountKind.RANGE}:
        said.append(outcome.amount.kind.value)
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
    amount, rule = outcome.amount, outcome.rule
    figure = "none" if amount.fen is None else str(amount.fen // 100)
    if amount.range_yuan is not None:
        figure = "{}..{}".format(*amount.range_yuan)
    if isinstance(rule, Closed) or outcome.status is Status.NOT_OPEN:
        return ["closed", outcome.reasons[0]]
    if outcome.status is Status.ELIGIBLE:
        return ["eligible", figure]
    if outcome.status is Status.NOT_ELIGIBLE:
        return ["refused", *(requirement.id for requirement, verdict in outcome.judged() if verdict is False)]
    if outcome.eligible is None:
        return ["open", *outcome.missing]
    return [*_unsettled(rule, figure, amount.kind), *outcome.missing]


def _unsettled(rule: Rule, figure: str, kind: AmountKind) -> list[str]:
    """Eligible, but its amount, or only whether a person is needed, is open."""
    open_ = figure == "none" and kind is AmountKind.UNDETERMINED and rule.benefit.of is not None
    return ["amount-open"] if open_ else ["settled", figure]
