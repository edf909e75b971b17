"""What vouchers and payments came to at the ends of days and months, from the entries of the ledger up to then.

What was recorded up to a moment never changes once the log has gone past it, so that each moment is worked out once in the life of
a process and kept; a page is given what its own snapshot holds (docs/decisions/0032).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from ledger import store as ledger_store
from ledger.amount import CNY
from ledger.changes import LogHead
from ledger.history import Totals
from ledger.moments import totals_at_all
from ledger.sql import Connection
from voucher import close_store
from voucher.close_store import Left, Paper
from voucher.settlement.accounts import ROOT

T = TypeVar("T")
KEPT_MAX = 1_000
"""Moments that are kept at most, the newest."""
Key = tuple[str, int]
"""A scheme and the year of its budget."""


class Close(NamedTuple):
    """Vouchers of a scheme and year at a moment, in units: issued = available + held + redeemed + expired + returned."""

    issued: int = 0
    available: int = 0
    held: int = 0
    redeemed: int = 0
    expired: int = 0
    returned: int = 0


class Moment(NamedTuple):
    """Vouchers by scheme and year, and what each scheme had paid out and not got back."""

    vouchers: Mapping[Key, Close]
    paid: Mapping[str, int]


NONE_LEFT: Mapping[str, int] = {}


def close_of(paper: Paper, totals: Totals, left: Mapping[str, int]) -> Close:
    """One voucher, from what its account had and what had left it by kind."""
    split, expired, returned = (left.get(kind, 0) for kind in ("split", "expired", "returned"))
    refunds = totals.credits_posted - paper.units
    return Close(
        paper.units - split,
        totals.available,
        totals.debits_held,
        totals.debits_posted - refunds - split - expired - returned,
        expired,
        returned,
    )


def closes_of(
    papers: Iterable[Paper], totals: Mapping[int, Totals], left: Iterable[Left], moment_us: int
) -> dict[Key, Close]:
    """Vouchers by scheme and year as they were at a moment; one that had no entry yet was not issued."""
    gone: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for one in left:
        if one.at_us <= moment_us:
            gone[one.jti][one.kind] += one.units
    sums: dict[Key, list[int]] = defaultdict(lambda: [0] * len(Close._fields))
    for paper in papers:
        of = totals[paper.account]
        if of.credits_posted:
            line, close = sums[paper.scheme, paper.year], close_of(paper, of, gone.get(paper.jti, NONE_LEFT))
            line[:] = [a + b for a, b in zip(line, close, strict=True)]
    return {key: Close(*line) for key, line in sums.items()}


def paid_up_to(paid: int, redeemed_before: int, redeemed: int) -> int:
    """What of a scheme's payments is for vouchers of one year: what was redeemed of earlier years' was paid first."""
    return max(0, min(paid - redeemed_before, redeemed))


class Moments(Generic[T]):
    """Moments that were worked out, of the log that goes on from the last one seen."""

    def __init__(self, work: Callable[[Connection, Sequence[int]], Awaitable[dict[int, T]]]) -> None:
        self._work = work
        self._head: LogHead | None = None
        self._kept: dict[int, T] = {}

    async def at(self, conn: Connection, moments_us: Sequence[int]) -> dict[int, T]:
        """Figures as recorded up to each moment (UTC epoch microseconds)."""
        head = await ledger_store.load_head(conn)
        assert head is not None, "a home has a ledger"
        kept = await self._still(conn, head)
        missing = sorted(set(moments_us) - kept.keys())
        if missing:
            kept = kept | await self._work(conn, missing)
            newest = sorted(kept)[-KEPT_MAX:]
            self._head, self._kept = head, {moment: kept[moment] for moment in newest}
        return {moment: kept[moment] for moment in moments_us}

    async def _still(self, conn: Connection, head: LogHead) -> dict[int, T]:
        """What is kept and still holds: all of it under the same root, else what the log had gone past; nothing of another log."""
        last = self._head
        if last is None or last.root == head.root:
            return self._kept
        if last.size > head.size or not last.size or not await _continues(conn, last):
            return {}
        return {moment: found for moment, found in self._kept.items() if moment * 1000 < last.last_ns}


async def _continues(conn: Connection, last: LogHead) -> bool:
    """Whether the log still has, in its place, the entry that was its last."""
    row = await ledger_store.load_entry(conn, last.size - 1)
    return row is not None and row.recorded_ns == last.last_ns


async def closes_at(conn: Connection, moments_us: Sequence[int]) -> dict[int, Moment]:
    """Vouchers in yuan and payments at each moment."""
    papers = await close_store.papers(conn, CNY.number)
    left = await close_store.all_left(conn)
    stages = {
        one.number: one.name.split("/")[1]
        for one in await ledger_store.accounts_under(conn, f"{ROOT}/")
        if one.name and one.name.endswith("/paid")
    }
    numbers = [*(paper.account for paper in papers), *stages]
    totals = await totals_at_all(conn, numbers, [moment * 1000 for moment in moments_us])
    found = {}
    for at, moment in enumerate(moments_us):
        then = {number: some[at] for number, some in totals.items()}
        paid: dict[str, int] = defaultdict(int)
        for number, scheme in stages.items():
            paid[scheme] += then[number].balance
        found[moment] = Moment(closes_of(papers, then, left, moment), dict(paid))
    return found
