"""A log in memory for tests of what is proved about it: entries of a pure state, a signed head, paths to any entry."""

from __future__ import annotations

from random import Random

from ledger import proof
from ledger.amount import CNY
from ledger.apply import apply
from ledger.checkpoint import Checkpoint
from ledger.entry import (
    Entry,
    EntryKind,
    Event,
    Limits,
    Opening,
    credit,
    debit,
    genesis_payload,
    opening_payload,
    public_id_of,
)
from ledger.state import State
from ledger.statement import ProvenLeaf, Statement, sums_of
from ledger.tree import hash_leaf, root_of
from tests.ledger.notes import LOG, ORIGIN, note_of

SALT = bytes(range(32))
NAMES = ("treasury", "v1", "v2", "centre")


class MemoryLog:
    """A log that keeps everything; entry n is recorded at 1000 × (n + 1) nanoseconds."""

    def __init__(self) -> None:
        self.state = State()
        self.entries: list[Entry] = []
        self.payloads: list[bytes] = []
        self.add(EntryKind.GENESIS, payload=genesis_payload(ORIGIN))
        for name in NAMES:
            limits = Limits()
            opening = Opening(name, public_id_of(name, b"key"), CNY, limits)
            self.add(EntryKind.OPEN, opening=opening, payload=opening_payload(name, limits))

    def add(self, kind: EntryKind, *legs, payload: bytes = b"", at_ns: int = 0, **fields) -> Entry:
        number = len(self.entries)
        event = Event(kind, number.to_bytes(16), number.to_bytes(32), legs, salt=SALT, payload=payload, **fields)
        entry = apply(self.state, event, max(1000 * (number + 1), at_ns))
        assert isinstance(entry, Entry), entry
        self.state.undo.clear()
        self.entries.append(entry)
        self.payloads.append(payload)
        return entry

    def move(self, one: str, two: str, amount: int, kind: EntryKind = EntryKind.POST, **fields) -> Entry:
        numbers = self.state.numbers
        return self.add(kind, debit(numbers[one], amount), credit(numbers[two], amount), **fields)

    def grow(self, random: Random, steps: int) -> None:
        """Entries of the kinds that touch accounts, at random."""
        holds: list[tuple[int, str]] = []
        for _ in range(steps):
            one, two = random.sample(NAMES, 2)
            what = random.randrange(5)
            if what == 0:
                holds.append((self.move(one, two, random.randrange(2, 99), EntryKind.HOLD).seq, one))
            elif what == 1 and holds:
                seq, name = holds.pop()
                self.add(EntryKind.CAPTURE, debit(self.state.numbers[name], 1), ref_seq=seq, final=True)
            elif what == 2:
                self.add(EntryKind.MARK, credit(self.state.numbers[one], 0))
            else:
                self.move(one, two, random.randrange(1, 99))

    @property
    def hashes(self) -> list[bytes]:
        return [hash_leaf(entry.leaf) for entry in self.entries]

    def node(self, level: int, index: int) -> bytes:
        return root_of(self.hashes[index << level : (index + 1) << level])

    def path(self, seq: int) -> tuple[bytes, ...]:
        return tuple(proof.inclusion_path(seq, len(self.entries), self.node))

    @property
    def head(self) -> Checkpoint:
        return Checkpoint(ORIGIN, len(self.entries), root_of(self.hashes))

    def proven(self, entry: Entry) -> ProvenLeaf:
        return ProvenLeaf(entry.leaf, self.path(entry.seq))

    def statement(self, name: str, from_ns: int, until_ns: int) -> Statement:
        """The statement that an honest log gives; the account has an entry after the period, or gets a MARK."""
        public = public_id_of(name, b"key")

        def own() -> list[Entry]:
            return [entry for entry in self.entries if any(leg.public_id == public for leg in entry.legs)]

        if own()[-1].recorded_ns < until_ns:
            self.add(EntryKind.MARK, credit(self.state.numbers[name], 0), at_ns=until_ns)
        opening, *_ = mine = own()
        before = [entry for entry in mine if entry.recorded_ns < from_ns]
        first = before[-1] if before else opening
        lines = [entry for entry in mine if from_ns <= entry.recorded_ns < until_ns and entry.seq != first.seq]
        last = next(entry for entry in mine if entry.recorded_ns >= until_ns)
        return Statement(
            name,
            from_ns,
            until_ns,
            self.proven(opening),
            SALT,
            self.payloads[opening.seq],
            self.proven(first),
            tuple(map(self.proven, lines)),
            self.proven(last),
            sums_of(first, lines, public),
            note_of(self.head, LOG),
        )
