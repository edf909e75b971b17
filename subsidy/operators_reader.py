"""From the mappings of a YAML or TOML file to operators: names, types, bounds and units are checked against the dictionary."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from subsidy.facts import Dictionary, Fact, FactType, Fault, Value, read_value
from subsidy.fields import Fields, nearest
from subsidy.operators import (
    COMPARISONS,
    Compare,
    Condition,
    Count,
    Junction,
    Not,
    Quantity,
    constant,
    least,
    minus,
    named,
    tiers,
    times,
    total,
)

_RATE = re.compile(r"([1-9][0-9]{0,5})(?:/([1-9][0-9]{0,5}))?")
_ORDERED = ("lt", "le", "gt", "ge")
_ALLOWED: dict[FactType, Sequence[str]] = {
    FactType.FLAG: ("is",),
    FactType.CHOICE: ("is", "in"),
    FactType.INTEGER: _ORDERED,
    FactType.DECIMAL: _ORDERED,
    FactType.DAY: _ORDERED,
    FactType.SET: ("count",),
}
_NUMBER = Fact("number", FactType.INTEGER, "", "")
_NEVER = Junction([], decisive=True)
"""Stands for a condition that could not be read; its fault stops the load."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The names that conditions and quantities may use."""

    facts: Dictionary
    derived: dict[str, Quantity] = field(default_factory=dict)

    def knows(self, written: object) -> bool:
        """Whether `written` is a name in scope."""
        return isinstance(written, str) and (written in self.derived or written in self.facts)

    def fact(self, fields: Fields, key: str, name: str) -> Fact | None:
        """The entry of `name`; a named quantity counts as an integer fact."""
        if name in self.derived:
            return _NUMBER
        if name not in self.facts:
            zh, en = nearest(name, [*self.facts, *self.derived])
            fields.fault(key, f"没有“{name}”这项事实{zh}", f"there is no fact `{name}`{en}")
            return None
        return self.facts[name]


def read_rate(fields: Fields, key: str, written: object) -> Fraction:
    """An exact rate such as `"1/2"`, or `"1000"` (yuan per piece)."""
    match = _RATE.fullmatch(written) if isinstance(written, str) else None
    if match is None:
        fields.fault(
            key,
            f'“{key}”应写成带引号的分数，如 "1/2"',
            f'`{key}` must be a fraction in quotes such as "1/2", not {written!r}',
        )
        return Fraction(1)
    return Fraction(int(match[1]), int(match[2] or "1"))


def read_condition(fields: Fields, scope: Scope) -> Condition:
    """One condition: `fact` with one comparison, or one of `all`, `any`, `not`. Other keys of the mapping are left alone."""
    for key, decisive in (("all", False), ("any", True)):
        if fields.has(key):
            return Junction([_whole(part, scope) for part in fields.tables(key, required=True)], decisive=decisive)
    if fields.has("not"):
        return Not(_whole(fields.table("not"), scope))
    name = fields.text("fact")
    fact = scope.fact(fields, "fact", name) if name else None
    if fact is None:
        for key in (*COMPARISONS, "count"):
            fields.take(key)
        return _NEVER
    return _comparison(fields, scope, name, fact)


def _whole(fields: Fields, scope: Scope) -> Condition:
    condition = read_condition(fields, scope)
    fields.done()
    return condition


def _comparison(fields: Fields, scope: Scope, name: str, fact: Fact) -> Condition:
    used = [key for key in (*COMPARISONS, "count") if fields.has(key)]
    allowed = _ALLOWED[fact.type]
    if len(used) != 1 or used[0] not in allowed:
        words = ", ".join(allowed)
        fields.fault("fact", f"“{name}”要用且只用一个比较：{words}", f"`{name}` takes exactly one of: {words}")
        for key in used:
            fields.take(key)
        return _NEVER
    if used[0] == "count":
        return _count(fields, name, fact)
    if used[0] == "in":
        return Compare(name, "in", frozenset(str(_value(fields, "in", fact, word)) for word in fields.texts("in")))
    written = fields.take(used[0])
    of = scope.derived.get(name)
    if used[0] in _ORDERED and (isinstance(written, Mapping) or scope.knows(written)):
        return Compare(name, used[0], read_quantity(fields, used[0], written, scope), of)
    return Compare(name, used[0], _value(fields, used[0], fact, written), of)


def _value(fields: Fields, key: str, fact: Fact, written: object) -> Value:
    value = read_value(fact, written)
    if not isinstance(value, Fault):
        return value
    fields.fault(key, f"“{fact.name}”{value.zh}", f"`{fact.name}` {value.en}")
    return 0


def _count(fields: Fields, name: str, fact: Fact) -> Condition:
    count = fields.table("count")
    words = count.texts("of")
    for word in words:
        _value(count, "of", fact, [word])
    used = [key for key in _ORDERED if count.has(key)]
    if len(used) != 1:
        count.fault(None, "count 要有 of 和一个比较，如 ge: 1", "count takes `of` and one comparison such as `ge: 1`")
        used = ["ge"]
    number = count.integer(used[0])
    if COMPARISONS[used[0]](0, number) == COMPARISONS[used[0]](len(words), number):
        zh, en = "这个比较对任何集合结果都一样", "comes out the same for every set"
        count.fault(used[0], zh, en)
    count.done()
    return Count(name, words, used[0], number)


def read_quantity(fields: Fields, key: str, written: object, scope: Scope) -> Quantity:
    """One quantity: an integer, the name of a number, or one of `sum`, `minus`, `times`, `min`, `tiers`."""
    if isinstance(written, int) and not isinstance(written, bool):
        return constant(written)
    if isinstance(written, str):
        fact = scope.fact(fields, key, written)
        if fact is not None and fact.type is not FactType.INTEGER:
            fields.fault(
                key,
                f"“{written}”不是整数，不能计算",
                f"`{written}` is not an integer fact and cannot be calculated with",
            )
        return named(written, scope.derived.get(written))
    if isinstance(written, Mapping) and len(written) == 1:
        ((name, inner),) = written.items()
        nested = fields.inner(key, written)
        if name == "tiers":
            return tiers([_tier(row, scope) for row in nested.tables("tiers", required=True)])
        if isinstance(inner, list):
            return _arithmetic(nested, str(name), inner, scope)
    fields.fault(
        key,
        f"“{key}”应为整数、事实名称，或 sum、minus、times、min、tiers 之一",
        f"`{key}` must be an integer, the name of a fact, or one of sum, minus, times, min, tiers",
    )
    return constant(0)


def _tier(row: Fields, scope: Scope) -> tuple[Condition, int]:
    tier = _whole(row.table("when"), scope), row.integer("yuan")
    row.done()
    return tier


def _arithmetic(fields: Fields, name: str, inner: list[object], scope: Scope) -> Quantity:
    if name == "times" and len(inner) == 2:
        return times(read_rate(fields, name, inner[0]), read_quantity(fields, name, inner[1], scope))
    parts = [read_quantity(fields, name, part, scope) for part in inner]
    if name == "minus" and len(parts) == 2:
        return minus(parts[0], parts[1])
    if name == "sum" and parts:
        return total(parts)
    if name == "min" and parts:
        return least(parts)
    fields.fault(
        name, f"没有“{name}”这种算法，或项数不对", f"`{name}` is no operator, or has the wrong number of parts"
    )
    return constant(0)
