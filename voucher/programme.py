"""The money of a programme: what is committed, who gets it when it runs out, who bears it, in what parts, and what comes back.

Amounts are integer fen or units of an asset, never mixed; days are dates in Shanghai. Everything is a value in and a value out.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from ledger.errors import Kind
from ledger.split import split
from subsidy.unit import YUAN, Unit
from voucher.errors import VoucherError
from voucher.scheme import Reclaim, Share, Tranche


@dataclass(frozen=True, slots=True)
class Commitments:
    """What became of a budget. `issued` is the face of all that was given and not revoked; the rest are parts of it.

    `issued` ≥ `held` + `redeemed` + `expired`; `redeemed` ≥ `paid` ≥ `clawed_back`.
    """

    budget: int
    issued: int = 0
    held: int = 0
    redeemed: int = 0
    expired: int = 0
    paid: int = 0
    clawed_back: int = 0

    @property
    def committed(self) -> int:
        """What the programme may still have to pay or has paid: faces that did not expire, less what was recovered."""
        return self.issued - self.expired - self.clawed_back

    @property
    def outstanding(self) -> int:
        """Given and not used yet."""
        return self.issued - self.expired - self.redeemed

    def room(self) -> int:
        """What may still be committed; over-issuing leaves none."""
        return max(self.budget - self.committed, 0)

    def faults(self) -> tuple[str, ...]:
        """Which of the relations between the sums do not hold; empty always."""
        holds = {
            "negative": min(self.issued, self.held, self.redeemed, self.expired, self.paid, self.clawed_back) >= 0,
            "issued": self.issued >= self.held + self.redeemed + self.expired,
            "redeemed": self.redeemed >= self.paid,
            "paid": self.paid >= self.clawed_back,
        }
        return tuple(name for name, sound in holds.items() if not sound)


# --- rounds -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RoundClaim:
    """One approved claim of a round: what it would get if there were enough, and the instants that may rank it."""

    id: str
    amount: int
    contract_signed_us: int
    received_us: int


@dataclass(frozen=True, slots=True)
class Award:
    """What a claim gets of a round. `rank` is its place in the order, from 1; `cut` is what the budget did not allow."""

    claim: str
    amount: int
    rank: int
    cut: int
    zh: str
    en: str
    unit: Unit = YUAN


@dataclass(frozen=True, slots=True)
class Round:
    """One round: its budget, and when it closed. Nothing is awarded while it is open: a later application may rank higher."""

    budget: int
    closed_us: int | None
    claims: tuple[RoundClaim, ...] = ()


ORDERS = {
    "contract_signed_at_asc": lambda claim: (claim.contract_signed_us, claim.received_us, claim.id),
    "application_received_at_asc": lambda claim: (claim.received_us, claim.contract_signed_us, claim.id),
}
"""What ranks claims; what comes second breaks ties, and the id makes the order one."""


def award(of: Round, order: str, *, least: int = 1) -> tuple[Award, ...]:
    """Who gets what of a closed round, in order. `least` is the smallest award: a rest below it is not given.

    `contract_signed_at_asc` and `application_received_at_asc` serve one after the other; `pro_rata` gives everybody the same
    share; `closed` gives everything or, if there is not enough for all, nothing.

    Raises:
        VoucherError: `round-open`; `claims-late`, a claim received after the close; `claims-repeated`.

    """
    _check_round(of)
    if order in ORDERS:
        return _in_order(of, order, least)
    asked = [claim.amount for claim in of.claims]
    total = sum(asked)
    if order == "pro_rata" and total > of.budget:
        parts = split(of.budget, asked) if total else asked
    else:
        parts = asked if total <= of.budget else [0] * len(asked)
    return tuple(
        _award(claim, part if part >= least else 0, rank)
        for rank, (claim, part) in enumerate(zip(of.claims, parts, strict=True), 1)
    )


def _check_round(of: Round) -> None:
    closed_us = of.closed_us
    if closed_us is None:
        raise VoucherError(
            "round-open",
            "本轮尚未截止：之后的申请可能排在前面，不能分配",
            "the round is open: a later application may rank higher, so nothing is awarded yet",
            kind=Kind.CONFLICT,
        )
    late = [claim.id for claim in of.claims if claim.received_us >= closed_us]
    if late:
        names = ", ".join(late)
        raise VoucherError("claims-late", f"截止后收到：{names}", f"received after the close: {names}")
    if len({claim.id for claim in of.claims}) != len(of.claims):
        raise VoucherError("claims-repeated", "同一申请出现两次", "a claim stands in the round twice")


def _in_order(of: Round, order: str, least: int) -> tuple[Award, ...]:
    left, awards = of.budget, []
    for rank, claim in enumerate(sorted(of.claims, key=ORDERS[order]), 1):
        part = min(claim.amount, left)
        part = part if part >= least else 0
        left -= part
        awards.append(_award(claim, part, rank))
    return tuple(awards)


def _award(claim: RoundClaim, part: int, rank: int) -> Award:
    cut = claim.amount - part
    if not cut:
        return Award(claim.id, part, rank, 0, "全额", "in full")
    zh, en = (
        ("预算不足，部分", "in part: the budget is used up")
        if part
        else ("预算已用完", "nothing: the budget is used up")
    )
    return Award(claim.id, part, rank, cut, f"次序第 {rank}，{zh}", f"number {rank} in order, {en}")


# --- who bears it, in what parts --------------------------------------------------------------------------------------


def fund(amount: int, funding: Sequence[Share]) -> dict[str, int]:
    """What each level of government bears of a payment; the parts add up to it, also of a clawback, which is negative."""
    parts = split(amount, [share.share for share in funding])
    return {share.level: part for share, part in zip(funding, parts, strict=True)}


def released(units: int, tranches: Sequence[Tranche], reached: frozenset[str]) -> int:
    """How much of an entitlement may be used once these things happened. Tranches follow one another: none is skipped."""
    if not tranches:
        return units
    total = 0
    for tranche, part in zip(tranches, split(units, [tranche.share for tranche in tranches]), strict=True):
        if tranche.after not in reached:
            break
        total += part
    return total


def within_years(parts: Mapping[int, int], used: Mapping[int, int], cap: int) -> dict[int, int]:
    """What a cap of each calendar year leaves of parts by year (see `days.split_by_year`), given what was used of it."""
    return {year: min(part, max(cap - used.get(year, 0), 0)) for year, part in parts.items()}


# --- what lies idle ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Notice:
    """Announcement that idle units will be taken back. `units` is the most it can be; use until `effective_on` saves it."""

    units: int
    announced_on: date
    effective_on: date
    zh: str
    en: str


def idle(rule: Reclaim, *, granted: int, planned: int, used: int, reclaimed: int) -> int:
    """Units to take back now: a share of what the plan to date left unused, less what was taken before.

    The first row that the used share does not exceed counts; above the last row nothing is taken. Cumulative, not
    compounding: `planned` and `used` count from the beginning, and earlier reclaims are part of the result. Never more than
    what is left of `granted`.
    """
    if planned <= 0 or used >= planned:
        return 0
    row = next((row for row in rule.rows if used <= row.used_up_to * planned), None)
    if row is None:
        return 0
    due = int(row.reclaimed * (planned - used)) - reclaimed
    return max(min(due, granted - used - reclaimed), 0)


def announce(rule: Reclaim, on: date, *, granted: int, planned: int, used: int, reclaimed: int) -> Notice | None:
    """The notice that must be given on a day, None if nothing lies idle."""
    units = idle(rule, granted=granted, planned=planned, used=used, reclaimed=reclaimed)
    if not units:
        return None
    effective_on = on + timedelta(days=rule.notice_days)
    return Notice(
        units,
        on,
        effective_on,
        f"截至 {on} 闲置，{effective_on} 起收回 {units}；此前用掉的不收回",
        f"idle on {on}: {units} will be taken back from {effective_on}; what is used before stays",
    )


def due(notice: Notice, rule: Reclaim, on: date, *, granted: int, planned: int, used: int, reclaimed: int) -> int:
    """Units to take back on a day under a notice: nothing before its time, and never more than was announced."""
    if on < notice.effective_on:
        return 0
    return min(notice.units, idle(rule, granted=granted, planned=planned, used=used, reclaimed=reclaimed))


# --- channels -----------------------------------------------------------------------------------------------------------


class Channel(enum.Enum):
    """Who hands out: government, on application; or a centre, of what was allotted to it."""

    GOVERNMENT = "government_application"
    CENTRE = "centre_distribution"


@dataclass(frozen=True, slots=True)
class Allotment:
    """What a centre may hand out, in units; it is committed the moment it is allotted."""

    centre: str
    units: int
    handed_out: int = 0
    returned: int = 0

    @property
    def left(self) -> int:
        """What it may still hand out."""
        return self.units - self.handed_out - self.returned


@dataclass(frozen=True, slots=True)
class Channels:
    """A programme's budget over both channels: given directly, and allotted to centres."""

    budget: int
    admitted: frozenset[Channel]
    given: int = 0
    allotments: Mapping[str, Allotment] | None = None

    @property
    def left(self) -> int:
        """What may still be given or allotted."""
        allotted = sum(allotment.units - allotment.returned for allotment in (self.allotments or {}).values())
        return self.budget - self.given - allotted

    def give(self, units: int) -> Channels:
        """Give on an application to the government.

        Raises:
            VoucherError: `channel-not-admitted`, `budget-exceeded`.

        """
        self._check(Channel.GOVERNMENT, units, self.left)
        return replace(self, given=self.given + units)

    def allot(self, centre: str, units: int) -> Channels:
        """Allot to a centre, in addition to what it has.

        Raises:
            VoucherError: `channel-not-admitted`, `budget-exceeded`.

        """
        self._check(Channel.CENTRE, units, self.left)
        allotment = self._of(centre)
        return self._with(replace(allotment, units=allotment.units + units))

    def hand_out(self, centre: str, units: int) -> Channels:
        """A centre hands out of its allotment.

        Raises:
            VoucherError: `channel-not-admitted`, `budget-exceeded`.

        """
        allotment = self._of(centre)
        self._check(Channel.CENTRE, units, allotment.left)
        return self._with(replace(allotment, handed_out=allotment.handed_out + units))

    def give_back(self, centre: str, units: int) -> Channels:
        """A centre returns what it did not hand out; the programme may give it again.

        Raises:
            VoucherError: `channel-not-admitted`, `budget-exceeded`.

        """
        allotment = self._of(centre)
        self._check(Channel.CENTRE, units, allotment.left)
        return self._with(replace(allotment, returned=allotment.returned + units))

    def _of(self, centre: str) -> Allotment:
        return (self.allotments or {}).get(centre, Allotment(centre, 0))

    def _with(self, allotment: Allotment) -> Channels:
        return replace(self, allotments={**(self.allotments or {}), allotment.centre: allotment})

    def _check(self, channel: Channel, units: int, left: int) -> None:
        if channel not in self.admitted:
            raise VoucherError(
                "channel-not-admitted",
                f"方案没有渠道 {channel.value}",
                f"the scheme has no channel {channel.value}",
                kind=Kind.NOT_ALLOWED,
            )
        if not 0 < units <= left:
            raise VoucherError(
                "budget-exceeded",
                f"只剩 {left}，不能给 {units}",
                f"{left} is left, not {units}",
                kind=Kind.INSUFFICIENT,
            )
