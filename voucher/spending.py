"""Holds as centres know them: how long one lives, and how a capture is spread over the parts of a hold that was raised."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ledger.errors import Kind
from voucher.errors import VoucherError

HOLD_TYPE = "compute-hold+jwt"
LIFE_S = 86_400
"""How long a hold lives unless its centre asks otherwise."""
LIFE_S_MIN, LIFE_S_MAX = 60, 7 * 86_400
"""A job that runs longer raises its hold, which lives anew."""


class Open(NamedTuple):
    """A part of a hold and what it has left."""

    seq: int
    units: int


class Taken(NamedTuple):
    """What a capture takes of a part; `final` gives the rest of that part back. Zero units: it is released."""

    seq: int
    units: int
    final: bool


def expiry_us(now_us: int, life_s: int, until_us: int, *, runs_on: bool) -> int:
    """When a hold ends: after its life, and at the voucher's end where the scheme does not let jobs run on."""
    ends_us = now_us + life_s * 1_000_000
    return ends_us if runs_on else min(ends_us, until_us)


def spread(parts: Sequence[Open], units: int, *, final: bool) -> list[Taken]:
    """What to take of each part, the oldest first: it expires first.

    Raises:
        VoucherError: `hold-exceeded`.

    """
    left = sum(part.units for part in parts)
    if units > left:
        raise VoucherError("hold-exceeded", "超出这笔冻结所余", "more than the hold has left", kind=Kind.INSUFFICIENT)
    taken = []
    for part in parts:
        amount = min(part.units, units)
        units -= amount
        if amount or final:
            taken.append(Taken(part.seq, amount, final or amount == part.units))
    return taken


def require_open(parts: Iterable[Open]) -> list[Open]:
    """Parts that have something left.

    Raises:
        VoucherError: `hold-closed`.

    """
    found = [part for part in parts if part.units]
    if not found:
        raise VoucherError("hold-closed", "冻结已结束", "the hold is closed", kind=Kind.CONFLICT)
    return found
