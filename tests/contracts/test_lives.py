"""Whole lives at random on both databases: nothing of a voucher or a programme is lost or made in any prefix of the log."""

import asyncio
import json
from collections import Counter, defaultdict
from random import Random

import pytest

from ledger.amount import CNY
from ledger.entry import EntryKind
from ledger.scope import EVERYTHING
from suanquan.use_cases.admission import spendable
from suanquan.use_cases.books import Order as ByOfficer
from suanquan.use_cases.expiry import close_expired
from suanquan.use_cases.issue import Order, issue, voucher_object
from suanquan.use_cases.spend_acts import Capture, Hold, Release
from suanquan.use_cases.spending import Till
from suanquan.use_cases.split import SplitOrder, split
from suanquan.use_cases.standing import change_standing
from tests.conftest import ALL
from tests.contracts.test_caps import Folded
from tests.contracts.test_holds import ISSUER, asked, give, shown, state
from tests.ledger.desk import Desk, audit, codes, gathered, new_ledger
from tests.ledger.full_ledger import CATALOG, KEYS, NOW_S
from tests.voucher.samples import HOLDER_KEY, PRIVATE
from voucher.holder import sandbox_uscc
from voucher.issuance import IssueRequest
from voucher.store import list_vouchers

YUAN = 10**CNY.scale
SCHEME = CATALOG.schemes["cn-sh-songjiang-sandbox"]
BY = ByOfficer("李四", "沪发改〔2026〕9号")
DAY_NS = 86_400 * 10**9
JWK = dict(HOLDER_KEY.jwk())
MAY_BE_REFUSED = {
    "", "insufficient", "hold-exceeded", "hold-closed", "hold-unknown", "voucher-suspended", "voucher-revoked",
    "voucher-revoked-already", "voucher-expired", "account-frozen", "issue-refused",
}  # fmt: skip


@pytest.fixture
async def desk(new_database):
    async with Desk(new_database(new_ledger)) as desk:
        desk.now_ns = NOW_S * 10**9
        yield desk


def split_order(parent, amount, key):
    return SplitOrder(parent, amount, JWK, key)


async def test_a_split_moves_what_is_available(desk):
    """30 of 100 become a voucher of its own with the parent's terms; repeated it is the same; more than there is, is refused."""
    parent = await give(desk)
    child = await split(desk.journal, split_order(parent.jti, "30", "s"), KEYS, PRIVATE.sign)
    again = await split(desk.journal, split_order(parent.jti, "30", "s"), KEYS, PRIVATE.sign)
    assert again.token == child.token
    assert (child.holder, child.scheme, child.until_us, child.units) == (
        parent.holder, parent.scheme, parent.until_us, 30 * YUAN,
    )  # fmt: skip
    found = await state(desk, parent.jti)
    assert (found["available"], found["split"], found["redeemed"]) == ("70.000000", "30.000000", "0.000000")
    for order, code in (
        (split_order(parent.jti, "71", "more"), "insufficient"),
        (split_order(parent.jti, "0", "none"), "amount-not-positive"),
        (split_order(parent.jti, "31", "s"), "idempotency-key-reused"),
        (split_order("nobody", "1", "t"), "voucher-unknown"),
    ):
        assert codes(await gathered(split(desk.journal, order, KEYS, PRIVATE.sign))) == [code]
    till, known = Till(desk.journal, lambda: ISSUER), spendable(child, CATALOG.series)
    held = await till.ask(asked("sj01"), Hold(known, shown(30, "sj01"), "proof", 60))
    await till.ask(asked("sj01"), Capture(json.loads(held)["hold"], "30", final=True))
    assert (await state(desk, child.jti))["redeemed"] == "30.000000"
    report = await audit(desk.path)
    assert report["ok"], report


async def test_what_is_unused_at_the_end_breaks(desk):
    """70 of 100 are left when the time is over: they break once; what a hold gives back later breaks, too."""
    voucher, till = await give(desk), Till(desk.journal, lambda: ISSUER)
    desk.now_ns = voucher.until_us * 1000 - 10**9
    known = spendable(voucher, CATALOG.series)
    late = shown(30, "sj01")
    hold = json.loads(await till.ask(asked("sj01"), Hold(known, late, "proof", 3600)))["hold"]
    assert await desk.journal.transact(close_expired) == 0
    desk.now_ns += 2 * 10**9
    assert await desk.journal.transact(close_expired) == 1
    assert await desk.journal.transact(close_expired) == 0
    assert (await state(desk, voucher.jti))["expired"] == "70.000000"
    await till.ask(asked("sj01"), Capture(hold, "10", final=True))
    assert await desk.journal.transact(close_expired) == 1
    found = await state(desk, voucher.jti)
    assert (found["available"], found["expired"], found["redeemed"]) == ("0.000000", "90.000000", "10.000000")
    report = await audit(desk.path)
    assert report["ok"], report


