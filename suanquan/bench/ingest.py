"""`bench ingest`: real HTTP to a real service process, real signatures, durable commits."""

from __future__ import annotations

import asyncio
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
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.ed25519 import PublicKey
from suanquan.bench.figures import cpu_seconds, median_run, percentile, processes_of, raw_sqlite_rows, rss_mb
from suanquan.bench.places import new_places
from suanquan.bench.reports import MODEL, NARROW, WIDE, Reports, account, narrow_rows, wide_rows
from suanquan.db.place import Server
from suanquan.home import Home, read_passphrase, write_secret
from suanquan.service import Service, open_service
from suanquan.settings import Settings
from suanquan.use_cases import setup
from voucher.holder import sandbox_uscc
from voucher.issuance import IssueRequest
from voucher.scheme import SchemeStatus

CENTRE = "bench"
SOURCE = f"urn:centre:{CENTRE}:agent:bench"
SMALL = 1_000_000
"""Stored records at which the rate is measured that growth is compared with."""
GROWTH_BATCHES = 10
"""Batches built at a time while the database is filled."""


class Plan(NamedTuple):
    """What is measured: where it is stored, how it is sent, how much, over how many connections (0: as the batch asks).

    `stored` is how many records are stored in the end (0: as sent).
    """

    backend: str
    form: str
    batch: int
    batches: int
    vouchers: int
    stored: int = 0
    clients: int = 0


def measure(plan: Plan, runs: int) -> dict[str, Any]:
    """Records a second from the first byte sent to the last answer; median of the runs, each with its own raw limit."""
    return median_run([_run(plan) for _ in range(runs)], "ratio") | {"runs": runs}


def _run(plan: Plan) -> dict[str, Any]:
    with (
        new_places(plan.backend) as new_place,
        tempfile.TemporaryDirectory(prefix="suanquan-bench-") as folder,
    ):
        home = Home(Path(folder) / "home")
        key = Ed25519PrivateKey.generate()
        place = new_place("ingest")
        _prepare(home, key, plan.vouchers, place.url.replace(":@/", "@/") if isinstance(place, Server) else "")
        before = _raw(plan, Path(folder))
        with running_service(home) as (url, pid):
            reports = Reports(url, key, SOURCE, plan.form, plan.batch, plan.vouchers, plan.clients)
            warm = -(-2_000 // plan.batch)  # what is loaded, compiled and started at first is not what is measured
            reports.send_all(reports.build(warm))
            time.sleep(1)
            reports.send_all(reports.build(reports.clients))
            found = _grown(plan, reports, pid) if plan.stored else {}
            measured = _measured(plan, reports, pid)
            memory = sum(map(rss_mb, processes_of(pid)))
        raw = [round((one + other) / 2) for one, other in zip(before, _raw(plan, Path(folder)), strict=True)]
    per_second = measured["per_second"]
    return {
        "workload": "ingest",
        "backend": plan.backend,
        "form": plan.form,
        **measured,
        "raw_per_second": raw[0],
        "ratio": round(per_second / raw[0], 3),
        "raw_wide_per_second": raw[1],
        "ratio_wide": round(per_second / raw[1], 3),
        "rss_mb": memory,
        "batch": plan.batch,
        "batches": plan.batches,
        "vouchers": plan.vouchers,
        "clients": reports.clients,
        **(
            {"stored": plan.stored, **found, "growth_ratio": round(per_second / found["per_second_at_first"], 3)}
            if found
            else {}
        ),
    }


def _raw(plan: Plan, folder: Path) -> list[float]:
    """Rows a second of one plain program: usage at its narrowest, and all that a reported record says."""
    rows = ((NARROW, narrow_rows(plan.vouchers)), (WIDE, wide_rows(plan.vouchers)))
    return [raw_sqlite_rows(folder, columns, made) for columns, made in rows]


def _measured(plan: Plan, reports: Reports, pid: int) -> dict[str, Any]:
    """What the last batches took: new, and then sent again; and the time on the processor of a new record."""
    bodies = reports.build(plan.batches)
    busy = cpu_seconds(pid)
    per_second, answers = _rate(plan, reports, bodies, "accepted")
    busy = cpu_seconds(pid) - busy
    again, _ = _rate(plan, reports, bodies, "duplicate")
    return {
        "per_second": round(per_second),
        "p50_ms": percentile(answers, 50),
        "p99_ms": percentile(answers, 99),
        "cpu_us": round(busy * 1e6 / (plan.batch * plan.batches), 2),
        "duplicates_per_second": round(again),
        "duplicates_ratio": round(again / per_second, 3),
    }


def _rate(plan: Plan, reports: Reports, bodies: list[bytes], status: str) -> tuple[float, list[float]]:
    started = time.perf_counter()
    answers = reports.send_all(bodies, status)
    return plan.batch * len(bodies) / (time.perf_counter() - started), answers


def _grown(plan: Plan, reports: Reports, pid: int) -> dict[str, Any]:
    """Fill the database up to the number asked for; the rate on the way, once a first part of it is stored."""
    first = min(SMALL, plan.stored // 2)
    _fill(plan, reports, first)
    bodies, busy = reports.build(plan.batches), cpu_seconds(pid)
    at_first, _ = _rate(plan, reports, bodies, "accepted")
    busy = cpu_seconds(pid) - busy
    _fill(plan, reports, plan.stored - first)
    return {
        "per_second_at_first": round(at_first),
        "cpu_us_at_first": round(busy * 1e6 / (plan.batch * plan.batches), 2),
    }


def _fill(plan: Plan, reports: Reports, records: int) -> None:
    for _ in range(0, records, plan.batch * GROWTH_BATCHES):
        reports.send_all(reports.build(GROWTH_BATCHES))


def _prepare(home: Home, key: Ed25519PrivateKey, vouchers: int, database: str = "") -> None:
    home.path.mkdir(mode=0o700)
    write_secret(home.path / "demo-passphrase", secrets.token_urlsafe(24).encode())
    passphrase = read_passphrase(home.path / "demo-passphrase")
    setup.initialise(home, Settings(sandbox=True, database_url=database), passphrase)

    async def fill(service: Service) -> None:
        await setup.register_centre(service.journal, service.catalog, CENTRE, CENTRE, {MODEL: 100_000})
        await setup.register_agent_key(service.journal, CENTRE, PublicKey.of(key))
        scheme = next(name for name, known in service.catalog.schemes.items() if known.status is SchemeStatus.SANDBOX)
        for number in range(vouchers):
            holder = sandbox_uscc(number)
            await setup.bind_account(service.journal, CENTRE, account(number), holder)
            await service.issue(scheme, IssueRequest(holder, "CNY", "1000000"), f"bench/{number}")

    async def run() -> None:
        async with open_service(home, passphrase) as service:
            await fill(service)

    asyncio.run(run())


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
