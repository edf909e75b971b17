"""`ledger verify` on a ledger with everything in it: sound as it is, and at fault wherever one value of one row is changed."""

import asyncio
import contextlib
import json
import re
import sqlite3
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest

from ledger.tables import metadata
from metering.batch import decode_cloudevents
from suanquan.catalog import load_catalog
from suanquan.db.tables import APPEND_ONLY
from suanquan.use_cases.ingest import Issuer, Request, Rules, ingest
from suanquan.use_cases.issue import Order, issue
from suanquan.use_cases.setup import bind_account, register_centre
from tests.ledger.desk import Desk, audit
from tests.shared_data import ROOT
from tests.voucher.samples import ISSUER, KEY, PRIVATE
from voucher.holder import sandbox_uscc
from voucher.issuance import IssueRequest
from voucher.keys import KeyRegistry

CATALOG = load_catalog(ROOT / "config")
RULES = Rules(CATALOG.tariffs, CATALOG.schemes, CATALOG.digest)
KEYS = KeyRegistry(ISSUER).announced(KEY).activated(KEY.kid)
NOW_S = 1_780_000_000


def body(centre: str, first: int, count: int, model: str = "H800") -> bytes:
    """A batch of one-hour jobs of three accounts."""
    return json.dumps(
        [
            {
                "specversion": "1.0",
                "type": "cn.suanquan.usage.interval.v1",
                "source": f"urn:centre:{centre}:agent:a",
                "id": f"job-{at:05}",
                "time": "2026-05-01T00:00:00Z",
                "subject": f"lab-{at % 3}",
                "sequence": str(at),
                "data": {
                    "job": str(at),
                    "attempt": 0,
                    "start": "2026-04-30T00:00:00Z",
                    "end": "2026-04-30T01:00:00Z",
                    "active_s": 3600,
                    "accelerators": [{"model": model, "count_milli": 8000}],
                    "state": "COMPLETED",
                    "final": True,
                },
            }
            for at in range(first, first + count)
        ]
    ).encode()


