"""Budgets as a tree of accounts: caps hold at every level, whatever is spent, held, given back or granted."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.amount import CNY, COMPUTE
from ledger.apply import apply
from ledger.budget import authority, budget_faults, cap, grant_legs, open_name, openings, spend_legs, used_name
from ledger.entry import EntryKind, Layer, Opening, credit, debit
from ledger.errors import LedgerError
from ledger.refusal import Refusal
from ledger.state import Original, State
from tests.ledger.notation import digest, event

CITY = ("city",)
LEAVES = [
    ("city", "vouchers", "2026", "3", "centre a", "holder 1"),
    ("city", "vouchers", "2026", "3", "centre a", "holder 2"),
    ("city", "vouchers", "2026", "3", "centre b", "holder 1"),
    ("city", "vouchers", "2027", "3", "centre b", "holder 1"),
]
NODES = sorted({path[:depth] for path in LEAVES for depth in range(1, 7)})


class Budgets:
    """A pure ledger with a tree of budgets, a fund and a centre."""

    def __init__(self, cap_units: int) -> None:
        self.state = State()
        self.asked = 0
        wanted = {name: (asset, limits) for path in LEAVES for name, asset, limits in openings(path)}
        for name, (asset, limits) in wanted.items():
            self.open(name, asset, limits)
        self.open("fund", CNY)
        self.open("centre", CNY)
        for path in NODES:
            self.do(EntryKind.POST, grant_legs(self.accounts, path, cap_units))

    def open(self, name, asset, *limits):
        opening = Opening(name, digest(name)[:16], asset, *limits)
        assert not isinstance(apply(self.state, event(name, EntryKind.OPEN, opening=opening), 1), Refusal)

    @property
    def accounts(self):
        return {account.name: account for account in self.state.accounts.values()}

    def money(self, amount):
        return debit(self.accounts["fund"].number, amount), credit(self.accounts["centre"].number, amount)

    def do(self, kind, legs=(), **fields):
        self.asked += 1
        return apply(self.state, event(str(self.asked), kind, tuple(legs), **fields), self.asked)

    def spend(self, kind, path, amount, **fields):
        return self.do(kind, (*self.money(amount), *spend_legs(self.accounts, path, amount)), **fields)

    def used(self, path) -> tuple[int, int]:
        """What is used of a node, and with what is held."""
        used, open_ = self.accounts[used_name(path)], self.accounts[open_name(path)]
        return used.balance, used.balance + open_.debits_held


def test_a_spending_that_one_level_cannot_bear_is_refused_at_all():
    """The tightest cap decides, and nothing of the spending is recorded at any level."""
    budgets = Budgets(100)
    budgets.do(EntryKind.POST, grant_legs(budgets.accounts, LEAVES[0], -90))
    assert cap(budgets.accounts, LEAVES[0]) == 10
    assert budgets.spend(EntryKind.POST, LEAVES[0], 11) is Refusal.INSUFFICIENT
    assert budgets.used(CITY) == (0, 0)
    assert not isinstance(budgets.spend(EntryKind.POST, LEAVES[0], 10), Refusal)
    assert [budgets.used(LEAVES[0][:depth])[0] for depth in range(1, 7)] == [10] * 6


def test_a_cap_is_not_lowered_below_what_is_held():
    """Open holds count: only what is neither used nor reserved can be taken from a cap."""
    budgets = Budgets(100)
    hold = budgets.spend(EntryKind.HOLD, LEAVES[0], 60)
    assert budgets.do(EntryKind.POST, grant_legs(budgets.accounts, CITY, -41)) is Refusal.INSUFFICIENT
    assert budgets.spend(EntryKind.POST, LEAVES[3], 41) is Refusal.INSUFFICIENT
    budgets.do(EntryKind.RELEASE, ref_seq=hold.seq)
    assert not isinstance(budgets.do(EntryKind.POST, grant_legs(budgets.accounts, CITY, -100)), Refusal)
    assert cap(budgets.accounts, CITY) == 0


@given(st.integers(0, 2**32))
def test_every_prefix_keeps_every_cap_and_every_sum(number):
    """Spend, hold, capture, release, reverse and grant at random: used and held stay within the cap, sums over children fit."""
    random = Random(number)
    budgets, holds, posted = Budgets(50), {}, []
    for _ in range(30):
        path, amount, what = random.choice(LEAVES), random.randint(1, 30), random.randrange(6)
        outcome = None
        if what == 0:
            outcome = budgets.spend(EntryKind.POST, path, amount)
            posted += [] if isinstance(outcome, Refusal) else [outcome]
        elif what == 1:
            outcome = budgets.spend(EntryKind.HOLD, path, amount)
            holds |= {} if isinstance(outcome, Refusal) else {outcome.seq: path}
        elif what == 2 and holds:
            seq = random.choice(list(holds))
            lines = budgets.state.holds[seq].lines
            taken = [debit(line.debit, min(amount, line.amount)) for line in lines]
            budgets.do(EntryKind.CAPTURE, taken, ref_seq=seq, final=random.random() < 0.5)
        elif what == 3 and holds:
            budgets.do(EntryKind.RELEASE, ref_seq=random.choice(list(holds)))
        elif what == 4 and posted:
            entry = posted.pop(random.randrange(len(posted)))
            moved = {(leg.account, leg.side): leg.amount for leg in entry.legs if leg.layer == Layer.POSTED}
            budgets.state.originals[entry.seq] = Original(moved)
            assert not isinstance(budgets.do(EntryKind.REVERSE, ref_seq=entry.seq), Refusal)
        else:
            path = random.choice(NODES)
            budgets.do(EntryKind.POST, grant_legs(budgets.accounts, path, random.choice([-1, 1]) * amount))
        tree = [account for name, account in budgets.accounts.items() if name.startswith("budget/")]
        assert budget_faults(tree) == []
        for node in NODES:
            used, with_held = budgets.used(node)
            assert 0 <= used <= with_held <= cap(budgets.accounts, node)


def test_a_tree_that_does_not_add_up_is_named():
    """Spending that skips a level, a cap from nowhere and an overdrawn node are each found, with the place."""
    budgets = Budgets(100)
    leaf = budgets.accounts[open_name(LEAVES[0])].number, budgets.accounts[used_name(LEAVES[0])].number
    budgets.do(EntryKind.POST, (debit(leaf[0], 5), credit(leaf[1], 5)))
    tree = {name: account for name, account in budgets.accounts.items() if name.startswith("budget/")}
    [fault] = budget_faults(tree.values())
    assert (fault.code, fault.where) == ("budget-sum", "budget/city/vouchers/2026/3/centre a/used")
    budgets.do(EntryKind.POST, (debit(budgets.accounts["fund"].number, 5), credit(leaf[0], 5)))
    assert [fault.code for fault in budget_faults(tree.values())] == ["budget-sum", "budget-grants"]
    tree[open_name(CITY)].debits_posted += 1000
    assert "budget-exceeded" in [fault.code for fault in budget_faults(tree.values())]


def test_each_asset_has_a_tree_of_its_own():
    """Compute is capped beside yuan: other accounts, another authority."""
    names = {asset: {name for name, _, _ in openings(CITY, asset)} for asset in (CNY, COMPUTE)}
    assert names[CNY] == {"budget/authority", "budget/city/open", "budget/city/used"}
    assert names[COMPUTE] == {f"{name}@PFLOPS.h" for name in names[CNY]}
    assert authority(COMPUTE) == "budget/authority@PFLOPS.h"


@pytest.mark.parametrize("path", [(), ("",), ("city", "a/b"), ("a@b",)])
def test_a_path_whose_names_could_be_mistaken_is_refused(path):
    """A name with a separator could stand for another node."""
    with pytest.raises(LedgerError) as refused:
        openings(path)
    assert refused.value.code == "budget-path"
