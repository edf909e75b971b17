"""The pure state machine: what one event does to the accounts. Service, replay, simulator and verifier call the same one."""

from __future__ import annotations

from ledger.amount import INT64_MAX
from ledger.entry import (
    HOLD_LINES_MAX,
    LEGS_MAX,
    NO_SEQ,
    ZERO32,
    Entry,
    EntryKind,
    Event,
    Layer,
    Leg,
    Limits,
    Restriction,
)
from ledger.leaf import commitment, encode
from ledger.moves import DEBIT_BLOCKED, Legs, check_legs, move, transfer, within_limits
from ledger.refusal import OF_FORM, Refusal
from ledger.state import Account, Hold, HoldLine, HoldStatus, State

_new = tuple.__new__
"""Makes named tuples in a third of the time of their constructor; the fields stand in order."""


def apply(state: State, event: Event, recorded_ns: int) -> Entry | Refusal:
    """Advance `state` by one event, or refuse it and change nothing.

    `recorded_ns` is the writer's clock; the entry gets max(clock, last + 1), so that recorded time strictly increases.
    """
    (
        kind, event_id, digest, _, effective, ref_seq, ruleset, actor, salt, payload, _, _, flags, expires, _, late, _
    ) = event  # fmt: skip
    if (
        len(event_id) != 16 or len(digest) != 32 or len(ruleset) != 32 or len(actor) != 8
        or (flags and kind != _STATUS) or not -INT64_MAX <= effective <= INT64_MAX or not 0 <= ref_seq <= NO_SEQ
    ):  # fmt: skip
        return Refusal.MALFORMED
    mark, last_ns, seq = len(state.undo), state.last_ns, state.size
    recorded = recorded_ns if recorded_ns > last_ns else last_ns + 1
    effective = effective or recorded
    if effective < state.closed_ns and kind in _DATED:
        if not late:
            return Refusal.PERIOD_CLOSED
        effective, ref_seq = recorded, state.closed_seq if ref_seq == NO_SEQ else ref_seq
    elif kind == _HOLD:  # the log alone then says what came too late; the largest number is never
        effective = INT64_MAX if expires is None else expires
        if not -INT64_MAX <= effective <= INT64_MAX:
            return Refusal.MALFORMED
    legs = _HANDLERS[kind](state, event, recorded)
    if isinstance(legs, Refusal):
        state.rollback(mark)
        return legs
    committed = commitment(salt, payload) if payload else ZERO32
    leaf = encode(seq, kind, event_id, digest, recorded, effective, ref_seq, ruleset, actor, legs, committed, flags)
    state.undo.append((state.take_back_entry, seq, last_ns))
    state.size, state.last_ns = seq + 1, recorded
    return _new(
        Entry,
        (
            seq,
            kind,
            event_id,
            digest,
            recorded,
            effective,
            ref_seq,
            ruleset,
            actor,
            legs,
            committed,
            flags,
            leaf,
            False,
        ),
    )


_STATUS, _HOLD = int(EntryKind.STATUS), int(EntryKind.HOLD)
_DATED = (EntryKind.POST, EntryKind.REVERSE, EntryKind.CAPTURE)
"""Kinds that belong to the period of their effective time."""


def _note(_state: State, event: Event, _now: int) -> Legs | Refusal:
    return Refusal.LEGS_COUNT if event.legs else ()


def _open(state: State, event: Event, _now: int) -> Legs | Refusal:
    opening = event.opening
    if opening is not None and not _storable(opening.limits):
        return Refusal.MALFORMED
    if opening is not None and opening.name in state.numbers:
        return Refusal.ACCOUNT_EXISTS
    if opening is None or event.legs:
        return Refusal.LEGS_COUNT
    number = state.next_account
    state.add(Account(number, opening.name, opening.public_id, opening.asset.number, opening.limits))
    state.next_account = number + 1
    state.undo.append((state.take_back_account, number))
    return _mark_account(state, number)


def _asset(state: State, event: Event, _now: int) -> Legs | Refusal:
    asset = event.asset
    if asset is not None and (asset.code in state.assets or asset.number in state.assets.values()):
        return Refusal.ASSET_EXISTS
    if asset is None or event.legs:
        return Refusal.LEGS_COUNT
    state.assets[asset.code] = asset.number
    state.undo.append((state.assets.pop, asset.code))
    return ()


