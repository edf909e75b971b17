"""Statements of an account that prove to be complete: not only is each line in the log, none is missing.

Each leg names the account's entry before it and carries the totals after it. So a chain from the entry before the period
to the one after it has no room for another line, and its ends say what the account had. The ends are the last entry
before the period (or the account's opening) and the first after it (or a MARK made for the purpose).
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

from ledger.checkpoint import Checkpoint
from ledger.entry import NO_SEQ, Entry, EntryKind, Layer
from ledger.errors import DomainError, Kind, LedgerError
from ledger.leaf import commitment, decode
from ledger.lines import decode_path, encode64
from ledger.note import Note
from ledger.policy import Policy
from ledger.proof import verify_inclusion
from ledger.tree import hash_leaf

FORMAT = "suanquan-statement@v1"
LINES_MAX = 100_000
_FREES = (EntryKind.CAPTURE, EntryKind.RELEASE, EntryKind.EXPIRE)


class ProvenLeaf(NamedTuple):
    """A leaf with its inclusion path."""

    leaf: bytes
    path: tuple[bytes, ...]


class Sums(NamedTuple):
    """What a statement comes to, in units: balance before, debits, credits, balance after, and what is held after."""

    before: int
    debits: int
    credits: int
    after: int
    held: int


@dataclass(frozen=True, slots=True)
class Statement:
    """What a statement file says: nothing of it is to be believed before `check`.

    `opening` is the account's OPEN with salt and payload, which name the account; `first` the entry before the period (the
    OPEN again where there is none); `last` the first entry after it. Moments are UTC epoch nanoseconds, `until` excluded.
    """

    account: str
    from_ns: int
    until_ns: int
    opening: ProvenLeaf
    salt: bytes
    payload: bytes
    first: ProvenLeaf
    lines: tuple[ProvenLeaf, ...]
    last: ProvenLeaf
    sums: Sums
    note: Note

    def to_bytes(self) -> bytes:
        """The file: a JSON object, integers as strings, hashes in base64, the rest in hexadecimal."""
        members = {
            "format": FORMAT,
            "account": self.account,
            "from_ns": str(self.from_ns),
            "until_ns": str(self.until_ns),
            "opening": {**_to_data(self.opening), "salt": self.salt.hex(), "payload": self.payload.hex()},
            "first": _to_data(self.first),
            "lines": [_to_data(line) for line in self.lines],
            "last": _to_data(self.last),
            "sums": {name: str(value) for name, value in self.sums._asdict().items()},
            "checkpoint": str(self.note),
        }
        return json.dumps(members, ensure_ascii=False, indent=1).encode()

    @classmethod
    def parse(cls, data: bytes) -> Statement:
        """Statement of a file.

        Raises:
            LedgerError: `statement-malformed`.

        """
        try:
            members = json.loads(data)
            opening = members["opening"]
            statement = cls(
                str(members["account"]),
                int(members["from_ns"]),
                int(members["until_ns"]),
                _from_data(opening),
                bytes.fromhex(opening["salt"]),
                bytes.fromhex(opening["payload"]),
                _from_data(members["first"]),
                tuple(map(_from_data, members["lines"])),
                _from_data(members["last"]),
                Sums(**{name: int(value) for name, value in members["sums"].items()}),
                Note.parse(members["checkpoint"].encode()),
            )
            fits = members["format"] == FORMAT and len(statement.lines) <= LINES_MAX
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise _malformed() from error
        if not fits:
            raise _malformed()
        return statement


def _to_data(proven: ProvenLeaf) -> dict[str, Any]:
    return {"leaf": proven.leaf.hex(), "path": [encode64(node) for node in proven.path]}


def _from_data(data: dict[str, Any]) -> ProvenLeaf:
    return ProvenLeaf(bytes.fromhex(data["leaf"]), decode_path(data["path"]))


class Line(NamedTuple):
    """One line of a checked statement: its entry, what it took and gave, and the balance after it, in units."""

    entry: Entry
    debits: int
    credits: int
    balance: int


class Checked(NamedTuple):
    """What a statement proves: the number of the account's asset, its lines, what they come to, and under which head."""

    asset: int
    lines: list[Line]
    sums: Sums
    checkpoint: Checkpoint


