"""Whole lives at random on both databases: nothing of a voucher or a programme is lost or made in any prefix of the log.

Issue, hold, capture, release, split, expire, suspend, revoke; late usage and its corrections; claims, batches, disputes, payment
and what comes back after it.
"""

import asyncio
import json
from collections import Counter
from random import Random

import pytest

from ledger.amount import CNY
from ledger.scope import EVERYTHING
from metering.zones import rfc3339
from suanquan.clock import shanghai_day
from suanquan.use_cases.admission import spendable
from suanquan.use_cases.books import Order as ByOfficer
from suanquan.use_cases.books import reverse_event
from suanquan.use_cases.desk import Amendment, amend
from suanquan.use_cases.disputes import load_disputes
from suanquan.use_cases.expiry import close_expired
from suanquan.use_cases.issue import Order, issue, voucher_object
from suanquan.use_cases.job_receipts import About
from suanquan.use_cases.settlement_facts import By
from suanquan.use_cases.settlement_reading import load_batches
from suanquan.use_cases.setup import bind_account, register_centre
from suanquan.use_cases.spend_acts import Capture, Hold, Release
from suanquan.use_cases.split import SplitOrder, split
from suanquan.use_cases.standing import change_standing
from suanquan.use_cases.till import Till
from tests.conftest import ALL
from tests.contracts.conserved import CENTRES, check_every_prefix, check_settled, check_voucher
from tests.contracts.settling import FANG, QIAN, SUN, ZHAO, Bench, scheme_like
from tests.contracts.test_claims import FACTS
from tests.contracts.test_holds import ISSUER, asked, give, shown, state
from tests.ledger.desk import Desk, audit, codes, gathered, new_ledger
from tests.ledger.full_ledger import CATALOG, KEYS, NOW_S, RULES, body, send
from tests.voucher.samples import HOLDER_KEY, PRIVATE
from voucher.holder import sandbox_uscc
from voucher.issuance import IssueRequest
from voucher.settlement.batch import State
from voucher.store import list_vouchers

