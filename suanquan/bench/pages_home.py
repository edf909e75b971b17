"""A year of made-up service for `bench pages`: vouchers to many holders, and usage of several centres that they paid."""

from __future__ import annotations

import secrets
from hashlib import sha256

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.ed25519 import PublicKey
from ledger.errors import DomainError
from metering.columns import read_columns
from suanquan.service import Service
from suanquan.use_cases import setup
from suanquan.use_cases.ingest import Request
from voucher import store as voucher_store
from voucher.holder import sandbox_uscc
from voucher.issuance import IssueRequest
from voucher.scheme import SchemeStatus

DAY_US = 86_400_000_000
MONTHS = 10
MONTH_US = 30 * DAY_US
CENTRES = 5
MODELS = ("H100-SXM", "A100", "H800", "H20")
SLICE = 500
"""Accounts of one batch: a centre reports some of its users at a time."""
HOUR_MS = 3_600_000


class Stepped:
    """A clock that goes on only when it is told to, and by a nanosecond whenever it is read."""

    def __init__(self, at_us: int) -> None:
        self._at_ns = at_us * 1000

    def __call__(self) -> int:
        """UTC epoch nanoseconds."""
        self._at_ns += 1
        return self._at_ns

    def go_to(self, at_us: int) -> None:
        """Go on to an instant, UTC epoch microseconds."""
        self._at_ns = max(self._at_ns, at_us * 1000)


def centre(number: int) -> str:
    """Id of a centre."""
    return f"bench{number + 1}"


def account(number: int) -> str:
    """Name of a holder's account at its centre."""
    return f"tenant-{number:05d}"


async def fill(service: Service, clock: Stepped, start_us: int, holders: int, records: int) -> Ed25519PrivateKey:
    """Issue a voucher to each holder at the start, and report usage month by month; the clock ends after the last month.

    The key of the first centre's agent comes back.
    """
    keys = [Ed25519PrivateKey.generate() for _ in range(CENTRES)]
    for number, key in enumerate(keys):
        cards = dict.fromkeys(MODELS, 20_000)
        await setup.register_centre(service.journal, service.catalog, centre(number), f"中心 {number + 1}", cards)
        await setup.register_agent_key(service.journal, centre(number), PublicKey.of(key))
    await _bind(service, holders)
    await _issue(service, holders)
    kids = [PublicKey.of(key).kid for key in keys]
    sequence = [0] * CENTRES
    for month in range(MONTHS):
        clock.go_to(start_us + (month + 1) * MONTH_US)
        each = records // (MONTHS * CENTRES)
        for number in range(CENTRES):
            own = range(number, holders, CENTRES)
            size = min(SLICE, len(own))
            slices = [own[at : at + size] for at in range(0, len(own), size)]
            for some in slices:
                count = max(1, each // len(slices))
                body = _body(number, some, sequence[number], count, start_us + month * MONTH_US)
                sequence[number] += count
                await _report(service, centre(number), kids[number], body)
    return keys[0]


async def _bind(service: Service, holders: int) -> None:
    async with (
        service.database.write() as connection
    ):  # which account is whose: one entry of the log each would tell no more
        for number in range(holders):
            await voucher_store.bind_account(
                connection, centre(number % CENTRES), account(number), sandbox_uscc(number)
            )


def scheme_of(service: Service) -> str:
    """The scheme of a sandbox, by which everything of a measurement is issued."""
    return next(name for name, known in service.catalog.schemes.items() if known.status is SchemeStatus.SANDBOX)


async def give(service: Service, key: str) -> None:
    """One voucher more: an entry that changes the log."""
    await service.issue(scheme_of(service), IssueRequest(sandbox_uscc(0), "CNY", "500"), f"bench/more/{key}")


async def _issue(service: Service, holders: int) -> None:
    scheme = scheme_of(service)
    asked = [
        (IssueRequest(sandbox_uscc(number), "CNY", str(500 + number % 7 * 400)), f"bench/{number}")
        for number in range(holders)
    ]
    async for outcome in service.issue_many(scheme, asked):
        if isinstance(outcome, DomainError):
            raise outcome


def _body(number: int, accounts: range, done: int, count: int, month_us: int) -> bytes:
    numbers = range(done + 1, done + count + 1)
    starts = [month_us + at * (MONTH_US - 2 * DAY_US) // (count + 1) for at in range(count)]
    return msgspec.json.encode(
        {
            "source": f"urn:centre:{centre(number)}:agent:bench",
            "first_sequence": numbers[0],
            "id": [f"{centre(number)}:{one:012d}" for one in numbers],
            "job": [str(one) for one in numbers],
            "attempt": [0] * count,
            "start_us": starts,
            "end_us": [start + HOUR_MS * 1000 for start in starts],
            "active_ms": [HOUR_MS] * count,
            "subjects": [account(one) for one in accounts],
            "subject": [at * 7919 % len(accounts) for at in range(count)],
            "accelerators": [[{"model": model, "count_milli": 1000}] for model in MODELS],
            "accelerator": [(at * 7919 % len(accounts)) % len(MODELS) for at in range(count)],
            "states": ["COMPLETED"],
            "state": [0] * count,
        }
    )


async def _report(service: Service, of: str, kid: str, body: bytes) -> None:
    """Post what an agent said, as the service does once a signature was verified."""
    until_us = service.now_us + 600_000_000
    request = Request(of, kid, secrets.token_hex(16), until_us, secrets.token_hex(16), sha256(body).digest())
    await service.intake.take(request, read_columns(body, service.now_us))
