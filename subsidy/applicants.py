"""A table of applicants (CSV): one row each, a column for each fact, an empty cell where a fact is not known."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from ledger.errors import Finding
from subsidy.errors import SubsidyError
from subsidy.facts import Fact, Facts, FactType, Fault, Value, read_value
from subsidy.fields import nearest, parse_day
from subsidy.policies import Policies

APPLICANT, DAY = "applicant", "date"
CELL_CHARACTERS_KEPT_MAX = 10_000
CELLS_KEPT_MAX = 4_096


@dataclass(frozen=True, slots=True)
class Applicant:
    """One row: its line, a name if the table has a column for it, the day of receipt, and the facts."""

    line: int
    name: str
    on: date
    facts: Facts


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used, with what to write instead in each bad cell."""

    line: int
    findings: tuple[Finding, ...]


def read_applicants(
    policies: Policies, lines: Iterable[str], source: str, on: date | None = None
) -> Iterator[Applicant | BadRow]:
    """The rows of a CSV text, one at a time. `on` is the day of receipt for tables without a `date` column.

    Raises:
        SubsidyError: `table-malformed`: no header, a column that is no fact, one repeated, no day, or a broken quotation.

    """
    reader = csv.reader(lines, strict=True)
    try:
        header = next(reader, [])
        table = _Table(policies, header, source, on)
        for cells in reader:
            if cells:
                yield table.row(reader.line_num, cells)
    except csv.Error as error:
        place = f"{source}:{reader.line_num}"
        findings = [Finding("table-malformed", "引号不成对或一格过长", str(error), place)]
        raise _malformed(source, findings) from error


def read_cell(fact: Fact, text: str) -> Value | Fault:
    """A fact written as text: `true` or `false`, a number, a word, words of a set joined by `;` (`-` for none), a day."""
    if fact.type is FactType.FLAG:
        return text == "true" if text in {"true", "false"} else read_value(fact, text)
    if fact.type is FactType.SET:
        return read_value(fact, [] if text == "-" else [word.strip() for word in text.split(";")])
    value = read_value(fact, text)
    if isinstance(value, Fault) and fact.type is FactType.DECIMAL:
        return Fault(
            value.zh.replace('带引号的十进制数，如 "0.10"', "十进制数，如 0.10"),
            value.en.replace('in quotes such as "0.10"', "such as 0.10"),
        )
    return value


class _Table:
    """Reads rows under one header. Cells repeat, so what they mean is kept by column and text."""

    def __init__(self, policies: Policies, header: Sequence[str], source: str, on: date | None) -> None:
        names = [name.strip().removeprefix("\ufeff") for name in header]
        _require_columns(policies, names, source, on)
        self._source = source
        self._width = len(names)
        self._name_at = names.index(APPLICANT) if APPLICANT in names else None
        self._day_at = names.index(DAY) if DAY in names else None
        self._on = on
        self._columns: list[tuple[int, Fact, dict[str, Value | Fault]]] = [
            (at, policies.facts[name], {}) for at, name in enumerate(names) if name not in {APPLICANT, DAY}
        ]
        self._assumed = {fact.name: fact.assumed for fact in policies.facts.values() if fact.assumed is not None}

    def row(self, line: int, cells: list[str]) -> Applicant | BadRow:
        place = f"{self._source}:{line}"
        if len(cells) != self._width:
            zh = f"应有 {self._width} 格，实有 {len(cells)} 格"
            return BadRow(
                line, (Finding("row-malformed", zh, f"{self._width} cells are needed, not {len(cells)}", place),)
            )
        day, findings = self._day(cells, place)
        facts: Facts = dict(self._assumed)
        for at, fact, known in self._columns:
            text = cells[at].strip()
            if not text:
                continue
            value = known.get(text)
            if value is None:
                value = _kept(known, fact, text)
            if isinstance(value, Fault):
                findings.append(
                    Finding("fact-malformed", f"“{fact.name}”{value.zh}", f"`{fact.name}` {value.en}", place)
                )
            else:
                facts[fact.name] = value
        if findings or day is None:
            return BadRow(line, tuple(findings))
        return Applicant(line, "" if self._name_at is None else cells[self._name_at], day, facts)

    def _day(self, cells: list[str], place: str) -> tuple[date | None, list[Finding]]:
        if self._day_at is None:
            return self._on, []
        text = cells[self._day_at].strip()
        day = parse_day(text) if text else self._on
        if day is not None:
            return day, []
        zh, en = f"“{DAY}”应写成 2025-05-26 的形式", f"`{DAY}` must be a day such as 2025-05-26, not {text!r}"
        return None, [Finding("fact-malformed", zh, en, place)]


def _kept(known: dict[str, Value | Fault], fact: Fact, text: str) -> Value | Fault:
    value = read_cell(fact, text)
    if len(known) < CELLS_KEPT_MAX and len(text) <= CELL_CHARACTERS_KEPT_MAX:
        known[text] = value
    return value


def _require_columns(policies: Policies, names: Sequence[str], source: str, on: date | None) -> None:
    findings = []
    for name in names:
        if name not in {APPLICANT, DAY} and name not in policies.facts:
            zh, en = nearest(name, [*policies.facts, APPLICANT, DAY])
            findings.append(
                Finding("fact-unknown", f"没有“{name}”这项事实{zh}", f"there is no fact `{name}`{en}", f"{source}:1")
            )
    repeated = sorted({name for name in names if names.count(name) > 1})
    findings += [
        Finding("table-malformed", f"列“{name}”重复", f"the column `{name}` is repeated", f"{source}:1")
        for name in repeated
    ]
    if DAY not in names and on is None:
        zh, en = f"没有“{DAY}”列，请加上或用 --on 指定", f"there is no column `{DAY}`; add it or give --on"
        findings.append(Finding("table-malformed", zh, en, f"{source}:1"))
    if findings:
        raise _malformed(source, findings)


def _malformed(source: str, findings: list[Finding]) -> SubsidyError:
    first = findings[0]
    return SubsidyError(
        "table-malformed", f"{source} 不能使用：{first.zh}", f"{source} cannot be used: {first.en}", findings=findings
    )
