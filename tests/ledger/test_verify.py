"""`ledger verify` on a ledger with everything in it: sound as it is, and at fault wherever one value of one row is changed."""

import asyncio
import re
from collections.abc import Sequence
from random import Random
from typing import Any

import cbor2
import pytest
from sqlalchemy import Column, SmallInteger

from ledger.entry import EntryKind
from ledger.sql import Statement, execute_all
from ledger.tables import metadata
from suanquan.db.database import _begin_with, _file_engine, opened, server_engine
from suanquan.db.place import Place, Server
from suanquan.db.tables import APPEND_ONLY, ERASABLE
from suanquan.use_cases.verify_ledger import verify_ledger
from tests.back_ends import rows
from tests.conftest import ALL
from tests.ledger.covered import COVERED, UNCOVERED
from tests.ledger.desk import audit
from tests.ledger.full_ledger import make_full
from tests.ledger.notation import event


@pytest.fixture
def filled(made_once):
    return made_once(make_full)


def test_a_sound_ledger_passes(filled):
    """Nothing is found, and the report counts everything there is."""
    found = asyncio.run(audit(filled))
    [(size, root)] = rows(filled, "SELECT size, root FROM log_state")
    [(accounts,)] = rows(filled, "SELECT count(*) FROM account")
    statuses = rows(filled, "SELECT status, count(*) FROM hold GROUP BY status ORDER BY status")
    assert statuses == [(0, 2), (1, 3), (2, 1), (3, 2)]
    assert {kind for (kind,) in rows(filled, "SELECT DISTINCT kind FROM entry")} == set(EntryKind)
    assert not [table for table in COVERED if rows(filled, f"SELECT count(*) FROM {table}") == [(0,)]]
    assert found == {"ok": True, "entries": size, "accounts": accounts, "usage_records": 23, "root": root.hex()}


TIMES = 10 if ALL else 1
LONG = {"leaf": 12, "segment": 5, "body": 4, "salt": 2, "frontier": 2, "root": 2, "places": 2, "hashes": 3, "record": 4}
CHANGES = [
    (table, column, attempt)
    for table, columns in COVERED.items()
    for column in columns
    for attempt in range(TIMES * LONG.get(column, 1))
]
ROWS = {
    "usage_batch": "WHERE log_size > log_first",
    "id_range": "WHERE indexed = 0",
    "usage_fact": "WHERE kind = 'revise'",
    "balance": "WHERE account NOT IN (SELECT account FROM erased WHERE account IS NOT NULL)",
    "erased": "WHERE account IS NOT NULL",
    "decision": "WHERE corrects IS NOT NULL",
}
"""Rows to choose from: a fact without an empty value; a batch without new records has no entry, and a range whose ids are listed says nothing more. The
limits of an account went with its name, if that was erased."""


def test_every_column_is_either_verified_or_excused():
    """A new column must be compared with the log, or have a reason why it is not."""
    for table in metadata.tables.values():
        excused = UNCOVERED.get(table.name, {})
        known = COVERED.get(table.name, {}).keys() | (excused if isinstance(excused, dict) else table.columns.keys())
        assert known == set(table.columns.keys()), table.name
    assert COVERED.keys() | UNCOVERED.keys() == metadata.tables.keys()


async def audited(place: Place, statements: Sequence[Statement]) -> dict[str, Any]:
    """What verification says after somebody changed a ledger, which is then taken back: not even triggers stop him."""
    server = isinstance(place, Server)
    engine = server_engine(place) if server else _begin_with(_file_engine(place), "BEGIN IMMEDIATE")
    try:
        async with opened(engine) as connection:
            await connection.begin()
            await connection.exec_driver_sql("SELECT 1")  # SQLAlchemy begins it with the first statement of its own
            if server:
                disarm = [f"ALTER TABLE {table} DISABLE TRIGGER USER" for table in (*APPEND_ONLY, *ERASABLE)]
            else:
                [triggers] = await execute_all(
                    connection, [("SELECT name FROM sqlite_schema WHERE type = 'trigger'", ())]
                )
                disarm = [f"DROP TRIGGER {name}" for (name,) in triggers]
            await execute_all(connection, [(statement, ()) for statement in disarm])
            for text, values in statements:
                [changed] = await execute_all(connection, [(f"{text} RETURNING 1", values)])
                assert changed, text
            return await verify_ledger(connection, lambda done, size: None)
    finally:
        await engine.dispose()


