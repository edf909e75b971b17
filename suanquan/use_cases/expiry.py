"""What is left of vouchers that are over: unused at the end it breaks, of a revoked one it goes back to the budget.

Holds that a scheme lets run on are left alone; what they give back later is found at the next look.
"""

from __future__ import annotations

from hashlib import sha256

import cbor2

from ledger.amount import ASSETS_BY_NUMBER, Asset
from ledger.entry import EntryKind, Event, Leg, Restriction, credit, debit
from ledger.scope import EVERYTHING
from ledger.sql import Connection
from ledger.transaction import Transaction
from suanquan.use_cases.caps import give_back
from suanquan.use_cases.issue import budget_name, load
from voucher import hold_store
from voucher.hold_store import Over
from voucher.store import StoredVoucher

TOGETHER = 200
"""Vouchers of one transaction."""


def breakage_name(scheme: str, year: int, asset: Asset) -> str:
    """Account of what vouchers of a year had left at their end."""
    return f"scheme/{scheme}/{year}/breakage/{asset.code}"


async def any_over(conn: Connection, now_us: int) -> bool:
    """Whether a voucher that is over has something left."""
    return bool(await hold_store.vouchers_over(conn, now_us, 1, Restriction.LEGAL_HOLD))


async def close_expired(tx: Transaction) -> int:
    """Book what is left of vouchers that are over; how many there were, at most `TOGETHER` at once."""
    over = await hold_store.vouchers_over(tx.connection, tx.now_ns // 1000, TOGETHER, Restriction.LEGAL_HOLD)
    for one in over:
        await _close(tx, one)
    return len(over)


async def _close(tx: Transaction, over: Over) -> None:
    stored = await load(tx.connection, over.jti, EVERYTHING)
    account = (await tx.accounts_by_number([stored.account]))[stored.account]
    units, kind = account.available, "returned" if over.is_revoked else "expired"
    legs = await _legs(tx, stored, units, back=bool(over.is_revoked))
    event = _event(tx, stored, EntryKind.POST, kind, legs)
    if account.restriction:  # a frozen account gives nothing; it is frozen again right after
        named = (credit(stored.account, 0),)
        free = _event(tx, stored, EntryKind.STATUS, "free", named)
        frozen = _event(tx, stored, EntryKind.STATUS, "frozen", named)._replace(restriction=account.restriction)
        await tx.append([free, event, frozen], fresh=True)
    else:
        await tx.append([event], fresh=True)
    await hold_store.write_outflow(tx.connection, event.event_id, stored.jti, kind, units, tx.now_ns // 1000)


async def _legs(tx: Transaction, stored: StoredVoucher, units: int, *, back: bool) -> tuple[Leg, ...]:
    asset, year = ASSETS_BY_NUMBER[stored.asset], stored.year
    if back:
        name = budget_name(stored.scheme, year, asset)
        caps = await give_back(tx, (stored.scheme, str(year), stored.holder), units, asset)
    else:
        name, caps = breakage_name(stored.scheme, year, asset), ()
    target = (await tx.open([(name, asset, 0)]))[name]
    return (debit(stored.account, units), credit(target.number, units), *caps)


def _event(tx: Transaction, stored: StoredVoucher, kind: EntryKind, what: str, legs: tuple[Leg, ...]) -> Event:
    machine = kind is EntryKind.POST
    payload = cbor2.dumps({"type": what, "jti": stored.jti}, canonical=True) if machine else f"\n{what}".encode()
    return Event(
        kind,
        (tx.now_ns // 1_000_000).to_bytes(6) + tx.entropy(10),
        tx.keyed(what.encode() + stored.jti.encode()),
        legs,
        actor=sha256(b"clock").digest()[:8],
        salt=tx.entropy(32),
        payload=payload,
    )
