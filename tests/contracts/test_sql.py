"""What every store relies on, on both databases."""

import asyncio
import contextlib

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from ledger import sql
from ledger.sql import Conflict, execute_all, insert_new, insert_rows, is_storage_fault, savepoint, select_in
from ledger.tables import dated_day, entry, hold
from metering import store as metering_store
from metering.tables import batch_account, nonce, quarantine, usage_id, usage_month
from suanquan.db.database import Database
from suanquan.db.schema import upgrade
from suanquan.errors import ServiceError
from tests.back_ends import rows

INT64_MAX = 2**63 - 1
INT64_MIN = -(2**63)


@pytest.fixture
async def database(new_database):
    opened = Database(new_database(upgrade))
    yield opened
    await opened.close()


async def content(database, table):
    async with database.read() as connection:
        return [tuple(row) for row in await connection.execute(select(table).order_by(*table.primary_key.columns))]


def entries(count, first=0):
    return [(0, seq, seq.to_bytes(16), 1, seq, b"leaf %d" % seq) for seq in range(first, first + count)]


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 20_000])
async def test_rows_are_appended_as_given(database, count):
    """Any number of rows, also more than one statement takes, arrive with every value unchanged."""
    async with database.write() as connection:
        await insert_rows(connection, entry, entries(count))
    assert await content(database, entry) == entries(count)


@pytest.mark.parametrize(
    "row",
    [
        (INT64_MIN, 0, INT64_MAX, -1, 0, INT64_MAX, None, 0),
        (1, 2**15 - 1, 0, 0, INT64_MIN, 0, INT64_MAX, -(2**15)),
    ],
)
async def test_the_whole_range_of_integers_and_null_are_kept(database, row):
    """int64 and int16 at both ends, and a column that is empty."""
    for conflict in (Conflict.REFUSE, Conflict.REPLACE):
        async with database.write() as connection:
            await insert_rows(connection, hold, [row], conflict)
        assert await content(database, hold) == [row]


async def test_a_fact_is_not_written_twice(database):
    """A key, or another unique column, that exists refuses all the rows; nobody takes it for a fault of the database."""
    async with database.write() as connection:
        await insert_rows(connection, entry, entries(100))
    for again in (entries(3, first=98), [(0, 500, (7).to_bytes(16), 1, 0, b"")], entries(2, 200) + entries(1, 200)):
        with pytest.raises(ServiceError) as caught:
            async with database.write() as connection:
                await insert_rows(connection, entry, again)
        assert isinstance(caught.value.__cause__, IntegrityError)
        assert not is_storage_fault(caught.value.__cause__)
    assert await content(database, entry) == entries(100)


async def test_of_equal_keys_the_last_is_kept(database):
    """REPLACE takes rows in order, those of one call and those that exist."""
    first = [(seq, 0, 1, 2, seq, 0, None, 0) for seq in range(3_000)]
    then = [(seq % 10, 0, 1, 2, seq, 1, 5, 1) for seq in range(2_500, 5_000)]
    async with database.write() as connection:
        await insert_rows(connection, hold, first, Conflict.REPLACE)
        await insert_rows(connection, hold, then, Conflict.REPLACE)
    expected = {row[0]: row for row in first} | {row[0]: row for row in then}
    assert await content(database, hold) == [expected[seq] for seq in sorted(expected)]


async def test_equal_keys_are_added_up(database):
    """ADD sums all columns beside the key, within a call and onto what exists."""
    rows = [(seq % 7, 1, seq % 300, seq, 1) for seq in range(5_000)]
    for _ in range(2):
        async with database.write() as connection:
            await insert_rows(connection, dated_day, rows, Conflict.ADD)
    expected = {}
    for account, axis, day, debits, credits_ in rows * 2:
        before = expected.get((account, axis, day), (0, 0))
        expected[account, axis, day] = before[0] + debits, before[1] + credits_
    assert await content(database, dated_day) == [(*key, *sums) for key, sums in sorted(expected.items())]


async def test_a_sum_beyond_int64_is_the_works_fault(database):
    """It is refused, what was there stays, and it does not count as a failure of the database."""
    row = (1, 1, 1, INT64_MAX, 0)
    async with database.write() as connection:
        await insert_rows(connection, dated_day, [row], Conflict.ADD)
        for more in ([row], [(1, 1, 1, 1, 0)]):
            with pytest.raises((DBAPIError, OverflowError)) as caught:
                async with savepoint(connection):
                    await insert_rows(connection, dated_day, more, Conflict.ADD)
            assert not is_storage_fault(caught.value)
    assert await content(database, dated_day) == [row]