def _close_period(state: State, event: Event, now: int) -> Legs | Refusal:
    """End the periods before `effective_ns`; that moment must be past, and later than the last close."""
    if event.effective_ns <= state.closed_ns:
        return Refusal.PERIOD_CLOSED
    if event.effective_ns > now:
        return Refusal.PERIOD_NOT_OVER
    if event.legs:
        return Refusal.LEGS_COUNT
    state.undo.append((state.take_back_period, state.closed_ns, state.closed_seq))
    state.closed_ns, state.closed_seq = event.effective_ns, state.size
    return ()


def _mark(state: State, event: Event, _now: int) -> Legs | Refusal:
    """A line without an amount: it closes a statement, for its totals and chain cover everything before."""
    account = _named_account(state, event)
    return account if isinstance(account, Refusal) else _mark_account(state, account.number)


def _limit(state: State, event: Event, _now: int) -> Legs | Refusal:
    if not _storable(event.limits):
        return Refusal.MALFORMED
    account = _named_account(state, event)
    if isinstance(account, Refusal):
        return account
    if account.restriction & Restriction.CLOSED:
        return Refusal.ACCOUNT_CLOSED
    state.undo.append((account.restore_rules, account.limits, account.restriction))
    account.limits = event.limits
    return _mark_account(state, account.number)


def _status(state: State, event: Event, _now: int) -> Legs | Refusal:
    account = _named_account(state, event)
    if isinstance(account, Refusal):
        return account
    if not 0 <= event.restriction <= DEBIT_BLOCKED:
        return Refusal.AMOUNT_RANGE
    if account.restriction & Restriction.CLOSED:
        return Refusal.ACCOUNT_CLOSED
    if event.restriction & Restriction.CLOSED and not account.is_empty:
        return Refusal.ACCOUNT_NOT_EMPTY
    state.undo.append((account.restore_rules, account.limits, account.restriction))
    account.restriction = event.restriction
    return _mark_account(state, account.number)


def _storable(limits: Limits) -> bool:
    """Whether a database can hold the bounds."""
    return all(bound is None or -INT64_MAX <= bound <= INT64_MAX for bound in limits)


def _named_account(state: State, event: Event) -> Account | Refusal:
    """The account of an event whose one leg only names it."""
    account = state.accounts.get(event.legs[0].account) if event.legs else None
    if account is None:
        return Refusal.ACCOUNT_UNKNOWN
    if len(event.legs) != 1:
        return Refusal.LEGS_COUNT
    return account if event.legs[0].amount == 0 else Refusal.AMOUNT_RANGE


def _mark_account(state: State, number: int) -> Legs | Refusal:
    return within_limits(state, move(state, (Leg(number, 1, 0),), Layer.POSTED))


def _post(state: State, event: Event, _now: int) -> Legs | Refusal:
    legs = event[3]
    if len(legs) == 2 and (moved := transfer(state, *legs)) is not None:
        return moved
    fault = check_legs(state, legs, LEGS_MAX)
    return fault or within_limits(state, move(state, legs, Layer.POSTED))


def _hold(state: State, event: Event, now: int) -> Legs | Refusal:
    """Reserve line by line: legs come in pairs of a debit and a credit of the same amount and asset."""
    if event.expires_ns is not None and event.expires_ns <= now:
        return Refusal.HOLD_EXPIRED
    legs, accounts = event.legs, state.accounts
    if any(leg.account not in accounts for leg in legs):
        return Refusal.ACCOUNT_UNKNOWN
    lines = list(zip(legs[::2], legs[1::2], strict=False))
    pairs = {(one.account, two.account) for one, two in lines}
    if [leg.side for leg in legs] != [0, 1] * len(lines) or not 0 < len(lines) == len(pairs) <= HOLD_LINES_MAX:
        return Refusal.LEGS_COUNT
    fault = check_legs(state, legs, LEGS_MAX)
    if fault in OF_FORM:
        return fault
    if any(
        one.amount != two.amount or accounts[one.account].asset != accounts[two.account].asset for one, two in lines
    ):
        return Refusal.UNBALANCED
    if fault:
        return fault
    held = [HoldLine(one.account, two.account, one.amount, one.amount) for one, two in lines]
    state.holds[state.size] = Hold(state.size, held, event.expires_ns)
    state.undo.append((state.holds.pop, state.size))
    return within_limits(state, move(state, legs, Layer.HELD))


