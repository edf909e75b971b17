"""How soon vouchers are first used, by quarter of issue (chart 4), and how concentrated what they paid is (chart 6)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import NamedTuple

from ledger import store as ledger_store
from ledger.history import line_of
from ledger.leaf import decode
from ledger.moments import places_of_all
from ledger.sql import Connection
from suanquan.use_cases.subsidies import day_of
from voucher import close_store, uptake_store
from voucher.uptake_store import DAY_US, Part, Payer

POINTS = (0, 7, 14, 30, 60, 90, 120, 150, 180)
"""Days after issue at which the part of vouchers that were used is told."""
MARKS = (30, 90, 180)
LINES_MAX = 5
OTHERS = "earlier"
"""Quarters before the newest ones, together."""
TENTHS = 10


class First(NamedTuple):
    """A voucher: when it was issued, and whole days until it was first used; None: not yet."""

    issued_us: int
    days: int | None


class Line(NamedTuple):
    """Vouchers issued in a quarter: how many, how many are used, and by each of `POINTS` how many were.

    `settled` are the points that every voucher of the quarter has reached: from there on the line may still rise. A point that
    none has reached has no figure (None).
    """

    quarter: str
    issued: int
    used: int
    by: tuple[int | None, ...]
    settled: int


def quarter_of(day: date) -> str:
    """The quarter of a day, such as 2026Q4."""
    return f"{day.year}Q{(day.month + 2) // 3}"


def lines_of(vouchers: Iterable[First], now_us: int) -> list[Line]:
    """One line for each of the newest quarters, older ones together, oldest first."""
    by_quarter: dict[str, list[First]] = defaultdict(list)
    for one in vouchers:
        by_quarter[quarter_of(day_of(one.issued_us))].append(one)
    newest = sorted(by_quarter)[-LINES_MAX:]
    if len(by_quarter) > LINES_MAX:
        newest = newest[1:]
        older = [one for quarter in sorted(by_quarter) if quarter not in newest for one in by_quarter[quarter]]
        return [_line(OTHERS, older, now_us), *(_line(quarter, by_quarter[quarter], now_us) for quarter in newest)]
    return [_line(quarter, by_quarter[quarter], now_us) for quarter in newest]


def _line(quarter: str, vouchers: Sequence[First], now_us: int) -> Line:
    ages = [(now_us - one.issued_us) // DAY_US for one in vouchers]
    used = [one.days for one in vouchers if one.days is not None]
    by = tuple(sum(days <= point for days in used) if max(ages) >= point else None for point in POINTS)
    return Line(quarter, len(vouchers), len(used), by, sum(min(ages) >= point for point in POINTS))


@dataclass(slots=True)
class FirstUses:
    """When each voucher first paid for something, found once: the first debit of its account by which nothing else left it."""

    _kept: dict[str, int] = field(default_factory=dict)
    _size: int = 0

    async def load(self, conn: Connection, part: Part) -> list[First]:
        """Every voucher of a part; one that has paid nothing, or nothing any more, was not used."""
        head = await ledger_store.load_head(conn)
        assert head is not None, "a home has a ledger"
        if head.size < self._size:  # a database that was put back
            self._kept.clear()
        self._size = head.size
        vouchers = await uptake_store.payers(conn, part)
        unknown = {one.account: one.jti for one in vouchers if one.redeemed > 0 and one.jti not in self._kept}
        if unknown:
            self._kept |= {unknown[number]: at_us for number, at_us in (await first_debits(conn, unknown)).items()}
        return [_first(one, self._kept.get(one.jti)) for one in vouchers]


def _first(one: Payer, used_us: int | None) -> First:
    is_used = one.redeemed > 0 and used_us is not None
    return First(one.issued_us, max(0, (used_us or 0) - one.issued_us) // DAY_US if is_used else None)


async def first_debits(conn: Connection, numbers: Iterable[int]) -> dict[int, int]:
    """By account the instant of its first posted debit that pays, UTC epoch microseconds: entries are read turn by turn."""
    places = await places_of_all(conn, numbers)
    others = await close_store.left_by(conn)
    found: dict[int, int] = {}
    at = 2  # an account is opened, and then credited
    while waiting := [number for number, (_, some) in places.items() if number not in found and at < len(some)]:
        of: dict[int, list[int]] = defaultdict(list)
        for number in waiting:
            of[places[number][1][at].seq].append(number)
        for leaf in await ledger_store.load_leaves(conn, list(of)):
            entry = decode(leaf)[0]
            if entry.event_id in others:
                continue
            for number in of[entry.seq]:
                if line_of(entry, places[number][0]).debits:
                    found[number] = entry.recorded_ns // 1000
        at += 1
    return found


class Tenth(NamedTuple):
    """So many tenths of holders, those who got most first: how many they are, and units that they were paid."""

    tenths: int
    holders: int
    units: int


def tenths_of(units: Sequence[int]) -> list[Tenth]:
    """What the first tenth of holders got, the first two, and so on; `units` by holder, most first. A tenth is at least one holder."""
    ordered = sorted(units, reverse=True)
    if not ordered:
        return []
    found = []
    for tenths in range(1, TENTHS + 1):
        count = max(1, len(ordered) * tenths // TENTHS)
        found.append(Tenth(tenths, count, sum(ordered[:count])))
    return found


def quarter_span(quarter: str) -> tuple[date, date]:
    """First day of a quarter, and of the next one."""
    first = date(int(quarter[:4]), 3 * int(quarter[-1]) - 2, 1)
    return first, (first + timedelta(days=95)).replace(day=1)
