"""The service and the agent are killed at any moment, again and again: no record is lost or doubled, no yuan comes or goes."""

import contextlib
import http.client
import json
import os
import random
import signal
import threading
import time

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ledger.jws import verify as verify_jws
from metering.agent.client import UsageClient
from metering.agent.daemon import Sender
from metering.agent.keys import load_key
from metering.agent.spool import Spool
from metering.agent.view import SpoolView
from suanquan.home import Home, write_secret
from tests.conftest import ALL
from tests.suanquan.harness import (
    A100_HOUR,
    CENTRES,
    HOUR_MS,
    KEYS,
    Agent,
    ProcessService,
    ThreadedService,
    command,
    figures_of,
    give,
    spawn,
    usage,
)
from voucher.holder import sandbox_uscc

KILLS = 300 if ALL else 30
RECORDS = KILLS * 100
SOURCE = f"urn:centre:{CENTRES[0]}:agent:test"
COVERED_HOURS = RECORDS // 8


@pytest.fixture
def installation(installation):
    """A home in which one of two accounts has a voucher for half of what it will use, and the agent's key in a file."""
    with ThreadedService(installation.home) as running:
        voucher = give(running.service, sandbox_uscc(1), str(12 * COVERED_HOURS), accounts=["covered"])
        running.call(voucher)
    pem = KEYS["sj01"].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_secret(installation.home.path / "agent.pem", pem)
    return installation


def record(number):
    return usage(number, account=("alone", "covered", "alone", "covered")[number % 4])


def work(home, spool, url, *, collect, deadline_s=60):
    """An agent: reads its source from the start, sends small batches, tries again until everything is delivered."""
    keys = home.load_registry().verifying_keys()
    with (
        Spool(spool, SOURCE, batch_records_max=10) as spooled,
        UsageClient(
            url, SOURCE, load_key(home.path / "agent.pem"), lambda t: verify_jws(t, keys, "usage-receipt+jwt")
        ) as client,
    ):
        sender = Sender(spooled, client)
        deadline = time.monotonic() + deadline_s
        for start in range(0, collect, 250):
            spooled.append(record(number) for number in range(start, start + 250))
            sender.step()
        while step := sender.step():
            assert time.monotonic() < deadline
            time.sleep(0.005 if step[1] else 0)


def assert_nothing_lost_or_doubled(installation, spool):
    """The books hold every record once, to the unit, and the spool a receipt for each."""
    figures = figures_of(installation.home)
    assert figures.statuses == {"sj01": {"accepted": RECORDS}}
    assert figures.records == RECORDS
    assert figures.gpu_ms == RECORDS * HOUR_MS
    assert figures.rated == RECORDS * A100_HOUR
    assert figures.debited == COVERED_HOURS * A100_HOUR
    assert {name: row["records"] for (name, _), row in figures.usage.items()} == dict.fromkeys(
        ("alone", "covered"), RECORDS // 2
    )
    figures.assert_conserved()
    with SpoolView(spool) as view:
        assert (view.status().unsent, view.status().sent) == (0, RECORDS)
        spans = [(first, last) for first, last, _ in view.receipts()]
    assert [first for first, _ in spans] == [1, *(last + 1 for _, last in spans[:-1])]


def test_nothing_is_lost_when_the_service_is_killed(installation, tmp_path, seed):
    """After kills at random moments of an ingest the agent has delivered everything, once."""
    print(f"seed {seed}")
    chance = random.Random(seed)
    service = ProcessService(installation, "/tmp/k/svc.log")
    service.start()
    spool = tmp_path / "spool.db"
    arguments = {"collect": RECORDS, "deadline_s": 10 * KILLS}
    agent = threading.Thread(target=work, args=(installation.home, spool, service.url), kwargs=arguments)
    agent.start()
    killed_at_work = 0
    for _ in range(KILLS):
        time.sleep(chance.random() / 6)
        killed_at_work += agent.is_alive()
        service.kill()
        service.start()
    agent.join()
    assert service.stop() == 0
    assert killed_at_work > KILLS // 2, "the kills must fall into the ingest"
    assert_nothing_lost_or_doubled(installation, spool)


def test_nothing_is_lost_when_the_agent_is_killed(installation, tmp_path, seed):
    """An agent that dies at random moments and begins again delivers everything, once."""
    print(f"seed {seed}")
    chance = random.Random(seed)
    spool = tmp_path / "spool.db"
    with ThreadedService(installation.home) as service:
        for _ in range(KILLS):
            agent = spawn(work, installation.home, spool, service.url, collect=RECORDS)
            time.sleep(0.02 + chance.random() / 5)
            agent.kill()
            agent.join()
        last = spawn(work, installation.home, spool, service.url, collect=RECORDS)
        last.join()
        assert last.exitcode == 0
    assert_nothing_lost_or_doubled(installation, spool)


def test_a_stop_answers_what_it_has_begun(installation, seed):
    """SIGTERM during a batch: the process ends with status 0 in time, and what was not answered was not recorded."""
    print(f"seed {seed}")
    chance = random.Random(seed)
    service = ProcessService(installation, "/tmp/k/svc.log")
    agent = Agent(service.url)
    answered = []

    def send(first):
        with contextlib.suppress(OSError, http.client.HTTPException):
            answered.append(agent.report_records(usage(first + number) for number in range(1000)).statuses)

    rounds = 6
    for number in range(rounds):
        service.start()
        reports = [threading.Thread(target=send, args=(10_000 * number + 1000 * k,)) for k in range(3)]
        for report in reports:
            report.start()
        time.sleep(chance.random() / 3)
        begun = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - begun < 5
        for report in reports:
            report.join()
        figures = figures_of(installation.home)
        assert figures.records == sum(map(len, answered))
        figures.assert_conserved()
    assert answered
    assert set().union(*answered) == {"accepted"}


DEMO = ["demo", "--once", "--json", "--home"]


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_demo_that_was_cut_short_runs_again(tmp_path, seed, end):
    """Whenever the demo is ended, its home starts again, and the next run ends with the same figures as an undisturbed one."""
    print(f"seed {seed}")
    chance = random.Random(f"{seed} {end}")
    home = tmp_path / "home"
    for number in range(9 if ALL else 3):
        running = spawn(command, [*DEMO, str(home)], tmp_path / f"cut-{number}")
        time.sleep(chance.random() * 1.5)
        os.kill(running.pid, end)
        running.join(20)
        assert running.exitcode is not None
    assert demo(home, tmp_path / "last") == demo(tmp_path / "undisturbed", tmp_path / "whole")
    figures_of(Home(home)).assert_conserved()


def demo(home, output):
    """Figures of a demo that ran to its end, but for the log's and for what this run's agent was told."""
    running = spawn(command, [*DEMO, str(home)], output)
    running.join(60)
    text = output.read_text(encoding="utf-8")
    assert running.exitcode == 0, text
    summary = json.loads(text[text.index("\n{\n") :])
    del summary["log"], summary["statuses"]
    return summary
