"""The ledger's contract in the plainest words: books that say what an event does, or every fault it has.

Nothing here is shared with the state machine. Values are immutable and books are copied, so there is nothing to undo.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from ledger.entry import NO_SEQ, EntryKind, Event

MAX = 2**63 - 1
ORDER = (
    "event-malformed", "period-closed", "hold-unknown", "hold-closed", "hold-expired", "hold-not-due", "original-unknown",
    "period-not-over", "account-exists", "asset-exists", "account-unknown", "legs-count", "amount-range", "unbalanced",
    "account-closed", "account-legal-hold", "account-frozen", "account-not-empty", "hold-exceeded", "reversal-exceeded",
    "insufficient", "over-ceiling", "total-range",
)  # fmt: skip
"""An event at fault in several ways is refused for the first of these."""
OF_FORM = {"event-malformed", "legs-count", "amount-range", "unbalanced"}
"""These do not burn the id: the event itself was at fault."""
FROZEN, LEGAL_HOLD, CLOSED = 1, 2, 4


class Account(NamedTuple):
    """An account and its totals: posted and held, debits and credits."""

    name: str
    public: bytes
    asset: int
    floor: int | None
    ceiling: int | None
    restriction: int = 0
    dp: int = 0
    cp: int = 0
    dh: int = 0
    ch: int = 0
    last: int = NO_SEQ

    def faults(self) -> Iterator[str]:
        if self.floor is not None and self.cp - self.dp - self.dh < self.floor:
            yield "insufficient"
        if self.ceiling is not None and self.cp + self.ch - self.dp > self.ceiling:
            yield "over-ceiling"
        if max(self.dp, self.cp, self.dh, self.ch) > MAX:
            yield "total-range"

    def moved(self, credited: bool, held: bool, amount: int, seq: int) -> Account:
        total = ("ch" if credited else "dh") if held else ("cp" if credited else "dp")
        return self._replace(last=seq, **{total: getattr(self, total) + amount})


class Line(NamedTuple):
    debit: int
    credit: int
    amount: int
    left: int


class Hold(NamedTuple):
    """What is reserved; `end` is the number of its status: 0 open, 1 captured, 2 released, 3 expired."""

    lines: tuple[Line, ...]
    expires: int | None
    end: int = 0


class Move(NamedTuple):
    account: int
    credited: bool
    held: bool
    amount: int


class Row(NamedTuple):
    """What must stand in the log: fields of a leaf, legs as (public id, asset, side, layer, amount, previous, totals)."""

    seq: int
    kind: int
    event_id: bytes
    digest: bytes
    recorded_ns: int
    effective_ns: int
    ref_seq: int
    ruleset: bytes
    actor: bytes
    legs: tuple[tuple, ...]
    commitment: bytes
    flags: int


class Effect(NamedTuple):
    """What an event would do if it has no fault: moves in order, and new values."""

    faults: tuple[str, ...] = ()
    moves: tuple[Move, ...] = ()
    hold: Hold | None = None
    account: tuple[int, Account] | None = None
    closes: bool = False


@dataclass
class Books:
    """Everything the log says so far."""

    size: int = 0
    last_ns: int = 0
    closed_ns: int = 0
    closed_seq: int = NO_SEQ
    accounts: dict[int, Account] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    holds: dict[int, Hold] = field(default_factory=dict)
    posts: dict[int, dict[tuple[int, bool], int]] = field(default_factory=dict)
    taken: dict[int, dict[tuple[int, bool], int]] = field(default_factory=dict)
    assets: dict[str, int] = field(default_factory=dict)
    used: dict[bytes, Row] = field(default_factory=dict)
    burnt: dict[bytes, tuple[bytes, str]] = field(default_factory=dict)

    def copy(self) -> Books:
        dicts = {name: dict(value) for name, value in vars(self).items() if isinstance(value, dict)}
        return replace(self, **dicts)

    def judge(self, event: Event, now_ns: int) -> Row | str:
        """What one event records, or the first of its faults; books change only if it is recorded."""
        recorded = max(now_ns, self.last_ns + 1)
        effective, ref = event.effective_ns or recorded, event.ref_seq
        before_close = event.kind in {3, 5, 8} and effective < self.closed_ns
        if before_close and event.late:
            effective, ref = recorded, self.closed_seq if ref == NO_SEQ else ref
        if event.kind == EntryKind.HOLD:
            effective = MAX if event.expires_ns is None else event.expires_ns
        effect = Effect(("event-malformed",)) if self._malformed(event) else self._effect(event, recorded)
        faults = {*effect.faults, *(["period-closed"] if before_close and not event.late else [])}
        if faults:
            return min(faults, key=ORDER.index)
        after, legs = self._moved(effect)
        faults = {fault for account in after.values() for fault in account.faults()}
        if faults and event.kind not in {EntryKind.RELEASE, EntryKind.EXPIRE}:
            return min(faults, key=ORDER.index)
        self._change(event, effect, after)
        commitment = hmac.digest(event.salt, event.payload, "sha256") if event.payload else bytes(32)
        row = Row(
            self.size, int(event.kind), event.event_id, event.digest, recorded, effective, ref, event.ruleset,
            event.actor, legs, commitment, event.restriction,
        )  # fmt: skip
        self.size, self.last_ns = self.size + 1, recorded
        self.used[event.event_id] = row
        return row

    @staticmethod
    def _malformed(event: Event) -> bool:
        widths = len(event.event_id), len(event.digest), len(event.ruleset), len(event.actor)
        limits = event.opening.limits if event.opening else event.limits
        times = event.effective_ns, event.expires_ns or 0, *(bound or 0 for bound in limits)
        return (
            widths != (16, 32, 32, 8)
            or (event.restriction != 0 and event.kind != EntryKind.STATUS)
            or any(not -MAX <= time <= MAX for time in times)
            or not 0 <= event.ref_seq <= NO_SEQ
        )

    def _effect(self, event: Event, now: int) -> Effect:
        match event.kind:
            case EntryKind.POST:
                return Effect(tuple(self._leg_faults(event.legs)), self._moves(event.legs))
            case EntryKind.HOLD:
                return self._hold(event, now)
            case EntryKind.CAPTURE | EntryKind.RELEASE | EntryKind.EXPIRE:
                return self._end(event, now)
            case EntryKind.REVERSE:
                return self._reverse(event)
            case EntryKind.LIMIT | EntryKind.STATUS | EntryKind.MARK:
                return self._named(event)
        return Effect(tuple(self._plain_faults(event, now)), self._opened(event), account=self._opening(event))

    def _plain_faults(self, event: Event, now: int) -> Iterator[str]:
        """Faults of what moves nothing: openings, assets, closes, erasures, notes."""
        if event.legs:
            yield "legs-count"
        if event.kind == EntryKind.OPEN and event.opening.name in self.names:
            yield "account-exists"
        if event.kind == EntryKind.ASSET and (
            event.asset.code in self.assets or event.asset.number in self.assets.values()
        ):
            yield "asset-exists"
        if event.kind == EntryKind.CLOSE_PERIOD and event.effective_ns <= self.closed_ns:
            yield "period-closed"
        if event.kind == EntryKind.CLOSE_PERIOD and event.effective_ns > now:
            yield "period-not-over"
        if event.kind == EntryKind.ERASE and event.ref_seq >= self.size:
            yield "original-unknown"

    def _opening(self, event: Event) -> tuple[int, Account] | None:
        if event.kind != EntryKind.OPEN:
            return None
        opening = event.opening
        account = Account(opening.name, opening.public_id, opening.asset.number, *opening.limits)
        return len(self.accounts) + 1, account

    def _opened(self, event: Event) -> tuple[Move, ...]:
        return (Move(len(self.accounts) + 1, True, False, 0),) if event.kind == EntryKind.OPEN else ()

    def _leg_faults(self, legs) -> Iterator[str]:
        if any(leg.account not in self.accounts for leg in legs):
            yield "account-unknown"
            return
        if not 2 <= len(legs) <= 64:
            yield "legs-count"
        if any(not 0 < leg.amount <= MAX for leg in legs):
            yield "amount-range"
        for asset in {account.asset for account in self.accounts.values()}:
            if sum(leg.amount * (2 * leg.side - 1) for leg in legs if self.accounts[leg.account].asset == asset):
                yield "unbalanced"
        for leg in legs:
            restriction = self.accounts[leg.account].restriction
            if restriction & CLOSED:
                yield "account-closed"
            if not leg.side and restriction & LEGAL_HOLD:
                yield "account-legal-hold"
            if not leg.side and restriction & FROZEN:
                yield "account-frozen"

    def _hold(self, event: Event, now: int) -> Effect:
        legs, faults = event.legs, list(self._leg_faults(event.legs))
        lines = tuple(zip(legs[::2], legs[1::2], strict=False))
        if event.expires_ns is not None and event.expires_ns <= now:
            faults.append("hold-expired")
        if (
            [leg.side for leg in legs] != [0, 1] * len(lines)
            or not 1 <= len(lines) <= 16
            or len({(one.account, two.account) for one, two in lines}) < len(lines)
        ):
            faults.append("legs-count")
        if "account-unknown" not in faults and any(
            one.amount != two.amount or self.accounts[one.account].asset != self.accounts[two.account].asset
            for one, two in lines
        ):
            faults.append("unbalanced")
        held = tuple(Line(one.account, two.account, one.amount, one.amount) for one, two in lines)
        moves = tuple(Move(leg.account, bool(leg.side), True, leg.amount) for leg in legs)
        return Effect(tuple(faults), moves, Hold(held, event.expires_ns))

    def _end(self, event: Event, now: int) -> Effect:
        """A capture, a release or an expiry of a hold."""
        hold = self.holds.get(event.ref_seq)
        if hold is None:
            return Effect(("hold-unknown",))
        faults = ["hold-closed"] if hold.end else []
        due = hold.expires is not None and now >= hold.expires
        if due != (event.kind == EntryKind.EXPIRE):
            faults.append("hold-expired" if due else "hold-not-due")
        captured = [leg.amount for leg in event.legs] if event.kind == EntryKind.CAPTURE else [0] * len(hold.lines)
        if event.kind == EntryKind.CAPTURE:
            faults += self._capture_faults(event, hold)
        if faults:
            return Effect(tuple(faults))
        everything = event.final or event.kind != EntryKind.CAPTURE
        freed = [line.left if everything else amount for line, amount in zip(hold.lines, captured, strict=True)]
        moves = [
            Move(account, credited, held, -amount if held else amount)
            for held, amounts in ((True, freed), (False, captured))
            for line, amount in zip(hold.lines, amounts, strict=True)
            if amount
            for account, credited in ((line.debit, False), (line.credit, True))
        ]
        lines = tuple(line._replace(left=line.left - amount) for line, amount in zip(hold.lines, freed, strict=True))
        end = 0 if any(line.left for line in lines) else {5: 1, 6: 2, 7: 3}[int(event.kind)]
        return Effect((), tuple(moves), Hold(lines, hold.expires, end))

    def _capture_faults(self, event: Event, hold: Hold) -> Iterator[str]:
        if [(leg.account, leg.side) for leg in event.legs] != [(line.debit, 0) for line in hold.lines]:
            yield "legs-count"
            return
        amounts = [leg.amount for leg in event.legs]
        if min(amounts) < 0 or not any(amounts):
            yield "amount-range"
        if any(self.accounts[line.debit].restriction & LEGAL_HOLD for line in hold.lines):
            yield "account-legal-hold"
        if any(amount > line.left for amount, line in zip(amounts, hold.lines, strict=True)):
            yield "hold-exceeded"

    def _reverse(self, event: Event) -> Effect:
        moved = self.posts.get(event.ref_seq)
        if moved is None:
            return Effect(("original-unknown",))
        taken = self.taken.get(event.ref_seq, {})
        left = {key: amount - taken.get(key, 0) for key, amount in moved.items()}
        if not event.legs:
            moves = tuple(Move(account, not side, False, amount) for (account, side), amount in left.items() if amount)
            faults = self._leg_faults([_Leg(move.account, int(move.credited), move.amount) for move in moves])
            return Effect(tuple(faults) if moves else ("reversal-exceeded",), moves)
        faults = list(self._leg_faults(event.legs))
        for leg in event.legs:
            left[leg.account, not leg.side] = left.get((leg.account, not leg.side), 0) - leg.amount
        if min(left.values()) < 0:
            faults.append("reversal-exceeded")
        return Effect(tuple(faults), self._moves(event.legs))

    def _named(self, event: Event) -> Effect:
        """A limit, a restriction or a mark: one leg names the account."""
        account = self.accounts.get(event.legs[0].account) if event.legs else None
        if account is None:
            return Effect(("account-unknown",))
        faults = ["legs-count"] if len(event.legs) != 1 else []
        if event.legs[0].amount or not 0 <= event.restriction <= 7:
            faults.append("amount-range")
        if event.kind != EntryKind.MARK and account.restriction & CLOSED:
            faults.append("account-closed")
        if event.restriction & CLOSED and (account.cp != account.dp or account.dh or account.ch):
            faults.append("account-not-empty")
        if event.kind == EntryKind.LIMIT:
            account = account._replace(floor=event.limits.floor, ceiling=event.limits.ceiling)
        elif event.kind == EntryKind.STATUS:
            account = account._replace(restriction=event.restriction)
        number = event.legs[0].account
        return Effect(tuple(faults), (Move(number, True, False, 0),), account=(number, account))

    @staticmethod
    def _moves(legs) -> tuple[Move, ...]:
        return tuple(Move(leg.account, bool(leg.side), False, leg.amount) for leg in legs)

    def _moved(self, effect: Effect) -> tuple[dict[int, Account], tuple[tuple, ...]]:
        """Accounts after the moves, and the legs that stand in the log: a freed amount stands there without its sign."""
        after = dict([effect.account]) if effect.account else {}
        legs = []
        for move in effect.moves:
            before = after.get(move.account) or self.accounts[move.account]
            account = after[move.account] = before.moved(move.credited, move.held, move.amount, self.size)
            legs.append(
                (account.public, account.asset, int(move.credited), int(move.held), abs(move.amount), before.last,
                 account.dp, account.cp, account.dh, account.ch)
            )  # fmt: skip
        return after, tuple(legs)

    def _change(self, event: Event, effect: Effect, after: dict[int, Account]) -> None:
        self.accounts.update(after)
        posted: dict[tuple[int, bool], int] = {}
        for move in effect.moves:
            if not move.held:
                key = move.account, move.credited
                posted[key] = posted.get(key, 0) + move.amount
        match event.kind:
            case EntryKind.OPEN:
                self.names[event.opening.name] = len(self.accounts)
            case EntryKind.ASSET:
                self.assets[event.asset.code] = event.asset.number
            case EntryKind.HOLD:
                self.holds[self.size] = effect.hold
            case EntryKind.CAPTURE | EntryKind.RELEASE | EntryKind.EXPIRE:
                self.holds[event.ref_seq] = effect.hold
            case EntryKind.CLOSE_PERIOD:
                self.closed_ns, self.closed_seq = event.effective_ns, self.size
            case EntryKind.REVERSE:
                taken = dict(self.taken.get(event.ref_seq, {}))
                for (account, credited), amount in posted.items():
                    taken[account, not credited] = taken.get((account, not credited), 0) + amount
                self.taken[event.ref_seq] = taken
        if event.kind in {EntryKind.POST, EntryKind.CAPTURE}:
            self.posts[self.size] = posted


class _Leg(NamedTuple):
    account: int
    side: int
    amount: int
