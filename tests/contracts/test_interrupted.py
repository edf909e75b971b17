"""Time of jobs that a centre interrupted, under a scheme that does not charge it: nobody pays, from the first second. On both databases."""

from dataclasses import replace

import pytest

from ledger.amount import CNY
from ledger.store import accounts_under
from suanquan.use_cases.job_parts import usage_job
from suanquan.use_cases.setup import bind_account, register_centre
from tests.contracts import test_hold_unnamed
from tests.contracts.test_hold_unnamed import HOUR_S, SOURCE, TAKEN
from tests.contracts.test_holds import give
from tests.ledger.desk import Desk, audit, new_ledger
from tests.ledger.full_ledger import CATALOG, NOW_S, RULES
from tests.shared_data import ROOT
from voucher.holder import sandbox_uscc
from voucher.scheme_reader import parse_series

YUAN = 10**CNY.scale
PRICE = 176
"""An hour of eight H800 of the sandbox."""
TEXT = (ROOT / "config/schemes/sandbox.toml").read_text("utf-8")
FREE = parse_series(
    TEXT.replace('interrupted_time = "charged"', 'interrupted_time = "not_charged"').encode(), "free.toml"
)
STATES = ("NODE_FAIL", "PREEMPTED", "COMPLETED", "CANCELLED", "FAILED", "TIMEOUT")


class Centre(test_hold_unnamed.Centre):
    """Its holder's voucher is of a scheme whose file says `not_charged`."""

    def __init__(self, desk, voucher, rules):
        super().__init__(desk, voucher)
        self.rules = rules

    def ended(self, number, state, **changes):
        event = self.job(number, lasts_s=HOUR_S, **changes)
        event["data"]["state"] = state
        return event

    async def free(self):
        """Yuan that nobody is charged, that the account pays itself, and that the centre is owed."""
        async with self.desk.database.read() as conn:
            found = {
                one.name: one
                for some in ("waived/", "self-pay/", "centre/sj01/")
                for one in await accounts_under(conn, some)
            }
        waived, own = (
            -sum(one.balance for name, one in found.items() if name.startswith(prefix))
            for prefix in ("waived/", "self-pay/")
        )
        against = found["centre/sj01/not-charged"].balance if "centre/sj01/not-charged" in found else 0
        assert against == waived
        owed = found["centre/sj01/receivable"].balance if "centre/sj01/receivable" in found else 0
        return waived / YUAN, own / YUAN, owed / YUAN


@pytest.fixture
async def centre(new_database):
    place = new_database(new_ledger)
    async with Desk(place) as desk:
        desk.now_ns = NOW_S * 10**9
        await register_centre(desk.journal, CATALOG, "sj01", "松江", {"H800": 640})
        await bind_account(desk.journal, "sj01", "lab-0", sandbox_uscc(1))
        voucher = await give(desk, "1000")
        yield Centre(desk, voucher, replace(RULES, schemes={**CATALOG.series, FREE.id: FREE}))
    report = await audit(place)
    assert report["ok"], report


@pytest.mark.parametrize("compact", [True, False])
async def test_what_a_centre_interrupted_is_charged_to_nobody(centre, compact):
    """The wrong answers: 1,056 from the voucher for all six, or 352 more from the account itself. Its owner's ends are charged."""
    events = [centre.ended(at, state) for at, state in enumerate(STATES[:5], 1)]
    assert await centre.report(*events, compact=compact) == TAKEN * 5
    assert await centre.money() == {"available": 1000.0 - 3 * PRICE, "held": 0.0, "redeemed": 3.0 * PRICE}
    assert await centre.free() == (2 * PRICE, 0, 3 * PRICE)
    job = await centre.desk.journal.transact(lambda tx: usage_job(tx, centre.rules, SOURCE, events[0]["id"]))
    assert (job.price, job.own, job.about["not_charged_yuan"], job.about["state"]) == (0, 0, "176.000000", "NODE_FAIL")


async def test_a_correction_takes_back_exactly_what_was_not_charged(centre):
    """The job ended by itself after all: charged; and one that was charged turns out to have been interrupted: given back."""
    events = [centre.ended(1, "NODE_FAIL"), centre.ended(2, "COMPLETED"), centre.ended(3, "PREEMPTED")]
    await centre.report(*events)
    assert await centre.free() == (2 * PRICE, 0, PRICE)
    assert await centre.correct(centre.ended(1, "COMPLETED"), reason="误报") == ("accepted", "")
    assert await centre.free() == (PRICE, 0, 2 * PRICE)
    assert (await centre.money())["redeemed"] == 2 * PRICE
    assert await centre.correct(centre.ended(2, "NODE_FAIL"), reason="节点故障") == ("accepted", "")
    assert await centre.free() == (2 * PRICE, 0, PRICE)
    assert (await centre.money())["available"] == 1000 - PRICE


@pytest.mark.parametrize("held", [False, True])
async def test_a_running_job_that_is_interrupted_was_free_from_its_start(centre, held):
    """Its checkpoint was charged and is taken back: the wrong answer keeps the first half hour, 88 yuan."""
    hold = await centre.hold(400) if held else None
    centre.desk.now_ns += HOUR_S * 10**9 // 2
    early = centre.job(1, lasts_s=HOUR_S // 2, final=False, voucher=hold)
    assert await centre.report(early) == TAKEN
    assert (await centre.money())["redeemed"] == PRICE / 2
    centre.desk.now_ns += HOUR_S * 10**9 // 2 - 10**9
    last = centre.ended(1, "NODE_FAIL", voucher=hold)
    last["data"] |= {"start": early["data"]["start"], "active_s": HOUR_S - 1}
    assert await centre.report(last) == TAKEN
    assert await centre.money() == {"available": 1000.0, "held": 0.0, "redeemed": 0.0}
    waived, own, owed = await centre.free()
    assert (int(waived), own, owed) == (PRICE - 1, 0, 0)
