"""Which vouchers pay for an account's usage: eligibility, then priority, expiry and id; the rest is self-pay."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ledger.amount import CNY, Asset
from metering.rating import AccountUsage


class Charge(NamedTuple):
    """One rated usage record: its start decides eligibility; `yuan` and `compute` are units of CNY and PFLOPS.h.

    `own` of the yuan no voucher may pay: cost classes that the user pays himself. `interrupted` is time of a job that the centre
    interrupted.
    """

    start_us: int
    yuan: int
    compute: int
    models: tuple[str, ...]
    voucher: str | None = None
    own: int = 0
    interrupted: bool = False

    @property
    def payable(self) -> int:
        """Units of yuan that vouchers may pay."""
        return self.yuan - self.own


@dataclass(slots=True)
class Purse:
    """What a voucher still holds, and for what it may be spent. `available` falls as `allocate` draws on it.

    `broken` of what was available at first was booked as breakage when the voucher was over: it must be reopened to pay.
    `waives` is how much of interrupted time its scheme forbids to charge, None where such time is charged as any other.
    """

    jti: str
    scheme: str
    account: int
    asset: Asset
    available: int
    from_us: int
    until_us: int
    priority: int = 0
    models: frozenset[str] | None = None
    broken: int = 0
    waives: int | None = None

    def covers(self, charge: Charge) -> bool:
        """True when this voucher may pay for the charge; a charge that names a voucher is paid by no other."""
        if charge.voucher is not None and charge.voucher != self.jti:
            return False
        return self.from_us <= charge.start_us < self.until_us and self._admits(charge.models)

    def covers_all(self, total: AccountUsage) -> bool:
        """True when this voucher holds yuan and may pay for each of the charges."""
        in_time = self.from_us <= total.first_us and total.last_us < self.until_us
        plain = self.asset is CNY and self.waives is None
        return plain and in_time and not total.named and self._admits(total.models)

    def _admits(self, models: Iterable[str]) -> bool:
        return self.models is None or self.models.issuperset(models)


@dataclass(slots=True)
class Cover:
    """How an account's charges are paid: units drawn on vouchers by ledger account, yuan in kind by scheme, and self-pay.

    Σ `yuan` + Σ `in_kind` + Σ `waived` + `self_pay` is the price of the charges: what a PFLOPS.h voucher covers is owed to the
    centre in yuan too, by the scheme; what a voucher's scheme forbids to charge is `waived`, by the voucher's id, and owed by nobody.
    """

    yuan: dict[int, int] = field(default_factory=dict)
    compute: dict[int, int] = field(default_factory=dict)
    in_kind: dict[str, int] = field(default_factory=dict)
    self_pay: int = 0
    waived: dict[str, int] = field(default_factory=dict)


NO_BOUND = 2**63 - 1
"""`Purse.waives` of a scheme that forbids to charge interrupted time, however much it is."""


def burn_down_order(purses: Sequence[Purse]) -> list[Purse]:
    """Purses in the order they are drawn: priority, earliest expiry, id."""
    return sorted(purses, key=lambda purse: (purse.priority, purse.until_us, purse.jti))


def allocate(total: AccountUsage, charges: Callable[[], Sequence[Charge]], purses: Sequence[Purse]) -> Cover:
    """Draw an account's charges, in the order given, on its purses; lowers `available` of those it draws on.

    `charges` are asked for only when their sum does not decide.
    """
    cover = Cover()
    ordered = burn_down_order(purses) if len(purses) > 1 else purses
    if ordered[0].covers_all(total) if len(ordered) == 1 else all(purse.covers_all(total) for purse in ordered):
        cover.self_pay = _draw_yuan(total.yuan - total.own, ordered, cover) + total.own
        return cover
    for charge in charges():
        eligible = [purse for purse in ordered if purse.covers(charge)]
        cover.self_pay += _draw(charge, eligible, cover)
    return cover


def draw_one(charge: Charge, purses: Sequence[Purse]) -> Cover:
    """Draw one charge; lowers `available` of the purses that pay. One after another they come to what `allocate` gives."""
    cover = Cover()
    eligible = [purse for purse in burn_down_order(purses) if purse.covers(charge)]
    cover.self_pay = _draw(charge, eligible, cover)
    return cover


def _draw_yuan(due: int, purses: Sequence[Purse], cover: Cover) -> int:
    for purse in purses:
        part = min(due, purse.available)
        if part > 0:
            purse.available -= part
            cover.yuan[purse.account] = cover.yuan.get(purse.account, 0) + part
            due -= part
    return due


def _draw(charge: Charge, purses: Sequence[Purse], cover: Cover) -> int:
    """Draw one charge on its eligible purses; yuan left uncovered."""
    due, compute = charge.payable, charge.compute
    for purse in purses:
        if charge.interrupted and purse.waives:
            return _waive(due + charge.own, purse, cover)
        if due == 0:
            break
        if purse.asset is CNY:
            before = due
            due = _draw_yuan(due, (purse,), cover)
            # The compute that yuan has paid for is no longer open to compute vouchers, rounded up so that no part of a
            # record is covered twice.
            compute -= min(compute, -(-charge.compute * (before - due) // charge.payable))
        else:
            due, compute = _draw_compute(charge, purse, due, compute, cover)
    return due + charge.own


def _waive(due: int, purse: Purse, cover: Cover) -> int:
    """What is left of a charge when it comes to a voucher whose scheme charges no interrupted time: nobody pays it."""
    assert purse.waives is not None
    part = min(due, purse.waives)
    purse.waives -= part
    cover.waived[purse.jti] = cover.waived.get(purse.jti, 0) + part
    return due - part


def _draw_compute(charge: Charge, purse: Purse, due: int, compute: int, cover: Cover) -> tuple[int, int]:
    """A PFLOPS.h voucher pays a share of the record; the same share of its price, rounded down, is paid in kind."""
    part = min(compute, purse.available)
    if part <= 0:
        return due, compute
    worth = due if part == compute else min(due, charge.payable * part // charge.compute)
    purse.available -= part
    cover.compute[purse.account] = cover.compute.get(purse.account, 0) + part
    cover.in_kind[purse.scheme] = cover.in_kind.get(purse.scheme, 0) + worth
    return due - worth, compute - part
