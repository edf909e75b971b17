"""The life of one support under each claim mode: one state machine over buckets of money or compute.

Four things stay apart: the *entitlement* (available), the *hold* (reserved for a job), the *redemption claim* (asked to be paid)
and the *payment* (money left the treasury). A step moves units from one bucket to another and so is one ledger entry; nothing
is created or lost, since everything comes out of the budget. The table `STEPS` is all there is to a claim mode.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import NamedTuple

from ledger.entry import EntryKind
from ledger.errors import Kind
from voucher.errors import VoucherError


class Bucket(enum.Enum):
    """Where units are. What is `BUDGET` was not given yet or came back; `BREAKAGE` expired unused."""

    BUDGET = "budget"
    AVAILABLE = "available"
    HELD = "held"
    REDEEMED = "redeemed"
    CLAIMED = "claimed"
    PAYABLE = "payable"
    PAID = "paid"
    RECOVERED = "recovered"
    BREAKAGE = "breakage"


class Action(enum.Enum):
    """What can be done.

    `assess` is a claim that government makes from data it has (免申即享); a `refund` makes good what corrections took off after
    payment, a `claw_back` takes back what should not have been paid.
    """

    GRANT = "grant"
    HOLD = "hold"
    CAPTURE = "capture"
    RELEASE = "release"
    CORRECT = "correct"
    CLAIM = "claim"
    ASSESS = "assess"
    RETURN = "return"
    REFUSE = "refuse"
    APPROVE = "approve"
    PAY = "pay"
    CLAW_BACK = "claw_back"
    REFUND = "refund"
    EXPIRE = "expire"
    RECLAIM = "reclaim"
    REVOKE = "revoke"


class Phase(enum.Enum):
    """Whether an entitlement can be used. Suspension and revocation stop new holds and claims, not what was redeemed."""

    OPEN = "open"
    SUSPENDED = "suspended"
    EXPIRED = "expired"
    REVOKED = "revoked"


class Step(NamedTuple):
    """One row of a claim mode: from where to where, who acts, and the kind of the ledger entry."""

    source: Bucket
    target: Bucket
    actor: str
    entry: EntryKind = EntryKind.POST


class Movement(NamedTuple):
    """What a step moved: the ledger entry that must be written with it."""

    action: Action
    source: Bucket
    target: Bucket
    units: int
    entry: EntryKind


_B = Bucket
Steps = Mapping[Action, Step]

_GRANTED: Steps = {
    Action.GRANT: Step(_B.BUDGET, _B.AVAILABLE, "office"),
    Action.EXPIRE: Step(_B.AVAILABLE, _B.BREAKAGE, "clock"),
    Action.RECLAIM: Step(_B.AVAILABLE, _B.BUDGET, "office"),
    Action.REVOKE: Step(_B.AVAILABLE, _B.BUDGET, "office"),
}
_USED: Steps = {
    Action.HOLD: Step(_B.AVAILABLE, _B.HELD, "provider", EntryKind.HOLD),
    Action.CAPTURE: Step(_B.HELD, _B.REDEEMED, "provider", EntryKind.CAPTURE),
    Action.RELEASE: Step(_B.HELD, _B.AVAILABLE, "provider", EntryKind.RELEASE),
    Action.CORRECT: Step(_B.REDEEMED, _B.AVAILABLE, "provider", EntryKind.REVERSE),
}
_PAID: Steps = {
    Action.APPROVE: Step(_B.CLAIMED, _B.PAYABLE, "office"),
    Action.PAY: Step(_B.PAYABLE, _B.PAID, "finance"),
    Action.CLAW_BACK: Step(_B.PAID, _B.RECOVERED, "finance"),
}


_PAID_FOR_USE: Steps = {**_PAID, Action.REFUND: Step(_B.PAID, _B.REDEEMED, "finance")}


def _claimed(by: str, out_of: Bucket, action: Action = Action.CLAIM) -> Steps:
    """A claim on a bucket; what is returned or refused goes back where it came from."""
    return {
        action: Step(out_of, _B.CLAIMED, by),
        Action.RETURN: Step(_B.CLAIMED, out_of, "office", EntryKind.REVERSE),
        Action.REFUSE: Step(_B.CLAIMED, out_of, "office", EntryKind.REVERSE),
    }


STEPS: Mapping[str, Steps] = MappingProxyType(
    {
        "issue_then_offset": {**_GRANTED, **_USED, **_claimed("provider", _B.REDEEMED), **_PAID_FOR_USE},
        "issue_then_reimburse": {**_GRANTED, **_claimed("beneficiary", _B.AVAILABLE), **_PAID},
        "post_use_direct": {**_claimed("beneficiary", _B.BUDGET), **_PAID},
        "auto_enjoy": {**_claimed("office", _B.BUDGET, Action.ASSESS), **_PAID},
        "target_responsibility": {**_GRANTED, **_claimed("either_side", _B.AVAILABLE), **_PAID},
        "free_allocation": {**_GRANTED, **_USED},
    }
)
"""What each claim mode can do. A new mode is a row here, with its test; nothing else knows them."""

_NEEDS_OPEN = frozenset({Action.HOLD, Action.RECLAIM, Action.EXPIRE, Action.REVOKE})


_USED_UP = (Bucket.REDEEMED, Bucket.CLAIMED, Bucket.PAYABLE, Bucket.PAID)


@dataclass(frozen=True, slots=True)
class Life:
    """One support: its mode, its phase, and its units by bucket, which sum to zero with the budget they came out of.

    `run_to_end` lets holds that were taken before expiry be captured after it. `side` is who claimed, where only one may.
    """

    mode: str
    phase: Phase = Phase.OPEN
    units: Mapping[Bucket, int] = field(default_factory=dict)
    run_to_end: bool = True
    multi_use: bool = True
    side: str | None = None

    def of(self, bucket: Bucket) -> int:
        """Units in a bucket; the budget's are negative: what was taken out of it."""
        return self.units.get(bucket, 0)

    @property
    def ever_redeemed(self) -> int:
        """Units that use took and no correction gave back, wherever the claim for them has come to."""
        return sum(self.of(bucket) for bucket in _USED_UP)

    @property
    def given(self) -> int:
        """Units that left the budget for good or for now."""
        return -self.of(Bucket.BUDGET)


