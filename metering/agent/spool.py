"""The agent's durable spool: nothing collected is lost, nothing is sent under two names.

One SQLite file. Records are numbered in the transaction that stores them (CloudEvents `sequence`), so numbers have no gaps
and never return. They lie packed, up to a batch together: one row of 10,000 records costs a tenth of 10,000 rows. A batch is
a range of numbers and an idempotency key, stored before the first try, so that every later try, also after a crash, sends
the same bytes under the same key. Tables are ordinary, not STRICT: a login node may have a SQLite older than 3.37.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ledger.errors import Kind
from metering.agent.events import batch_body, batch_events, encode_event, number_event
from metering.agent.view import SpoolView, reported
from metering.errors import MeteringError
from metering.model import UsageRecord

SPOOL_BYTES_MAX = 2**30
"""Unsent usage kept by default, as stored (packed records take about a tenth of what is sent)."""
BATCH_RECORDS_MAX = 10_000
BATCH_BYTES_MAX = 8 * 2**20 - 2**16
"""The service takes 10,000 records and 8 MiB; the margin leaves room for a proxy's own counting."""

SUCCESSES = frozenset({"accepted", "duplicate"})
"""Statuses after which nothing about a record is left to look at."""

VERSION = 1
"""Version of the tables below, kept in the file; a later one is not touched."""
_SCHEMA = """
CREATE TABLE spool(one INTEGER PRIMARY KEY CHECK (one = 1), source TEXT NOT NULL,
  last_sequence INTEGER NOT NULL DEFAULT 0, contact_us INTEGER, contact TEXT, clock_skew_s INTEGER);
CREATE TABLE seen(digest BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE pack(first INTEGER PRIMARY KEY, last INTEGER NOT NULL, spooled_us INTEGER NOT NULL,
  sent_bytes INTEGER NOT NULL, events BLOB NOT NULL);
CREATE TABLE batch(first INTEGER PRIMARY KEY, last INTEGER NOT NULL, key TEXT NOT NULL UNIQUE,
  state TEXT NOT NULL CHECK (state IN ('open', 'parked', 'settled')), changed_us INTEGER NOT NULL,
  problem TEXT, receipt TEXT);
CREATE INDEX batch_open ON batch(first) WHERE state = 'open';
CREATE TABLE outcome(sequence INTEGER PRIMARY KEY, id TEXT NOT NULL, status TEXT NOT NULL, code TEXT, event BLOB);
"""


@dataclass(frozen=True, slots=True)
class Batch:
    """Records `first..last` by sequence number, as they are sent: `body` under `Idempotency-Key: key`."""

    first: int
    last: int
    key: str
    body: bytes


@dataclass(frozen=True, slots=True)
class RecordResult:
    """What the service said about one record of a report."""

    id: str
    status: str
    code: str | None = None


