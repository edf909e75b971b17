"""What one commit writes, as rows: taken when a group was applied, for the state may go on while they are written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ledger import tables
from ledger.edge import Tile
from ledger.entry import NO_SEQ, Entry, EntryKind, Event
from ledger.places import dated_rows, note_places, pack_places
from ledger.sql import Conflict, Rows
from ledger.state import Account, Hold, Original, State
from ledger.tree import Frontier


@dataclass(frozen=True, slots=True)
class LogHead:
    """The committed end of the log."""

    origin: str
    size: int
    root: bytes
    frontier: Frontier
    last_ns: int
    next_account: int
    closed_ns: int
    closed_seq: int
    pseudonym_key: bytes


class Changes(NamedTuple):
    """Everything that one commit writes: the size it follows on, rows by table, erasures; and which holds and originals."""

    size: int
    rows: list[Rows]
    erasures: list[Entry]
    holds: frozenset[int]
    originals: frozenset[int]


_POST = int(EntryKind.POST)


def changes_of(
    recorded: Sequence[tuple[Entry, Event]],
    failed: Sequence[tuple[bytes, bytes, str]],
    state: State,
    tiles: Sequence[Tile],
    head: LogHead,
) -> Changes:
    """Rows of what was recorded, as of now: the state may go on while they are written."""
    entries = [entry for entry, _ in recorded]
    touched, places = note_places(entries, state.accounts)
    # Plain postings need no more than their rows; what else a commit holds is seldom much.
    special = [pair for pair in recorded if pair[0][1] != _POST or pair[0][4] != pair[0][5] or pair[1][9]]
    referred = {seq for entry, _ in special for seq in (entry[0], entry[6])} & state.holds.keys()
    holds = [state.holds[seq] for seq in sorted(referred)]
    reversed_ = sorted({entry[6] for entry, _ in special if entry[1] == EntryKind.REVERSE})
    originals = [(seq, state.originals[seq]) for seq in reversed_]
    rows: list[Rows] = [
        *_opened(special),
        (tables.entry, [(0, e[0], e[2], int(e[1]), e[4], e[12]) for e in entries], Conflict.REFUSE),
        (tables.touched, places, Conflict.REFUSE),
        (tables.payload, [(0, e[0], event[8], event[9]) for e, event in special if event[9]], Conflict.REFUSE),
        *_dated([entry for entry, _ in special if entry[4] != entry[5]]),
        (tables.failed, failed, Conflict.REFUSE),
        (tables.balance, [_balance_row(state.accounts[number]) for number in sorted(touched)], Conflict.REPLACE),
        (tables.hold, [row for hold in holds for row in _hold_rows(hold)], Conflict.REPLACE),
        (tables.reversal, _reversal_rows(originals), Conflict.REPLACE),
        (tables.tile, tiles, Conflict.REFUSE),
        (tables.log_state, [_head_row(head)] if recorded else [], Conflict.REPLACE),
    ]
    erasures = [entry for entry, _ in special if entry[1] == EntryKind.ERASE]
    return Changes(head.size - len(recorded), rows, erasures, frozenset(referred), frozenset(reversed_))


def _opened(recorded: Sequence[tuple[Entry, Event]]) -> list[Rows]:
    """Accounts and assets that entries opened."""
    opened = [(entry.legs[0], event.opening) for entry, event in recorded if event.opening]
    assets = [event.asset for _, event in recorded if event.asset]
    return [
        (tables.account, [(leg.account, leg.public_id, leg.asset) for leg, _ in opened], Conflict.REFUSE),
        (tables.account_name, [(leg.account, opening.name) for leg, opening in opened], Conflict.REFUSE),
        (tables.asset, [(asset.number, asset.code, asset.scale) for asset in assets], Conflict.REFUSE),
    ]


def _dated(entries: Sequence[Entry]) -> list[Rows]:
    rows, days = dated_rows(entries)
    return [(tables.dated, rows, Conflict.REFUSE), (tables.dated_day, days, Conflict.ADD)]


def _balance_row(account: Account) -> tuple[Any, ...]:
    floor, ceiling = account.limits
    return (
        account.number, floor, ceiling, int(account.restriction), account.debits_posted, account.credits_posted,
        account.debits_held, account.credits_held, account.last_seq, pack_places(account.recent),
    )  # fmt: skip


def _hold_rows(hold: Hold) -> list[tuple[Any, ...]]:
    return [
        (hold.seq, number, line.debit, line.credit, line.amount, line.remaining, hold.expires_ns, int(hold.status))
        for number, line in enumerate(hold.lines)
    ]


def _reversal_rows(originals: Iterable[tuple[int, Original]]) -> list[tuple[Any, ...]]:
    return [
        (seq, account, side, amount)
        for seq, original in originals
        for (account, side), amount in original.reversed.items()
    ]


def _head_row(head: LogHead) -> tuple[Any, ...]:
    return (
        0, head.origin, head.size, head.root, head.frontier.to_bytes(), head.last_ns, head.next_account, head.closed_ns,
        to_stored(head.closed_seq), head.pseudonym_key,
    )  # fmt: skip


def to_stored(seq: int) -> int:
    """A sequence number as stored: none is -1."""
    return -1 if seq == NO_SEQ else seq
