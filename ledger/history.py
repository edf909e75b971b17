"""What an account had at any moment, recorded or effective, and its entries page by page: each a few index seeks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ledger import log_store, store
from ledger.entry import NO_SEQ, Entry, PostedLeg, opening_digest
from ledger.leaf import decode
from ledger.places import PLACES_PER_ROW, Axis, Place, last_until
from ledger.sql import Connection
from ledger.state import Account


class Totals(NamedTuple):
    """Totals of an account, and the last entry that made them (NO_SEQ before the first)."""

    debits_posted: int
    credits_posted: int
    debits_held: int
    credits_held: int
    last_seq: int

    @property
    def balance(self) -> int:
        """Posted credits minus posted debits."""
        return self.credits_posted - self.debits_posted

    @property
    def available(self) -> int:
        """The balance less open holds."""
        return self.balance - self.debits_held


NOTHING = Totals(0, 0, 0, 0, NO_SEQ)


@dataclass(frozen=True, slots=True)
class Line:
    """One entry of an account: the entry, the account's last leg in it, and what the entry changed for the account."""

    entry: Entry
    leg: PostedLeg
    debits: int
    credits: int

    @property
    def totals(self) -> Totals:
        """Totals after the entry."""
        return totals_of(self.leg, self.entry.seq)


def totals_of(leg: PostedLeg, seq: int) -> Totals:
    """Totals that a recorded leg carries."""
    return Totals(leg.debits_posted, leg.credits_posted, leg.debits_held, leg.credits_held, seq)


def line_of(entry: Entry, public_id: bytes) -> Line:
    """What an entry says of an account that it touches."""
    legs = [leg for leg in entry.legs if leg.public_id == public_id]
    posted = [leg for leg in legs if leg.layer == 0]
    debits = sum(leg.amount for leg in posted if leg.side == 0)
    return Line(entry, legs[-1], debits, sum(leg.amount for leg in posted) - debits)


async def totals_at(conn: Connection, account: Account, recorded_ns: int) -> Totals:
    """Totals as recorded up to a moment, that moment included."""
    place = await _place_until(conn, account, recorded_ns)
    if place is None:
        return NOTHING
    [leaf] = await store.load_leaves(conn, [place.seq])
    return line_of(decode(leaf)[0], account.public_id).totals


async def balance_effective_at(conn: Connection, account: Account, effective_ns: int) -> int:
    """Balance by effective time: what is dated up to a moment counts, whenever it was recorded.

    That is what was recorded until then, less what of it is dated otherwise, plus all that is dated until then.
    """
    recorded = await totals_at(conn, account, effective_ns)
    dated_otherwise = await store.sum_dated(conn, account.number, Axis.RECORDED, effective_ns)
    dated_until = await store.sum_dated(conn, account.number, Axis.EFFECTIVE, effective_ns)
    return recorded.balance - dated_otherwise + dated_until


async def _place_until(conn: Connection, account: Account, recorded_ns: int) -> Place | None:
    recent = recent_places(account)
    if recent and recent[0].recorded_ns <= recorded_ns:
        return last_until(recent, recorded_ns)
    rows = await store.load_places(conn, account.number, recorded_ns, 1)
    return last_until(rows[0], recorded_ns) if rows else None


def recent_places(account: Account) -> list[Place]:
    """The newest places of an account, which stand with its balance."""
    flat = account.recent
    return [Place(*pair) for pair in zip(flat[::2], flat[1::2], strict=True)]


async def first_from(conn: Connection, account: Account, recorded_ns: int) -> Place | None:
    """Where an account's first entry recorded at or after a moment stands."""
    rows = await store.load_places(conn, account.number, recorded_ns, 1)
    rows += await log_store.load_places_from(conn, account.number, recorded_ns)
    places = (place for row in (*rows, recent_places(account)) for place in row)
    return next((place for place in places if place.recorded_ns >= recorded_ns), None)


async def opening_of(conn: Connection, name: str) -> store.EntryRow:
    """The entry that opened an account, with its payload; the account exists under this name."""
    head = await store.load_head(conn)
    assert head is not None, "there is an account, so there is a log"
    event_id = opening_digest(name, head.pseudonym_key)[:16]
    opened = (await store.load_entries(conn, [event_id]))[event_id]
    row = await store.load_entry(conn, opened.seq)
    assert row is not None, "it was just found"
    return row


async def lines_before(conn: Connection, account: Account, before_ns: int, limit: int) -> list[Line]:
    """An account's newest entries recorded before a moment, newest first."""
    places = [place for place in recent_places(account) if place.recorded_ns < before_ns]
    if len(places) < limit:
        rows = await store.load_places(conn, account.number, before_ns - 1, limit // PLACES_PER_ROW + 2)
        older = [place for row in reversed(rows) for place in row if place.recorded_ns < before_ns]
        places = older + places
    wanted = places[-limit:] if limit else []
    leaves = await store.load_leaves(conn, [place.seq for place in wanted])
    return [line_of(decode(leaf)[0], account.public_id) for leaf in reversed(leaves)]