async def report(desk: Desk, centre: str, content: bytes) -> None:
    digest = sha256(content).digest()
    about = Request(centre, "kid", digest.hex(), 0, digest.hex(), digest)
    batch = decode_cloudevents(content, desk.now_ns // 1000)
    issuer = Issuer(ISSUER, KEY.kid, PRIVATE.sign)
    await desk.journal.transact(lambda tx: ingest(tx, about, batch, RULES, issuer))


async def fill(path: Path) -> None:
    """Centres, bindings, vouchers of both units, usage of two centres, and holds that ended in every way."""
    desk = Desk(path)
    desk.now_ns = NOW_S * 10**9
    async with desk:
        for centre in ("sj01", "sj02"):
            await register_centre(desk.journal, CATALOG, centre, "松江", {"H800": 64})
            await bind_account(desk.journal, centre, "lab-0", sandbox_uscc(1))
        for key, unit in (("a", "CNY"), ("b", "PFLOPS.h")):
            order = Order(IssueRequest(sandbox_uscc(1), unit, "20"), CATALOG.schemes["cn-sh-songjiang-sandbox"], key)
            await issue(desk.journal, order, KEYS, PRIVATE.sign)
        await report(desk, "sj01", body("sj01", 0, 10))
        await report(desk, "sj02", body("sj02", 0, 5))
        await report(desk, "sj01", body("sj01", 8, 7))
        await report(desk, "sj01", body("sj01", 0, 3))
        await report(desk, "sj02", body("sj02", 50, 3, model="unheard-of"))
        await desk.play(
            f"""
            open treasury
            open v1 floor 0
            open centre
            treasury → v1 100
            hold h1: v1 → centre 10
            hold h2: v1 → centre 10 until {desk.now_ns + 50}
            hold h3: v1 → centre 10
            hold h4: v1 → centre 10 until {desk.now_ns + 10**9}
            hold h5: v1 → centre 10
            capture h1 4
            capture h3 3 final
            release h5
            """
        )
        desk.now_ns += 10**6
        await desk.play("note")


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
    assert statuses == [(0, 2), (1, 1), (2, 1), (3, 1)]
    assert found == {"ok": True, "entries": size, "accounts": accounts, "usage_records": 23, "root": root.lower()}


COVERED = {
    "account": {
        "number": "account",
        "name": "account",
        "public_id": "account",
        "asset": "account",
        "floor": r"account|entry \d+, account",
    },
    "balance": {
        "account": "account",
        "debits_posted": "balance",
        "credits_posted": "balance",
        "debits_held": "balance",
        "credits_held": "balance",
        "last_seq": "balance",
    },
    "entry": {
        "shard": "entry|log_state",
        "seq": "entry|log_state",
        "event_id": "entry {seq}$",
        "kind": "entry {seq}$",
        "recorded_ns": "entry {seq}$",
        "leaf": "(entry|payload) {seq}|account|log_state",
    },
    "payload": dict.fromkeys(("shard", "seq", "salt", "body"), "payload {seq}$"),
    "hold": dict.fromkeys(
        ("seq", "debit", "credit", "amount", "remaining", "expires_ns", "status"),
        "hold",
    ),
    "touched": dict.fromkeys(("account", "shard", "seq"), "touched"),
    "log_state": dict.fromkeys(("shard", "origin", "size", "root", "frontier", "last_ns", "next_account"), "log_state")
    | {"pseudonym_key": "account"},
    "usage_batch": dict.fromkeys(("source", "body_digest", "root", "segment"), "usage_batch")
    | {"number": "usage_batch|id_range"},
    "usage_id": dict.fromkeys(("source", "id", "place", "digest"), "usage_id"),
    "id_range": dict.fromkeys(("source", "first_id", "last_id", "batch"), "id_range|usage_id")
    | {"indexed": "usage_id"},
    "source": dict.fromkeys(("number", "urn"), "usage_batch"),
}
"""What verification recomputes, and the place it names when a value there is changed."""

RECEIPT = "the signed receipt that the centre keeps states it"
SUMS = "a sum for pages, recomputed from batches when rated again"
REGISTER = "a register: each change stands in the log as a note, the present state is not folded from them"
TOKENS = "its signature proves it: the log commits to the digests of what was signed"
UNCOVERED = {
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
    "voucher": TOKENS,
    "released": TOKENS,
    "nonce": "forgotten after minutes",
    "api_token": "access, not accounts",
    "lease": "who writes, not what was written",
}
"""What it does not, and why."""

LONG = {"leaf": 12, "segment": 5, "body": 4, "salt": 2, "frontier": 2, "root": 2}
CHANGES = [
    (table, column, attempt)
    for table, columns in COVERED.items()
    for column in columns
    for attempt in range(LONG.get(column, 1))
]
ROWS = {"usage_batch": "WHERE log_size > log_first", "id_range": "WHERE indexed = 0"}
"""Rows to choose from: a batch without new records has no entry, and a range whose ids are listed says nothing more."""


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


def other(value, random: Random):
    """Nearly the same value: one bit, one letter, or another number."""
    match value:
        case bytes():
            at = random.randrange(8 * len(value))
            return value[: at // 8] + bytes([value[at // 8] ^ 1 << at % 8]) + value[at // 8 + 1 :]
        case str():
            at = random.randrange(len(value))
            return value[:at] + chr(ord(value[at]) ^ 16) + value[at + 1 :]
    return (value or 0) + random.choice((-1, 1)) * 1_000_003


@pytest.mark.parametrize(("table", "column", "attempt"), CHANGES)
def test_a_changed_value_is_found(filled, tmp_path, seed, table, column, attempt):
    """One bit, letter or number changed in one row of any verified column is found, and the place is named."""
    random = Random(f"{seed} {table} {column} {attempt}")
    row = row_of(filled, tmp_path, table, random)
    keys = [key.name for key in metadata.tables[table].primary_key]
    statement = f"UPDATE {table} SET {column} = ? WHERE {' AND '.join(f'{key} = ?' for key in keys)}"
    where = tampered(filled, tmp_path, statement, (other(row[column], random), *(row[key] for key in keys)))
    assert re.match(COVERED[table][column].format(**row), where), (where, row)


@pytest.mark.parametrize("table", COVERED)
def test_a_missing_row_is_found(filled, tmp_path, seed, table):
    """One row gone from any verified table is found, and the table or what it belongs to is named."""
    row = row_of(filled, tmp_path, table, Random(f"{seed} {table}"))
    keys = [key.name for key in metadata.tables[table].primary_key]
    statement = f"DELETE FROM {table} WHERE {' AND '.join(f'{key} = ?' for key in keys)}"
    where = tampered(filled, tmp_path, statement, [row[key] for key in keys])
    places = {
        "balance": "account",
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
        "INSERT INTO account VALUES (99, 'x', x'00', 1, NULL); INSERT INTO balance VALUES (99, 0, 0, 0, 0, -1)",
        "log_state|account",
    ),
    ("a hold of nobody", "INSERT INTO hold VALUES (3, 1, 2, 5, 5, 1, 0)", "hold 3$"),
    ("a closed hold opened", "UPDATE hold SET status = 0, remaining = 1 WHERE status = 1", "hold"),
    ("every hold gone", "DELETE FROM hold", "hold"),
    ("an entry shown to a stranger", "INSERT INTO touched SELECT max(account), 0, 1 FROM touched", "touched"),
    ("an entry shown to nobody", "INSERT INTO touched VALUES (99, 0, 1)", "touched"),
    ("the index gone", "DELETE FROM touched", "touched"),
    ("a record reported by nobody", "INSERT INTO usage_id VALUES (1, 'zzz', 1, x'00')", "usage_id"),
    ("two records swapped", "UPDATE usage_id SET place = 32769 - place WHERE place IN (16384, 16385)", "usage_id"),
    ("every record gone", "DELETE FROM usage_id", "usage_id"),
    ("every batch gone", "DELETE FROM usage_batch; DELETE FROM usage_id; DELETE FROM id_range", "usage_batch 1$"),
    (
        "a batch gone with all its records",
        "DELETE FROM usage_batch WHERE number = 2; DELETE FROM id_range WHERE batch = 2",
        "usage_batch 2$",
    ),
    ("a range of nobody", "INSERT INTO id_range VALUES (9, 'a', 'z', 9, 0)", "id_range of batch 9$"),
    (
        "a segment cut short",
        "UPDATE usage_batch SET segment = substr(segment, 1, length(segment) - 9)",
        "usage_batch 1",
    ),
    ("a frontier cut short", "UPDATE log_state SET frontier = substr(frontier, 1, length(frontier) - 1)", "log_state"),
    ("an empty head", "UPDATE log_state SET size = 0, frontier = x''", "log_state"),
]


@pytest.mark.parametrize(("_what", "statement", "place"), STRUCTURAL, ids=[what for what, _, _ in STRUCTURAL])
def test_other_ways_to_tamper_are_found(filled, tmp_path, _what, statement, place):
    """What is cut, swapped, doubled, invented or made consistent on one side only is found."""
    assert re.match(place, where := tampered(filled, tmp_path, statement)), where
