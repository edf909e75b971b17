"""The service and the agent are killed at any moment, again and again: no record is lost or doubled, no yuan comes or goes."""

import contextlib
import http.client
import json
import os
import random
import resource
import signal
import threading
import time

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ledger.jws import verify as verify_jws
from metering.agent.client import UsageClient, Verdict
from metering.agent.daemon import Sender
from metering.agent.keys import load_key
from metering.agent.spool import Spool
from metering.agent.view import SpoolView
from suanquan.home import Home, write_secret
from suanquan.settings import Settings
from suanquan.use_cases.ingest import RECEIPT_TYPE
from tests.conftest import ALL
from tests.suanquan.harness import (
    A100_HOUR,
    CENTRES,
    HOUR_MS,
    KEYS,
    Agent,
    ProcessService,
    ThreadedService,
    assert_problem,
    command,
    figures_of,
    give,
    install,
    spawn,
    usage,
)
from voucher.holder import sandbox_uscc

SERVICE_KILLS = 300 if ALL else 10
"""On each database."""
KILLS = 300 if ALL else 30
SOURCE = f"urn:centre:{CENTRES[0]}:agent:test"
COVERED_HOURS = 40


@pytest.fixture
def installation(installation):
    """A home in which one of two accounts has a voucher for part of what it will use, and the agent's key in a file."""
    return stocked(installation)


@pytest.fixture
def on_either(back_end, new_database, request, tmp_path):
    """The same on each database in turn."""
    if back_end.name == "sqlite":
        return request.getfixturevalue("installation")
    return stocked(install(tmp_path / "on-server", Settings(sandbox=True, database_url=new_database().url)))


def stocked(installation):
    with ThreadedService(installation.home) as running:
        running.call(give(running.service, sandbox_uscc(1), str(12 * COVERED_HOURS), accounts=["covered"]))
    pem = KEYS["sj01"].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_secret(installation.home.path / "agent.pem", pem)
    return installation


def record(number):
    return usage(number, account=("alone", "covered")[number % 2])


class Work:
    """An agent at work: it reads its source from the start, and tries again until everything is delivered."""

    def __init__(self, installation, spool, url):
        self._home, self._spool, self._url = installation.home, spool, url
        self.collected = 0
        self.enough = False

    def __call__(self, source=10**9):
        """Collect while the source has records and it is not enough, sending small batches in between; then send the rest."""
        keys = self._home.load_registry().verifying_keys()
        with (
            Spool(self._spool, SOURCE, batch_records_max=10) as spool,
            UsageClient(
                self._url,
                SOURCE,
                load_key(self._home.path / "agent.pem"),
                lambda text: verify_jws(text, keys, RECEIPT_TYPE),
            ) as client,
        ):
            sender = Sender(spool, client)
            while self.collected < source and not self.enough:
                spool.append(map(record, range(self.collected, self.collected + 20)))
                self.collected += 20
                deliver(sender)
            deliver(sender)


def deliver(sender):
    deadline = time.monotonic() + 60
    while step := sender.step():
        assert time.monotonic() < deadline, step
        if step[0].verdict is not Verdict.DELIVERED:
            time.sleep(0.01)


