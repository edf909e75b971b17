"""What a price is made of: tiers by the size of a run, a discount, cost classes, and classes that no voucher pays.

All of it depends on the record alone, never on what else was used before: the price of a record is the same whenever its
report comes, and taking the record back leaves every other as it is (docs/decisions/0028).
"""

from __future__ import annotations

from typing import NamedTuple

COMPUTE_CLASS = "compute"
"""The class of a price that names none."""
CLASSES = ("compute", "storage", "network", "energy", "software", "service", "other")
"""What a price may be itemised by."""
PERCENT = 100


class Tier(NamedTuple):
    """List price of an hour of one card, in millionths of a yuan, for a record of so many thousandths of cards or more."""

    from_milli: int
    micro_yuan: int


class PriceParts(NamedTuple):
    """How a price is made.

    `tiers` ascend; the first begins at 0. `classes` share the list price of the first tier, in millionths of a yuan; at another
    price they share it in the same proportion. `self_pay` names classes that the user pays himself, whatever vouchers he has.
    """

    tiers: tuple[Tier, ...]
    discount_percent: int = 0
    classes: tuple[tuple[str, int], ...] = ()
    self_pay: tuple[str, ...] = ()

    def list_price(self, count_milli: int) -> int:
        """Before the discount, in millionths of a yuan per GPU-hour."""
        return next(tier.micro_yuan for tier in reversed(self.tiers) if tier.from_milli <= count_milli)

    def net_price(self, count_milli: int) -> int:
        """What is charged; every tier's discount comes to a whole millionth (checked when the list is read)."""
        return self.list_price(count_milli) * (PERCENT - self.discount_percent) // PERCENT

    def own_price(self, count_milli: int) -> int:
        """The part of what is charged that no voucher pays, rounded down."""
        own = sum(micro for name, micro in self.classes if name in self.self_pay)
        return self.net_price(count_milli) * own // self.tiers[0].micro_yuan if own else 0

    def chosen(self, *, own: bool) -> dict[str, int]:
        """The classes that no voucher pays (`own`), or the others, with their shares of the list price."""
        return {name: micro for name, micro in self.classes if (name in self.self_pay) is own}
