"""What must hold of every ledger at every moment, each as a rule that judges a view and says where it is broken.

Tests judge whole ledgers, a service the stretch of the log since its last look with sums over its projections; what needs
the whole log is recomputed by `ledger.verify`, whose faults bear the same names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple, Protocol

from ledger.entry import NO_SEQ, Entry, EntryKind, Layer, Side
from ledger.standing import Fault, Wrong
from ledger.tree import EMPTY_ROOT, Frontier, hash_leaf

Totals = tuple[int, int, int, int, int]
"""Posted debits and credits, held debits and credits, last entry (NO_SEQ for none)."""
NOTHING: Totals = (0, 0, 0, 0, NO_SEQ)
_FREES = {EntryKind.CAPTURE, EntryKind.RELEASE, EntryKind.EXPIRE}


class HeldLine(NamedTuple):
    """A line of an open hold: from and to which account, its amount and what is left."""

    seq: int
    debit: int
    credit: int
    amount: int
    remaining: int


class Part(NamedTuple):
    """Something that was issued once, and where its units are now."""

    name: str
    issued: int
    shares: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class View:
    """A stretch of the log behind a point that was judged before, and what is kept beside the log, at one moment.

    `before` and `cached` give the totals of the accounts that the stretch touches, before it and as cached after it; `sums`
    the posted and held debits and credits of all balances by asset; `held` what balances say is held, by account.
    """

    size: int = 0
    root: bytes = EMPTY_ROOT
    frontier: Frontier = field(default_factory=Frontier)
    last_ns: int = 0
    entries: Sequence[Entry] = ()
    before: Mapping[bytes, Totals] = field(default_factory=dict)
    cached: Mapping[bytes, Totals] = field(default_factory=dict)
    sums: Mapping[int, tuple[int, int, int, int]] = field(default_factory=dict)
    lines: Sequence[HeldLine] = ()
    held: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    parts: Sequence[Part] = ()


class Invariant(Protocol):
    """A rule with a name; the docstring of its class is its reason."""

    name: ClassVar[str]

    def check(self, view: View) -> Fault | None:
        """Where the view breaks the rule, if it does."""


class SumZero:
    """Debits equal credits in each asset, posted and held: nothing is made from nothing, nothing is lost."""

    name: ClassVar[str] = "sum-zero"

    def check(self, view: View) -> Fault | None:
        """An asset whose sides differ."""
        for asset, (dp, cp, dh, ch) in view.sums.items():
            if dp != cp or dh != ch:
                return _wrong(self.name, "全部余额借贷不平", "all balances together are not zero").at(f"asset {asset}")
        return None


class Conservation:
    """What was issued is available, held, redeemed, or was given back: documents and accounts tell the same of vouchers."""

    name: ClassVar[str] = "conservation"

    def check(self, view: View) -> Fault | None:
        """Something issued whose shares do not make the whole, or one of which is negative."""
        for part in view.parts:
            if part.issued != sum(part.shares.values()):
                return _wrong(self.name, "发放与去向不等", "its shares are not what was issued").at(part.name)
        return None


class Holds:
    """What balances call held is what open holds have left, and no line has more left than it reserved."""

    name: ClassVar[str] = "holds"

    def check(self, view: View) -> Fault | None:
        """A line out of its bounds, or an account whose held totals are not those of its lines."""
        sums: dict[int, list[int]] = {}
        for line in view.lines:
            if not 0 <= line.remaining <= line.amount:
                return _wrong(self.name, "冻结余额越界", "has more left than it holds").at(f"hold {line.seq}")
            sums.setdefault(line.debit, [0, 0])[0] += line.remaining
            sums.setdefault(line.credit, [0, 0])[1] += line.remaining
        for account in sorted(sums.keys() | view.held.keys()):
            if tuple(sums.get(account, (0, 0))) != view.held.get(account, (0, 0)):
                return _wrong(self.name, "冻结合计与余额不符", "is held otherwise than its holds say").at(
                    f"account {account}"
                )
        return None


class DenseSequence:
    """Entries are numbered without gaps to the end of the log: one that is missing would be noticed by its number."""

    name: ClassVar[str] = "sequence"

    def check(self, view: View) -> Fault | None:
        """The first number that is not there."""
        first = view.frontier.size
        for at, entry in enumerate(view.entries, first):
            if entry.seq != at:
                return _wrong(self.name, "序号不连续", "is missing").at(f"entry {at}")
        if first + len(view.entries) != view.size:
            return _wrong(self.name, "分录数与日志头不符", "the log ends elsewhere than its head says").at(
                f"entry {first + len(view.entries)}"
            )
        return None


class MonotoneTime:
    """Recorded time strictly increases, whatever clocks do: no entry can be slipped in before another."""

    name: ClassVar[str] = "time"

    def check(self, view: View) -> Fault | None:
        """The first entry that is not later than the one before."""
        last = view.last_ns
        for entry in view.entries:
            if entry.recorded_ns <= last:
                return _wrong(self.name, "记录时间没有递增", "recorded time does not increase").at(f"entry {entry.seq}")
            last = entry.recorded_ns
        return None


class Chain:
    """Each leg carries on from its account's last entry, to the unit: a statement is complete if its chain is."""

    name: ClassVar[str] = "chain"

    def check(self, view: View) -> Fault | None:
        """The first leg that does not follow."""
        totals = dict(view.before)
        for entry in view.entries:
            for leg in entry.legs:
                *numbers, last = totals.get(leg.public_id, NOTHING)
                freed = leg.layer == Layer.HELD and entry.kind in _FREES
                at = (leg.layer == Layer.HELD) * 2 + (leg.side == Side.CREDIT)
                numbers[at] += -leg.amount if freed else leg.amount
                if leg.prev_seq != last or tuple(numbers) != leg[7:]:
                    return _wrong(self.name, "与该账户上一笔不衔接", "does not follow the account's previous entry").at(
                        f"entry {entry.seq}, account {leg.public_id.hex()}"
                    )
                totals[leg.public_id] = (*leg[7:], entry.seq)
        return None


class Balances:
    """A cached balance is what the account's last leg says: reading it is reading the log."""

    name: ClassVar[str] = "balances"

    def check(self, view: View) -> Fault | None:
        """The first account whose cached totals are not those of its last leg."""
        told = {leg.public_id: (*leg[7:], entry.seq) for entry in view.entries for leg in entry.legs}
        for public, totals in told.items():
            if view.cached.get(public) != totals:
                return _wrong(self.name, "余额缓存与日志不符", "the cached balance is not what its last leg says").at(
                    f"account {public.hex()}"
                )
        return None


class Root:
    """The head of the log is the root of its leaves: whoever keeps it can prove what was in the log."""

    name: ClassVar[str] = "root"

    def check(self, view: View) -> Fault | None:
        """The end of the log, where its root is another."""
        frontier = view.frontier.copy()
        for entry in view.entries:
            frontier.append(hash_leaf(entry.leaf))
        if frontier.root() == view.root:
            return None
        return _wrong(self.name, "日志根与叶子不符", "the root of the head is not that of the leaves").at("log_state")


INVARIANTS: tuple[Invariant, ...] = (
    SumZero(), Conservation(), Holds(), DenseSequence(), MonotoneTime(), Chain(), Balances(), Root(),
)  # fmt: skip


def judge(view: View) -> dict[str, Fault | None]:
    """What every invariant says of a view, by name."""
    return {invariant.name: invariant.check(view) for invariant in INVARIANTS}


def _wrong(name: str, zh: str, en: str) -> Wrong:
    return Wrong(zh, en, name)
