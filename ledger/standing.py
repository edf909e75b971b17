"""What a log tells of accounts and holds: the values that a replay folds leaves into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ledger.amount import INT64_MAX
from ledger.entry import NO_SEQ, Limits


class Fault(NamedTuple):
    """A place where the record disagrees with itself: what, where, and which invariant it breaks."""

    where: str
    zh: str
    en: str
    invariant: str = "rules"


class Wrong(NamedTuple):
    """What may be wrong with an entry, wherever it stands."""

    zh: str
    en: str
    invariant: str = "rules"

    def at(self, where: str) -> Fault:
        """This fault at a place."""
        return Fault(where, self.zh, self.en, self.invariant)


@dataclass(slots=True)
class Standing:
    """What an account adds up to. Limits are None where no payload told them, or there are none."""

    number: int
    asset: int
    debits_posted: int = 0
    credits_posted: int = 0
    debits_held: int = 0
    credits_held: int = 0
    last_seq: int = NO_SEQ
    floor: int | None = None
    ceiling: int | None = None
    knows_limits: bool = False
    restriction: int = 0

    def learn(self, limits: Limits | None) -> None:
        """Take limits from the payload of an entry; None where it is not known."""
        self.knows_limits = limits is not None
        self.floor, self.ceiling = limits or (None, None)

    def as_tuple(self) -> tuple[int, int, int, int, int]:
        """Totals and last entry, in the order of leaves and of the balance table."""
        return self.debits_posted, self.credits_posted, self.debits_held, self.credits_held, self.last_seq

    @property
    def is_empty(self) -> bool:
        """Whether it has nothing, owes nothing and nothing is held on either side."""
        return self.credits_posted == self.debits_posted and not self.debits_held and not self.credits_held

    @property
    def keeps_limits(self) -> bool:
        """Whether what is available keeps the floor, and what may come to be there the ceiling."""
        balance = self.credits_posted - self.debits_posted
        return (self.floor is None or balance - self.debits_held >= self.floor) and (
            self.ceiling is None or balance + self.credits_held <= self.ceiling
        )

    @property
    def is_storable(self) -> bool:
        """Whether its totals are 63-bit numbers."""
        return max(self.as_tuple()[:4]) <= INT64_MAX


@dataclass(slots=True)
class LineTold:
    """A line of a hold: from and to which account, how much, and what is left."""

    debit: bytes
    credit: bytes
    amount: int
    remaining: int


@dataclass(slots=True)
class HoldTold:
    """A hold as its entries tell it; status as `HoldStatus` numbers it."""

    seq: int
    lines: list[LineTold]
    expires_ns: int
    status: int = 0
