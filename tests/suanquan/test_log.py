"""The log of a real home: signed, kept outside the database, and never of two histories."""

import asyncio
import contextlib
import shutil
import sqlite3
import time

import pytest

from ledger.checkpoint import Checkpoint
from ledger.errors import DomainError
from ledger.note import Note, open_checkpoint
from ledger.vkey import Algorithm
from suanquan.jobs import sign_log
from suanquan.note_keys import load_verifier_keys
from suanquan.service import open_service
from suanquan.use_cases.setup import bind_account
from tests.conftest import ALL
from tests.suanquan.command import HOLDER, SCHEME
from tests.suanquan.harness import PASSPHRASE, ProcessService, ThreadedService, request
from tests.suanquan.shell import BY, ORDER, Shell


@pytest.fixture
def shell(installation, tmp_path):
    return Shell(installation, tmp_path)


def head_of(home):
    return open_checkpoint(Note.parse(home.log_head.read_bytes()), load_verifier_keys(home.log_keys))


def stored_heads(home):
    with contextlib.closing(sqlite3.connect(home.database)) as connection:
        return [note for (note,) in connection.execute("SELECT note FROM checkpoint ORDER BY size")]


def test_a_new_home_has_a_signed_log(shell):
    """Two keys of one name sign each head, and the last of them stands outside the database, too."""
    keys = load_verifier_keys(shell.home.log_keys)
    assert [key.algorithm for key in keys] == [Algorithm.ED25519, Algorithm.ML_DSA_44_COSIGNATURE]
    assert head_of(shell.home).size == 1
    found = shell.ask("ledger", "checkpoint", secret=True)
    assert found["size"] == shell.size() == head_of(shell.home).size
    assert {signed.key for signed in Note.parse(found["note"].encode()).verify(keys)} == set(keys)
    assert shell.home.log_head.read_text("utf-8") == found["note"] == stored_heads(shell.home)[-1]
    assert shell.run("ledger", "checkpoint").out == found["note"]
    assert shell.run("ledger", "checkpoint", "--key").out == f"{shell.vkey}\n"
    assert shell.ask("ledger", "verify")["ok"]


def test_a_grown_log_is_signed_within_a_second(installation):
    """A service signs what a command beside it wrote; the head is served at once and is that of the database."""
    with ProcessService(installation) as service:
        before = request(service.url, "GET", "/log/checkpoint").content

        async def write():
            async with open_service(installation.home) as opened:
                await bind_account(opened.journal, "sj01", "alpha", HOLDER)
                return time.monotonic()

        written = asyncio.run(write())
        while request(service.url, "GET", "/log/checkpoint").content == before:
            assert time.monotonic() - written < (1.5 if ALL else 30), "with --all nothing else is to run on the machine"
            time.sleep(0.02)
        assert request(service.url, "GET", "/log/checkpoint").content == installation.home.log_head.read_bytes()
        metrics = request(service.url, "GET", "/metrics").content.decode()
    assert "ledger_checkpoint_age_seconds 0." in metrics


def roll_back(shell, change):
    """Put back the database as it was before a change, as an operator restores a backup."""
    kept = shell.cwd / "kept.db"
    shell.make("db", "backup", "-o", kept, secret=False)
    change()
    shell.ask("ledger", "checkpoint", secret=True)
    size = shell.size()
    shell.make("db", "restore", kept, "--older", secret=False)
    return size


def test_an_older_database_is_not_written_to(shell, installation):
    """After a restore nothing is written or signed, by command or service, and both sizes are named; reading goes on."""
    first = shell.size()
    published = roll_back(shell, shell.issue)
    assert (shell.size(), published > first) == (first, True)
    for words in (
        ("voucher", "issue", "--scheme", SCHEME, "--holder", HOLDER, "--amount", "5"),
        ("ledger", "checkpoint"),
        ("serve", "--port", "0"),
    ):
        done = shell.run(*words, secret=True)
        assert done.status == 8, done.err
        assert "database-rolled-back" in done.err
        assert f"{first} 条" in done.err
        assert f"{published} 条" in done.err
    assert shell.size() == first
    assert head_of(shell.home).size == published


