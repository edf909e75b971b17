"""The log of a real home: signed, kept outside the database, never two histories; exported, proved, disclosed, erased."""

import asyncio
import base64
import contextlib
import json
import runpy
import shutil
import sqlite3
import subprocess
import sys
import time

import pytest

from ledger.errors import DomainError
from ledger.note import Note, open_checkpoint
from ledger.policy import Policy
from ledger.receipt import Content, check_receipt
from ledger.statement import Statement, check
from ledger.vkey import Algorithm
from suanquan.note_keys import load_verifier_keys
from suanquan.service import open_service
from suanquan.use_cases.log import create_log_keys
from suanquan.use_cases.setup import bind_account
from tests.shared_data import ROOT
from tests.suanquan.command import HOLDER, SCHEME, suanquan
from tests.suanquan.harness import PASSPHRASE, ProcessService, ThreadedService, request
from voucher.issuance import IssueRequest

BY = ("--officer", "李四", "--reason", "沪发改〔2026〕9号")


class Shell:
    """A home at a shell."""

    def __init__(self, installation, cwd):
        self.home, self.cwd = installation.home, cwd
        self.options = ("--home", self.home.path)
        self.secret = ("--passphrase-file", installation.passphrase_file)

    def run(self, *words, secret=False):
        return suanquan(*words, *self.options, *(self.secret if secret else ()), cwd=self.cwd)

    def ask(self, *words, secret=False):
        done = self.run(*words, "--json", secret=secret)
        assert done.status == 0, done.err
        return done.json

    def make(self, *words, secret=True):
        """Run a command that writes a file."""
        done = self.run(*words, secret=secret)
        assert done.status == 0, done.err

    def issue(self):
        return self.ask("voucher", "issue", "--scheme", SCHEME, "--holder", HOLDER, "--amount", "100", secret=True)

    def size(self):
        return self.ask("ledger", "head")["size"]

    def check(self, *words):
        """Exit status and what was said of a check that needs no home."""
        return suanquan(*words, cwd=self.cwd)

    @property
    def vkey(self):
        return str(load_verifier_keys(self.home.log_keys)[0])


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
            assert time.monotonic() - written < 1.5
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
    shell.make("db", "restore", kept, secret=False)
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
    assert shell.run("db", "accept-rollback", "--officer", "x", "--reason", "", secret=True).status == 2
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
    shell.make("db", "restore", kept, secret=False)
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


