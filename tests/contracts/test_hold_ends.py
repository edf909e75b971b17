"""A job that names its hold and goes on while the voucher ends: the scheme says whether the hold pays on. On both databases."""

from dataclasses import replace

import pytest

from suanquan.use_cases.setup import bind_account, register_centre
from tests.contracts.test_hold_unnamed import HOUR_S, TAKEN
from tests.contracts.test_holds import give
from tests.contracts.test_interrupted import PRICE, TEXT, Centre
from tests.ledger.desk import Desk, audit, new_ledger
from tests.ledger.full_ledger import CATALOG, NOW_S, RULES
from voucher.holder import sandbox_uscc
from voucher.scheme_reader import parse_series

STOPS = parse_series(TEXT.replace('at_expiry = "run_to_end"', 'at_expiry = "stop"').encode(), "stop.toml")


@pytest.fixture
async def open_centre(new_database):
    """Two hours before the end of its holder's voucher; the rules of metering are those of a scheme."""
    place = new_database(new_ledger)
    async with Desk(place) as desk:
        desk.now_ns = NOW_S * 10**9
        await register_centre(desk.journal, CATALOG, "sj01", "松江", {"H800": 640})
        await bind_account(desk.journal, "sj01", "lab-0", sandbox_uscc(1))
        voucher = await give(desk, "2000")
        desk.now_ns = voucher.until_us * 1000 - 2 * HOUR_S * 10**9
        yield lambda series: Centre(desk, voucher, replace(RULES, schemes={**CATALOG.series, series.id: series}))
    report = await audit(place)
    assert report["ok"], report


@pytest.mark.parametrize("checkpoints", [(), (1, 3), (2,), (1, 2, 3)])
@pytest.mark.parametrize("stops", [False, True])
async def test_a_hold_pays_on_or_stops_with_its_voucher(open_centre, stops, checkpoints):
    """Four hours, two of them before the end: all of it by the hold, or half of it and half by the account, whatever was seen on the way.

    A suspended hour before the last report moves an hour's worth over the end, so that what was posted is taken back.
    """
    centre = open_centre(STOPS if stops else CATALOG.series[STOPS.id])
    begin, hold = centre.desk.now_ns, await centre.hold(3 * PRICE, life_s=24 * HOUR_S)
    for hours in (*checkpoints, 4):
        centre.desk.now_ns = begin + hours * HOUR_S * 10**9
        seen = centre.job(1, lasts_s=hours * HOUR_S, final=hours == 4, voucher=hold)
        seen["data"]["active_s"] = min(hours, 3) * HOUR_S
        assert await centre.report(seen) == TAKEN
    _, own, owed = await centre.free()
    part = 3 * PRICE / 2
    assert ((await centre.money())["redeemed"], own, owed) == (
        (part, part, 3 * PRICE) if stops else (3 * PRICE, 0, 3 * PRICE)
    )
    assert (await centre.money())["held"] == 0
