"""`bench pages`: server time of every page of the portal over a year of usage, the metrics page, and a long export."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from suanquan.bench.figures import percentile, rss_mb
from suanquan.bench.pages_asking import HOST, Answer, Asking, get
from suanquan.bench.pages_home import MONTH_US, MONTHS, Stepped, fill, give
from suanquan.bench.pages_stock import stock
from suanquan.bench.pages_visits import (
    DASHBOARD,
    EXPORT_S,
    METRICS_MS,
    PAGE_MS,
    SERIES,
    VISITS,
    limit_of,
    names_of,
    tokens_of,
)
from suanquan.bench.places import new_places
from suanquan.db.place import Server
from suanquan.home import Home, read_passphrase, write_secret
from suanquan.http.app import create_app
from suanquan.server import configure_logging, run_loop
from suanquan.service import Service, open_service
from suanquan.settings import Settings
from suanquan.use_cases import setup

DAY_US = 86_400_000_000
FIRSTS = 3
METRICS, EXPORT = "/metrics", "/office/usage.csv"
FILLED = "bench-filled"
"""File of a home that was filled: the instant at which its clock stood then, UTC epoch microseconds."""


class Plan(NamedTuple):
    """What is measured, and how often each page is asked for."""

    backend: str
    records: int
    holders: int
    rounds: int
    home: Path | None = None
    """Where a filled home is kept, and found again by the next run (SQLite); none: a temporary folder."""


def measure(plan: Plan) -> dict[str, Any]:
    """Milliseconds of CPU and of the clock; `raw_per_second` are requests for a page that reads nothing (`/healthz`)."""
    configure_logging(logging.WARNING)
    with new_places(plan.backend) as new_place, _folder(plan) as folder:
        place = new_place("pages")
        url = place.url.replace(":@/", "@/") if isinstance(place, Server) else ""
        result: dict[str, Any] = run_loop(_run(plan, Home(folder), url))
        return result


@contextlib.contextmanager
def _folder(plan: Plan) -> Iterator[Path]:
    if plan.home is not None:
        yield plan.home
        return
    with tempfile.TemporaryDirectory(prefix="suanquan-bench-") as folder:
        yield Path(folder) / "home"


async def _run(plan: Plan, home: Home, url: str) -> dict[str, Any]:
    async with _filled(plan, home, url) as service:
        app = create_app(service)
        return await _measured(
            plan, service, {who: Asking(app, one) for who, one in (await tokens_of(service)).items()}
        )


@contextlib.asynccontextmanager
async def _filled(plan: Plan, home: Home, url: str) -> AsyncIterator[Service]:
    """The service of a filled home: of the one that is there, or of one that is made now."""
    file = home.path / FILLED
    if file.exists():
        async with open_service(
            home, read_passphrase(home.path / "demo-passphrase"), Stepped(int(file.read_text()))
        ) as service:
            yield service
        return
    start_us = time.time_ns() // 1000 - MONTHS * MONTH_US - DAY_US
    clock, passphrase = Stepped(start_us), secrets.token_urlsafe(24).encode()
    home.path.mkdir(mode=0o700)
    write_secret(home.path / "demo-passphrase", passphrase)
    settings = Settings(sandbox=True, database_url=url, public_url=f"http://{HOST}")
    await asyncio.to_thread(
        setup.initialise, home, settings, passphrase, clock
    )  # making a home opens a loop of its own
    async with open_service(home, passphrase, clock) as service:
        key = await fill(service, clock, start_us, plan.holders, plan.records)
        await stock(service, Asking(create_app(service)), key, plan.holders)
        await service.log.sign()
        file.write_text(str(service.now_us))
        yield service


async def _measured(plan: Plan, service: Service, asking: dict[str, Asking]) -> dict[str, Any]:
    names, officer = (await names_of(service))._asdict(), asking["officer"]
    pages = [(who, path.format(**names)) for who, paths in VISITS.items() for path in paths]
    raw = statistics.median([(await get(officer, "/healthz")).cpu_ms for _ in range(50)])
    await get(officer, METRICS)  # a process finds its way once in its life
    metrics = [await _after_a_change(service, number, officer) for number in range(FIRSTS)]
    metrics += [await get(officer, METRICS) for _ in range(plan.rounds)]
    for who, path in pages:  # templates are compiled once in the life of a process
        await get(asking[who], path)
    found = {one: [await get(asking[one[0]], one[1]) for _ in range(plan.rounds)] for one in pages}
    export = await get(officer, EXPORT)
    table = [_row(who, path, answers) for (who, path), answers in found.items()]
    middle = statistics.median([one.cpu_ms for answers in found.values() for one in answers])
    series = sum(not line.startswith(b"#") for line in metrics[0].body.splitlines())
    figures = {
        "page_p95_ms": max(row["p95_ms"] for row in table if row["path"] != DASHBOARD),
        "page_wall_p95_ms": max(row["wall_p95_ms"] for row in table if row["path"] != DASHBOARD),
        "dashboard_p95_ms": next(row["p95_ms"] for row in table if row["path"] == DASHBOARD),
        "metrics_first_ms": round(statistics.median([one.cpu_ms for one in metrics[:FIRSTS]]), 1),
        "metrics_p95_ms": percentile([one.cpu_ms for one in metrics[FIRSTS:]], 95),
        "metrics_series": series,
        "export_rows": export.body.count(b"\n") - 1,
        "export_s": round(export.wall_ms / 1000, 2),
        "export_part_bytes": export.largest,
    }
    return {
        "workload": "pages",
        "backend": plan.backend,
        "per_second": round(1000 / middle, 1),
        "raw_per_second": round(1000 / raw),
        "ratio": round(raw / middle, 4),
        **figures,
        "over": _over(table, figures),
        "rss_mb": rss_mb(),
        "pages": table,
        "records": plan.records,
        "holders": plan.holders,
    }


def _row(who: str, path: str, answers: list[Answer]) -> dict[str, Any]:
    """What a page took, beside what it may take."""
    p95 = percentile([one.cpu_ms for one in answers], 95)
    wall = percentile([one.wall_ms for one in answers], 95)
    limit = limit_of(path)
    return {"who": who or "public", "path": path, "p95_ms": p95, "wall_p95_ms": wall, "limit_ms": limit, "kb": len(answers[0].body) // 1024}  # fmt: skip


def _over(table: list[dict[str, Any]], figures: dict[str, Any]) -> list[str]:
    """Everything that took more than it may."""
    found = [f"{row['who']} {row['path']}" for row in table if row["p95_ms"] > row["limit_ms"]]
    limits = {"page_p95_ms": PAGE_MS, "metrics_first_ms": METRICS_MS, "metrics_p95_ms": METRICS_MS, "metrics_series": SERIES, "export_s": EXPORT_S}  # fmt: skip
    return found + [name for name, limit in limits.items() if figures[name] > limit]


async def _after_a_change(service: Service, number: int, officer: Asking) -> Answer:
    """The first scrape after an entry, which has to sum everything anew."""
    await give(service, f"{service.now_us}-{number}")
    return await get(officer, METRICS)
