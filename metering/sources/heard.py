"""The last that a file told of each thing, in the order in which things were first told of.

A watch tells the same pod many times, and what its cards are may stand behind it, so nothing can be said before the file has
ended. What is kept lies in a temporary database of SQLite's own, so that files larger than memory are read in little space.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from typing import Any, NamedTuple


class Told(NamedTuple):
    """The last that was told of a thing: where in the file, whether it was ever told to be gone, and what of it is needed."""

    place: int
    gone: bool
    members: dict[str, Any]


class Heard:
    """Keeps the last state of each thing by its name."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)  # "" is a temporary file of SQLite's own
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("CREATE TABLE told(name TEXT UNIQUE, place INTEGER, gone INTEGER, members TEXT)")
        self._db.execute("BEGIN")

    def hear(self, name: str, place: int, members: dict[str, Any], *, gone: bool) -> None:
        """Note what is told of a thing; once gone it stays so."""
        self._db.execute(
            "INSERT INTO told VALUES (?, ?, ?, ?) ON CONFLICT(name) DO UPDATE SET place = excluded.place, "
            "gone = max(gone, excluded.gone), members = excluded.members",
            (name, place, gone, json.dumps(members)),
        )

    def __iter__(self) -> Iterator[Told]:
        for place, gone, members in self._db.execute("SELECT place, gone, members FROM told ORDER BY rowid"):
            yield Told(place, bool(gone), json.loads(members))
