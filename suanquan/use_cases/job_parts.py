"""What each job cost and who paid it: of a usage record, of a capture, or of every job behind an entry of the ledger."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import cbor2

from ledger import store as ledger_store
from ledger.amount import CNY, format_units
from ledger.entry import Entry, EntryKind, Side
from ledger.errors import DomainError, Kind
from ledger.leaf import decode
from ledger.store import EntryRow
from ledger.transaction import Transaction
from metering import fate_store as fates
from metering import segment
from metering import store as metering_store
from metering.model import UsageRecord
from metering.zones import rfc3339
from suanquan.errors import ServiceError
from suanquan.use_cases.books import parse_event_id
from suanquan.use_cases.ingest import Rules
from suanquan.use_cases.postings import COUNTERS, WAIVED, scheme_in_kind
from suanquan.use_cases.settle import counted_of
from suanquan.use_cases.shares import Terms, paid_by_batch, parts_of
from voucher import hold_store
from voucher import store as voucher_store


class Part(NamedTuple):
    """What a voucher (or compute in kind, without one) of a scheme paid in an entry, in units of yuan."""

    scheme: str
    seq: int
    jti: str
    units: int


@dataclass(frozen=True, slots=True)
class Job:
    """A job: where, for whom, what it is known by, and its price in units with the parts that vouchers paid of it."""

    centre: str
    account: str
    about: Mapping[str, Any]
    price: int
    parts: tuple[Part, ...]

    @property
    def own(self) -> int:
        """What the user pays himself."""
        return self.price - sum(part.units for part in self.parts)


async def usage_job(tx: Transaction, rules: Rules, source: str, record_id: str) -> Job:
    """The job of a usage record as it counts now, whatever was corrected.

    Raises:
        ServiceError: `record-unknown`, or `posting-changed`.

    """
    found = await metering_store.source_of(tx.connection, source)
    counted = None if found is None else (await counted_of(tx, found, record_id))[0]
    if found is None or counted is None or counted.record is None:
        raise record_unknown()
    record, terms = counted.record, Terms(found.centre, rules.tariffs(found.centre), rules.schemes)
    if counted.batch is not None:
        moved = {
            seq: {leg.account: leg.amount for leg in legs if leg.side == Side.CREDIT}
            for seq, legs in await parts_of(tx, counted.batch, record, terms)
        }
    else:
        moved = {seq: await _debits(tx, seq) for seq in counted.own}
    parts = [part for seq, taken in moved.items() for part in await _parts(tx, seq, taken)]
    price = sum([await _yuan(tx, taken) for taken in moved.values()])
    free = sum([await _free(tx, taken) for taken in moved.values()])
    about = record_object(source, record) | ({"not_charged_yuan": format_units(free, CNY)} if free else {})
    return Job(found.centre, record.account, about, price, tuple(parts))


def record_unknown() -> ServiceError:
    """There is no such record, or none for whoever asks."""
    zh, en = "没有计费的用量记录", "there is no usage record of this id that counts"
    return ServiceError("record-unknown", zh, en, kind=Kind.NOT_FOUND)


def capture_unknown() -> ServiceError:
    """There is no such capture, or none for whoever asks."""
    return ServiceError("capture-unknown", "没有这笔请款", "no such capture", kind=Kind.NOT_FOUND)


async def capture_job(tx: Transaction, event_id: str) -> Job:
    """The job of a capture, less what of it was taken back.

    Raises:
        ServiceError: `capture-unknown`.

    """
    identity = parse_event_id(event_id)
    entry = (await ledger_store.load_entries(tx.connection, [identity])).get(identity)
    row = None if entry is None else await ledger_store.load_entry(tx.connection, entry.seq)
    told = None if row is None or row.body is None or row.kind != EntryKind.CAPTURE else cbor2.loads(row.body)
    if entry is None or told is None:
        raise capture_unknown()
    held = (await hold_store.look_up(tx.connection, [], [], [told["hold"]])).parts[told["hold"]][0]
    taken = await _debits(tx, entry.seq)
    about = {
        "kind": "capture",
        "event_id": event_id,
        "hold": told["hold"],
        "reference": held.reference,
        "captured_at": rfc3339(entry.recorded_ns // 1000),
    }
    parts = await _parts(tx, entry.seq, taken)
    if not parts:  # taken back as a whole: its holder may read the receipt all the same
        parts = [Part(await voucher_store.scheme_of(tx.connection, held.jti), entry.seq, held.jti, 0)]
    return Job(held.centre, "", about, sum(part.units for part in parts), tuple(parts))


async def jobs_of_entry(tx: Transaction, rules: Rules, centre: str, row: EntryRow) -> list[tuple[Job, int]]:
    """Every job behind an entry, each with 1, or with -1 where the entry takes it back.

    An entry that says nothing of jobs (taken back by hand, erased, or rated anew since) is one without a name.
    """
    entry = decode(row.leaf)[0]
    sign = -1 if entry.kind == EntryKind.REVERSE else 1
    told = _told(row)
    try:
        if told.get("type") == "usage":
            mine = _signed(entry, await _numbers(tx, entry)).keys()
            return [(job, 1) for job in await _batch_jobs(tx, rules, centre, told, entry.seq, mine)]
        if told.get("type") == "capture":
            return [(await capture_job(tx, row.event_id.hex()), 1)]
        about = await _fact_about(tx, told, sign) if told.get("type") == "usage-fact" else None
    except DomainError:
        about = None
    taken = _signed(entry, await _numbers(tx, entry))
    parts = [part._replace(units=sign * part.units) for part in await _parts(tx, entry.seq, taken)]
    name = f"entry {entry.seq}"
    known = about or {"kind": "entry", "id": name}
    account = str(known.get("account", ""))
    price = sign * await _yuan(tx, taken)
    return [(Job(centre, account, known, price, tuple(parts)), sign)]


def record_object(source: str, record: UsageRecord) -> dict[str, Any]:
    """What a receipt says of a usage record."""
    return {
        "kind": "usage",
        "source": source,
        "id": record.id,
        "account": record.account,
        "job": record.job,
        "start": rfc3339(record.start_us),
        "end": rfc3339(record.end_us),
        "active_ms": record.active_ms,
        "accelerators": [{"model": one.model, "count_milli": one.count_milli} for one in record.accelerators],
        "gpu_ms": record.gpu_ms,
        "state": record.state,
    }


async def _batch_jobs(
    tx: Transaction, rules: Rules, centre: str, told: Mapping[str, Any], seq: int, mine: Collection[int]
) -> list[Job]:
    """Jobs of a batch for an account, as far as this entry of it paid them (an entry has so many legs at most)."""
    found = await metering_store.batch_numbered(tx.connection, told["batch"])
    if found is None:
        return []
    terms = Terms(centre, rules.tariffs(centre), rules.schemes)
    jobs = []
    for record, whole in await paid_by_batch(tx, found[1], told["account"], terms):
        taken = {number: units for number, units in whole.items() if number in mine}
        parts = tuple(await _parts(tx, seq, taken))
        about = record_object(told["source"], record)
        jobs.append(Job(centre, record.account, about, await _yuan(tx, taken), parts))
    return jobs


async def _fact_about(tx: Transaction, told: Mapping[str, Any], sign: int) -> dict[str, Any] | None:
    """The record that a correction posted, or the one that it took back."""
    [fact] = await fates.load_facts(tx.connection, told["fact"] - 1, 1)
    if sign > 0 and fact.record:
        return record_object(told["source"], segment.decode(fact.record))
    return {"kind": "usage", "source": told["source"], "id": fact.id, "reason": fact.reason}


def _told(row: EntryRow) -> Mapping[str, Any]:
    if row.body is None or not row.body[:1] or row.body[0] >> 5 != 5:  # CBOR major type 5 is a map
        return {}
    try:
        told = cbor2.loads(row.body)
    except (cbor2.CBORDecodeError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


async def _debits(tx: Transaction, seq: int) -> dict[int, int]:
    """Units that an entry took from each account, less what was given back."""
    originals = await tx.originals([seq])
    if seq not in originals:
        return {}
    original = originals[seq]
    return {
        number: units - original.reversed.get((number, side), 0)
        for (number, side), units in original.moved.items()
        if side == Side.DEBIT
    }


async def _numbers(tx: Transaction, entry: Entry) -> dict[bytes, int]:
    return await ledger_store.load_numbers(tx.connection, [leg.public_id for leg in entry.legs])


def _signed(entry: Entry, numbers: Mapping[bytes, int]) -> dict[int, int]:
    """Units by account that the users' side of an entry moved: debits of a posting, credits of a reversal."""
    side = Side.CREDIT if entry.kind == EntryKind.REVERSE else Side.DEBIT
    taken: dict[int, int] = {}
    for leg in entry.legs:
        if leg.layer == 0 and leg.side == side:
            number = numbers[leg.public_id]
            taken[number] = taken.get(number, 0) + leg.amount
    return taken


