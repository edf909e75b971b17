"""`ledger verify` on a ledger with everything in it: sound as it is, and at fault wherever one value of one row is changed."""

import asyncio
import contextlib
import re
import sqlite3
from pathlib import Path
from random import Random

import pytest

from ledger.entry import EntryKind
from ledger.tables import metadata
from suanquan.db.tables import APPEND_ONLY
from tests.conftest import ALL
from tests.ledger.desk import audit
from tests.ledger.full_ledger import fill


@pytest.fixture(scope="module")
def filled(tmp_path_factory, blank_ledger) -> bytes:
    path = tmp_path_factory.mktemp("filled") / "ledger.db"
    path.write_bytes(blank_ledger)
    asyncio.run(fill(path))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        triggers = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        assert len(triggers) >= 2 * len(APPEND_ONLY)
        for (name,) in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("PRAGMA journal_mode = DELETE")
    return path.read_bytes()


def test_a_sound_ledger_passes(filled, tmp_path):
    """Nothing is found, and the report counts everything there is."""
    path = tmp_path / "ledger.db"
    path.write_bytes(filled)
    found = asyncio.run(audit(path))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        [(size, root)] = connection.execute("SELECT size, hex(root) FROM log_state").fetchall()
        [(accounts,)] = connection.execute("SELECT count(*) FROM account").fetchall()
        statuses = connection.execute("SELECT status, count(*) FROM hold GROUP BY status").fetchall()
        kinds = connection.execute("SELECT DISTINCT kind FROM entry").fetchall()
        empty = [table for table in COVERED if not connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]]
    assert statuses == [(0, 2), (1, 2), (2, 1), (3, 2)]
    assert {kind for (kind,) in kinds} == set(EntryKind)
    assert not empty
    assert found == {"ok": True, "entries": size, "accounts": accounts, "usage_records": 23, "root": root.lower()}


COVERED = {
    "account": dict.fromkeys(("number", "public_id", "asset"), "account"),
    "account_name": dict.fromkeys(("account", "name"), "account"),
    "asset": dict.fromkeys(("number", "code", "scale"), "asset"),
    "balance": dict.fromkeys(metadata.tables["balance"].columns.keys(), "balance"),
    "entry": {
        "shard": "entry|log_state",
        "seq": "entry|log_state",
        "event_id": "entry {seq}$",
        "kind": "entry {seq}$",
        "recorded_ns": "entry {seq}$",
        "leaf": r"(entry|payload) {seq}\b|log_state|tile|checkpoint|touched|hold {seq}",
    },
    "payload": dict.fromkeys(("shard", "seq", "salt", "body"), "payload {seq}$"),
    "erased": {"seq": "payload {seq}$", "account": "erased {seq}$", "by_seq": "erased {seq}$"},
    "hold": dict.fromkeys(metadata.tables["hold"].columns.keys(), "hold"),
    "reversal": dict.fromkeys(("seq", "account", "side", "amount"), "reversal"),
    "touched": dict.fromkeys(("account", "first_ns", "places"), "touched"),
    "dated": dict.fromkeys(("account", "axis", "at_ns", "seq", "debits", "credits"), "dated"),
    "dated_day": dict.fromkeys(("account", "axis", "day", "debits", "credits"), "dated_day"),
    "tile": dict.fromkeys(("level", "number", "hashes", "root"), "tile"),
    "checkpoint": dict.fromkeys(("size", "root"), "checkpoint"),
    "log_state": dict.fromkeys(metadata.tables["log_state"].columns.keys(), "log_state") | {"pseudonym_key": "account"},
    "usage_batch": dict.fromkeys(("source", "body_digest", "root", "segment"), "usage_batch")
    | {"number": "usage_batch|id_range|usage_id"},
    "usage_id": dict.fromkeys(("source", "id", "place", "digest"), "usage_id"),
    "id_range": dict.fromkeys(("source", "first_id", "last_id", "batch"), "id_range|usage_id")
    | {"indexed": "usage_id"},
    "source": dict.fromkeys(("number", "urn"), "usage_batch"),
    "decision": dict.fromkeys(
        ("id", "applicant", "decided_us", "corrects", "event_id", "record", "facts"), "decision SQD-"
    ),
    "decision_document": dict.fromkeys(("sha256", "body"), "decision_document"),
    "procedure_step": dict.fromkeys(metadata.tables["procedure_step"].columns.keys(), "procedure_step"),
    "support_claim": dict.fromkeys(metadata.tables["support_claim"].columns.keys(), "support_claim"),
}
"""What verification recomputes, and the place it names when a value there is changed."""