def assert_nothing_lost_or_doubled(installation, spool, records):
    """The books hold every record once, to the unit, and the spool a receipt for each."""
    figures = figures_of(installation.home)
    assert figures.statuses == {"sj01": {"accepted": records}}
    assert figures.records == records
    assert figures.gpu_ms == records * HOUR_MS
    assert figures.rated == records * A100_HOUR
    assert figures.debited == min(COVERED_HOURS, records // 2) * A100_HOUR
    assert {name: row["records"] for (name, _), row in figures.usage.items()} == {
        "alone": records // 2,
        "covered": records // 2,
    }
    figures.assert_conserved()
    with SpoolView(spool) as view:
        assert (view.status().unsent, view.status().sent) == (0, records)
        spans = [(first, last) for first, last, _ in view.receipts()]
    assert [first for first, _ in spans] == [1, *(last + 1 for _, last in spans[:-1])]


def test_nothing_is_lost_when_the_service_is_killed(on_either, tmp_path, seed):
    """After kills at random moments of an ingest the agent has delivered everything, once."""
    print(f"seed {seed}")
    installation = on_either
    chance = random.Random(seed)
    service = ProcessService(installation)
    service.start()
    work = Work(installation, tmp_path / "spool.db", service.url)
    agent = threading.Thread(target=work)
    agent.start()
    for number in range(SERVICE_KILLS):
        before, deadline = work.collected, time.monotonic() + 20
        while number % 2 and work.collected < before + 40:  # every other life gets to work, the others may be short
            assert time.monotonic() < deadline, "the agent does not get on"
            time.sleep(0.005)
        time.sleep(chance.random() / 4)
        service.kill()
        service.start()
    work.enough = True
    agent.join()
    assert service.stop() == 0
    print(f"{work.collected} records")
    assert_nothing_lost_or_doubled(installation, tmp_path / "spool.db", work.collected)


def test_nothing_is_lost_when_the_agent_is_killed(installation, tmp_path, seed):
    """An agent that dies at random moments and begins again delivers everything, once."""
    print(f"seed {seed}")
    chance = random.Random(seed)
    at_work = 0
    with ProcessService(installation) as service:
        work = Work(installation, tmp_path / "spool.db", service.url)
        for number in range(1, KILLS + 1):
            agent = spawn(work, 40 * number)
            time.sleep(0.02 + chance.random() / 8)
            at_work += agent.is_alive()
            agent.kill()
            agent.join()
        last = spawn(work, 40 * KILLS)
        last.join()
        assert last.exitcode == 0
    print(f"{at_work} of {KILLS} kills found it at work")
    assert at_work > KILLS // 4
    assert_nothing_lost_or_doubled(installation, tmp_path / "spool.db", 40 * KILLS)


def test_a_stop_answers_what_it_has_begun(installation, seed):
    """SIGTERM during a batch: the process ends with status 0 in time, and what was not answered was not recorded."""
    print(f"seed {seed}")
    chance = random.Random(seed)
    service = ProcessService(installation)
    agent = Agent(service.url)
    answered = []

    def send(first):
        with contextlib.suppress(OSError, http.client.HTTPException):
            answered.append(agent.report_records(usage(first + number) for number in range(size)).statuses)

    for number in range(20 if ALL else 4):
        size = 1000 if number == 1 else 300  # a large batch is decoded in a process that is only starting
        service.start()
        reports = [threading.Thread(target=send, args=(10_000 * number + 1000 * k,)) for k in range(3)]
        for report in reports:
            report.start()
        time.sleep(chance.random() / 3)
        begun = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - begun < (5 if ALL else 60)
        for report in reports:
            report.join()
        figures = figures_of(installation.home)
        assert figures.records == sum(map(len, answered))
        figures.assert_conserved()
    assert answered
    assert set().union(*answered) == {"accepted"}


def test_a_replay_is_known_after_a_crash(installation):
    """The nonces that were used are as durable as the books: a request that was taken once is not taken after a kill."""
    service = ProcessService(installation)
    agent = Agent(service.url)
    body = json.dumps([agent.event(1)]).encode()
    headers = agent.sign(body)
    service.start()
    assert agent.send(body, headers).statuses == ["accepted"]
    service.kill()
    service.start()
    assert_problem(agent.send(body, headers), 401, "nonce-replayed")
    again = agent.send(body, agent.sign(body, idempotency_key=headers["idempotency-key"]))
    assert again.statuses == ["accepted"], "the same answer, not a second debit"
    service.stop()
    assert figures_of(installation.home).records == 1


def test_a_full_disk_is_said_and_survived(installation):
    """While no file can grow reports are told to come back; with room again the same reports arrive, once."""
    with ProcessService(installation) as service:
        agent = Agent(service.url)

        def report(number):
            records = [usage(500 * number + k, account=f"account {k % 50}") for k in range(500)]
            return agent.report_records(records, idempotency_key=str(number))

        for room in (0, 20_000, 150_000):
            size = max(path.stat().st_size for path in installation.home.path.glob("suanquan.db*"))
            limit_files(service, size + room)
            refused = [answer for number in range(8) if (answer := report(number)).status != 200]
            assert refused
            for answer in refused:
                assert_problem(answer, 503, "storage-unavailable")
                assert answer.headers["retry-after"] == "1"
            limit_files(service, resource.RLIM_INFINITY)
            assert report(0).status == 200
        assert {report(number).status for number in range(8)} == {200}
    figures = figures_of(installation.home)
    assert figures.statuses == {"sj01": {"accepted": 4000}}
    assert figures.rated == 4000 * A100_HOUR
    figures.assert_conserved()


def limit_files(service, size):
    """Let no file that the service writes grow beyond a size."""
    resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


DEMO = ["demo", "--once", "--json", "--home"]


ENDS = [signal.SIGKILL, signal.SIGINT, signal.SIGTERM] if ALL else [signal.SIGKILL]


@pytest.mark.parametrize("end", ENDS, ids=lambda number: number.name)
def test_a_demo_that_was_cut_short_runs_again(tmp_path, seed, end):
    """Whenever the demo is ended, its home starts again, and the next run ends with the same figures as an undisturbed one."""
    print(f"seed {seed}")
    chance = random.Random(f"{seed} {end}")
    home = tmp_path / "home"
    for number in range(9 if ALL else 3):
        running = spawn(command, [*DEMO, str(home)], tmp_path / f"cut-{number}")
        time.sleep(chance.random() * 1.5)
        with contextlib.suppress(ProcessLookupError):  # it may have come to its end by itself
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