def _capture(state: State, event: Event, now: int) -> Legs | Refusal:
    """Turn part of a hold into postings. `legs` is one debit leg a line; `final` gives the rest of every line back."""
    hold = _open_hold(state, event, now)
    if isinstance(hold, Refusal):
        return hold
    if [(leg.account, leg.side) for leg in event.legs] != [(line.debit, 0) for line in hold.lines]:
        return Refusal.LEGS_COUNT
    amounts = [leg.amount for leg in event.legs]
    if min(amounts) < 0 or max(amounts) == 0:
        return Refusal.AMOUNT_RANGE
    accounts = state.accounts
    if any(accounts[line.debit].restriction & Restriction.LEGAL_HOLD for line in hold.lines):
        return Refusal.ACCOUNT_LEGAL_HOLD
    if any(amount > line.remaining for amount, line in zip(amounts, hold.lines, strict=True)):
        return Refusal.HOLD_EXCEEDED
    return _unhold(state, hold, amounts, final=event.final, status=HoldStatus.CAPTURED)


def _release(state: State, event: Event, now: int) -> Legs | Refusal:
    hold = _open_hold(state, event, now)
    if isinstance(hold, Refusal):
        return hold
    return _unhold(state, hold, [0] * len(hold.lines), final=True, status=HoldStatus.RELEASED)


def _expire(state: State, event: Event, now: int) -> Legs | Refusal:
    hold = state.holds.get(event.ref_seq)
    if hold is None:
        return Refusal.HOLD_UNKNOWN
    if hold.status is not HoldStatus.OPEN:
        return Refusal.HOLD_CLOSED
    if hold.expires_ns is None or now < hold.expires_ns:
        return Refusal.HOLD_NOT_DUE
    return _unhold(state, hold, [0] * len(hold.lines), final=True, status=HoldStatus.EXPIRED)


def _open_hold(state: State, event: Event, now: int) -> Hold | Refusal:
    hold = state.holds.get(event.ref_seq)
    if hold is None:
        return Refusal.HOLD_UNKNOWN
    if hold.status is not HoldStatus.OPEN:
        return Refusal.HOLD_CLOSED
    if hold.expires_ns is not None and now >= hold.expires_ns:
        return Refusal.HOLD_EXPIRED
    return hold


def _unhold(state: State, hold: Hold, captured: list[int], *, final: bool, status: HoldStatus) -> Legs | Refusal:
    """Lower the held totals of both accounts of each line and, for what was captured, raise the posted ones."""
    state.undo.append((hold.restore, tuple(line.remaining for line in hold.lines), hold.status))
    freed: list[Leg] = []
    moved: list[Leg] = []
    for line, amount in zip(hold.lines, captured, strict=True):
        taken = line.remaining if final else amount
        line.remaining -= taken
        freed += [Leg(line.debit, 0, -taken), Leg(line.credit, 1, -taken)] if taken else []
        moved += [Leg(line.debit, 0, amount), Leg(line.credit, 1, amount)] if amount else []
    if not any(line.remaining for line in hold.lines):
        hold.status = status
    lowered = tuple(leg._replace(amount=-leg.amount) for leg in move(state, tuple(freed), Layer.HELD))
    if not moved:
        return lowered
    return within_limits(state, lowered + move(state, tuple(moved), Layer.POSTED))


def _reverse(state: State, event: Event, _now: int) -> Legs | Refusal:
    """Take back a posting, whole (no legs: whatever is left of it) or in part, never more than it moved."""
    original = state.originals.get(event.ref_seq)
    if original is None:
        return Refusal.ORIGINAL_UNKNOWN
    left = {key: amount - original.reversed.get(key, 0) for key, amount in original.moved.items()}
    legs = event.legs or tuple(Leg(account, 1 - side, amount) for (account, side), amount in left.items() if amount)
    if not legs:
        return Refusal.REVERSAL_EXCEEDED
    fault = check_legs(state, legs, LEGS_MAX)
    if fault:
        return fault
    for leg in legs:
        key = leg.account, 1 - leg.side
        if leg.amount > left.get(key, 0):
            return Refusal.REVERSAL_EXCEEDED
        before = original.reversed.get(key, 0)
        state.undo.append((original.reversed.__setitem__, key, before))
        original.reversed[key] = before + leg.amount
        left[key] -= leg.amount
    return within_limits(state, move(state, legs, Layer.POSTED))


def _erase(state: State, event: Event, _now: int) -> Legs | Refusal:
    """Say that the payload of an earlier entry is dropped: its commitment stays, and the tree with it."""
    if event.ref_seq >= state.size:
        return Refusal.ORIGINAL_UNKNOWN
    return Refusal.LEGS_COUNT if event.legs else ()


_HANDLERS = (
    _note, _open, _note, _post, _hold, _capture, _release, _expire, _reverse, _limit, _status, _close_period, _asset,
    _erase, _mark,
)  # fmt: skip
"""By number of the kind: an index costs a third of a look-up by enumeration member."""
