"""Revisions of policy files: which one decides an application received on a given day.

A corrected rules file never replaces the old one: it has the next `revision` and the day `effective_from`, so that what
was received before is still answered as it was. A first revision may have that day as well; before it the rules know
nothing of the document.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from subsidy.fields import Faults, parse_day
from subsidy.yaml_text import Table


@dataclass(frozen=True, slots=True)
class _File:
    name: str
    document: str
    revision: int
    since: date | None


def eras_of(tables: Mapping[str, Table]) -> Iterator[tuple[date, list[str]]]:
    """Every span of days with the files that decide it, oldest first: its first day, and a file for each document.

    Raises:
        SubsidyError: `document-malformed`: two files of one document without revisions and days in order.

    """
    documents: dict[str, list[_File]] = {}
    for name, table in tables.items():
        file = _file(name, table)
        documents.setdefault(file.document, []).append(file)
    for files in documents.values():
        files.sort(key=lambda file: (file.revision, file.since or date.min))
        _require_order(files)
    days = {file.since for files in documents.values() for file in files if file.since is not None}
    for since in (date.min, *sorted(days)):
        deciding = (_deciding(files, since) for files in documents.values())
        yield since, [file.name for file in deciding if file is not None]


def _deciding(files: list[_File], on: date) -> _File | None:
    reached = [file for file in files if file.since is None or file.since <= on]
    return reached[-1] if reached else None


def _file(name: str, table: Table) -> _File:
    """What the header says; faults in it are found when the file is read."""
    header = table.get("document")
    fields = header if isinstance(header, Table) else Table(1)
    revision, day = fields.get("revision"), fields.get("effective_from")
    document = fields.get("id")
    return _File(
        name,
        document if isinstance(document, str) else name,
        revision if type(revision) is int else 0,
        parse_day(day) if isinstance(day, str) else None,
    )


def _require_order(files: list[_File]) -> None:
    for before, after in itertools.pairwise(files):
        if after.revision == before.revision:
            refuse_file(
                after.name,
                f"已另有文件 {after.document} 的第 {after.revision} 版（{before.name}）",
                f"there is another document {after.document} with revision {after.revision}: {before.name}",
            )
        if after.since is None or (before.since is not None and after.since <= before.since):
            refuse_file(
                after.name,
                f"第 {after.revision} 版要写明晚于前一版的 effective_from，如 2026-12-01",
                f"revision {after.revision} needs `effective_from`, a day such as 2026-12-01 after that of {before.name}",
            )


def refuse_file(source: str, zh: str, en: str) -> None:
    """Refuse a whole file.

    Raises:
        SubsidyError: `document-malformed`.

    """
    faults = Faults(source)
    faults.add(source, zh, en)
    faults.raise_any()
