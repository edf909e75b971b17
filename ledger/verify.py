"""Recompute a log from its leaves with code that shares nothing with the writer but the leaf format and the tree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from ledger.entry import NO_SEQ, ZERO32, Entry, EntryKind, Layer, PostedLeg, Side
from ledger.errors import LedgerError
from ledger.leaf import commitment, decode
from ledger.tree import Frontier, hash_leaf

_ENDS = {EntryKind.CAPTURE: 1, EntryKind.RELEASE: 2, EntryKind.EXPIRE: 3}
"""Status of a hold that such an entry leaves with nothing; 0 is open."""
_BOTH = [Side.DEBIT, Side.CREDIT]


@dataclass(frozen=True, slots=True)
class Fault:
    """The first place where the record disagrees with itself: what, and where."""

    where: str
    zh: str
    en: str


@dataclass(slots=True)
class Trail:
    """Which entries touched an account, in order, as a count and a running hash."""

    count: int = 0
    digest: bytes = b""

    def add(self, seq: int) -> None:
        """One more entry."""
        self.count += 1
        self.digest = sha256(self.digest + seq.to_bytes(8, signed=True)).digest()


@dataclass(slots=True)
class Totals:
    """What an account adds up to, in the order leaves give it."""

    asset: int
    debits_posted: int = 0
    credits_posted: int = 0
    debits_held: int = 0
    credits_held: int = 0
    last_seq: int = NO_SEQ
    trail: Trail = field(default_factory=Trail)

    def as_tuple(self) -> tuple[int, int, int, int, int]:
        """Totals and last entry, in the order of the balance table."""
        return self.debits_posted, self.credits_posted, self.debits_held, self.credits_held, self.last_seq


@dataclass(slots=True)
class HoldSum:
    """A hold as its entries tell it."""

    debit: bytes
    credit: bytes
    amount: int
    remaining: int
    expires_ns: int
    status: int = 0


@dataclass(slots=True)
class Replay:
    """The state of a log, folded from its leaves one by one. Accounts are known by their public ids."""

    floors: Mapping[bytes, int | None] = field(default_factory=dict)
    frontier: Frontier = field(default_factory=Frontier)
    accounts: dict[bytes, Totals] = field(default_factory=dict)
    holds: dict[int, HoldSum] = field(default_factory=dict)
    last_ns: int = 0

    def add(self, leaf: bytes) -> Entry | Fault:
        """Fold in the next leaf; a fault names what in it contradicts the leaves before."""
        seq = self.frontier.size
        try:
            entry, _ = decode(leaf)
        except LedgerError as error:
            return Fault(f"entry {seq}", error.zh, error.en)
        fault = self._check(entry, seq) or self._fold(entry)
        if fault is not None:
            return fault
        self.last_ns = entry.recorded_ns
        self.frontier.append(hash_leaf(leaf))
        return entry

    def _check(self, entry: Entry, seq: int) -> Fault | None:
        if entry.seq != seq:
            return Fault(f"entry {seq}", f"序号应为 {seq}，实为 {entry.seq}", f"numbered {entry.seq}")
        if entry.recorded_ns <= self.last_ns:
            return Fault(f"entry {seq}", "记录时间没有递增", "recorded time does not increase")
        if not _has_legs_of_its_kind(entry):
            return Fault(f"entry {seq}", "分录行与其种类不符", "its legs are not those of its kind")
        sums: dict[tuple[int, int], int] = {}
        for leg in entry.legs:
            key = leg.asset, leg.layer
            sums[key] = sums.get(key, 0) + (leg.amount if leg.side == Side.CREDIT else -leg.amount)
        if any(sums.values()):
            return Fault(f"entry {seq}", "借贷不平", "debits and credits differ")
        if entry.kind == EntryKind.HOLD:
            taken, given = sorted(entry.legs, key=lambda leg: leg.side)
            self.holds[seq] = HoldSum(taken.public_id, given.public_id, taken.amount, taken.amount, entry.effective_ns)
        return self._check_unhold(entry) if entry.kind in _ENDS else None

    def _check_unhold(self, entry: Entry) -> Fault | None:
        """A capture, release or expiry comes in its time and frees what it captures, or all that the hold has left."""
        where = f"entry {entry.seq}"
        hold = self.holds.get(entry.ref_seq)
        if hold is None or hold.status:
            return Fault(where, "没有这笔未结的冻结", "its hold is closed or unknown")
        if [leg.public_id for leg in entry.legs] != [hold.debit, hold.credit] * (len(entry.legs) // 2):
            return Fault(where, "不是该冻结的账户", "its accounts are not those of the hold")
        freed, captured = entry.legs[0].amount, entry.legs[-1].amount if entry.kind == EntryKind.CAPTURE else 0
        if not captured <= freed <= hold.remaining or freed not in (captured, hold.remaining):
            return Fault(where, "解冻与冻结余额不符", "does not free what the hold has left")
        if (entry.recorded_ns >= hold.expires_ns) != (entry.kind == EntryKind.EXPIRE):
            return Fault(where, "早于或晚于冻结的期限", "comes before or after the hold expires")
        hold.remaining -= freed
        hold.status = 0 if hold.remaining else _ENDS[EntryKind(entry.kind)]
        return None

    def _fold(self, entry: Entry) -> Fault | None:
        for leg in entry.legs:
            where = f"entry {entry.seq}, account {leg.public_id.hex()}"
            opened = Totals(leg.asset) if entry.kind == EntryKind.OPEN else None
            totals = self.accounts.get(leg.public_id, opened)
            if totals is None or (leg.asset, leg.prev_seq) != (totals.asset, totals.last_seq):
                return Fault(where, "与该账户上一笔不衔接", "does not follow the account's previous entry")
            self.accounts[leg.public_id] = totals
            self._move(entry, leg, totals)
            after = (leg.debits_posted, leg.credits_posted, leg.debits_held, leg.credits_held)
            if after != totals.as_tuple()[:4]:
                return Fault(where, "记账后的累计数不符", "totals after the leg are wrong")
            if totals.last_seq != entry.seq:
                totals.trail.add(entry.seq)
            totals.last_seq = entry.seq
        return self._check_floors(entry)

    @staticmethod
    def _move(entry: Entry, leg: PostedLeg, totals: Totals) -> None:
        sign = -1 if leg.layer == Layer.HELD and entry.kind in _ENDS else 1
        names = ("debits", "credits"), ("posted", "held")
        name = f"{names[0][leg.side]}_{names[1][leg.layer]}"
        setattr(totals, name, getattr(totals, name) + sign * leg.amount)

    def _check_floors(self, entry: Entry) -> Fault | None:
        for leg in entry.legs:
            floor = self.floors.get(leg.public_id)
            totals = self.accounts[leg.public_id]
            available = totals.credits_posted - totals.debits_posted - totals.debits_held
            if floor is not None and available < floor:
                where = f"entry {entry.seq}, account {leg.public_id.hex()}"
                return Fault(where, "余额低于下限", "the balance is below its floor")
        return None


def _has_legs_of_its_kind(entry: Entry) -> bool:
    """The layers, sides and amounts that the kind prescribes; GENESIS is the first entry and no other."""
    kind, legs = entry.kind, entry.legs
    layers, sides = [leg.layer for leg in legs], [leg.side for leg in legs]
    if (kind == EntryKind.GENESIS) != (entry.seq == 0):
        return False
    if kind in (EntryKind.GENESIS, EntryKind.NOTE):
        return not legs
    if kind == EntryKind.OPEN:
        return layers == [Layer.POSTED] and legs[0].amount == 0 and legs[0].prev_seq == NO_SEQ
    if any(leg.amount == 0 for leg in legs):
        return False
    if kind == EntryKind.POST:
        return len(legs) > 1 and Layer.HELD not in layers
    if kind == EntryKind.HOLD:
        return layers == [Layer.HELD] * 2 and sorted(sides) == _BOTH
    if kind == EntryKind.CAPTURE:
        return layers == [Layer.HELD] * 2 + [Layer.POSTED] * 2 and sides == _BOTH * 2
    return layers == [Layer.HELD] * 2 and sides == _BOTH


def check_payload(entry: Entry, stored: tuple[bytes, bytes] | None) -> Fault | None:
    """Compare an entry's commitment with the stored salt and payload."""
    found = ZERO32 if stored is None else commitment(*stored)
    if found != entry.commitment:
        return Fault(
            f"payload {entry.seq}", "附件与承诺不符或缺失", "the payload is missing or not what was committed to"
        )
    return None
