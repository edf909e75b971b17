"""Says what every request must be answered and what must stand in the log, from the order and times the writer chose.

Its books share nothing with the state machine. A request is judged where the writer decided it (at a size of the log and a
reading of the clock); then the answer, the log, the burnt ids and the projections must all be as predicted.
"""

from __future__ import annotations

import hmac
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, NamedTuple

from ledger.amount import Asset
from ledger.entry import NO_SEQ, Entry, EntryKind, Event, Limits, Opening
from tests.simulation.books import OF_FORM, Books, Row

PSEUDONYM_KEY = bytes(32)
UNAVAILABLE = {"storage-unavailable", "busy", "stopped"}
EXPIRIES_MAX = 1000


class Reply(NamedTuple):
    """What became of one chain: a code, the rows it stands in, the event at fault, why an id was refused before."""

    code: str
    rows: tuple[Row, ...] = ()
    at: int = 0
    detail: str = ""


@dataclass(eq=False)
class Asked:
    """One request: chains of events (a bulk), or work that opens accounts, appends a chain, and perhaps fails."""

    chains: Sequence[tuple[Event, ...]]
    all_or_nothing: bool = False
    opens: tuple[tuple[str, Asset, Limits], ...] = ()
    is_work: bool = False
    fails: bool = False
    process: Any = None
    number: int = -1
    size: int = -1
    now_ns: int = 0
    replies: list[Reply] | None = None
    expected: list[Reply] | None = None
    is_committed: bool = False
    passed: bool = False

    def decided(self, number: int, size: int, now_ns: int) -> None:
        """The writer judges it here; what it decided before, if anything, was void."""
        assert not (self.passed and any(reply.code == "created" for reply in self.expected or ())), "recorded twice"
        self.number, self.size, self.now_ns, self.passed, self.expected = number, size, now_ns, False, None
        self.is_committed = False

    def ids(self) -> set[bytes]:
        return {event.event_id for events in self.chains for event in events} | {
            _open_id(name) for name, *_ in self.opens
        }

    @property
    def undone(self) -> bool:
        """Whether the writer said that nothing of it was recorded."""
        return self.replies is not None and any(reply.code in UNAVAILABLE for reply in self.replies)


def _open_id(name: str) -> bytes:
    return hmac.digest(PSEUDONYM_KEY, b"open\x00" + name.encode(), "sha256")[:16]


class Seen(NamedTuple):
    """One snapshot of the database: the log, the burnt ids."""

    log: Sequence[Entry]
    failed: dict[bytes, tuple[bytes, str]]


