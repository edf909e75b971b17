"""What leaves the log: tiles, exports, receipts, disclosures and statements, each checked by who has the key alone."""

import base64
import json
import runpy
import subprocess
import sys

import pytest

from ledger.policy import Policy
from ledger.receipt import Content, check_receipt
from ledger.statement import Statement, check
from tests.shared_data import ROOT
from tests.suanquan.command import SCHEME, suanquan
from tests.suanquan.harness import request
from tests.suanquan.shell import BY, ORDER, Shell


@pytest.fixture
def shell(installation, tmp_path):
    return Shell(installation, tmp_path)


def test_tiles_are_served_for_ever(service):
    """Every file of the export is served under its path, immutable; what the head does not cover is not there."""
    service.call(service.service.log.sign())
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
    assert [leg["units"] for leg in found["legs"]] == ["100000000"] * 8, (
        "budget and voucher, and the caps of programme, year and holder"
    )
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
    stored = service.call(service.service.issue(SCHEME, ORDER))
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
    size = shell.size()
    shell.make("ledger", "statement", account, "-o", "again.json")
    again = shell.check("ledger", "check-statement", "again.json", "--key", shell.vkey, "--json").json
    assert (again["lines"], again["after"], shell.size()) == (found["lines"], found["after"], size), (
        "asking again writes nothing"
    )
    middle = found["lines"][2]["recorded_at"]
    shell.make("ledger", "statement", account, "--from", middle, "-o", "part.json")
    part = shell.check("ledger", "check-statement", "part.json", "--key", shell.vkey, "--json").json
    assert (part["before"], len(part["lines"])) == ("99.000000", 2)
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
