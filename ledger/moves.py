"""How legs change accounts: checked, moved, and kept within limits. The state machine decides when."""

from __future__ import annotations

from ledger.amount import INT64_MAX
from ledger.entry import Layer, Leg, PostedLeg, Restriction
from ledger.refusal import Refusal
from ledger.state import State

DEBIT_BLOCKED = Restriction.FROZEN | Restriction.LEGAL_HOLD | Restriction.CLOSED
"""Whatever stops a debit."""
_new = tuple.__new__
"""Makes named tuples in a third of the time of their constructor; the fields stand in order."""

Legs = tuple[PostedLeg, ...]


def transfer(state: State, taken: Leg, given: Leg) -> Legs | None:
    """The common posting, a debit and a credit, in half the time; None where the general way must decide.

    A debit cannot break a ceiling nor a credit a floor: limits hold before every event.
    """
    number, side, amount = taken
    other, other_side, other_amount = given
    accounts, seq = state.accounts, state.size
    source, goal = accounts.get(number), accounts.get(other)
    if (
        source is None or goal is None or source is goal or side or not other_side or amount != other_amount
        or amount <= 0 or source.restriction or goal.restriction or source.asset != goal.asset
    ):  # fmt: skip
        return None
    dp, cp, dh, ch, last = (
        source.debits_posted, source.credits_posted, source.debits_held, source.credits_held, source.last_seq
    )  # fmt: skip
    dp2, cp2, dh2, ch2, last2 = (
        goal.debits_posted, goal.credits_posted, goal.debits_held, goal.credits_held, goal.last_seq
    )  # fmt: skip
    floor, ceiling = source.limits.floor, goal.limits.ceiling
    new_dp, new_cp = dp + amount, cp2 + amount
    if (
        new_dp > INT64_MAX or new_cp > INT64_MAX
        or (floor is not None and cp - new_dp - dh < floor)
        or (ceiling is not None and new_cp + ch2 - dp2 > ceiling)
    ):  # fmt: skip
        return None
    state.undo += ((source, dp, cp, dh, ch, last), (goal, dp2, cp2, dh2, ch2, last2))
    source.debits_posted, source.last_seq = new_dp, seq
    goal.credits_posted, goal.last_seq = new_cp, seq
    return (
        _new(PostedLeg, (number, source.public_id, source.asset, 0, 0, amount, last, new_dp, cp, dh, ch)),
        _new(PostedLeg, (other, goal.public_id, goal.asset, 1, 0, amount, last2, dp2, new_cp, dh2, ch2)),
    )


def check_legs(state: State, legs: tuple[Leg, ...], legs_max: int) -> Refusal | None:
    """Two legs or more of known accounts that may move, positive int64 amounts, debits equal credits per asset."""
    accounts, in_range, blocked = state.accounts, True, 0
    sums: dict[int, int] = {}
    for number, side, amount in legs:
        account = accounts.get(number)
        if account is None:
            return Refusal.ACCOUNT_UNKNOWN
        if amount <= 0 or amount > INT64_MAX:
            in_range = False
        if account.restriction:
            blocked |= account.restriction & (Restriction.CLOSED if side else DEBIT_BLOCKED)
        asset = account.asset
        sums[asset] = sums.get(asset, 0) + (amount if side else -amount)
    if not 2 <= len(legs) <= legs_max:
        return Refusal.LEGS_COUNT
    if not in_range:
        return Refusal.AMOUNT_RANGE
    if any(sums.values()):
        return Refusal.UNBALANCED
    return _blocked(blocked) if blocked else None


def _blocked(restriction: int) -> Refusal:
    if restriction & Restriction.CLOSED:
        return Refusal.ACCOUNT_CLOSED
    return Refusal.ACCOUNT_LEGAL_HOLD if restriction & Restriction.LEGAL_HOLD else Refusal.ACCOUNT_FROZEN


def move(state: State, legs: tuple[Leg, ...], layer: Layer) -> Legs:
    """Change the totals of each leg's account; a side is true for credit (`Side` names the numbers, and costs time)."""
    posted: list[PostedLeg] = []
    accounts, undo, seq = state.accounts, state.undo, state.size
    held = layer is Layer.HELD
    for number, side, amount in legs:
        account = accounts[number]
        dp, cp = account.debits_posted, account.credits_posted
        dh, ch, last = account.debits_held, account.credits_held, account.last_seq
        undo.append((account, dp, cp, dh, ch, last))
        if not held:
            if side:
                account.credits_posted = cp = cp + amount
            else:
                account.debits_posted = dp = dp + amount
        elif side:
            account.credits_held = ch = ch + amount
        else:
            account.debits_held = dh = dh + amount
        account.last_seq = seq
        fields = (number, account.public_id, account.asset, side, layer, amount, last, dp, cp, dh, ch)
        posted.append(_new(PostedLeg, fields))
    return tuple(posted)


def within_limits(state: State, legs: Legs) -> Legs | Refusal:
    """Every account touched is within its limits, and its totals can be stored."""
    worst: Refusal | None = None
    accounts = state.accounts
    for leg in legs:
        account = accounts[leg[0]]
        floor, ceiling = account.limits
        dp, cp, dh, ch = account.debits_posted, account.credits_posted, account.debits_held, account.credits_held
        if floor is not None and cp - dp - dh < floor:
            return Refusal.INSUFFICIENT
        if ceiling is not None and cp + ch - dp > ceiling:
            worst = Refusal.OVER_CEILING
        elif dp > INT64_MAX or cp > INT64_MAX or dh > INT64_MAX or ch > INT64_MAX:
            worst = worst or Refusal.TOTAL_RANGE
    return worst or legs