def test_a_rollback_is_accepted_under_a_new_name(shell):
    """The entry says so, the old head is archived, and no name ever signs two histories."""
    old_keys = load_verifier_keys(shell.home.log_keys)
    roll_back(shell, shell.issue)
    old_head = shell.home.log_head.read_bytes()
    assert shell.run("db", "accept-rollback", "--officer", "李四", "--reason", "", secret=True).status == 2
    accepted = shell.ask("db", "accept-rollback", *BY, secret=True)
    assert accepted["continues_as"].startswith(f"{old_keys[0].name}/restored-")
    assert head_of(shell.home).origin == accepted["continues_as"]
    [archived] = shell.home.path.glob("log-head-until-*")
    assert archived.read_bytes() == old_head
    assert set(load_verifier_keys(shell.home.log_keys)).isdisjoint(old_keys)
    issued = shell.issue()
    assert shell.ask("ledger", "verify")["ok"]
    shell.make("ledger", "prove", issued["event_id"], "-o", "r")
    assert shell.check("ledger", "check", "r", "--key", shell.vkey).status == 0
    refused = shell.run("db", "accept-rollback", *BY, secret=True)
    assert (refused.status, "not-rolled-back" in refused.err) == (4, True)
    shell.make("ledger", "disclose", str(accepted["seq"]), "-o", "note")
    told = shell.check("ledger", "check", "note", "--key", shell.vkey, "--json").json["payload"]
    assert "rollback-accepted" in told
    assert "李四: 沪发改〔2026〕9号" in told


def test_another_history_of_the_same_length_is_refused(shell):
    """Not the size alone: a database whose root at the signed size is another is refused."""
    published = head_of(shell.home)
    kept = shell.cwd / "kept.db"
    shell.make("db", "backup", "-o", kept, secret=False)
    shell.issue()
    shell.ask("ledger", "checkpoint", secret=True)
    head = shell.home.log_head.read_bytes()
    shell.make("db", "restore", kept, "--older", secret=False)
    shell.home.log_head.unlink()
    for _ in range(3):  # the operator hides the head and writes another history, longer than the first
        shell.issue()
    shell.home.log_head.write_bytes(head)
    done = shell.run("voucher", "issue", "--scheme", SCHEME, "--holder", HOLDER, "--amount", "5", secret=True)
    assert done.status == 8
    assert "database-rolled-back" in done.err
    assert head_of(shell.home).size > published.size


def test_a_head_file_that_says_nothing_is_refused(shell):
    """A damaged head file is no reason to write on: it may have known better."""
    shell.home.log_head.write_text("nothing\n")
    done = shell.run("ledger", "freeze", "voucher/x", *BY)
    assert (done.status, "log-head-unreadable" in done.err) == (8, True)


def test_signers_beside_each_other_agree(installation):
    """However many sign at once while the log grows, every pair of heads is of one history, and each size is signed once."""

    async def run():
        async with (
            open_service(installation.home, PASSPHRASE) as one,
            open_service(installation.home, PASSPHRASE) as two,
        ):
            for n in range(20):
                await asyncio.gather(
                    bind_account(one.journal, "sj01", f"a{n}", HOLDER), one.log.sign(), two.log.sign(), one.log.sign()
                )
            await one.log.check_head_file()

    asyncio.run(run())
    heads = stored_heads(installation.home)
    sizes = [int(note.split("\n")[1]) for note in heads]
    assert sizes == sorted(set(sizes))
    assert len(sizes) > 5
    assert head_of(installation.home).size == sizes[-1]  # whoever wrote the file last


def test_a_home_without_log_keys_gets_them(shell):
    """A home that was made before there were log keys: `keys log` makes them once, and signs."""
    shutil.rmtree(shell.home.log_keys)
    shell.home.log_head.unlink()
    with contextlib.closing(sqlite3.connect(shell.home.database)) as connection:
        connection.execute("DELETE FROM checkpoint")
        connection.commit()
    shell.issue()
    missing = shell.run("ledger", "prove", "00" * 16, "-o", "r", secret=True)
    assert missing.status == 3
    vkeys = shell.ask("keys", "log", secret=True)
    assert vkeys == shell.ask("keys", "log", secret=True)
    assert vkeys[0] == shell.vkey
    assert head_of(shell.home).size == shell.size()


def test_threads_do_not_hide_a_rollback(installation, tmp_path):
    """The service on HTTP refuses to write to an older database, too, and answers reads."""
    shell = Shell(installation, tmp_path)
    roll_back(shell, shell.issue)
    with ThreadedService(installation.home) as service:
        assert request(service.url, "GET", "/readyz").status == 200
        with pytest.raises(DomainError, match="accept-rollback"):
            service.call(service.service.issue(SCHEME, ORDER))


def test_a_database_put_back_under_a_running_service_is_not_written_to(installation):
    """What the next signature notices, the next write refuses."""

    async def run():
        async with open_service(installation.home, PASSPHRASE) as service:
            await bind_account(service.journal, "sj01", "alpha", HOLDER)
            await sign_log(service)
            ahead = service.log.keys.sign_checkpoint(Checkpoint(service.log.name, 9_999, bytes(32)), 1)
            installation.home.log_head.write_text(str(ahead), "utf-8")
            await bind_account(service.journal, "sj01", "beta", HOLDER)
            await sign_log(service)
            with pytest.raises(DomainError, match="9999 条"):
                await bind_account(service.journal, "sj01", "gamma", HOLDER)

    asyncio.run(run())
