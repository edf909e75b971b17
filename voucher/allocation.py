"""Which vouchers pay for an account's usage: eligibility, then priority, expiry and id; the rest is self-pay.

A voucher pays for the time in which it is valid: a charge is cut where a voucher begins or ends, and the parts add up to it
(docs/decisions/0040).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ledger.amount import CNY, Asset
from metering.course import Course, share
from metering.rating import AccountUsage


class Charge(NamedTuple):
    """A rated usage record, or a span of one, `[start_us, end_us)`; `yuan` and `compute` are units of CNY and PFLOPS.h.

    `own` of the yuan no voucher may pay: cost classes that the user pays himself. `interrupted` is time of a job that the centre
    interrupted. `begun_us` is when the record began, where that is before the span. Without an end it is an instant.
    """

    start_us: int
    yuan: int
    compute: int
    models: tuple[str, ...]
    voucher: str | None = None
    own: int = 0
    interrupted: bool = False
    end_us: int = 0
    begun_us: int | None = None

    @property
    def payable(self) -> int:
        """Units of yuan that vouchers may pay."""
        return self.yuan - self.own


@dataclass(slots=True)
class Purse:
    """What a voucher still holds, and for what it may be spent. `available` falls as `allocate` draws on it.

    `broken` of what was available at first was booked as breakage when the voucher was over: it must be reopened to pay.
    `waives` is how much of interrupted time its scheme forbids to charge, None where such time is charged as any other. One
    that `runs_on` pays to its end for what began in time: a hold whose scheme lets it outlive its voucher.
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
    runs_on: bool = False

    def covers(self, charge: Charge, at_us: int | None = None) -> bool:
        """True when this voucher may pay for the charge at an instant (its start); a charge that names one is paid by no other."""
        if charge.voucher is not None and charge.voucher != self.jti:
            return False
        if at_us is None:
            at_us = charge.start_us
        if self.runs_on and charge.begun_us is not None:
            at_us = charge.begun_us
        return self.from_us <= at_us < self.until_us and self._admits(charge.models)

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
    edges = _edges(ordered)
    for charge in charges():
        _draw_charge(charge, ordered, edges, cover)
    return cover


def draw_one(charges: Iterable[Charge], purses: Sequence[Purse]) -> Cover:
    """Draw the charges of one record; lowers `available` of the purses that pay.

    One record after another comes to what `allocate` gives for all.
    """
    cover, ordered = Cover(), burn_down_order(purses)
    edges = _edges(ordered)
    for charge in charges:
        _draw_charge(charge, ordered, edges, cover)
    return cover


def charges_along(
    course: Course, models: tuple[str, ...], voucher: str | None = None, *, interrupted: bool = False,
    begun_us: int | None = None,
) -> list[Charge]:  # fmt: skip
    """The charges of a record: one, or one for each price in its time."""
    begun = course[0].from_us if begun_us is None else begun_us
    return [
        Charge(at.from_us, at.yuan + at.own, at.compute, models, voucher, at.own, interrupted, at.until_us, begun)
        for at in course
    ]


def _edges(purses: Sequence[Purse]) -> list[int]:
    """When purses begin or end to pay, ascending."""
    return sorted({at for purse in purses if not purse.runs_on for at in (purse.from_us, purse.until_us)})


class _Stretch(NamedTuple):
    """A part of a charge: from and up to which of its units of payable yuan, and how much of its own part."""

    at_us: int
    paid: int
    upto: int
    own: int


def _stretches(charge: Charge, edges: Sequence[int]) -> list[_Stretch]:
    """A charge cut at edges. Where it is cut says nothing about its other parts (see `metering.course`)."""
    start, end = charge.start_us, charge.end_us
    inside = edges[bisect_right(edges, start) : bisect_left(edges, end)] if end > start else ()
    found: list[_Stretch] = []
    at_us, paid, own = start, 0, 0
    for edge in inside:
        part, whole = edge - start, end - start
        upto, upto_own = share(charge.payable, part, whole), share(charge.own, part, whole)
        found.append(_Stretch(at_us, paid, upto, upto_own - own))
        at_us, paid, own = edge, upto, upto_own
    return [*found, _Stretch(at_us, paid, charge.payable, charge.own - own)]


def _draw_charge(charge: Charge, ordered: Sequence[Purse], edges: Sequence[int], cover: Cover) -> None:
    whole = bisect_right(edges, charge.start_us) >= bisect_left(edges, charge.end_us)
    if whole and not charge.interrupted:
        eligible = [purse for purse in ordered if purse.covers(charge)]
        if all(purse.asset is CNY for purse in eligible):  # as most are
            cover.self_pay += _draw_yuan(charge.payable, eligible, cover) + charge.own
            return
    drawing = _Drawing(charge, cover)
    for stretch in _stretches(charge, edges):
        drawing.draw(stretch, [purse for purse in ordered if purse.covers(charge, stretch.at_us)])


class _Drawing:
    """One charge as it is drawn, from its first unit of yuan to its last.

    What of its compute a part of it stands for follows from that part's units of yuan alone, rounded up, so that no part is
    covered twice. Each purse pays one run of units wherever the charge is cut: the edges of purses that give nothing change
    nothing, and drawn again on what each of them gave, all of them give the same.
    """

    def __init__(self, charge: Charge, cover: Cover) -> None:
        self._charge = charge
        self._cover = cover
        self._done = 0
        self._last: Purse | None = None

    def draw(self, stretch: _Stretch, purses: Sequence[Purse]) -> None:
        """Draw a stretch on its eligible purses; what they leave, the account pays."""
        paid, upto, own = stretch.paid, stretch.upto, stretch.own
        for purse in purses:
            if self._charge.interrupted and purse.waives:
                self._cover.self_pay += _waive(upto - paid + own, purse, self._cover)
                return
            if paid == upto:
                break
            before = paid, purse.available
            if purse.asset is CNY:
                paid = upto - _draw_yuan(upto - paid, (purse,), self._cover)
            elif purse.available or purse is self._last:
                paid = self._draw_compute(purse, paid, upto)
            if before != (paid, purse.available):
                self._last = purse
        if paid < upto:
            self._last = None  # the account pays
        self._cover.self_pay += upto - paid + own

    def _draw_compute(self, purse: Purse, paid: int, upto: int) -> int:
        """A PFLOPS.h voucher pays a share of the record; the same share of its price, rounded down, is paid in kind."""
        payable, compute, cover = self._charge.payable, self._charge.compute, self._cover
        done = max(self._done, -(-compute * paid // payable))
        need = -(-compute * upto // payable) - done
        if need <= 0 and purse is not self._last:
            return paid
        part = max(0, min(need, purse.available))
        self._done = done + part
        worth = upto if part >= need else max(paid, min(upto, payable * self._done // compute))
        purse.available -= part
        cover.compute[purse.account] = cover.compute.get(purse.account, 0) + part
        cover.in_kind[purse.scheme] = cover.in_kind.get(purse.scheme, 0) + worth - paid
        return worth


def _draw_yuan(due: int, purses: Sequence[Purse], cover: Cover) -> int:
    for purse in purses:
        part = min(due, purse.available)
        if part > 0:
            purse.available -= part
            cover.yuan[purse.account] = cover.yuan.get(purse.account, 0) + part
            due -= part
    return due


def _waive(due: int, purse: Purse, cover: Cover) -> int:
    """What is left of a charge when it comes to a voucher whose scheme charges no interrupted time: nobody pays it."""
    assert purse.waives is not None
    part = min(due, purse.waives)
    purse.waives -= part
    cover.waived[purse.jti] = cover.waived.get(purse.jti, 0) + part
    return due - part
