"""Real traces, shuffled, in batches of any size, sent three times, while agent and service are killed: the books have the truth.

Every trace on each database, over HTTP and through JetStream with `--all`; the smallest over HTTP in the ordinary run.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from dataclasses import replace

import pytest

from ledger.jws import verify as verify_jws
from metering.agent.client import UsageClient
from metering.agent.config import NatsConfig
from metering.agent.daemon import Sender
from metering.agent.keys import load_key
from metering.agent.nats_client import NatsClient
from metering.agent.spool import Spool
from metering.agent.view import SpoolView
from metering.summary import Summary
from suanquan.use_cases.ingest import RECEIPT_TYPE
from tests.conftest import ALL
from tests.metering.sources.test_forms import TRACES
from tests.metering.sources.test_traces import LIVE, milliseconds, truth
from tests.shared_data import needs_shared
from tests.suanquan.harness import ProcessService, figures_of, spawn
from tests.suanquan.test_stream import SOURCE
from tests.suanquan.test_stream_kills import deliver

pytestmark = needs_shared
SENT = 3
KILLS = (4,) * SENT if ALL else (1, 0, 0)
"""Of each sending."""
CARDS = {"unknown": "A100"}
"""A log without models: its usage would wait."""
ACCOUNTS = {
    "philly": lambda: milliseconds(truth("philly-jobs")["vc_gpu_seconds"]),
    "helios": lambda: {name: vc["gpu_minutes"] * 60_000 for name, vc in truth("helios-minutes")["vc"].items()},
    "phillips": lambda: {"chaff": truth("slurm-sacct")["gpu_seconds"] * 1000},
    "live": lambda: LIVE["by_account"],
}
MAKERS = {trace.__name__: trace for trace in TRACES}
WAYS = ["http", "stream"] if ALL else ["http"]


def records_of(name):
    """The whole trace where `--all` reads it, else its beginning, under models that have a price."""
    return [
        replace(one, accelerators=tuple(replace(p, model=CARDS.get(p.model, p.model)) for p in one.accelerators))
        for one in MAKERS[name]()
        if one.active_ms
    ]


class Work:
    """An agent that sends a trace once more; begun again it goes on where it was killed."""

    def __init__(self, made, spool, trace, service_url, nats_url):
        self._home, self._spool, self._trace = made.home, spool, trace
        self._service_url, self._nats_url = service_url, nats_url

    def __call__(self, turn, seed):
        chance = random.Random(seed)
        records = records_of(self._trace)
        chance.shuffle(records)
        size = min(10_000, max(3, len(records) // chance.randint(2, 9)))
        with Spool(self._spool, SOURCE, batch_records_max=size) as spool, self._way() as way:
            status = spool.status()
            if status.sent + status.unsent < (turn + 1) * len(records):  # stored all or none of them
                spool.append(records, again=bool(turn))
            deliver(Sender(spool, way))

    def _way(self):
        keys = self._home.load_registry().verifying_keys()
        check = lambda text: verify_jws(text, keys, RECEIPT_TYPE)  # noqa: E731
        key = load_key(self._home.path / "agent.pem")
        if not self._nats_url:
            return UsageClient(self._service_url, SOURCE, key, check)
        return NatsClient(NatsConfig(self._nats_url), self._service_url, SOURCE, key, check, answer_s=20)


def play(work, service, chance):
    """Send the trace three times; in each sending agent or service die at random moments."""
    for turn in range(SENT):
        for _ in range(KILLS[turn]):
            agent = spawn(work, turn, chance.random())
            agent.join(chance.random() * (6 if ALL else 1))
            if chance.random() < 0.5:
                service.kill()
                service.start()
            agent.kill()
            agent.join()
        last = spawn(work, turn, chance.random())
        last.join()
        assert last.exitcode == 0


def assert_truth(figures, trace):
    known = records_of(trace)
    expected = Summary("Asia/Shanghai")
    for one in known:
        expected.add(one)
    by_account, by_month = Counter(), Counter()
    for (account, month), row in figures.usage.items():
        by_account[account] += row["gpu_ms"]
        by_month[f"{month // 100}-{month % 100:02d}"] += row["gpu_ms"]
    said = expected.as_json()
    assert (by_account, by_month) == (said["by_account"], said["by_month"])
    if ALL or trace == "live":
        assert by_account == ACCOUNTS[trace](), "the trace's own ground truth"
    statuses = figures.statuses["sj01"]
    assert statuses.keys() == {"accepted", "duplicate"}, json.dumps(statuses)
    assert statuses["accepted"] == len(known)
    assert statuses["duplicate"] == (SENT - 1) * len(known)
    figures.assert_conserved()


@pytest.mark.timeout(1_800 if ALL else 240)
@pytest.mark.parametrize("trace", list(MAKERS) if ALL else ["live"])
@pytest.mark.parametrize("way", WAYS)
def test_a_trace_is_met_across_kills(home_on, tmp_path, seed, way, trace, request):
    """To the GPU-millisecond by account and month, each record once, whatever died on the way. Wrong: more, or less, by a batch."""
    print(f"seed {seed}")
    nats_url = request.getfixturevalue("servers").url if way == "stream" else ""
    if nats_url:
        settings = home_on.home.settings_file
        text = settings.read_text("utf-8").replace('nats_url = ""', f'nats_url = "{nats_url}"')
        settings.write_text(text, "utf-8")
    service = ProcessService(home_on, tmp_path / "service.log")
    service.start()
    started = time.monotonic()
    play(Work(home_on, tmp_path / "spool.db", trace, service.url, nats_url), service, random.Random(f"{seed} {trace}"))
    print(f"{trace}: {time.monotonic() - started:.0f} s")
    assert service.stop() == 0
    assert_truth(figures_of(home_on.home), trace)
    with SpoolView(tmp_path / "spool.db") as view:
        assert (view.status().unsent, view.status().parked_batches) == (0, 0)