def act(life: Life, action: Action, units: int, *, actor: str) -> tuple[Life, Movement]:
    """The life after a step, and the entry that belongs to it.

    Raises:
        VoucherError: `action-not-in-mode`, `actor-not-allowed`, `phase-forbids`, `amount-not-positive`, `not-enough`,
            `single-use`, `other-side-claims`. Nothing changes then.

    """
    step = STEPS[life.mode].get(action)
    if step is None:
        raise _refused(
            "action-not-in-mode", f"兑现方式 {life.mode} 没有 {action.value}", f"{life.mode} has no {action.value}"
        )
    _check_actor(life, step, actor)
    _check_phase(life, action)
    _check_units(life, action, step, units)
    _check_use(life, action)
    target = _target(life, action, step)
    moved = dict(life.units)
    moved[step.source] = life.of(step.source) - units
    moved[target] = moved.get(target, 0) + units
    side = actor if step.actor == "either_side" else life.side
    after = replace(life, units=MappingProxyType(moved), side=side)
    return after, Movement(action, step.source, target, units, step.entry)


def turn(life: Life, phase: Phase) -> Life:
    """The life in another phase: suspended and resumed at will, expired or revoked for ever.

    Raises:
        VoucherError: `phase-final`.

    """
    if life.phase in {Phase.EXPIRED, Phase.REVOKED} and phase is not life.phase:
        raise _refused(
            "phase-final",
            f"已是 {life.phase.value}，不能改为 {phase.value}",
            f"it is {life.phase.value} and cannot become {phase.value}",
        )
    return replace(life, phase=phase)


