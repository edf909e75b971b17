"""The caps that vouchers are issued under, as budgets in the ledger: programme / year / holder.

A scheme fixes what it may give in a year, and what to one holder in a year; the programme has what its years have. `ledger.budget`
keeps them in every prefix of the log. A level that a scheme comes to fix (a clause, a centre) is one more name in the path.
"""

from __future__ import annotations

from typing import NamedTuple

from ledger.amount import Asset
from ledger.budget import Accounts, cap, grant_legs, openings, spend_legs, used_name
from ledger.entry import Leg
from ledger.transaction import Transaction
from voucher.scheme import Terms


class Caps(NamedTuple):
    """Open caps along a path; `changes` are the legs that bring them to what the scheme says."""

    path: tuple[str, str, str]
    asset: Asset
    accounts: Accounts
    changes: tuple[Leg, ...]

    def spend(self, units: int) -> tuple[Leg, ...]:
        """Legs that take units from every cap."""
        return spend_legs(self.accounts, self.path, units, self.asset)


async def open_caps(tx: Transaction, path: tuple[str, str, str], terms: Terms, issued_units: int) -> Caps:
    """The caps of programme, year and holder, opened where they are not, and what makes them follow the scheme.

    `issued_units` is what the holder was given this year: a ledger may have issued it before it knew of caps.
    """
    asset = terms.asset
    known = await tx.accounts([used_name(path, asset)])
    accounts = await tx.open(openings(path, asset))
    year = terms.budget_year_units - cap(accounts, path[:2], asset)
    holder = terms.cap_holder_year_units - cap(accounts, path, asset)
    grants = ((path[:1], year), (path[:2], year), (path, holder))
    legs = [leg for node, units in grants if units for leg in grant_legs(accounts, node, units, asset)]
    if issued_units and not known:
        legs += spend_legs(accounts, path, issued_units, asset)
    return Caps(path, asset, accounts, tuple(legs))
