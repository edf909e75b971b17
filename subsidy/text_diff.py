"""What differs between two policy files: place by place, list items named by their id."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Edit:
    """One place that differs; None stands for what a side lacks."""

    place: str
    before: Any
    after: Any


def edits(before: Mapping[str, object], after: Mapping[str, object]) -> list[Edit]:
    """Every place in which the files differ, in the order of the newer one."""
    return list(_between(before, after, ""))


def _between(before: object, after: object, place: str) -> Iterator[Edit]:
    first, second = _members(before), _members(after)
    if first is None or second is None or isinstance(before, list) is not isinstance(after, list):
        if before != after:
            yield Edit(place, before, after)
        return
    for name in {**second, **first}:
        inner = f"{place}.{name}" if place else name
        yield from _between(first.get(name), second.get(name), inner)


def _members(value: object) -> dict[str, object] | None:
    """The members of a mapping, or of a list by the id of its items (by their number, where they have none)."""
    if isinstance(value, Mapping):
        return dict(value)
    if not isinstance(value, list):
        return None
    named = {}
    for at, item in enumerate(value):
        name = item.get("id") or item.get("ask") if isinstance(item, Mapping) else None
        named[name if isinstance(name, str) and name not in named else str(at)] = item
    return named