RECEIPT = "the signed receipt that the centre keeps states it"
SUMS = "a sum for pages, recomputed from batches when rated again"
REGISTER = "a register: each change stands in the log as a note, the present state is not folded from them"
TOKENS = "its signature proves it: the log commits to the digests of what was signed"
SIGNED = "its text is compared, its signature is for those who have the log's key"
UNCOVERED = {
    "checkpoint": dict.fromkeys(("signed_us", "note", "witnessed"), SIGNED),
    "failed": "no entry speaks of what was refused; only that it was not recorded is checked",
    "lease": "who may write at the moment",
    "usage_batch": dict.fromkeys(("key", "received_us", "records", "log_first", "log_size", "answer"), RECEIPT),
    "source": dict.fromkeys(("centre", "last_sequence", "last_id", "first_us", "last_us", "received_us"), SUMS),
    "usage_month": SUMS,
    "status_count": SUMS,
    "redeemed": SUMS,
    "batch_account": SUMS,
    "quarantine": "records that wait for a person, and are not part of the ledger yet",
    "centre": REGISTER,
    "capacity": REGISTER,
    "agent_key": REGISTER,
    "binding": REGISTER,
    "decision": {"signature": "it is for those who have the keys; the log commits to the digest of what was signed"},
    "voucher": TOKENS,
    "released": TOKENS,
    "status_list": TOKENS,
    "status_place": TOKENS,
    "revoked": "what status lists show; the entries that froze and emptied the account are in the log",
    "declaration": "what a centre says of its own month; nothing is posted by it",
    "nonce": "forgotten after minutes",
    "api_token": "access, not accounts",
}
"""What it does not, and why."""

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
    "balance": "WHERE account NOT IN (SELECT account FROM erased WHERE account IS NOT NULL)",
    "erased": "WHERE account IS NOT NULL",
    "decision": "WHERE corrects IS NOT NULL",
}
"""Rows to choose from: a batch without new records has no entry, and a range whose ids are listed says nothing more. The
limits of an account went with its name, if that was erased."""


def test_every_column_is_either_verified_or_excused():
    """A new column must be compared with the log, or have a reason why it is not."""
    for table in metadata.tables.values():
        excused = UNCOVERED.get(table.name, {})
        known = COVERED.get(table.name, {}).keys() | (excused if isinstance(excused, dict) else table.columns.keys())
        assert known == set(table.columns.keys()), table.name
    assert COVERED.keys() | UNCOVERED.keys() == metadata.tables.keys()


def tampered(filled: bytes, folder: Path, statements: str, values=()) -> str:
    """The place that verification names after somebody changed a copy of the ledger."""
    path = folder / "tampered.db"
    path.write_bytes(filled)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for statement in statements.split(";"):
            assert connection.execute(statement, values).rowcount > 0
        connection.commit()
    found = asyncio.run(audit(path))
    assert not found["ok"], (statements, values)
    assert found["fault"]["title"]
    assert found["fault"]["detail"]
    return found["fault"]["where"]


def row_of(filled: bytes, folder: Path, table: str, random: Random) -> dict:
    path = folder / "sound.db"
    path.write_bytes(filled)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return dict(random.choice(connection.execute(f"SELECT * FROM {table} {ROWS.get(table, '')}").fetchall()))


def other(value, random: Random, lowest: int):
    """Nearly the same value: one bit of it flipped, of a number none below the lowest; of a text one letter."""
    match value:
        case bytes():
            at = random.randrange(8 * len(value))
            return value[: at // 8] + bytes([value[at // 8] ^ 1 << at % 8]) + value[at // 8 + 1 :]
        case str():
            at = random.randrange(len(value))
            return value[:at] + chr(ord(value[at]) ^ 16) + value[at + 1 :]
    return (value or 0) ^ 1 << random.randrange(lowest, 31)


@pytest.mark.parametrize(("table", "column", "attempt"), CHANGES)
def test_a_changed_value_is_found(filled, tmp_path, seed, table, column, attempt):
    """One bit, letter or number changed in one row of any verified column is found, and the place is named."""
    random = Random(f"{seed} {table} {column} {attempt}")
    row = row_of(filled, tmp_path, table, random)
    keys = [key.name for key in metadata.tables[table].primary_key]
    statement = f"UPDATE {table} SET {column} = ? WHERE {' AND '.join(f'{key} = ?' for key in keys)}"
    where = tampered(
        filled, tmp_path, statement, (other(row[column], random, 20 * (column in keys)), *(row[key] for key in keys))
    )
    assert re.match(COVERED[table][column].format(**row), where), (where, row)


@pytest.mark.parametrize("table", sorted(COVERED.keys() - {"checkpoint"}))
def test_a_missing_row_is_found(filled, tmp_path, seed, table):
    """One row gone from any verified table is found, and the table or what it belongs to is named."""
    row = row_of(filled, tmp_path, table, Random(f"{seed} {table}"))
    keys = [key.name for key in metadata.tables[table].primary_key]
    statement = f"DELETE FROM {table} WHERE {' AND '.join(f'{key} = ?' for key in keys)}"
    where = tampered(filled, tmp_path, statement, [row[key] for key in keys])
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
    ("a range of nobody", "INSERT INTO id_range VALUES (9, 'a', 'z', 9, 0)", "id_range of batch 9$"),
    (
        "a segment cut short",
        "UPDATE usage_batch SET segment = substr(segment, 1, length(segment) - 9)",
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
def test_other_ways_to_tamper_are_found(filled, tmp_path, _what, statement, place):
    """What is cut, swapped, doubled, invented or made consistent on one side only is found."""
    assert re.match(place, where := tampered(filled, tmp_path, statement)), where
