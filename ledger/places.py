"""Indexes from an account to its entries: packed places in recorded order, and what is dated otherwise, by day.

An account's newest places stand with its balance, which every commit writes anyway; eight make a row of the index. A row
for each entry would touch a page of its own for each account of a commit (measured: half of a small commit's time).
"""

from __future__ import annotations

import enum
import struct
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ledger.entry import Entry, EntryKind
from ledger.state import Account

PLACES_PER_ROW = 8
NS_PER_DAY = 86_400 * 10**9


class Place(NamedTuple):
    """Where an entry of an account stands: its number and recorded time."""

    seq: int
    recorded_ns: int


PlaceRow = tuple[int, int, bytes]


def note_places(entries: Iterable[Entry], accounts: Mapping[int, Account]) -> tuple[set[int], list[PlaceRow]]:
    """Add entries to the newest places of their accounts: accounts touched, and index rows that fill.

    A row is the account, the time of its first place, and the places.
    """
    touched: set[int] = set()
    full: list[PlaceRow] = []
    filled: list[int] = []
    for entry in entries:
        seq, recorded = entry[0], entry[4]
        for leg in entry[9]:
            number = leg[0]
            touched.add(number)
            recent = accounts[number].recent
            if not recent or recent[-2] != seq:
                recent += (seq, recorded)
                if len(recent) == _FULL:
                    filled.append(number)
        if filled:  # only now: a further leg of the same account must find its place
            for number in filled:
                recent = accounts[number].recent
                full.append((number, recent[1], pack_places(recent)))
                recent.clear()
            filled.clear()
    return touched, full


def pack_places(numbers: Sequence[int]) -> bytes:
    """Stored form of places given flat: a number, its time, the next number, and so on."""
    return _STRUCTS[len(numbers)].pack(*numbers)


_FULL = 2 * PLACES_PER_ROW
_STRUCTS = [struct.Struct(f">{count}Q") for count in range(_FULL + 1)]


def unpack_places(data: bytes) -> list[Place]:
    """Places of one row, in order."""
    return [Place(seq, recorded_ns) for seq, recorded_ns in struct.iter_unpack(">QQ", data)]


def last_until(places: Sequence[Place], recorded_ns: int) -> Place | None:
    """The last place recorded at or before a moment."""
    at = bisect_right(places, recorded_ns, key=lambda place: place.recorded_ns)
    return places[at - 1] if at else None


class Axis(enum.IntEnum):
    """By which time a dated amount is looked up. Numbers are stored and never change."""

    RECORDED = 0
    EFFECTIVE = 1


DatedRow = tuple[int, int, int, int, int, int]
DayRow = tuple[int, int, int, int, int]


def dated_rows(entries: Iterable[Entry]) -> tuple[list[DatedRow], list[DayRow]]:
    """Index rows of entries whose effective time is not their recorded one, on both axes, and their sums by day.

    A balance at an effective moment is the balance at that recorded moment, less what was recorded until then with
    another date, plus what is dated until then.
    """
    rows: list[DatedRow] = []
    days: defaultdict[tuple[int, int, int], list[int]] = defaultdict(lambda: [0, 0])
    for entry in entries:
        if entry.kind not in _DATED:
            continue
        sums: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0])
        for leg in entry.legs:
            if leg.layer == 0:
                sums[leg.account][leg.side] += leg.amount
        for account, (debits, credits_) in sums.items():
            for axis, at in ((Axis.RECORDED, entry.recorded_ns), (Axis.EFFECTIVE, entry.effective_ns)):
                rows.append((account, int(axis), at, entry.seq, debits, credits_))
                total = days[account, int(axis), at // NS_PER_DAY]
                total[0] += debits
                total[1] += credits_
    return sorted(rows), [(*key, debits, credits_) for key, (debits, credits_) in sorted(days.items())]


_DATED = (EntryKind.POST, EntryKind.REVERSE, EntryKind.CAPTURE)
