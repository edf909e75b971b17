"""Rows of a spreadsheet read strictly: each value by the form of its column, each fault by the address of its cell.

A fault says what the cell holds, what is wrong with it and what is accepted, so that it can be mended without asking anybody.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from decimal import Context, Decimal, InvalidOperation
from typing import NamedTuple

from suanquan.portal.files.incoming import Cell, Grid, address, serial_day
from voucher.errors import VoucherError
from voucher.holder import check_uscc

FAULTS_MAX = 500
_FIFTEEN = Context(prec=15)
"""What Excel itself keeps of a number; what its files write beyond is noise of binary fractions."""
_DAY = re.compile(r"(20[0-9]{2}|19[0-9]{2})[-/.年]([01]?[0-9])[-/.月]([0-3]?[0-9])日?")
_MONTH = re.compile(r"(20[0-9]{2})[-/.年]([01]?[0-9])月?")
_SERIAL = range(36_526, 73_051)
"""Serial numbers of Excel from 2000 to 2099."""


class Field(NamedTuple):
    """A column: its name, its headings, the form of its values, and an example."""

    name: str
    zh: str
    en: str
    form: str
    example: str
    needed: bool = True
    choices: tuple[str, ...] = ()
    length: int = 200

    def said(self, language: str) -> str:
        """Its heading."""
        return self.en if language == "en" else self.zh


class Fault(NamedTuple):
    """What is wrong with a cell: its address, its column's headings, what it holds, what is wrong, and what is accepted."""

    cell: str
    column_zh: str
    column_en: str
    value: str
    zh: str
    en: str
    accepted_zh: str = ""
    accepted_en: str = ""
    row: int = 0


class Rows(NamedTuple):
    """What a sheet says: the name of the sheet, its rows with their numbers, where each field stands, and the faults."""

    sheet: str
    rows: list[tuple[int, dict[str, str]]]
    columns: Mapping[str, int]
    faults: list[Fault]


_ACCEPTED: Mapping[str, tuple[str, str]] = {
    "text": ("文字", "text"),
    "code": ("18 位统一社会信用代码（文本单元格）", "a unified social credit code of 18 characters, in a cell of text"),
    "month": ("月份，如 2026-10", "a month such as 2026-10"),
    "day": ("日期，如 2026-11-20", "a day such as 2026-11-20"),
    "whole": ("不带小数的数，如 1240000", "a whole number such as 1240000"),
    "amount": ("十进制数，如 20000.00", "a decimal such as 20000.00"),
    "choice": ("", ""),
}


def read_rows(grid: Grid, fields: Sequence[Field]) -> Rows:
    """Rows of a sheet by field; the first line that says anything is the heading, its columns in any order."""
    if not grid.lines:
        return Rows(grid.sheet, [], {}, [Fault("A1", "", "", "", "表是空的", "the sheet is empty")])
    head, *lines = grid.lines
    columns, faults = _columns(head.number, head.cells, fields)
    by_column = {at: field for field in fields if (at := columns.get(field.name)) is not None}
    rows = []
    for line in lines:
        row = {}
        for at, cell in line.cells.items():
            if at not in by_column and cell.kind == "fault":
                faults.append(_fault(at, line.number, None, cell.text, cell.zh, cell.en))
        for at, field in by_column.items():
            value, wrong = _value(line.cells.get(at, Cell("")), field)
            if wrong is not None:
                faults.append(_fault(at, line.number, field, line.cells.get(at, Cell("")).text, *wrong))
            row[field.name] = value
        rows.append((line.number, row))
    if not lines and not faults:
        faults.append(
            Fault(f"A{head.number + 1}", "", "", "", "表头之下没有任何一行", "there is no row under the heading")
        )
    return Rows(grid.sheet, rows, columns, faults[:FAULTS_MAX])


def at_row(rows: Rows, number: int, fields: Sequence[Field], name: str, zh: str, en: str) -> Fault:
    """A fault of a row that its whole says, at the cell of a field."""
    field = next(one for one in fields if one.name == name)
    value = next((row[name] for at, row in rows.rows if at == number), "")
    return _fault(rows.columns.get(name, 0), number, field, value, zh, en)


def repeated(rows: Rows, fields: Sequence[Field], name: str) -> list[Fault]:
    """A fault for each value that stands a second time where it may stand once."""
    first: dict[str, int] = {}
    found = []
    for number, row in rows.rows:
        value = row.get(name, "")
        if value and (before := first.setdefault(value, number)) != number:
            zh, en = f"与第 {before} 行相同，只能列一次", f"stands in row {before} already, and may stand once"
            found.append(at_row(rows, number, fields, name, zh, en))
    return found


def _fault(at: int, row: int, field: Field | None, value: str, zh: str, en: str) -> Fault:
    accepted = ("", "") if field is None else accepted_of(field)
    names = ("", "") if field is None else (field.zh, field.en)
    return Fault(address(at, row), *names, value[:60], zh, en, *accepted, row)


def accepted_of(field: Field) -> tuple[str, str]:
    """What a column takes, in Chinese and English."""
    if field.choices:
        listed = "、".join(field.choices)
        return listed, listed.replace("、", ", ")
    zh, en = _ACCEPTED[field.form]
    return (zh, en) if field.needed else (f"{zh}；可不填", f"{en}; may be empty")


