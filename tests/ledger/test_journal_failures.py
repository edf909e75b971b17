"""The writer when things go wrong: full disks, busy databases, callers who go away, too many of them, and the end."""

import asyncio
from pathlib import Path

import pytest
import sqlalchemy.event

from ledger import journal as journal_module
from ledger.entry import credit, debit
from ledger.errors import Kind, LedgerError
from suanquan.db import database as database_module
from tests.back_ends import rows
from tests.ledger.desk import FUNDED, Desk, codes, gathered, new_ledger, use_nonce
from tests.ledger.notation import event, post

ROOM = ("DROP FUNCTION IF EXISTS full_disk CASCADE",)
FULL = (
    *ROOM,
    "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE EXCEPTION USING ERRCODE = 'disk_full'; END $$",
    *(
        f"CREATE TRIGGER full_disk BEFORE INSERT ON {table} FOR EACH ROW WHEN (length(NEW.{column}) > 1000) "
        "EXECUTE FUNCTION full_disk()"
        for table, column in (("payload", "body"), ("nonce", "nonce"))
    ),
)
"""A PostgreSQL server says that its disk is full to whoever writes more than fits the pages there are."""


async def fill(desk: Desk, pages: int) -> None:
    """Let the database grow by so many pages and no more, as on a disk that is full, whoever connects to it."""
    if not isinstance(desk.path, Path):
        for statement in FULL if pages < 2 else ROOM:
            await asyncio.to_thread(rows, desk.path, statement)
        return
    async with desk.database.write() as connection:
        used = (await connection.exec_driver_sql("PRAGMA page_count")).scalar_one()
        limit = f"PRAGMA max_page_count = {used + pages}"
        await connection.exec_driver_sql(limit)
    for engine in (desk.database._writer, desk.database._readers):
        sqlalchemy.event.listen(engine.sync_engine, "connect", lambda made, _: made.execute(limit))


async def test_when_the_disk_is_full_nothing_is_recorded(desk):
    """Every caller of the group hears that nothing was written; with space again, the same requests are recorded."""
    book = await desk.play(FUNDED)
    await fill(desk, 1)
    events = [
        post(
            f"pay {at}",
            debit(book.numbers["v1"], 1),
            credit(book.numbers["centre"], 1),
            salt=b"s",
            payload=bytes(9_999),
        )
        for at in range(40)
    ]
    for _ in range(2):
        outcomes = await gathered(*map(desk.submit, events))
        assert codes(outcomes) == ["storage-unavailable"] * 40
        assert {outcome.kind for outcome in outcomes} == {Kind.UNAVAILABLE}
        assert desk.size() == 5
        assert desk.rows("SELECT count(*) FROM payload WHERE seq > 4") == [(0,)]
    await fill(desk, 10_000)
    assert not any([(await desk.submit(asked)).replayed for asked in events])
    await desk.play("v1 has 0\ncentre has 40", book)


async def test_when_one_work_fills_the_disk_no_other_is_told_it_is_recorded(desk):
    """SQLite may take back the whole transaction, not only the statement that failed: then nobody's work is recorded."""
    await fill(desk, 1)

    async def work(tx, nonce: str) -> None:
        await tx.append([event(nonce)])
        await use_nonce(tx.connection, nonce)

    names = ["before", "x" * 40_000, "after"]
    async with desk.held_up():
        group = asyncio.create_task(gathered(*(desk.journal.transact(lambda tx, n=n: work(tx, n)) for n in names)))
    assert codes(await group) == ["storage-unavailable"] * 3
    assert (desk.size(), desk.rows("SELECT * FROM nonce")) == (1, [])
    await fill(desk, 10_000)
    await asyncio.gather(*(desk.journal.transact(lambda tx, n=n: work(tx, n)) for n in names))
    assert (desk.size(), desk.rows("SELECT count(*) FROM nonce")) == (4, [(3,)])