def expire(life: Life) -> tuple[Life, tuple[Movement, ...]]:
    """Expiry: what is available breaks; holds break, too, unless the scheme lets jobs run to their end."""
    movements = []
    held = life.of(Bucket.HELD)
    if held and not life.run_to_end:
        life, movement = act(life, Action.RELEASE, held, actor="provider")
        movements.append(movement)
    if available := life.of(Bucket.AVAILABLE):
        life, movement = act(life, Action.EXPIRE, available, actor="clock")
        movements.append(movement)
    return turn(life, Phase.EXPIRED), tuple(movements)


def conserved(life: Life) -> bool:
    """Whether all buckets sum to zero and none but the budget is below it: true after every step.

    What was corrected after it was claimed leaves less than nothing redeemed: that is owed back, and never more than was used.
    """
    others = [units for bucket, units in life.units.items() if bucket not in {Bucket.BUDGET, Bucket.REDEEMED}]
    return sum(life.units.values()) == 0 and all(units >= 0 for units in others) and life.ever_redeemed >= 0


def _check_actor(life: Life, step: Step, actor: str) -> None:
    sides = ("provider", "beneficiary")
    if step.actor == "either_side" and actor in sides:
        if life.side not in {None, actor}:
            raise _refused(
                "other-side-claims", "另一方已申领，双方只能有一方", "the other side has claimed; only one may"
            )
    elif actor != step.actor:
        raise _refused(
            "actor-not-allowed", f"此步由 {step.actor} 办理", f"this step is taken by {step.actor}, not {actor}"
        )


def _check_phase(life: Life, action: Action) -> None:
    """Suspended or over: no new use of what is available. What was redeemed, claimed or held goes its way."""
    uses = action in _NEEDS_OPEN or (action is Action.CLAIM and STEPS[life.mode][action].source is Bucket.AVAILABLE)
    suspended = life.phase is Phase.SUSPENDED and action in {Action.EXPIRE, Action.REVOKE}
    if uses and life.phase is not Phase.OPEN and not suspended:
        raise _refused(
            "phase-forbids",
            f"{life.phase.value} 时不能 {action.value}",
            f"{action.value} is not possible while {life.phase.value}",
        )
    if action is Action.GRANT and life.phase in {Phase.EXPIRED, Phase.REVOKED}:
        raise _refused("phase-forbids", "已结束，不能再给", "it is over; nothing more is granted")
    if action is Action.CAPTURE and life.phase is Phase.EXPIRED and not life.run_to_end:
        raise _refused("phase-forbids", "到期即止，不能再请款", "it stopped at expiry; nothing more is captured")


def _check_units(life: Life, action: Action, step: Step, units: int) -> None:
    """No more than there is. A correction takes off what was ever redeemed: after payment the provider owes it."""
    if units <= 0:
        raise _refused("amount-not-positive", "数量须大于零", "units must be more than zero", Kind.INVALID)
    if step.source is Bucket.BUDGET:
        return
    left = life.of(step.source)
    if action is Action.CORRECT:
        left = life.ever_redeemed
    elif action is Action.CLAW_BACK:  # what corrections took off is refunded, not taken back a second time
        left = min(left, life.ever_redeemed)
    if left < units:
        raise _refused(
            "not-enough",
            f"{step.source.value} 只有 {left}，不足 {units}",
            f"{step.source.value} holds {left}, not {units}",
            Kind.INSUFFICIENT,
        )


def _check_use(life: Life, action: Action) -> None:
    used = life.of(Bucket.HELD) + life.given - life.of(Bucket.AVAILABLE)
    if action is Action.HOLD and not life.multi_use and used:
        raise _refused("single-use", "此券只能用一次", "this voucher is used once only")


def _target(life: Life, action: Action, step: Step) -> Bucket:
    """What comes back to an entitlement that is over does not become available again: it breaks, or goes back to the budget."""
    if step.target is Bucket.AVAILABLE and action is not Action.GRANT:
        if life.phase is Phase.EXPIRED:
            return Bucket.BREAKAGE
        if life.phase is Phase.REVOKED:
            return Bucket.BUDGET
    return step.target


def _refused(code: str, zh: str, en: str, kind: Kind = Kind.CONFLICT) -> VoucherError:
    return VoucherError(code, zh, en, kind=kind)
