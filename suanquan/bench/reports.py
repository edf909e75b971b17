"""Reports of made-up usage for `bench ingest`, in either form, and their way to the service over kept-alive connections."""

from __future__ import annotations

import hashlib
import http.client
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.ed25519 import PublicKey
from metering.agent.events import CONTENT_TYPE, batch_body, encode_event, number_event
from metering.columns import COLUMNS
from metering.model import Accelerator, UsageRecord
from metering.signature import sign

START_US = 1_788_192_000_000_000
"""2026-09-01T00:00:00+08:00."""
CLIENTS, CLIENTS_MAX, UNDER_WAY = 8, 32, 3_200
"""Connections at least and at most, and records under way: of small batches it takes many to keep a service busy."""
MODEL = "H100-SXM"
FORMS = {"columnar": COLUMNS, "cloudevents": CONTENT_TYPE}
PERIOD = 20_000_000
"""Records after which the clock of the made-up usage begins again, so that all of it lies in one policy month."""


def account(number: int) -> str:
    """Name of an account of the measured centre."""
    return f"tenant-{number:04d}"


class Reports:
    """Signed batches of one source; ids, times and sequence ascend."""

    def __init__(
        self, url: str, key: Ed25519PrivateKey, source: str, form: str, batch: int, vouchers: int, clients: int = 0
    ) -> None:
        self._url, self._key, self._kid = url, key, PublicKey.of(key).kid
        self._source, self._form, self._batch, self._vouchers = source, form, batch, vouchers
        self.clients = clients or min(CLIENTS_MAX, max(CLIENTS, UNDER_WAY // batch))
        self._sequence = 0

    def build(self, batches: int) -> list[bytes]:
        """Bodies of the next batches."""
        return [self._body() for _ in range(batches)]

    def _body(self) -> bytes:
        numbers = range(self._sequence + 1, self._sequence + self._batch + 1)
        self._sequence = numbers[-1]
        if self._form == "columnar":
            return msgspec.json.encode(self._columns(numbers))
        return batch_body(
            [number_event(encode_event(self._record(number), self._source), number) for number in numbers]
        )

    def _columns(self, numbers: range) -> dict[str, Any]:
        starts = [_start_us(number) for number in numbers]
        subjects = list(dict.fromkeys(number * 7919 % self._vouchers for number in numbers))
        places = {subject: place for place, subject in enumerate(subjects)}
        return {
            "source": self._source,
            "first_sequence": numbers[0],
            "id": [_id(number) for number in numbers],
            "job": [str(number) for number in numbers],
            "attempt": [start // 1_000_000 for start in starts],
            "start_us": starts,
            "end_us": [start + 60_000_000 for start in starts],
            "active_ms": [60_000] * len(starts),
            "subjects": [account(subject) for subject in subjects],
            "subject": [places[number * 7919 % self._vouchers] for number in numbers],
            "accelerators": [[{"model": MODEL, "count_milli": 1000 << power}] for power in range(4)],
            "accelerator": [number % 4 for number in numbers],
            "states": ["COMPLETED"],
            "state": [0] * len(starts),
        }

    def _record(self, number: int) -> UsageRecord:
        start_us = _start_us(number)
        return UsageRecord(
            _id(number),
            account(number * 7919 % self._vouchers),
            str(number),
            start_us // 1_000_000,
            start_us,
            start_us + 60_000_000,
            60_000,
            (Accelerator(MODEL, 1000 << number % 4),),
            "COMPLETED",
        )

    def send_all(self, bodies: Sequence[bytes], status: str = "accepted") -> list[float]:
        """Send all bodies over a few connections; milliseconds of each answer, which must give all records this status."""
        times: list[float] = []
        failures: list[str] = []
        shared = _Shared(iter(bodies))
        workers = [
            threading.Thread(target=self._worker, args=(shared, status, times, failures)) for _ in range(self.clients)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        if failures:
            raise RuntimeError(failures[0])
        return times

    def _worker(self, bodies: Iterator[bytes], status: str, times: list[float], failures: list[str]) -> None:
        parts = urlsplit(self._url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=120)
        for body in bodies:
            started = time.perf_counter()
            connection.request("POST", "/v1/usage", body, self._headers(body))
            with connection.getresponse() as response:
                answer = response.read()
            if response.status != 200 or f'"{status}":{self._batch},'.encode() not in answer[:100]:
                failures.append(f"{response.status}: {answer[:500]!r}")
                break
            times.append((time.perf_counter() - started) * 1000)
        connection.close()

    def _headers(self, body: bytes) -> dict[str, str]:
        return sign(
            self._key,
            self._kid,
            method="POST",
            target_uri=f"{self._url}/v1/usage",
            content_type=FORMS[self._form],
            body_sha256=hashlib.sha256(body).digest(),
            idempotency_key=secrets.token_hex(16),
            created_s=time.time_ns() // 1_000_000_000,
            nonce=secrets.token_urlsafe(24),
        )


NARROW = "id BLOB NOT NULL UNIQUE, account INT, start_us INT, end_us INT, active_ms INT, count_milli INT, hash BLOB"
"""A row of usage at its narrowest: an id of 16 bytes in order of time, five integers, a hash of 32 bytes."""
WIDE = (
    "id TEXT NOT NULL UNIQUE, account TEXT, job TEXT, attempt INT, start_us INT, end_us INT, active_ms INT, model TEXT, "
    "count_milli INT, state TEXT, hash BLOB"
)
"""A row that says what a reported record says."""


def narrow_rows(vouchers: int) -> Iterator[tuple[Any, ...]]:
    """Made-up usage as `NARROW` rows."""
    for number in count(1):
        start, digest = _start_us(number), hashlib.sha256(number.to_bytes(8)).digest()
        key = start.to_bytes(8) + number.to_bytes(8)
        yield key, number * 7919 % vouchers, start, start + 60_000_000, 60_000, 1000 << number % 4, digest


def wide_rows(vouchers: int) -> Iterator[tuple[Any, ...]]:
    """The made-up usage that is reported, as `WIDE` rows."""
    for number in count(1):
        start, digest = _start_us(number), hashlib.sha256(number.to_bytes(8)).digest()
        yield (
            _id(number), account(number * 7919 % vouchers), str(number), start // 1_000_000, start, start + 60_000_000,
            60_000, MODEL, 1000 << number % 4, "COMPLETED", digest,
        )  # fmt: skip


def _id(number: int) -> str:
    return f"bench:slurm:{number:012d}:{_start_us(number) // 1_000_000}:0"


def _start_us(number: int) -> int:
    return START_US + number % PERIOD // 8 * 1_000_000


class _Shared:
    """One iterator for several threads."""

    def __init__(self, items: Iterator[bytes]) -> None:
        self._items, self._lock = items, threading.Lock()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        with self._lock:
            return next(self._items)
