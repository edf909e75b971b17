"""Agent, service and servers of a stream are killed at random moments: every record is in the books once, with a receipt."""

import random
import time

import pytest

from ledger.jws import verify as verify_jws
from metering.agent.client import Verdict
from metering.agent.config import NatsConfig
from metering.agent.daemon import Sender
from metering.agent.keys import load_key
from metering.agent.nats_client import NatsClient
from metering.agent.spool import Spool
from metering.agent.view import SpoolView
from suanquan.use_cases.ingest import RECEIPT_TYPE
from tests.conftest import ALL
from tests.nats_servers import NatsServers
from tests.suanquan.harness import A100_HOUR, ProcessService, figures_of, spawn
from tests.suanquan.test_stream import SOURCE, record, waiting

KILLS = 30 if ALL else 3


class Work:
    """An agent at work through a stream: it reads its source from the start, and tries again until all is delivered."""

    def __init__(self, made, spool, servers, url):
        self._home, self._spool, self._config, self._url = made.home, spool, NatsConfig(servers.url), url

    def __call__(self, upto):
        keys = self._home.load_registry().verifying_keys()
        key = load_key(self._home.path / "agent.pem")
        with (
            Spool(self._spool, SOURCE, batch_records_max=10) as spool,
            NatsClient(
                self._config, self._url, SOURCE, key, lambda text: verify_jws(text, keys, RECEIPT_TYPE), answer_s=2
            ) as way,
        ):
            sender = Sender(spool, way)
            for first in range(0, upto, 20):
                spool.append(map(record, range(first, first + 20)))
                deliver(sender)


def deliver(sender):
    deadline = time.monotonic() + 100
    while step := sender.step():
        assert time.monotonic() < deadline, step
        if step[0].verdict is not Verdict.DELIVERED:
            time.sleep(0.01)


def killed_at_random(made, servers, tmp_path, seed, kills, ends):
    """Kill agent, service and servers at random moments; then everything has to have arrived once."""
    print(f"seed {seed}")
    chance = random.Random(seed)
    settings = made.home.settings_file
    text = settings.read_text("utf-8").replace('nats_url = ""', f'nats_url = "{servers.url}"')
    settings.write_text(text.replace("nats_replicas = 1", f"nats_replicas = {len(servers.ports)}"), "utf-8")
    service = ProcessService(made, tmp_path / "service.log")
    service.start()
    work = Work(made, tmp_path / "spool.db", servers, service.url)
    upto = 0
    for _ in range(kills):
        upto += 60
        agent = spawn(work, upto)
        time.sleep(0.05 + chance.random() / 2)
        end = chance.choice(ends)
        if end == "agent":
            agent.kill()
        elif end == "service":
            service.kill()
            service.start()
        else:
            servers.kill(end)
            servers.start(end)
        agent.join(100 if end != "agent" else None)
    last = spawn(work, upto)
    last.join()
    assert last.exitcode == 0, (tmp_path / "service.log").read_text()[-3000:]
    assert service.stop() == 0
    figures = figures_of(made.home)
    assert figures.statuses == {"sj01": {"accepted": upto}}
    assert (figures.records, figures.rated) == (upto, upto * A100_HOUR)
    figures.assert_conserved()
    with SpoolView(tmp_path / "spool.db") as view:
        assert (view.status().unsent, view.status().sent) == (0, upto)
    assert waiting(servers) == 0


def test_nothing_is_lost_or_doubled_by_kills(home_on, back_end, servers, tmp_path, seed):
    """Agent, service and server are killed at random moments: every record is in the books once, with a receipt."""
    if back_end.name != "sqlite" and not ALL:
        pytest.skip("kills around a stream on PostgreSQL: with --all")
    killed_at_random(home_on, servers, tmp_path, seed, KILLS, ["agent", "service", 0])


@pytest.mark.skipif(not ALL, reason="three nodes: with --all")
@pytest.mark.timeout(1200)
def test_nothing_is_lost_or_doubled_by_kills_of_a_cluster(home_on, tmp_path, seed):
    """The same with three replicated nodes, each of which may die."""
    (tmp_path / "nats").mkdir()
    with NatsServers(tmp_path / "nats", nodes=3) as servers:
        killed_at_random(home_on, servers, tmp_path, seed, KILLS, ["agent", "service", 0, 1, 2])
