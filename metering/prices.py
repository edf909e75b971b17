"""Price lists: yuan for an hour of one card, dated data per centre and model, with tiers, discounts and cost classes.

A record is rated by the price of its time. A centre's own price goes before the general one. No price means that the
usage is held, never that it is free.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from ledger.amount import CNY, INT64_MAX, parse_units
from ledger.errors import LedgerError
from metering.price_parts import CLASSES, PERCENT, PriceParts, Tier
from metering.registers import Entry, entries_of

MS_PER_HOUR = 3_600_000
GFLOPS_MS_PER_COMPUTE_UNIT = 3_600
"""One unit of `ledger.amount.COMPUTE` is 1e-9 PFLOPS·h = 1e-9 x 1e6 GFLOPS x 3.6e6 ms = 3,600 GFLOPS·ms."""


@dataclass(frozen=True, slots=True)
class Price:
    """What an hour of one card costs at a time in `[from_us, to_us)`, in millionths of a yuan; `centre` None: anywhere.

    The price is that of the smallest run after any discount; `parts` says how it is made, None where it is one plain number.
    """

    centre: str | None
    model: str
    micro_yuan_per_gpu_hour: int
    from_us: int
    to_us: int
    basis: str
    parts: PriceParts | None = None


class PriceList:
    """Prices by centre and model.

    `intervals` gives all that was ever valid for a pair, disjoint and in order of time; a caller keeps the one it used
    last and compares two integers for the next record.
    """

    def __init__(self, prices: Collection[Price]) -> None:
        by_pair: dict[tuple[str | None, str], list[Price]] = {}
        for price in sorted(prices, key=lambda price: price.from_us):
            by_pair.setdefault((price.centre, price.model), []).append(price)
        self._intervals = {
            (centre, model): tuple(own if centre is None else _before_general(own, by_pair.get((None, model), [])))
            for (centre, model), own in by_pair.items()
        }

    @property
    def centres(self) -> frozenset[str]:
        """The centres that have prices of their own."""
        return frozenset(centre for centre, _ in self._intervals if centre is not None)

    def intervals(self, centre: str, model: str) -> tuple[Price, ...]:
        """Every price that a centre charges for a model, disjoint and in order of time; empty: hold the usage."""
        own = self._intervals.get((centre, model))
        return self._intervals.get((None, model), ()) if own is None else own

    def price_at(self, centre: str, model: str, at_us: int) -> Price | None:
        """Find the price at an instant; None: there is none, so hold the usage."""
        for price in self.intervals(centre, model):
            if price.from_us <= at_us < price.to_us:
                return price
        return None


def _before_general(own: list[Price], general: list[Price]) -> list[Price]:
    """Fill the gaps between a centre's own prices with the general ones."""
    gaps_from = [0, *(price.to_us for price in own)]
    gaps_to = [*(price.from_us for price in own), INT64_MAX]
    filled = [
        replace(price, from_us=max(price.from_us, gap_from), to_us=min(price.to_us, gap_to))
        for gap_from, gap_to in zip(gaps_from, gaps_to, strict=True)
        for price in general
        if max(price.from_us, gap_from) < min(price.to_us, gap_to)
    ]
    return sorted([*own, *filled], key=lambda price: price.from_us)


def load_prices(data: bytes, file: str, models: Collection[str]) -> PriceList:
    """Load the price list of a TOML file of `[[price]]` entries; `models` are the canonical names that it may price.

    `from` and `to` are days in Shanghai: the price begins with the first and has ended when the second begins. `basis`
    says where the number comes from. `tiers`, `discount_percent`, `classes` and `self_pay` are those of `PriceParts`.

    Raises:
        MeteringError: anything unknown, missing or of another type, a model that is not registered, or two prices for
            one time; the message names the file and the entry.

    """
    prices: list[Price] = []
    for entry in entries_of(data, file, "price"):
        price = _price_of(entry, models)
        entry.finish()
        for other in prices:
            same = (other.centre, other.model) == (price.centre, price.model)
            if same and other.from_us < price.to_us and price.from_us < other.to_us:
                entry.refuse("与同一型号的另一价格在时间上重叠", "it overlaps another price of the same model")
        prices.append(price)
    return PriceList(prices)


def _price_of(entry: Entry, models: Collection[str]) -> Price:
    model = entry.text("model")
    if model not in models:
        entry.refuse("型号未登记，请用登记表中的标准名", "the model is not registered: use its canonical name")
    parts = _parts_of(entry)
    plain = parts == PriceParts(parts.tiers[:1])
    price = Price(
        centre=entry.text("centre") if entry.has("centre") else None,
        model=model,
        micro_yuan_per_gpu_hour=parts.net_price(0),
        from_us=entry.day_us("from"),
        to_us=entry.day_us("to") if entry.has("to") else INT64_MAX,
        basis=entry.text("basis"),
        parts=None if plain else parts,
    )
    if price.from_us >= price.to_us:
        entry.refuse("to 应晚于 from", "to must be later than from")
    return price


def _parts_of(entry: Entry) -> PriceParts:
    """Tiers, discount and classes of an entry."""
    tiers = [Tier(0, _micro_yuan(entry, entry.text("yuan_per_gpu_hour")))]
    for one in entry.tables("tiers", {"from_gpus": int, "yuan_per_gpu_hour": str}):
        tier = Tier(one["from_gpus"] * 1000, _micro_yuan(entry, one["yuan_per_gpu_hour"]))
        if tier.from_milli <= tiers[-1].from_milli:
            entry.refuse("tiers 的 from_gpus 应为正且递增", "from_gpus of tiers are positive and ascend")
        tiers.append(tier)
    percent = entry.positive("discount_percent") if entry.has("discount_percent") else 0
    if percent and not entry.text("discount_basis"):
        entry.refuse("折扣须写明依据", "a discount says on what it is based")
    if percent >= PERCENT or any(tier.micro_yuan * percent % PERCENT for tier in tiers):
        entry.refuse(
            "discount_percent 应为 1 至 99，折后价须是百万分之一元的整数",
            "discount_percent is 1 to 99, and what it leaves of every price a whole millionth of a yuan",
        )
    return PriceParts(tuple(tiers), percent, *_classes_of(entry, tiers[0].micro_yuan))


def _classes_of(entry: Entry, list_micro_yuan: int) -> tuple[tuple[tuple[str, int], ...], tuple[str, ...]]:
    """Cost classes of an entry, and those of them that no voucher pays."""
    self_pay = entry.texts("self_pay") if entry.has("self_pay") else ()
    if not entry.has("classes"):
        if self_pay:
            entry.refuse("有 self_pay 须先有 classes", "self_pay names classes: give them")
        return (), ()
    [given] = entry.tables("classes", dict.fromkeys(CLASSES, str), some=True)
    classes = tuple((name, _micro_yuan(entry, text)) for name, text in given.items())
    if sum(micro for _, micro in classes) != list_micro_yuan:
        entry.refuse("classes 之和应等于 yuan_per_gpu_hour", "classes add up to yuan_per_gpu_hour")
    if not set(self_pay) <= given.keys() or len(set(self_pay)) != len(self_pay):
        entry.refuse("self_pay 应为 classes 中的项，各一次", "self_pay names classes of this price, each once")
    return classes, self_pay


def _micro_yuan(entry: Entry, text: str) -> int:
    try:
        return parse_units(text, CNY)
    except LedgerError as error:
        entry.refuse(error.zh, error.en)
