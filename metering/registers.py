"""Reading reviewed registers (accelerators, prices): TOML tables, strictly, with the file and the entry in every error.

A register is a file of one array of tables. Every member must be known and of its exact type; numbers with a decimal
point are refused wherever they stand, because amounts are integers or decimal strings.
"""

from __future__ import annotations

import tomllib
from datetime import date
from decimal import Decimal
from typing import Any, NoReturn

from metering.errors import MeteringError
from metering.zones import shanghai_day_us


class Entry:
    """One table of a register; each member is taken once, and `finish` refuses what nobody took."""

    def __init__(self, file: str, place: int, members: dict[str, Any]) -> None:
        self._members = dict(members)
        self._where = f"{file} #{place} {members.get('model', '')}".rstrip()

    def text(self, name: str) -> str:
        """Take a string that is not empty."""
        value = self._take(name)
        if type(value) is not str or not value.strip():
            self.refuse(f"{name} 应为非空字符串", f"{name} must be a string that is not empty")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """Take an array of strings."""
        value = self._take(name)
        if type(value) is not list or not all(type(item) is str and item.strip() for item in value):
            self.refuse(f"{name} 应为字符串数组", f"{name} must be an array of strings")
        return tuple(value)

    def positive(self, name: str) -> int:
        """Take a positive integer."""
        value = self._take(name)
        if type(value) is not int or value <= 0:
            self.refuse(f"{name} 应为正整数", f"{name} must be a positive integer")
        return value

    def tables(self, name: str, members: dict[str, type], *, some: bool = False) -> list[dict[str, Any]]:
        """Take an array of tables, or one table, whose members are these and of these types; `some` of them may be left out."""
        value = self._take(name) if self.has(name) else []
        found = [value] if type(value) is dict else value
        if type(found) is not list or not all(type(one) is dict and _fits(one, members, some=some) for one in found):
            names = ", ".join(members)
            self.refuse(f"{name} 的各项应为 {names}", f"{name} has members {names}, and each has its type")
        return found

    def day_us(self, name: str) -> int:
        """Take a day, as the instant at which it begins in Shanghai."""
        value = self._take(name)
        if type(value) is not date:
            self.refuse(f"{name} 应为日期，如 2026-01-01", f"{name} must be a date such as 2026-01-01")
        return shanghai_day_us(value)

    def has(self, name: str) -> bool:
        """Whether the entry says anything under that name."""
        return name in self._members

    def finish(self) -> None:
        """Refuses members that are not known."""
        if self._members:
            names = ", ".join(sorted(self._members))
            self.refuse(f"有未知的项 {names}", f"it has unknown members {names}")

    def refuse(self, zh: str, en: str) -> NoReturn:
        """Raise the error that names this entry."""
        raise MeteringError("register-invalid", f"{self._where}：{zh}", f"{self._where}: {en}")

    def _take(self, name: str) -> Any:
        if name not in self._members:
            self.refuse(f"缺少 {name}", f"{name} is missing")
        return self._members.pop(name)


def _fits(table: dict[str, Any], members: dict[str, type], *, some: bool) -> bool:
    whole = bool(table) if some else table.keys() == members.keys()
    return whole and all(type(value) is members.get(name) for name, value in table.items())


def entries_of(data: bytes, file: str, table: str, *, some: bool = True) -> list[Entry]:
    """Read the entries `[[table]]` of a register; there must be `some`, unless the register may be empty.

    Raises:
        MeteringError: no TOML, no such table, or anything beside it.

    """
    try:
        content = tomllib.loads(data.decode(), parse_float=Decimal)
    except ValueError as error:
        raise MeteringError("register-invalid", f"{file} 不是 TOML：{error}", f"{file} is no TOML: {error}") from error
    entries = content.get(table, None if some else [])
    if content.keys() - {table} or type(entries) is not list or not all(type(entry) is dict for entry in entries):
        raise MeteringError(
            "register-invalid",
            f"{file} 应只含 [[{table}]] 各项",
            f"{file} must hold [[{table}]] entries and nothing else",
        )
    return [Entry(file, place, members) for place, members in enumerate(entries, 1)]