def test_tiles_are_served_for_ever(service):
    """Every file of the export is served under its path, immutable; what the head does not cover is not there."""
    service.call(create_log_keys(service.service.home, service.service.settings, service.service.database, PASSPHRASE))
    found = request(service.url, "GET", "/log/checkpoint")
    assert (found.status, found.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert found.headers["cache-control"] == "no-cache"
    size = int(found.content.decode().split("\n")[1])
    for level in ("entries", "0"):
        tile = request(service.url, "GET", f"/log/tile/{level}/000.p/{size}")
        assert tile.status == 200
        assert "immutable" in tile.headers["cache-control"]
        first = request(service.url, "GET", f"/log/tile/{level}/000.p/1").content
        assert tile.content.startswith(first)
        assert len(first) < len(tile.content)
        for path in (
            f"{level}/000.p/{size + 1}",
            f"{level}/000",
            f"{level}/0",
            f"{level}/001",
            "x/000",
            f"{level}/../0",
        ):
            assert request(service.url, "GET", f"/log/tile/{path}").status == 404, path
    assert request(service.url, "GET", "/log/checkpoint?witnessed=true").status == 404


def export(shell, folder="export"):
    shell.ask("ledger", "export", folder, secret=True)
    return shell.cwd / folder


def test_an_export_is_checked_by_its_key_alone(shell):
    """By our command and by the file that comes with it, also after it has grown; any changed file is found and named."""
    folder = export(shell)
    shell.issue()
    size = shell.size()
    export(shell)
    assert shell.check("ledger", "verify", "--from", folder, "--key", shell.vkey, "--json").json["size"] == size
    alone = [sys.executable, "-I", str(folder / "verify_log.py"), str(folder), "--key", str(folder / "log.vkey")]
    assert subprocess.run(alone, capture_output=True, check=False).returncode == 0
    assert (folder / "log.vkey").read_text("utf-8") == f"{shell.vkey}\n"
    assert "Leaf: CVL1" in (folder / "FORMAT.md").read_text("utf-8")
    for path in (f"tile/entries/000.p/{size}", f"tile/0/000.p/{size}", "checkpoint", "log.vkey"):
        whole = (folder / path).read_bytes()
        (folder / path).write_bytes(whole[:50] + bytes([whole[50] ^ 1]) + whole[51:])
        done = shell.check("ledger", "verify", "--from", folder, "--key", shell.vkey)
        assert (done.status, "export-invalid" in done.err) == (8, True), path
        (folder / path).write_bytes(whole)
    (folder / f"tile/entries/000.p/{size}").unlink()
    done = shell.check("ledger", "verify", "--from", folder, "--key", shell.vkey)
    assert (done.status, "tile/entries/000" in done.err) == (8, True)
    assert shell.check("ledger", "verify", "--from", folder).status == 2


def test_an_export_goes_on_where_it_stopped(shell):
    """What a cut-short export left is kept, what it lacks is added; a folder with another log is refused."""
    folder = export(shell)
    size = shell.size()
    (folder / "checkpoint").unlink()
    (folder / f"tile/0/000.p/{size}").unlink()
    kept = (folder / f"tile/entries/000.p/{size}").stat().st_mtime_ns
    export(shell)
    assert (folder / f"tile/entries/000.p/{size}").stat().st_mtime_ns == kept
    assert shell.check("ledger", "verify", "--from", folder, "--key", shell.vkey).status == 0
    other = shell.cwd / "other"
    suanquan("init", "--sandbox", "--home", other, *shell.secret, cwd=shell.cwd)
    done = suanquan("ledger", "export", folder, "--home", other, *shell.secret, cwd=shell.cwd)
    assert (done.status, "export-of-another-log" in done.err) == (4, True)


def test_a_receipt_is_checked_offline(shell):
    """By our command and by the stand-alone file; with another key, or changed, it is refused."""
    issued = shell.issue()
    shell.make("ledger", "prove", issued["event_id"], "-o", "r.tlog-proof")
    found = shell.check("ledger", "check", "r.tlog-proof", "--key", shell.vkey, "--json").json
    assert (found["ok"], found["event_id"], found["kind"]) == (True, issued["event_id"], "POST")
    assert [leg["units"] for leg in found["legs"]] == ["100000000"] * 2
    alone = runpy.run_path(str(ROOT / "tools/verify_log.py"))
    data = (shell.cwd / "r.tlog-proof").read_bytes()
    assert f"entry {found['seq']} of" in alone["check_receipt"](data, None, alone["parse_key"](shell.vkey))
    top, extra, *rest = data.split(b"\n")
    content = Content.parse(base64.b64decode(extra[6:]))._replace(payload=b"another")
    other = b"\n".join([top, b"extra " + base64.b64encode(content.to_extra()), *rest])
    with pytest.raises(alone["BadError"], match="commits to"):
        alone["check_receipt"](other, None, alone["parse_key"](shell.vkey))
    shell.make("ledger", "prove", issued["event_id"], "--no-payload", "-o", "bare")
    assert shell.check("ledger", "check", "bare", "--key", shell.vkey, "--json").json["payload"] is None
    (shell.cwd / "bad").write_bytes(data.replace(b"index ", b"index 1"))
    done = shell.check("ledger", "check", "bad", "--key", shell.vkey)
    assert (done.status, done.out) == (8, "")
    assert shell.check("ledger", "check", "r.tlog-proof").status == 2
    assert shell.run("ledger", "prove", "ab" * 16, "-o", "x").status == 3
    assert shell.run("ledger", "disclose", "999999", "-o", "x").status == 3


def test_erased_content_stays_erased(shell):
    """A disclosure shows the content; after the erasure it says by which entry it is gone, and the proof still holds."""
    seq = str(shell.ask("ledger", "event", shell.issue()["event_id"])["seq"])
    shell.make("ledger", "disclose", seq, "-o", "before")
    erased = shell.ask("ledger", "erase", seq, *BY)
    shell.make("ledger", "disclose", seq, "-o", "after")
    before = shell.check("ledger", "check", "before", "--key", shell.vkey, "--json").json
    after = shell.check("ledger", "check", "after", "--key", shell.vkey, "--json").json
    assert before["payload"] is not None
    assert (after["payload"], after["erased_by"]) == (None, erased["seq"])
    assert shell.check("ledger", "verify", "--from", export(shell), "--key", shell.vkey).status == 0
    assert shell.ask("ledger", "verify")["ok"]


def test_a_receipt_needs_a_head_that_covers_it(shell):
    """Without the passphrase and without a service nobody signs: the command says what to do."""
    issued = shell.issue()
    done = shell.run("ledger", "prove", issued["event_id"], "-o", "x")
    assert (done.status, "checkpoint-missing" in done.err) == (7, True)


def test_officers_read_the_books_over_http(service, installation):
    """Events, proofs, balances, lines and statements, with the token alone; names of accounts keep their slashes."""
    headers = {"Authorization": f"Bearer {installation.token}"}
    stored = service.call(service.service.issue(SCHEME, voucher_for(HOLDER)))
    account = f"/v1/ledger/accounts/voucher/{stored.jti}"

    def get(path, status=200):
        found = request(service.url, "GET", path, headers=headers)
        assert found.status == status, found
        return found.content

    [line] = [line for line in get(f"{account}/lines?limit=9")["lines"] if line["kind"] == "POST"]
    event = f"/v1/ledger/events/{line['event_id']}"
    assert get(event)["seq"] == line["seq"]
    assert get(f"{account}/balance")["balance"] == "100.000000"
    assert get(f"{account}/balance?at=2020-01-01T00:00:00Z")["balance"] == "0.000000"
    assert get(f"{account}/lines?before=99999999999999999999999")["lines"]
    policy = Policy.of_logs(service.service.log.verifiers[0])
    assert check_receipt(get(f"{event}/proof"), policy).entry.seq == line["seq"]
    made = json.dumps(get(f"{account}/statement"), ensure_ascii=False, indent=1).encode()
    assert check(Statement.parse(made), policy).sums.credits == 100_000_000
    assert get("/v1/ledger/events/" + "0" * 32, 404)["code"] == "event-unknown"
    assert get("/v1/ledger/events/zz", 422)["code"] == "request-invalid"
    assert get("/v1/ledger/accounts/none/balance", 404)["code"] == "account-unknown"
    assert get(f"{account}/statement?from=2100-01-01T00:00:00Z", 422)["code"] == "statement-period"
    for path in (event, f"{event}/proof", f"{account}/balance", f"{account}/lines", f"{account}/statement"):
        assert request(service.url, "GET", path).status == 401


def voucher_for(holder):
    return IssueRequest(holder, "CNY", "100")


def test_a_statement_is_made_and_checked_by_command(shell):
    """Over any period; its totals are the account's; a removed line, a wrong total and another account are refused."""
    issued = shell.issue()
    account = f"voucher/{issued['jti']}"
    for amount in ("1", "2", "3"):
        shell.ask("ledger", "reverse", issued["event_id"], "--amount", amount, *BY)
    shell.make("ledger", "statement", account, "-o", "s.json")
    found = shell.check("ledger", "check-statement", "s.json", "--key", shell.vkey, "--json").json
    assert (found["credits"], found["debits"], found["after"]) == ("100.000000", "6.000000", "94.000000")
    assert [line["balance"] for line in found["lines"]][-1] == "94.000000"
    middle = found["lines"][2]["recorded_at"]
    shell.make("ledger", "statement", account, "--from", middle, "-o", "part.json")
    part = shell.check("ledger", "check-statement", "part.json", "--key", shell.vkey, "--json").json
    assert (part["before"], len(part["lines"])) == ("99.000000", 3)
    size = shell.size()
    shell.make("ledger", "statement", account, "--until", middle, "-o", "past.json")
    assert shell.size() == size, "a period with an entry after it needs no mark"
    written = json.loads((shell.cwd / "s.json").read_bytes())
    for change in (
        lambda s: s["lines"].pop(1),
        lambda s: s["lines"].pop(),
        lambda s: s["sums"].update(after="95000000"),
        lambda s: s.update(account="treasury"),
    ):
        changed = json.loads(json.dumps(written))
        change(changed)
        (shell.cwd / "bad.json").write_text(json.dumps(changed))
        done = shell.check("ledger", "check-statement", "bad.json", "--key", shell.vkey)
        assert (done.status, "statement-invalid" in done.err) == (8, True)
    done = shell.run("ledger", "statement", account, "--until", "2100-01-01T00:00:00Z", "-o", "x")
    assert (done.status, "statement-period" in done.err) == (2, True)


def test_threads_do_not_hide_a_rollback(installation, tmp_path):
    """The service on HTTP refuses to write to an older database, too, and answers reads."""
    shell = Shell(installation, tmp_path)
    roll_back(shell, shell.issue)
    with ThreadedService(installation.home) as service:
        assert request(service.url, "GET", "/readyz").status == 200
        with pytest.raises(DomainError, match="accept-rollback"):
            service.call(service.service.issue(SCHEME, voucher_for(HOLDER)))
