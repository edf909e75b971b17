"""Work that flies: done while the group before is on its way to the disk, seeing what that one wrote, and done again when it must."""

import asyncio
import contextlib

import pytest

from ledger.entry import credit, debit
from ledger.errors import LedgerError
from ledger.sql import Conflict, execute_all
from metering.tables import nonce as nonces
from tests.ledger.desk import FUNDED, codes, gathered
from tests.ledger.notation import post


class Once:
    """Pays 1 and takes a nonce, which nobody took before: on disk, or by work that is on its way there."""

    def __init__(self, book, nonce: str, name: str) -> None:
        self.book, self.nonce, self.name = book, nonce, name
        self.times, self.done = 0, asyncio.Event()

    async def __call__(self, tx) -> None:
        self.times += 1
        noted = dict(tx.noted)
        [found] = await execute_all(
            tx.connection, [("SELECT 1 FROM nonce WHERE kid = ? AND nonce = ?", ("k", self.nonce))]
        )
        if found or self.nonce in noted:
            raise LedgerError("used", "已用", "used")
        tx.noted[self.nonce] = True
        tx.write([(nonces, [("k", self.nonce, 1)], Conflict.REFUSE)])
        self.done.set()
        await tx.append([post(self.name, debit(self.book.numbers["v1"], 1), credit(self.book.numbers["centre"], 1))])


@contextlib.asynccontextmanager
async def slow_disk(desk, *, fails: bool = False):
    """Keep the first group in the air until the block ends; then it lands, or the disk fails once."""
    begun, go = asyncio.Event(), asyncio.Event()
    write_rows = desk.database.write_rows

    async def slow(expected, rows) -> bool:
        desk.database.write_rows = write_rows
        begun.set()
        await go.wait()
        if fails:
            raise OSError("the disk is away")
        return await write_rows(expected, rows)

    desk.database.write_rows = slow
    yield begun
    go.set()


@pytest.mark.parametrize("fails", [False, True])
async def test_a_nonce_in_the_air_is_taken(desk, fails):
    """A second use is refused while the first is not yet on disk; if the first is done again after a fault, it is refused still."""
    book = await desk.play(FUNDED)
    first, second, other = Once(book, "n", "first"), Once(book, "n", "second"), Once(book, "m", "other")
    async with slow_disk(desk, fails=fails) as begun:
        one = asyncio.create_task(desk.journal.transact(first, flies=True))
        await begun.wait()
        two = asyncio.create_task(gathered(*(desk.journal.transact(work, flies=True) for work in (second, other))))
        await other.done.wait()
        assert not one.done(), "applied while the first is in the air"
    assert [*codes(await gathered(one)), *codes(await two)] == ["", "used", ""]
    assert (first.times, second.times, other.times) == ((2, 2, 2) if fails else (1, 1, 1))
    assert sorted(desk.rows("SELECT nonce FROM nonce")) == [("m",), ("n",)]
    await desk.play("v1 has 38\ncentre has 2", book)


async def test_a_nonce_of_the_same_group_is_taken(desk):
    """Work of one group sees what the work before it wrote, though rows are written at the end, in a transaction or in flight."""
    book = await desk.play(FUNDED)
    works = [Once(book, "n", f"work {at}") for at in range(4)]
    async with desk.held_up():  # a group of its own, in which nothing flies
        asked = asyncio.create_task(gathered(*(desk.journal.transact(work, flies=True) for work in works)))
    assert codes(await asked) == ["", "used", "used", "used"]
    assert desk.rows("SELECT nonce FROM nonce") == [("n",)]
    await desk.play("v1 has 39\ncentre has 1", book)


async def test_flying_work_that_fails_leaves_nothing(desk):
    """Neither its rows nor its notes nor its entries: whoever comes next may do the same."""
    book = await desk.play(FUNDED)

    async def fails(tx) -> None:
        await Once(book, "n", "lost")(tx)
        raise ValueError("changed its mind")

    again = Once(book, "n", "kept")
    outcomes = await gathered(*(desk.journal.transact(work, flies=True) for work in (fails, again)))
    assert [type(outcome) for outcome in outcomes] == [ValueError, type(None)]
    assert desk.rows("SELECT nonce FROM nonce") == [("n",)]
    await desk.play("v1 has 39\ncentre has 1", book)


async def test_work_in_the_air_meets_one_that_stays_on_the_ground(desk):
    """Work with SQL of its own waits until what flies has landed, and sees it."""
    book = await desk.play(FUNDED)

    async def look(tx) -> int:
        [[(count,)]] = await execute_all(tx.connection, [("SELECT count(*) FROM nonce", ())])
        return int(count)

    async with slow_disk(desk) as begun:
        one = asyncio.create_task(desk.journal.transact(Once(book, "n", "first"), flies=True))
        await begun.wait()
        two = asyncio.create_task(desk.journal.transact(look))
    assert await two == 1
    await one
