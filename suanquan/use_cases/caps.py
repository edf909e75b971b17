"""The caps that vouchers are issued under, as budgets in the ledger: programme / year / holder.

A scheme fixes what it may give in a year, and what to one holder in a year; the programme has what its years have. `ledger.budget`
keeps them in every prefix of the log. A level that a scheme comes to fix (a clause, a centre) is one more name in the path.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ledger.amount import Asset
from ledger.budget import Accounts, cap, grant_legs, open_name, openings, spend_legs, used_name
from ledger.entry import Leg, credit, debit
from ledger.transaction import Transaction
from voucher import store
from voucher.issuance import YearToDate
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


async def year_to_date(tx: Transaction, path: tuple[str, str, str], asset: Asset) -> YearToDate:
    """What the caps of a year and of a holder were used for; for one that a ledger does not have yet, what documents say."""
    names = used_name(path[:2], asset), used_name(path, asset)
    found = await tx.accounts(names)
    scheme, year, holder = path[0], int(path[1]), path[2]
    used = []
    for name, who in zip(names, (None, holder), strict=True):
        if name in found:
            used.append(found[name].balance)
        elif who is not None and names[0] not in found and not used[0]:
            used.append(0)  # nothing was issued this year
        else:
            used.append(await store.issued_in_year(tx.connection, scheme, asset.number, year, who))
    return YearToDate(*used)


async def open_for_holders(tx: Transaction, scheme: str, year: int, holders: Iterable[str], asset: Asset) -> None:
    """Open the caps of new holders together; one who was given vouchers before a ledger knew of caps is left for later."""
    names = {holder: used_name((scheme, str(year), holder), asset) for holder in holders}
    known = await tx.accounts([used_name((scheme, str(year)), asset), *names.values()])
    new = [holder for holder, name in names.items() if name not in known]
    if used_name((scheme, str(year)), asset) not in known:
        return
    older = await store.holders_in_year(tx.connection, scheme, asset.number, year, new)
    wanted = [one for holder in new if holder not in older for one in openings((scheme, str(year), holder), asset)[-2:]]
    await tx.open(wanted, fresh=True)


async def give_back(tx: Transaction, path: tuple[str, str, str], units: int, asset: Asset) -> tuple[Leg, ...]:
    """Legs that give units back to every cap along a path; none where the ledger did not know caps when it issued."""
    accounts = await tx.accounts(name for name, _, _ in openings(path, asset))
    if any(name not in accounts or accounts[name].balance < units for name in _used(path, asset)):
        return ()
    return tuple(leg._replace(side=1 - leg.side) for leg in spend_legs(accounts, path, units, asset))


def _used(path: tuple[str, str, str], asset: Asset) -> list[str]:
    return [used_name(path[:depth], asset) for depth in range(1, len(path) + 1)]


async def open_caps(
    tx: Transaction, path: tuple[str, str, str], terms: Terms, issued_units: int = 0, units: int = 0
) -> Caps:
    """The caps of programme, year and holder, opened where they are not, and what makes them follow the scheme.

    `issued_units` is what the holder was given this year: a ledger may have issued it before it knew of caps. `units` are about
    to be given: where the scheme over-issues, the programme's cap makes room for them.
    """
    asset = terms.asset
    known = await tx.accounts([used_name(path, asset)])
    accounts = await tx.open(openings(path, asset))
    holder = terms.cap_holder_year_units - cap(accounts, path, asset)
    grants = (*_programme_grants(accounts, path, terms, units), (path, holder))
    legs = [leg for node, more in grants if more for leg in grant_legs(accounts, node, more, asset)]
    if issued_units and not known:
        legs += spend_legs(accounts, path, issued_units, asset)
    return Caps(path, asset, accounts, tuple(legs))


def _programme_grants(
    accounts: Accounts, path: tuple[str, str, str], terms: Terms, units: int
) -> tuple[tuple[tuple[str, ...], int], ...]:
    budget = terms.budget_year_units
    if terms.over_issue:
        budget = max(budget, accounts[used_name(path[:2], terms.asset)].balance + units)
    year = budget - cap(accounts, path[:2], terms.asset)
    return (path[:1], year), (path[:2], year)


async def open_reserve(tx: Transaction, path: tuple[str, str, str], terms: Terms, units: int) -> Caps:
    """Caps for setting units aside (for a round, for a centre): the leaf is raised by as much as it lacks, and no holder is named."""
    asset = terms.asset
    accounts = await tx.open(openings(path, asset))
    lacks = max(units - accounts[open_name(path, asset)].available, 0)
    grants = (*_programme_grants(accounts, path, terms, units), (path, lacks))
    return Caps(
        path,
        asset,
        accounts,
        tuple(leg for node, more in grants if more for leg in grant_legs(accounts, node, more, asset)),
    )


async def hand_over(
    tx: Transaction, reserved: tuple[str, str, str], path: tuple[str, str, str], terms: Terms, units: int
) -> tuple[tuple[Leg, ...], tuple[Leg, ...]]:
    """Legs by which units that were set aside under one leaf count for a holder of the same programme and year instead.

    The first are those that make the caps follow the scheme, as an entry before.
    """
    asset = terms.asset
    caps = await open_caps(tx, path, terms)
    leaf = await tx.accounts([open_name(reserved, asset), used_name(reserved, asset)])
    moved = (*_at_leaf(leaf, reserved, -units, asset), *_at_leaf(caps.accounts, path, units, asset))
    return caps.changes, moved


async def hand_back(
    tx: Transaction, path: tuple[str, str, str], reserved: tuple[str, str, str], units: int, asset: Asset
) -> tuple[Leg, ...]:
    """Legs that undo `hand_over`."""
    names = [name(node, asset) for node in (path, reserved) for name in (open_name, used_name)]
    accounts = await tx.accounts(names)
    return (*_at_leaf(accounts, path, -units, asset), *_at_leaf(accounts, reserved, units, asset))


def _at_leaf(accounts: Accounts, path: tuple[str, str, str], units: int, asset: Asset) -> tuple[Leg, Leg]:
    """Use units of a leaf's cap, or give them back by a negative number; the levels above stay as they are."""
    free, used = accounts[open_name(path, asset)].number, accounts[used_name(path, asset)].number
    return (debit(free, units), credit(used, units)) if units > 0 else (debit(used, -units), credit(free, -units))
