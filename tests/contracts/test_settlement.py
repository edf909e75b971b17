"""Settlement on both databases: batches from the ledger, four eyes, payment once, and what comes after."""

import pytest

from ledger.errors import DomainError
from suanquan.use_cases.books import Order as ByOfficer
from suanquan.use_cases.books import reverse_event
from suanquan.use_cases.evidence import Paper, add_paper, certify
from suanquan.use_cases.payees import bank_file, confirm_payee, set_payee
from suanquan.use_cases.settlement_reading import load_batch
from suanquan.use_cases.settlements import read_day
from tests.contracts.settling import (
    COMPANY,
    DAY_NS,
    FANG,
    JULY_NS,
    QIAN,
    SCHEME,
    YUAN,
    ZHAO,
    Bench,
    draft,
    of_capture,
    scheme_like,
)
from tests.ledger.desk import Desk, audit, codes, gathered, new_ledger
from tests.ledger.full_ledger import NOW_S, RULES
from voucher.holder import sandbox_uscc
from voucher.settlement import store
from voucher.settlement.batch import State

BY = ByOfficer("李四", "沪发改〔2026〕9号")


@pytest.fixture
async def bench(new_database):
    place = new_database(new_ledger)
    async with Desk(place) as desk:
        desk.now_ns = NOW_S * 10**9
        yield Bench(desk)
    report = await audit(place)
    assert report["ok"], report


async def code_of(task):
    with pytest.raises(DomainError) as caught:
        await task
    return caught.value.code


async def test_a_batch_is_drawn_up_approved_and_paid(bench):
    """30 and 12.5 of a voucher: claimed, payable, paid; each stage has what the one before gave up, and nothing is left due."""
    voucher = await bench.give()
    for yuan in ("30", "12.5"):
        await bench.redeem(voucher, yuan)
    bench.desk.now_ns = JULY_NS
    await bench.payable()
    batch = await bench.prepare()
    assert (batch.units, batch.lines, batch.state) == (int(42.5 * YUAN), 2, State.PREPARED)
    assert await bench.stages() == {"claimed": 42.5}
    assert await code_of(bench.settlements.approve(ZHAO, batch.id)) == "evidence-missing"
    await bench.complete(batch.id)
    await bench.settlements.approve(ZHAO, batch.id)
    assert await bench.stages() == {"payable": 42.5}
    paid = await bench.pay(batch.id)
    assert (paid.state, paid.payment["reference"], await bench.stages()) == (State.PAID, "R-1", {"paid": 42.5})
    assert await code_of(bench.prepare(period="2026Q2")) == "nothing-to-settle"


async def test_nobody_approves_or_pays_what_he_prepared(bench):
    """And each step is its role's: a company prepares nothing, the office pays nothing."""
    await bench.redeem(await bench.give(), "30")
    bench.desk.now_ns = JULY_NS
    await bench.payable()
    batch = (await bench.prepare()).id
    await bench.complete(batch)
    assert await code_of(bench.settlements.approve(FANG, batch)) == "same-person"
    assert await code_of(bench.prepare(by=COMPANY)) == "role-not-allowed"
    await bench.settlements.approve(ZHAO, batch)
    assert await code_of(bench.pay(batch, FANG)) == "role-not-allowed"
    assert await code_of(bench.pay(batch, FANG._replace(role="finance"))) == "same-person"
    details = {"name": "甲", "uscc": sandbox_uscc(8), "account": "1" * 10, "bank": "乙", "bank_code": "2" * 12}
    await set_payee(bench.desk.journal, QIAN, "payer", details)
    assert await code_of(confirm_payee(bench.desk.journal, QIAN, "payer")) == "same-person"