async def test_a_row_is_new_once(database):
    """`insert_new` says whether it inserted, and leaves what exists alone."""
    async with database.write() as connection:
        assert await insert_new(connection, nonce, ("kid", "n", 5))
        assert not await insert_new(connection, nonce, ("kid", "n", 9))
        assert await insert_new(connection, nonce, ("kid", "m", 9))
    assert await content(database, nonce) == [("kid", "m", 9), ("kid", "n", 5)]


@pytest.mark.parametrize("wanted", [0, 1, 5_000, 9_000])
async def test_thousands_are_looked_up_at_once(database, wanted):
    """Both by parameters and by SQLAlchemy; what does not exist is not found."""
    known = [(1, f"id-{number}", number, number.to_bytes(4)) for number in range(0, 10_000, 2)]
    names = [f"id-{number}" for number in range(wanted)]
    async with database.write() as connection:
        await insert_rows(connection, usage_id, known)
        found = await metering_store.known_ids(connection, 1, names)
        assert found == {f"id-{number}": number.to_bytes(4) for number in range(0, wanted, 2)}
        assert await metering_store.known_ids(connection, 2, names) == {}
        parts = [
            await connection.execute(select(usage_id.c.id).where(usage_id.c.id.in_(part))) for part in sql.chunks(names)
        ]
        assert {name for part in parts for (name,) in part} == found.keys()


async def test_bytes_numbers_and_text_can_be_looked_up(database):
    """One look-up takes what the column holds, with other parameters before the list."""
    async with database.write() as connection:
        await insert_rows(connection, entry, entries(10))
        for query, values in (
            ("SELECT seq FROM entry WHERE shard = ? AND event_id", [(3).to_bytes(16), (4).to_bytes(16), b"none"]),
            ("SELECT seq FROM entry WHERE shard = ? AND seq", [3, 4, 77]),
        ):
            [found] = await execute_all(connection, select_in(query, values, 0))
            assert sorted(found) == [(3,), (4,)]


async def test_text_is_ordered_by_bytes(database):
    """Capitals before small letters, Chinese after both, whatever language the server was made for."""
    names = ["a", "B", "b", "Z", "_", "é", "中", "丁", "\U0001f600", "aa", "a-b", "ab"]
    async with database.write() as connection:
        await insert_rows(connection, batch_account, [("c", name, 1) for name in names])
    assert [row[1] for row in await content(database, batch_account)] == sorted(names, key=str.encode)


async def test_text_columns_say_how_they_are_ordered(database, back_end):
    """On PostgreSQL every text column has the collation of bytes."""
    if back_end.name == "sqlite":
        pytest.skip("SQLite orders by bytes unless told otherwise")
    found = rows(
        database.place,
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public' AND data_type = 'text'"
        " AND collation_name IS DISTINCT FROM 'C'",
    )
    assert found == []


async def test_text_that_no_database_holds_is_the_works_fault(database):
    """Where PostgreSQL refuses a NUL in a text, the transaction goes on: that is not an outage."""
    async with database.write() as connection:
        with contextlib.suppress(DBAPIError):
            async with savepoint(connection):
                await insert_rows(connection, nonce, [("kid", "a\0b", 1)])


async def test_a_quarantined_id_may_be_anything(database):
    """What could not be read is kept for a person, its id readable, its bytes as they came."""
    row = (1, 0, "sj01", "a\0b", "rejected", "text-invalid", b"a\0b")
    async with database.write() as connection:
        await metering_store.write_quarantine(connection, [row])
    async with database.read() as connection:
        [kept] = await connection.execute(select(quarantine))
    assert (kept.id, kept.record) == ("a\ufffdb", b"a\0b")


async def test_sums_are_integers_beyond_int64(database):
    """Totals of a month come as Python integers, exact beyond int64."""
    async with database.write() as connection:
        keys = [("sj01", f"account {number}", "A100", 202503) for number in range(3)]
        await insert_rows(connection, usage_month, [(*key, 1, INT64_MAX, 2**40 + 1, 0) for key in keys])
    async with database.read() as connection:
        [row] = await metering_store.usage_by(connection, "model", centre="sj01")
    assert row == {
        "model": "A100",
        "records": 3,
        "gpu_ms": 3 * INT64_MAX,
        "compute_units": 3 * 2**40 + 3,
        "rated_units": 0,
    }
    assert {type(value) for value in row.values()} == {str, int}


async def wrongly(connection, wrong):
    async with savepoint(connection):
        await insert_rows(connection, nonce, [("kid", "gone", 1)])
        await insert_rows(connection, entry, wrong)


