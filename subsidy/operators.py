"""The closed set of operators in which conditions and amounts are written; nothing in here knows a clause or a scheme.

Conditions: `is in lt le gt ge count` compare one fact, `all any not` combine. Quantities: `sum minus times min tiers`.
Both follow Kleene's three values: an unknown fact makes a result unknown (None) only where it could still change it.
Every node carries closures built once, when its document is loaded; arithmetic is exact (int and Fraction).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Any, TypeAlias, cast

from subsidy.facts import DIGITS_MAX, Facts, Value

Number: TypeAlias = int | Fraction
Bounds: TypeAlias = tuple[Number, Number]
Test: TypeAlias = Callable[[Facts], bool | None]
Measure: TypeAlias = Callable[[Facts], Number | None]

UNBOUNDED = 10 ** (DIGITS_MAX + 10)
"""Stands for the upper bound of an unknown number; larger than anything that facts can add up to."""

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


class Quantity:
    """A number of at least zero, made of facts.

    `bounds` are the least and the most it can still be; `value` is the number once both agree, None before. `parts`,
    `name` and `conditions` say what it is made of.
    """

    __slots__ = ("bounds", "conditions", "name", "parts", "value")

    def __init__(
        self,
        quick: Measure,
        bounds: Callable[[Facts], Bounds],
        parts: Sequence[Quantity] = (),
        name: str | None = None,
        conditions: Sequence[Condition] = (),
    ) -> None:
        def value(facts: Facts) -> Number | None:
            number = quick(facts)
            if number is None:
                low, high = bounds(facts)
                number = low if low == high else None
            return number

        self.value: Measure = value if parts or conditions else quick  # bounds add nothing to a single fact
        self.bounds = bounds
        self.parts = tuple(parts)
        self.name = name
        self.conditions = tuple(conditions)

    def unknown(self, facts: Facts) -> Iterator[str]:
        """Names of the unknown facts that can still change the value."""
        if self.value(facts) is not None:
            return
        if self.name is not None and not self.parts:
            yield self.name
        for part in self.parts:
            yield from part.unknown(facts)
        for condition in self.conditions:
            yield from condition.unknown(facts)
            if condition.test(facts):
                break  # the rows of a tier table below the first that certainly holds never count


class Compare:
    """One fact against a fixed value, a set of words (`in`) or a quantity.

    `of` is the quantity that `name` stands for, if it is none of the facts. `unknown` gives the names of the unknown facts
    that can still change the verdict.
    """

    __slots__ = ("name", "of", "operand", "operator", "test", "unknown")

    def __init__(self, name: str, op: str, operand: Value | Quantity, of: Quantity | None = None) -> None:
        self.name = name
        self.operator = op
        self.operand = operand
        self.of = of
        self.unknown: Callable[[Facts], Iterable[str]]
        if of is None and not isinstance(operand, Quantity):
            self.test: Test = _compare_fixed(name, op, operand)
            self.unknown = _unless_in(name)
        else:
            left = named(name, of)
            limit = operand if isinstance(operand, Quantity) else constant(cast("int", operand))
            self.test = _compare_numbers(of or left, op, limit)
            self.unknown = self._unknown_numbers(left, limit)

    def _unknown_numbers(self, left: Quantity, limit: Quantity) -> Callable[[Facts], Iterable[str]]:
        test = self.test

        def unknown(facts: Facts) -> Iterator[str]:
            if test(facts) is None:
                yield from left.unknown(facts)
                yield from limit.unknown(facts)

        return unknown


class Count:
    """How many of the words `of` a set holds, against a number."""

    __slots__ = ("name", "number", "of", "operator", "test", "unknown")

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
        self.unknown = _unless_in(name)


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

    def unknown(self, facts: Facts) -> Iterator[str]:
        """Names of the unknown facts that can still change the verdict."""
        if self.test(facts) is None:
            for part in self.parts:
                yield from part.unknown(facts)


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

    def unknown(self, facts: Facts) -> Iterator[str]:
        """Names of the unknown facts that can still change the verdict."""
        yield from self.part.unknown(facts)


Condition: TypeAlias = Compare | Count | Junction | Not


def _unless_in(name: str) -> Callable[[Facts], Iterable[str]]:
    """The name, while the fact is unknown."""
    just, nothing = (name,), ()

    def unknown(facts: Facts) -> Iterable[str]:
        return nothing if name in facts else just

    return unknown


def names_read(node: Condition | Quantity) -> Iterator[str]:
    """Every fact and named quantity that `node` reads, quantities before what they are made of, some names repeatedly."""
    name = getattr(node, "name", None)
    if name is not None:
        yield name
    for inner in _inner(node):
        yield from names_read(inner)


def _inner(node: Condition | Quantity) -> tuple[Condition | Quantity, ...]:
    match node:
        case Compare():
            return tuple(inner for inner in (node.of, node.operand) if isinstance(inner, Quantity))
        case Junction():
            return node.parts
        case Not():
            return (node.part,)
        case Quantity():
            return (*node.parts, *node.conditions)
    return ()


def constant(number: Number) -> Quantity:
    """A fixed number."""
    return Quantity(lambda _facts: number, lambda _facts: (number, number))


def named(name: str, of: Quantity | None = None) -> Quantity:
    """The value of a fact, or of the named quantity `of`, whose value stands among the facts once it is known."""

    def quick(facts: Facts) -> Number | None:
        return cast("Number | None", facts.get(name))

    def bounds(facts: Facts) -> Bounds:
        number = quick(facts)
        return (0, UNBOUNDED) if number is None else (number, number)

    return Quantity(quick, of.bounds if of else bounds, parts=(of,) if of else (), name=name)


def total(parts: Sequence[Quantity]) -> Quantity:
    """`sum`: all parts together."""

    def bounds(facts: Facts) -> Bounds:
        ends = [part.bounds(facts) for part in parts]
        return sum((low for low, _ in ends), 0), sum((high for _, high in ends), 0)

    return Quantity(_known(parts, lambda values: sum(values, 0)), bounds, parts)


def minus(left: Quantity, right: Quantity) -> Quantity:
    """`minus`: what remains of `left`, never below zero."""

    def bounds(facts: Facts) -> Bounds:
        (left_low, left_high), (right_low, right_high) = left.bounds(facts), right.bounds(facts)
        return max(left_low - right_high, 0), max(left_high - right_low, 0)

    return Quantity(_known((left, right), lambda values: max(values[0] - values[1], 0)), bounds, (left, right))


def times(rate: Fraction, of: Quantity) -> Quantity:
    """`times`: an exact share of a quantity."""

    def bounds(facts: Facts) -> Bounds:
        low, high = of.bounds(facts)
        return share(rate, low), share(rate, high)

    return Quantity(_known((of,), lambda values: share(rate, values[0])), bounds, (of,))


def share(rate: Fraction, of: Number) -> Number:
    """`rate` x `of`, exact; an integer wherever it is one, since comparing integers is several times faster."""
    if isinstance(of, Fraction):
        return rate * of
    whole, rest = divmod(rate.numerator * of, rate.denominator)
    return whole if rest == 0 else Fraction(rate.numerator * of, rate.denominator)


def least(parts: Sequence[Quantity]) -> Quantity:
    """`min`: the smallest part."""

    def bounds(facts: Facts) -> Bounds:
        ends = [part.bounds(facts) for part in parts]
        return min(low for low, _ in ends), min(high for _, high in ends)

    return Quantity(_known(parts, min), bounds, parts)


def tiers(rows: Sequence[tuple[Condition, int]]) -> Quantity:
    """`tiers`: the amount of the first row whose condition holds, zero if none does."""
    tests = tuple((condition.test, amount) for condition, amount in rows)

    def quick(facts: Facts) -> Number | None:
        for test, amount in tests:
            verdict = test(facts)
            if verdict is None:
                return None
            if verdict:
                return amount
        return 0

    def bounds(facts: Facts) -> Bounds:
        possible = []
        for test, amount in tests:
            verdict = test(facts)
            if verdict is not False:
                possible.append(amount)
            if verdict:
                break
        else:
            possible.append(0)
        return min(possible), max(possible)

    return Quantity(quick, bounds, conditions=[condition for condition, _ in rows])


def _known(parts: Sequence[Quantity], combine: Callable[[list[Number]], Number]) -> Measure:
    """The quick way, taken when every part is known."""
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


def _compare_fixed(name: str, op: str, operand: Value) -> Test:
    compare = COMPARISONS[op]

    def test(facts: Facts) -> bool | None:
        value = facts.get(name)
        return None if value is None else compare(value, operand)

    return test


def _compare_numbers(left: Quantity, op: str, right: Quantity) -> Test:
    """Certain as soon as the bounds of both sides leave one verdict; `op` is one of lt, le, gt, ge."""
    compare, left_value, right_value = COMPARISONS[op], left.value, right.value

    def test(facts: Facts) -> bool | None:
        value, limit = left_value(facts), right_value(facts)
        if value is not None and limit is not None:
            return compare(value, limit)
        (left_low, left_high), (right_low, right_high) = left.bounds(facts), right.bounds(facts)
        verdict = compare(left_low, right_high)
        return verdict if verdict == compare(left_high, right_low) else None

    return test