async def test_a_batch_is_closed_and_paid_once(bench):
    """Ten who approve, pay or draw up at once, in two processes: one does, the others are told why not."""
    await bench.redeem(await bench.give(), "30")
    bench.desk.now_ns = JULY_NS
    await bench.payable()
    async with Desk(bench.desk.path) as other:
        other.now_ns = JULY_NS
        second = Bench(other)
        drawn = await gathered(
            *(one.prepare(by=by) for one in (bench, second) for by in (FANG, ZHAO, FANG._replace(person="周")))
        )
        live = {batch.id for batch in drawn if not isinstance(batch, Exception)}
        assert len(live) == 1
        assert set(codes(drawn)) == {"", "batch-open"}
        [batch] = live
        await bench.complete(batch)
        approvers = [ZHAO._replace(person=f"批{at}") for at in range(4)]
        approved = await gathered(*(one.settlements.approve(by, batch) for one in (bench, second) for by in approvers))
        assert codes(approved).count("batch-state") == 6  # one approves; his own repetition is told the same
        payers = [QIAN._replace(person=f"付{at}") for at in range(4)]
        paid = await gathered(*(one.pay(batch, by) for one in (bench, second) for by in payers))
        assert codes(paid).count("batch-state") == 6
    assert await bench.stages() == {"paid": 30}


async def test_usage_reported_late_is_in_the_next_batch(bench):
    """What is captured after the quarter was settled is due with the next one, once; the first batch does not change."""
    voucher = await bench.give()
    await bench.redeem(voucher, "30")
    bench.desk.now_ns = JULY_NS
    first = await bench.settle()
    await bench.redeem(voucher, "7")
    bench.desk.now_ns += 90 * DAY_NS
    second = await bench.settle(period="2026Q3")
    assert (first.units, second.units) == (30 * YUAN, 7 * YUAN)
    async with bench.desk.database.read() as conn:
        assert (await load_batch(conn, first.id)).units == 30 * YUAN


