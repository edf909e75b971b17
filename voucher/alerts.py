"""Alerts on vouchers: a share of it was used, or its end is near. Each threshold is told once in a voucher's life."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

DAY_US = 86_400_000_000
USED, EXPIRY = "used", "expiry"


class Standing(NamedTuple):
    """What alerts go by: `amount` is what a voucher was for (less what was split off or given back), `available` what is free."""

    voucher: str
    scheme: str
    holder: str
    asset: int
    amount: int
    available: int
    until_us: int


class Alert(NamedTuple):
    """A threshold that was crossed: per cent used, or days before the end."""

    kind: str
    threshold: int
    standing: Standing


def due(standing: Standing, now_us: int, used_percent: Sequence[int], expiry_days: Sequence[int]) -> Iterator[Alert]:
    """Every threshold that a voucher has crossed. One whose time is over gives none, nor does the end of an empty one."""
    if now_us >= standing.until_us or standing.amount <= 0:
        return
    used = standing.amount - standing.available
    for percent in used_percent:
        if used * 100 >= standing.amount * percent:
            yield Alert(USED, percent, standing)
    if standing.available > 0:
        for days in expiry_days:
            if standing.until_us - now_us <= days * DAY_US:
                yield Alert(EXPIRY, days, standing)
