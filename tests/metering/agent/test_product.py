"""The agent as a product: a light install, a unit that may do little, an outage of three days, new keys, its own metrics."""

from __future__ import annotations

import contextlib
import errno
import json
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from ledger.ed25519 import PublicKey
from metering.agent import __main__ as program
from metering.agent.client import UsageClient, Verdict
from metering.agent.config import AgentConfig, load_config
from metering.agent.daemon import Clock, Sender, run
from metering.agent.health import HealthServer, metrics_text
from metering.agent.keys import KeyRing, create_key, load_key, next_path
from metering.agent.spool import Spool
from metering.agent.view import SpoolView
from metering.errors import MeteringError
from tests.metering.agent import usage_service as faulty
from tests.metering.agent.usage_service import SOURCE, Service, usage, verify_receipt
from tests.shared_data import ROOT

LIGHT = {"cryptography", "msgspec", "_cffi_backend", "typing_extensions", "tzdata"}
NS = 1_000_000_000
HOUR_S = 3600


# ---- what it needs


def test_the_agent_imports_no_web_stack():
    """A login node needs what `requirements-agent.lock` names: no framework, no database library, no numpy."""
    code = """
import json, pkgutil, sys, metering.agent, importlib
names = [m.name for m in pkgutil.iter_modules(metering.agent.__path__) if m.name not in {"nvml_cards", "nats_client"}]
for name in names:
    importlib.import_module(f"metering.agent.{name}")
print(json.dumps(sorted({n.split(".")[0] for n, m in sys.modules.items() if "site-packages" in str(getattr(m, "__file__", ""))})))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(json.loads(done.stdout)) - {"_distutils_hack"} <= LIGHT
    locked = {
        line.split("==")[0] for line in (ROOT / "requirements-agent.lock").read_text().splitlines() if "==" in line
    }
    assert locked <= LIGHT | {"cffi", "pycparser"}


def test_the_unit_may_do_little():
    """`systemd-analyze security` finds an exposure of 1.5 at most."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze")
    unit = ROOT / "config/systemd/suanquan-agent.service"
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=15", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert "exposure level" in done.stdout


# ---- an outage


