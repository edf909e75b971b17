"""Readings: what an ambiguous text may mean, as switches of a policy file.

An `open_points` entry names the options and the one taken. Where the choice changes what is computed, the file says so:
`{by_reading: {A21: {at least 5: 5, at least 3: 3}}}` stands for the value under the reading taken, and a list item with
`only_under: {A13: needed}` is there under that reading alone. Resolving a file under other readings prices an ambiguity.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from ledger.errors import Kind
from subsidy.errors import SubsidyError
from subsidy.fields import Faults, nearest
from subsidy.yaml_text import Row, Table

BY_READING, ONLY_UNDER = "by_reading", "only_under"


@dataclass(frozen=True, slots=True)
class Reading:
    """One entry of the register of ambiguities. `switches` if another option changes what is computed."""

    id: str
    zh: str
    en: str
    options: tuple[str, ...]
    taken: str
    switches: bool = False


def resolve(tables: Mapping[str, Table], chosen: Mapping[str, str]) -> tuple[dict[str, Table], dict[str, Reading]]:
    """The files under the readings `chosen` (those taken, where none is), and the register with what is taken now.

    Raises:
        SubsidyError: `reading-unknown`, or `document-malformed` where a switch names no reading or leaves out an option.

    """
    register = _register(tables)
    for name, option in chosen.items():
        _require(register, name, option)
        register[name] = replace(register[name], taken=option)
    resolved: dict[str, Table] = {}
    switching: set[str] = set()
    for source, table in tables.items():
        faults = Faults(source)
        resolver = _Resolver(faults, register)
        resolved[source] = resolver.table(table)
        switching |= resolver.switching
        faults.raise_any()
    return resolved, {name: replace(entry, switches=name in switching) for name, entry in register.items()}


def _register(tables: Mapping[str, Table]) -> dict[str, Reading]:
    register: dict[str, Reading] = {}
    for source, table in tables.items():
        faults = Faults(source)
        for reading in _readings(table):
            known = register.setdefault(reading.id, reading)
            if (known.options, known.taken) != (reading.options, reading.taken):
                zh, en = "options 与 taken 应与他处一致", "must have the options and the `taken` that it has elsewhere"
                faults.add(f"{source}: {reading.id}", f"{reading.id} 的 {zh}", f"{reading.id} {en}")
        faults.raise_any()
    return register


def _readings(table: Table) -> Iterator[Reading]:
    """Every open point of a file that names options; faults in it are found when the file is read."""
    for clause in _tables(table.get("clauses")):
        for point in _tables(clause.get("open_points")):
            options = point.get("options")
            if isinstance(options, list) and point.get("taken") in options:
                name, zh, en = (str(point.get(key)) for key in ("id", "zh", "en"))
                yield Reading(name, zh, en, tuple(map(str, options)), str(point["taken"]))


def _tables(value: object) -> Iterator[Table]:
    return (item for item in value if isinstance(item, Table)) if isinstance(value, list) else iter(())


def _require(register: Mapping[str, Reading], name: str, option: str) -> None:
    if name not in register:
        zh, en = nearest(name, list(register))
        raise SubsidyError(
            "reading-unknown", f"没有“{name}”这处歧义{zh}", f"there is no reading {name}{en}", kind=Kind.NOT_FOUND
        )
    if option not in register[name].options:
        words = " | ".join(register[name].options)
        raise SubsidyError(
            "reading-unknown",
            f"{name} 的读法应为其中之一：{words}",
            f"{name} is read as one of: {words}; not {option!r}",
        )


class _Resolver:
    """Copies one file, putting in place of every switch what stands under the reading taken."""

    def __init__(self, faults: Faults, register: Mapping[str, Reading]) -> None:
        self._faults = faults
        self._register = register
        self.switching: set[str] = set()

    def table(self, table: Table) -> Table:
        copy = Table(table.line)
        copy.lines = table.lines
        for key, value in table.items():
            copy[key] = self._taken(table, value) if key == "taken" else self._value(value)
        return copy

    def _taken(self, table: Table, value: object) -> object:
        """An open point shows the reading taken now."""
        reading = self._register.get(str(table.get("id")))
        return reading.taken if reading is not None and value in reading.options else value

    def _value(self, value: object) -> object:
        if isinstance(value, Table):
            return self._switch(value, value[BY_READING]) if list(value) == [BY_READING] else self.table(value)
        if isinstance(value, Row):
            return self._row(value)
        return value

    def _row(self, row: Row) -> Row:
        copy = Row()
        for item, line in zip(row, row.lines, strict=False):
            kept = item
            if isinstance(item, Table) and ONLY_UNDER in item:
                if not self._stands(item, item[ONLY_UNDER]):
                    continue
                kept = _without(item, ONLY_UNDER)
            copy.append(self._value(kept))
            copy.lines.append(line)
        return copy

    def _switch(self, table: Table, options: object) -> object:
        name, choices = _only(options)
        reading = self._register.get(name)
        if reading is None or not isinstance(choices, Table) or set(choices) != set(reading.options):
            words = ", ".join(reading.options) if reading else ", ".join(self._register)
            zh = f"by_reading 应为 {{读法编号: {{每个选项: 值}}}}，可用：{words}"
            self._fault(table, BY_READING, zh, f"`by_reading` takes a reading and a value for each option: {words}")
            return None
        self.switching.add(name)
        for option in reading.options:
            self._value(choices[option])  # switches inside an option that is not taken are checked as well
        return self._value(choices[reading.taken])

    def _stands(self, item: Table, condition: object) -> bool:
        name, option = _only(condition)
        reading = self._register.get(name)
        wanted = option if isinstance(option, Row) else [option]
        if reading is None or not wanted or not set(map(str, wanted)) <= set(reading.options):
            words = ", ".join(reading.options) if reading else ", ".join(self._register)
            zh, en = (
                f"only_under 应为 {{读法编号: 选项}}，可用：{words}",
                f"`only_under` takes a reading and an option: {words}",
            )
            self._fault(item, ONLY_UNDER, zh, en)
            return True
        self.switching.add(name)
        return reading.taken in wanted

    def _fault(self, table: Table, key: str, zh: str, en: str) -> None:
        self._faults.add(f"{self._faults.source}:{table.lines.get(key, table.line)}", zh, en)


def _only(value: object) -> tuple[str, object]:
    """Name and value of a mapping with one member; nothing where it is none."""
    if isinstance(value, Table) and len(value) == 1:
        return next(iter(value.items()))
    return "", None


def _without(table: Table, key: str) -> Table:
    copy = Table(table.line)
    copy.lines = table.lines
    copy.update({name: value for name, value in table.items() if name != key})
    return copy
