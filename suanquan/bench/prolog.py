"""`bench prolog`: how soon a scheduler hears whether a job may start; beside it the same connections asking for `/healthz`."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from suanquan.bench.figures import median_run, percentile, rss_mb
from suanquan.bench.ingest import running_service
from suanquan.home import Home, read_passphrase, write_secret
from suanquan.server import run_loop
from suanquan.service import open_service
from suanquan.settings import Settings
from suanquan.use_cases import setup
from voucher.holder import sandbox_uscc
from voucher.issuance import IssueRequest
from voucher.scheme import SchemeStatus

CENTRE = "bench"
WARM = 50


class Plan(NamedTuple):
    """Questions of one run, connections at once, accounts with a voucher each, and runs of the script itself."""

    questions: int
    clients: int
    accounts: int
    scripts: int


def measure(plan: Plan, runs: int) -> dict[str, Any]:
    """Milliseconds to an answer: the median of the runs by their 99th percentile."""
    return median_run([_run(plan) for _ in range(runs)], "p99_ms") | {"runs": runs}


def _run(plan: Plan) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="suanquan-bench-") as folder:
        home = Home(Path(folder) / "home")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        token = _prepare(home, url, plan.accounts)
        head = f"host: bench\r\nauthorization: Bearer {token}\r\n\r\n"
        questions = [_question(at % plan.accounts, at, head) for at in range(plan.questions)]
        alive = [f"GET /healthz HTTP/1.1\r\n{head}".encode()] * plan.questions
        with running_service(home, port) as (_, pid):
            run_loop(_ask_all(url, questions[:WARM], plan.clients))
            raw_seconds, raw_times = run_loop(_ask_all(url, alive, plan.clients))
            seconds, times = run_loop(_ask_all(url, questions, plan.clients))
            scripts = _scripts(Path(folder), home, url, token, plan.scripts)
            memory = rss_mb(pid)
    per_second, raw = plan.questions / seconds, plan.questions / raw_seconds
    return {
        "workload": "prolog",
        "backend": "sqlite",
        "per_second": round(per_second),
        "raw_per_second": round(raw),
        "ratio": round(per_second / raw, 3),
        "p50_ms": percentile(times, 50),
        "p99_ms": percentile(times, 99),
        "raw_p99_ms": percentile(raw_times, 99),
        **({"script_p50_ms": percentile(scripts, 50), "script_p99_ms": percentile(scripts, 99)} if scripts else {}),
        "rss_mb": memory,
        **plan._asdict(),
    }


def _prepare(home: Home, url: str, accounts: int) -> str:
    """A home with a centre and accounts, each with a voucher; the token of the centre's scheduler."""
    home.path.mkdir(mode=0o700)
    write_secret(home.path / "demo-passphrase", os.urandom(24).hex().encode())
    passphrase = read_passphrase(home.path / "demo-passphrase")
    setup.initialise(
        home, Settings(sandbox=True, public_url=url, key_requests_max=256, centre_requests_max=256), passphrase
    )

    async def run() -> str:
        async with open_service(home, passphrase) as service:
            await setup.register_centre(service.journal, service.catalog, CENTRE, CENTRE, {"A100": 100_000})
            scheme = next(name for name, one in service.catalog.schemes.items() if one.status is SchemeStatus.SANDBOX)
            for number in range(accounts):
                await setup.bind_account(service.journal, CENTRE, f"a{number}", sandbox_uscc(number))
                order = IssueRequest(sandbox_uscc(number), "CNY", "1000")
                await service.issue(scheme, order, f"bench/{number}")
            return await setup.register_scheduler(service.journal, CENTRE)

    return asyncio.run(run())


def _question(account: int, at: int, head: str) -> bytes:
    """Every other job is longer than the voucher lasts, so that how long it lasts is looked for."""
    query = f"account=a{account}&model=A100&cards=8&hours={1 + at % 2 * 99}&need=full"
    return f"GET /v1/advice/{CENTRE}?{query} HTTP/1.1\r\n{head}".encode()


async def _ask_all(url: str, requests: list[bytes], clients: int) -> tuple[float, list[float]]:
    """Ask over so many connections, each the next when it was answered: seconds in all, milliseconds of each."""
    times: list[float] = []
    shared = iter(requests)
    started = time.perf_counter()
    await asyncio.gather(*(_ask(url, shared, times) for _ in range(clients)))
    return time.perf_counter() - started, times


async def _ask(url: str, requests: Iterator[bytes], times: list[float]) -> None:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        for request in requests:
            started = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            body = await reader.readexactly(int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]))
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"{head.splitlines()[0]!r}: {body[:500]!r}")
            times.append((time.perf_counter() - started) * 1000)
    finally:
        writer.close()


def _scripts(folder: Path, home: Home, url: str, token: str, runs: int) -> list[float]:
    """Milliseconds that the shipped prolog takes as a process, curl and all; none where there is no curl."""
    script = home.config / "slurm/suanquan-prolog.sh"
    if shutil.which("curl") is None:
        return []
    write_secret(folder / "token", token.encode())
    lines = {
        "SUANQUAN_URL": url,
        "SUANQUAN_CENTRE": CENTRE,
        "SUANQUAN_TOKEN_FILE": folder / "token",
        "SUANQUAN_MODEL": "A100",
    }
    (folder / "prolog.conf").write_text("".join(f"{name}={value}\n" for name, value in lines.items()), "utf-8")
    job = {"SLURM_JOB_ID": "1", "SLURM_JOB_ACCOUNT": "a0", "SLURM_JOB_GPUS": "0,1", "PATH": os.environ["PATH"]}
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        subprocess.run(  # noqa: S603 -- our own script
            ["/bin/sh", str(script)], env=job | {"SUANQUAN_PROLOG_CONF": str(folder / "prolog.conf")}, check=True,
            capture_output=True,
        )  # fmt: skip
        times.append((time.perf_counter() - started) * 1000)
    return times
