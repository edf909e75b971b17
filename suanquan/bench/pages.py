"""`bench pages`: server time of every page of officials and the public over a year of usage, the metrics page, and a long export."""

from __future__ import annotations

import asyncio
import logging
import secrets
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from starlette.types import ASGIApp, Message, Scope

from suanquan.bench.figures import percentile, rss_mb
from suanquan.bench.pages_home import MONTH_US, MONTHS, Stepped, centre, fill, give
from suanquan.bench.places import new_places
from suanquan.db.place import Server
from suanquan.home import Home, write_secret
from suanquan.http.app import create_app
from suanquan.server import configure_logging
from suanquan.service import Service, open_service
from suanquan.settings import Settings
from suanquan.use_cases import setup

DAY_US = 86_400_000_000
DASHBOARD = "/office"
PAGES = (
    *("/", DASHBOARD, "/office/uptake", "/office/centres", "/office/budgets", "/office/clauses", "/office/queue"),
    *("/office/findings", "/office/vouchers", "/office/vouchers?class=other"),
    f"/office/entries?account=centre/{centre(0)}/receivable",
    *("/log", "/verify", "/policies", "/notices", "/subsidies"),
)
FIRSTS = 3
METRICS, EXPORT = "/metrics", "/office/usage.csv"


class Plan(NamedTuple):
    """What is measured, and how often each page is asked for."""

    backend: str
    records: int
    holders: int
    rounds: int


def measure(plan: Plan) -> dict[str, Any]:
    """Milliseconds of CPU and of the clock; `raw_per_second` are requests for a page that reads nothing (`/healthz`)."""
    configure_logging(logging.WARNING)
    with new_places(plan.backend) as new_place, tempfile.TemporaryDirectory(prefix="suanquan-bench-") as folder:
        place = new_place("pages")
        home = Home(Path(folder) / "home")
        url = place.url.replace(":@/", "@/") if isinstance(place, Server) else ""
        return asyncio.run(_run(plan, home, url))


async def _run(plan: Plan, home: Home, url: str) -> dict[str, Any]:
    start_us = time.time_ns() // 1000 - MONTHS * MONTH_US - DAY_US
    clock, passphrase = Stepped(start_us), secrets.token_urlsafe(24).encode()
    home.path.mkdir(mode=0o700)
    write_secret(home.path / "demo-passphrase", passphrase)
    # making a home opens a loop of its own
    token = await asyncio.to_thread(setup.initialise, home, Settings(sandbox=True, database_url=url), passphrase, clock)
    async with open_service(home, passphrase, clock) as service:
        await fill(service, clock, start_us, plan.holders, plan.records)
        await service.log.sign()
        return await _measured(plan, service, create_app(service), token)


async def _measured(plan: Plan, service: Service, app: ASGIApp, token: str) -> dict[str, Any]:
    raw = statistics.median([(await _ask(app, "/healthz", token)).cpu_ms for _ in range(50)])
    await _ask(app, METRICS, token)  # a process finds its way once in its life
    metrics = [await _after_a_change(service, app, number, token) for number in range(FIRSTS)]
    metrics += [await _ask(app, METRICS, token) for _ in range(plan.rounds)]
    for path in PAGES:  # templates are compiled once in the life of a process
        await _ask(app, path, token)
    found = {path: [await _ask(app, path, token) for _ in range(plan.rounds)] for path in PAGES}
    export = await _ask(app, EXPORT, token)
    by_page = {path: percentile([one.cpu_ms for one in answers], 95) for path, answers in found.items()}
    walls = [one.wall_ms for answers in found.values() for one in answers]
    middle = statistics.median([one.cpu_ms for answers in found.values() for one in answers])
    return {
        "workload": "pages",
        "backend": plan.backend,
        "per_second": round(1000 / middle, 1),
        "raw_per_second": round(1000 / raw),
        "ratio": round(raw / middle, 4),
        "page_p95_ms": max(by_page.values()),
        "page_wall_p95_ms": percentile(walls, 95),
        "dashboard_p95_ms": by_page[DASHBOARD],
        "metrics_first_ms": round(statistics.median([one.cpu_ms for one in metrics[:FIRSTS]]), 1),
        "metrics_p95_ms": percentile([one.cpu_ms for one in metrics[FIRSTS:]], 95),
        "metrics_series": sum(not line.startswith(b"#") for line in metrics[0].body.splitlines()),
        "export_rows": export.body.count(b"\n") - 1,
        "export_s": round(export.wall_ms / 1000, 2),
        "export_part_bytes": export.largest,
        "rss_mb": rss_mb(),
        "pages": by_page,
        "records": plan.records,
        "holders": plan.holders,
    }


async def _after_a_change(service: Service, app: ASGIApp, number: int, token: str) -> _Answer:
    """The first scrape after an entry, which has to sum everything anew."""
    await give(service, number)
    return await _ask(app, METRICS, token)


class _Answer(NamedTuple):
    """An answer with the CPU and the time that it took; `largest` is the longest piece that was sent at once."""

    cpu_ms: float
    wall_ms: float
    body: bytes
    largest: int


async def _ask(app: ASGIApp, path: str, token: str) -> _Answer:
    """Ask as a browser does, without a network between.

    Raises:
        RuntimeError: the page was refused.

    """
    target, _, query = path.partition("?")
    scope: Scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http", "path": target,
        "raw_path": target.encode(), "query_string": query.encode(), "root_path": "", "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8080),
        "headers": [(b"host", b"127.0.0.1:8080"), (b"authorization", f"Bearer {token}".encode())],
    }  # fmt: skip
    sent: list[Message] = []
    begun = False

    async def receive() -> Message:
        nonlocal begun
        if begun:
            await asyncio.Event().wait()
        begun = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    cpu, wall = time.process_time(), time.perf_counter()
    await app(scope, receive, send)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    parts = [message.get("body", b"") for message in sent[1:]]
    if sent[0]["status"] != 200:
        raise RuntimeError(f"{path}: {sent[0]['status']} {b''.join(parts)[:300]!r}")
    return _Answer(cpu * 1000, wall * 1000, b"".join(parts), max(map(len, parts)))
