"""A new ledger for each test, and its audit afterwards."""

import pytest

from tests.ledger.desk import Desk, audit, new_ledger


@pytest.fixture
async def desk(new_database):
    """A desk with a new ledger, on each database; when the test is done, the whole ledger must verify."""
    place = new_database(new_ledger)
    async with Desk(place) as desk:
        yield desk
    report = await audit(place)
    assert report["ok"], report
