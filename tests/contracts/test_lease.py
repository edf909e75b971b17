"""The lease: one holder, who loses it by silence, and whose old epoch can then write nothing."""

import asyncio
import multiprocessing
import os
import secrets
import time

import pytest

from ledger.entry import EntryKind, Event
from ledger.journal import Journal
from ledger.store import create_log
from ledger.tables import log_state
from suanquan.db import lease
from suanquan.db.database import Database
from suanquan.db.schema import upgrade
from suanquan.errors import ServiceError
from suanquan.leader import holding, stand_by
from suanquan.service import _genesis
from tests.back_ends import rows

RUN_OUT = "UPDATE lease SET until_us = 0"


def ledger(place):
    """A database with an empty log."""
    upgrade(place)

    async def make():
        database = Database(place)
        async with database.write() as connection:
            await create_log(connection, "test.example/ledger/0", bytes(32))
        await database.close()

    asyncio.run(make())


@pytest.fixture
async def databases_of_two(new_database):
    """One database, as two processes open it."""
    place = new_database(ledger)
    both = Database(place), Database(place)
    yield both
    for database in both:
        await database.close()


async def test_one_of_many_gets_it(databases_of_two):
    """Of twenty who ask at once one gets the lease; the others get nothing, and it again only under a new epoch."""
    asked = [lease.acquire(databases_of_two[number % 2], f"owner {number}") for number in range(20)]
    held = [found for found in await asyncio.gather(*asked) if found]
    assert len(held) == 1
    again = await lease.acquire(databases_of_two[0], held[0].owner)
    assert again.epoch == held[0].epoch + 1


async def test_it_lasts_as_long_as_it_is_renewed(databases_of_two):
    """A holder who renews keeps it; one who falls silent until it runs out loses it to who asks, and is told so."""
    first, second = databases_of_two
    held = await lease.acquire(first, "a")
    for _ in range(4):
        rows(first.place, RUN_OUT)
        assert await lease.renew(first, held), "nobody took it, so it is held still"
        assert await lease.acquire(second, "b") is None
    rows(first.place, RUN_OUT)
    taken = await lease.acquire(second, "b")
    assert taken.epoch == held.epoch + 1
    assert not await lease.renew(first, held)
    assert not await lease.release(first, held)
    assert await lease.acquire(first, "a") is None


async def test_a_lease_runs_out_by_itself(databases_of_two):
    """Its time is the database's: a moment later it is free without anybody's doing."""
    first, second = databases_of_two
    held = await lease.acquire(first, "a", 1)
    await asyncio.sleep(0.01)
    assert (await lease.acquire(second, "b")).epoch == held.epoch + 1


async def test_what_is_released_is_free_at_once(databases_of_two):
    """A service that stops lets its stand-by go on."""
    first, second = databases_of_two
    assert await lease.release(first, await lease.acquire(first, "a"))
    assert await lease.acquire(second, "b")


async def test_a_stale_epoch_writes_nothing(databases_of_two):
    """A journal whose lease was taken is refused in its own transaction, alone and in a group, and may read still."""
    first, second = databases_of_two
    held = await lease.acquire(first, "a", 0)
    journal = Journal(first, time.time_ns, secrets.token_bytes, [held.fence])
    async with journal.running():
        await journal.transact(_genesis)
        assert await lease.acquire(second, "b")
        before = rows(first.place, f"SELECT * FROM {log_state.name}")
        for _ in range(2):
            [refused] = await asyncio.gather(journal.transact(note), return_exceptions=True)
            assert (refused.code, refused.kind.value) == ("writer-fenced", "unavailable")
    assert rows(first.place, f"SELECT * FROM {log_state.name}") == before


async def note(tx):
    event_id = tx.entropy(16)
    await tx.append([Event(EntryKind.NOTE, event_id, event_id * 2, salt=tx.entropy(32), payload=b"note")])


async def test_a_stand_by_takes_over_and_the_other_is_told(databases_of_two):
    """The stand-by waits while the lease is held, gets it when it is taken from the holder, who then has to leave."""
    first, second = databases_of_two
    stopping, lost = asyncio.Event(), asyncio.Event()
    held = await lease.acquire(first, "somebody else")
    waiting = asyncio.create_task(stand_by(second, stopping))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    rows(first.place, RUN_OUT)
    taken = await asyncio.wait_for(waiting, 30)
    assert taken.epoch == held.epoch + 1

    async def hold():
        async with holding(first, held, lost.set):
            pass

    with pytest.raises(ServiceError, match="写入权"):
        await hold()
    async with holding(second, taken, lost.set):
        pass
    assert await lease.acquire(first, "next"), "released on leaving"


async def test_a_stand_by_can_be_stopped(databases_of_two):
    """A signal ends the waiting."""
    await lease.acquire(databases_of_two[0], "a")
    stopping = asyncio.Event()
    waiting = asyncio.create_task(stand_by(databases_of_two[1], stopping))
    await asyncio.sleep(0.1)
    stopping.set()
    assert await asyncio.wait_for(waiting, 30) is None


def _name_of_a_child(queue):
    queue.put(lease.this_process())


def test_a_process_of_this_machine_that_is_gone_is_known_to_be_gone():
    """After `kill -9` the next start need not wait; who runs here, or on another machine, is left alone."""
    context = multiprocessing.get_context("forkserver")
    queue = context.Queue()
    child = context.Process(target=_name_of_a_child, args=(queue,))
    child.start()
    name = queue.get(timeout=60)
    child.join()
    assert lease.is_gone(name)
    machine, number, unique = lease.this_process().split()
    assert not lease.is_gone(f"{machine} {os.getppid()} {unique}")
    assert lease.is_gone(f"{machine} {number} of-an-earlier-boot-of-the-same-number")
    assert not lease.is_gone(f"elsewhere {name.split()[1]} {unique}")


async def test_the_lease_of_a_process_that_is_gone_is_taken_at_once(databases_of_two):
    """Its time need not run out."""
    machine, number, _ = lease.this_process().split()
    assert await lease.acquire(databases_of_two[0], f"{machine} {number} earlier", 10**12)
    assert await lease.acquire(databases_of_two[1], lease.this_process())