async def test_part_of_a_transaction_can_be_taken_back(database):
    """A savepoint takes back its own rows alone, also after an error of the database; the transaction goes on."""
    async with database.write() as connection:
        await insert_rows(connection, entry, entries(2))
        for wrong in (entries(1), [(0, "text", b"", 0, 0, b"")]):
            with pytest.raises((DBAPIError, TypeError)) as caught:
                await wrongly(connection, wrong)
            assert not is_storage_fault(caught.value)
        async with savepoint(connection):
            await insert_rows(connection, nonce, [("kid", "kept", 1)])
    assert await content(database, entry) == entries(2)
    assert await content(database, nonce) == [("kid", "kept", 1)]


async def test_a_transaction_that_failed_is_not_said_to_be_committed(database):
    """Work that hides an error of the database does not pass for done on PostgreSQL, which then rolls back silently."""

    async def hide():
        async with database.write() as connection:
            await insert_rows(connection, nonce, [("kid", "first", 1)])
            with pytest.raises(IntegrityError):
                await insert_rows(connection, nonce, [("kid", "first", 2)])

    [said] = await asyncio.gather(hide(), return_exceptions=True)
    kept = await content(database, nonce)
    assert (kept, said) == ([("kid", "first", 1)], None) or (kept, said.code) == ([], "storage-unavailable")


async def test_writing_transactions_exclude_each_other(new_database):
    """What is read in one cannot change until it commits, also between processes (here: two databases on one place)."""
    place = new_database(upgrade)
    databases = [Database(place), Database(place)]
    async with databases[0].write() as connection:
        await insert_rows(connection, nonce, [("kid", "count", 0)])

    async def count(database):
        for _ in range(25):
            async with database.write() as connection:
                [[(value,)]] = await execute_all(connection, [("SELECT until_us FROM nonce", ())])
                await asyncio.sleep(0)
                await insert_rows(connection, nonce, [("kid", "count", value + 1)], Conflict.REPLACE)

    await asyncio.gather(*(count(database) for database in databases for _ in range(2)))
    assert await content(databases[0], nonce) == [("kid", "count", 100)]
    for database in databases:
        await database.close()


async def test_rows_are_written_only_where_numbers_are_as_expected(database):
    """`write_rows` is one transaction: all of it, or with another number nothing."""
    count = "SELECT count(*) FROM nonce"
    parts = [(nonce, [("kid", "a", 1)], Conflict.REFUSE), (dated_day, [(1, 1, 1, 5, 5)], Conflict.ADD)]
    assert await database.write_rows([(count, 0)], parts)
    assert not await database.write_rows([(count, 0)], parts)
    assert not await database.write_rows([(count, 1), (count, 7)], parts)
    with pytest.raises(ServiceError):
        await database.write_rows([(count, 1)], parts[::-1])
    assert await content(database, nonce) == [("kid", "a", 1)]
    assert await content(database, dated_day) == [(1, 1, 1, 5, 5)]


async def test_a_reader_sees_one_moment(database):
    """A snapshot does not change while others write, and cannot be written to; a peek sees each commit."""
    async with database.write() as connection:
        await insert_rows(connection, nonce, [("kid", "a", 1)])
    count = select(func.count()).select_from(nonce)
    async with database.read() as reader:
        assert (await reader.execute(count)).scalar_one() == 1
        async with database.write() as connection:
            await insert_rows(connection, nonce, [("kid", "b", 1)])
        assert (await reader.execute(count)).scalar_one() == 1
        assert await execute_all(reader, [("SELECT count(*) FROM nonce", ())]) == [[(1,)]]
        async with database.peek() as peek:
            assert await execute_all(peek, [("SELECT count(*) FROM nonce", ())]) == [[(2,)]]
            assert (await peek.execute(count)).scalar_one() == 2
    with pytest.raises(ServiceError):
        async with database.read() as reader:
            await reader.execute(text("DELETE FROM nonce"))
    async with database.read() as reader:
        assert (await reader.execute(count)).scalar_one() == 2


async def test_an_unfinished_transaction_leaves_nothing(database):
    """Whatever ends the block, an error or a cancellation, takes its rows back, and the next one works."""

    async def interrupted():
        async with database.write() as connection:
            await insert_rows(connection, nonce, [("kid", "a", 1)])
            await asyncio.sleep(60)

    task = asyncio.create_task(interrupted())
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    async def failed():
        async with database.write() as connection:
            await insert_rows(connection, nonce, [("kid", "b", 1)])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await failed()
    async with database.write() as connection:
        await insert_rows(connection, nonce, [("kid", "c", 1)])
    assert await content(database, nonce) == [("kid", "c", 1)]
