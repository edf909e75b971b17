"""A bureau at work on both databases; when the test is done, the whole ledger must verify."""

import pytest

from tests.contracts.bureau import Bureau, make
from tests.contracts.voucher_bureau import VoucherBureau
from tests.ledger.desk import Desk, audit


@pytest.fixture
async def bureau(new_database):
    place = new_database(make)
    async with Desk(place) as desk:
        yield Bureau(desk)
    report = await audit(place)
    assert report["ok"], report


@pytest.fixture
async def vouchers(new_database):
    """A bureau that gives vouchers; see `bureau`."""
    place = new_database(make)
    async with Desk(place) as desk:
        yield VoucherBureau(desk)
    report = await audit(place)
    assert report["ok"], report