def tampered(place: Place, text: str, values: Sequence[Any] = ()) -> str:
    """The place that verification names after somebody changed the ledger."""
    if isinstance(place, Server):
        text = re.sub(r"zeroblob\((\d+)\)", lambda match: f"x'{'00' * int(match[1])}'", text)
        text = re.sub(r"\bx'(\w*)'", r"'\\x\1'::bytea", text)
    found = asyncio.run(audited(place, [(statement, values) for statement in text.split(";")]))
    assert not found["ok"], (text, values)
    assert found["fault"]["title"]
    assert found["fault"]["detail"]
    return found["fault"]["where"]


def row_of(place: Place, table: str, random: Random) -> dict[str, Any]:
    order = ", ".join(key.name for key in metadata.tables[table].primary_key)
    found = rows(place, f"SELECT * FROM {table} {ROWS.get(table, '')} ORDER BY {order}")
    return dict(zip(metadata.tables[table].columns.keys(), random.choice(found), strict=True))


def other(value, random: Random, column: Column):
    """Nearly the same value: one bit of it flipped, of a key a high one, so that no other row has it; of a text one letter."""
    match value:
        case bytes():
            at = random.randrange(8 * len(value))
            return value[: at // 8] + bytes([value[at // 8] ^ 1 << at % 8]) + value[at // 8 + 1 :]
        case "":
            return "x"
        case str():
            at = random.randrange(len(value))
            return value[:at] + chr(ord(value[at]) ^ 16) + value[at + 1 :]
    bits = 15 if isinstance(column.type, SmallInteger) else 31
    return (value or 0) ^ 1 << random.randrange(bits * 2 // 3 if column.primary_key else 0, bits)


@pytest.mark.parametrize(("table", "column", "attempt"), CHANGES)
def test_a_changed_value_is_found(filled, seed, table, column, attempt):
    """One bit, letter or number changed in one row of any verified column is found, and the place is named."""
    random = Random(f"{seed} {table} {column} {attempt}")
    row = row_of(filled, table, random)
    keys = [key.name for key in metadata.tables[table].primary_key]
    statement = f"UPDATE {table} SET {column} = ? WHERE {' AND '.join(f'{key} = ?' for key in keys)}"
    wrong = other(row[column], random, metadata.tables[table].c[column])
    where = tampered(filled, statement, (wrong, *(row[key] for key in keys)))
    assert re.match(COVERED[table][column].format(**row), where), (where, row)


@pytest.mark.parametrize("table", sorted(COVERED.keys() - {"checkpoint"}))
def test_a_missing_row_is_found(filled, seed, table):
    """One row gone from any verified table is found, and the table or what it belongs to is named."""
    row = row_of(filled, table, Random(f"{seed} {table}"))
    keys = [key.name for key in metadata.tables[table].primary_key]
    statement = f"DELETE FROM {table} WHERE {' AND '.join(f'{key} = ?' for key in keys)}"
    where = tampered(filled, statement, [row[key] for key in keys])
    places = {
        "account_name": "account",
        "erased": "payload",
        "entry": "entry|log_state",
        "source": "usage_batch",
        "usage_batch": "usage_batch|usage_id|id_range",
        "id_range": "usage_id",
    }
    assert re.match(places.get(table, table), where), where


STRUCTURAL = [
    ("the tail cut off", "DELETE FROM entry WHERE seq > (SELECT max(seq) - 3 FROM entry)", "log_state"),
    ("every entry gone", "DELETE FROM entry", "log_state"),
    (
        "two leaves swapped",
        "UPDATE entry SET leaf = (SELECT leaf FROM entry e WHERE e.seq = 11 - entry.seq) WHERE seq IN (5, 6)",
        "entry 5$",
    ),
    (
        "two payloads swapped",
        "UPDATE payload SET body = (SELECT body FROM payload p WHERE p.seq = 7 - payload.seq) WHERE seq IN (3, 4)",
        "payload 3$",
    ),
    (
        "an entry recorded twice",
        "INSERT INTO entry SELECT 0, size, x'00', 2, last_ns, leaf FROM entry, log_state WHERE seq = 2",
        r"entry \d+$",
    ),
    ("a payload where none was", "INSERT INTO payload SELECT 0, max(seq), x'00', x'00' FROM entry", r"payload \d+$"),
    (
        "two balances swapped",
        "UPDATE balance SET debits_posted = credits_posted, credits_posted = debits_posted",
        "balance",
    ),
    ("a voucher made richer", "UPDATE balance SET credits_posted = credits_posted + 1 WHERE account = 2", "balance"),
    (
        "an account of nobody",
        "INSERT INTO account VALUES (99, x'00', 1); INSERT INTO balance SELECT 99, 0, 0, 0, 0, 0, 0, 0, -1, x'' FROM asset",
        "log_state|account",
    ),
    ("a balance of nobody", "INSERT INTO balance SELECT 99, 0, 0, 0, 0, 0, 0, 0, -1, x'' FROM asset", "balance$"),
    ("a name of nobody", "INSERT INTO account_name VALUES (99, 'x')", "account_name$"),
    (
        "an erased name put back",
        "INSERT INTO account_name SELECT account, 'lab' FROM erased WHERE account IS NOT NULL",
        "account lab$",
    ),
    (
        "an erased payload put back",
        "INSERT INTO payload SELECT 0, seq, x'00', x'00' FROM erased LIMIT 1",
        r"payload \d+$",
    ),
    (
        "a payload erased without a word",
        "INSERT INTO erased SELECT 3, NULL, 4 FROM asset; DELETE FROM payload WHERE seq = 3",
        "erased 3$",
    ),
    ("an account frozen", "UPDATE balance SET restriction = 1 WHERE account = 2", "balance of account"),
    ("a floor taken away", "UPDATE balance SET floor = NULL WHERE account = 2", "balance of account"),
    ("an asset of nobody", "INSERT INTO asset VALUES (17, 'TOKEN:x', 0)", "asset$"),
    ("a hold of nobody", "INSERT INTO hold VALUES (3, 0, 1, 2, 5, 5, 1, 0)", "hold 3$"),
    ("a line of nobody", "INSERT INTO hold SELECT seq, 9, 1, 2, 5, 5, NULL, 0 FROM hold WHERE status = 2", "hold"),
    ("a closed hold opened", "UPDATE hold SET status = 0, remaining = 1 WHERE status = 1", "hold"),
    ("every hold gone", "DELETE FROM hold", "hold"),
    ("a reversal of nobody", "INSERT INTO reversal VALUES (3, 1, 0, 5)", "reversal of entry 3$"),
    ("every reversal gone", "DELETE FROM reversal", "reversal of entry"),
    ("a date of nobody", "INSERT INTO dated VALUES (2, 0, 1, 3, 5, 5)", "dated, account 2$"),
    ("two dates swapped", "UPDATE dated SET axis = 1 - axis", "dated, account"),
    ("a day of nobody", "INSERT INTO dated_day VALUES (2, 0, 1, 5, 5)", "dated_day, account 2$"),
    ("every day gone", "DELETE FROM dated_day", "dated_day, account"),
    ("an entry shown to a stranger", "INSERT INTO touched SELECT 1, 1, places FROM touched LIMIT 1", "touched"),
    ("an entry shown to nobody", "INSERT INTO touched SELECT 99, first_ns, places FROM touched LIMIT 1", "touched"),
    ("the index gone", "DELETE FROM touched", "touched"),
    ("a tile of nobody", "INSERT INTO tile SELECT 1, number, hashes, root FROM tile", "tile$"),
    (
        "a recorded id called refused",
        "INSERT INTO failed SELECT event_id, zeroblob(32), 'x' FROM entry LIMIT 1",
        "failed$",
    ),
    ("another note", "UPDATE checkpoint SET note = replace(note, 'ledger', 'lodger')", "checkpoint"),
    (
        "a checkpoint of another log",
        "INSERT INTO checkpoint SELECT size - 1, root, 1, note, 0 FROM checkpoint",
        "checkpoint",
    ),
    (
        "a log cut behind its checkpoint",
        "INSERT INTO checkpoint SELECT size + 9, root, 1, note, 0 FROM checkpoint",
        "checkpoint",
    ),
    (
        "two heads",
        "INSERT INTO log_state SELECT 1, origin, size, root, frontier, last_ns, next_account, closed_ns, closed_seq, "
        "pseudonym_key FROM log_state",
        "log_state$",
    ),
    ("another shard", "INSERT INTO entry SELECT 1, 0, x'00', 2, 1, leaf FROM entry LIMIT 1", "entry$"),
    ("a record reported by nobody", "INSERT INTO usage_id VALUES (1, 'zzz', 1, x'00')", "usage_id"),
    ("two records swapped", "UPDATE usage_id SET place = 32769 - place WHERE place IN (16384, 16385)", "usage_id"),
    ("every record gone", "DELETE FROM usage_id", "usage_id"),
    ("every batch gone", "DELETE FROM usage_batch; DELETE FROM usage_id; DELETE FROM id_range", "usage_batch 1$"),
    (
        "a batch gone with all its records",
        "DELETE FROM usage_batch WHERE number = 2; DELETE FROM id_range WHERE batch = 2",
        "usage_batch 2$",
    ),
    (
        "a step of nobody",
        "INSERT INTO procedure_step SELECT 99, subject, round, step, person, role, at_us, x'00', body FROM procedure_step LIMIT 1",
        "procedure_step 99$",
    ),
    ("every step gone", "DELETE FROM procedure_step", "procedure_step 1$"),
    (
        "a claim taken off",
        "INSERT INTO support_claim SELECT 99, digest, kind, subject, clause, 1, event_id FROM support_claim LIMIT 1",
        "support_claim 99$",
    ),
    ("every claim gone", "DELETE FROM support_claim", "support_claim 1$"),
    ("every fact of settlement gone", "DELETE FROM settlement_fact", "settlement_fact 1$"),
    ("a line moved", "UPDATE settlement_line SET seq = seq + 1", "settlement_line of"),
    ("every line gone", "DELETE FROM settlement_line", "settlement_line of"),
    ("a paper of nobody", "INSERT INTO evidence_file VALUES ('00', 'x', x'00')", "evidence_file 00$"),
    ("every paper gone", "DELETE FROM evidence_file", "evidence_file"),
    ("a range of nobody", "INSERT INTO id_range VALUES (9, 'a', 'z', 9, 0)", "id_range of batch 9$"),
    (
        "a segment cut short",
        "UPDATE usage_batch SET segment = substr(segment, 1, length(segment) - 9) WHERE number = 1",
        "usage_batch 1",
    ),
    ("every decision gone", "DELETE FROM decision", "decision SQD-"),
    (
        "a decision of nobody",
        "INSERT INTO decision SELECT 'SQD-0', applicant, 1, NULL, zeroblob(16), record, facts, signature FROM decision LIMIT 1",
        "decision SQD-0$",
    ),
    ("a document of nobody", "INSERT INTO decision_document VALUES (x'00', x'00')", "decision_document 00$"),
    ("a frontier cut short", "UPDATE log_state SET frontier = substr(frontier, 1, length(frontier) - 1)", "log_state"),
    ("an empty head", "UPDATE log_state SET size = 0, frontier = x''", "log_state"),
]


@pytest.mark.parametrize(("_what", "statement", "place"), STRUCTURAL, ids=[what for what, _, _ in STRUCTURAL])
def test_other_ways_to_tamper_are_found(filled, _what, statement, place):
    """What is cut, swapped, doubled, invented or made consistent on one side only is found."""
    assert re.match(place, where := tampered(filled, statement)), where


ODD_PAYLOADS = [
    b"\xa5",
    b"\xa5nonsense",
    b"\xa5" + b"\xa1" * 5000,
    bytes.fromhex("a5c24101f5f6f4f90000fb0000000000000000f4f5f7f6"),
    cbor2.dumps({"type": "usage", "batch": "1", "root": b"", "source": "s", "account": ""}),
    cbor2.dumps({"type": "usage", "batch": 1, "root": [], "source": "s", "account": ""}),
    cbor2.dumps({"type": "usage", "a": 1, "b": 1, "c": 1, "d": 1}),
    cbor2.dumps({"type": ["usage"], "batch": 1, "root": b"", "source": "s", "account": ""}),
]


async def test_a_payload_that_only_looks_like_usage_is_none(desk):
    """Whatever payloads hold, verification does not fail over them: they begin like one of a batch and say something else."""
    for number, payload in enumerate(ODD_PAYLOADS):
        await desk.submit(event(f"odd {number}", salt=bytes(32), payload=payload))
    assert (await audit_of(desk))["ok"]


async def audit_of(desk):
    async with desk.database.read() as connection:
        return await verify_ledger(connection, lambda done, size: None)
