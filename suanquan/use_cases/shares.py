"""What one record of a batch was paid by, though the batch posted it together with others of its account.

A batch draws its records one after another on the account's vouchers. How much each voucher gave is in the batch's entries;
drawn again on purses that hold exactly that, the same records in the same order take the same parts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from ledger.amount import ASSETS_BY_NUMBER
from ledger.entry import Entry, Leg, Side, credit, debit
from ledger.errors import Kind
from ledger.state import Original
from ledger.transaction import Transaction
from metering import segment
from metering.batch import batch_of
from metering.model import UsageRecord
from metering.rating import Tariffs, rate
from metering.store import StoredBatch
from suanquan.errors import ServiceError
from suanquan.use_cases.postings import (
    WAIVED,
    batch_event_ids,
    compute_received,
    in_kind,
    not_charged,
    receivable,
    self_pay,
    waived,
)
from voucher import store as voucher_store
from voucher.allocation import Cover, Purse, charges_along, draw_one
from voucher.scheme import Series
from voucher.store import BoundVoucher, StoredVoucher

Parts = list[tuple[int, tuple[Leg, ...]]]
"""Number of an entry, and the legs that take a part of it back."""


class Terms(NamedTuple):
    """What usage of a centre is rated and paid by."""

    centre: str
    tariffs: Tariffs
    schemes: Mapping[str, Series]


class Waited(msgspec.Struct):
    """Of a stored answer: which records of the batch's segment its entries did not pay."""

    others: dict[int, _Result]
    apart: list[str] = []


class _Result(msgspec.Struct):
    id: str
    status: str
    checkpoint: bool = False


def price_changed() -> ServiceError:
    """A posting cannot be taken back record by record when it no longer is what its records come to."""
    return ServiceError(
        "posting-changed",
        "原分录已被另行冲正，或价格登记已改，无法逐条冲正；请由账务处理",
        "its posting was taken back by hand, or the register of prices was changed: settle it in the books",
        kind=Kind.CONFLICT,
    )


def unpaid_ids(stored: StoredBatch) -> set[str]:
    """Ids in a batch's segment that its entries did not pay: they waited, or were settled on their own."""
    kept = msgspec.msgpack.decode(stored.answer, type=Waited)
    held = {result.id for result in kept.others.values() if result.status == "held" and not result.checkpoint}
    return held | set(kept.apart)


async def parts_of(tx: Transaction, stored: StoredBatch, record: UsageRecord, terms: Terms) -> Parts:
    """Legs that take back exactly what one record of a batch moved, by entry.

    Raises:
        ServiceError: `posting-changed`.

    """
    taken = next(one for known, one in await paid_by_batch(tx, stored, record.account, terms) if known == record)
    return await _legs(tx, await _originals(tx, stored, record.account), taken, terms.centre)


async def paid_by_batch(
    tx: Transaction, stored: StoredBatch, account: str, terms: Terms
) -> list[tuple[UsageRecord, dict[int, int]]]:
    """The records that a batch paid for an account, each with the units it took from every ledger account.

    Raises:
        ServiceError: `posting-changed`.

    """
    drawn: Counter[int] = Counter()
    for original in (await _originals(tx, stored, account)).values():
        for (number, side), amount in original.moved.items():
            drawn[number] += amount if side == Side.DEBIT else 0
    unpaid = unpaid_ids(stored)
    records = [one for one in map(segment.decode, segment.unpack(stored.segment)) if one.id not in unpaid]
    records = [one for one in records if one.account == account]
    covers = draw_each(records, await _purses(tx, drawn, terms.schemes), terms)
    posted = [await _posted(tx, terms.centre, account, cover) for cover in covers]
    total: Counter[int] = Counter()
    for parts in posted:
        total.update(parts)
    if +total != +drawn:
        raise price_changed()
    return list(zip(records, posted, strict=True))


