"""The pure state machine: what one event does to the accounts. Service, replay, simulator and verifier call the same one."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from ledger.amount import INT64_MAX
from ledger.entry import LEGS_MAX, NO_SEQ, Entry, EntryKind, Event, Layer, Leg, PostedLeg, Side
from ledger.leaf import commitment, encode


class Refusal(enum.Enum):
    """Why an event changes nothing, in order of precedence."""

    HOLD_UNKNOWN = "hold-unknown"
    HOLD_CLOSED = "hold-closed"
    HOLD_EXPIRED = "hold-expired"
    HOLD_NOT_DUE = "hold-not-due"
    ACCOUNT_EXISTS = "account-exists"
    ACCOUNT_UNKNOWN = "account-unknown"
    LEGS_COUNT = "legs-count"
    AMOUNT_RANGE = "amount-range"
    UNBALANCED = "unbalanced"
    HOLD_EXCEEDED = "hold-exceeded"
    INSUFFICIENT = "insufficient"
    TOTAL_RANGE = "total-range"


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
    floor: int | None
    debits_posted: int = 0
    credits_posted: int = 0
    debits_held: int = 0
    credits_held: int = 0
    last_seq: int = NO_SEQ

    @property
    def balance(self) -> int:
        """Posted credits minus posted debits."""
        return self.credits_posted - self.debits_posted

    @property
    def available(self) -> int:
        """What can still be spent: the balance less open holds."""
        return self.credits_posted - self.debits_posted - self.debits_held


@dataclass(slots=True)
class Hold:
    """Money reserved from one account for another; `remaining` is neither captured nor given back yet."""

    seq: int
    debit: int
    credit: int
    amount: int
    remaining: int
    expires_ns: int | None
    status: HoldStatus = HoldStatus.OPEN


@dataclass(slots=True)
class State:
    """What the next event is judged by: accounts and holds it may touch, the size of the log and the last time given.

    `undo` remembers every total before it changed, so that a refused chain leaves no trace.
    """

    size: int = 0
    last_ns: int = 0
    next_account: int = 1
    accounts: dict[int, Account] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    holds: dict[int, Hold] = field(default_factory=dict)
    undo: list[tuple[object, ...]] = field(default_factory=list)

    def add(self, account: Account) -> None:
        """Make a stored account known."""
        self.accounts[account.number] = account
        self.numbers[account.name] = account.number

    def rollback(self, mark: int) -> None:
        """Take back everything applied since the undo list had `mark` items."""
        while len(self.undo) > mark:
            item = self.undo.pop()
            match item:
                case (Account() as account, int(dp), int(cp), int(dh), int(ch), int(last)):
                    account.debits_posted, account.credits_posted = dp, cp
                    account.debits_held, account.credits_held, account.last_seq = dh, ch, last
                case (Hold() as hold, int(remaining), HoldStatus() as status):
                    hold.remaining, hold.status = remaining, status
                case ("opened", int(number)):
                    del self.numbers[self.accounts.pop(number).name]
                    self.next_account = number
                case ("held", int(seq)):
                    del self.holds[seq]
                case ("entry", int(size), int(last_ns)):
                    self.size, self.last_ns = size, last_ns


def apply(state: State, event: Event, recorded_ns: int) -> Entry | Refusal:
    """Advance `state` by one event, or refuse it and change nothing.

    `recorded_ns` is the writer's clock; the entry gets max(clock, last + 1), so that recorded time strictly increases.
    """
    mark = len(state.undo)
    recorded = max(recorded_ns, state.last_ns + 1)
    outcome = _HANDLERS[event.kind](state, event, recorded)
    if isinstance(outcome, Refusal):
        state.rollback(mark)
        return outcome
    seq = state.size
    fields = (
        seq,
        event.kind,
        event.event_id,
        event.digest,
        recorded,
        _effective(event, recorded),
        event.ref_seq,
        event.ruleset,
        event.actor,
        outcome,
        commitment(event.salt, event.payload),
    )
    state.undo.append(("entry", seq, state.last_ns))
    state.size = seq + 1
    state.last_ns = recorded
    return Entry(*fields, encode(*fields))


def _effective(event: Event, recorded: int) -> int:
    """A hold lasts until its expiry, INT64_MAX being never: the log alone then says what came too late."""
    if event.kind is EntryKind.HOLD:
        return INT64_MAX if event.expires_ns is None else event.expires_ns
    return event.effective_ns or recorded


def _note(_state: State, event: Event, _now: int) -> tuple[PostedLeg, ...] | Refusal:
    return Refusal.LEGS_COUNT if event.legs else ()


def _open(state: State, event: Event, _now: int) -> tuple[PostedLeg, ...] | Refusal:
    opening = event.opening
    if opening is not None and opening.name in state.numbers:
        return Refusal.ACCOUNT_EXISTS
    if opening is None or event.legs:
        return Refusal.LEGS_COUNT
    number = state.next_account
    state.add(Account(number, opening.name, opening.public_id, opening.asset.number, opening.floor))
    state.next_account = number + 1
    state.undo.append(("opened", number))
    return _within_limits(state, _move(state, (Leg(number, Side.CREDIT, 0),), Layer.POSTED, state.size))


def _post(state: State, event: Event, _now: int) -> tuple[PostedLeg, ...] | Refusal:
    fault = _check_legs(state, event.legs, LEGS_MAX)
    if fault is not None:
        return fault
    return _within_limits(state, _move(state, event.legs, Layer.POSTED, state.size))


def _hold(state: State, event: Event, now: int) -> tuple[PostedLeg, ...] | Refusal:
    if event.expires_ns is not None and event.expires_ns <= now:
        return Refusal.HOLD_EXPIRED
    fault = _check_legs(state, event.legs, 2)
    if fault is not None:
        return fault
    sides = {leg.side: leg for leg in event.legs}  # one of each: two equal sides would not balance
    taken = sides[Side.DEBIT]
    state.holds[state.size] = Hold(
        state.size, taken.account, sides[Side.CREDIT].account, taken.amount, taken.amount, event.expires_ns
    )
    state.undo.append(("held", state.size))
    return _within_limits(state, _move(state, event.legs, Layer.HELD, state.size))


def _capture(state: State, event: Event, now: int) -> tuple[PostedLeg, ...] | Refusal:
    """Turn part of a hold into a posting. `legs` is one debit leg with the amount; `final` gives the rest back."""
    hold = _open_hold(state, event, now)
    if isinstance(hold, Refusal):
        return hold
    if len(event.legs) != 1 or event.legs[0].account != hold.debit or event.legs[0].side != Side.DEBIT:
        return Refusal.LEGS_COUNT
    amount = event.legs[0].amount
    if amount <= 0:
        return Refusal.AMOUNT_RANGE
    if amount > hold.remaining:
        return Refusal.HOLD_EXCEEDED
    rest = hold.remaining - amount
    given_back = rest if event.final else 0
    _close_hold(state, hold, rest - given_back, HoldStatus.CAPTURED)
    return _unhold(state, hold, amount, given_back)


def _release(state: State, event: Event, now: int) -> tuple[PostedLeg, ...] | Refusal:
    hold = _open_hold(state, event, now)
    return hold if isinstance(hold, Refusal) else _give_back(state, hold, HoldStatus.RELEASED)


def _expire(state: State, event: Event, now: int) -> tuple[PostedLeg, ...] | Refusal:
    hold = state.holds.get(event.ref_seq)
    if hold is None:
        return Refusal.HOLD_UNKNOWN
    if hold.status is not HoldStatus.OPEN:
        return Refusal.HOLD_CLOSED
    if hold.expires_ns is None or now < hold.expires_ns:
        return Refusal.HOLD_NOT_DUE
    return _give_back(state, hold, HoldStatus.EXPIRED)


def _give_back(state: State, hold: Hold, status: HoldStatus) -> tuple[PostedLeg, ...] | Refusal:
    rest = hold.remaining
    _close_hold(state, hold, 0, status)
    return _unhold(state, hold, 0, rest)


def _open_hold(state: State, event: Event, now: int) -> Hold | Refusal:
    hold = state.holds.get(event.ref_seq)
    if hold is None:
        return Refusal.HOLD_UNKNOWN
    if hold.status is not HoldStatus.OPEN:
        return Refusal.HOLD_CLOSED
    if hold.expires_ns is not None and now >= hold.expires_ns:
        return Refusal.HOLD_EXPIRED
    return hold


def _close_hold(state: State, hold: Hold, remaining: int, status: HoldStatus) -> None:
    state.undo.append((hold, hold.remaining, hold.status))
    hold.remaining = remaining
    if remaining == 0:
        hold.status = status


def _unhold(state: State, hold: Hold, captured: int, given_back: int) -> tuple[PostedLeg, ...] | Refusal:
    """Lower the held totals of both accounts and, for what was captured, raise the posted ones."""
    both = (Leg(hold.debit, Side.DEBIT, 0), Leg(hold.credit, Side.CREDIT, 0))
    lowered = _move(state, tuple(leg._replace(amount=-(captured + given_back)) for leg in both), Layer.HELD, state.size)
    freed = tuple(leg._replace(amount=-leg.amount) for leg in lowered)
    if not captured:
        return freed
    posted = _move(state, tuple(leg._replace(amount=captured) for leg in both), Layer.POSTED, state.size)
    return _within_limits(state, freed + posted)


def _check_legs(state: State, legs: tuple[Leg, ...], legs_max: int) -> Refusal | None:
    """Two legs or more of known accounts, positive int64 amounts, debits equal credits per asset."""
    accounts, in_range = state.accounts, True
    sums: dict[int, int] = {}
    for number, side, amount in legs:
        account = accounts.get(number)
        if account is None:
            return Refusal.ACCOUNT_UNKNOWN
        in_range = in_range and 0 < amount <= INT64_MAX
        sums[account.asset] = sums.get(account.asset, 0) + (amount if side else -amount)
    if not 2 <= len(legs) <= legs_max:
        return Refusal.LEGS_COUNT
    if not in_range:
        return Refusal.AMOUNT_RANGE
    return Refusal.UNBALANCED if any(sums.values()) else None


def _move(state: State, legs: tuple[Leg, ...], layer: Layer, seq: int) -> tuple[PostedLeg, ...]:
    """Change the totals of each leg's account; a side is true for credit (`Side` names the numbers, and costs time)."""
    posted: list[PostedLeg] = []
    for number, side, amount in legs:
        account = state.accounts[number]
        dp, cp = account.debits_posted, account.credits_posted
        dh, ch, last = account.debits_held, account.credits_held, account.last_seq
        state.undo.append((account, dp, cp, dh, ch, last))
        if layer is Layer.POSTED:
            if not side:
                account.debits_posted = dp = dp + amount
            else:
                account.credits_posted = cp = cp + amount
        elif not side:
            account.debits_held = dh = dh + amount
        else:
            account.credits_held = ch = ch + amount
        account.last_seq = seq
        posted.append(PostedLeg(number, account.public_id, account.asset, side, layer, amount, last, dp, cp, dh, ch))
    return tuple(posted)


def _within_limits(state: State, legs: tuple[PostedLeg, ...]) -> tuple[PostedLeg, ...] | Refusal:
    """Every account touched is above its floor, and its totals can be stored."""
    outcome: tuple[PostedLeg, ...] | Refusal = legs
    for leg in legs:
        account = state.accounts[leg[0]]
        dp, cp, dh, ch = account.debits_posted, account.credits_posted, account.debits_held, account.credits_held
        if account.floor is not None and cp - dp - dh < account.floor:
            return Refusal.INSUFFICIENT
        if dp > INT64_MAX or cp > INT64_MAX or dh > INT64_MAX or ch > INT64_MAX:
            outcome = Refusal.TOTAL_RANGE
    return outcome


_HANDLERS = {
    EntryKind.GENESIS: _note,
    EntryKind.NOTE: _note,
    EntryKind.OPEN: _open,
    EntryKind.POST: _post,
    EntryKind.HOLD: _hold,
    EntryKind.CAPTURE: _capture,
    EntryKind.RELEASE: _release,
    EntryKind.EXPIRE: _expire,
}
