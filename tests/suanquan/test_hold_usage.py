"""Usage that names a hold is paid by it, once: whoever draws first, metering or the centre by hand, settles the hold."""

import time
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.ed25519 import PublicKey
from suanquan.use_cases import setup
from tests.suanquan.harness import A100_HOUR, assert_problem, usage
from tests.suanquan.spender import YUAN, Spender, give
from tests.suanquan.test_corrections_http import post
from tests.suanquan.test_holds_http import link, state
from voucher.document import read_voucher
from voucher.holder import sandbox_uscc

PRICE = A100_HOUR // YUAN


@pytest.fixture
def centre(service):
    return Spender(service.url)


@pytest.fixture
def voucher(service):
    """Bound to the holder's key, and by his account to usage as well: both ways to spend it are open."""
    account = usage(1).account
    service.call(setup.bind_account(service.service.journal, "sj01", account, sandbox_uscc(1)))
    return give(service, "1000")


def job(number, hold, **changes):
    """360 cards for ten seconds, which cost what a card costs in an hour."""
    start_us = (time.time_ns() // 1_000_000_000 + 1) * 1_000_000
    short = usage(number, start_us=start_us, end_us=start_us + 10_000_000, active_ms=10_000, cards_milli=360_000)
    return replace(short, voucher=hold, **changes)


def money(service, voucher):
    """Available, held and redeemed of the voucher, what the centre is owed, and what is paid by nobody."""
    found = service.figures()
    return (*map(int, state(service, voucher.jti)), found.owed // YUAN, sum(found.self_pay.values()) // YUAN)


def test_usage_that_names_a_hold_is_debited_once(service, centre, agent, voucher):
    """The wrong answer would be a voucher of 1,000 that has paid twice the price: once from the hold, once by metering."""
    hold = centre.hold(voucher.token, 3 * PRICE).content["hold"]
    assert agent.report_records([job(1, hold)]).statuses == ["accepted"]
    once, twice = (1000 - PRICE, 0, PRICE, PRICE, 0), (1000 - 2 * PRICE, 0, 2 * PRICE, 2 * PRICE, 0)
    assert money(service, voucher) == once != twice
    assert_problem(centre.capture(hold, str(PRICE), final=True), 409, "hold-closed")
    assert money(service, voucher) == once


@pytest.mark.parametrize("final", [True, False])
def test_what_was_captured_by_hand_is_not_debited_again(service, centre, agent, voucher, final):
    """The centre was paid for the job before its usage came: the record counts, and posts nothing, from voucher or self-pay."""
    hold = centre.hold(voucher.token, 3 * PRICE).content["hold"]
    centre.capture(hold, str(PRICE), final=final)
    if not final:
        assert centre.release(hold).status == 200
    before = money(service, voucher)
    records = [job(1, hold)]
    assert agent.report_records(records).statuses == ["accepted"]
    assert money(service, voucher) == before == (1000 - PRICE, 0, PRICE, PRICE, 0)
    assert service.figures().rated == A100_HOUR
    void = {"id": records[0].id, "revision": 1, "record": None}
    assert post(service, {"source": agent.source, "corrections": [void]}).content["results"][0]["status"] == "accepted"
    assert money(service, voucher) == before
    assert service.figures().rated == 0


def test_beyond_its_hold_a_job_pays_itself(service, centre, agent, voucher):
    """A hold lets no more be taken than its holder signed for, whatever else the voucher has; a void gives exactly that back."""
    hold = centre.hold(voucher.token, 1).content["hold"]
    records = [job(1, hold)]
    assert agent.report_records(records).statuses == ["accepted"]
    assert money(service, voucher) == (999, 0, 1, PRICE, PRICE - 1)
    void = {"id": records[0].id, "revision": 1, "record": None}
    assert post(service, {"source": agent.source, "corrections": [void]}).content["results"][0]["status"] == "accepted"
    assert money(service, voucher) == (1000, 0, 0, 0, 0)


def test_a_running_job_keeps_its_hold(service, centre, agent, voucher):
    """A checkpoint takes its part and holds the rest again, which cannot be captured by hand; the last report frees it."""
    hold = centre.hold(voucher.token, 3 * PRICE).content["hold"]
    last = job(1, hold)
    half = replace(last, final=False, end_us=last.start_us + 5_000_000, active_ms=5_000, state="RUNNING")
    assert agent.report_records([half]).statuses == ["accepted"]
    available, held, redeemed, owed, own = money(service, voucher)
    assert (available, own) == (1000 - 3 * PRICE, 0)
    assert held + redeemed in (3 * PRICE, 3 * PRICE - 1)  # shown in whole yuan
    assert redeemed == owed == PRICE // 2
    assert_problem(centre.capture(hold, "1"), 409, "hold-metered")
    assert agent.report_records([last]).statuses == ["accepted"]
    assert money(service, voucher) == (1000 - PRICE, 0, PRICE, PRICE, 0)


def test_another_centres_hold_pays_nothing(service, agent, voucher):
    """Named by somebody else, a hold is no hold: the record is paid by its own account."""
    hold = Spender(service.url, "sj02").hold(voucher.token, 3 * PRICE).content["hold"]
    assert agent.report_records([job(1, hold)]).statuses == ["accepted"]
    assert money(service, voucher) == (1000 - 3 * PRICE, 3 * PRICE, 0, PRICE, PRICE)


@pytest.mark.parametrize("running", [False, True])
def test_usage_of_a_delegated_hold_is_posted_and_counted(service, centre, agent, voucher, running):
    """A member's job is paid by the investigator's voucher through metering, and his delegation lets that much less through."""
    member = Ed25519PrivateKey.generate()
    _, document = read_voucher(voucher.token, service.service.keys.all_keys())
    chain = [link(document, voucher.token, PublicKey.of(member).kid, 4 * PRICE)]

    def hold(yuan):
        proof = centre.proof(voucher.token, yuan, key=PublicKey.of(member), signer=member.sign)
        return centre.hold(voucher.token, yuan, body={"proof": proof, "delegations": chain})

    held = hold(3 * PRICE).content["hold"]
    last = job(1, held)
    if running:
        early = replace(last, end_us=last.start_us + 5_000_000, active_ms=5_000, final=False)
        assert agent.report_records([early]).statuses == ["accepted"]
        assert money(service, voucher) == (1000 - 3 * PRICE, 3 * PRICE - PRICE // 2, PRICE // 2, PRICE // 2, 0)
        assert_problem(hold(2 * PRICE), 409, "insufficient")
    assert agent.report_records([last]).statuses == ["accepted"]
    assert money(service, voucher) == (1000 - PRICE, 0, PRICE, PRICE, 0)
    assert_problem(hold(4 * PRICE), 409, "insufficient")
    assert centre.release(hold(3 * PRICE).content["hold"]).status == 200
    void = {"id": last.id, "revision": 1, "record": None}
    assert post(service, {"source": agent.source, "corrections": [void]}).content["results"][0]["status"] == "accepted"
    assert money(service, voucher) == (1000, 0, 0, 0, 0)
    assert hold(4 * PRICE).status == 200
