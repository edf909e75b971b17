"""Whether a centre is one in the sense of the policy: its registered facts under the policy's own definition, and the view."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

from ledger.journal import Journal
from ledger.sql import Connection
from ledger.transaction import Transaction
from metering import centre_store
from metering import store as metering_store
from metering.centre import (
    ADMISSION,
    DECLARED,
    MONTHS_OF_YEAR,
    OPERATOR,
    CentreRecord,
    Energy,
    canonical,
    green_share,
    pue,
)
from metering.zones import rfc3339
from suanquan.catalog import Catalog
from suanquan.use_cases.centres import Said, append_fact, unknown_centre
from suanquan.use_cases.subsidies import Subsidies, day_of
from subsidy.evaluate import evaluate
from subsidy.facts import Value
from subsidy.outcome import Outcome

DEFINITION = "323:附则"
"""The appendix of 323-2024, which says what a computing centre is; its thresholds stand in the policy file alone."""
GFLOPS_IN_PFLOPS = 10**6
DIGITS = 6


@dataclass(frozen=True, slots=True)
class Standing:
    """A centre at an instant: its record, what it has, the facts for the policy, and the policy's verdict."""

    record: CentreRecord
    milli: Mapping[str, int]
    months: list[Energy]
    facts: Mapping[str, Value]
    outcome: Outcome

    @property
    def criteria(self) -> dict[str, bool]:
        """Verdict of each criterion that can be judged."""
        return {need.id: verdict for need, verdict in self.outcome.judged() if verdict is not None}


async def standing_of(conn: Connection, catalog: Catalog, rules: Subsidies, centre: str, at_us: int) -> Standing:
    """Where a centre stands at an instant, by what is registered of it now."""
    record = CentreRecord(await centre_store.load_facts(conn, centre))
    steps = (await centre_store.load_steps(conn)).get(centre)
    if steps is None:
        milli = (await metering_store.load_capacity(conn)).get(centre, {})
    else:
        milli = {model: centre_store.count_at(some, at_us) for model, some in steps.items()}
    months = record.year_before(_month_before(day_of(at_us)))
    facts = _facts(record, catalog, rules, (milli if steps is not None else {}, months), at_us)
    return Standing(record, milli, months, facts, evaluate(rules.policies, DEFINITION, facts, day_of(at_us)))


def _month_before(day: date) -> str:
    last = day.replace(day=1) - timedelta(days=1)
    return f"{last.year:04d}-{last.month:02d}"


def _facts(
    record: CentreRecord,
    catalog: Catalog,
    rules: Subsidies,
    measured: tuple[Mapping[str, int], list[Energy]],
    at_us: int,
) -> dict[str, Value]:
    """What the policy asks: statements, a whole year's PUE and green share, PFLOPS of the inventory; else unknown."""
    milli, months = measured
    said = {name: value for name, value in record.statements(at_us).items() if name not in {OPERATOR, DECLARED}}
    facts: dict[str, Value] = dict(rules.facts(said))
    if len(months) == MONTHS_OF_YEAR:
        ratios = {"pue": pue(months), "green_power_share": green_share(months)}
        facts |= {name: ratio for name, ratio in ratios.items() if ratio is not None}
    if milli:
        gflops = sum(count * catalog.capacity_gflops.get(model, 0) for model, count in milli.items())
        facts["compute_pflops_fp16_dense"] = Fraction(gflops, 1000 * GFLOPS_IN_PFLOPS)
    return facts


async def admit(journal: Journal, catalog: Catalog, rules: Subsidies, centre: str, said: Said) -> dict[str, Any]:
    """Record the policy's verdict on a centre as it stands from that instant on; it blocks nothing by itself.

    Raises:
        ServiceError: `centre-unknown`, `reason-missing`, `evidence-malformed`.

    """

    async def write(tx: Transaction) -> dict[str, Any]:
        standing = await standing_of(tx.connection, catalog, rules, centre, said.from_us)
        content = _verdict(standing)
        await append_fact(tx, centre, ADMISSION, canonical(content), said)
        return content

    return await journal.transact(write)


def _verdict(standing: Standing) -> dict[str, Any]:
    outcome = standing.outcome
    return {
        "status": outcome.status.value,
        "document": outcome.rule.clause.document,
        "on": outcome.on.isoformat(),
        "criteria": standing.criteria,
        "reasons": list(outcome.reasons),
        "missing": list(outcome.missing),
        "facts": {name: _shown(value) for name, value in sorted(standing.facts.items())},
    }


def _shown(value: Value) -> Any:
    if isinstance(value, Fraction):
        return decimal_text(value)
    return value if isinstance(value, bool | int) else str(value)


def decimal_text(value: Fraction | None) -> str | None:
    """A fraction with six digits, rounded half up; exact ones are what is compared."""
    if value is None:
        return None
    units = (value.numerator * 10**DIGITS * 2 + value.denominator) // (value.denominator * 2)
    return f"{units // 10**DIGITS}.{units % 10**DIGITS:0{DIGITS}d}"


async def centre_object(
    conn: Connection, catalog: Catalog, rules: Subsidies, centre: str, at_us: int
) -> dict[str, Any]:
    """What is registered of a centre and what follows from it at an instant.

    Raises:
        ServiceError: `centre-unknown`.

    """
    names = await metering_store.load_centres(conn)
    if centre not in names:
        raise unknown_centre(centre)
    standing = await standing_of(conn, catalog, rules, centre, at_us)
    record, admitted = standing.record, standing.record.newest(ADMISSION, at_us)
    declared = (await metering_store.load_capacity(conn)).get(centre, {})
    spans = record.suspensions()
    return {
        "id": centre,
        "name": names[centre],
        "at": rfc3339(at_us),
        "suspended": next((reason for begin, end, reason in spans if begin <= at_us < end), None),
        "suspensions": [_span(*span) for span in spans],
        "declared_cards": {model: count // 1000 for model, count in declared.items()},
        "cards": {model: count // 1000 for model, count in standing.milli.items() if count},
        "pflops_fp16_dense": decimal_text(_pflops(catalog, standing.milli)),
        "inventories": [
            {"number": number, "from": rfc3339(since), "recorded": rfc3339(recorded), "evidence": evidence}
            for number, since, recorded, evidence in await centre_store.inventory_sizes(conn, centre)
        ],
        "energy": [_energy(reading) for reading in record.energy().values()],
        "pue": decimal_text(pue(standing.months)),
        "green_power_share": decimal_text(green_share(standing.months)),
        "months": len(standing.months),
        "statements": record.statements(at_us),
        "verdict": _verdict(standing),
        "admission": None
        if admitted is None
        else admitted.content | {"from": rfc3339(admitted.from_us), "officer": admitted.officer},
    }


def _pflops(catalog: Catalog, milli: Mapping[str, int]) -> Fraction:
    gflops = sum(count * catalog.capacity_gflops.get(model, 0) for model, count in milli.items())
    return Fraction(gflops, 1000 * GFLOPS_IN_PFLOPS)


def _span(begin: int, end: int, reason: str) -> dict[str, Any]:
    return {"from": rfc3339(begin), "to": None if end > 2**62 else rfc3339(end), "reason": reason}


def _energy(reading: Energy) -> dict[str, Any]:
    return {
        "month": reading.month,
        "total_kwh": reading.total_kwh,
        "it_kwh": reading.it_kwh,
        "green_kwh": reading.green_kwh,
        "pue": decimal_text(pue([reading])),
        "green_power_share": decimal_text(green_share([reading])),
    }