async def test_a_correction_after_payment_is_a_negative_line(bench):
    """10 of 30 are taken back after payment, 25 are new: the next batch pays 15, by two lines."""
    voucher = await bench.give()
    event = await bench.redeem(voucher, "30")
    bench.desk.now_ns = JULY_NS
    await bench.settle()
    await reverse_event(bench.desk.journal, BY, event, "10")
    await bench.redeem(voucher, "25")
    bench.desk.now_ns += 90 * DAY_NS
    batch = await bench.settle(period="2026Q3")
    async with bench.desk.database.read() as conn:
        lines = await store.lines_of(conn, batch.id)
    assert [(line.units // YUAN, line.kind) for line in lines] == [(-10, "corrected"), (25, "redeemed")]
    assert batch.units == 15 * YUAN
    assert await bench.stages() == {"paid": 45}


async def test_what_corrections_took_off_is_refunded_or_offset(bench):
    """12 too much and nothing new: no batch; the centre gives 5 back, the next batch deducts the other 7."""
    voucher = await bench.give()
    event = await bench.redeem(voucher, "30")
    bench.desk.now_ns = JULY_NS
    batch = (await bench.settle()).id
    await reverse_event(bench.desk.journal, BY, event, "12")
    bench.desk.now_ns += 90 * DAY_NS
    assert await code_of(bench.prepare(period="2026Q3")) == "nothing-to-settle"
    demand = bench.settlements.demand
    assert await code_of(demand(FANG, batch, "12.01", "更正", corrections=True)) == "not-enough"
    await demand(FANG, batch, "5", "更正", corrections=True)
    assert await code_of(bench.settlements.recover(FANG._replace(role="finance"), batch, "5", "R")) == "same-person"
    assert await code_of(bench.settlements.recover(QIAN, batch, "6", "R")) == "not-enough"
    found = await bench.settlements.recover(QIAN, batch, "5", "R")
    assert (found.refunded, found.kept, await bench.stages()) == (5 * YUAN, 25 * YUAN, {"paid": 25})
    await bench.redeem(voucher, "20")
    bench.desk.now_ns += 92 * DAY_NS
    following = await bench.settle(period="2026Q4")
    assert following.units == 13 * YUAN
    assert await bench.stages() == {"paid": 38}


async def test_what_should_not_have_been_paid_is_clawed_back(bench):
    """A demand of one person, recovered in parts by another, never more than was paid; nothing comes back to the voucher."""
    voucher = await bench.give()
    await bench.redeem(voucher, "30")
    bench.desk.now_ns = JULY_NS
    batch = (await bench.settle()).id
    settlements = bench.settlements
    assert await code_of(settlements.recover(QIAN, batch, "1", "R")) == "no-demand"
    assert await code_of(settlements.demand(FANG, batch, "31", "虚假", corrections=False)) == "not-enough"
    await settlements.demand(FANG, batch, "30", "虚假作业", corrections=False)
    assert await code_of(settlements.demand(ZHAO, batch, "1", "又", corrections=False)) == "demand-open"
    for yuan, left in (("20", {"paid": 10, "recovered": 20}), ("10", {"recovered": 30})):
        await settlements.recover(QIAN, batch, yuan, f"回单{yuan}")
        assert await bench.stages() == left
    assert await code_of(settlements.demand(FANG, batch, "1", "又", corrections=False)) == "not-enough"
    bench.desk.now_ns += 90 * DAY_NS
    assert await code_of(bench.prepare(period="2026Q3")) == "nothing-to-settle"


async def test_a_returned_batch_frees_its_lines_and_invoices(bench):
    """Its claim is taken back; the same lines and the same invoice make another batch, later captures with them."""
    voucher = await bench.give()
    await bench.redeem(voucher, "30")
    bench.desk.now_ns = JULY_NS
    batch = (await bench.prepare()).id
    await bench.complete(batch)
    assert (await bench.settlements.return_(FANG, batch, "发票有误")).state is State.RETURNED
    assert await bench.stages() == {}
    assert await code_of(bench.settlements.approve(ZHAO, batch)) == "batch-state"
    again = await bench.prepare()
    assert (again.units, again.id != batch) == (30 * YUAN, True)
    invoice = (f"N{batch}", sandbox_uscc(7), 1000 * YUAN)
    for kind, said in (("invoice", invoice), ("payment_proof", None)):
        await add_paper(bench.desk.journal, FANG, again.id, Paper(kind, "p.pdf", "1" * 64, None, said))
    await certify(bench.desk.journal, RULES, FANG, again.id)
    await bench.payable()
    await bench.settlements.approve(ZHAO, again.id)
    assert await bench.stages() == {"payable": 30}


async def test_an_invoice_is_used_once_and_covers_the_price(bench):
    """Short of the full price it is refused; used for one batch it is refused for another."""
    voucher = await bench.give()
    await bench.redeem(voucher, "30")
    await bench.redeem(voucher, "20", "sj02")
    bench.desk.now_ns = JULY_NS
    await bench.payable()
    first, second = [(await bench.prepare(f"centre:{name}")).id for name in ("sj01", "sj02")]
    await bench.complete(first, "29.99")
    assert await code_of(bench.settlements.approve(ZHAO, first)) == "invoice-short"
    outcomes = await gathered(bench.complete(first, "1000"), bench.complete(second))
    assert codes(outcomes) == ["supported-already", ""]


async def test_less_than_a_fen_is_carried_to_the_next_batch(bench):
    """10.006 and 10.007 redeemed: 10.00 and then 10.01 are paid, and 0.003 stay due."""
    voucher = await bench.give()
    await bench.redeem(voucher, "10.006")
    bench.desk.now_ns = JULY_NS
    first = await bench.settle()
    await bench.redeem(voucher, "10.007")
    bench.desk.now_ns += 90 * DAY_NS
    second = await bench.settle(period="2026Q3")
    assert [(one.units, one.carried) for one in (first, second)] == [(10 * YUAN, 6000), (10_010_000, 3000)]


async def test_a_suspended_provider_is_paid_once_it_is_resumed(bench):
    """Between redemption and settlement: what was redeemed stays due, nothing is approved or paid until then."""
    await bench.redeem(await bench.give(), "30")
    bench.desk.now_ns = JULY_NS
    await bench.payable()
    await bench.suspend()
    batch = (await bench.prepare()).id
    await bench.complete(batch)
    assert await code_of(bench.settlements.approve(ZHAO, batch)) == "payee-suspended"
    await bench.suspend(suspend=False)
    await bench.settlements.approve(ZHAO, batch)
    await bench.suspend()
    assert await code_of(bench.pay(batch)) == "payee-suspended"
    await bench.suspend(suspend=False)
    assert (await bench.pay(batch)).state is State.PAID


async def test_a_renamed_provider_is_paid_under_its_new_name(bench):
    """A merger changes name, code and account; the payee stays, the old details stay on record, and two persons vouch for it."""
    await bench.redeem(await bench.give(), "30")
    bench.desk.now_ns = JULY_NS
    for payee in ("payer", "centre:sj01"):
        await bench.payable(payee)
    batch = (await bench.prepare()).id
    await bench.complete(batch)
    before = (await bench.settlements.approve(ZHAO, batch)).details
    await bench.payable(account="6222999988887777")
    async with bench.desk.database.read() as conn:
        now_us = bench.desk.now_ns // 1000
        _, body = await bank_file(conn, bench.series, [batch], "csv", read_day("2026-07-10"), now_us)
    assert "6222999988887777" in body.decode()
    assert (await bench.pay(batch)).payment["details"] > before


async def test_a_draft_never_pays(bench):
    """Neither claimed, prepared, approved, put into a bank file nor paid, whatever it was when it was issued under."""
    await bench.redeem(await bench.give(), "30")
    bench.desk.now_ns = JULY_NS
    await bench.payable()
    bench.use(draft())
    assert await code_of(bench.prepare()) == "scheme-draft"
    assert (
        await code_of(bench.claims.submit(COMPANY, {"scheme": SCHEME.id, "holder": COMPANY.person})) == "scheme-draft"
    )
    bench.use(SCHEME)
    batch = (await bench.prepare()).id
    await bench.complete(batch)
    bench.use(draft())
    assert await code_of(bench.settlements.approve(ZHAO, batch)) == "scheme-draft"
    bench.use(SCHEME)
    await bench.settlements.approve(ZHAO, batch)
    bench.use(draft())
    assert await code_of(bench.pay(batch)) == "scheme-draft"
    async with bench.desk.database.read() as conn:
        file = bank_file(conn, bench.series, [batch], "csv", read_day("2026-07-10"), bench.desk.now_ns // 1000)
        assert await code_of(file) == "scheme-draft"
    assert await bench.stages() == {"payable": 30}


async def test_free_compute_is_never_paid_for(bench):
    """Under free allocation (无偿) what was redeemed is no claim."""
    await bench.redeem(await bench.give(), "30")
    bench.desk.now_ns = JULY_NS
    bench.use(scheme_like(claim_mode="free_allocation"))
    assert await code_of(bench.prepare()) == "scheme-unpaid"


async def test_a_period_is_one_of_the_schemes_cycle_and_over(bench):
    """The sandbox settles by quarter."""
    bench.desk.now_ns = JULY_NS
    periods = ["2026Q3", "2026-06", "2026Q5", "x"]
    found = codes(await gathered(*(bench.prepare(period=period) for period in periods)))
    assert found == ["period-not-over", "period-other-cycle", "period-malformed", "period-malformed"]


async def test_a_disputed_job_stays_out_until_it_is_resolved(bench):
    """Of 30 and 12 the 12 are disputed: 30 are paid; confirmed, the 12 are in the next batch, once."""
    voucher = await bench.give()
    await bench.redeem(voucher, "30")
    event = await bench.redeem(voucher, "12")
    dispute = await bench.dispute(of_capture(event))
    bench.desk.now_ns = JULY_NS
    assert (await bench.settle()).units == 30 * YUAN
    assert await code_of(bench.receipts.resolve(FANG, dispute.id, "corrected", "r")) == "dispute-not-corrected"
    assert await code_of(bench.dispute(of_capture(event))) == "disputed-already"
    await bench.receipts.resolve(FANG, dispute.id, "confirmed", "日志相符")
    told = bench.desk.rows("SELECT audience, subject FROM notice WHERE kind = 'receipt.dispute' ORDER BY number")
    assert told == [(who, dispute.id) for who in (f"holder:{sandbox_uscc(1)}", "centre:sj01", "office")] * 2, (
        "raised, resolved"
    )
    bench.desk.now_ns += 90 * DAY_NS
    assert (await bench.settle(period="2026Q3")).units == 12 * YUAN
    bench.desk.now_ns += 92 * DAY_NS
    assert await code_of(bench.prepare(period="2026Q4")) == "nothing-to-settle"


async def test_a_dispute_that_is_right_takes_the_job_off(bench):
    """Corrected: the job and what took it back are both in the next batch, and come to nothing."""
    voucher = await bench.give()
    event = await bench.redeem(voucher, "12")
    dispute = await bench.dispute(of_capture(event))
    await reverse_event(bench.desk.journal, BY, event)
    await bench.receipts.resolve(FANG, dispute.id, "corrected", "已冲正")
    await bench.redeem(voucher, "5")
    bench.desk.now_ns = JULY_NS
    assert (await bench.settle()).units == 5 * YUAN


async def test_a_dispute_about_a_prepared_line_stops_its_approval(bench):
    """The batch is returned and drawn up anew without it."""
    voucher = await bench.give()
    await bench.redeem(voucher, "30")
    event = await bench.redeem(voucher, "12")
    bench.desk.now_ns = JULY_NS
    await bench.payable()
    batch = (await bench.prepare()).id
    await bench.complete(batch)
    await bench.dispute(of_capture(event))
    assert await code_of(bench.settlements.approve(ZHAO, batch)) == "batch-disputed"
    await bench.settlements.return_(FANG, batch, "有争议")
    assert (await bench.prepare()).units == 30 * YUAN


async def test_receipts_are_for_their_beneficiary(bench):
    """He countersigns the receipt that stands; another neither reads nor answers it; the office reads it."""
    voucher = await bench.give()
    about = of_capture(await bench.redeem(voucher, "12"))
    stranger = COMPANY._replace(person=sandbox_uscc(2))
    found = await bench.receipt(about)
    assert (found["price_yuan"], found["paid"][0]["voucher"], found["job"]["reference"]) == (
        "12.00",
        voucher.jti,
        "job:1",
    )
    assert (await bench.receipt(about, FANG))["receipt"] == found["receipt"]
    receipts = bench.receipts
    assert await code_of(bench.receipt(about, stranger)) == "capture-unknown"
    assert await code_of(receipts.countersign(stranger, about, found["receipt"], "")) == "capture-unknown"
    assert await code_of(receipts.countersign(COMPANY, about, "0" * 64, "")) == "receipt-changed"
    assert (await receipts.countersign(COMPANY, about, found["receipt"], ""))["state"] == "countersigned"
    assert (await bench.receipt(about))["answers"] == [{"answer": "countersign", "by": COMPANY.person, "signed": False}]


async def test_the_same_request_is_the_same_batch(bench):
    """Under a key for ever; without one while it is the newest; the key for another request is refused."""
    await bench.redeem(await bench.give(), "30")
    bench.desk.now_ns = JULY_NS
    keyed = FANG._replace(key="k")
    first = await bench.prepare(by=keyed)
    assert (await bench.prepare(by=keyed)).id == (await bench.prepare(by=keyed)).id == first.id
    assert await code_of(bench.prepare(payee="centre:sj02", by=keyed)) == "idempotency-key-reused"
    async with bench.desk.database.read() as conn:
        assert len(await store.facts_named(conn, "prepare")) == 1