def check(statement: Statement, policy: Policy) -> Checked:
    """Check everything that a statement says with nothing but a policy's keys.

    Raises:
        LedgerError: what `Policy.accept` raises, or `statement-invalid` with the place.

    """
    checkpoint = policy.accept(statement.note)
    opening = _included(statement.opening, checkpoint, "opening")
    if opening.kind != EntryKind.OPEN or len(opening.legs) != 1:
        _bad("opening", "不是开户分录", "is not the entry that opens an account")
    named = statement.payload.decode("utf-8", "replace").partition("\n")[2]
    committed = commitment(statement.salt, statement.payload)
    if named != statement.account or not hmac.compare_digest(committed, opening.commitment):
        _bad("opening", "开户分录不是该账户的", "does not open this account")
    walk = Walk(opening.legs[0].public_id, opening.legs[0].asset)
    first = _included(statement.first, checkpoint, "first")
    walk.begin(first, "first")
    if first.recorded_ns >= statement.from_ns and first.seq != opening.seq:
        _bad("first", "首条不在期间之前", "is not from before the period")
    before = walk.balance
    lines = list(_walk_lines(walk, statement, checkpoint))
    after, held = walk.balance, walk.totals[2]
    last = _included(statement.last, checkpoint, "last")
    if last.recorded_ns < statement.until_ns:
        _bad("last", "末条不在期间之后", "is not from after the period")
    walk.follow(last, "last")
    sums = Sums(before, sum(line.debits for line in lines), sum(line.credits for line in lines), after, held)
    for name, stated, found in zip(Sums._fields, statement.sums, sums, strict=True):
        if stated != found:
            _bad(f"sums.{name}", f"应为 {found}", f"should be {found}")
    return Checked(walk.asset, lines, sums, checkpoint)


def _walk_lines(walk: Walk, statement: Statement, checkpoint: Checkpoint) -> Iterator[Line]:
    for number, proven in enumerate(statement.lines):
        place = f"lines[{number}]"
        entry = _included(proven, checkpoint, place)
        place = f"{place}, entry {entry.seq}"
        if not statement.from_ns <= entry.recorded_ns < statement.until_ns:
            _bad(place, "不在期间之内", "is outside the period")
        yield walk.follow(entry, place)


def _included(proven: ProvenLeaf, checkpoint: Checkpoint, place: str) -> Entry:
    try:
        entry, _ = decode(proven.leaf)
        verify_inclusion(hash_leaf(proven.leaf), entry.seq, checkpoint.size, proven.path, checkpoint.root)
    except DomainError as error:
        _bad(place, error.zh, error.en)
    return entry


class Walk:
    """Follows an account from entry to entry."""

    def __init__(self, public_id: bytes, asset: int) -> None:
        self.public_id = public_id
        self.asset = asset
        self.seq = NO_SEQ
        self.totals = [0, 0, 0, 0]

    @property
    def balance(self) -> int:
        """Posted credits minus posted debits."""
        return self.totals[1] - self.totals[0]

    def begin(self, entry: Entry, place: str) -> None:
        """Start after an entry of the account, at the totals that its last leg carries; before an OPEN there is nothing."""
        if entry.kind == EntryKind.OPEN:
            self.follow(entry, place)
            return
        legs = [leg for leg in entry.legs if leg.public_id == self.public_id]
        if not legs:
            _bad(place, "不是该账户的分录", "is an entry of another account")
        leg = legs[-1]
        self.seq = entry.seq
        self.totals = [leg.debits_posted, leg.credits_posted, leg.debits_held, leg.credits_held]

    def follow(self, entry: Entry, place: str) -> Line:
        """Go on to the account's next entry.

        Raises:
            LedgerError: `statement-invalid`: another account's, not the next, or its totals do not follow.

        """
        legs = [leg for leg in entry.legs if leg.public_id == self.public_id]
        if not legs:
            _bad(place, "不是该账户的分录", "is an entry of another account")
        sums = [0, 0]
        for leg in legs:
            if (leg.prev_seq, leg.asset) != (self.seq, self.asset):
                _bad(
                    place,
                    "与该账户上一条不衔接，中间有缺失",
                    "does not follow the account's entry before it: one is missing",
                )
            frees = leg.layer == Layer.HELD and entry.kind in _FREES
            self.totals[2 * leg.layer + leg.side] += -leg.amount if frees else leg.amount
            if self.totals != [leg.debits_posted, leg.credits_posted, leg.debits_held, leg.credits_held]:
                _bad(place, "记账后的累计数不符", "its totals do not follow")
            if leg.layer == Layer.POSTED:
                sums[leg.side] += leg.amount
            self.seq = entry.seq
        return Line(entry, sums[0], sums[1], self.balance)


def sums_of(first: Entry, lines: Iterable[Entry], public_id: bytes) -> Sums:
    """What a statement with these entries comes to."""
    walk = Walk(public_id, next(leg.asset for leg in first.legs if leg.public_id == public_id))
    walk.begin(first, "first")
    before = walk.balance
    found = [walk.follow(entry, f"entry {entry.seq}") for entry in lines]
    return Sums(
        before,
        sum(line.debits for line in found),
        sum(line.credits for line in found),
        walk.balance,
        walk.totals[2],
    )


def _malformed() -> LedgerError:
    return LedgerError("statement-malformed", f"不是 {FORMAT} 对账单", f"not a {FORMAT}", kind=Kind.PROOF)


def _bad(place: str, zh: str, en: str) -> NoReturn:
    raise LedgerError("statement-invalid", f"对账单 {place}：{zh}", f"statement, {place}: {en}", kind=Kind.PROOF)
