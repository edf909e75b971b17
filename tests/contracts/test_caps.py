"""Vouchers are issued under the caps of their programme, year and holder, which hold in every prefix of the log."""

import asyncio
from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from ledger.amount import CNY, INT64_MAX
from ledger.apply import apply
from ledger.budget import budget_faults, cap, change_of_cap, open_name, used_name
from ledger.entry import EntryKind, credit, debit
from ledger.refusal import Refusal
from ledger.scope import EVERYTHING
from ledger.state import Original, State
from suanquan.use_cases.books import Order as ByOfficer
from suanquan.use_cases.books import reverse_event
from suanquan.use_cases.issue import Order, issue
from tests.conftest import ALL
from tests.contracts.test_same_log import Rebuilt
from tests.ledger.desk import Desk, audit, codes, gathered, new_ledger
from tests.ledger.full_ledger import CATALOG, KEYS, NOW_S
from tests.ledger.notation import post
from tests.voucher.samples import PRIVATE
from voucher.holder import sandbox_uscc
from voucher.issuance import IssueRequest
from voucher.scheme import Terms
from voucher.store import list_vouchers

YUAN = 10**CNY.scale
SCHEME = "cn-sh-songjiang-sandbox"
YEAR_S = 366 * 86_400
HOLDERS = [sandbox_uscc(number) for number in range(1, 4)]
BY = ByOfficer("李四", "沪发改〔2026〕9号")


def scheme_of(year, holder):
    """The sandbox's scheme with these caps in yuan."""
    terms = Terms(CNY, year * YUAN, holder * YUAN, YUAN, min(holder, 50) * YUAN)
    return replace(CATALOG.schemes[SCHEME], terms=(terms,))


@pytest.fixture
async def desk(new_database):
    async with Desk(new_database(new_ledger)) as desk:
        desk.now_ns = NOW_S * 10**9
        yield desk


def ask(desk, key, holder, yuan, scheme):
    return issue(desk.journal, Order(IssueRequest(holder, "CNY", str(yuan)), scheme, key), KEYS, PRIVATE.sign)


async def accounts_of(desk, path):
    names = [name for depth in range(1, len(path) + 1) for name in (open_name(path[:depth]), used_name(path[:depth]))]
    return await desk.journal.transact(lambda tx: tx.accounts(names))


async def test_a_voucher_takes_of_every_cap(desk):
    """Programme and year have what the scheme says, a holder what he was given; each uses what was issued; a reversal gives it back."""
    scheme = scheme_of(100, 60)
    issued = [await ask(desk, key, holder, 30, scheme) for key, holder in (("a", HOLDERS[0]), ("b", HOLDERS[1]))]
    path = (SCHEME, "2026", HOLDERS[0])
    for depth, capped, used in ((1, 100, 60), (2, 100, 60), (3, 30, 30)):
        accounts = await accounts_of(desk, path[:depth])
        assert cap(accounts, path[:depth]) == capped * YUAN
        assert accounts[used_name(path[:depth])].balance == used * YUAN
    await reverse_event(desk.journal, BY, issued[0].event_id.hex(), "10")
    await reverse_event(desk.journal, BY, issued[1].event_id.hex())
    used = [(await accounts_of(desk, path))[used_name(path[:depth])].balance for depth in (1, 2, 3)]
    assert used == [20 * YUAN] * 3


async def test_the_ledger_itself_refuses_what_exceeds_a_cap(desk):
    """Whoever posts past the rules of issuing, even at the same moment, cannot use more than a cap has."""
    voucher = await ask(desk, "a", HOLDERS[0], 30, scheme_of(100, 60))
    await reverse_event(desk.journal, BY, voucher.event_id.hex())
    path = (SCHEME, "2026", HOLDERS[0])
    found = await accounts_of(desk, path)
    legs = [
        leg
        for depth in (1, 2, 3)
        for leg in (
            debit(found[open_name(path[:depth])].number, 7 * YUAN),
            credit(found[used_name(path[:depth])].number, 7 * YUAN),
        )
    ]
    outcomes = await gathered(*(desk.submit(post(f"past {at}", *legs)) for at in range(10)))
    assert Counter(codes(outcomes)) == {"": 4, "insufficient": 6}


