"""Recompute a log from its leaves with code that shares nothing with the writer but the leaf format and the tree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from ledger.entry import NO_SEQ, ZERO32, Entry, EntryKind, Layer, PostedLeg, Side
from ledger.errors import LedgerError
from ledger.leaf import commitment, decode, encode, hash_leaf
from ledger.tree import Frontier

_UNHOLDING = {EntryKind.CAPTURE, EntryKind.RELEASE, EntryKind.EXPIRE}
_HELD_LEGS = {EntryKind.HOLD: 1, EntryKind.CAPTURE: -1, EntryKind.RELEASE: -1, EntryKind.EXPIRE: -1}


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
        self.digest = sha256(self.digest + seq.to_bytes(8)).digest()


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
            entry, shard = decode(leaf)
        except LedgerError as error:
            return Fault(f"entry {seq}", error.zh, error.en)
        fault = self._check(entry, seq) or self._fold(entry)
        if fault is not None:
            return fault
        fields = entry[:11]
        if encode(*fields, shard=shard) != leaf:
            return Fault(f"entry {seq}", "叶子不是规范编码", "the leaf is not in canonical form")
        self.last_ns = entry.recorded_ns
        self.frontier.append(hash_leaf(leaf))
        return entry

    def _check(self, entry: Entry, seq: int) -> Fault | None:
        if entry.seq != seq:
            return Fault(f"entry {seq}", f"序号应为 {seq}，实为 {entry.seq}", f"numbered {entry.seq}")
        if entry.recorded_ns <= self.last_ns:
            return Fault(f"entry {seq}", "记录时间没有递增", "recorded time does not increase")
        sums: dict[int, int] = {}
        for leg in entry.legs:
            if leg.layer == Layer.POSTED:
                sums[leg.asset] = sums.get(leg.asset, 0) + (leg.amount if leg.side == Side.CREDIT else -leg.amount)
        if any(sums.values()):
            return Fault(f"entry {seq}", "借贷不平", "debits and credits differ")
        return self._check_hold(entry)

    def _check_hold(self, entry: Entry) -> Fault | None:
        if entry.kind == EntryKind.HOLD:
            sides = {leg.side: leg for leg in entry.legs}
            if len(entry.legs) != len(Side) or len(sides) != len(Side):
                return Fault(f"entry {entry.seq}", "冻结须一借一贷", "a hold has one debit and one credit")
            taken = sides[Side.DEBIT]
            self.holds[entry.seq] = HoldSum(taken.public_id, sides[Side.CREDIT].public_id, taken.amount, taken.amount)
        if entry.kind not in _UNHOLDING:
            return None
        hold = self.holds.get(entry.ref_seq)
        freed = sum(leg.amount for leg in entry.legs if leg.layer == Layer.HELD and leg.side == Side.DEBIT)
        if hold is None or freed > hold.remaining:
            return Fault(f"entry {entry.seq}", "解冻超过冻结余额", "frees more than the hold has left")
        hold.remaining -= freed
        return None

    def _fold(self, entry: Entry) -> Fault | None:
        for leg in entry.legs:
            totals = self.accounts.setdefault(leg.public_id, Totals(leg.asset))
            where = f"entry {entry.seq}, account {leg.public_id.hex()}"
            if (leg.asset, leg.prev_seq) != (totals.asset, totals.last_seq):
                return Fault(where, "与该账户上一笔不衔接", "does not follow the account's previous entry")
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
        sign = _HELD_LEGS.get(EntryKind(entry.kind), 0) if leg.layer == Layer.HELD else 1
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


def check_payload(entry: Entry, stored: tuple[bytes, bytes] | None) -> Fault | None:
    """Compare an entry's commitment with the stored salt and payload."""
    found = ZERO32 if stored is None else commitment(*stored)
    if found != entry.commitment:
        return Fault(f"payload {entry.seq}", "附件与承诺不符或缺失", "the payload is missing or not what was committed to")
    return None
