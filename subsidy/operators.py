"""The closed set of operators in which conditions and amounts are written; nothing in here knows a clause or a scheme.

Conditions: `is in lt le gt ge count` compare one fact, `all any not` combine. Quantities: `sum minus times min tiers`.
Both follow Kleene's three values: an unknown fact makes a result unknown (None) only where it could still change it.
Every node carries closures built once, when its document is loaded; arithmetic is exact (int and Fraction).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, TypeAlias, cast

from subsidy.facts import Facts, Value

Number: TypeAlias = int | Fraction
Test: TypeAlias = Callable[[Facts], bool | None]
Measure: TypeAlias = Callable[[Facts], Number | None]

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "is": operator.eq,
    "in": lambda value, words: value in words,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}
SYMBOLS = {"is": "=", "in": "in", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
OPPOSITES = {"is": "!=", "in": "not in", "lt": ">=", "le": ">", "gt": "<=", "ge": "<"}


class Compare:
    """One fact against a fixed value, a set of words (`in`) or a quantity."""

    __slots__ = ("name", "operand", "operator", "test")

    def __init__(self, name: str, op: str, operand: Value | Quantity) -> None:
        self.name = name
        self.operator = op
        self.operand = operand
        self.test: Test = _compare_quantity(name, op, operand) if isinstance(operand, Quantity) else _compare(name, op, operand)

    def unknown(self, facts: Facts, derived: Derived) -> Iterator[str]:
        """Names of the unknown facts that can still change the verdict."""
        if self.test(facts) is None:
            yield from unknown_names(self.name, facts, derived)
            if isinstance(self.operand, Quantity):
                yield from self.operand.unknown(facts, derived)


class Count:
    """How many of the words `of` a set holds, against a number."""

    __slots__ = ("name", "number", "of", "operator", "test")

    def __init__(self, name: str, of: Sequence[str], op: str, number: int) -> None:
        self.name = name
        self.of = tuple(of)
        self.operator = op
        self.number = number
        words, compare = frozenset(of), COMPARISONS[op]

        def test(facts: Facts) -> bool | None:
            held = cast("frozenset[str] | None", facts.get(name))
            return None if held is None else compare(len(words & held), number)

        self.test: Test = test

    def unknown(self, facts: Facts, _derived: Derived) -> Iterator[str]:
        """Names of the unknown facts that can still change the verdict."""
        if self.name not in facts:
            yield self.name


class Junction:
    """`all` or `any`: one part with the `decisive` verdict decides (false for all, true for any), else unknown beats the rest."""

    __slots__ = ("decisive", "parts", "test")

    def __init__(self, parts: Sequence[Condition], *, decisive: bool) -> None:
        self.parts = tuple(parts)
        self.decisive = decisive
        tests = tuple(part.test for part in parts)

        def test(facts: Facts) -> bool | None:
            result: bool | None = not decisive
            for part in tests:
                verdict = part(facts)
                if verdict is decisive:
                    return decisive
                if verdict is None:
                    result = None
            return result

        self.test: Test = test

    def unknown(self, facts: Facts, derived: Derived) -> Iterator[str]:
        """Names of the unknown facts that can still change the verdict."""
        if self.test(facts) is None:
            for part in self.parts:
                yield from part.unknown(facts, derived)


class Not:
    """The opposite; unknown stays unknown."""

    __slots__ = ("part", "test")

    def __init__(self, part: Condition) -> None:
        self.part = part
        inner = part.test

        def test(facts: Facts) -> bool | None:
            verdict = inner(facts)
            return None if verdict is None else not verdict

        self.test: Test = test

    def unknown(self, facts: Facts, derived: Derived) -> Iterator[str]:
        """Names of the unknown facts that can still change the verdict."""
        yield from self.part.unknown(facts, derived)


Condition: TypeAlias = Compare | Count | Junction | Not


class Quantity:
    """A number made of facts: its value (None while unknown), and which unknown facts keep it so."""

    __slots__ = ("conditions", "names", "parts", "value")

    def __init__(
        self,
        value: Measure,
        parts: Sequence[Quantity] = (),
        names: Sequence[str] = (),
        conditions: Sequence[Condition] = (),
    ) -> None:
        self.value = value
        self.parts = tuple(parts)
        self.names = tuple(names)
        self.conditions = tuple(conditions)

    def unknown(self, facts: Facts, derived: Derived) -> Iterator[str]:
        """Names of the unknown facts that can still change the value."""
        if self.value(facts) is not None:
            return
        for name in self.names:
            yield from unknown_names(name, facts, derived)
        for part in self.parts:
            yield from part.unknown(facts, derived)
        for condition in self.conditions:
            yield from condition.unknown(facts, derived)
            if condition.test(facts):
                break  # the rows of a tier table below the first that certainly holds never count


Derived: TypeAlias = Mapping[str, Quantity]
"""Quantities that have a name; their values stand among the facts while a clause is evaluated."""


def unknown_names(name: str, facts: Facts, derived: Derived) -> Iterator[str]:
    """`name` itself if it is an unknown fact; if it names a quantity, the unknown facts that this is made of."""
    if name in derived:
        yield from derived[name].unknown(facts, derived)
    elif name not in facts:
        yield name


def names_read(node: Condition | Quantity) -> Iterator[str]:
    """Every fact and named quantity that `node` reads, some of them more than once."""
    match node:
        case Compare():
            yield node.name
            if isinstance(node.operand, Quantity):
                yield from names_read(node.operand)
        case Count():
            yield node.name
        case Junction():
            for part in node.parts:
                yield from names_read(part)
        case Not():
            yield from names_read(node.part)
        case Quantity():
            yield from node.names
            for inner in (*node.parts, *node.conditions):
                yield from names_read(inner)


def constant(number: Number) -> Quantity:
    """A fixed number."""
    return Quantity(lambda _facts: number)


def named(name: str) -> Quantity:
    """The value of a fact or of a named quantity."""
    return Quantity(lambda facts: cast("Number | None", facts.get(name)), names=(name,))


def total(parts: Sequence[Quantity]) -> Quantity:
    """`sum`: all parts together."""
    return Quantity(_known(parts, lambda values: sum(values, 0)), parts)


def minus(left: Quantity, right: Quantity) -> Quantity:
    """`minus`: what remains of `left`, never below zero."""
    return Quantity(_known((left, right), lambda values: max(values[0] - values[1], 0)), (left, right))


def times(rate: Fraction, of: Quantity) -> Quantity:
    """`times`: an exact share of a quantity."""
    return Quantity(_known((of,), lambda values: share(rate, values[0])), (of,))


def share(rate: Fraction, of: Number) -> Number:
    """`rate` x `of`, exact; an integer wherever it is one, since comparing integers is several times faster."""
    if isinstance(of, Fraction):
        return rate * of
    whole, rest = divmod(rate.numerator * of, rate.denominator)
    return whole if rest == 0 else Fraction(rate.numerator * of, rate.denominator)


def least(parts: Sequence[Quantity]) -> Quantity:
    """`min`: the smallest part."""
    return Quantity(_known(parts, min), parts)


def tiers(rows: Sequence[tuple[Condition, int]]) -> Quantity:
    """`tiers`: the amount of the first row whose condition holds, zero if none does; unknown if a row above is."""
    tests = tuple((condition.test, amount) for condition, amount in rows)

    def value(facts: Facts) -> Number | None:
        for test, amount in tests:
            verdict = test(facts)
            if verdict is None:
                return None
            if verdict:
                return amount
        return 0

    return Quantity(value, conditions=[condition for condition, _ in rows])


def _known(parts: Sequence[Quantity], combine: Callable[[list[Number]], Number]) -> Measure:
    measures = tuple(part.value for part in parts)

    def value(facts: Facts) -> Number | None:
        values = []
        for measure in measures:
            number = measure(facts)
            if number is None:
                return None
            values.append(number)
        return combine(values)

    return value


def _compare(name: str, op: str, operand: Value) -> Test:
    compare = COMPARISONS[op]

    def test(facts: Facts) -> bool | None:
        value = facts.get(name)
        return None if value is None else compare(value, operand)

    return test


def _compare_quantity(name: str, op: str, operand: Quantity) -> Test:
    compare, measure = COMPARISONS[op], operand.value

    def test(facts: Facts) -> bool | None:
        value, limit = facts.get(name), measure(facts)
        return None if value is None or limit is None else compare(value, limit)

    return test
