"""Parts of a card: what a MIG instance or a share of a card is in thousandths of the whole.

A MIG profile names its compute slices: `3g.40gb` is three of the seven of its card; an A30 has four, and is known by its
profiles. Parts are rounded down: seven slices of one card are never more than that card.
"""

from __future__ import annotations

import re

from metering.sources.faults import RowFault

WHOLE_MILLI = 1000
SLICES = 7
SLICES_OF_A30 = 4
A30_PROFILES = frozenset({"1g.6gb", "2g.12gb", "4g.24gb"})
"""MIG profiles of the A30 (24 GB); no other card has one of these, `1g.12gb` and `1g.24gb` being a GH200's."""

_PROFILE = re.compile(r"([1-7])g\.([0-9]{1,3}gb)(?:[+.]me(?:\.all)?)?")


def mig_milli(profile: str) -> int:
    """Thousandths of a card of one MIG instance such as `1g.10gb` or `1g.5gb+me`.

    Raises:
        RowFault: not a MIG profile.

    """
    match = _PROFILE.fullmatch(profile)
    if match is None:
        raise RowFault("bad-mig", profile)
    slices = int(match.group(1))
    whole = SLICES_OF_A30 if f"{slices}g.{match.group(2)}" in A30_PROFILES else SLICES
    return WHOLE_MILLI * slices // whole
