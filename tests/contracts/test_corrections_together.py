"""Corrections that land in one commit, on both databases: each starts from what the one before it made."""

import asyncio
import json

import pytest

from metering.zones import rfc3339
from suanquan.use_cases.books import Order, restrict_account
from suanquan.use_cases.desk import Amendment, amend
from suanquan.use_cases.expiry import close_expired
from suanquan.use_cases.postings import receivable, self_pay
from suanquan.use_cases.setup import bind_account, register_centre
from tests.contracts.test_holds import give, state
from tests.ledger.desk import Desk, audit, codes, gathered, new_ledger
from tests.ledger.full_ledger import CATALOG, NOW_S, RULES, body, send
from voucher.holder import sandbox_uscc

SOURCE = "urn:centre:sj01:agent:a"
JOB = "job-00000"
HOUR_US = 3_600_000_000


@pytest.fixture
async def desk(new_database):
    async with Desk(new_database(new_ledger)) as desk:
        desk.now_ns = NOW_S * 10**9
        await register_centre(desk.journal, CATALOG, "sj01", "松江", {"H800": 640})
        await bind_account(desk.journal, "sj01", "lab-0", sandbox_uscc(1))
        yield desk


async def report(desk, name=JOB, ended_us=None):
    """Report a job of half a card that took an hour."""
    [event] = json.loads(body("sj01", 0, 1))
    ended_us = ended_us or desk.now_ns // 1000 - HOUR_US
    event["id"] = name
    event["data"] |= {
        "start": rfc3339(ended_us - HOUR_US), "end": rfc3339(ended_us),
        "accelerators": [{"model": "H800", "count_milli": 500}],
    }  # fmt: skip
    await send(desk, "sj01", json.dumps([event]).encode())


def amended(desk, active_ms, name=JOB, account=None):
    changes = None if active_ms is None else {"active_ms": active_ms} | ({"account": account} if account else {})
    return amend(desk.journal, RULES, Amendment(SOURCE, name, "甲", "多计", "乙", None, changes))


async def together(desk, *acts):
    """Outcomes of acts that were taken up in one group."""
    async with desk.held_up():
        before = desk.database.transactions
        tasks = [asyncio.create_task(act) for act in acts]
        await asyncio.sleep(0)
    outcomes = await gathered(*tasks)
    assert desk.database.transactions == before + 1, "one commit for all of them"
    return outcomes


async def settled_gpu_ms(desk):
    """GPU-milliseconds of all pages; what is owed for them is what they say, and the log holds."""
    [(gpu_ms, units)] = desk.rows("SELECT sum(gpu_ms), sum(rated_units) FROM usage_month")
    [(owed,)] = desk.rows(
        "SELECT b.credits_posted - b.debits_posted FROM balance b JOIN account_name n ON n.account = b.account"
        f" WHERE n.name = '{receivable('sj01')}'"
    )
    assert owed == units
    found = await audit(desk.path)
    assert found["ok"], found
    return gpu_ms


async def test_amendments_of_one_record(desk):
    """Void, revise, void, revise at once are revisions 1 to 4. Wrong: `original-unknown` for all but the first, 0 left."""
    await give(desk, "3")
    await report(desk)
    outcomes = await together(desk, *(amended(desk, ms) for ms in (None, 1_800_000, None, 1_000_000)))
    assert codes(outcomes) == [""] * 4
    assert [one.revision for one in outcomes] == [1, 2, 3, 4]
    assert await settled_gpu_ms(desk) == 500_000


async def test_a_report_and_its_amendments(desk):
    """What is not on the disk yet can be corrected. Wrong: `posting-changed`, 1,800,000 GPU-ms of the report left."""
    outcomes = await together(desk, report(desk), amended(desk, 1_000_000), amended(desk, 2_000_000, account="lab-1"))
    assert codes(outcomes) == [""] * 3
    assert await settled_gpu_ms(desk) == 1_000_000


async def test_an_amendment_that_is_refused_leaves_the_next_alone(desk):
    """The account of the first is frozen; its number goes to the second. Wrong: `event-conflict` for the second."""
    await report(desk)
    await report(desk, "other")
    await amended(desk, 1_000_000, "other", "lab-1")
    await restrict_account(desk.journal, Order("李四", "沪发改〔2026〕9号"), self_pay("sj01", "lab-1"), "freeze")
    first, second = await together(desk, amended(desk, 1_800_000, JOB, "lab-1"), amended(desk, 2_000_000))
    assert codes([first, second]) == ["account-frozen", ""]
    assert await settled_gpu_ms(desk) == 1_500_000


async def test_late_usage_while_a_voucher_breaks(desk):
    """Its voucher breaks and two late reports reopen it in one commit: it pays both, not the account itself."""
    voucher = await give(desk, "30")
    ended_us = voucher.until_us - HOUR_US
    desk.now_ns = (voucher.until_us + HOUR_US) * 1000
    outcomes = await together(
        desk,
        desk.journal.transact(close_expired),
        report(desk, "one", ended_us),
        report(desk, "two", ended_us),
        amended(desk, 1_800_000, "one"),
    )
    assert codes(outcomes) == [""] * 4
    assert await settled_gpu_ms(desk) == 900_000 + 1_800_000
    found = await state(desk, voucher.jti)
    [(units,)] = desk.rows("SELECT sum(rated_units) FROM usage_month")
    assert found["redeemed"] == f"{units // 10**6}.{units % 10**6:06}", "nothing of it is self-pay"