@dataclass
class Auditor:
    """Follows the log, request by request."""

    books: Books = field(default_factory=Books)
    trail: defaultdict[int, list[tuple[int, ...]]] = field(default_factory=lambda: defaultdict(list))
    checked: int = 0
    honest_commits: bool = True

    def begin(self, genesis: Entry) -> None:
        """Start from the first entry, which nobody asks for."""
        if not self.books.size:
            self.books.size, self.books.last_ns = 1, genesis.recorded_ns
            self.books.used[genesis.event_id] = recorded(genesis)

    def advance(self, asked: Sequence[Asked], seen: Seen) -> list[Asked]:
        """Pass every request whose outcome is in the database; those that wait for theirs."""
        waiting: list[Asked] = []
        makers = {(one.size, one.process) for one in asked if one.number >= 0 and _made(one, seen.log)}
        for one in sorted(asked, key=lambda one: (one.size, (one.size, one.process) in makers, one.number)):
            passed = one.passed or (one.number >= 0 and self._pass(one, seen))
            if passed and one.replies is not None:
                self._compare(one)
            elif not self._is_over(one):
                waiting.append(one)
        self._expire(len(seen.log), seen)
        assert len(seen.log) == self.books.size
        odd = dict(seen.failed.items() ^ self.books.burnt.items())
        assert not odd, (
            f"burnt in the books or in the database alone: {odd}, {[one for one in asked if odd.keys() & one.ids()]}"
        )
        return waiting

    def _pass(self, one: Asked, seen: Seen) -> bool:
        """Judge a request where it was decided, if what it must have caused is there; none of it may be there alone."""
        if one.size < self.books.size and one.replies is not None:
            return self._is_stale(one)
        if one.size > len(seen.log) or one.size < self.books.size:
            return False
        self._expire(one.size, seen)
        books = self.books.copy()
        expected = work(books, one) if one.is_work else bulk(books, one)
        rows = [books.used[event_id] for event_id in books.used.keys() - self.books.used.keys()]
        burnt = books.burnt.keys() - self.books.burnt.keys()
        if (rows or burnt) and not one.is_committed:
            assert one.replies is None or one.undone, f"answered {one.replies}, but it was not committed: {one}"
            return False  # what it would have left may stand there all the same: of an equal request
        there = [*(self._stands(row, seen.log) for row in rows), *(event_id in seen.failed for event_id in burnt)]
        if not there and (one.undone or one.replies is None):
            return False  # it leaves no trace, so it counts from its answer on
        assert all(there), f"committed, but it is not in the log: {one}"
        assert self.honest_commits or not one.undone or not there, f"recorded, and said not to be: {one}"
        due = [
            hold for hold in self.books.holds.values() if not hold.end and hold.expires and hold.expires <= one.now_ns
        ]
        assert not due or len(due) >= EXPIRIES_MAX, f"decided at {one.now_ns}, before holds that were due: {due}"
        self._follow(books, rows)
        one.passed, one.expected = True, expected
        return True

    @staticmethod
    def _is_over(one: Asked) -> bool:
        """Whether nothing more will be heard of it, and nothing of it was recorded."""
        return one.undone or (one.replies is None and one.process.dead)

    def _is_stale(self, one: Asked) -> bool:
        """Answered late, or while another process wrote: only what left no trace may be."""
        told = {reply.code for reply in one.replies or ()}
        if one.undone:
            return False
        traceless = {*OF_FORM, "exists", "event-conflict", "event-failed", "chain-undone"}
        assert one.is_work or told <= traceless, f"decided too early: {one}"
        rows = [row for reply in one.replies or () for row in reply.rows] if one.is_work else []
        for row in rows:  # a repeated event is answered with what stood there when it was decided
            assert row.seq < one.size, f"decided too early: {one}"
            assert self.books.used[row.event_id].seq == row.seq, f"answered with another entry: {one}"
        one.passed, one.expected = True, one.replies
        return True

    def _stands(self, row: Row, log: Sequence[Entry]) -> bool:
        """Whether a row is in the log; if its event is, everything about it must be as predicted."""
        if row.seq >= len(log) or log[row.seq].event_id != row.event_id:
            return False
        found = recorded(log[row.seq])
        row = row if row.commitment else row._replace(commitment=found.commitment)
        assert found == row, f"predicted {row}, found {found}"
        return True

    def _expire(self, size: int, seen: Seen) -> None:
        """What nobody asked for must be expiries: due, and in order of time and number."""
        for entry in seen.log[self.books.size : size]:
            open_holds = (
                (hold.expires, seq) for seq, hold in self.books.holds.items() if hold.expires and not hold.end
            )
            expires, seq = min(open_holds, default=(0, -1))
            digest = sha256(b"expire\x00" + max(seq, 0).to_bytes(8)).digest()
            assert entry.event_id == digest[:16], f"nobody asked for {entry}"
            assert entry.recorded_ns >= expires
            books = self.books.copy()
            row = books.judge(Event(EntryKind.EXPIRE, digest[:16], digest, ref_seq=seq), entry.recorded_ns)
            assert isinstance(row, Row), row
            assert self._stands(row, seen.log)
            self._follow(books, [row])

    def _follow(self, books: Books, rows: Sequence[Row]) -> None:
        self.books = books
        for row in rows:
            for (
                public,
                *_,
            ) in row.legs:
                [number] = [number for number, account in books.accounts.items() if account.public == public]
                leg = [leg for leg in row.legs if leg[0] == public][-1]
                if not self.trail[number] or self.trail[number][-1][0] < row.seq:
                    self.trail[number].append((row.seq, *leg[-4:]))

    def _compare(self, one: Asked) -> None:
        """The answer is the one predicted, to the last field."""
        self.checked += 1
        assert one.expected is not None
        if one.undone or one.expected is one.replies:
            return
        found = [reply._replace(rows=tuple(row.seq for row in reply.rows)) for reply in one.replies or ()]
        expected = [reply._replace(rows=tuple(row.seq for row in reply.rows)) for reply in one.expected]
        assert found == expected, f"answered {found}, must be {expected}: {one}"

    def totals_at(self, account: int, size: int) -> tuple[int, ...]:
        """An account's totals when the log had so many entries."""
        trail = self.trail[account]
        at = bisect_right(trail, size - 1, key=lambda row: row[0])
        return trail[at - 1][1:] if at else (0, 0, 0, 0)


def _made(asked: Asked, log: Sequence[Entry]) -> bool:
    """Whether the next entry is of this request: what another process decided at the same size came before it."""
    return asked.size < len(log) and log[asked.size].event_id in asked.ids()


def recorded(entry: Entry) -> Row:
    """A decoded leaf in the auditor's words."""
    legs = tuple((leg[1], *leg[2:]) for leg in entry.legs)
    return Row(*entry[:9], legs, entry.commitment, entry.flags)


