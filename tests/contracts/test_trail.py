"""The audit log on both databases: every change of it shows, what is erased leaves its place, and an export is checked alone."""

import ast
import asyncio
import json
from dataclasses import replace
from random import Random

import pytest
from sqlalchemy import update

from ledger.checkpoint import Checkpoint
from ledger.note import Note, open_checkpoint
from ledger.tree import Frontier
from ledger.vkey import Algorithm
from suanquan.access.trail import TEXT_MAX, Act, Row, check
from suanquan.db import trail
from suanquan.db.database import Database
from suanquan.db.schema import upgrade
from suanquan.db.tables import APPEND_ONLY, ERASABLE, audit_state
from suanquan.errors import ServiceError
from suanquan.note_keys import create_note_keys
from suanquan.use_cases.audit_file import export, verify_lines
from suanquan.use_cases.audit_heads import AuditHeads
from tests.back_ends import rows
from tests.shared_data import ROOT

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


def unguard(place, *, server):
    """Take the triggers away, as the owner of a database can."""
    for table in (*APPEND_ONLY, *ERASABLE):
        if server:
            rows(place, f"ALTER TABLE {table} DISABLE TRIGGER USER")
        elif table.startswith("audit"):
            for verb in ("update", "delete"):
                rows(place, f"DROP TRIGGER {table}_no_{verb}")


@pytest.mark.parametrize("change", CHANGES)
async def test_any_change_shows(database, back_end, seed, change):
    """With the triggers out of the way each kind of change, at any row, is found."""
    place = database.place
    server = back_end.name == "postgresql"
    unguard(place, server=server)
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


@pytest.fixture
def heads(database, tmp_path):
    """The heads of the audit log, with keys of their own."""
    keys = create_note_keys(tmp_path / "keys", "urn:t/ledger/0/audit", b"x", [Algorithm.ED25519])
    return AuditHeads(database, tmp_path / "audit-head", tuple(key for key, _ in keys.pairs), keys, lambda: 10**18)


async def grow(database, count=1):
    for _ in range(count):
        async with database.write() as conn:
            await trail.append(conn, Act("voucher.read", "p", "auditor"), 5000)


async def test_signed_heads_continue_each_other(database, heads):
    """Each is a checkpoint over all rows; nothing new is not signed again; without keys nothing is; a stop in between is made good."""
    first = await heads.sign()
    assert (first.size, await heads.sign()) == (COUNT, first)
    await grow(database, 2)
    assert await replace(heads, keys=None).sign() is None
    second = await heads.sign()
    assert (second.size, (await heads.verify()).fault) == (COUNT + 2, "")
    assert open_checkpoint(Note.parse(second.note.encode()), heads.verifiers).root == second.root
    await grow(database)
    ahead = (await heads.verify()).root
    note = heads.keys.sign_checkpoint(Checkpoint(heads.keys.name, COUNT + 3, ahead), 1)
    heads.file.write_text(str(note))  # signed and not stored: a stop in between
    await grow(database)
    assert (await heads.verify()).fault == ""
    assert (await heads.sign()).size == COUNT + 4
    lines = await exported(database)
    public = [replace(key, name="urn:t/ledger/0") for key in heads.verifiers]
    assert verify_lines(lines, keys=public).fault == ""
    end = json.loads(lines[-1])
    forged = json.dumps(end | {"signed": end["signed"].replace("1", "2")})
    for bad in (forged, json.dumps(end | {"signed": None})):
        assert verify_lines([*lines[:-1], bad], keys=public).fault


REWRITES = [
    ["DELETE FROM audit_row WHERE seq >= 7", "DELETE FROM audit_detail WHERE seq >= 7"],
    ["UPDATE audit_row SET action = 'voucher.list' WHERE seq = 3"],
]


@pytest.mark.parametrize("change", REWRITES)
@pytest.mark.parametrize("forget", [True, False])
async def test_what_was_signed_cannot_be_rewritten(database, heads, back_end, change, forget):
    """Who owns the database and makes rows and head agree again is found by the signed head, in the database or in the file."""
    await heads.sign()
    unguard(database.place, server=back_end.name == "postgresql")
    for statement in (*change, *(["DELETE FROM audit_head"] if forget else [])):
        rows(database.place, statement)
    tree = Frontier()
    async with database.read() as conn:
        async for row in trail.stream(conn):
            tree.append(row.leaf())
    async with database.write() as conn:
        await conn.execute(update(audit_state).values(size=tree.size, nodes=tree.to_bytes()))
    assert "signed head of 9 rows" in (await heads.verify()).fault
    await grow(database, 3)
    with pytest.raises(ServiceError, match="does not continue what was signed"):
        await heads.sign()


TRACES = {"trail.append", "trail.erase", "service.leave_trace", "begin", "_drop"}
"""Calls that write a row of the audit log into the open transaction."""
NOBODYS = {
    "use_cases/log.py::sign": "heads of the ledger are signed by the service",
    "use_cases/audit_heads.py::sign": "so are those of the audit log",
    "use_cases/witnessing.py::_keep": "so are cosignatures kept",
    "use_cases/send_notices.py::_record": "what became of a message that was sent",
    "use_cases/accounts.py::begin_totp": "a challenge of minutes; what comes of it has its row",
    "use_cases/identities.py::send": "a challenge",
    "use_cases/identities.py::come_back": "the challenge is used up; the log-in has its row",
    "use_cases/passkeys.py::registration_options": "a challenge",
    "use_cases/passkeys.py::register": "the challenge is used up; the key is added with its row",
    "use_cases/passkeys.py::login_options": "a challenge",
    "use_cases/passkeys.py::log_in": "the challenge is used up; the log-in has its row",
    "portal/bulk.py::_do_all": "what became of each row of a run, whose act has its own",
    "use_cases/reminders.py::_put": "what nobody did is told by the service",
    "use_cases/sign_in.py::session": "when a session was last seen",
}
"""Writes beside the journal that are no act of anybody, and why."""


def writes():
    """Every block in use cases, routes and pages that writes beside the journal: where it stands, and what it calls."""
    for file in sorted(
        path for part in ("use_cases", "http", "portal") for path in (ROOT / "suanquan" / part).glob("*.py")
    ):
        name = f"{file.parent.name}/{file.name}"
        for function in ast.walk(ast.parse(file.read_text("utf-8"))):
            if not isinstance(function, ast.AsyncFunctionDef):
                continue
            for block in ast.walk(function):
                if isinstance(block, ast.AsyncWith) and any(
                    "database.write()" in ast.unparse(one) for one in block.items
                ):
                    calls = {ast.unparse(one.func) for one in ast.walk(block) if isinstance(one, ast.Call)}
                    yield name, function.name, calls


def test_every_write_beside_the_journal_leaves_a_row():
    """A change of accounts, sessions, tokens, channels, choices or views has its row in the same transaction; who writes another way fails here."""
    found, excused = list(writes()), set()
    assert len(found) > 30
    for name, function, calls in found:
        if calls & TRACES:
            continue
        place = f"{name}::{function}"
        assert place in NOBODYS, f"{place} writes without a row of the audit log"
        excused.add(place)
    assert excused == set(NOBODYS), "nothing is excused that has its row"
