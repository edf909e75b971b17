"""What one record costs, explained: before and after discounts, by cost class, and what of it no voucher pays."""

from __future__ import annotations

from typing import NamedTuple

from ledger.split import split
from metering.model import UsageRecord
from metering.price_parts import COMPUTE_CLASS
from metering.prices import MS_PER_HOUR
from metering.tariff import Tariff, Tariffs, pieces_of


class Bill(NamedTuple):
    """Units of CNY of one record: its price, what of it vouchers may not pay, the list price, and the price by cost class.

    `excluded` is `own` by class. `explained` says that its price is more than one plain number.
    """

    yuan: int
    own: int
    list_yuan: int
    classes: dict[str, int]
    excluded: dict[str, int]
    explained: bool


class _Card(NamedTuple):
    """A card of the record in the time of one tariff."""

    gpu_ms: int
    count_milli: int
    tariff: Tariff

    @property
    def cost(self) -> int:
        return self.gpu_ms * self.tariff.price(self.count_milli)

    @property
    def own(self) -> int:
        return self.gpu_ms * self.tariff.own_price(self.count_milli)

    @property
    def listed(self) -> int:
        parts = self.tariff.parts
        return self.cost if parts is None else self.gpu_ms * parts.list_price(self.count_milli)


def bill_of(record: UsageRecord, tariffs: Tariffs) -> Bill | None:
    """The bill of a record, equal to what `metering.rating.rate` makes of it; None while a card or its price is unknown."""
    cards: list[_Card] = []
    for part in record.accelerators:
        gpu_ms = part.count_milli * record.active_ms // 1000
        pieces = pieces_of(part.model, gpu_ms, record.start_us, record.end_us, tariffs)
        if pieces is None:
            return None
        cards += [_Card(piece.gpu_ms, part.count_milli, piece.tariff) for piece in pieces]
    yuan, own = sum(card.cost for card in cards) // MS_PER_HOUR, sum(card.own for card in cards) // MS_PER_HOUR
    listed = sum(card.listed for card in cards) // MS_PER_HOUR
    explained = any(card.tariff.parts is not None for card in cards)
    owns = split(own, [card.own for card in cards]) if own else [0] * len(cards)
    excluded = _classes(cards, owns, own=True)
    payable = _classes(cards, split(yuan - own, [card.cost - card.own for card in cards]), own=False)
    classes = {name: excluded.get(name, 0) + payable.get(name, 0) for name in {**payable, **excluded}}
    return Bill(yuan, own, listed, classes, excluded, explained)


def _classes(cards: list[_Card], units: list[int], *, own: bool) -> dict[str, int]:
    """Units of each card over those of its cost classes that no voucher pays (`own`), or over the others."""
    found: dict[str, int] = {}
    for card, mine in zip(cards, units, strict=True):
        parts = card.tariff.parts
        chosen = parts.chosen(own=own) if parts and parts.classes else {COMPUTE_CLASS: 1}
        if mine and chosen:
            for name, part in zip(chosen, split(mine, list(chosen.values())), strict=True):
                found[name] = found.get(name, 0) + part
    return found
