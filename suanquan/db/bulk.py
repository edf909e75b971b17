"""SQL of rows that somebody acted on together, and of spreadsheets that wait to count. Both are forgotten after some weeks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import delete, insert, select, update

from ledger.sql import Connection
from suanquan.db.tables import bulk_row, bulk_run, sheet_draft

KEPT_US = 30 * 86_400_000_000
"""For how long what became of a run can be looked up; the acts themselves stay in the log."""
DRAFT_KEPT_US = 7 * 86_400_000_000
DONE = "done"


class Run(NamedTuple):
    """What was done to some rows of a list; `inputs` is JSON."""

    run: str
    owner: str
    kind: str
    act: str
    inputs: str
    begun_us: int


class Outcome(NamedTuple):
    """What became of a row: `outcome` is empty until its turn came, then `done` or the code of what refused it."""

    number: int
    subject: str
    outcome: str = ""
    zh: str = ""
    en: str = ""
    done_us: int = 0


class Draft(NamedTuple):
    """A spreadsheet as it was sent, before it counts; `inputs` is JSON, `done` empty until it counted."""

    draft: str
    owner: str
    kind: str
    name: str
    sha256: str
    inputs: str
    content: bytes
    sent_us: int
    done: str = ""


async def begin(conn: Connection, run: Run, subjects: Sequence[str]) -> None:
    """Write down what is about to be done, and forget what is long past."""
    old = select(bulk_run.c.run).where(bulk_run.c.begun_us < run.begun_us - KEPT_US)
    await conn.execute(delete(bulk_row).where(bulk_row.c.run.in_(old)))
    await conn.execute(delete(bulk_run).where(bulk_run.c.begun_us < run.begun_us - KEPT_US))
    await conn.execute(insert(bulk_run).values(run._asdict()))
    rows = [Outcome(number, subject)._asdict() | {"run": run.run} for number, subject in enumerate(subjects)]
    await conn.execute(insert(bulk_row), rows)


async def note(conn: Connection, run: str, outcome: Outcome) -> None:
    """Say what became of a row."""
    c = bulk_row.c
    values = {name: value for name, value in outcome._asdict().items() if name not in {"number", "subject"}}
    await conn.execute(update(bulk_row).where(c.run == run, c.number == outcome.number).values(values))


async def load_run(conn: Connection, owner: str, run: str) -> tuple[Run, list[Outcome]] | None:
    """A run of somebody with what became of each row; None where it is not his, or forgotten."""
    c, r = bulk_run.c, bulk_row.c
    found = (await conn.execute(select(bulk_run).where(c.run == run, c.owner == owner))).first()
    if found is None:
        return None
    columns = [r[name] for name in Outcome._fields]
    rows = await conn.execute(select(*columns).where(r.run == run).order_by(r.number))
    return Run(*found), [Outcome(*row) for row in rows]


async def runs_of(conn: Connection, owner: str, kind: str, most: int) -> list[Run]:
    """The newest runs of somebody."""
    c = bulk_run.c
    query = select(bulk_run).where(c.owner == owner, c.kind == kind).order_by(c.begun_us.desc(), c.run).limit(most)
    return [Run(*row) for row in await conn.execute(query)]


async def keep_draft(conn: Connection, draft: Draft) -> None:
    """Keep a spreadsheet until it counts, and forget those that nobody made count."""
    await conn.execute(delete(sheet_draft).where(sheet_draft.c.sent_us < draft.sent_us - DRAFT_KEPT_US))
    await conn.execute(insert(sheet_draft).values(draft._asdict()))


async def load_draft(conn: Connection, owner: str, draft: str) -> Draft | None:
    """A spreadsheet that somebody sent; None where it is not his, or forgotten."""
    c = sheet_draft.c
    found = (await conn.execute(select(sheet_draft).where(c.draft == draft, c.owner == owner))).first()
    return None if found is None else Draft(*found)


async def settle_draft(conn: Connection, draft: str, done: str) -> bool:
    """Say that a spreadsheet counts, and what it did; False where it did before. The file itself is forgotten: it may name people."""
    c = sheet_draft.c
    wanted = update(sheet_draft).where(c.draft == draft, c.done == "").values(done=done, content=b"")
    return (await conn.execute(wanted)).rowcount == 1