def draw_each(records: Sequence[UsageRecord], purses: Sequence[Purse], terms: Terms) -> list[Cover]:
    """What each record draws, one after another."""
    rated = rate(batch_of(records), terms.tariffs, range(len(records)))
    return [
        draw_one(
            charges_along(
                rated.course(at, record.start_us, record.end_us), rated.models[at], record.voucher,
                interrupted=record.interrupted,
            ), purses
        )
        for at, record in enumerate(records)
    ]  # fmt: skip


async def posted_entries(tx: Transaction, stored: StoredBatch, account: str) -> list[Entry]:
    """The entries that a batch posted for an account."""
    accounts = [account] * (stored.log_size - stored.log_first)
    ids = batch_event_ids(tx, stored.received_us, stored.number, accounts)
    return list((await tx.entries(ids)).values())


async def _originals(tx: Transaction, stored: StoredBatch, account: str) -> dict[int, Original]:
    """What the entries moved that a batch posted for an account."""
    return await tx.originals([entry.seq for entry in await posted_entries(tx, stored, account)])


async def _purses(tx: Transaction, drawn: Mapping[int, int], schemes: Mapping[str, Series]) -> list[Purse]:
    """Vouchers that paid, holding what they gave."""
    purses = []
    free = await _waived_by(tx, drawn)
    given: dict[str, BoundVoucher | StoredVoucher] = {
        row.jti: row for row in await voucher_store.vouchers_of(tx.connection, drawn)
    }
    given |= await voucher_store.load_vouchers(tx.connection, [jti for jti in free if jti not in given])
    for row in given.values():
        series = schemes.get(row.scheme)
        scheme = (series.at(row.issued_us) or series.latest) if series else None
        if scheme is None:
            raise price_changed()
        purses.append(
            Purse(
                row.jti, row.scheme, row.account, ASSETS_BY_NUMBER[row.asset], drawn.get(row.account, 0), row.from_us,
                row.until_us, row.priority, scheme.accelerators, waives=free.get(row.jti),
            )
        )  # fmt: skip
    return purses


async def _waived_by(tx: Transaction, drawn: Mapping[int, int]) -> dict[str, int]:
    """What was not charged by the schemes of vouchers, by id."""
    accounts = await tx.accounts_by_number(drawn)
    names = {number: account.name or "" for number, account in accounts.items()}
    return {name.rpartition("/")[2]: drawn[number] for number, name in names.items() if name.startswith(WAIVED)}


async def _posted(tx: Transaction, centre: str, account: str, cover: Cover) -> dict[int, int]:
    """Units that a cover took from each ledger account."""
    taken = {**cover.yuan, **cover.compute}
    named = {in_kind(scheme): units for scheme, units in cover.in_kind.items()}
    named |= {self_pay(centre, account): cover.self_pay} if cover.self_pay else {}
    named |= {waived(centre, jti): units for jti, units in cover.waived.items()}
    found = await tx.accounts(named)
    for name, units in named.items():
        if units and name not in found:
            raise price_changed()
        if units:
            taken[found[name].number] = units
    return taken


async def _legs(tx: Transaction, originals: Mapping[int, Original], taken: Mapping[int, int], centre: str) -> Parts:
    """The opposite of what was taken, each part in the entry that took it."""
    named = await tx.accounts((receivable(centre), compute_received(centre), not_charged(centre)))
    against = {(one.asset, name == not_charged(centre)): one.number for name, one in named.items()}
    parts: Parts = []
    for seq, original in sorted(originals.items()):
        mine = {number: units for number, units in taken.items() if (number, Side.DEBIT) in original.moved and units}
        accounts = await tx.accounts_by_number(mine)
        sums: Counter[int] = Counter()
        for number, units in mine.items():
            free = (accounts[number].name or "").startswith(WAIVED)
            sums[against[accounts[number].asset, free]] += units
        legs = [credit(number, units) for number, units in mine.items()]
        if legs:
            parts.append((seq, (*legs, *(debit(number, units) for number, units in sums.items()))))
    return parts
