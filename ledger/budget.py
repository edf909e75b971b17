"""Caps of a tree of budgets: city / programme / year / clause / centre / holder, each a pair of accounts.

A node's `open` account (floor 0) holds what its cap still allows, its `used` account what was spent; the authority, which
has no bound, grants caps. The legs of `spend_legs` ride in the same entry as the money, as a POST or as lines of a HOLD: so no
cap is exceeded in any prefix of the log, open holds counted, and a reversal or release gives every level back. Money is spent
at the leaves of the tree alone, which makes `used` of a node the sum over its children.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from ledger.amount import CNY, Asset
from ledger.entry import UNLIMITED, Leg, Limits, credit, debit
from ledger.errors import Finding, LedgerError
from ledger.state import Account

ROOT = "budget"
"""How the names of all these accounts begin."""
_FLOOR = Limits(0)
Accounts = Mapping[str, Account]
"""Accounts by name, as `Transaction.open` gives them."""


def authority(asset: Asset = CNY) -> str:
    """Name of the account that grants caps: its debits are all that was ever granted."""
    return _named("authority", asset)


def open_name(path: Sequence[str], asset: Asset = CNY) -> str:
    """Name of the account of what a node's cap still allows."""
    return _named(f"{_joined(path)}/open", asset)


def used_name(path: Sequence[str], asset: Asset = CNY) -> str:
    """Name of the account of what was spent under a node."""
    return _named(f"{_joined(path)}/used", asset)


def _joined(path: Sequence[str]) -> str:
    if not path or not all(path) or any("/" in part or "@" in part for part in path):
        raise LedgerError(
            "budget-path",
            "预算路径的每一级须有名称，且不含“/”和“@”",
            "each level of a budget's path needs a name without '/' and '@'",
        )
    return "/".join(path)


def _named(stem: str, asset: Asset) -> str:
    return f"{ROOT}/{stem}" if asset == CNY else f"{ROOT}/{stem}@{asset.code}"


def _nodes(path: Sequence[str]) -> list[Sequence[str]]:
    _joined(path)  # a path without levels would cap nothing
    return [path[: depth + 1] for depth in range(len(path))]


def openings(path: Sequence[str], asset: Asset = CNY) -> list[tuple[str, Asset, Limits]]:
    """The accounts that a path needs, for `Transaction.open`: those that exist stay as they are.

    Raises:
        LedgerError: `budget-path`.

    """
    names = [name for node in _nodes(path) for name in (open_name(node, asset), used_name(node, asset))]
    return [(authority(asset), asset, UNLIMITED), *((name, asset, _FLOOR) for name in names)]


def grant_legs(accounts: Accounts, path: Sequence[str], amount: int, asset: Asset = CNY) -> tuple[Leg, Leg]:
    """Raise the cap of one node by units of its asset, or lower it by a negative number.

    A cap cannot be lowered below what is used and held: the entry is then refused as `insufficient`.
    """
    granter, node = accounts[authority(asset)].number, accounts[open_name(path, asset)].number
    return (
        (debit(granter, amount), credit(node, amount))
        if amount > 0
        else (debit(node, -amount), credit(granter, -amount))
    )


def spend_legs(accounts: Accounts, path: Sequence[str], amount: int, asset: Asset = CNY) -> tuple[Leg, ...]:
    """Legs that use an amount of every cap along a path, the city first: a debit and a credit each, as a HOLD wants its lines."""
    return tuple(
        leg
        for node in _nodes(path)
        for leg in (
            debit(accounts[open_name(node, asset)].number, amount),
            credit(accounts[used_name(node, asset)].number, amount),
        )
    )


def cap(accounts: Accounts, path: Sequence[str], asset: Asset = CNY) -> int:
    """Units granted to a node: used, held and still open."""
    return accounts[open_name(path, asset)].balance + accounts[used_name(path, asset)].balance


def change_of_cap(granted: int, open_units: int, asked: int, ceiling: int) -> int:
    """Units by which a leaf's cap is to change so that `asked` may be spent, if its `ceiling` lets it.

    Leaves are granted what is asked of them and no more: whole caps of many thousand holders would add up to more than the
    one account that grants them can count (9,200 caps of 10^9 yuan are 2^63 millionths). A ceiling that came down takes
    back what is beyond it.
    """
    room = ceiling - granted
    return room if room <= 0 else min(room, max(0, asked - open_units))


def budget_faults(accounts: Iterable[Account]) -> list[Finding]:
    """Where a tree of budgets does not add up, given every account under `budget/`.

    Codes: `budget-exceeded` (less than nothing is open), `budget-sum` (used or held is not the sum over the children),
    `budget-grants` (what was granted is not what the nodes have).
    """
    faults: list[Finding] = []
    granted: defaultdict[int, int] = defaultdict(int)
    totals: dict[tuple[str, str], tuple[int, int]] = {}
    children: dict[tuple[str, str], tuple[int, int]] = {}
    for account in accounts:
        granted[account.asset] += account.balance
        stem, _, code = account.name.removeprefix(f"{ROOT}/").partition("@")
        node, _, what = stem.rpartition("/")
        if not node:
            continue
        if account.available < 0:
            faults.append(_fault("budget-exceeded", account.name))
        spent, held = (account.balance, account.credits_held) if what == "used" else (0, account.debits_held)
        parent = node.rpartition("/")[0]
        totals[f"{node}/{what}", code] = spent, held
        if parent:
            before = children.get((f"{parent}/{what}", code), (0, 0))
            children[f"{parent}/{what}", code] = before[0] + spent, before[1] + held
    faults += [
        _fault("budget-sum", ROOT + "/" + "@".join(filter(None, key)))
        for key, total in children.items()
        if totals.get(key) != total
    ]
    return faults + [_fault("budget-grants", f"asset {asset}") for asset, total in granted.items() if total]


_FAULTS = {
    "budget-exceeded": ("预算超出上限", "a cap is exceeded"),
    "budget-sum": ("预算与下级之和不符", "a budget is not the sum of its children"),
    "budget-grants": ("预算授予与各级之和不符", "what was granted is not what the budgets have"),
}


def _fault(code: str, where: str) -> Finding:
    return Finding(code, *_FAULTS[code], where)
