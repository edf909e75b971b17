"""What a spool shows to whoever looks, also while an agent is at work on it."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from ledger.errors import Kind
from metering.errors import MeteringError


@dataclass(frozen=True, slots=True)
class Outcome:
    """A record that was neither accepted nor known already, and the event as it was sent."""

    sequence: int
    id: str
    status: str
    code: str | None
    event: bytes


@dataclass(frozen=True, slots=True)
class ParkedBatch:
    """A batch that the service refused for good; it waits for a person, its `problem` says why."""

    first: int
    last: int
    key: str
    problem: str


@dataclass(frozen=True, slots=True)
class SpoolStatus:
    """The spool at a glance. Counts are of records, but for `parked_batches`; instants are UTC epoch microseconds."""

    source: str
    unsent: int
    unsent_bytes: int
    sent: int
    parked_batches: int
    outcomes: dict[str, int]
    oldest_unsent_us: int | None
    last_receipt: str | None
    last_receipt_us: int | None
    contact: str | None
    contact_us: int | None
    clock_skew_s: int | None


class SpoolView:
    """Reads a spool, also while an agent is at work on it."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise MeteringError(
                "spool-absent", f"没有上报暂存文件 {path}", f"there is no spool at {path}", kind=Kind.NOT_FOUND
            )
        self._path = path
        self._db = sqlite3.connect(path, isolation_level=None, timeout=10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file; nothing is left to be written."""
        self._db.close()

    def status(self) -> SpoolStatus:
        """Count what is there; tell the last receipt and the last contact with the service."""
        source, contact_us, contact, skew = self._row("SELECT source, contact_us, contact, clock_skew_s FROM spool")
        unsent, size, oldest = self._row(
            "SELECT COALESCE(SUM(last - first + 1), 0), COALESCE(SUM(LENGTH(events)), 0), MIN(spooled_us) FROM pack"
        )
        (sent,) = self._row("SELECT COALESCE(SUM(last - first + 1), 0) FROM batch WHERE state = 'settled'")
        (parked,) = self._row("SELECT COUNT(*) FROM batch WHERE state = 'parked'")
        receipt, receipt_us = self._row(
            "SELECT receipt, changed_us FROM batch WHERE state = 'settled' ORDER BY changed_us DESC, first DESC LIMIT 1"
        ) or (None, None)
        statuses = self._db.execute("SELECT status, COUNT(*) FROM outcome GROUP BY status ORDER BY status")
        return SpoolStatus(
            source=source,
            unsent=unsent,
            unsent_bytes=size,
            sent=sent,
            parked_batches=parked,
            outcomes=dict(statuses.fetchall()),
            oldest_unsent_us=oldest,
            last_receipt=receipt,
            last_receipt_us=receipt_us,
            contact=contact,
            contact_us=contact_us,
            clock_skew_s=skew,
        )

    def outcomes(self) -> Iterator[Outcome]:
        """Every record that was held, rejected or found in conflict, oldest first."""
        for row in self._db.execute("SELECT sequence, id, status, code, event FROM outcome ORDER BY sequence"):
            yield Outcome(*row)

    def receipts(self) -> Iterator[tuple[int, int, str]]:
        """Every receipt with the first and last sequence number it was given for, oldest first."""
        yield from self._db.execute("SELECT first, last, receipt FROM batch WHERE state = 'settled' ORDER BY first")

    def parked(self) -> list[ParkedBatch]:
        """Batches that the service refused for good, oldest first."""
        rows = self._db.execute("SELECT first, last, key, problem FROM batch WHERE state = 'parked' ORDER BY first")
        return [ParkedBatch(*row) for row in rows]

    def _row(self, sql: str, *values: object) -> Any:
        with reported(self._path):
            return self._db.execute(sql, values).fetchone()


@contextlib.contextmanager
def reported(path: Path, kinds: tuple[type[Exception], ...] = (sqlite3.Error,)) -> Iterator[None]:
    """Turn what SQLite, or the disk, complains about into an error that names the spool."""
    try:
        yield
    except kinds as error:
        raise MeteringError(
            "spool-unusable",
            f"暂存 {path} 无法读写（{error}）；请检查磁盘空间与权限",
            f"spool {path} cannot be read or written ({error}): check disk space and permissions",
            kind=Kind.UNAVAILABLE,
        ) from error