class Spool(SpoolView):
    """The one writer of a spool; holds an operating system lock until closed, so a dead process never blocks a new one.

    Raises:
        MeteringError: another process holds it, it belongs to another source, or the file cannot be used.

    """

    def __init__(
        self,
        path: Path,
        source: str,
        *,
        bytes_max: int = SPOOL_BYTES_MAX,
        batch_records_max: int = BATCH_RECORDS_MAX,
        batch_bytes_max: int = BATCH_BYTES_MAX,
    ) -> None:
        self._source = source
        self._bytes_max = bytes_max
        self._batch_records_max = batch_records_max
        self._batch_bytes_max = batch_bytes_max
        self._lock = _lock(path)
        try:
            with reported(path, (OSError,)):
                # SQLite gives its -wal and -shm files the mode of the database, so this one call closes all three.
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            super().__init__(path)
            self._prepare(source)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file and give the lock back."""
        if hasattr(self, "_db"):
            super().close()
        self._lock.close()

    def append(self, records: Iterable[UsageRecord], *, again: bool = False) -> int:
        """Store and number records, durably and all or none; return how many were stored.

        A record spooled before with the same content is passed over, so that a source may be read again from the start;
        `again` stores it all the same, and the service answers that it is a duplicate.
        The same id with other content is a new event: the service decides what it means.

        Raises:
            MeteringError: `spool-full`, the unsent events would exceed the limit (nothing is ever overwritten to make
                room), or `spool-unusable`.

        """
        with self._transaction():
            (before,) = self._row("SELECT last_sequence FROM spool")
            last, pack, size = before, list[bytes](), 0
            for event in self._unseen(records, again=again):
                numbered = number_event(event, last + 1)
                if pack and not self._fits(len(pack) + 1, size + len(numbered)):
                    self._store(last, pack)
                    pack, size = [], 0
                pack.append(numbered)
                size += len(numbered) + 1
                last += 1
            self._store(last, pack)
            self._db.execute("UPDATE spool SET last_sequence = ?", (last,))
            self._check_room()
        return int(last - before)

    def next_batch(self) -> Batch | None:
        """Return the oldest batch without a final answer, else a new one, stored before it is returned; None when all is sent."""
        with self._transaction():
            row = self._row("SELECT first, last, key FROM batch WHERE state = 'open' ORDER BY first LIMIT 1")
            first, last, key = row or self._cut() or (0, 0, "")
            packs = self._db.execute(
                "SELECT events FROM pack WHERE first BETWEEN ? AND ? ORDER BY first", (first, last)
            )
            body = batch_body(zlib.decompress(events) for (events,) in packs)
        return Batch(first, last, key, body) if key else None

    def settle(self, batch: Batch, results: Sequence[RecordResult], receipt: str) -> None:
        """Keep the receipt and every result that is no success (with its event); drop the delivered bodies.

        `results` stand in the order of the batch's records.
        """
        assert len(results) == batch.last - batch.first + 1, "one result per record"
        left = [(number, result) for number, result in enumerate(results) if result.status not in SUCCESSES]
        events = batch_events(batch.body) if left else []
        rows = [(batch.first + n, result.id, result.status, result.code, bytes(events[n])) for n, result in left]
        with self._transaction():
            self._db.executemany("INSERT INTO outcome(sequence, id, status, code, event) VALUES (?, ?, ?, ?, ?)", rows)
            self._db.execute("DELETE FROM pack WHERE first BETWEEN ? AND ?", (batch.first, batch.last))
            self._set(batch, state="settled", receipt=receipt)

    def park(self, batch: Batch, problem: str) -> None:
        """Set a refused batch aside with the service's answer; its records stay until `release` and a later success."""
        with self._transaction():
            self._set(batch, state="parked", problem=problem)

    def release(self) -> int:
        """Let parked batches be sent again, under their old keys; return how many there were."""
        with self._transaction():
            return self._db.execute(
                "UPDATE batch SET state = 'open', changed_us = ? WHERE state = 'parked'", (_now_us(),)
            ).rowcount

    def halve(self, batch: Batch) -> None:
        """Make two batches of one that the service found too large; each gets a key of its own."""
        assert batch.first < batch.last, "a batch of one record cannot be halved"
        events = [bytes(event) for event in batch_events(batch.body)]
        middle = len(events) // 2
        with self._transaction():
            span = (batch.first, batch.last)
            (spooled_us,) = self._row("SELECT MIN(spooled_us) FROM pack WHERE first BETWEEN ? AND ?", *span)
            self._db.execute("DELETE FROM pack WHERE first BETWEEN ? AND ?", span)
            self._db.execute("DELETE FROM batch WHERE first = ?", (batch.first,))
            for last, half in ((batch.first + middle - 1, events[:middle]), (batch.last, events[middle:])):
                self._store(last, half, spooled_us)
                self._add_batch(last - len(half) + 1, last)

    def note_contact(self, what: str, clock_skew_s: int | None) -> None:
        """Keep what the last try ended with, for `status`; a None skew leaves the last estimate."""
        with self._transaction():
            self._db.execute(
                "UPDATE spool SET contact_us = ?, contact = ?, clock_skew_s = COALESCE(?, clock_skew_s)",
                (_now_us(), what, clock_skew_s),
            )

    def _prepare(self, source: str) -> None:
        with reported(self._path):
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
        with self._transaction():
            (version,) = self._row("PRAGMA user_version")
            if version > VERSION:
                raise _newer(self._path, version)
            if version == 0:
                for statement in _SCHEMA.split(";"):
                    self._db.execute(statement)
                self._db.execute("INSERT INTO spool(one, source) VALUES (1, ?)", (source,))
                self._db.execute(f"PRAGMA user_version = {VERSION}")
            (owner,) = self._row("SELECT source FROM spool")
        if owner != source:
            raise MeteringError(
                "spool-of-another-source",
                f"暂存 {self._path} 属于 {owner}，不能用于 {source}；请另设文件",
                f"spool {self._path} belongs to {owner}, not to {source}: use another file",
                kind=Kind.CONFLICT,
            )

    def _unseen(self, records: Iterable[UsageRecord], *, again: bool) -> Iterator[bytes]:
        """Events of the records that were not spooled before, or of all `again`; each is remembered from here on."""
        remember, sha256, source = self._db.execute, hashlib.sha256, self._source
        for record in records:
            event = encode_event(record, source)
            # The minute in front makes the index grow at its end, where its pages are warm.
            digest = (record.end_us // 60_000_000).to_bytes(5, "big", signed=True) + sha256(event).digest()[:12]
            if remember("INSERT INTO seen VALUES (?) ON CONFLICT DO NOTHING", (digest,)).rowcount or again:
                yield event

    def _fits(self, records: int, size: int) -> bool:
        return records <= self._batch_records_max and size + 2 <= self._batch_bytes_max

    def _store(self, last: int, events: list[bytes], spooled_us: int | None = None) -> None:
        if events:
            joined = b",".join(events)
            self._db.execute(
                "INSERT INTO pack(first, last, spooled_us, sent_bytes, events) VALUES (?, ?, ?, ?, ?)",
                (last - len(events) + 1, last, spooled_us or _now_us(), len(joined), zlib.compress(joined, 1)),
            )

    def _check_room(self) -> None:
        if self._row("SELECT COALESCE(SUM(LENGTH(events)), 0) FROM pack")[0] > self._bytes_max:
            raise MeteringError(
                "spool-full",
                f"暂存 {self._path} 已满（上限 {self._bytes_max} 字节），未再收录；请恢复上报或调高上限",
                f"spool {self._path} is full (limit {self._bytes_max} bytes), nothing was added: "
                "let it send, or raise its limit",
                kind=Kind.INSUFFICIENT,
            )

    def _cut(self) -> tuple[int, int, str] | None:
        (after,) = self._row("SELECT last FROM batch ORDER BY first DESC LIMIT 1") or (0,)
        end, size = after, 0
        packs = "SELECT last, sent_bytes FROM pack WHERE first > ? ORDER BY first LIMIT ?"
        for last, sent_bytes in self._db.execute(packs, (after, self._batch_records_max)):
            if end > after and not self._fits(last - after, size + sent_bytes):
                break
            end, size = last, size + sent_bytes + 1
        return self._add_batch(after + 1, end) if end > after else None

    def _add_batch(self, first: int, last: int) -> tuple[int, int, str]:
        key = secrets.token_hex(16)
        self._db.execute(
            "INSERT INTO batch(first, last, key, state, changed_us) VALUES (?, ?, ?, 'open', ?)",
            (first, last, key, _now_us()),
        )
        return first, last, key

    def _set(self, batch: Batch, *, state: str, problem: str | None = None, receipt: str | None = None) -> None:
        self._db.execute(
            "UPDATE batch SET state = ?, changed_us = ?, problem = COALESCE(?, problem), receipt = ? WHERE first = ?",
            (state, _now_us(), problem, receipt, batch.first),
        )

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with reported(self._path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # a full disk makes SQLite roll back by itself
                    self._db.execute("ROLLBACK")
                raise


def _newer(path: Path, version: int) -> MeteringError:
    return MeteringError(
        "spool-newer",
        f"暂存 {path} 是较新版本写的（{version}，本程序认得 {VERSION}）；请用较新的 suanquan-agent",
        f"spool {path} was written by a later version ({version}, this program knows {VERSION}): use that one",
        kind=Kind.CONFLICT,
    )


def _lock(path: Path) -> IO[bytes]:
    """Take the lock beside the spool (not on it: closing a second descriptor would drop SQLite's own locks)."""
    with reported(path, (OSError,)):
        lock = os.fdopen(os.open(path.with_name(f"{path.name}.lock"), os.O_WRONLY | os.O_CREAT, 0o600), "wb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise MeteringError(
            "spool-in-use",
            f"另一个上报进程正在使用暂存 {path}；请等它结束或先停止它",
            f"another agent is using spool {path}: wait for it or stop it",
            kind=Kind.CONFLICT,
        ) from None
    return lock


def _now_us() -> int:
    return time.time_ns() // 1000
