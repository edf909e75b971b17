"""The demo: the whole chain on an embedded database, played again, cut short and stopped."""

import json
import re
import sqlite3
import stat
import time
import urllib.request
from decimal import Decimal

import pytest

from suanquan.home import Home, create_home, write_secret
from suanquan.settings import Settings
from tests.conftest import ALL
from tests.shared_data import SHARED, needs_shared
from tests.suanquan.command import Command, suanquan
from tests.suanquan.harness import figures_of

PHILLY = SHARED / "traces" / "philly-jobs"
MEMBERS = {
    *("issued_yuan", "records", "gpu_ms", "rated_yuan", "debited_yuan", "self_pay_yuan", "statuses", "utilisation"),
    *("log", "by_account"),
}
STATUSES = ["accepted", "duplicate", "conflict", "rejected", "held"]
YUAN = re.compile(r"[0-9]+\.[0-9]{6}")
OFFICE = {"SUANQUAN_HOME": "home"}
MOMENTS = ["suanquan.db", "agent/sj03.spool"]
if ALL:
    MOMENTS += ["demo-passphrase", "suanquan.toml", "demo-scene", "agent/sj01.spool"]


def demo(cwd, *arguments):
    done = suanquan("demo", "--once", "--json", *arguments, cwd=cwd, environment=OFFICE)
    assert done.status == 0, done.err
    return done.json


def assert_conserved(summary):
    """What usage costs is paid by vouchers and by the accounts themselves, to the last digit."""
    amounts = [summary[name] for name in ("rated_yuan", "debited_yuan", "self_pay_yuan", "issued_yuan")]
    assert all(YUAN.fullmatch(amount) for amount in amounts)
    rated, debited, self_pay, issued = map(Decimal, amounts)
    assert rated == debited + self_pay
    assert 0 < debited <= issued
    assert self_pay > 0
    assert summary["gpu_ms"] == sum(summary["by_account"].values())


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    return folder, demo(folder)


def test_the_summary_has_the_members_that_scripts_read(played):
    """One JSON document with sums, statuses, utilisation per centre, log head and GPU-milliseconds by account."""
    _, summary = played
    assert set(summary) == MEMBERS
    assert list(summary["statuses"]) == STATUSES
    assert summary["statuses"]["accepted"] == summary["records"] > 300
    assert set(summary["log"]) == {"size", "root"}
    assert re.fullmatch(r"[0-9a-f]{64}", summary["log"]["root"])
    assert set(summary["utilisation"]) == {"sj01", "sj02"}
    assert_conserved(summary)


def test_played_again_nothing_is_counted_twice(played):
    """Every record is a duplicate; no sum, no balance and no entry of the log changes."""
    folder, summary = played
    before = figures_of(Home(folder / "home"))
    again = demo(folder)
    assert again.pop("statuses") == {**dict.fromkeys(STATUSES, 0), "duplicate": summary["records"]}
    assert again == {name: value for name, value in summary.items() if name != "statuses"}
    after = figures_of(Home(folder / "home"))
    assert (after.entries, after.balances, after.usage) == (before.entries, before.balances, before.usage)
    assert after.rated == after.debited + sum(after.self_pay.values())


def test_people_read_the_same_figures(played):
    """Without `--json` the summary is a screen of lines in Chinese and English; talk goes to stderr."""
    folder, summary = played
    done = suanquan("demo", "--once", cwd=folder, environment=OFFICE)
    assert done.status == 0
    for zh, name in (
        ("签发", "issued_yuan"),
        ("计价", "rated_yuan"),
        ("抵扣", "debited_yuan"),
        ("自付", "self_pay_yuan"),
    ):
        assert re.search(rf"^{zh} .* {re.escape(summary[name])} ", done.out, re.MULTILINE)
    assert summary["log"]["root"] in done.out
    assert all(f"{centre} {ratio}" in done.out for centre, ratio in summary["utilisation"].items())
    assert "http://127.0.0.1:" in done.err


