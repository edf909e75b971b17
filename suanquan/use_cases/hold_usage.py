"""Usage that names a hold is paid by that hold, once (docs/decisions/0020).

A record's `voucher` may be a hold's id. The first to draw decides who settles a hold: metering gives it back and posts the
record on its voucher in the same transaction, holding the rest again while the job runs; a centre that captured by hand has
been paid, so that the record counts and posts nothing. A hold through delegations is settled by hand alone, for only a
capture moves the counters of its links.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ledger.amount import ASSETS_BY_NUMBER
from ledger.entry import EntryKind, Event, credit, debit
from ledger.orders import Act
from ledger.scope import EVERYTHING
from ledger.sql import insert_tables
from ledger.state import Hold, HoldStatus
from ledger.transaction import Transaction
from voucher import hold_store, store
from voucher.allocation import Purse
from voucher.hold_store import BY_HAND, METERED, Part
from voucher.scheme import Series

_HOLD = re.compile("[0-9a-f]{32}")


def names_hold(voucher: str | None) -> bool:
    """Whether what a record names is a hold: a voucher's id has dashes."""
    return voucher is not None and _HOLD.fullmatch(voucher) is not None


@dataclass(slots=True)
class Backing:
    """A hold that records name: settled by hand, or what it still has of its voucher. `purse` is None once it is closed."""

    hold: str
    jti: str
    by_hand: bool
    parts: list[Part]
    open: list[Hold]
    purse: Purse | None = None


async def backings_of(tx: Transaction, centre: str, vouchers: Iterable[str | None]) -> dict[str, Backing]:
    """The holds of a centre among what records name; what is no hold of this centre is nobody's."""
    named = sorted({voucher for voucher in vouchers if voucher is not None and names_hold(voucher)})
    found: dict[str, Backing] = {}
    if not named:
        return found
    seen = await hold_store.look_up(tx.connection, [], [], named)
    for hold, parts in seen.parts.items():
        if parts[0].centre == centre:
            held = [*(await tx.holds([part.seq for part in parts])).values()]
            captured = any(part.proof == BY_HAND for part in parts)
            captured |= any(is_captured(one) or len(one.lines) > 1 for one in held)
            still = [one for one in held if one.status is HoldStatus.OPEN and not captured and _lives(one, tx.now_ns)]
            found[hold] = Backing(hold, parts[0].jti, captured, parts, still)
    return found


def is_captured(hold: Hold) -> bool:
    """What the ledger itself tells, for holds that were captured before captures were noted."""
    return hold.status is HoldStatus.CAPTURED or any(0 < line.remaining < line.amount for line in hold.lines)


def _lives(hold: Hold, now_ns: int) -> bool:
    return hold.expires_ns is None or now_ns < hold.expires_ns


async def open_purse(tx: Transaction, backing: Backing, schemes: Mapping[str, Series]) -> None:
    """What a hold has, to be drawn like a voucher that the record names."""
    row = await store.load_voucher(tx.connection, backing.jti, EVERYTHING)
    assert row is not None, "a hold is of a voucher"
    series = schemes.get(row.scheme)
    models = (series.at(row.issued_us) or series.latest).accelerators if series else None
    units = sum(one.lines[0].remaining for one in backing.open)
    backing.purse = Purse(
        row.jti, row.scheme, row.account, ASSETS_BY_NUMBER[row.asset], units, row.from_us, row.until_us, row.priority, models
    )  # fmt: skip


def give_back(act: Act, hold: Hold) -> Event:
    """Release a part, so that its voucher can be posted on."""
    return act.event(EntryKind.RELEASE)._replace(ref_seq=hold.seq, final=True)


def hold_again(act: Act, backing: Backing) -> Event:
    """Hold what a job under way has left of its hold, until the hold would have ended."""
    assert backing.purse is not None
    line, units = backing.open[0].lines[0], backing.purse.available
    ends = [one.expires_ns for one in backing.open if one.expires_ns is not None]
    return act.event(EntryKind.HOLD)._replace(
        legs=(debit(line.debit, units), credit(line.credit, units)), expires_ns=max(ends, default=None)
    )


async def keep_part(tx: Transaction, backing: Backing, seq: int, units: int) -> None:
    """Note a part that metering held again: it has no proof, by which it is known."""
    first = backing.parts[0]
    part = Part(seq, backing.hold, first.jti, first.centre, units, first.reference, METERED)
    await insert_tables(tx.connection, [hold_store.part_rows([part])])
