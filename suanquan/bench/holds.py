"""`bench holds`: holds over HTTP, voucher and proof verified, durable; beside them the same requests with signatures alone."""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.amount import CNY
from ledger.ed25519 import PublicKey
from metering.signature import sign
from suanquan.bench.figures import median_run, percentile, rss_mb
from suanquan.bench.ingest import running_service
from suanquan.home import Home, read_passphrase, write_secret
from suanquan.server import run_loop
from suanquan.service import open_service
from suanquan.settings import Settings
from suanquan.use_cases import setup
from voucher.document import make_jti
from voucher.holder import sandbox_uscc
from voucher.issuance import IssueRequest
from voucher.presentation import Request, present
from voucher.scheme import SchemeStatus

CENTRE = "bench"
WARM = 64
YUAN_CENT = 10 ** (CNY.scale - 2)


class Plan(NamedTuple):
    """How much is measured: requests of one run, connections at once, and vouchers that share them."""

    holds: int
    clients: int
    vouchers: int


def measure(plan: Plan, runs: int) -> dict[str, Any]:
    """Holds a second from the first byte sent to the last answer; median of the runs, each with its own raw limit."""
    return median_run([_run(plan) for _ in range(runs)], "ratio") | {"runs": runs}


def _run(plan: Plan) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="suanquan-bench-") as folder:
        home = Home(Path(folder) / "home")
        holder, agent = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        tokens = _prepare(home, url, holder, agent, plan.vouchers)
        client = _Client(url, holder, agent, tokens)
        with running_service(home, port) as (_, pid):
            run_loop(client.warm(url, plan.clients))
            requests = run_loop(client.build(plan.holds))
            with _checks_alone(home) as raw_url:
                run_loop(client.warm(raw_url, plan.clients))
                raw_seconds, _ = run_loop(_send(raw_url, requests, plan.clients))
            seconds, times = run_loop(_send(url, requests, plan.clients))
            memory = rss_mb(pid)
    per_second, raw = plan.holds / seconds, plan.holds / raw_seconds
    return {
        "workload": "holds",
        "backend": "sqlite",
        "per_second": round(per_second),
        "raw_per_second": round(raw),
        "ratio": round(per_second / raw, 3),
        "p50_ms": percentile(times, 50),
        "p99_ms": percentile(times, 99),
        "rss_mb": memory,
        **plan._asdict(),
    }


def _prepare(home: Home, url: str, holder: Ed25519PrivateKey, agent: Ed25519PrivateKey, vouchers: int) -> list[str]:
    """A home at an address, with a centre and vouchers that are bound to one holder's key; their tokens."""
    home.path.mkdir(mode=0o700)
    write_secret(home.path / "demo-passphrase", secrets.token_urlsafe(24).encode())
    passphrase = read_passphrase(home.path / "demo-passphrase")
    setup.initialise(
        home, Settings(sandbox=True, public_url=url, key_requests_max=256, centre_requests_max=256), passphrase
    )
    jwk: dict[str, object] = dict(PublicKey.of(holder).jwk())

    async def run() -> list[str]:
        async with open_service(home, passphrase) as service:
            await setup.register_centre(service.journal, service.catalog, CENTRE, CENTRE, {"H100-SXM": 100_000})
            await setup.register_agent_key(service.journal, CENTRE, PublicKey.of(agent))
            scheme = next(name for name, one in service.catalog.schemes.items() if one.status is SchemeStatus.SANDBOX)
            tokens = []
            for number in range(vouchers):
                request = IssueRequest(sandbox_uscc(number), "CNY", "1000000", jwk)
                tokens.append((await service.issue(scheme, request, f"bench/{number}")).token or "")
            return tokens

    return asyncio.run(run())


@contextmanager
def _checks_alone(home: Home) -> Iterator[str]:
    """A process that answers the same requests once every signature was verified, and records nothing."""
    command = [sys.executable, "-m", "suanquan.bench.checks", str(home.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:  # noqa: S603 -- our own command
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()
            threading.Thread(target=process.stdout.read, daemon=True).start()


class _Client:
    """A centre's agent and the holder who signs for it; requests are made before they are sent."""

    def __init__(self, url: str, holder: Ed25519PrivateKey, agent: Ed25519PrivateKey, tokens: list[str]) -> None:
        self._url = url
        self._holder, self._agent, self._tokens = holder, agent, tokens
        self._holder_key, self._kid = PublicKey.of(holder), PublicKey.of(agent).kid

    async def warm(self, url: str, clients: int) -> None:
        """Send a few: what is loaded, compiled and looked up at the first request is not what is measured."""
        count = max(WARM, len(self._tokens))
        await _send(url, await self.build(count), clients)

    async def build(self, count: int) -> list[bytes]:
        """Complete requests, each with a nonce, a proof and a signature of its own."""
        nonces: list[str] = []
        while len(nonces) < count:
            [answer] = await _talk(self._url, [self._request("/v1/nonces", {"count": min(1000, count - len(nonces))})])
            nonces += json.loads(answer)["nonces"]
        return [self._hold(at, nonce) for at, nonce in enumerate(nonces)]

    def _hold(self, at: int, nonce: str) -> bytes:
        token = self._tokens[at % len(self._tokens)]
        proof = present(
            token, self._holder_key, self._holder.sign, Request("POST", f"{self._url}/v1/holds", CENTRE),
            jti=make_jti(time.time_ns() // 1000, secrets.token_bytes(10)), nonce=nonce, asset=CNY, units=YUAN_CENT, reference=f"job:{at}", now_s=_now_s(),
        )  # fmt: skip
        return self._request("/v1/holds", {"voucher": token, "proof": proof})

    def _request(self, path: str, content: dict[str, Any]) -> bytes:
        body = json.dumps(content).encode()
        headers = sign(
            self._agent, self._kid, method="POST", target_uri=f"{self._url}{path}", content_type="application/json",
            body_sha256=sha256(body).digest(), idempotency_key=secrets.token_hex(16), created_s=_now_s(),
            nonce=secrets.token_urlsafe(24),
        )  # fmt: skip
        lines = [f"POST {path} HTTP/1.1", "host: bench", f"content-length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def _now_s() -> int:
    return time.time_ns() // 1_000_000_000


async def _send(url: str, requests: list[bytes], clients: int) -> tuple[float, list[float]]:
    """Send all over so many connections, each the next when it was answered: seconds in all, milliseconds of each."""
    times: list[float] = []
    shared = iter(requests)
    started = time.perf_counter()
    await asyncio.gather(*(_talk(url, shared, times) for _ in range(clients)))
    return time.perf_counter() - started, times


async def _talk(url: str, requests: Iterator[bytes] | list[bytes], times: list[float] | None = None) -> list[bytes]:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    bodies = []
    try:
        for request in requests:
            started = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            body = await reader.readexactly(length)
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"{head.splitlines()[0]!r}: {body[:500]!r}")
            if times is None:
                bodies.append(body)
            else:
                times.append((time.perf_counter() - started) * 1000)
    finally:
        writer.close()
    return bodies
