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
from metering.batch import batch_of
from metering.course import Span
from metering.model import Accelerator, UsageRecord
from metering.prices import GFLOPS_MS_PER_COMPUTE_UNIT, MS_PER_HOUR
from metering.rating import rate
from metering.tariff import Tariff, Tariffs, pieces_of
from voucher.allocation import Charge, Purse, charges_along, draw_one

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
    charges = charges_of(job.start_us, parts, job.active_ms, tariffs)
    payable = sum(charge.payable for charge in charges)
    covered = payable - _unpaid(charges, purses)
    reasons = [*_over(parts, capacity), *_short(payable, covered, purses, bound=bound)]
    reasons += _ending(job.start_us, end_us, purses) if covered < payable else []
    enough = {Need.FULL: covered == payable, Need.SOME: covered > 0 or not payable, Need.NONE: True}[need]
    fits = not any(reason.code == "over-capacity" for reason in reasons)
    lasting = job.active_ms if covered == payable else _lasting_ms(job, parts, purses, tariffs)
    return Advice(enough and fits, sum(charge.yuan for charge in charges), covered, lasting, tuple(reasons))


def charges_of(start_us: int, parts: Sequence[_Part], active_ms: int, tariffs: Tariffs) -> list[Charge]:
    """What `metering.rating.rate` makes of a record, for one alone; a test compares the two."""
    end_us = start_us + active_ms * 1000
    models = tuple(part.tariff.model for part in parts)
    if not all(part.tariff.lasts(start_us, end_us) for part in parts):
        cards = tuple(Accelerator(part.word, part.count_milli) for part in parts)
        record = UsageRecord("", "", "", 0, start_us, end_us, active_ms, cards, "")
        return charges_along(rate(batch_of([record]), tariffs, [0]).course(0, start_us, end_us), models)
    yuan = own = compute = 0
    for _, count_milli, tariff in parts:
        gpu_ms = count_milli * active_ms // 1000
        yuan += gpu_ms * tariff.price(count_milli)
        own += gpu_ms * tariff.own_price(count_milli)
        compute += gpu_ms * tariff.gflops
    yuan, own = yuan // MS_PER_HOUR, own // MS_PER_HOUR
    return charges_along((Span(start_us, end_us, yuan - own, own, compute // GFLOPS_MS_PER_COMPUTE_UNIT),), models)


def _unpaid(charges: Sequence[Charge], purses: Sequence[Purse]) -> int:
    """Yuan that vouchers might pay and do not."""
    own = sum(charge.own for charge in charges)
    return draw_one(charges, [replace(purse) for purse in purses]).self_pay - own


def _lasting_ms(job: Job, parts: Sequence[_Part], purses: Sequence[Purse], tariffs: Tariffs) -> int:
    """Whole minutes for which the vouchers pay everything: more time never costs less, so halving finds the last one."""
    first = charges_of(job.start_us, parts, 0, tariffs)[0]
    if not any(purse.covers(first) for purse in purses):
        return 0
    paid, unpaid = 0, job.active_ms // MINUTE_MS + 1
    while paid + 1 < unpaid:
        middle = (paid + unpaid) // 2
        if _unpaid(charges_of(job.start_us, parts, middle * MINUTE_MS, tariffs), purses):
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
        return [
            Finding(
                "voucher-none", "没有可用于该中心、且在有效期内的券", "no voucher in force may be used at this centre"
            )
        ]
    if not covered:
        return [Finding("voucher-ineligible", "现有的券不适用于该型号或时间", "no voucher is for this card and time")]
    return [Finding("balance-short", "券的可用额度不够整个作业", "the vouchers do not last for the whole job")]


def _ending(start_us: int, end_us: int, purses: Sequence[Purse]) -> list[Finding]:
    """Vouchers that end while the job runs pay for its time before."""
    if not any(start_us < purse.until_us < end_us for purse in purses):
        return []
    return [
        Finding(
            "voucher-ends",
            "有券在作业期间到期，只付到期前的部分",
            "a voucher ends while the job runs and pays until then",
        )
    ]
