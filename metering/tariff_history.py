"""What a later edition of the registers may not touch: cards, prices and words as they were when usage was rated by them.

New cards, new words and prices of times that had none may be added, and anything may change from a later day on; a posting
could not be explained, nor taken back at its price, if what it was rated by were another number now.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from metering.accelerators import AcceleratorRegister
from metering.prices import PriceList


class Fact(NamedTuple):
    """Something that held in a time: what of, whose, its value, and from when until when."""

    kind: str
    name: str
    centre: str
    value: str
    from_us: int = 0
    until_us: int = 0


class Registers(NamedTuple):
    """The accelerator register and the price list of one edition."""

    accelerators: AcceleratorRegister
    prices: PriceList


def rewritten(before: Registers, after: Registers, used_until_us: int) -> list[Fact]:
    """What of the earlier edition no longer holds in the later one, up to the end of the usage that was rated; in order."""
    centres = before.prices.centres | after.prices.centres
    kept = set(_facts(after, centres, used_until_us))
    return [fact for fact in _facts(before, centres, used_until_us) if fact not in kept]


def _facts(registers: Registers, centres: Iterable[str], until_us: int) -> Iterable[Fact]:
    accelerators, prices = registers
    for word, model in sorted(accelerators.words.items()):
        yield Fact("word", word, "", model)
    for model in accelerators.models:
        for card in accelerators.versions(model):
            if card.from_us < until_us:
                yield Fact("card", model, "", str(card.gflops), card.from_us, min(card.to_us, until_us))
        for centre in ("", *sorted(centres)):
            for price in prices.intervals(centre, model):
                if price.from_us < until_us:
                    value = str(price.micro_yuan_per_gpu_hour) + (f" {price.parts}" if price.parts else "")
                    yield Fact("price", model, centre, value, price.from_us, min(price.to_us, until_us))
