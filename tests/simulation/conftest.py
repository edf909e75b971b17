"""A new ledger, made once."""

import asyncio

import pytest

from tests.ledger.desk import make_ledger


@pytest.fixture(scope="session")
def blank_ledger(tmp_path_factory) -> bytes:
    """The database file of a new ledger: schema, triggers and genesis."""
    path = tmp_path_factory.mktemp("blank") / "ledger.db"
    asyncio.run(make_ledger(path))
    return path.read_bytes()
