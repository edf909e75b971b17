"""Where every hour went: an account's usage line by line, with its price."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

from ledger.amount import CNY, format_units
from ledger.scope import Scope
from ledger.sql import Connection
from metering import fate_store as fates
from metering import segment
from metering import store as metering_store
from metering.bill import Bill, bill_of
from metering.completeness import Completeness, Declaration, State, completeness_finding
from metering.fate_store import State as FateState
from metering.model import UsageRecord
from metering.notice_store import urns_of
from metering.rating import Tariffs
from metering.zones import rfc3339
from suanquan.catalog import Catalog
from suanquan.use_cases.completeness import months_of
from suanquan.use_cases.energy import Meter, meter_of
from suanquan.use_cases.line_disputes import marks_of
from suanquan.use_cases.shares import unpaid_ids
from voucher import store as voucher_store

BATCHES_PER_PAGE = 5


async def statement(
    conn: Connection,
    catalog: Catalog,
    scope: Scope,
    centre: str,
    account: str,
    before: int,
    batches: int = BATCHES_PER_PAGE,
) -> dict[str, Any]:
    """Totals of an account, how complete they are, and the lines of its newest batches below number `before`.

    `settled` are records of which more is known than their report: what they say there is what the totals count. A line whose
    record waits, was corrected (perhaps to another account's) or was settled on its own `counts` for nothing.
    """
    if not scope.everything:
        bound = {(found, name): holder for found, name, holder in await voucher_store.load_bindings(conn)}
        if not scope.holds(centre=centre, holder=bound.get((centre, account), "")):
            account = ""  # nothing is reported under this name: another's account looks like one that is not there
    totals = await metering_store.usage_by(conn, "month", "model", centre=centre, account=account)
    segments = await metering_store.account_segments(conn, centre, account, before, batches)
    tariffs = catalog.tariffs(centre)
    states = await fates.account_states(conn, centre, account)
    months = {month: found for (month, name), found in (await months_of(conn, centre)).items() if name == account}
    marks = await marks_of(conn, centre, account)
    urns = await urns_of(conn, (number for number, _ in segments)) if marks else {}
    lines: list[dict[str, Any]] = []
    found = [
        (n, [one for one in map(segment.decode, segment.unpack(data)) if one.account == account])
        for n, data in segments
    ]
    known = [segment.decode(state.record) for state in states if state.record]
    meter = await meter_of(conn, catalog, centre, chain(known, *(records for _, records in found)))
    for number, records in found:
        apart = await _apart(conn, number, records)
        lines += [
            _line(record, number, tariffs, counts=record.id not in apart)
            | meter.of_record(record)
            | _mark(marks.get((urns.get(number, ""), record.id)))
            for record in records
        ]
    return {
        "centre": centre,
        "account": account,
        "months": [
            {
                "month": f"{row['month'] // 100}-{row['month'] % 100:02d}",
                "model": row["model"],
                "records": row["records"],
                "gpu_ms": row["gpu_ms"],
                "yuan": format_units(row["rated_units"], CNY),
            }
            for row in totals
        ],
        "completeness": [
            _completeness(month, account, months.get(month))
            for month in sorted(months.keys() | {r["month"] for r in totals})
        ],
        "settled": [_settled(state, tariffs, meter) for state in states],
        "lines": lines,
        "next": segments[-1][0] if len(segments) == batches else None,
    }


async def _apart(conn: Connection, number: int, records: Sequence[UsageRecord]) -> set[str]:
    """Ids of a batch that its entries did not pay, or of which more is known since."""
    found = await metering_store.batch_numbered(conn, number)
    if found is None:
        return set()
    states = await fates.load_states(conn, found[0], [record.id for record in records])
    return unpaid_ids(found[1]) | states.keys()


def _mark(dispute: dict[str, Any] | None) -> dict[str, Any]:
    """What a line says of its dispute, if it ever had one."""
    return {} if dispute is None else {"dispute": dispute}


def _completeness(month: int, account: str, found: tuple[Declaration, Completeness] | None) -> dict[str, Any]:
    """Whether a month is all there: what the centre declared against what arrived; a gap is said in words."""
    result = found[1] if found else Completeness(State.UNDECLARED)
    finding = completeness_finding(result, month, account)
    said = {"month": f"{month // 100}-{month % 100:02d}", "state": result.state.value}
    missing = {"segments": result.segments, "gpu_ms": str(result.gpu_ms)}
    return said | {"missing": missing} | ({"detail": f"{finding.zh} / {finding.en}"} if finding else {})


def _settled(state: FateState, tariffs: Tariffs, meter: Meter) -> dict[str, Any]:
    """A record that was corrected, released, or runs: it counts as said here, whatever a line says of it."""
    shown: dict[str, Any] = {"id": state.id, "revision": state.revision}
    if not state.record:
        return shown | {"state": "VOIDED", "gpu_ms": 0, "yuan": "0"}
    record = segment.decode(state.record)
    line = _line(record, 0, tariffs)
    del line["batch"], line["counts"]
    return shown | line | meter.of_record(record)


def _line(record: UsageRecord, batch: int, tariffs: Tariffs, *, counts: bool = True) -> dict[str, Any]:
    bill = bill_of(record, tariffs)
    return {
        "id": record.id,
        "job": record.job,
        "state": record.state,
        "start": rfc3339(record.start_us),
        "end": rfc3339(record.end_us),
        "accelerators": {part.model: part.count_milli for part in record.accelerators},
        "gpu_ms": record.gpu_ms,
        "yuan": format_units(bill.yuan if bill else 0, CNY),
        **(bill_object(bill) if bill and bill.explained else {}),
        "batch": batch,
        "counts": counts,
    }


def bill_object(bill: Bill) -> dict[str, Any]:
    """How a price is made: before discounts, by cost class, and what of it no voucher pays."""
    return {
        "list_yuan": format_units(bill.list_yuan, CNY),
        "excluded_yuan": format_units(bill.own, CNY),
        "classes": {name: format_units(units, CNY) for name, units in bill.classes.items()},
    }
