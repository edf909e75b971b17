"""Kinds of values in a scheme file: each reads a TOML value into our form, or says what must stand there instead."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from fractions import Fraction
from typing import Any, NamedTuple

from ledger.amount import COMPUTE, parse_units
from voucher.toml_text import Float


class Field(NamedTuple):
    """One kind of value. `read` raises ValueError or LedgerError for what is not `zh`, in English `en`."""

    read: Callable[[Any], Any]
    zh: str
    en: str


def _text(value: object) -> str:
    if not isinstance(value, str) or isinstance(value, Float) or not value.strip():
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


def _flag(value: object) -> bool:
    if type(value) is not bool:
        raise ValueError
    return value


FLAG = Field(_flag, "true 或 false", "true or false")


def _day(value: object) -> date:
    # Summer time ended in 1991, which leaves one offset; the year after 9998 would overflow calendars.
    if type(value) is not date or not 1992 <= value.year <= 9998:
        raise ValueError
    return value


DAY = Field(_day, "不加引号的日期，如 2026-01-01", "a date without quotes, such as 2026-01-01")
"""A day in Shanghai."""

FEN = Field(integer(1, 10**14).read, "大于零的整数分", "a positive integer of fen")


def _pflops_h(value: object) -> int:
    units = parse_units(_text(value), COMPUTE)
    if not units:
        raise ValueError
    return units


PFLOPS_H = Field(_pflops_h, '加引号的正十进制数，如 "1000"', 'a positive decimal in quotes, such as "1000"')
"""Units of PFLOPS.h."""

_DECIMAL = re.compile(r"(0|[1-9][0-9]{0,2})(?:\.([0-9]{1,6}))?")


def _percent(value: object) -> Fraction:
    match = _DECIMAL.fullmatch(_text(value))
    if match is None or (share := Fraction(match[0]) * Fraction(1, 100)) > 1:
        raise ValueError
    return share


PERCENT = Field(_percent, '加引号的百分数，如 "30"（0 至 100）', 'a percentage in quotes, such as "30", from 0 to 100')
"""An exact share."""

_SHARE = re.compile(r"([1-9][0-9]{0,5})/([1-9][0-9]{0,5})|1")


def _share(value: object) -> Fraction:
    match = _SHARE.fullmatch(_text(value))
    if match is None or (share := Fraction(match[0])) > 1:
        raise ValueError
    return share


SHARE = Field(_share, '加引号的分数，如 "1/2"，至多 1', 'a fraction in quotes, such as "1/2", of at most 1')