async def _yuan(tx: Transaction, taken: Mapping[int, int]) -> int:
    """Yuan of what was taken, from whomever; what nobody is charged is not."""
    accounts = await tx.accounts_by_number(taken)
    return sum(
        units
        for number, units in taken.items()
        if accounts[number].asset == CNY.number and not accounts[number].name.startswith((COUNTERS, WAIVED))
    )


async def _free(tx: Transaction, taken: Mapping[int, int]) -> int:
    """Yuan that a scheme forbids to charge."""
    accounts = await tx.accounts_by_number(taken)
    return sum(units for number, units in taken.items() if accounts[number].name.startswith(WAIVED))


async def _parts(tx: Transaction, seq: int, taken: Mapping[int, int]) -> list[Part]:
    """What vouchers and compute in kind paid of what was taken."""
    accounts = await tx.accounts_by_number(taken)
    money = {number: units for number, units in taken.items() if accounts[number].asset == CNY.number and units}
    vouchers = {row.account: row for row in await voucher_store.vouchers_of(tx.connection, money)}
    parts = []
    for number, units in money.items():
        if number in vouchers:
            parts.append(Part(vouchers[number].scheme, seq, vouchers[number].jti, units))
        elif scheme := scheme_in_kind(accounts[number].name):
            parts.append(Part(scheme, seq, "", units))
    return parts


async def holders_of(tx: Transaction, job: Job) -> set[str]:
    """Who may countersign or dispute a receipt: the holders of its vouchers, and whose the account is."""
    vouchers = await voucher_store.load_vouchers(tx.connection, [part.jti for part in job.parts if part.jti])
    holders = {stored.holder for stored in vouchers.values()}
    if job.account:
        bindings = await voucher_store.load_bindings(tx.connection)
        holders |= {holder for centre, account, holder in bindings if (centre, account) == (job.centre, job.account)}
    return holders