async def test_when_another_process_keeps_the_database_nothing_is_recorded(desk, monkeypatch):
    """After a bounded wait callers hear that nothing was written; when the other is done, they are served again."""
    monkeypatch.setattr(database_module, "BUSY_MS", 20)
    async with Desk(desk.path) as hasty:
        async with desk.database.write():
            outcomes = await gathered(*(hasty.submit(event(f"note {at}")) for at in range(3)))
        assert codes(outcomes) == ["storage-unavailable"] * 3
        assert [(await hasty.submit(event(f"note {at}"))).seq for at in range(3)] == [1, 2, 3]


async def test_a_caller_who_goes_away_does_not_stop_the_writer(desk):
    """What was asked is recorded although nobody waits for it, and the others get their answers."""
    async with desk.held_up():
        callers = [asyncio.create_task(desk.submit(event(f"note {at}"))) for at in range(10)]
        await asyncio.sleep(0)
        for caller in callers[::2]:
            caller.cancel()
    outcomes = await gathered(*callers)
    assert [isinstance(outcome, asyncio.CancelledError) for outcome in outcomes] == [True, False] * 5
    assert [(await desk.submit(event(f"note {at}"))).replayed for at in range(10)] == [True] * 10


async def test_more_than_the_queue_holds_is_sent_away(desk, monkeypatch):
    """Beyond the bound callers are told to come back; those within it are recorded."""
    monkeypatch.setattr(journal_module, "QUEUE_MAX", 50)
    async with Desk(desk.path) as small:
        async with small.held_up():
            callers = [asyncio.create_task(small.submit(event(f"note {at}"))) for at in range(55)]
        outcomes = await gathered(*callers)
    assert codes(outcomes) == [""] * 50 + ["busy"] * 5
    assert outcomes[-1].kind is Kind.UNAVAILABLE
    assert desk.size() == 51


async def test_a_stop_finishes_what_is_queued(new_database):
    """Everybody who asked before the stop gets an answer that holds; who asks later is told that nobody writes."""
    stopped = Desk(new_database(new_ledger))
    async with stopped:
        callers = [asyncio.create_task(stopped.submit(event(f"note {at}"))) for at in range(700)]
        await asyncio.sleep(0)
    assert [caller.result().seq for caller in callers] == list(range(1, 701))
    assert stopped.size() == 701
    with pytest.raises(LedgerError) as refused:
        await stopped.submit(event("too late"))
    assert (refused.value.code, refused.value.kind) == ("stopped", Kind.UNAVAILABLE)


async def test_what_work_remembers_is_dropped_as_soon_as_it_may_be_wrong(desk):
    """A memo lives through work that promises not to touch it, not through other work, another process or a failure."""

    async def remembers(**how) -> bool:
        return await desk.journal.transact(note, **how)

    async def note(tx) -> bool:
        known = "rate" in tx.memo
        tx.memo["rate"] = 1
        return known

    assert [await remembers(keeps_memo=True) for _ in range(2)] == [False, True]
    await desk.submit(event("a posting changes no register"))
    assert await remembers(keeps_memo=True)
    await remembers()
    assert not await remembers(keeps_memo=True)
    async with Desk(desk.path) as other:
        await other.submit(event("elsewhere"))
    assert not await remembers(keeps_memo=True)
    await fill(desk, 0)
    assert codes(await gathered(desk.submit(event("x" * 50_000, payload=bytes(50_000))))) == ["storage-unavailable"]
    await fill(desk, 10_000)
    assert not await remembers(keeps_memo=True)


async def test_a_database_without_a_ledger_takes_nothing(new_database):
    """Where there is no log there is nothing to write to, and callers hear why."""
    place = new_database(new_ledger)
    rows(place, "DELETE FROM log_state")
    async with Desk(place) as empty:
        with pytest.raises(LedgerError) as refused:
            await empty.submit(event("note"))
    assert (refused.value.code, refused.value.kind) == ("no-ledger", Kind.UNAVAILABLE)
