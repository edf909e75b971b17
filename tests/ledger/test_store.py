"""What the ledger's store finds, on both databases."""

import pytest

from ledger.amount import CNY
from ledger.store import accounts_under

NAMES = [
    "a/x",
    "a/X",
    "A/x",
    "a_/x",
    "a%/x",
    "ab/x",
    "a/",
    "a",
    "a/x/y",
    "a0",
    "中/a",
    "中a",
    "丁/a",
    "a/\U0001f600",
    "a.x",
]


@pytest.mark.parametrize("prefix", ["a/", "A/", "a_/", "a%/", "中/", "a/x", "a", "none/"])
async def test_accounts_are_found_by_the_beginning_of_their_name(desk, prefix):
    """Byte for byte: capitals are not small letters, and `_` and `%` stand for themselves; in the order of bytes."""
    await desk.journal.transact(lambda tx: tx.open([(name, CNY, None) for name in NAMES]))
    async with desk.database.read() as connection:
        found = [account.name for account in await accounts_under(connection, prefix)]
        everything = [account.name for account in await accounts_under(connection, "")]
    assert found == sorted((name for name in NAMES if name.startswith(prefix)), key=str.encode)
    assert everything == sorted(NAMES, key=str.encode)
