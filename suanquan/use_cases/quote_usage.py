"""What a run would cost, before it: rated and drawn as its report will be. Nothing is recorded.

The quote equals the debit as long as the account's vouchers pay for nothing else in between, and neither they nor the
price that is valid at the start of the run have changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ledger.amount import CNY, COMPUTE, format_units
from ledger.errors import Kind
from ledger.journal import Journal
from ledger.transaction import Transaction
from metering.batch import batch_of
from metering.bill import Bill, bill_of
from metering.instants import parse_instant
from metering.model import Accelerator, UsageRecord
from metering.quarantine import Cause
from metering.rating import Rated, rate
from metering.wire import ACTIVE_MS_MAX, EARLIEST_US
from suanquan.errors import ServiceError
from suanquan.use_cases.ingest import Rules
from suanquan.use_cases.postings import purses_of
from suanquan.use_cases.statement import bill_object
from voucher.allocation import Cover, Purse, charges_along, draw_one

COUNT_MAX = 100_000_000
MODELS_MAX = 16


class Run(NamedTuple):
    """A run that is thought of: whose, on which cards (model, thousandths), from when, for how long; by which voucher alone."""

    centre: str
    account: str
    cards: tuple[tuple[str, int], ...]
    start_us: int
    active_ms: int
    voucher: str | None = None


def parse_run(
    centre: str, account: str, cards: Sequence[str], start: str, seconds: str, voucher: str | None = None
) -> Run:
    """A run from its texts: cards as MODEL=COUNT with at most three decimals, seconds likewise, `start` as RFC 3339.

    Raises:
        ServiceError: `run-malformed`, with the part that is.

    """
    try:
        start_us, active_ms = parse_instant(start), _thousandths(seconds)
    except (ValueError, OverflowError) as fault:
        raise _malformed(f"start or seconds: {fault}") from None
    parts = [card.rpartition("=") for card in cards]
    try:
        run = Run(
            centre,
            account,
            tuple((model, _thousandths(count)) for model, _, count in parts),
            start_us,
            active_ms,
            voucher,
        )
    except ValueError as fault:
        raise _malformed(f"cards: {fault}") from None
    if not 1 <= len(run.cards) <= MODELS_MAX or not all(
        model and 1 <= count <= COUNT_MAX for model, count in run.cards
    ):
        raise _malformed(f"1 to {MODELS_MAX} cards as MODEL=COUNT, each of a thousandth to {COUNT_MAX // 1000}")
    if start_us < EARLIEST_US or not 0 < active_ms <= ACTIVE_MS_MAX:
        raise _malformed("it starts after 1999 and takes some time")
    return run


def _thousandths(text: str) -> int:
    whole, _, fraction = text.partition(".")
    if not (whole + fraction).isdecimal() or not text.isascii() or len(fraction) > 3 or len(whole) > 16:
        raise ValueError(f"{text[:40]!r} is no number with at most three decimals")
    return int(whole or "0") * 1000 + int(fraction.ljust(3, "0"))


def _malformed(why: str) -> ServiceError:
    return ServiceError("run-malformed", f"无法报价：{why}", f"cannot quote this: {why}")


async def quote_usage(journal: Journal, rules: Rules, run: Run) -> dict[str, Any]:
    """GPU time, compute, price, what each voucher would pay and what the account would pay itself, to the last unit.

    Raises:
        ServiceError: `model-unknown` where a card or its price is not registered for that time.

    """

    async def work(tx: Transaction) -> tuple[Rated, list[Purse], Cover, Bill]:
        cards = tuple(Accelerator(model, count) for model, count in run.cards)
        record = UsageRecord(
            "quote", run.account, "quote", 0, run.start_us, run.start_us + run.active_ms * 1000, run.active_ms, cards,
            "QUOTE", True, run.voucher,
        )  # fmt: skip
        rated = rate(batch_of([record]), rules.tariffs(run.centre), [0])
        bill = bill_of(record, rules.tariffs(run.centre))
        if rated.held or bill is None:
            raise _unpriced(run)
        purses = (await purses_of(tx, run.centre, [run.account], rules.schemes))[run.account]
        course = rated.course(0, record.start_us, record.end_us)
        return rated, purses, draw_one(charges_along(course, rated.models[0], run.voucher), purses), bill

    rated, purses, cover, bill = await journal.transact(work, own_sql=False, keeps_memo=True)
    return _told(run, rated, purses, cover) | bill_object(bill)


def _unpriced(run: Run) -> ServiceError:
    words = "、".join(model for model, _ in run.cards)
    return ServiceError(
        Cause.MODEL.value,
        f"{words} 在该时刻未登记或没有价格，这样的用量须待人工核定",
        f"{words}: not registered or without a price at that time; such usage waits for a person",
        kind=Kind.NOT_FOUND,
    )


def _told(run: Run, rated: Rated, purses: Sequence[Purse], cover: Cover) -> dict[str, Any]:
    paid = [
        {"voucher": purse.jti, "unit": purse.asset.code, "amount": format_units(units, purse.asset)}
        for purse in purses
        if (units := cover.yuan.get(purse.account, 0) or cover.compute.get(purse.account, 0))
    ]
    return {
        "centre": run.centre,
        "account": run.account,
        "models": list(rated.models[0]),
        "gpu_ms": int(rated.gpu_ms[0]),
        "pflops_hours": format_units(int(rated.compute[0]), COMPUTE),
        "yuan": format_units(int(rated.yuan[0]), CNY),
        "paid_by": paid,
        "in_kind_yuan": format_units(sum(cover.in_kind.values()), CNY),
        "self_pay_yuan": format_units(cover.self_pay, CNY),
    }
