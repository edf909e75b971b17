"""Kinds of values in a scheme file: each reads a TOML value into our form, or says what must stand there instead."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from typing import Any, NamedTuple

from ledger.amount import COMPUTE, parse_units
from metering.zones import shanghai_day_us


class Float(str):
    """A TOML float as written: kept apart so that its key can be named."""

    __slots__ = ()


class Field(NamedTuple):
    """One kind of value. `read` raises ValueError or LedgerError for what is not `zh`, in English `en`."""

    read: Callable[[Any], Any]
    zh: str
    en: str


def _text(value: object) -> str:
    if type(value) is not str or not value.strip():
        raise ValueError
    return value


TEXT = Field(_text, "非空文字", "text")


def matching(pattern: str, zh: str, en: str) -> Field:
    """Text that a regular expression matches as a whole."""
    compiled = re.compile(pattern)

    def read(value: object) -> str:
        if not compiled.fullmatch(_text(value)):
            raise ValueError
        return str(value)

    return Field(read, zh, en)


def one_of(*choices: str) -> Field:
    """One of a few words."""

    def read(value: object) -> str:
        if value not in choices:
            raise ValueError
        return str(value)

    return Field(read, " 或 ".join(choices), " or ".join(choices))


def list_of(item: Field, *, empty: bool = False) -> Field:
    """Tuple of distinct values of one kind."""

    def read(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list) or not (value or empty):
            raise ValueError
        items = tuple(item.read(each) for each in value)
        if len(set(items)) != len(items):
            raise ValueError
        return items

    return Field(read, f"不重复的列表，每项为{item.zh}", f"a list without repetition, each item {item.en}")


def unless(word: str, field: Field) -> Field:
    """None for one word, such as "*" for all of them; otherwise a value of the kind."""
    return Field(
        lambda value: None if value == word else field.read(value), f'"{word}"，或{field.zh}', f'"{word}" or {field.en}'
    )


def integer(least: int, most: int) -> Field:
    """Whole number within bounds."""

    def read(value: object) -> int:
        if type(value) is not int or not least <= value <= most:
            raise ValueError
        return value

    return Field(read, f"{least} 至 {most} 的整数", f"an integer from {least} to {most}")


def _midnight_us(value: object) -> int:
    # Summer time ended in 1991, which leaves one offset; the year after 9998 would overflow calendars.
    if type(value) is not date or not 1992 <= value.year <= 9998:
        raise ValueError
    return shanghai_day_us(value)


DAY = Field(_midnight_us, "不加引号的日期，如 2026-01-01", "a date without quotes, such as 2026-01-01")
"""UTC epoch microseconds at which the day begins in Shanghai."""

_whole_fen = integer(1, 10**14)

FEN = Field(lambda value: _whole_fen.read(value) * 10_000, "大于零的整数分", "a positive integer of fen")
"""Units of CNY."""


def _pflops_h(value: object) -> int:
    units = parse_units(_text(value), COMPUTE)
    if not units:
        raise ValueError
    return units


PFLOPS_H = Field(_pflops_h, '加引号的正十进制数，如 "1000"', 'a positive decimal in quotes, such as "1000"')
"""Units of PFLOPS.h."""
