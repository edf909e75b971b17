"""Reading the fields of a document one by one, so that every fault is reported with its place, not only the first."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from datetime import date

from ledger.errors import Finding
from subsidy.errors import SubsidyError
from subsidy.yaml_text import Row, Table


class Faults:
    """The faults found in one source; raised together once it has been read."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.findings: list[Finding] = []

    def add(self, place: str, zh: str, en: str) -> None:
        """Note one fault at `place`, such as `323-2024.yaml:17`."""
        self.findings.append(Finding("document-malformed", zh, en, where=place))

    def raise_any(self) -> None:
        """Raise `document-malformed` with all faults, if there are any."""
        if not self.findings:
            return
        self.findings = list(dict.fromkeys(self.findings))
        first = self.findings[0]
        raise SubsidyError(
            "document-malformed",
            f"{self.source} 有 {len(self.findings)} 处错误：{first.where} {first.zh}",
            f"{self.source} has {len(self.findings)} faults: {first.where} {first.en}",
            findings=self.findings,
        )


class Fields:
    """One mapping (`raw`) under check. A wrong field is noted and read as empty, so that reading goes on; `done` refuses the rest."""

    def __init__(self, faults: Faults, table: Mapping[str, object], path: str) -> None:
        self.faults = faults
        self.raw = table
        self._path = path
        self._left = dict.fromkeys(table)
        self._known: list[str] = []

    def place(self, key: str | None = None) -> str:
        """Where `key` (or the mapping itself) stands: `file:line`, or `file: path` when lines are unknown (TOML)."""
        if isinstance(self.raw, Table):
            return f"{self.faults.source}:{self.raw.lines.get(key or '', self.raw.line)}"
        return f"{self.faults.source}: {self._path}" + (f".{key}" if key else "")

    def fault(self, key: str | None, zh: str, en: str) -> None:
        """Note a fault of `key`."""
        self.faults.add(self.place(key), zh, en)

    def has(self, key: str) -> bool:
        """Whether the mapping has `key`, with any value but null."""
        return self.raw.get(key) is not None

    def take(self, key: str) -> object:
        """The raw value of `key`, or None."""
        self._known.append(key)
        self._left.pop(key, None)
        return self.raw.get(key)

    def text(self, key: str, default: str | None = None) -> str:
        """A text; required unless `default` is given."""
        value = self.take(key)
        if value is None and default is not None:
            return default
        if isinstance(value, str) and value.strip():
            return value
        self.fault(key, f"“{key}”应为文字", f"`{key}` must be text")
        return ""

    def choice(self, key: str, allowed: Sequence[str], default: str | None = None) -> str:
        """One of the texts `allowed`."""
        value = self.text(key, default)
        if value in allowed:
            return value
        if value:
            words = ", ".join(allowed)
            self.fault(key, f"“{key}”应为其中之一：{words}", f"`{key}` must be one of: {words}, not {value!r}")
        return allowed[0]

    def integer(self, key: str, default: int | None = None) -> int:
        """A non-negative integer; required unless `default` is given."""
        value = self.take(key)
        if value is None and default is not None:
            return default
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        self.fault(key, f"“{key}”应为非负整数", f"`{key}` must be a non-negative integer")
        return 0

    def flag(self, key: str, *, default: bool) -> bool:
        """True or false."""
        value = self.take(key)
        if value is None or isinstance(value, bool):
            return default if value is None else value
        self.fault(key, f"“{key}”应为 true 或 false", f"`{key}` must be true or false")
        return default

    def day(self, key: str) -> date:
        """A policy day, written `2025-05-26`."""
        value = self.text(key)
        day = parse_day(value)
        if day is None:
            if value:
                self.fault(key, f"“{key}”应写成 2025-05-26 的形式", f"`{key}` must be a day such as 2025-05-26")
            return date.min
        return day

    def texts(self, key: str, *, required: bool = True) -> tuple[str, ...]:
        """A list of different texts."""
        value = self.take(key)
        if value is None and not required:
            return ()
        if isinstance(value, list) and value and all(isinstance(item, str) and item for item in value):
            texts = tuple(str(item) for item in value)
            if len(set(texts)) == len(texts):
                return texts
        self.fault(key, f"“{key}”应为不重复的文字列表", f"`{key}` must be a list of different texts")
        return ()

    def table(self, key: str) -> Fields:
        """A nested mapping; an empty one stands in for a missing or wrong one."""
        value = self.take(key)
        if not isinstance(value, Mapping):
            self.fault(key, f"“{key}”应为“键: 值”", f"`{key}` must be a mapping")
            value = {}
        return self.inner(key, value)

    def inner(self, key: str, table: Mapping[str, object]) -> Fields:
        """A mapping that stands somewhere under `key`."""
        return Fields(self.faults, table, f"{self._path}.{key}")

    def tables(self, key: str, *, required: bool = False) -> list[Fields]:
        """A list of mappings."""
        value = self.take(key)
        if value is None and not required:
            return []
        if isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
            return [self.inner(f"{key}[{at}]", item) for at, item in enumerate(value)]
        self.fault(key, f"“{key}”应为列表，每项是“键: 值”", f"`{key}` must be a list of mappings")
        return []

    def items(self) -> Iterator[tuple[str, Fields]]:
        """Every member as a nested mapping, for tables keyed by name."""
        for key in list(self.raw):
            yield key, self.table(key)

    def item_place(self, key: str, at: int) -> str:
        """Where the item number `at` of the list `key` stands."""
        value = self.raw.get(key)
        return f"{self.faults.source}:{value.lines[at]}" if isinstance(value, Row) else self.place(key)

    def done(self) -> None:
        """Note every field that nobody took: a misspelt field must not be silently without effect."""
        for key in self._left:
            guess = nearest(key, self._known)
            self.fault(key, f"没有“{key}”这个字段{guess[0]}", f"there is no field `{key}`{guess[1]}")


def nearest(word: str, known: Sequence[str]) -> tuple[str, str]:
    """Advice in Chinese and English naming the known word closest to `word`; empty when none is close."""
    found = difflib.get_close_matches(word, known, n=1)
    return (f"，是否为“{found[0]}”？", f"; did you mean `{found[0]}`?") if found else ("", "")


def parse_day(text: str) -> date | None:
    """The day that `text` writes as `2025-05-26`, or None."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if day.isoformat() == text else None
