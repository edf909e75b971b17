"""Late usage of a voucher that is over: what had broken at its end is taken back as far as the usage draws on it.

Whether a voucher may pay is decided by the time of the usage; when its report comes late, what was left has been booked as
breakage meanwhile. That posting is reversed in part, so that the voucher pays as if the report had come in time.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

import cbor2

from ledger import orders
from ledger.entry import Entry, Side, credit, debit
from ledger.orders import Act
from ledger.transaction import Transaction
from voucher import hold_store
from voucher.allocation import Purse


async def reopen(tx: Transaction, purses: Iterable[Purse]) -> None:
    """Give vouchers back what was drawn on them beyond what they hold."""
    short = {purse.jti: purse for purse in purses if purse.available < purse.broken}
    if not short:
        return
    broken = await hold_store.load_broken(tx.connection, short)
    entries = await tx.entries([event_id for _, event_id in broken])
    originals = await tx.originals([entry.seq for entry in entries.values()])
    for jti, event_id in broken:
        purse, entry = short[jti], entries[event_id]
        original = originals[entry.seq]
        key = purse.account, int(Side.DEBIT)
        units = min(purse.broken - purse.available, original.moved[key] - original.reversed.get(key, 0))
        if units > 0:
            goal = next(number for number, side in original.moved if side == Side.CREDIT)
            await _take_back(tx, purse, entry, goal, units)
            purse.broken -= units


async def _take_back(tx: Transaction, purse: Purse, broke: Entry, breakage: int, units: int) -> None:
    event_id = (tx.now_ns // 1_000_000).to_bytes(6) + tx.entropy(10)
    digest = tx.keyed(b"reopened" + purse.jti.encode() + event_id)
    act = Act(event_id, digest, tx.entropy(32), "", sha256(b"clock").digest()[:8])
    event = orders.reverse(act, broke.seq, (credit(purse.account, units), debit(breakage, units)))
    payload = cbor2.dumps({"type": "reopened", "jti": purse.jti}, canonical=True)
    await tx.append([event._replace(payload=payload)], fresh=True)
    await hold_store.write_outflow(tx.connection, event_id, purse.jti, "expired", -units, tx.now_ns // 1000)
