"""Witnesses of the audit log that really run: its heads are cosigned, and a past that was rewritten with everything at home is not."""

import time
from hashlib import sha256

import pytest
from sqlalchemy import update

from ledger.note import Note
from ledger.policy import Policy
from ledger.tree import Frontier
from ledger.vkey import Algorithm
from suanquan.db import trail
from suanquan.db.database import Database
from suanquan.db.schema import upgrade
from suanquan.db.tables import audit_state
from suanquan.note_keys import create_note_keys
from suanquan.use_cases.audit_heads import AuditHeads
from suanquan.use_cases.audit_witnessing import UNAWARE_SECONDS, AuditWitnessing
from tests.back_ends import rows
from tests.contracts.test_trail import grow, unguard
from tests.ledger.notes import LOG
from tests.suanquan.harness import request
from tests.suanquan.test_witness import RunningWitness

NAME = "urn:t/ledger/0/audit"


@pytest.fixture
async def heads(new_database, tmp_path):
    """The heads of the audit log of a new database, with keys of their own."""
    database = Database(new_database(upgrade))
    keys = create_note_keys(tmp_path / "keys", NAME, b"x", [Algorithm.ED25519])
    yield AuditHeads(database, tmp_path / "audit-head", tuple(key for key, _ in keys.pairs), keys, lambda: 10**18)
    await database.close()


def policy_of(*witnesses):
    lines = [line for one in witnesses for line in one.lines()]
    return Policy.parse("\n".join([*lines, "quorum none"]).encode())


async def test_heads_of_the_audit_log_are_cosigned(heads, tmp_path):
    """Head after head by a witness that knows the log, proved from the rows since; while it does not it is left in peace."""
    with RunningWitness(tmp_path / "w", "w", LOG.key) as witness:
        asking = AuditWitnessing(heads, policy_of(witness))
        await asking.round()
        assert asking.witnesses[0].not_before == 0, "nothing is signed yet"
        await grow(heads.database)
        await heads.sign()
        await asking.round()
        assert asking.witnesses[0].not_before > time.monotonic() + UNAWARE_SECONDS / 2
        assert not heads.cosigned.exists()
        witness.witness.logs[NAME] = list(heads.verifiers)
        asking = AuditWitnessing(heads, policy_of(witness))
        for count in (1, 2, 5, 9, 16):
            await grow(heads.database, count)
            signed = await heads.sign()
            await asking.round()
            note = Note.parse(heads.cosigned.read_bytes())
            assert note.text == Note.parse(signed.note.encode()).text
            assert {line.name for line in note.signatures} == {NAME, "w"}
        shown = request(witness.url, "GET", f"/{sha256(NAME.encode()).hexdigest()}").content.decode()
        assert shown.startswith(f"{NAME}\n34\n"), "monitors can ask the witness itself"
        asking = AuditWitnessing(heads, policy_of(witness))  # started anew: the witness says where it stands
        await grow(heads.database)
        await heads.sign()
        await asking.round()
        assert Note.parse(heads.cosigned.read_bytes()).text.startswith(f"{NAME}\n35\n")
    assert (await heads.verify()).fault == ""


async def test_a_past_that_was_rewritten_at_home_is_not_cosigned(heads, tmp_path, back_end):
    """Rows, head, signed heads and files are all made to agree: the home finds nothing, the witness knows better."""
    with RunningWitness(tmp_path / "w", "w", *heads.verifiers) as witness:
        asking = AuditWitnessing(heads, policy_of(witness))
        await grow(heads.database, 5)
        await heads.sign()
        await asking.round()
        cosigned = heads.cosigned.read_bytes()
        unguard(heads.database.place, server=back_end.name == "postgresql")
        rows(heads.database.place, "UPDATE audit_row SET action = 'voucher.list' WHERE seq = 3")
        rows(heads.database.place, "DELETE FROM audit_head")
        await rebuilt(heads)
        for file in (heads.file, heads.cosigned):
            file.unlink()
        await grow(heads.database, 3)
        await heads.sign()
        assert (await heads.verify()).fault == "", "nothing at home shows it"
        await asking.round()
        assert not heads.cosigned.exists()
        assert asking.witnesses[0].failures == 1
        heads.cosigned.write_bytes(cosigned)
        assert "signed head of 5 rows" in (await heads.verify()).fault, "nor does a copy of what was cosigned agree"


async def rebuilt(heads):
    """Have the stored head be that of the rows as they are."""
    tree = Frontier()
    async with heads.database.read() as conn:
        async for row in trail.stream(conn):
            tree.append(row.leaf())
    async with heads.database.write() as conn:
        await conn.execute(update(audit_state).values(size=tree.size, nodes=tree.to_bytes()))
