"""A PostgreSQL server that goes away and comes back: nothing acknowledged is lost, and no restart of ours is needed."""

import asyncio
import secrets
import time

import pytest

from ledger.entry import EntryKind, Event
from ledger.journal import Journal
from ledger.sql import execute_all, insert_rows, is_storage_fault
from metering.tables import nonce
from suanquan.db.database import Database
from suanquan.db.place import Server
from suanquan.db.schema import upgrade
from suanquan.errors import ServiceError
from suanquan.service import _genesis
from suanquan.use_cases.verify_ledger import verify_ledger
from tests.conftest import ALL
from tests.contracts.test_lease import ledger

KILLS = 20 if ALL else 3


@pytest.fixture
def server(databases):
    """The server of this test run, to be killed."""
    if databases.own is None:
        pytest.skip("a server that is not ours is not killed")
    yield databases.own
    if not databases.own.is_running:
        databases.own.start()


@pytest.fixture
async def database(databases, server):
    place = databases.create("outage")
    await asyncio.to_thread(ledger, place)
    opened = Database(place)
    yield opened
    await opened.close()
    databases.drop(place)


def note():
    event_id = secrets.token_bytes(16)
    return Event(EntryKind.NOTE, event_id, event_id * 2, salt=bytes(32), payload=b"note")


async def write_until(journal, stopping, acknowledged, told):
    """Record notes one after another, and remember which were acknowledged and what else was said."""
    while not stopping.is_set():
        event = note()
        try:
            await journal.submit(event)
        except Exception as error:  # noqa: BLE001 -- whatever is said is looked at
            told.add(getattr(error, "code", repr(error)))
            await asyncio.sleep(0.02)
        else:
            acknowledged.append(event.event_id)


async def goes_on(acknowledged):
    """Wait until 200 more are acknowledged."""
    before = len(acknowledged)
    for _ in range(2_000):
        if len(acknowledged) >= before + 200:
            return
        await asyncio.sleep(0.01)
    pytest.fail("the journal does not go on")


async def test_nothing_acknowledged_is_lost_when_the_server_is_killed(database, server):
    """Under load the server is killed and started again and again: callers hear `storage-unavailable` and nothing else,
    the journal goes on by itself, every acknowledged entry is there, and the whole ledger verifies."""
    acknowledged, told, stopping = [], set(), asyncio.Event()
    journal = Journal(database, time.time_ns, secrets.token_bytes)
    async with journal.running():
        await journal.transact(_genesis)
        writers = [asyncio.create_task(write_until(journal, stopping, acknowledged, told)) for _ in range(16)]
        for number in range(KILLS):
            await goes_on(acknowledged)
            await asyncio.to_thread(server.kill)
            if number % 2:
                await asyncio.sleep(0.2)
            await asyncio.to_thread(server.start)
        await goes_on(acknowledged)
        stopping.set()
        await asyncio.gather(*writers)
    assert told == {"storage-unavailable"}
    async with database.read() as connection:
        report = await verify_ledger(connection, lambda done, size: None)
        assert report["ok"], report
        [found] = await execute_all(connection, [("SELECT event_id FROM entry", ())])
    assert {event_id for (event_id,) in found} >= set(acknowledged)


async def test_every_call_says_that_the_database_is_away_and_works_when_it_is_back(database, server):
    """Reads, writes and peeks, with kept connections and without, before a connection is made and within a transaction."""

    async def read(opened):
        async with opened.read() as connection:
            return await execute_all(connection, [("SELECT count(*) FROM nonce", ())])

    async def write(opened):
        async with opened.write() as connection:
            await insert_rows(connection, nonce, [("kid", secrets.token_hex(8), 1)])

    async def peek(opened):
        async with opened.peek() as connection:
            return await execute_all(connection, [("SELECT 1", ())])

    async def rows(opened):
        return await opened.write_rows([("SELECT 1", 1)], [])

    fresh = Database(database.place)
    calls = [(call, opened) for call in (read, write, peek, rows) for opened in (database, fresh)]
    for call in (read, write, peek):
        await call(database)

    async def within(way):
        async with way() as connection:
            await execute_all(connection, [("SELECT 1", ())])
            await asyncio.to_thread(server.kill)
            await execute_all(connection, [("SELECT 1", ())])

    for way in (database.read, database.write, database.peek):
        with pytest.raises(ServiceError) as caught:
            await within(way)
        assert caught.value.code == "storage-unavailable"
        assert is_storage_fault(caught.value.__cause__)
        for call, opened in calls:
            with pytest.raises(ServiceError) as caught:
                await call(opened)
            assert (caught.value.code, caught.value.kind.value) == ("storage-unavailable", "unavailable")
            assert is_storage_fault(caught.value.__cause__)
        await asyncio.to_thread(server.start)
        for call, opened in calls:
            await call(opened)
    await fresh.close()


async def test_kept_connections_that_died_in_an_outage_are_not_used(database, server):
    """When the server was away between two calls nobody notices."""
    for _ in range(KILLS):
        async with database.write() as connection:
            await insert_rows(connection, nonce, [("kid", secrets.token_hex(8), 1)])
        async with database.read() as connection:
            await execute_all(connection, [("SELECT 1", ())])
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
    async with database.write() as connection:
        await execute_all(connection, [("SELECT 1", ())])
    async with database.read() as connection:
        assert await execute_all(connection, [("SELECT count(*) FROM nonce", ())]) == [[(KILLS,)]]


def test_a_server_that_is_away_is_said_by_commands(databases, server):
    """Migrations and checks, which connect on their own, say the same."""
    place = databases.create("away")
    server.kill()
    for address in (
        place,
        Server("postgresql://postgres@127.0.0.1:1/none"),
        Server("postgresql://postgres@/x?host=/none"),
    ):
        with pytest.raises(ServiceError) as caught:
            upgrade(address)
        assert caught.value.code == "storage-unavailable"