async def test_caps_follow_the_scheme(desk):
    """A raised budget can be given out in the same year, a lowered one binds at once, and what is used is never taken away."""
    scheme, path = scheme_of(100, 60), (SCHEME, "2026", HOLDERS[0])
    await ask(desk, "a", HOLDERS[0], 50, scheme)
    assert codes(await gathered(ask(desk, "b", HOLDERS[0], 20, scheme))) == ["issue-refused"]
    await ask(desk, "c", HOLDERS[0], 50, scheme_of(200, 150))
    await ask(desk, "d", HOLDERS[0], 10, scheme_of(120, 115))
    accounts = await accounts_of(desk, path)
    assert [cap(accounts, path[:depth]) // YUAN for depth in (1, 2, 3)] == [120, 120, 110]
    assert codes(await gathered(ask(desk, "e", HOLDERS[0], 1, scheme_of(60, 60)))) == ["issue-refused"]
    await ask(desk, "f", HOLDERS[1], 10, scheme_of(120, 115))
    report = await audit(desk.path)
    assert report["ok"], report


async def test_what_was_given_back_is_given_again_before_more_is_granted(desk):
    """A holder's cap grows by what is asked beyond what he has open, and never over the scheme's."""
    scheme, path = scheme_of(200, 60), (SCHEME, "2026", HOLDERS[0])
    first = await ask(desk, "a", HOLDERS[0], 30, scheme)
    await reverse_event(desk.journal, BY, first.event_id.hex(), "20")
    for key, yuan, granted in (("b", 15, 30), ("c", 25, 50)):
        await ask(desk, key, HOLDERS[0], yuan, scheme)
        assert cap(await accounts_of(desk, path), path) == granted * YUAN
    assert (await accounts_of(desk, path))[open_name(path)].balance == 0


def test_a_hundred_thousand_holders_fit_into_one_account():
    """Each asks for 3,000 yuan under a cap of 10^9: what is granted stays far below what 64 bits count; whole caps would not."""
    holders, ceiling, asked = 100_000, 10**9 * YUAN, 3_000 * YUAN
    assert holders * ceiling > INT64_MAX
    total = 0
    for _ in range(holders):
        granted = change_of_cap(0, 0, asked, ceiling)
        assert change_of_cap(granted, 0, asked, granted) == 0, "a cap that is used up grants nothing"
        total += granted
    assert total == holders * asked < INT64_MAX // 10_000


@pytest.mark.parametrize(
    ("granted", "left", "asked", "ceiling", "change"),
    [
        (0, 0, 5, 9, 5),
        (5, 0, 5, 9, 4),
        (9, 0, 1, 9, 0),
        (5, 3, 5, 9, 2),
        (5, 5, 5, 9, 0),
        (9, 4, 1, 6, -3),
        (9, 0, 5, 8, -1),
    ],
)
def test_a_cap_changes_by_what_is_missing(granted, left, asked, ceiling, change):
    """Never beyond the ceiling, never more than is asked; above the ceiling it comes down, and the ledger refuses what is used."""
    assert change_of_cap(granted, left, asked, ceiling) == change


async def test_pages_of_vouchers_hold_every_voucher_once(desk):
    """From any voucher on and of any length, in the order of their ids, which is that of their issue."""
    issued = [(await ask(desk, str(at), HOLDERS[at % 3], 1, scheme_of(100, 60))).jti for at in range(12)]
    async with desk.database.read() as connection:
        for after in ("", *issued):
            for limit in (1, 5, 100):
                found = [one.jti for one in await list_vouchers(connection, EVERYTHING, after=after, limit=limit)]
                assert found == [jti for jti in sorted(issued) if jti > after][:limit]


async def test_a_cap_that_is_not_the_sum_of_its_children_is_found(desk):
    """Somebody who may post uses of one level alone: each entry is in order, and verification names the node."""
    await ask(desk, "a", HOLDERS[0], 30, scheme_of(100, 60))
    assert (await audit(desk.path))["ok"]
    found = await accounts_of(desk, (SCHEME, "2026"))
    node = (SCHEME, "2026")
    legs = debit(found[open_name(node)].number, YUAN), credit(found[used_name(node)].number, YUAN)
    await desk.submit(post("a level alone", *legs))
    report = await audit(desk.path)
    assert not report["ok"]
    assert report["fault"]["invariant"] == "conservation"
    assert report["fault"]["where"].startswith(f"budget/{SCHEME}")


class Folded:
    """The log from its beginning, entry by entry, as the pure state machine sees it."""

    def __init__(self, place):
        self.rebuilt, self.state = Rebuilt(place), State()
        self.key = self.rebuilt.key

    def __iter__(self):
        for entry, event in self.rebuilt:
            if entry.kind == EntryKind.REVERSE and entry.ref_seq not in self.state.originals:
                legs = self.rebuilt.entries[entry.ref_seq].legs
                moved = {(self.rebuilt.numbers[leg.public_id], leg.side): leg.amount for leg in legs}
                self.state.originals[entry.ref_seq] = Original(moved)
            outcome = apply(self.state, event, entry.recorded_ns)
            assert not isinstance(outcome, Refusal), (entry, outcome)
            assert outcome.leaf == entry.leaf
            yield entry, {account.name: account for account in self.state.accounts.values()}


@pytest.mark.parametrize("number", range(20 if ALL else 2))
async def test_caps_hold_in_every_prefix_of_the_log(desk, seed, number):
    """Issue, reverse and change the scheme at random, from two processes at once and over two years: after every entry each
    node is within its cap and is the sum of its children, and vouchers hold exactly what is used."""
    random = Random(f"{seed} {number}")
    scheme, issued = scheme_of(200, 90), []
    async with Desk(desk.path) as other:
        other.journal.entropy = Random(number + 1).randbytes  # no two processes have the same
        for step in range(25):
            desk.now_ns += random.choice([10**9] * 9 + [YEAR_S * 10**9 // 2])
            other.now_ns, what = desk.now_ns, random.random()
            if what < 0.6:
                keys = [f"{step} {at}" for at in range(random.choice([1, 1, 4]))]
                asked = [
                    ask(random.choice([desk, other]), key, random.choice(HOLDERS), random.randint(1, 50), scheme)
                    for key in keys
                ]
                outcomes = await gathered(*asked)
                assert set(codes(outcomes)) <= {"", "issue-refused"}
                issued += [outcome for outcome in outcomes if not isinstance(outcome, Exception)]
            elif what < 0.8 and issued:
                voucher, amount = random.choice(issued), random.choice([None, str(random.randint(1, 9))])
                outcomes = await gathered(reverse_event(desk.journal, BY, voucher.event_id.hex(), amount))
                assert set(codes(outcomes)) <= {"", "reversal-exceeded", "event-failed"}
            else:
                scheme = scheme_of(random.randint(150, 400), random.randint(60, 150))
    assert issued
    await asyncio.to_thread(check_every_prefix, desk.path)
    report = await audit(desk.path)
    assert report["ok"], report


def check_every_prefix(place):
    for entry, accounts in Folded(place):
        tree = [account for name, account in accounts.items() if name.startswith("budget/")]
        assert budget_faults(tree) == [], entry
        used = 0
        for account in tree:
            assert account.available >= 0 or account.name == "budget/authority", (entry, account)
            used += account.balance if account.name.count("/") == 2 and account.name.endswith("/used") else 0
        vouchers = [account for name, account in accounts.items() if name.startswith("voucher/")]
        assert used == sum(account.balance for account in vouchers), entry
