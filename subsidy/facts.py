"""Facts: what is known of an applicant or a project, typed by a dictionary, and None where it is not known.

No fact is ever a float: shares and ratios are decimal strings, sums of money whole yuan.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import TypeAlias

from ledger.errors import Finding
from subsidy.fields import nearest, parse_day

Value: TypeAlias = bool | int | Decimal | Fraction | str | date | frozenset[str]
Facts: TypeAlias = dict[str, Value]
"""Known facts by name; a fact that is absent is unknown."""

DIGITS_MAX = 30
_INTEGER = re.compile(r"0|[1-9][0-9]*")
_DECIMAL = re.compile(r"(0|[1-9][0-9]*)(\.[0-9]+)?")


class FactType(enum.Enum):
    """How a fact is written."""

    FLAG = "flag"
    INTEGER = "integer"
    DECIMAL = "decimal"
    CHOICE = "choice"
    SET = "set"
    DAY = "day"


class Supplier(enum.Enum):
    """Who answers for a fact."""

    APPLICANT = "applicant"
    DEPARTMENT = "department"
    REGISTER = "register"
    LEDGER = "ledger"


@dataclass(frozen=True, slots=True)
class Fact:
    """One entry of a dictionary.

    `values` are the words of a choice or set (`open` admits others), `low` and `high` the bounds of a number, both
    inclusive. `assumed` is the value taken when the fact is absent; None leaves it unknown. `effort` ranks what an answer
    costs: 1 known by heart, 2 a document to fetch, 3 a measurement, test or audit.
    """

    name: str
    type: FactType
    question_zh: str
    question_en: str
    unit: str = ""
    values: tuple[str, ...] = ()
    open: bool = False
    low: Decimal = Decimal(0)
    high: Decimal | None = None
    supplier: Supplier = Supplier.APPLICANT
    evidence: str = ""
    effort: int = 1
    assumed: Value | None = None


Dictionary: TypeAlias = Mapping[str, Fact]


def read_facts(
    dictionary: Dictionary, raw: Mapping[str, object], place: Callable[[str], str]
) -> tuple[Facts, list[Finding]]:
    """Typed facts of `raw`, and a finding for each one that is unknown to the dictionary, mistyped or out of bounds.

    `place` tells where a fact of that name was written, for the findings. Null means unknown.
    """
    facts: Facts = {fact.name: fact.assumed for fact in dictionary.values() if fact.assumed is not None}
    findings: list[Finding] = []
    for name, written in raw.items():
        fact = dictionary.get(name)
        if fact is None:
            zh, en = nearest(name, list(dictionary))
            findings.append(
                Finding(
                    "fact-unknown", f"没有“{name}”这项事实{zh}", f"there is no fact `{name}`{en}", where=place(name)
                )
            )
        elif written is not None:
            value = read_value(fact, written)
            if isinstance(value, Fault):
                findings.append(
                    Finding("fact-malformed", f"“{name}”{value.zh}", f"`{name}` {value.en}", where=place(name))
                )
            else:
                facts[name] = value
    return facts, findings


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a written value cannot be taken, and what to write instead."""

    zh: str
    en: str


def read_value(fact: Fact, written: object) -> Value | Fault:
    """The value that `written` (from YAML, JSON or TOML) gives to `fact`, or what is wrong with it."""
    return _READERS[fact.type](fact, written)


def _flag(_fact: Fact, written: object) -> Value | Fault:
    return (
        written if isinstance(written, bool) else Fault("应写 true 或 false", f"must be true or false, not {written!r}")
    )


def _integer(fact: Fact, written: object) -> Value | Fault:
    if isinstance(written, str) and _INTEGER.fullmatch(written) and len(written) <= DIGITS_MAX:
        written = int(written)
    if not isinstance(written, int) or isinstance(written, bool):
        unit = f"（{fact.unit}）" if fact.unit else ""
        return Fault(
            f"应写整数{unit}，如 3000000000，不写单位、小数或“亿”",
            f"must be a whole number{f' of {fact.unit}' if fact.unit else ''} such as 3000000000, without unit or decimals, not {written!r}",
        )
    return _bounded(fact, Decimal(written), written)


def _decimal(fact: Fact, written: object) -> Value | Fault:
    if isinstance(written, int) and not isinstance(written, bool):
        written = str(written)
    if not isinstance(written, str) or not _DECIMAL.fullmatch(written) or len(written) > DIGITS_MAX:
        return Fault(
            '应写成带引号的十进制数，如 "0.10"，不用百分号',
            f'must be a decimal in quotes such as "0.10", no percent sign, not {written!r}',
        )
    value = Decimal(written)
    return _bounded(fact, value, value)


def _bounded(fact: Fact, number: Decimal, value: Value) -> Value | Fault:
    if number < fact.low or (fact.high is not None and number > fact.high):
        high = "" if fact.high is None else str(fact.high)
        share = "；10% 写成 0.10" if fact.high == 1 else ""
        return Fault(
            f"应在 {fact.low} 与 {high or '更大'} 之间{share}",
            f"must be at least {fact.low}{f' and at most {high}' if high else ''}{'; 10 % is written 0.10' if share else ''}, not {number}",
        )
    return value


def _choice(fact: Fact, written: object) -> Value | Fault:
    if isinstance(written, str) and (fact.open or written in fact.values):
        return written
    return _unlisted(fact, written)


def _set(fact: Fact, written: object) -> Value | Fault:
    if not isinstance(written, Sequence) or isinstance(written, str):
        return Fault("应写成列表，没有则写 []", f"must be a list, [] for none, not {written!r}")
    for item in written:
        if not isinstance(item, str) or not (fact.open or item in fact.values):
            return _unlisted(fact, item)
    return frozenset(written)


def _unlisted(fact: Fact, written: object) -> Fault:
    zh, en = nearest(str(written), fact.values)
    words = ", ".join(fact.values)
    return Fault(f"应为其中之一：{words}{zh}", f"must be one of {words}, not {written!r}{en}")


def _day(_fact: Fact, written: object) -> Value | Fault:
    day = written if type(written) is date else parse_day(str(written))
    return day or Fault("应写成 2025-05-26 的形式", f"must be a day such as 2025-05-26, not {written!r}")


_READERS: dict[FactType, Callable[[Fact, object], Value | Fault]] = {
    FactType.FLAG: _flag,
    FactType.INTEGER: _integer,
    FactType.DECIMAL: _decimal,
    FactType.CHOICE: _choice,
    FactType.SET: _set,
    FactType.DAY: _day,
}
