"""The register of centres: what is said of one, from which day on, on what evidence; each fact stands in the log."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

from ledger.errors import Kind
from ledger.journal import Journal
from ledger.scope import Scope
from ledger.transaction import Transaction
from metering import centre_store
from metering import store as metering_store
from metering.capacity import Card
from metering.centre import (
    DECLARED,
    ENERGY,
    INVENTORY,
    OPERATOR,
    STATEMENT,
    SUSPENSION,
    CentreFact,
    CentreRecord,
    Energy,
    canonical,
    capacity_steps,
    check_energy,
    write_inventory,
)
from suanquan.catalog import Catalog
from suanquan.errors import ServiceError
from suanquan.use_cases.notes import append_note, named
from suanquan.use_cases.subsidies import Subsidies
from voucher.holder import check_uscc

EVIDENCE = re.compile(r"([0-9a-f]{64})?")
MONTH = re.compile(r"20[0-9]{2}-(0[1-9]|1[0-2])")
_STANDS = "见附件"


@dataclass(frozen=True, slots=True)
class Said:
    """Who registers something, valid from when on, and the SHA-256 (hex) of the document that shows it."""

    officer: str
    from_us: int
    evidence: str = ""
    reason: str = ""


async def register_inventory(
    journal: Journal, catalog: Catalog, centre: str, cards: Sequence[Card], said: Said
) -> dict[str, Any]:
    """Register what cards a centre has and when each came and left; the newest inventory speaks for every time.

    Capacity is recomputed from it. Cards whose word nobody registered are kept, count in no sum and are named.

    Raises:
        ServiceError: `centre-unknown`, `reason-missing`, `evidence-malformed`.

    """
    body = write_inventory(cards)

    async def write(tx: Transaction) -> dict[str, Any]:
        now_us = tx.now_ns // 1000
        steps, unknown = capacity_steps(cards, catalog.accelerators, now_us)
        fact = await _append(tx, centre, INVENTORY, "", body, said)
        await centre_store.put_steps(tx.connection, centre, steps)
        present = {model: centre_store.count_at(some, now_us) for model, some in steps.items()}
        return {"number": fact.number, "cards": len(cards), "unknown": unknown} | _capacity(catalog, present)

    return await journal.transact(write)


def _capacity(catalog: Catalog, milli: Mapping[str, int]) -> dict[str, Any]:
    gflops = sum(count * catalog.capacity_gflops.get(model, 0) for model, count in milli.items()) // 1000
    return {
        "capacity": {model: count // 1000 for model, count in milli.items() if count},
        "pflops": f"{gflops // 10**6}.{gflops % 10**6:06d}",
    }


async def register_energy(journal: Journal, centre: str, reading: Energy, said: Said) -> None:
    """Register a month's kilowatt-hours; a later one for the same month corrects it, and both stay.

    Raises:
        DomainError: `month-malformed`, `energy-invalid`, `evidence-missing`, `centre-unknown`.

    """
    await register_months(journal, centre, [reading], said)


async def register_months(journal: Journal, centre: str, readings: Sequence[Energy], said: Said) -> None:
    """Register several months on the same evidence: all of them, or none.

    Raises:
        DomainError: `month-malformed`, `energy-invalid`, `evidence-missing`, `centre-unknown`.

    """
    for reading in readings:
        require_month(reading)
    if not said.evidence:
        raise ServiceError(
            "evidence-missing", "请附电费单等证据的 SHA-256", "give the SHA-256 of the bills that show it"
        )

    async def write(tx: Transaction) -> None:
        for reading in readings:
            content = {name: value for name, value in asdict(reading).items() if name != "month"}
            await _append(tx, centre, ENERGY, reading.month, canonical(content), said)

    await journal.transact(write)


def require_month(reading: Energy) -> None:
    """Refuse a reading of no month, or one that cannot be.

    Raises:
        DomainError: `month-malformed`, `energy-invalid`.

    """
    if MONTH.fullmatch(reading.month) is None:
        raise ServiceError("month-malformed", "月份应为 2026-11", "a month must look like 2026-11")
    check_energy(reading)


async def register_statement(
    journal: Journal, rules: Subsidies, centre: str, name: str, value: object, said: Said
) -> None:
    """Register a fact of the policies (investment, guideline), the operator's code, or the TFLOPS that a centre claims.

    Raises:
        DomainError: `statement-invalid`, a bad code, `facts-refused`, `centre-unknown`.

    """
    if name == OPERATOR:
        check_uscc(str(value))
    elif name == DECLARED:
        _check_declared(value)
    else:
        rules.facts({name: value})
    await journal.transact(lambda tx: _append(tx, centre, STATEMENT, name, canonical(value), said))


def _check_declared(value: object) -> None:
    fits = isinstance(value, Mapping) and set(value) == {"tflops", "sparse"}
    if not (
        fits and isinstance(value, Mapping) and type(value["tflops"]) is int and 0 < value["tflops"] < 10**12
    ) or not isinstance(value["sparse"], bool):
        raise ServiceError(
            "statement-invalid",
            f'{DECLARED} 应为 {{"tflops": 正整数, "sparse": true 或 false}}',
            f'{DECLARED} must be {{"tflops": a positive integer, "sparse": true or false}}',
        )


async def switch(journal: Journal, centre: str, said: Said, *, suspended: bool) -> None:
    """Suspend a centre from an instant on, or let it go on: usage of the time between waits for a person, and is not lost.

    Raises:
        ServiceError: `centre-unknown`, `reason-missing`, or `centre-suspended`, `centre-not-suspended` at that time.

    """
    officer, reason = named(said.officer, said.reason)

    async def write(tx: Transaction) -> None:
        spans = CentreRecord(await centre_store.load_suspensions(tx.connection, centre)).suspensions()
        inside = any(begin <= said.from_us < end for begin, end, _ in spans)
        if inside is suspended:
            raise _as_it_is(centre, suspended=suspended)
        body = canonical({"suspended": suspended, "reason": reason})
        await _append(tx, centre, SUSPENSION, "", body, Said(officer, said.from_us, said.evidence, reason))

    await journal.transact(write)


def _as_it_is(centre: str, *, suspended: bool) -> ServiceError:
    if suspended:
        return ServiceError(
            "centre-suspended", f"中心 {centre} 当时已暂停", f"{centre} is suspended at that time", kind=Kind.CONFLICT
        )
    return ServiceError(
        "centre-not-suspended",
        f"中心 {centre} 当时并未暂停",
        f"{centre} is not suspended at that time",
        kind=Kind.CONFLICT,
    )


async def append_fact(tx: Transaction, centre: str, kind: str, body: bytes, said: Said) -> CentreFact:
    """Append a fact of a kind that has no periods; see `_append`."""
    return await _append(tx, centre, kind, "", body, said)


async def _append(tx: Transaction, centre: str, kind: str, period: str, body: bytes, said: Said) -> CentreFact:
    """Append a fact, and the note that says so.

    Raises:
        ServiceError: `centre-unknown`, `reason-missing`, `evidence-malformed`.

    """
    officer, _ = named(said.officer, said.reason or _STANDS)
    if EVIDENCE.fullmatch(said.evidence) is None:
        raise ServiceError(
            "evidence-malformed",
            "证据应为 SHA-256（64 位小写十六进制）",
            "evidence must be a SHA-256 in lower-case hex",
        )
    if centre not in await metering_store.load_centres(tx.connection):
        raise unknown_centre(centre)
    number = await centre_store.next_fact(tx.connection)
    fact = CentreFact(number, centre, kind, period, said.from_us, body, said.evidence, officer, tx.now_ns // 1000)
    await centre_store.write_fact(tx.connection, fact)
    note = {name: value for name, value in asdict(fact).items() if name != "body"}
    await append_note(tx, {"type": "centre-fact", "body": sha256(body).digest(), **note})
    return fact


def require_own(scope: Scope, centre: str) -> None:
    """Refuse a centre outside a scope as one that is not there.

    Raises:
        ServiceError: `centre-unknown`.

    """
    if not scope.holds(centre=centre):
        raise unknown_centre(centre)


def unknown_centre(centre: str) -> ServiceError:
    """No such centre."""
    return ServiceError(
        "centre-unknown",
        f"没有登记中心“{centre[:40]}”",
        f"no centre {centre[:40]!r} is registered",
        kind=Kind.NOT_FOUND,
    )