YUAN = 10**CNY.scale
SCHEME = CATALOG.schemes["cn-sh-songjiang-sandbox"]
BY = ByOfficer("李四", "沪发改〔2026〕9号")
DAY_NS = 86_400 * 10**9
JWK = dict(HOLDER_KEY.jwk())
REIMBURSE = scheme_like(id="cn-sh-reimburse", claim_mode="issue_then_reimburse")
PAYEES = (*(f"centre:{centre}" for centre in CENTRES), *(f"uscc:{sandbox_uscc(number)}" for number in (1, 2, 3)))
SOURCE = "urn:centre:sj01:agent:a"
MAY_BE_REFUSED = {
    "", "insufficient", "hold-exceeded", "hold-closed", "hold-unknown", "voucher-suspended", "voucher-revoked",
    "voucher-revoked-already", "voucher-expired", "account-frozen", "issue-refused", "action-not-in-mode",
    "event-unknown", "reversal-exceeded", "record-unknown", "posting-changed", "clock-ahead",
    "claim-by-batch", "claim-refused", "phase-forbids", "nothing-to-settle", "batch-open", "batch-state", "batch-disputed",
    "same-person", "demand-open", "no-demand", "not-enough", "corrections-not-provider",
    "disputed-already", "dispute-not-corrected", "dispute-resolved",
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
        self.bench = Bench(desk)
        self.bench.use(SCHEME, REIMBURSE)
        self.till = self.bench.till
        self.vouchers, self.holds, self.captures, self.records, self.outcomes = [], [], [], 0, Counter()

    async def begin(self):
        """Two centres whose account belongs to the first holder, everybody with a confirmed bank account, one voucher used."""
        for centre in CENTRES:
            await register_centre(self.desk.journal, CATALOG, centre, "松江", {"H800": 640})
            await bind_account(self.desk.journal, centre, "lab-0", sandbox_uscc(1))
        for payee in PAYEES:
            await self.bench.payable(payee)
        voucher = await self.bench.give("40", "first")
        self.vouchers.append(voucher)
        self.captures.append((await self.bench.redeem(voucher, "7.004"), voucher.jti))

    async def step(self):
        self.count += 1
        self.desk.now_ns += self.random.choice([10**9, 10**9, 600 * 10**9, 600 * 10**9, 40 * DAY_NS])
        often = [self.hold, self.capture, self.release, self.split, self.stand, self.report, self.claim]
        often += [self.prepare, self.decide, self.decide, self.dispute]
        act = (
            self.random.choice([self.issue, self.hold, self.capture, *often, self.take_back])
            if self.vouchers
            else self.issue
        )
        at_once = self.random.choice([1, 1, 3])
        outcomes = await gathered(*(act() for _ in range(at_once)))
        assert set(codes(outcomes)) <= MAY_BE_REFUSED, (act, outcomes)
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
        scheme = self.random.choice([SCHEME, SCHEME, REIMBURSE])
        self.vouchers.append(await issue(self.desk.journal, Order(request, scheme, self.key()), KEYS, PRIVATE.sign))

    async def hold(self):
        known, centre = spendable(self.random.choice(self.vouchers), self.bench.series), self.random.choice(CENTRES)
        life_s = self.random.choice([60, 3600, 7 * 86_400])
        answer = await self.till.ask(asked(centre), Hold(known, shown(self.amount(), centre), "proof", life_s))
        self.holds.append((centre, json.loads(answer)["hold"]))

    async def capture(self):
        centre, hold = self.random.choice(self.holds or [("sj01", "0" * 32)])
        yuan = self.random.choice([str(self.random.randint(1, 20)), f"{self.random.randint(1, 9)}.003"])
        done = await self.till.ask(asked(centre), Capture(hold, yuan, final=self.random.random() < 0.3))
        self.captures.append((json.loads(done)["event_ids"][0], json.loads(done)["voucher"]))

    async def release(self):
        centre, hold = self.random.choice(self.holds or [("sj01", "0" * 32)])
        await self.till.ask(asked(centre), Release(hold))

    async def split(self):
        order = split_order(self.random.choice(self.vouchers).jti, str(self.amount()), self.key())
        self.vouchers.append(await split(self.desk.journal, order, KEYS, PRIVATE.sign))

    async def stand(self):
        what = self.random.choice(["suspend", "resume", "resume", "revoke"])
        await change_standing(self.desk.journal, BY, self.random.choice(self.vouchers).jti, what)

    async def report(self):
        """Usage of some weeks ago, some of it again; or a correction of what was reported."""
        if self.records and self.random.random() < 0.4:
            name = f"job-{self.random.randint(0, self.records - 1):05}"
            changes = self.random.choice([None, {"active_ms": self.random.randint(1, 3_600_000)}])
            await amend(self.desk.journal, RULES, Amendment(SOURCE, name, "甲", "多计", "乙", None, changes))
            return
        first = max(self.records - self.random.choice([0, 0, 1]), 0)
        self.records = first + 2
        begun = self.desk.now_ns // 10**9 - self.random.choice([1, 30]) * 86_400
        events = json.loads(body("sj01", first, 2))
        for event in events:
            event["subject"] = "lab-0"
            event["data"] |= {
                "start": rfc3339(begun * 10**6), "end": rfc3339((begun + 3600) * 10**6),
                "accelerators": [{"model": "H800", "count_milli": 500}],
            }  # fmt: skip
        await send(self.desk, "sj01", json.dumps(events).encode())

    async def take_back(self):
        event, _ = self.random.choice(self.captures or [("0" * 32, "")])
        await reverse_event(self.desk.journal, BY, event, str(self.random.randint(1, 3)))

    async def claim(self):
        voucher = self.random.choice(self.vouchers)
        given = {"scheme": voucher.scheme, "holder": voucher.holder, "voucher": voucher.jti, "facts": FACTS}
        await self.bench.claims.submit(By(voucher.holder, "applicant", self.key()), given | {"amount_yuan": "3"})

    async def prepare(self):
        payee = self.random.choice(PAYEES)
        scheme = SCHEME if payee.startswith("centre") else REIMBURSE
        await self.bench.prepare(payee, self.last_quarter(), by=FANG._replace(key=self.key()), scheme=scheme.id)

    def last_quarter(self):
        day = shanghai_day(self.desk.now_ns)
        quarter = day.year * 4 + (day.month - 1) // 3 - 1
        return f"{quarter // 4}Q{quarter % 4 + 1}"

    async def decide(self):
        """One of the things that may follow for a batch that there is, whatever its state."""
        settlements = self.bench.settlements
        async with self.desk.database.read() as conn:
            batches = await load_batches(conn)
        found = self.random.choice(batches) if batches else None
        if found is None:
            return
        amount, fresh = str(self.random.randint(1, 5)), ZHAO._replace(key=self.key())
        acts = {
            State.PREPARED: [self.close, self.close, lambda one: settlements.return_(fresh, one.id, "重列")],
            State.APPROVED: [lambda one: self.bench.pay(one.id), lambda one: settlements.approve(fresh, one.id)],
            State.PAID: [
                lambda one: settlements.demand(fresh, one.id, amount, "追回", corrections=self.random.random() < 0.5),
                lambda one: settlements.recover(QIAN._replace(key=self.key()), one.id, amount, "回单"),
                lambda one: self.bench.pay(one.id, SUN),
            ],
            State.RETURNED: [lambda one: settlements.approve(fresh, one.id)],
        }
        await self.random.choice(acts[found.state])(found)

    async def close(self, batch):
        await self.bench.complete(batch.id, "100000", number=f"N{self.key().replace(' ', '-')}")
        await self.bench.settlements.approve(ZHAO._replace(key=self.key()), batch.id)

    async def dispute(self):
        """Dispute a capture, or end a dispute."""
        async with self.desk.database.read() as conn:
            disputes = [one for one in (await load_disputes(conn)).all if one.resolved is None]
        if disputes and self.random.random() < 0.6:
            outcome = self.random.choice(["confirmed", "corrected"])
            by = FANG._replace(key=self.key())
            await self.bench.receipts.resolve(by, self.random.choice(disputes).id, outcome, "核实")
        elif self.captures:
            event, jti = self.random.choice(self.captures)
            holder = next(one.holder for one in self.vouchers if one.jti == jti)
            await self.bench.dispute(About(event=event), By(holder, "applicant", self.key()))

    async def finish(self):
        """Everything that can be settled is settled: disputes end, and every payee has a last batch paid."""
        async with self.desk.database.read() as conn:
            disputes = [one for one in (await load_disputes(conn)).all if one.resolved is None]
        for one in disputes:
            await self.bench.receipts.resolve(FANG, one.id, "confirmed", "核实")
        self.desk.now_ns += 100 * DAY_NS
        for payee in PAYEES:
            await gathered(self.settle_open(payee))
            scheme = SCHEME if payee.startswith("centre") else REIMBURSE
            outcomes = await gathered(self.bench.prepare(payee, self.last_quarter(), scheme=scheme.id))
            assert set(codes(outcomes)) <= {"", "nothing-to-settle"}, outcomes
            await self.settle_open(payee)

    async def settle_open(self, payee):
        async with self.desk.database.read() as conn:
            batches = await load_batches(conn, None, payee)
        for batch in batches:
            if batch.state is State.PREPARED:
                await self.close(batch)
            if batch.state in {State.PREPARED, State.APPROVED}:
                await self.bench.pay(batch.id)


@pytest.mark.parametrize("number", range(20 if ALL else 2))
async def test_nothing_is_lost_or_made_in_any_prefix(desk, seed, number):
    """Whole lives, at times with several acts at once, and at their end everything settled: every prefix is conserved, what is paid is what was used."""
    life = Life(desk, Random(f"{seed} {number}"))
    await life.begin()
    for _ in range(70):
        await life.step()
    await life.finish()
    used = await asyncio.to_thread(check_every_prefix, desk.path)
    async with desk.database.read() as connection:
        for stored in await list_vouchers(connection, EVERYTHING, limit=1000):
            check_voucher(voucher_object(stored), used)
    await check_settled(life, used)
    report = await audit(desk.path)
    assert report["ok"], report
