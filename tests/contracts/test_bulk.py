"""What was acted on together, and spreadsheets before they count, on both databases: seen by their owner, settled once, forgotten in time."""

import pytest

from suanquan.db import bulk
from suanquan.db.bulk import DONE, DRAFT_KEPT_US, KEPT_US, Draft, Outcome, Run
from suanquan.db.database import Database
from suanquan.db.schema import upgrade

NOW_US = 1_800_000_000_000_000


@pytest.fixture
async def database(new_database):
    opened = Database(new_database(upgrade))
    yield opened
    await opened.close()


def run_of(name, at_us=NOW_US, owner="department//林"):
    return Run(name, owner, "applications", "refuse", '{"reason":"理由"}', at_us)


async def test_a_run_is_told_to_its_owner_row_by_row(database):
    """In order, with what became of each; another sees none; the newest come first, and what is long past is forgotten."""
    async with database.write() as conn:
        await bulk.begin(conn, run_of("old", NOW_US - KEPT_US - 1), ["A"])
    async with database.write() as conn:
        await bulk.begin(conn, run_of("first", NOW_US - 5), ["A", "B", "C"])
        await bulk.begin(conn, run_of("second"), ["D"])
        await bulk.note(conn, "first", Outcome(1, "B", DONE, "", "", NOW_US))
        await bulk.note(conn, "first", Outcome(0, "A", "row-changed", "已变", "changed", NOW_US))
    async with database.read() as conn:
        head, rows = await bulk.load_run(conn, "department//林", "first")
        assert head == run_of("first", NOW_US - 5)
        assert [(row.subject, row.outcome, row.zh) for row in rows] == [
            ("A", "row-changed", "已变"),
            ("B", DONE, ""),
            ("C", "", ""),
        ]
        assert await bulk.load_run(conn, "department//孙", "first") is None
        assert [one.run for one in await bulk.runs_of(conn, "department//林", "applications", 5)] == ["second", "first"]
        assert await bulk.load_run(conn, "department//林", "old") is None


async def test_a_spreadsheet_counts_once_and_is_forgotten(database):
    """Whoever says it second is told so; its content goes with the first; drafts that nobody used go in time."""
    draft = Draft("d1", "centre_operator/sj01/甲", "energy", "用电.csv", "ab" * 32, "{}", "月份\n".encode(), NOW_US)
    async with database.write() as conn:
        await bulk.keep_draft(conn, draft._replace(draft="d0", sent_us=NOW_US - DRAFT_KEPT_US - 1))
        await bulk.keep_draft(conn, draft)
    async with database.read() as conn:
        assert await bulk.load_draft(conn, draft.owner, "d1") == draft
        assert await bulk.load_draft(conn, draft.owner, "d0") is None
        assert await bulk.load_draft(conn, "centre_operator/sj02/乙", "d1") is None
    async with database.write() as conn:
        assert await bulk.settle_draft(conn, "d1", '{"rows":1}')
    async with database.write() as conn:
        assert not await bulk.settle_draft(conn, "d1", '{"rows":2}')
    async with database.read() as conn:
        assert await bulk.load_draft(conn, draft.owner, "d1") == draft._replace(content=b"", done='{"rows":1}')