class Simulated(Clock):
    """Time that passes only while the agent waits; `happen` is told of every moment that it reaches."""

    def __init__(self, happen):
        self.ns = 0
        self._happen = happen

    def now_ns(self):
        return self.ns

    def wait(self, stop, seconds):
        self.ns += max(seconds, 1) * NS
        self._happen(self.ns // NS, stop)


@pytest.fixture
def service():
    with Service() as running:
        yield running


@pytest.fixture
def config(tmp_path, service):
    jwk = create_key(tmp_path / "agent.pem")
    service.keys[jwk["kid"]] = PublicKey.from_jwk(jwk)
    return AgentConfig(
        service.base_url, "sj01", SOURCE, tmp_path / "agent.pem", tmp_path / "agent.db", 600, 2**26, collect={}
    )


def test_an_outage_of_72_hours_loses_nothing(service, config):
    """A record every ten minutes for four days; for three of them no answer: all arrive, once, in order, within the spool's limit."""
    down_from_s, down_to_s, end_s = 6 * HOUR_S, 78 * HOUR_S, 96 * HOUR_S
    now_s = tries_down = 0

    def happen(at_s, stop):
        nonlocal now_s, tries_down
        if down_from_s <= at_s < down_to_s:
            service.faults.append(faulty.status(503, retry_after=1_800) if at_s % 4 else faulty.lost_before_work)
            tries_down = len(service.tries)
        elif at_s >= down_to_s and service.faults:
            service.faults.clear()
        now_s = at_s
        if at_s >= end_s:
            stop.set()

    def collect():
        return [usage(number) for number in range(max(0, now_s // 600 - 30), now_s // 600)]

    run(config, collect, verify_receipt, threading.Event(), Simulated(happen))
    with SpoolView(config.spool) as view:
        status = view.status()
        assert (status.unsent, status.parked_batches) == (0, 0)
        assert next(first for first, _, _ in view.receipts()) == 1
    sent = [int(event["sequence"]) for event in service.events.values()]
    assert sent == list(range(1, len(sent) + 1)), "every record once, under its number, in order"
    assert len(sent) >= end_s // 600 - 2
    assert all(len(bodies) == 1 for bodies in service.bodies.values())
    assert tries_down < 72 * HOUR_S // 300, "a service in trouble is not stormed"


def test_a_full_spool_takes_nothing_more_and_loses_nothing(tmp_path):
    """What waits is never overwritten; what did not fit is at the source still, and is taken when there is room."""
    records = [usage(number, job=f"{number}" * 20) for number in range(400)]
    with Spool(tmp_path / "s.db", SOURCE, bytes_max=4_000, batch_records_max=50) as spool:
        chunks = [records[start : start + 20] for start in range(0, 400, 20)]
        taken = []
        with pytest.raises(MeteringError, match="limit"):
            taken.extend(spool.append(chunk) for chunk in chunks)
        assert 0 < sum(taken) < 400
        assert spool.status().unsent == sum(taken)
        batch = spool.next_batch()
        assert batch.first == 1


# ---- keys


def test_a_new_key_is_taken_up_once_the_service_knows_it(service, config):
    """Until then the old one signs; nothing is lost or refused meanwhile, and the old key is kept aside."""
    old = load_key(config.key_file)
    new = create_key(next_path(config.key_file))
    clock = Simulated(lambda *_: None)
    keys = KeyRing(config.key_file)
    with (
        Spool(config.spool, SOURCE, batch_records_max=10) as spool,
        UsageClient(service.base_url, SOURCE, old, verify_receipt) as client,
    ):
        sender = Sender(spool, client, keys=keys, clock=clock)
        spool.append(usage(number) for number in range(10))
        assert sender.step()[0].verdict.value == "delivered"
        assert keys.current.kid == old.kid
        service.keys[new["kid"]] = PublicKey.from_jwk(new)
        clock.wait(threading.Event(), 60)
        spool.append(usage(number) for number in range(10, 20))
        assert sender.step()[0].verdict.value == "delivered"
        del service.keys[old.kid]
        spool.append(usage(number) for number in range(20, 30))
        assert sender.step()[0].verdict.value == "delivered"
    assert len(service.events) == 30
    assert load_key(config.key_file).kid == new["kid"]
    assert load_key(config.key_file.with_name("agent.pem.old")).kid == old.kid
    assert not next_path(config.key_file).exists()


def test_a_promotion_that_was_cut_short_leaves_a_key(tmp_path):
    """Between its two steps only the waiting key has a name, and it is found."""
    path = tmp_path / "agent.pem"
    jwk = create_key(next_path(path))
    assert load_key(path).kid == jwk["kid"]


@contextlib.contextmanager
def sending(service, config):
    """A sender with a ring of keys, and what it spools from."""
    keys = KeyRing(config.key_file)
    with (
        Spool(config.spool, SOURCE, batch_records_max=10) as spool,
        UsageClient(service.base_url, SOURCE, keys.current, verify_receipt) as client,
    ):
        yield Sender(spool, client, keys=keys, clock=Simulated(lambda *_: None)), spool


def test_a_promotion_that_was_cut_short_is_finished_and_delivers(service, config):
    """The next run uses the key under its waiting name, gives it the usual one, and sends. Wrong: it fails for ever at the rename."""
    new = create_key(next_path(config.key_file))
    service.keys[new["kid"]] = PublicKey.from_jwk(new)
    config.key_file.replace(config.key_file.with_name("agent.pem.old"))
    with sending(service, config) as (sender, spool):
        spool.append([usage(1)])
        assert sender.step()[0].verdict is Verdict.DELIVERED
    assert load_key(config.key_file).kid == new["kid"]
    assert not next_path(config.key_file).exists()


def test_a_bad_key_that_waits_keeps_nobody_from_work(service, config):
    """Open to others, or no key: it is said, and the old key signs. Wrong: usage waits until somebody looks."""
    next_path(config.key_file).write_text("no key", "utf-8")
    with sending(service, config) as (sender, spool):
        spool.append([usage(1)])
        assert sender.step()[0].verdict is Verdict.DELIVERED


def test_a_key_whose_file_cannot_be_renamed_is_used(service, config, monkeypatch):
    """On a read-only folder the new key signs all the same, and the batch that it signed is settled."""
    new = create_key(next_path(config.key_file))
    service.keys[new["kid"]] = PublicKey.from_jwk(new)
    monkeypatch.setattr(Path, "replace", _read_only)
    with sending(service, config) as (sender, spool):
        for number in (1, 2):
            spool.append([usage(number)])
            assert sender.step()[0].verdict is Verdict.DELIVERED
        assert spool.status().sent == 2


def _read_only(self, _target):
    raise OSError(errno.EROFS, "read-only", str(self))


# ---- upgrades


def test_a_spool_of_the_first_version_goes_on(service, config):
    """Its open batch goes out under its old key and bytes, its numbers go on, what it has seen is known. Frozen as it was written."""
    with contextlib.closing(sqlite3.connect(config.spool)) as old:
        old.executescript((Path(__file__).parent / "spool_1.sql").read_text("utf-8"))
    config.spool.chmod(0o600)
    with sending(service, config) as (sender, spool):
        assert spool.append([usage(number) for number in range(3)]) == 0, "two sent and one waiting"
        assert spool.append([usage(3)]) == 1
        batch = spool.next_batch()
        assert (batch.first, batch.last, batch.key) == (3, 3, "ab" * 16)
        while sender.step():
            pass
        assert (spool.status().sent, spool.status().unsent) == (4, 0)
        assert next(receipt for _, _, receipt in spool.receipts()) == "a receipt"
    sent = [json.loads(body)[0] for bodies in service.bodies.values() for body in bodies]
    assert [(event["sequence"], event["id"]) for event in sent] == [
        (f"{number + 1:018d}", usage(number).id) for number in (2, 3)
    ]


def test_a_spool_of_a_later_version_is_left_alone(config):
    """An agent that was set back says so and touches nothing. Wrong: it writes into tables that it does not know."""
    Spool(config.spool, SOURCE).close()
    with contextlib.closing(sqlite3.connect(config.spool)) as later:
        later.execute("PRAGMA user_version = 2")
    before = config.spool.read_bytes()
    with pytest.raises(MeteringError, match="later version") as refused:
        Spool(config.spool, SOURCE)
    assert refused.value.code == "spool-newer"
    assert config.spool.read_bytes() == before


# ---- its own pages


def fetch(port, path):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
        return response.status, response.read().decode()


def test_metrics_and_status_are_served_on_loopback(service, config):
    """What waits, for how long, what was sent, the clock; lint-clean where promtool is at hand."""
    with (
        Spool(config.spool, SOURCE) as spool,
        UsageClient(service.base_url, SOURCE, load_key(config.key_file), verify_receipt) as client,
        HealthServer(("127.0.0.1", 0), config.spool, 2**26) as health,
    ):
        service.statuses[usage(1).id] = "held"
        spool.append(usage(number) for number in range(5))
        assert "suanquan_agent_unsent_records 5\n" in fetch(health.port, "/metrics")[1]
        Sender(spool, client).step()
        text = fetch(health.port, "/metrics")[1]
        assert "suanquan_agent_unsent_records 0\n" in text
        assert "suanquan_agent_sent_records_total 5\n" in text
        assert 'suanquan_agent_outcomes_total{status="held"} 1\n' in text
        assert json.loads(fetch(health.port, "/status")[1])["sent"] == 5
        assert fetch(health.port, "/healthz") == (200, "ok\n")
        with pytest.raises(urllib.error.HTTPError):
            fetch(health.port, "/spool")
        assert_lint_clean(text)


def assert_lint_clean(text):
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# HELP")]
    types = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert names == types
    assert len(set(names)) == len(names)
    if shutil.which("promtool"):
        done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_an_idle_agent_has_no_age_and_no_contact(tmp_path):
    """Nothing is invented for what has not happened."""
    with Spool(tmp_path / "s.db", SOURCE) as spool:
        text = metrics_text(spool.status(), 100, time.time_ns() // 1000)
    assert "oldest_unsent_age_seconds 0" in text
    assert "last_contact" not in text
    assert "clock_skew" not in text


# ---- the program alone

CONFIG = """
base_url = "{url}"
centre = "sj01"
source = "urn:centre:sj01:agent:slurm-1"
key_file = "agent.pem"
spool = "agent.db"
metrics = "127.0.0.1:9465"
[[collect]]
source = "csv"
paths = ["jobs.csv"]
map = {{ start = "s", duration = "d", gpus = "n", account = "a" }}
[[collect]]
source = "sacct"
command = ["cat", "{sacct}"]
timezone = "UTC"
"""


def test_the_program_alone(tmp_path, service, capsys):
    """`suanquan-agent` makes keys, tells the status and says what is wrong, without a framework."""
    path = tmp_path / "agent.toml"
    path.write_text(CONFIG.format(url=service.base_url, sacct=tmp_path / "x"), "utf-8")
    config = load_config(path)
    assert (config.listen, len(config.tables)) == (("127.0.0.1", 9465), 2)
    assert program.main(["keygen", str(tmp_path / "agent.pem")]) == 0
    assert json.loads(capsys.readouterr().out)["crv"] == "Ed25519"
    assert program.main(["rotate-key", "--config", str(path)]) == 0
    assert next_path(config.key_file).exists()
    assert program.main(["rotate-key", "--config", str(path)]) == 4
    capsys.readouterr()
    assert program.main(["status", "--config", str(path)]) == 3
    assert "agent.db" in capsys.readouterr().err
    with Spool(config.spool, config.source):
        assert program.main(["status", "--config", str(path)]) == 0
    assert json.loads(capsys.readouterr().out)["unsent"] == 0