def test_only_the_owner_can_read_the_home(played):
    """Folders are 0700 and files that hold anything secret 0600, the database among them."""
    folder, _ = played
    home = folder / "home"
    secret = [home, home / "keys", home / "agent", *home.glob("demo-*"), *home.glob("*.db*"), home / "suanquan.toml"]
    secret += [*(home / "keys").iterdir(), *(home / "agent").iterdir()]
    assert len(secret) > 10
    for path in secret:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_it_stays_up_until_it_is_stopped(tmp_path):
    """The summary is on stdout, addresses and token on stderr; page, API, metrics and key set answer; Ctrl-C ends it well."""
    running = Command("demo", "--port", "0", "--json", cwd=tmp_path, environment=OFFICE)
    said = running.wait_for("Ctrl-C")
    url = re.search(r"http://127\.0\.0\.1:[0-9]+", said)[0]
    token = re.search(r"sqt_\S+", said)[0]
    for path, content in (
        ("/", "算券"),
        ("/metrics", "ledger_entries "),
        ("/docs", "openapi"),
        ("/readyz", '"ok"'),
        ("/.well-known/jwks.json", '"Ed25519"'),
    ):
        with urllib.request.urlopen(url + path, timeout=10) as answer:
            assert content in answer.read().decode(), path
    request = urllib.request.Request(url + "/v1/vouchers", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert len(json.load(answer)["vouchers"]) > 5
    for path in (tmp_path / "home").glob("*.db*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    running.interrupt()
    done = running.done()
    assert done.status == 0
    assert set(done.json) == MEMBERS
    assert not list((tmp_path / "home").glob("*.db-wal"))


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_moment_it_starts_again(moment, tmp_path):
    """A home that was cut short is completed by the next run, which comes to the same sums."""
    running = Command("demo", "--once", cwd=tmp_path, environment=OFFICE)
    while not (tmp_path / "home" / moment).exists():
        time.sleep(0.001)
    running.kill()
    summary = demo(tmp_path)
    assert (
        sum(summary["statuses"].values())
        == summary["records"]
        == sum(summary["statuses"][n] for n in ("accepted", "duplicate"))
    )
    assert_conserved(summary)
    assert suanquan("ledger", "verify", cwd=tmp_path, environment=OFFICE).status == 0
    assert suanquan("doctor", cwd=tmp_path, environment=OFFICE).status == 0


@needs_shared
def test_a_real_trace_is_met_to_the_last_millisecond(tmp_path):
    """Philly, 82,247 jobs: total and every account are those of the ground truth, and rated is debited plus self-pay."""
    truth = json.loads((PHILLY / "ground_truth.json").read_text())
    fields = {"start": "timestamp", "duration": "duration", "gpus": "num_gpus", "account": "cluster"}
    mapped = [word for field, column in fields.items() for word in ("--map", f"{field}={column}")]
    trace = ("--trace", PHILLY / "philly.csv.gz", "--source", "csv", "--set", "model=V100-SXM2", "--timezone", "UTC")
    summary = demo(tmp_path, *trace, *mapped)
    assert summary["gpu_ms"] == truth["total_gpu_seconds"] * 1000
    assert summary["by_account"] == {name: seconds * 1000 for name, seconds in truth["vc_gpu_seconds"].items()}
    assert (summary["records"], summary["statuses"]["accepted"]) == (truth["rows"], truth["rows"])
    assert_conserved(summary)


def test_a_faulty_trace_makes_no_home(tmp_path):
    """A trace that cannot be read is refused before anything is written."""
    (tmp_path / "jobs.csv").write_text("when,secs\n")
    done = suanquan("demo", "--once", "--trace", "jobs.csv", "--source", "csv", cwd=tmp_path, environment=OFFICE)
    assert done.status == 2
    assert "column-missing" in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["jobs.csv"]


def test_a_home_that_is_no_sandbox_is_left_alone(tmp_path):
    """Whatever lies in it: files of an earlier demo make no sandbox of a home whose settings say that it is none."""
    home = Home(tmp_path / "home")
    create_home(home, Settings(sandbox=False), b"correct horse battery")
    write_secret(home.path / "demo-passphrase", b"correct horse battery")
    before = {path: path.stat().st_mtime_ns for path in home.path.rglob("*")}
    done = suanquan("demo", "--once", cwd=tmp_path, environment=OFFICE)
    assert (done.status, "home-not-demo" in done.err) == (4, True), done.err
    assert {path: path.stat().st_mtime_ns for path in home.path.rglob("*")} == before


def test_cards_unknown_to_the_register_are_held_not_free(tmp_path):
    """Usage of a card without a registered rate waits for a person: counted as held, paid by nobody, and kept."""
    (tmp_path / "jobs.csv").write_text("when,secs,cards,who\n2026-11-01T00:00:00Z,3600,2,alpha\n")
    mapped = [f"--map={name}" for name in ("start=when", "duration=secs", "gpus=cards", "account=who")]
    summary = demo(tmp_path, "--trace", "jobs.csv", "--source", "csv", "--set", "model=H9000", *mapped)
    assert summary["statuses"] == {**dict.fromkeys(STATUSES, 0), "held": 1}
    assert (summary["rated_yuan"], summary["debited_yuan"]) == ("0.000000", "0.000000")
    with sqlite3.connect(tmp_path / "home" / "suanquan.db") as database:
        assert database.execute("SELECT status, code FROM quarantine").fetchall() == [("held", "model-unknown")]
    database.close()
