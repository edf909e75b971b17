"""What a card model is worth at a time, and a record's time cut where that changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ledger.split import split
from metering.price_parts import PriceParts


class Tariff(NamedTuple):
    """What a card model is worth while [from_us, until_us) lasts: dense FP16 GFLOPS and millionths of a yuan per GPU-hour.

    Where the price has `parts`, it depends on the number of cards, and some of it may be for the user alone to pay.
    """

    model: str
    gflops: int
    micro_yuan_per_gpu_hour: int
    from_us: int
    until_us: int
    parts: PriceParts | None = None

    def price(self, count_milli: int) -> int:
        """Millionths of a yuan per GPU-hour in a record of so many thousandths of this card."""
        return self.micro_yuan_per_gpu_hour if self.parts is None else self.parts.net_price(count_milli)

    def own_price(self, count_milli: int) -> int:
        """The part of `price` that no voucher pays."""
        return 0 if self.parts is None else self.parts.own_price(count_milli)

    def lasts(self, start_us: int, end_us: int) -> bool:
        """Whether it is the tariff of a whole interval, or of an instant."""
        return self.from_us <= start_us < self.until_us and end_us <= self.until_us


Tariffs = Callable[[str, int], Tariff | None]
"""Tariff of a card model, as the centre names it, at an instant; None when model or price is unknown then."""


class Piece(NamedTuple):
    """The part of a record's card that lies in one tariff's time, and its GPU-milliseconds."""

    gpu_ms: int
    tariff: Tariff
    start_us: int
    end_us: int

    def cost(self, count_milli: int) -> int:
        """Its price, in millionths of a yuan times milliseconds per hour."""
        return self.gpu_ms * self.tariff.price(count_milli)


def pieces_of(word: str, gpu_ms: int, start_us: int, end_us: int, tariffs: Tariffs) -> list[Piece] | None:
    """GPU-milliseconds of a card cut at every change of its tariff, by time; they add up. None: for some of it there is none."""
    first = tariffs(word, start_us)
    if first is None:
        return None
    if first.lasts(start_us, end_us):
        return [Piece(gpu_ms, first, start_us, end_us)]
    spans = [(first, start_us, first.until_us)]
    while spans[-1][2] < end_us:
        at_us = spans[-1][2]
        tariff = tariffs(word, at_us)
        if tariff is None:
            return None
        spans.append((tariff, at_us, min(end_us, tariff.until_us)))
    shares = split(gpu_ms, [until_us - from_us for _, from_us, until_us in spans])
    return [
        Piece(share, tariff, from_us, until_us)
        for share, (tariff, from_us, until_us) in zip(shares, spans, strict=True)
    ]


def worth_by_time(
    start_us: int,
    shares: Sequence[tuple[int, int]],
    cards: Sequence[tuple[str, int]],
    pieces: Sequence[list[Piece]],
    value: Callable[[Tariff, int], int],
) -> list[int]:
    """By month and card: the time in each tariff times what it is worth."""
    found: list[int] = []
    for _, length_us in shares:
        until_us = start_us + length_us
        for (_, count), some in zip(cards, pieces, strict=True):
            times = ((max(0, min(until_us, one.end_us) - max(start_us, one.start_us)), one.tariff) for one in some)
            found.append(count * sum(us * value(tariff, count) for us, tariff in times))
        start_us = until_us
    return found