async def test_revoking_gives_the_caps_back(desk):
    """A holder's cap is free again for what was not used, also for what a hold gives back afterwards."""
    terms = SCHEME.terms_in("CNY")
    full = str(min(terms.max_units, terms.cap_holder_year_units) // YUAN)
    issued = []
    while not issued or not isinstance(issued[-1], Exception):
        issued += await gathered(give(desk, full, f"k{len(issued)}"))
    assert codes(issued[-1:]) == ["issue-refused"]
    till, known = Till(desk.journal, lambda: ISSUER), spendable(issued[0], CATALOG.series)
    hold = json.loads(await till.ask(asked("sj01"), Hold(known, shown(5, "sj01"), "proof", 3600)))["hold"]
    await change_standing(desk.journal, BY, issued[0].jti, "revoke")
    await till.ask(asked("sj01"), Release(hold))
    assert codes(await gathered(give(desk, full, "early"))) == ["issue-refused"]
    assert await desk.journal.transact(close_expired) == 1
    assert (await state(desk, issued[0].jti))["returned"] == f"{full}.000000"
    assert codes(await gathered(give(desk, full, "again"))) == [""]
    report = await audit(desk.path)
    assert report["ok"], report


class Life:
    """Acts at random on whatever there is."""

    def __init__(self, desk, random):
        self.desk, self.random, self.count = desk, random, 0
        self.till = Till(desk.journal, lambda: ISSUER)
        self.vouchers, self.holds, self.outcomes = [], [], Counter()

    async def step(self):
        self.count += 1
        self.desk.now_ns += self.random.choice([10**9, 10**9, 600 * 10**9, 40 * DAY_NS])
        acts = [self.issue, self.hold, self.hold, self.capture, self.capture, self.release, self.split, self.stand]
        act = self.random.choice(acts) if self.vouchers else self.issue
        outcomes = await gathered(*(act() for _ in range(self.random.choice([1, 1, 3]))))
        assert set(codes(outcomes)) <= MAY_BE_REFUSED, outcomes
        self.outcomes.update((act.__name__, code) for code in codes(outcomes))
        if self.random.random() < 0.3:
            await self.desk.journal.transact(close_expired)

    def amount(self):
        return self.random.randint(1, 40)

    def key(self):
        self.count += 1
        return f"life {self.count}"

    async def issue(self):
        request = IssueRequest(sandbox_uscc(self.random.randint(1, 3)), "CNY", str(self.amount()), JWK)
        self.vouchers.append(await issue(self.desk.journal, Order(request, SCHEME, self.key()), KEYS, PRIVATE.sign))

    async def hold(self):
        known, centre = (
            spendable(self.random.choice(self.vouchers), CATALOG.series),
            self.random.choice(["sj01", "sj02"]),
        )
        life_s = self.random.choice([60, 3600, 7 * 86_400])
        answer = await self.till.ask(asked(centre), Hold(known, shown(self.amount(), centre), "proof", life_s))
        self.holds.append((centre, json.loads(answer)["hold"]))

    async def capture(self):
        centre, hold = self.random.choice(self.holds or [("sj01", "0" * 32)])
        act = Capture(hold, str(self.random.randint(1, 20)), final=self.random.random() < 0.3)
        await self.till.ask(asked(centre), act)

    async def release(self):
        centre, hold = self.random.choice(self.holds or [("sj01", "0" * 32)])
        await self.till.ask(asked(centre), Release(hold))

    async def split(self):
        order = split_order(self.random.choice(self.vouchers).jti, str(self.amount()), self.key())
        self.vouchers.append(await split(self.desk.journal, order, KEYS, PRIVATE.sign))

    async def stand(self):
        what = self.random.choice(["suspend", "resume", "resume", "revoke"])
        await change_standing(self.desk.journal, BY, self.random.choice(self.vouchers).jti, what)


@pytest.mark.parametrize("number", range(20 if ALL else 3))
async def test_nothing_is_lost_or_made_in_any_prefix(desk, seed, number):
    """Issue, hold, capture, release, split, expire, suspend, resume and revoke, at times at once."""
    life = Life(desk, Random(f"{seed} {number}"))
    for _ in range(60):
        await life.step()
    assert sum(count for (_, code), count in life.outcomes.items() if not code) > 15, life.outcomes
    await asyncio.to_thread(check_every_prefix, desk.path)
    async with desk.database.read() as connection:
        for stored in await list_vouchers(connection, EVERYTHING, limit=1000):
            check_voucher(voucher_object(stored))
    report = await audit(desk.path)
    assert report["ok"], report


def check_voucher(found):
    parts = ("available", "held", "redeemed", "returned", "expired", "split")
    units = {name: int(found[name].replace(".", "")) for name in (*parts, "issued")}
    assert all(units[name] >= 0 for name in parts), found
    assert sum(units[name] for name in parts) == units["issued"], found


def check_every_prefix(place):
    """After each entry: no voucher below zero, each has what came in less what went out, and what a programme gave out is
    what its vouchers have, what broke, and what centres are owed."""
    came, went = defaultdict(int), defaultdict(int)
    seen = set()
    for entry, accounts in Folded(place):
        seen.add(EntryKind(entry.kind))
        vouchers = {name: account for name, account in accounts.items() if name.startswith("voucher/")}
        for account in vouchers.values():
            assert account.available >= 0, (entry, account)
            assert account.debits_held >= 0, (entry, account)
        for leg in entry.legs:
            if leg.layer == 0:
                (went, came)[leg.side][leg.public_id] += leg.amount
        for account in vouchers.values():
            assert account.balance == came[account.public_id] - went[account.public_id], (entry, account)
        given = -sum(account.balance for name, account in accounts.items() if "/treasury/" in name)
        left = sum(
            account.balance for name, account in accounts.items() if "/budget/" in name and name.startswith("scheme/")
        )
        broken = sum(account.balance for name, account in accounts.items() if "/breakage/" in name)
        owed = sum(account.balance for name, account in accounts.items() if name.endswith("/receivable"))
        assert given == left + broken + owed + sum(account.balance for account in vouchers.values()), entry
    assert {EntryKind.HOLD, EntryKind.POST} <= seen
