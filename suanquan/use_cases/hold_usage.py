"""Usage that names a hold is paid by that hold, once (docs/decisions/0020).

A record's `voucher` may be a hold's id. The first to draw decides who settles a hold: metering gives it back and posts the
record on its voucher in the same transaction, holding the rest again while the job runs; a centre that captured by hand has
been paid, so that the record counts and posts nothing. What was drawn through delegations is counted on each of its links,
by an entry beside the record's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ledger.amount import ASSETS_BY_NUMBER
from ledger.entry import EntryKind, Event, Leg, credit, debit
from ledger.orders import Act
from ledger.scope import EVERYTHING
from ledger.sql import insert_tables
from ledger.state import Hold, HoldStatus
from ledger.transaction import Transaction
from metering.model import UsageRecord
from suanquan.use_cases.postings import bound_to, waives_of
from voucher import hold_store, store
from voucher.allocation import Purse
from voucher.hold_store import BY_HAND, LEASED, METERED, Part
from voucher.lease import WINDOW_S
from voucher.scheme import Scheme, Series
from voucher.store import BoundVoucher, StoredVoucher

_HOLD = re.compile("[0-9a-f]{32}")


def names_hold(voucher: str | None) -> bool:
    """Whether what a record names is a hold: a voucher's id has dashes."""
    return voucher is not None and _HOLD.fullmatch(voucher) is not None


@dataclass(slots=True)
class Share:
    """Parts of a hold on the same accounts: pairs of debit and credit, the voucher's first, then each link's counters."""

    pairs: tuple[tuple[int, int], ...]
    left: int


@dataclass(slots=True)
class Backing:
    """A hold that records name: settled by hand, or what it still has of its voucher. `purse` is None once it is closed.

    What names a closed one is paid by the voucher. One that `runs_on` pays to the end for what began in time.
    """

    hold: str
    jti: str
    by_hand: bool
    parts: list[Part]
    open: list[Hold]
    purse: Purse | None = None
    shares: list[Share] = field(default_factory=list)
    runs_on: bool = False

    def take_back(self, returned: Mapping[int, int]) -> None:
        """Have what a record of this hold gave its voucher back, beside what the hold still has."""
        if self.purse is not None and self.shares and (units := returned.get(self.purse.account, 0)):
            self.purse.available += units
            self.shares[0].left += units

    def count(self, units: int) -> tuple[Leg, ...]:
        """What the counters of delegations move by when so much is drawn from the purse; the oldest part is drawn first."""
        moved: dict[tuple[int, int], int] = {}
        for share in self.shares:
            taken = min(share.left, units)
            share.left, units = share.left - taken, units - taken
            for pair in share.pairs[1:]:
                moved[pair] = moved.get(pair, 0) + taken
        legs = ((debit(one, taken), credit(other, taken)) for (one, other), taken in moved.items() if taken)
        return tuple(leg for pair in legs for leg in pair)


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
            captured |= any(map(is_captured, held))
            still = [one for one in held if one.status is HoldStatus.OPEN and not captured and _lives(one, tx.now_ns)]
            found[hold] = Backing(hold, parts[0].jti, captured, parts, still)
    return found


def is_captured(hold: Hold) -> bool:
    """What the ledger itself tells, for holds that were captured before captures were noted."""
    return hold.status is HoldStatus.CAPTURED or any(0 < line.remaining < line.amount for line in hold.lines)


def _lives(hold: Hold, now_ns: int) -> bool:
    return hold.expires_ns is None or now_ns < hold.expires_ns


async def scheme_of(tx: Transaction, backing: Backing, schemes: Mapping[str, Series]) -> Scheme | None:
    """The terms of the voucher that a hold is of, as on the day of its issue."""
    row = (await store.load_vouchers(tx.connection, [backing.jti]))[backing.jti]
    series = schemes.get(row.scheme)
    return (series.at(row.issued_us) or series.latest) if series else None


async def open_purse(tx: Transaction, backing: Backing, schemes: Mapping[str, Series]) -> None:
    """What a hold has, to be drawn like a voucher that the record names."""
    row = await store.load_voucher(tx.connection, backing.jti, EVERYTHING)
    assert row is not None, "a hold is of a voucher"
    scheme = await scheme_of(tx, backing, schemes)
    models, waives = (scheme.accelerators, waives_of(scheme)) if scheme else (None, None)
    shares: dict[tuple[tuple[int, int], ...], Share] = {}
    for one in backing.open:
        pairs = tuple((line.debit, line.credit) for line in one.lines)
        shares.setdefault(pairs, Share(pairs, 0)).left += one.lines[0].remaining
    backing.shares = [*shares.values()]
    units = sum(share.left for share in backing.shares)
    backing.purse = Purse(
        row.jti, row.scheme, row.account, ASSETS_BY_NUMBER[row.asset], units, row.from_us, _until_us(backing, row.until_us),
        row.priority, models, waives=waives, runs_on=backing.runs_on,
    )  # fmt: skip


async def pays_on(tx: Transaction, backing: Backing, schemes: Mapping[str, Series]) -> bool:
    """Whether a hold pays to the end for what began in time: a lease does, others where their scheme says so."""
    if backing.parts[0].proof.startswith(LEASED):
        return True
    scheme = await scheme_of(tx, backing, schemes)
    return scheme is not None and scheme.spending.at_expiry == "run_to_end"


def _until_us(backing: Backing, until_us: int) -> int:
    """A lease pays for what began before its end, which its hold outlives by the time for reporting."""
    ends = [one.expires_ns for one in backing.open if one.expires_ns is not None]
    if not backing.parts[0].proof.startswith(LEASED) or not ends:
        return until_us
    return min(until_us, max(ends) // 1000 - WINDOW_S * 1_000_000)


async def edges_of(tx: Transaction, centre: str, record: UsageRecord, schemes: Mapping[str, Series]) -> set[int]:
    """When vouchers that may pay for a record begin and end, but for one that pays on by the hold that the record names."""
    bound = await bound_to(tx, centre, [record.account], schemes)
    rows: dict[str, BoundVoucher | StoredVoucher] = {row.jti: row for row, _ in bound[record.account]}
    for one in (await backings_of(tx, centre, [record.voucher])).values():
        rows |= await store.load_vouchers(tx.connection, [one.jti])
        if await pays_on(tx, one, schemes):
            del rows[one.jti]
    return {at for row in rows.values() for at in (row.from_us, row.until_us)}


def give_back(act: Act, hold: Hold) -> Event:
    """Release a part, so that its voucher can be posted on."""
    return act.event(EntryKind.RELEASE)._replace(ref_seq=hold.seq, final=True)


def hold_again(act: Act, backing: Backing, share: Share) -> Event:
    """Hold what a job under way has left of a share of its hold, until the hold would have ended."""
    ends = [one.expires_ns for one in backing.open if one.expires_ns is not None]
    legs = [leg for one, other in share.pairs for leg in (debit(one, share.left), credit(other, share.left))]
    return act.event(EntryKind.HOLD)._replace(legs=tuple(legs), expires_ns=max(ends, default=None))


async def keep_part(tx: Transaction, backing: Backing, seq: int, units: int) -> None:
    """Note a part that metering held again: it has no proof, by which it is known."""
    first = backing.parts[0]
    part = Part(seq, backing.hold, first.jti, first.centre, units, first.reference, METERED)
    await insert_tables(tx.connection, [hold_store.part_rows([part])])
