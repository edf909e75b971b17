"""`bench ingest`: real HTTP to a real service process, real signatures, durable commits."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.ed25519 import PublicKey
from metering.agent.events import CONTENT_TYPE, batch_body, encode_event, number_event
from metering.model import Accelerator, UsageRecord
from metering.signature import sign
from suanquan.bench.figures import median_run, percentile, raw_sqlite_rows, rss_mb
from suanquan.home import Home, read_passphrase, write_secret
from suanquan.service import Service, open_service
from suanquan.settings import Settings
from suanquan.use_cases import setup
from voucher.holder import sandbox_uscc
from voucher.issuance import IssueRequest
from voucher.scheme import SchemeStatus

CENTRE = "bench"
SOURCE = f"urn:centre:{CENTRE}:agent:bench"
START_US = 1_788_192_000_000_000
"""2026-09-01T00:00:00+08:00."""
CLIENTS = 4
"""Batches under way at once: one arrives, one is decoded, one is being committed."""


def measure(*, batch: int, batches: int, vouchers: int, runs: int) -> dict[str, Any]:
    """Records a second from the first byte sent to the last answer; median of the runs, each with its own raw limit."""
    found = [_run(batch, batches, vouchers) for _ in range(runs)]
    return median_run(found, "ratio") | {"runs": runs}


def _run(batch: int, batches: int, vouchers: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="suanquan-bench-") as folder:
        home = Home(Path(folder) / "home")
        key = Ed25519PrivateKey.generate()
        _prepare(home, key, vouchers)
        raw = raw_sqlite_rows(Path(folder))
        with running_service(home) as (url, pid):
            requests = _Requests(url, key, batch, vouchers)
            requests.send(1)  # what is loaded and compiled at the first request is not what is measured
            bodies = requests.build(batches)
            started = time.perf_counter()
            answers = requests.send_all(bodies)
            seconds = time.perf_counter() - started
            memory = rss_mb(pid)
    per_second = batch * batches / seconds
    return {
        "workload": "ingest",
        "backend": "sqlite",
        "form": "cloudevents",
        "per_second": round(per_second),
        "raw_per_second": round(raw),
        "ratio": round(per_second / raw, 3),
        "p50_ms": percentile(answers, 50),
        "p99_ms": percentile(answers, 99),
        "rss_mb": memory,
        "batch": batch,
        "batches": batches,
        "vouchers": vouchers,
    }


def _prepare(home: Home, key: Ed25519PrivateKey, vouchers: int) -> None:
    home.path.mkdir(mode=0o700)
    write_secret(home.path / "demo-passphrase", secrets.token_urlsafe(24).encode())
    passphrase = read_passphrase(home.path / "demo-passphrase")
    setup.initialise(home, Settings(sandbox=True), passphrase)

    async def fill(service: Service) -> None:
        await setup.register_centre(service.journal, service.catalog, CENTRE, CENTRE, {"H100-SXM": 100_000})
        await setup.register_agent_key(service.journal, CENTRE, PublicKey.of(key))
        scheme = next(name for name, known in service.catalog.schemes.items() if known.status is SchemeStatus.SANDBOX)
        for number in range(vouchers):
            holder = sandbox_uscc(number)
            await setup.bind_account(service.journal, CENTRE, _account(number), holder)
            await service.issue(scheme, IssueRequest(holder, "CNY", "1000000"), f"bench/{number}")

    async def run() -> None:
        async with open_service(home, passphrase) as service:
            await fill(service)

    asyncio.run(run())


def _account(number: int) -> str:
    return f"tenant-{number:04d}"


@contextmanager
def running_service(home: Home, port: int = 0) -> Iterator[tuple[str, int]]:
    """Run a service process of its own, as an operator would."""
    command = [sys.executable, "-m", "suanquan", "serve", "--home", str(home.path), "--port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603 -- our own command
        assert process.stderr is not None
        try:
            line = next((line for line in process.stderr if '"listening"' in line), "")
            threading.Thread(target=lambda: [None for _ in process.stderr or ()], daemon=True).start()
            yield json.loads(line)["url"], process.pid
        finally:
            process.send_signal(signal.SIGTERM)


class _Requests:
    """Signed batches over kept-alive connections."""

    def __init__(self, url: str, key: Ed25519PrivateKey, batch: int, vouchers: int) -> None:
        self._url, self._key, self._kid = url, key, PublicKey.of(key).kid
        self._batch, self._vouchers = batch, vouchers
        self._sequence = 0

    def build(self, count: int) -> list[bytes]:
        """Bodies of the next batches; ids, times and sequence ascend."""
        return [batch_body([self._event() for _ in range(self._batch)]) for _ in range(count)]

    def _event(self) -> bytes:
        self._sequence += 1
        number = self._sequence
        start_us = START_US + number // 8 * 1_000_000
        record = UsageRecord(
            f"bench:slurm:{number:012d}:{start_us // 1_000_000}:0",
            _account(number * 7919 % self._vouchers),
            str(number),
            start_us // 1_000_000,
            start_us,
            start_us + 60_000_000,
            60_000,
            (Accelerator("H100-SXM", 1000 * (1 << number % 4)),),
            "COMPLETED",
        )
        return number_event(encode_event(record, SOURCE), number)

    def send(self, count: int) -> None:
        """Send batches one after another."""
        self._worker(iter(self.build(count)), [])

    def send_all(self, bodies: list[bytes]) -> list[float]:
        """Send all bodies over a few connections; milliseconds of each answer."""
        times: list[float] = []
        shared = _Shared(iter(bodies))
        workers = [threading.Thread(target=self._worker, args=(shared, times)) for _ in range(CLIENTS)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        if len(times) != len(bodies):
            raise RuntimeError(f"{len(bodies) - len(times)} batches were not accepted")
        return times

    def _worker(self, bodies: Iterator[bytes], times: list[float]) -> None:
        parts = urlsplit(self._url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=120)
        for body in bodies:
            started = time.perf_counter()
            connection.request("POST", "/v1/usage", body, self._headers(body))
            with connection.getresponse() as response:
                answer = response.read()
            if response.status != 200 or f'"accepted":{self._batch},' not in answer[:100].decode():
                raise RuntimeError(f"{response.status}: {answer[:500]!r}")
            times.append((time.perf_counter() - started) * 1000)
        connection.close()

    def _headers(self, body: bytes) -> dict[str, str]:
        return sign(
            self._key,
            self._kid,
            method="POST",
            target_uri=f"{self._url}/v1/usage",
            content_type=CONTENT_TYPE,
            body_sha256=hashlib.sha256(body).digest(),
            idempotency_key=secrets.token_hex(16),
            created_s=time.time_ns() // 1_000_000_000,
            nonce=secrets.token_urlsafe(24),
        )


class _Shared:
    """One iterator for several threads."""

    def __init__(self, items: Iterator[bytes]) -> None:
        self._items, self._lock = items, threading.Lock()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        with self._lock:
            return next(self._items)
