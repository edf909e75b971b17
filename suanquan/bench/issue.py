"""`bench issue`: vouchers issued in bulk, logged, signed and durable; beside them their signatures alone."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.ed25519 import PublicKey
from ledger.errors import DomainError
from suanquan.bench.figures import median_run, rss_mb
from suanquan.home import Home, read_passphrase, write_secret
from suanquan.service import Service, open_service
from suanquan.settings import Settings
from suanquan.use_cases import setup
from voucher.holder import sandbox_uscc
from voucher.issuance import IssueRequest
from voucher.scheme import SchemeStatus

HOLDERS = 2_500
"""Each of whom has a cap of his own, of the sandbox's size; all of them must fit into what one account may grant."""
MESSAGE_BYTES = 800
"""About what is signed of a JWT."""


def measure(vouchers: int, runs: int) -> dict[str, Any]:
    """Vouchers a second, from the first order to the last token; median of the runs, each with its own raw limit."""
    return median_run([_run(vouchers) for _ in range(runs)], "ratio") | {"runs": runs}


def _run(vouchers: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="suanquan-bench-") as folder:
        home = Home(Path(folder) / "home")
        home.path.mkdir(mode=0o700)
        write_secret(home.path / "demo-passphrase", secrets.token_urlsafe(24).encode())
        passphrase = read_passphrase(home.path / "demo-passphrase")
        setup.initialise(home, Settings(sandbox=True), passphrase)
        seconds = asyncio.run(_issue(home, passphrase, vouchers))
    raw = _signatures_alone(vouchers)
    return {
        "workload": "issue",
        "backend": "sqlite",
        "per_second": round(vouchers / seconds),
        "raw_per_second": round(raw),
        "ratio": round(vouchers / seconds / raw, 3),
        "seconds": round(seconds, 2),
        "rss_mb": rss_mb(),
        "vouchers": vouchers,
    }


async def _issue(home: Home, passphrase: bytes, vouchers: int) -> float:
    async with open_service(home, passphrase) as service:
        orders = [IssueRequest(sandbox_uscc(number % HOLDERS), "CNY", "100") for number in range(vouchers)]
        started = time.perf_counter()
        await _issue_all(service, orders)
        return time.perf_counter() - started


async def _issue_all(service: Service, orders: list[IssueRequest]) -> None:
    scheme = next(name for name, known in service.catalog.schemes.items() if known.status is SchemeStatus.SANDBOX)
    asked = [(request, f"bench/{number}") for number, request in enumerate(orders)]
    async for outcome in service.issue_many(scheme, asked):
        if isinstance(outcome, DomainError):
            raise outcome


def _signatures_alone(vouchers: int) -> float:
    """Vouchers a second whose two tokens are signed and verified, and nothing else."""
    key = Ed25519PrivateKey.generate()
    public, message = PublicKey.of(key), bytes(MESSAGE_BYTES)
    started = time.perf_counter()
    for _ in range(2 * vouchers):
        public.verify(key.sign(message), message)
    return vouchers / (time.perf_counter() - started)
