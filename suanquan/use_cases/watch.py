"""The invariants of the ledger, judged while the service runs: what is new since the last look, and sums over projections.

A look costs what is new plus one pass over balances, open holds and vouchers. What it cannot see, a changed entry of the
past above all, the daily recomputation of everything finds (`ledger verify`, in a process of its own).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ledger import store as ledger_store
from ledger.amount import ASSETS_BY_NUMBER
from ledger.entry import NO_SEQ, Entry
from ledger.errors import LedgerError
from ledger.invariants import INVARIANTS, NOTHING, HeldLine, Part, Totals, View, judge
from ledger.leaf import decode, heading
from ledger.sql import Connection
from ledger.standing import Fault, Wrong
from ledger.tree import Frontier, hash_leaf
from suanquan.db import audit
from suanquan.use_cases.issue import budget_name
from suanquan.use_cases.programme_money import is_set_aside

STRETCH_MAX = 5_000
"""Newest entries judged one by one at a look; those before them are hashed, and judged by the daily recomputation."""
PART = 20_000
WHOLE_ONLY = "rules"
"""What only the recomputation of everything judges: limits, restrictions, periods, reversals, registers, usage."""

_HEAD = Wrong("日志头损坏或后退", "the head of the log is damaged, or goes back", "root")
_OF_THE_STRETCH = ("sequence", "time", "chain", "balances", "root")
Verdicts = dict[str, Fault | None]


async def view_of_projections(conn: Connection) -> View:
    """What is kept beside the log, without any of its entries."""
    return View(
        sums=await audit.sums(conn), lines=await _lines(conn), held=await audit.held(conn), parts=await _parts(conn)
    )


class Watch:
    """What the last look and the last recomputation found, by invariant; empty before the first."""

    def __init__(self) -> None:
        self.found: Verdicts = {}
        self.whole: Verdicts = {}
        self._frontier: Frontier | None = None
        self._last_ns = 0

    @property
    def verdicts(self) -> dict[str, bool]:
        """Whether each invariant holds as far as was judged."""
        names = dict.fromkeys([*self.found, *self.whole])
        return {name: self.found.get(name) is None and self.whole.get(name) is None for name in names}

    async def look(self, conn: Connection) -> list[Fault]:
        """Judge what is new; faults that were not there at the last look."""
        try:
            head = await ledger_store.load_head(conn)
        except ValueError:
            head = None
        first = self._frontier.size if self._frontier else 0
        if head is None or head.size < first:
            return self._take(self.found | {"root": _HEAD.at("log_state")})
        if self._frontier is None:
            self._frontier, self._last_ns = head.frontier, head.last_ns
        frontier, last_ns, leaves = await self._new(conn, head.size)
        try:
            entries = await asyncio.to_thread(lambda: [decode(leaf)[0] for leaf in leaves])
        except LedgerError as error:
            return self._take(
                self.found | {"chain": Fault(f"entry after {frontier.size}", error.zh, error.en, "chain")}
            )
        view = replace(
            await view_of_projections(conn), size=head.size, root=head.root, frontier=frontier, last_ns=last_ns,
            entries=entries, before=await _before(conn, entries), cached=await _cached(conn, entries),
        )  # fmt: skip
        found = await asyncio.to_thread(judge, view)
        if not any(found[name] for name in _OF_THE_STRETCH):
            self._frontier, self._last_ns = head.frontier, head.last_ns
        return self._take(found)

    def take_whole(self, report: Mapping[str, Any]) -> list[Fault]:
        """Remember what a recomputation of everything reported; its fault, if there is one."""
        names = [invariant.name for invariant in INVARIANTS] + [WHOLE_ONLY]
        self.whole = dict.fromkeys(names)
        if (told := report.get("fault")) is not None:
            fault = Fault(told["where"], told["title"], told["detail"], told["invariant"])
            self.whole[fault.invariant] = fault
        return [fault for fault in self.whole.values() if fault is not None]

    def _take(self, found: Verdicts) -> list[Fault]:
        before, self.found = self.found, found
        return [fault for name, fault in found.items() if fault is not None and fault != before.get(name)]

    async def _new(self, conn: Connection, size: int) -> tuple[Frontier, int, list[bytes]]:
        """The tree and the time before the stretch that is judged, and its leaves."""
        assert self._frontier is not None, "set by the first look"
        frontier, last_ns = self._frontier.copy(), self._last_ns
        while size - frontier.size > STRETCH_MAX:
            leaves = await audit.leaves_from(conn, frontier.size, min(PART, size - STRETCH_MAX - frontier.size))
            if not leaves:
                break
            await asyncio.to_thread(_grow, frontier, leaves)
            last_ns = heading(leaves[-1])[2]
        return frontier, last_ns, await audit.leaves_from(conn, frontier.size, STRETCH_MAX)


def _grow(frontier: Frontier, leaves: Sequence[bytes]) -> None:
    for leaf in leaves:
        frontier.append(hash_leaf(leaf))


async def _before(conn: Connection, entries: Sequence[Entry]) -> dict[bytes, Totals]:
    """Totals of the accounts that a stretch touches, from the entries that its first legs say they follow."""
    previous: dict[bytes, int] = {}
    for entry in entries:
        for leg in entry.legs:
            previous.setdefault(leg.public_id, leg.prev_seq)
    found = dict.fromkeys(previous, NOTHING)
    async for leaf in audit.leaves(conn, {seq for seq in previous.values() if seq != NO_SEQ and seq < entries[0].seq}):
        entry, _ = decode(leaf)
        for leg in entry.legs:
            if previous.get(leg.public_id) == entry.seq:
                found[leg.public_id] = (*leg[7:], entry.seq)
    return found


async def _cached(conn: Connection, entries: Sequence[Entry]) -> dict[bytes, Totals]:
    touched = {leg.public_id for entry in entries for leg in entry.legs}
    return {
        row.public_id: (row.debits_posted, row.credits_posted, row.debits_held, row.credits_held, row.last_seq)
        for row in await audit.accounts_of(conn, touched)
    }


async def _lines(conn: Connection) -> list[HeldLine]:
    return [
        HeldLine(seq, debit, credit, amount, remaining)
        for seq, _, debit, credit, amount, remaining, _, _ in await audit.open_lines(conn)
    ]


async def _parts(conn: Connection) -> list[Part]:
    """Vouchers by scheme and year, and the budgets that they came from: what documents say, and what accounts say."""
    parts = []
    for scheme, asset, year, issued, available, held, spent, given_back in await audit.voucher_sums(conn):
        code = ASSETS_BY_NUMBER[asset].code
        name = f"vouchers of {scheme} in {code}, {year}"
        parts.append(Part(name, issued, {"available": available, "held": held, "redeemed": spent - given_back}))
        budget = budget_name(scheme, year, ASSETS_BY_NUMBER[asset])
        aside = [
            account.balance
            for account in await ledger_store.accounts_under(conn, f"scheme/{scheme}/{year}/")
            if is_set_aside(account.name or "", code)
        ]
        given = await audit.net_debits(conn, budget)
        parts.append(Part(budget, issued, {"given out": given - sum(aside)}))
    return parts
