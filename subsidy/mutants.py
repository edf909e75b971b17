"""Small wrong changes to policy documents, of the kind a careless editor makes; the rows and cases must notice them."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, TypeAlias

from subsidy.yaml_text import Table

Change: TypeAlias = Callable[[Any, Any], str]
"""Alters the container at a key in place and says how."""
Path: TypeAlias = tuple[Any, ...]
LOOSENED = {"lt": "le", "le": "lt", "gt": "ge", "ge": "gt"}
DROPPED_PARTS = {"requires", "ask", "all", "any", "tiers", "gives", "include", "in", "sum", "min"}
DROPPED_KEYS = {
    "if_failed",
    "unless_known",
    "opens_when",
    "implements",
    "withholds_amount",
    "regardless",
    "person",
    "when",
}


def mutants(table: Table) -> Iterator[tuple[str, Table]]:
    """Every mutant of one document with the name of its change."""
    for path, change in _changes(table):
        mutant = copy.copy(table)
        node: Any = mutant
        for step in path[:-1]:
            node[step] = copy.copy(node[step])
            node = node[step]
        label = change(node, path[-1])
        yield ".".join(_name(table, path)) + f" {label}", mutant


def _name(table: Table, path: Path) -> list[str]:
    """A readable path: list items by their id where they have one."""
    node: Any = table
    names = []
    for step in path:
        node = node[step]
        named = node.get("id") or node.get("ask") if isinstance(node, dict) else None
        names.append(named if isinstance(named, str) else str(step))
    return names


def _changes(table: Table) -> Iterator[tuple[Path, Change]]:
    for key in ("in_force_from", "in_force_to"):
        yield ("document", key), _shifted(-1)
        yield ("document", key), _shifted(1)
    for section in ("quantities", "groups", "clauses"):
        if section in table:
            yield from _walk(table[section], (section,))


def _walk(node: Any, path: Path) -> Iterator[tuple[Path, Change]]:
    steps = node.items() if isinstance(node, dict) else enumerate(node)
    for step, value in steps:
        here = (*path, step)
        yield from _at(step, value, here, node)
        if isinstance(value, dict | list):
            yield from _walk(value, here)


def _at(step: Any, value: Any, here: Path, parent: Any) -> Iterator[tuple[Path, Change]]:
    key = here[-2] if len(here) > 1 else None
    changes = (*_of_bounds(step, value, key), *_of_rates(step, key), *_of_logic(step, value), *_of_opening(step, value))
    yield from ((here, change) for change in changes)
    dropped = isinstance(step, int) and len(parent) > 1
    if step in DROPPED_KEYS or (dropped and (key in DROPPED_PARTS or (key == "of" and here[-3] == "count"))):
        yield here, _dropped


def _of_bounds(step: Any, value: Any, key: Any) -> Iterator[Change]:
    """Comparisons loosened or tightened, numbers one more or less."""
    if step in LOOSENED:
        yield _renamed(LOOSENED[step])
        if isinstance(value, str) and value[0].isdigit():
            yield from (_nudged(-1), _nudged(1))
    if key == "range_yuan" or (type(value) is int and step in {*LOOSENED, "cap", "yuan"}):
        yield from (_added(-1), _added(1))
    if step == "of" and type(value) is int:
        yield _added(-1)


def _of_rates(step: Any, key: Any) -> Iterator[Change]:
    if step == "rate" or (key == "times" and step == 0):
        yield from itertools.starmap(_rerated, ((1, 0), (-1, 0), (0, 1), (0, -1)))


def _of_logic(step: Any, value: Any) -> Iterator[Change]:
    if step == "is" and isinstance(value, bool):
        yield _flipped
    if step in {"all", "any"}:
        yield _renamed("any" if step == "all" else "all")
    if step == "not":
        yield _unwrapped
    if step == "minus":
        yield _first_only


def _of_opening(step: Any, value: Any) -> Iterator[Change]:
    if step == "review" and value == "implementing_rules":
        yield _set("department")
    if step == "review" and value in {"department", "irregular"}:
        yield _set("implementing_rules")


def _renamed(other: str) -> Change:
    def change(node: Any, key: Any) -> str:
        node[other] = node.pop(key)
        return f"becomes {other}"

    return change


def _added(difference: int) -> Change:
    def change(node: Any, key: Any) -> str:
        node[key] += difference
        return f"{difference:+d}"

    return change


def _nudged(sign: int) -> Change:
    def change(node: Any, key: Any) -> str:
        step = Decimal("0.0001") if "." in node[key] else Decimal("0.01")
        node[key] = str(Decimal(node[key]) + sign * step)
        return f"becomes {node[key]}"

    return change


def _rerated(numerator: int, denominator: int) -> Change:
    def change(node: Any, key: Any) -> str:
        above, _, below = node[key].partition("/")
        node[key] = f"{int(above) + numerator}/{int(below or 1) + denominator}"
        return f"becomes {node[key]}"

    return change


def _shifted(days: int) -> Change:
    def change(node: Any, key: Any) -> str:
        node[key] = (date.fromisoformat(node[key]) + timedelta(days=days)).isoformat()
        return f"becomes {node[key]}"

    return change


def _set(value: str) -> Change:
    def change(node: Any, key: Any) -> str:
        node[key] = value
        return f"becomes {value}"

    return change


def _flipped(node: Any, key: Any) -> str:
    node[key] = not node[key]
    return "flipped"


def _unwrapped(node: Any, key: Any) -> str:
    node.update(node.pop(key))
    return "unwrapped"


def _first_only(node: Any, key: Any) -> str:
    first = node.pop(key)[0]
    node["sum"] = [first]
    return "keeps the first only"


def _dropped(node: Any, key: Any) -> str:
    del node[key]
    return "dropped"