def _flat(text: str) -> str:
    """A heading as it is compared: without width, case, blanks, marks of what is needed and what stands in brackets."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return re.sub(r"\([^)]*\)|[\s*:]", "", plain)


def _columns(number: int, cells: Mapping[int, Cell], fields: Sequence[Field]) -> tuple[dict[str, int], list[Fault]]:
    known = {_flat(word): field for field in fields for word in (field.zh, field.en, field.name)}
    columns: dict[str, int] = {}
    faults = []
    for at, cell in cells.items():
        field = known.get(_flat(cell.text))
        if cell.kind == "fault":
            faults.append(_fault(at, number, None, cell.text, cell.zh, cell.en))
        elif field is None:
            zh, en = ("、".join(one.zh for one in fields), ", ".join(one.en for one in fields))
            faults.append(
                Fault(
                    address(at, number), "", "", cell.text[:60], "没有这一列", "there is no such column", zh, en, number
                )
            )
        elif field.name in columns:
            faults.append(_fault(at, number, field, cell.text, "这一列出现了两次", "this column stands twice"))
        else:
            columns[field.name] = at
    faults += [
        Fault(f"A{number}", field.zh, field.en, "", f"表头缺少“{field.zh}”这一列", f"the heading lacks {field.en!r}", row=number)
        for field in fields
        if field.needed and field.name not in columns
    ]  # fmt: skip
    return columns, faults


Wrong = tuple[str, str]


def _value(cell: Cell, field: Field) -> tuple[str, Wrong | None]:
    """What a cell says in the form of its column, or what is wrong with it."""
    text = cell.text.strip()
    if cell.kind == "fault":
        return text, (cell.zh, cell.en)
    if not text:
        return "", ("须填写", "must be filled in") if field.needed else None
    if field.choices:
        return (text, None) if text in field.choices else (text, ("不在可填的值之中", "is none of what may stand here"))
    return _FORMS[field.form](cell, text, field.length)


def _text(cell: Cell, text: str, length: int) -> tuple[str, Wrong | None]:
    if cell.kind == "number" and (text := _number(text) or text) and len(text.lstrip("-")) > 15:
        return text, ("是超过 15 位的数字单元格，末尾几位已失真；请把单元格设为文本后重填", "is a number of over 15 digits, whose last ones are lost; make the cell text and type it again")  # fmt: skip
    if len(text) > length:
        return text, (f"超过 {length} 字", f"has over {length} characters")
    return text, None


def _code(cell: Cell, text: str, _: int) -> tuple[str, Wrong | None]:
    code = unicodedata.normalize("NFKC", text).replace(" ", "").upper()
    if cell.kind == "number":
        return text, (
            "是数字单元格，18 位代码会失真；请把单元格设为文本",
            "is a number, which loses digits of a code; make the cell text",
        )
    try:
        check_uscc(code)
    except VoucherError as error:
        return code, (error.zh, error.en)
    return code, None


def _month(cell: Cell, text: str, _: int) -> tuple[str, Wrong | None]:
    if cell.kind == "day":
        return text[:7], None
    if cell.kind == "number":
        return text, _serial(text, 7)
    found = _MONTH.fullmatch(text)
    if found is None or not 1 <= int(found[2]) <= 12:
        return text, ("不是月份", "is no month")
    return f"{found[1]}-{int(found[2]):02d}", None


def _day(cell: Cell, text: str, _: int) -> tuple[str, Wrong | None]:
    if cell.kind == "number":
        return text, _serial(text, 10)
    found = _DAY.fullmatch(text)
    try:
        return date(*(int(part) for part in found.groups())).isoformat() if found else "", None if found else _NO_DAY
    except ValueError:
        return text, _NO_DAY


_NO_DAY = ("不是日期，或没有这一天", "is no day, or there is no such day")


def _serial(text: str, length: int) -> Wrong:
    number = text.partition(".")[0]
    if number.isdecimal() and int(number) in _SERIAL:
        day = serial_day(number)[:length]
        return (
            f"是日期的序号，不是日期；若指 {day}，请改为文本 {day}",
            f"is the serial number of a date; if {day} is meant, write {day} as text",
        )
    return ("是数字，不是日期", "is a number and no date")


def _number(text: str) -> str:
    """A number of a cell or text as plain decimal digits, without separators; empty where it is none."""
    plain = unicodedata.normalize("NFKC", text).replace(",", "").replace(" ", "")
    try:
        number = _FIFTEEN.create_decimal(plain)
    except InvalidOperation:
        return ""
    return f"{number:f}" if number.is_finite() and abs(number.adjusted()) < 18 else ""


def _whole(cell: Cell, text: str, _: int) -> tuple[str, Wrong | None]:
    said = _number(text)
    if cell.kind == "day" or not said:
        return text, ("不是数", "is no number")
    number = Decimal(said)
    if number != number.to_integral_value() or number < 0:
        return text, ("应为不带小数、不为负的数", "must be whole and not below nought")
    return str(int(number)), None


def _amount(cell: Cell, text: str, _: int) -> tuple[str, Wrong | None]:
    said = _number(text)
    if cell.kind == "day" or not said or Decimal(said) <= 0:
        return text, ("应为大于零的数", "must be a number above nought")
    whole, _dot, fraction = said.partition(".")
    return f"{whole}.{fraction.rstrip('0').ljust(2, '0')}", None


_FORMS: Mapping[str, Callable[[Cell, str, int], tuple[str, Wrong | None]]] = {
    "text": _text, "code": _code, "month": _month, "day": _day, "whole": _whole, "amount": _amount,
}  # fmt: skip


def told(faults: Iterable[Fault]) -> dict[str, str]:
    """What is wrong, by address, for a comment at each cell."""
    found: dict[str, str] = {}
    for one in faults:
        text = f"{one.zh}（{one.accepted_zh}）" if one.accepted_zh else one.zh
        found[one.cell] = f"{found[one.cell]}\n{text}" if one.cell in found else text
    return found