def bulk(books: Books, asked: Asked) -> list[Reply]:
    """Judge chains one by one; all of them stand or none if it is to be so. Burnt ids stay burnt either way."""
    before, replies = books.copy(), [chain(books, events, asked.now_ns) for events in asked.chains]
    bad = {"created", "exists"}
    if asked.all_or_nothing and any(reply.code not in bad for reply in replies):
        undo(books, before)
        replies = [reply if reply.code not in bad else Reply("chain-undone") for reply in replies]
    return replies


def chain(books: Books, events: Sequence[Event], now_ns: int) -> Reply:
    """Judge events one after the other, all or none; a repeated one is answered with what stands already."""
    before, rows, is_new = books.copy(), [], not events
    for at, event in enumerate(events):
        code, detail, row = "", "", books.used.get(event.event_id)
        burnt = books.burnt.get(event.event_id)
        if row is not None:
            code = "" if row.digest == event.digest else "event-conflict"
        elif burnt is not None:
            code, detail = ("event-failed", burnt[1]) if burnt[0] == event.digest else ("event-conflict", "")
        else:
            outcome, is_new = books.judge(event, now_ns), True
            row, code = (outcome, "") if isinstance(outcome, Row) else (None, outcome)
            if code and code not in OF_FORM:
                books.burnt[event.event_id] = event.digest, code
        if code:
            undo(books, before)
            return Reply(code, (), at, detail)
        rows.append(row)
    return Reply("created" if is_new else "exists", tuple(rows))


def work(books: Books, asked: Asked) -> list[Reply]:
    """Judge openings and then a chain; whatever fails takes all of it back, and burns the id that was refused."""
    before = books.copy()
    for name, asset, limits in asked.opens:
        digest = hmac.digest(PSEUDONYM_KEY, b"open\x00" + name.encode(), "sha256")
        public = hmac.digest(PSEUDONYM_KEY, name.encode(), "sha256")[:16]
        event = Event(EntryKind.OPEN, digest[:16], digest, opening=Opening(name, public, asset, limits))
        if name in books.names:
            continue
        row = books.judge(event, asked.now_ns)
        if not isinstance(row, Row):
            undo(books, before)
            return [Reply(row)]
        books.used[event.event_id] = row._replace(commitment=b"")
    reply = chain(books, asked.chains[0], asked.now_ns)
    if reply.code not in {"created", "exists"} or asked.fails:
        undo(books, before)
        return [Reply("work-failed" if reply.code in {"created", "exists"} else reply.code)]
    return [Reply("created", reply.rows)]


def undo(books: Books, before: Books) -> None:
    """Everything as it was, but for ids that were burnt meanwhile."""
    burnt = books.burnt
    vars(books).update(vars(before.copy()))
    books.burnt = burnt


def check_projections(books: Books, tables: dict[str, list[tuple]]) -> None:
    """What the database keeps beside the log is what the log says."""
    accounts = books.accounts.items()
    assert tables["account"] == [(number, account.public, account.asset) for number, account in accounts]
    assert tables["balance"] == [
        (number, a.floor, a.ceiling, a.restriction, a.dp, a.cp, a.dh, a.ch, a.last) for number, a in accounts
    ]
    assert tables["hold"] == [
        (seq, at, *line, hold.expires, hold.end)
        for seq, hold in sorted(books.holds.items())
        for at, line in enumerate(hold.lines)
    ]
    assert tables["reversal"] == sorted(
        (seq, account, int(credited), amount)
        for seq, taken in books.taken.items()
        for (account, credited), amount in taken.items()
    )
    closed = -1 if books.closed_seq == NO_SEQ else books.closed_seq
    head = (books.size, books.last_ns, len(books.accounts) + 1, books.closed_ns, closed)
    assert tables["log_state"] == [head]


def check_invariants(books: Books) -> None:
    """Nothing is made or lost, every limit holds, every hold is the sum of its ends."""
    for asset in {account.asset for account in books.accounts.values()}:
        accounts = [account for account in books.accounts.values() if account.asset == asset]
        assert sum(account.dp - account.cp for account in accounts) == 0
        assert sum(account.dh - account.ch for account in accounts) == 0
    for account in books.accounts.values():
        assert not list(account.faults()), account
    held: defaultdict[tuple[int, str], int] = defaultdict(int)
    for hold in books.holds.values():
        assert (hold.end == 0) == any(line.left for line in hold.lines)
        for line in hold.lines:
            assert 0 <= line.left <= line.amount
            held[line.debit, "dh"] += line.left
            held[line.credit, "ch"] += line.left
    for number, account in books.accounts.items():
        assert (account.dh, account.ch) == (held[number, "dh"], held[number, "ch"])
    for seq, taken in books.taken.items():
        assert all(0 <= amount <= books.posts[seq][key] for key, amount in taken.items())
