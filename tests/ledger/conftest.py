"""A new ledger for each test, and its audit afterwards."""

import asyncio

import pytest

from tests.ledger.desk import Desk, audit, make_ledger


@pytest.fixture(scope="session")
def blank_ledger(tmp_path_factory) -> bytes:
    """The database file of a new ledger: schema, triggers and genesis."""
    path = tmp_path_factory.mktemp("blank") / "ledger.db"
    asyncio.run(make_ledger(path))
    return path.read_bytes()


@pytest.fixture
async def desk(tmp_path, blank_ledger):
    """A desk with a new ledger; when the test is done, the whole ledger must verify."""
    path = tmp_path / "ledger.db"
    path.write_bytes(blank_ledger)
    async with Desk(path) as desk:
        yield desk
    report = await audit(path)
    assert report["ok"], report
