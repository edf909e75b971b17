"""The answers to a fact that can make a difference: one on each side of every bound that some rule sets."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal

from subsidy.facts import Fact, FactType, Value
from subsidy.operators import Compare, Condition, Junction, Not, Quantity
from subsidy.policies import Policies, nodes_of

LARGE = 10**12
_SMALL = Decimal("0.0001")


def telling(policies: Policies, fact: Fact) -> tuple[Value, ...]:
    """Values of a fact of which at least one stands for each way in which the rules can take it."""
    known = policies.telling.get(fact.name)
    if known is None:
        known = policies.telling[fact.name] = tuple(dict.fromkeys(_values(policies, fact)))
    return known


def _values(policies: Policies, fact: Fact) -> Iterator[Value]:
    match fact.type:
        case FactType.FLAG:
            yield from (True, False)
        case FactType.CHOICE:
            yield from fact.values
        case FactType.SET:
            yield from (frozenset[str](), *(frozenset([word]) for word in fact.values), frozenset(fact.values))
        case _:
            bounds = [bound for era in policies.eras() for bound in _bounds(era, fact.name)]
            yield from (value for bound in dict.fromkeys(bounds) for value in _beside(fact, bound))
            yield from () if fact.type is FactType.DAY else _beyond(fact)


def _beyond(fact: Fact) -> Iterator[Value]:
    """The least and a very large number, for what is calculated with and not compared."""
    high = fact.high if fact.high is not None else Decimal(LARGE)
    for number in (fact.low, high):
        yield int(number) if fact.type is FactType.INTEGER else number


def _beside(fact: Fact, bound: Value) -> Iterator[Value]:
    match bound:
        case date():
            yield from (bound - timedelta(days=1), bound, bound + timedelta(days=1))
        case Decimal():
            yield from (value for value in (bound - _SMALL, bound, bound + _SMALL) if _allowed(fact, value))
        case int():
            yield from (value for value in (bound - 1, bound, bound + 1) if _allowed(fact, Decimal(value)))


def _allowed(fact: Fact, number: Decimal) -> bool:
    return number >= fact.low and (fact.high is None or number <= fact.high)


def _bounds(policies: Policies, name: str) -> Iterator[Value]:
    for rule in policies.rules():
        for node in nodes_of(rule):
            yield from _compared(node, name)


def _compared(node: Condition | Quantity, name: str) -> Iterator[Value]:
    inner: Sequence[Condition | Quantity] = ()
    match node:
        case Compare():
            if node.name == name and not isinstance(node.operand, Quantity):
                yield node.operand
            inner = [part for part in (node.of, node.operand) if isinstance(part, Quantity)]
        case Junction():
            inner = node.parts
        case Not():
            inner = [node.part]
        case Quantity():
            inner = [*node.parts, *node.conditions]
    yield from itertools.chain.from_iterable(_compared(part, name) for part in inner)
