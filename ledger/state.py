"""What the next event is judged by: accounts, holds and reversals as far as it may touch them, and how to take changes back."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any

from ledger.entry import NO_SEQ, UNLIMITED, Entry, EntryKind, Limits

REVERSIBLE = (EntryKind.POST, EntryKind.CAPTURE)
"""Kinds of entries that may be taken back."""


class HoldStatus(enum.IntEnum):
    """Life of a hold; every status but OPEN is final."""

    OPEN = 0
    CAPTURED = 1
    RELEASED = 2
    EXPIRED = 3


@dataclass(slots=True)
class Account:
    """One account and its totals in units of its asset. `last_seq` is the last entry that touched it."""

    number: int
    name: str
    public_id: bytes
    asset: int
    limits: Limits = UNLIMITED
    restriction: int = 0
    debits_posted: int = 0
    credits_posted: int = 0
    debits_held: int = 0
    credits_held: int = 0
    last_seq: int = NO_SEQ
    recent: list[int] = field(default_factory=list)
    """Its newest places in the log, flat, as far as they do not fill a row of the index yet."""

    @property
    def balance(self) -> int:
        """Posted credits minus posted debits."""
        return self.credits_posted - self.debits_posted

    @property
    def available(self) -> int:
        """What can still be spent: the balance less open holds."""
        return self.credits_posted - self.debits_posted - self.debits_held

    def restore(self, dp: int, cp: int, dh: int, ch: int, last_seq: int) -> None:
        """Undo: totals and last entry as they were."""
        self.debits_posted, self.credits_posted = dp, cp
        self.debits_held, self.credits_held, self.last_seq = dh, ch, last_seq

    def restore_rules(self, limits: Limits, restriction: int) -> None:
        """Undo: limits and restriction as they were."""
        self.limits, self.restriction = limits, restriction

    @property
    def is_empty(self) -> bool:
        """Whether it has nothing, owes nothing and nothing is held on either side."""
        return self.balance == 0 and self.debits_held == 0 and self.credits_held == 0


@dataclass(slots=True)
class HoldLine:
    """Money reserved from one account for another; `remaining` is neither captured nor given back yet."""

    debit: int
    credit: int
    amount: int
    remaining: int


@dataclass(slots=True)
class Hold:
    """Lines that are held, captured and given back together: a voucher, a quota and a budget in one hold."""

    seq: int
    lines: list[HoldLine]
    expires_ns: int | None
    status: HoldStatus = HoldStatus.OPEN

    def restore(self, remaining: tuple[int, ...], status: HoldStatus) -> None:
        """Undo: what remained of each line, and the status."""
        self.status = status
        for line, rest in zip(self.lines, remaining, strict=True):
            line.remaining = rest


@dataclass(slots=True)
class Original:
    """A posting that may be taken back: what it moved by (account, side), and how much of that was taken back so far."""

    moved: dict[tuple[int, int], int]
    reversed: dict[tuple[int, int], int] = field(default_factory=dict)


def original_of(entry: Entry) -> Original | None:
    """A posting as just recorded: nothing of it was taken back yet. None for an entry of a kind that nobody takes back."""
    if entry.kind not in REVERSIBLE:
        return None
    moved: dict[tuple[int, int], int] = {}
    for leg in entry.legs:
        if leg.layer == 0:
            moved[leg.account, leg.side] = moved.get((leg.account, leg.side), 0) + leg.amount
    return Original(moved)


@dataclass(slots=True)
class State:
    """The part of a ledger that events touch, the size of the log, the last time given and the end of the closed periods.

    `undo` remembers every value before it changed, so that a refused chain leaves no trace.
    """

    size: int = 0
    last_ns: int = 0
    next_account: int = 1
    closed_ns: int = 0
    closed_seq: int = NO_SEQ
    accounts: dict[int, Account] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    holds: dict[int, Hold] = field(default_factory=dict)
    originals: dict[int, Original] = field(default_factory=dict)
    assets: dict[str, int] = field(default_factory=dict)
    undo: list[tuple[Any, ...]] = field(default_factory=list)

    def add(self, account: Account) -> None:
        """Make a stored account known."""
        self.accounts[account.number] = account
        if account.name:
            self.numbers[account.name] = account.number

    def forget(self) -> None:
        """Drop everything that can be read again."""
        for known in (self.accounts, self.numbers, self.holds, self.originals, self.assets):
            known.clear()

    def rollback(self, mark: int) -> None:
        """Take back everything applied since the undo list had `mark` items."""
        while len(self.undo) > mark:
            take_back, *values = self.undo.pop()
            if isinstance(take_back, Account):
                take_back.restore(*values)
            else:
                assert callable(take_back)
                take_back(*values)

    def take_back_entry(self, size: int, last_ns: int) -> None:
        """Undo: the log ends where it did."""
        self.size, self.last_ns = size, last_ns

    def take_back_account(self, number: int) -> None:
        """Undo: the account was not opened."""
        del self.numbers[self.accounts.pop(number).name]
        self.next_account = number

    def take_back_period(self, closed_ns: int, closed_seq: int) -> None:
        """Undo: the period was not closed."""
        self.closed_ns, self.closed_seq = closed_ns, closed_seq
