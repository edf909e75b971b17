"""The audit log on both databases: every change of it shows, what is erased leaves its place, and an export is checked alone."""

import asyncio
import json
from random import Random

import pytest

from suanquan.access.trail import TEXT_MAX, Act, Row, check
from suanquan.db import trail
from suanquan.db.database import Database
from suanquan.db.schema import upgrade
from suanquan.db.tables import APPEND_ONLY, ERASABLE
from suanquan.errors import ServiceError
from suanquan.use_cases.audit_file import export, verify_lines
from tests.back_ends import rows

COUNT = 9


def filled(place):
    """Nine acts of three persons."""
    upgrade(place)

    async def fill():
        database = Database(place)
        for number in range(COUNT):
            async with database.write() as conn:
                act = Act(
                    "voucher.read" if number % 2 else "account.make", f"p{number % 3}", "auditor", about=f"x{number}"
                )
                assert await trail.append(conn, act, 1000 + number) == number
        await database.close()

    asyncio.run(fill())


@pytest.fixture
async def database(new_database):
    opened = Database(new_database(filled))
    yield opened
    await opened.close()


async def verified(database, at=None):
    async with database.read() as conn:
        return await trail.verify(conn, at)


async def exported(database):
    async with database.read() as conn:
        return [line async for line in export(conn)]


async def test_rows_are_found_by_person_action_and_time(database):
    """A search is exact: a person by its name, an action by itself or its first word, a time from and until."""
    async with database.read() as conn:

        async def found(**wanted):
            return [row.seq for row in await trail.search(conn, trail.Wanted(**wanted))]

        assert await found() == list(range(COUNT))
        assert await found(person="p1") == [1, 4, 7]
        assert await found(person="p") == []
        assert await found(action="voucher") == await found(action="voucher.read") == [1, 3, 5, 7]
        assert await found(action="vouch") == await found(action="%") == []
        assert await found(since_us=1003, until_us=1005) == [3, 4]
        assert await found(after=3, limit=2) == [4, 5]


async def test_a_head_noted_earlier_is_continued(database):
    """Whoever noted size and root can tell later that nothing before was changed."""
    before = await verified(database)
    async with database.write() as conn:
        await trail.append(conn, Act("voucher.read", "p", "auditor"), 2000)
    after = await verified(database, before.size)
    assert (after.fault, after.size, after.earlier) == ("", COUNT + 1, before.root)
    assert after.root != before.root


async def test_what_rolls_back_leaves_no_row(database):
    """The row lives or dies with what it tells of."""

    async def fail():
        async with database.write() as conn:
            await trail.append(conn, Act("voucher.read", "p", "auditor"), 2000)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    found = await verified(database)
    assert (found.size, found.fault) == (COUNT, "")


CHANGES = [
    "UPDATE audit_row SET at_us = at_us + 1 WHERE seq = {seq}",
    "UPDATE audit_row SET action = 'voucher.issue' WHERE seq = {seq}",
    "UPDATE audit_row SET person = commitment WHERE seq = {seq}",
    "UPDATE audit_row SET commitment = person WHERE seq = {seq}",
    "DELETE FROM audit_row WHERE seq = {seq}",
    "UPDATE audit_detail SET body = '{{}}' WHERE seq = {seq}",
    "UPDATE audit_detail SET salt = {bytes} WHERE seq = {seq}",
    "DELETE FROM audit_detail WHERE seq = {seq}",
    "INSERT INTO audit_erased VALUES ({seq}, 8)",
    "UPDATE audit_state SET size = {seq}",
    "DELETE FROM audit_state",
]


@pytest.mark.parametrize("change", CHANGES)
async def test_any_change_shows(database, back_end, seed, change):
    """With the triggers out of the way each kind of change, at any row, is found."""
    place = database.place
    server = back_end.name == "postgresql"
    for table in (*APPEND_ONLY, *ERASABLE):
        if server:
            rows(place, f"ALTER TABLE {table} DISABLE TRIGGER USER")
        elif table.startswith("audit"):
            for verb in ("update", "delete"):
                rows(place, f"DROP TRIGGER {table}_no_{verb}")
    seq = Random(f"{seed}{change}").randrange(COUNT - 1)
    rows(place, change.format(seq=seq, bytes="'x'::bytea" if server else "x'00'"))
    assert (await verified(database)).fault


async def test_an_erased_detail_leaves_its_row(database):
    """What it said is gone, its row and every root stay, the erasure has a row, and erasing again does nothing."""
    before = await verified(database)
    act = Act("audit.erase", "p9", "auditor", about="before …")
    async with database.write() as conn:
        assert await trail.before(conn, 1003) == [0, 1, 2]
        assert await trail.erase(conn, [0, 1, 2], act, 3000) == 3
        assert await trail.erase(conn, [0, 1, 2], act, 3001) == 0
    after = await verified(database, before.size)
    assert (after.fault, after.size, after.earlier) == ("", COUNT + 1, before.root)
    lines = await exported(database)
    assert verify_lines(lines).fault == ""
    assert not any(f"x{number}" in line for number in range(3) for line in lines)


async def test_an_export_is_checked_without_the_database(database):
    """Every line changed, dropped, doubled or swapped is found; what is no export is refused with its place."""
    lines = await exported(database)
    whole = verify_lines(lines, 4)
    assert (whole.size, whole.fault, whole.root) == (COUNT, "", (await verified(database)).root)
    for at in range(COUNT):
        changed = json.loads(lines[at]) | {"action": "x"}
        for bad in (
            [*lines[:at], *lines[at + 1 :]],
            [*lines[:at], lines[at], *lines[at:]],
            [*lines[:at], json.dumps(changed), *lines[at + 1 :]],
        ):
            assert verify_lines(bad).fault
    for bad, where in (
        (lines[:-1], "last line"),
        (["{}"], "line 1"),
        (["x", *lines], "line 1"),
        ([*lines, "{}"], "follows"),
    ):
        with pytest.raises(ServiceError, match=where):
            verify_lines(bad)


def test_details_have_their_bound_and_no_row_is_read_twice():
    """A long text is cut; a pure check of rows finds gaps."""
    assert len(json.loads(Act("a.b", "p" * 10_000, "r").body())["person"]) == TEXT_MAX
    row = Row(1, 0, "a", b"", b"")
    assert check([row]).fault == "row 0 is missing"
