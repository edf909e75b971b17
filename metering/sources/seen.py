"""Identities of one file: what was billed once is not billed again.

They are kept as digests, in memory while there are few. A file of millions of attempts spills them into a temporary
database that SQLite keeps beside the working memory and removes by itself, so that two gigabytes are read in little space.
"""

from __future__ import annotations

import hashlib
import sqlite3

from metering.model import UsageRecord
from metering.sources.faults import RowFault

KEPT_MAX = 1 << 17
"""Identities in memory, about 160 bytes each."""

_DIGEST_BYTES = 16


class Seen:
    """Remembers each identity with a digest of its content."""

    def __init__(self, kept_max: int = KEPT_MAX) -> None:
        self._kept_max = kept_max
        self._kept: dict[bytes, int] = {}
        self._spilled: sqlite3.Connection | None = None

    def refuse_repeated(self, identity: str, record: UsageRecord) -> None:
        """Take note of an identity.

        Raises:
            RowFault: it was here before: `duplicate` with the same content, `conflict` with other content.

        """
        key, content = hashlib.blake2b(identity.encode(), digest_size=_DIGEST_BYTES).digest(), hash(record)
        earlier = self._kept.get(key)
        if earlier is None and self._spilled is not None:
            row = self._spilled.execute("SELECT content FROM seen WHERE key = ?", (key,)).fetchone()
            earlier = None if row is None else int(row[0])
        if earlier is not None:
            raise RowFault("duplicate" if earlier == content else "conflict")
        self._kept[key] = content
        if len(self._kept) >= self._kept_max:
            self._spill()

    def _spill(self) -> None:
        if self._spilled is None:
            self._spilled = sqlite3.connect("", isolation_level=None)  # "" is a temporary file of SQLite's own
            self._spilled.execute("PRAGMA journal_mode = OFF")
            self._spilled.execute("CREATE TABLE seen(key BLOB PRIMARY KEY, content INTEGER NOT NULL) WITHOUT ROWID")
        self._spilled.execute("BEGIN")
        self._spilled.executemany("INSERT INTO seen VALUES (?, ?)", sorted(self._kept.items()))
        self._spilled.execute("COMMIT")
        self._kept.clear()
