"""Whether a job may start: what it will cost, what the vouchers of its account pay of it, and how long they last.

The price is that of the debit: the job is rated as a record that starts now and runs its whole time, and drawn on the same
purses in the same order. Nothing is reserved: between an advice and the debit other jobs may draw on the same vouchers.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from ledger.errors import Finding
from metering.model import Accelerator
from metering.prices import GFLOPS_MS_PER_COMPUTE_UNIT, MS_PER_HOUR
from metering.tariff import Piece, Tariff, Tariffs, pieces_of
from voucher.allocation import Charge, Purse, draw_one

MINUTE_MS = 60_000


class Need(enum.Enum):
    """What the vouchers must pay for a job to start: all of it, some of it, or nothing (the account pays what is left)."""

    FULL = "full"
    SOME = "some"
    NONE = "none"


class Job(NamedTuple):
    """A job that is about to start: its cards by the centre's word for their model, and how long it may run."""

    cards: tuple[Accelerator, ...]
    start_us: int
    active_ms: int


@dataclass(frozen=True, slots=True)
class Advice:
    """What is advised and why. Amounts are units of CNY; `covered_ms` is how long the vouchers pay for everything."""

    allowed: bool
    price: int
    covered: int
    covered_ms: int
    reasons: tuple[Finding, ...]


class _Part(NamedTuple):
    word: str
    count_milli: int
    tariff: Tariff


def advise(
    job: Job, purses: Sequence[Purse], tariffs: Tariffs, need: Need, capacity: Mapping[str, int], *, bound: bool
) -> Advice:
    """Advise on a job; purses are left as they are.

    `capacity` is thousandths of cards by model (what is not registered is not limited), `bound` whether the account
    belongs to a holder at all.
    """
    end_us = job.start_us + job.active_ms * 1000
    found = [(part, pieces_of(part.model, 0, job.start_us, end_us, tariffs)) for part in job.cards]
    if unknown := sorted({part.model for part, pieces in found if pieces is None}):
        return Advice(need is Need.NONE, 0, 0, 0, (_unknown("、".join(unknown)),))
    parts = [_Part(part.model, part.count_milli, pieces[0].tariff) for part, pieces in found if pieces]
    charge = charge_of(job.start_us, parts, job.active_ms, tariffs)
    payable = charge.payable
    covered = payable - _unpaid(charge, purses)
    reasons = [*_over(parts, capacity), *_short(payable, covered, purses, bound=bound)]
    enough = {Need.FULL: covered == payable, Need.SOME: covered > 0 or not payable, Need.NONE: True}[need]
    fits = not any(reason.code == "over-capacity" for reason in reasons)
    lasting = job.active_ms if covered == payable else _lasting_ms(job, parts, purses, tariffs)
    return Advice(enough and fits, charge.yuan, covered, lasting, tuple(reasons))


def charge_of(start_us: int, parts: Sequence[_Part], active_ms: int, tariffs: Tariffs) -> Charge:
    """What `metering.rating.rate` makes of a record, for one alone; a test compares the two."""
    yuan = own = compute = 0
    for word, count_milli, tariff in parts:
        gpu_ms, end_us = count_milli * active_ms // 1000, start_us + active_ms * 1000
        pieces = [Piece(gpu_ms, tariff, start_us, end_us)]
        if not tariff.lasts(start_us, end_us):
            pieces = pieces_of(word, gpu_ms, start_us, end_us, tariffs) or pieces
        for piece in pieces:
            yuan += piece.cost(count_milli)
            own += piece.gpu_ms * piece.tariff.own_price(count_milli)
            compute += piece.gpu_ms * piece.tariff.gflops
    amounts = yuan // MS_PER_HOUR, compute // GFLOPS_MS_PER_COMPUTE_UNIT
    return Charge(start_us, *amounts, tuple(part.tariff.model for part in parts), own=own // MS_PER_HOUR)


def _unpaid(charge: Charge, purses: Sequence[Purse]) -> int:
    """Yuan that vouchers might pay and do not."""
    return draw_one(charge, [replace(purse) for purse in purses]).self_pay - charge.own


def _lasting_ms(job: Job, parts: Sequence[_Part], purses: Sequence[Purse], tariffs: Tariffs) -> int:
    """Whole minutes for which the vouchers pay everything: more time never costs less, so halving finds the last one."""
    if not any(purse.covers(charge_of(job.start_us, parts, 0, tariffs)) for purse in purses):
        return 0
    paid, unpaid = 0, job.active_ms // MINUTE_MS + 1
    while paid + 1 < unpaid:
        middle = (paid + unpaid) // 2
        if _unpaid(charge_of(job.start_us, parts, middle * MINUTE_MS, tariffs), purses):
            unpaid = middle
        else:
            paid = middle
    return paid * MINUTE_MS


def _unknown(words: str) -> Finding:
    return Finding(
        "model-unknown",
        f"型号“{words}”或其价格未登记，用量将待核",
        f"the card {words!r} or its price is not registered: its usage will be held",
    )


def _over(parts: Sequence[_Part], capacity: Mapping[str, int]) -> list[Finding]:
    """More cards than the centre registered of a model: such usage would be held."""
    wanted: dict[str, int] = {}
    for _, count_milli, tariff in parts:
        wanted[tariff.model] = wanted.get(tariff.model, 0) + count_milli
    return [
        Finding("over-capacity", f"所需 {model} 超过该中心登记的卡数", f"more {model} than the centre registered")
        for model, count in wanted.items()
        if count > capacity.get(model, count)
    ]


def _short(price: int, covered: int, purses: Sequence[Purse], *, bound: bool) -> list[Finding]:
    if covered == price:
        return []
    if not bound:
        return [Finding("account-unbound", "该账户没有对应的持券单位", "the account belongs to no holder of vouchers")]
    if not purses:
        return [Finding("voucher-none", "没有可用于该中心的有效券", "no voucher in force may be used at this centre")]
    if not covered:
        return [Finding("voucher-ineligible", "现有的券不适用于该型号或时间", "no voucher is for this card and time")]
    return [Finding("balance-short", "券的余额不够整个作业", "the vouchers do not last for the whole job")]
