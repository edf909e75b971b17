"""FOCUS 1.0 rows of a month: what was posted in it, by batch and by fact, with who paid; one short transaction a page.

Reports stand in the month in which they were posted, with the charge period of their usage. What a later fact took back or
posted stands in the month of that fact; if it is a correction, its rows say so.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from ledger import store as ledger_store
from ledger.amount import CNY
from ledger.entry import EntryKind, Side
from ledger.split import split
from ledger.transaction import Transaction
from metering import fate_store as fates
from metering import segment
from metering import store as metering_store
from metering.bill import Bill, bill_of
from metering.fate_store import Fact
from metering.focus import Charge
from metering.model import UsageRecord
from metering.rating import Tariffs
from metering.store import Source, StoredBatch
from metering.zones import shanghai_day_us
from suanquan.service import Service
from suanquan.use_cases.corrections import CORRECTIONS
from suanquan.use_cases.postings import COUNTERS, WAIVED, scheme_in_kind
from suanquan.use_cases.settle import fact_event_id
from suanquan.use_cases.shares import Terms, paid_by_batch, posted_entries, unpaid_ids
from voucher import store as voucher_store

ENTRIES_MAX = 512
"""Entries of one fact that are looked for: a record has a checkpoint every few minutes at most, each one entry."""
BATCHES_PAGE = 20
NEWEST = 2**62
FACTS_PAGE = 200

Payers = dict[str | None, int]
"""Units of CNY by the voucher, or scheme in kind, that paid them; None: the account itself."""


class Period(NamedTuple):
    """The month that is billed."""

    from_us: int
    to_us: int


@dataclass(slots=True)
class _Sum:
    """What one payer paid of one account, model and price in a batch or fact."""

    from_us: int
    to_us: int
    gpu_ms: int = 0
    yuan: int = 0
    list_yuan: int = 0
    classes: Counter[str] = field(default_factory=Counter)
    ids: set[str] = field(default_factory=set)


_Key = tuple[str, str, int, int, str | None]
"""Account, model, price, list price, payer."""


def period_of(month: int) -> Period:
    """The policy month 202611."""
    following = month + 1 if month % 100 < 12 else month + 89
    days = (dt.date(at // 100, at % 100, 1) for at in (month, following))
    return Period(*(shanghai_day_us(day) for day in days))


async def charges(service: Service, month: int) -> AsyncIterator[Charge]:
    """Every charge of a month, as it was posted."""
    period = period_of(month)
    async with service.database.read() as conn:
        names = await metering_store.load_centres(conn)
        sources = {source.number: source for source in await metering_store.load_sources(conn)}
    about = _About(service, period, names, sources)
    async for batch_number, batch in _batches(service, period):
        for charge in await about.of_batch(sources[batch_number], batch):
            yield charge
    async for fact in _facts(service, period):
        for charge in await about.of_fact(sources[fact.source], fact):
            yield charge


async def charges_of_account(
    service: Service, month: int, centre: str, account: str
) -> AsyncIterator[tuple[Charge, list[str]]]:
    """The charges of one account in a month, each with the ids (hex) of the entries that book it."""
    period = period_of(month)
    async with service.database.read() as conn:
        names = await metering_store.load_centres(conn)
        sources = {source.number: source for source in await metering_store.load_sources(conn)}
    about = _About(service, period, names, sources)
    before, page = NEWEST, BATCHES_PAGE
    while page == BATCHES_PAGE:
        async with service.database.read() as conn:
            numbers = [n for n, _ in await metering_store.account_segments(conn, centre, account, before, BATCHES_PAGE)]
            found = [one for n in numbers if (one := await metering_store.batch_numbered(conn, n))]
        page, before = len(numbers), numbers[-1] if numbers else 0
        for number, batch in found:
            if period.from_us <= batch.received_us < period.to_us:
                events = await about.events_of_batch(batch, account)
                for charge in await about.of_batch(sources[number], batch, account):
                    yield charge, events
    async for fact in _facts(service, period):
        if sources[fact.source].centre == centre:
            for charge in await about.of_fact(sources[fact.source], fact):
                if charge.account == account:
                    yield charge, await about.events_of_fact(fact)


async def _batches(service: Service, period: Period) -> AsyncIterator[tuple[int, StoredBatch]]:
    """Source number and batch of what was received in a period."""
    page, after = BATCHES_PAGE, 0
    while page == BATCHES_PAGE:
        async with service.database.read() as conn:
            found = await metering_store.load_batches(conn, after, BATCHES_PAGE)
        for number, batch in found:
            after = batch.number
            if period.from_us <= batch.received_us < period.to_us:
                yield number, batch
        page = len(found)


async def _facts(service: Service, period: Period) -> AsyncIterator[Fact]:
    """Facts of a period that may have moved something."""
    page, after = FACTS_PAGE, 0
    while page == FACTS_PAGE:
        async with service.database.read() as conn:
            found = await fates.load_facts(conn, after, FACTS_PAGE)
        for fact in found:
            after = fact.number
            if period.from_us <= fact.recorded_us < period.to_us and fact.kind != "drop":
                yield fact
        page = len(found)


@dataclass(slots=True)
class _About:
    """What every row is made with."""

    service: Service
    period: Period
    names: Mapping[str, str]
    sources: Mapping[int, Source]

    def terms(self, centre: str) -> Terms:
        rules = self.service.rules
        return Terms(centre, rules.tariffs(centre), rules.schemes)

    async def events_of_batch(self, batch: StoredBatch, account: str) -> list[str]:
        async def work(tx: Transaction) -> list[str]:
            return [entry.event_id.hex() for entry in await posted_entries(tx, batch, account)]

        return await self.service.journal.transact(work, keeps_memo=True)

    async def events_of_fact(self, fact: Fact) -> list[str]:
        async def work(tx: Transaction) -> list[str]:
            return [
                one.hex() for one in await tx.entries(fact_event_id(tx, fact, at) for at in range(1, ENTRIES_MAX + 1))
            ]

        return await self.service.journal.transact(work, keeps_memo=True)

    async def of_batch(self, source: Source, batch: StoredBatch, account: str | None = None) -> list[Charge]:
        terms = self.terms(source.centre)
        sums: dict[_Key, _Sum] = {}

        async def work(tx: Transaction) -> None:
            for name in [account] if account is not None else _accounts_of(batch):
                for record, taken in await paid_by_batch(tx, batch, name, terms):
                    _add(sums, record, None, await _payers(tx, taken), terms.tariffs)

        await self.service.journal.transact(work)
        return [self._charge(source.centre, key, one, correction=False) for key, one in sums.items()]

    async def of_fact(self, source: Source, fact: Fact) -> list[Charge]:
        terms = self.terms(source.centre)
        found: list[Charge] = []

        async def work(tx: Transaction) -> None:
            before = await _before(tx, source, fact)
            after = segment.decode(fact.record) if fact.record else None
            ids = [fact_event_id(tx, fact, at) for at in range(1, ENTRIES_MAX + 1)]
            used = await ledger_store.load_used(tx.connection, ids, max(ids))
            taken: dict[bool, dict[int, int]] = {True: {}, False: {}}
            for entry in used.entries.values():
                back = entry.kind == EntryKind.REVERSE
                numbers = await ledger_store.load_numbers(tx.connection, [leg.public_id for leg in entry.legs])
                for leg in entry.legs:
                    if leg.asset == CNY.number and leg.side == (Side.CREDIT if back else Side.DEBIT):
                        number = numbers[leg.public_id]
                        taken[back][number] = taken[back].get(number, 0) + leg.amount
            for back, record in ((True, before), (False, after)):
                if record is None or not taken[back]:
                    continue
                grown = before if not back and not taken[True] else None
                sums: dict[_Key, _Sum] = {}
                _add(sums, record, grown, await _payers(tx, taken[back]), terms.tariffs, -1 if back else 1)
                correction = fact.kind in CORRECTIONS
                found.extend(self._charge(source.centre, key, one, correction=correction) for key, one in sums.items())

        await self.service.journal.transact(work)
        return found

    def _charge(self, centre: str, key: _Key, one: _Sum, *, correction: bool) -> Charge:
        account, model, price, list_price, payer = key
        own = one.yuan if payer is None else 0
        issuer = self.service.settings.issuer
        return Charge(
            *self.period, one.from_us, max(one.to_us, one.from_us + 1_000_000), centre, self.names.get(centre, centre),
            centre, self.names.get(centre, centre), account, account, account, account, model, one.gpu_ms, price,
            one.list_yuan, own, own, issuer, f"{centre}/{model}", payer, correction=correction,
            tags={"records": str(len(one.ids))}, list_unit_yuan=list_price, contracted_yuan=one.yuan,
            classes=dict(one.classes),
        )  # fmt: skip


def _accounts_of(batch: StoredBatch) -> list[str]:
    """Accounts of which a batch paid something, in the order in which they come in it."""
    unpaid = unpaid_ids(batch)
    records = map(segment.decode, segment.unpack(batch.segment))
    return list(dict.fromkeys(one.account for one in records if one.id not in unpaid))


def _add(
    sums: dict[_Key, _Sum],
    record: UsageRecord,
    grown: UsageRecord | None,
    payers: Payers,
    tariffs: Tariffs,
    sign: int = 1,
) -> None:
    """Spread a record over its payers by what each paid; of one that has `grown` from another, what it is more."""
    parts = [(part, tariffs(part.model, record.start_us)) for part in record.accelerators]
    changes = any(tariff and not tariff.lasts(record.start_us, record.end_us) for _, tariff in parts)
    single = parts[0] if len(parts) == 1 and not changes else None  # no one price speaks for the others
    price = single[1].price(single[0].count_milli) if single and single[1] else 0
    bill, earlier = bill_of(record, tariffs), bill_of(grown, tariffs) if grown else None
    listed = (bill.list_yuan if bill else 0) - (earlier.list_yuan if earlier else 0)
    list_price = price
    if single and single[1] and single[1].parts:
        list_price = single[1].parts.list_price(single[0].count_milli)
    model = "+".join(tariff.model if tariff else part.model for part, tariff in parts)
    paying = {payer: units for payer, units in payers.items() if units}
    times = split(record.gpu_ms - (grown.gpu_ms if grown else 0), list(paying.values())) if paying else []
    lists = split(listed, list(paying.values())) if paying else []
    for (payer, units), share, list_yuan in zip(paying.items(), times, lists, strict=True):
        key = record.account, model, price, list_price, payer
        one = sums.setdefault(key, _Sum(record.start_us, record.end_us))
        one.from_us, one.to_us = min(one.from_us, record.start_us), max(one.to_us, record.end_us)
        one.gpu_ms += sign * share
        one.yuan += sign * units
        one.list_yuan += sign * list_yuan
        one.ids.add(record.id)
        if bill and bill.explained:
            for name, part in paid_classes(bill, earlier, units, own=payer is None).items():
                one.classes[name] += sign * part


def paid_classes(bill: Bill, earlier: Bill | None, units: int, *, own: bool) -> dict[str, int]:
    """What a payer paid, by cost class: the account itself (`own`) those that no voucher pays, and its share of the others."""
    excluded = (bill.own - (earlier.own if earlier else 0)) if own else 0
    found = dict(zip(bill.excluded, split(excluded, list(bill.excluded.values())), strict=True)) if excluded else {}
    payable = {name: part - bill.excluded.get(name, 0) for name, part in bill.classes.items()}
    shares = split(units - excluded, list(payable.values()))
    for name, part in zip(payable, shares, strict=True):
        found[name] = found.get(name, 0) + part
    return {name: part for name, part in found.items() if part}


NOT_CHARGED = "not-charged"
"""Stands for a payer where a scheme forbids to charge interrupted time."""


async def _payers(tx: Transaction, taken: Mapping[int, int]) -> Payers:
    """Who is behind the ledger accounts that paid in yuan."""
    found: Payers = {}
    vouchers = {row.account: row.jti for row in await voucher_store.vouchers_of(tx.connection, taken)}
    for number, account in (await tx.accounts_by_number(taken)).items():
        if account.asset == CNY.number and not account.name.startswith(COUNTERS):
            free = NOT_CHARGED if account.name.startswith(WAIVED) else None
            payer = free or vouchers.get(number) or scheme_in_kind(account.name)
            found[payer] = found.get(payer, 0) + taken[number]
    return found


async def _before(tx: Transaction, source: Source, fact: Fact) -> UsageRecord | None:
    """What counted of a record when a fact came."""
    record, revision, known = None, 0, False
    for earlier in await fates.facts_of(tx.connection, source.number, [fact.id]):
        if earlier.number >= fact.number:
            break
        if earlier.kind != "drop" and (earlier.revision > revision or not revision):
            record = segment.decode(earlier.record) if earlier.record else None
            revision, known = max(revision, earlier.revision), True
    if known or fact.kind == "release":
        return record
    place = (await metering_store.load_places(tx.connection, source.number, [fact.id])).get(fact.id)
    batch = (
        None if place is None else await metering_store.batch_numbered(tx.connection, place[0] // metering_store.PLACES)
    )
    if place is None or batch is None or fact.id in unpaid_ids(batch[1]):
        return None
    return segment.decode(list(segment.unpack(batch[1].segment))[place[0] % metering_store.PLACES])
