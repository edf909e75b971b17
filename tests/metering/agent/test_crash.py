"""An agent that is killed at any moment, again and again, loses nothing and never says the same thing in other words."""

import json
import random
import subprocess
import sys
import time

import pytest

from ledger.ed25519 import PublicKey
from metering.agent.keys import create_key
from metering.agent.view import SpoolView
from tests.conftest import ALL
from tests.metering.agent import usage_service as faulty
from tests.metering.agent.usage_service import Service, usage
from tests.shared_data import ROOT

KILLS = 100 if ALL else 12
RECORDS = 1_200
FAULTS = [faulty.lost_answer, faulty.cut_answer, faulty.status(503, retry_after=0), faulty.lost_before_work]


@pytest.fixture
def service():
    with Service() as service:
        yield service


def test_nothing_is_lost_when_the_agent_is_killed(tmp_path, service, seed):
    """After kills at random moments and lost answers every record has arrived under one number, each key with one body."""
    chance = random.Random(seed)
    jwk = create_key(tmp_path / "agent.pem")
    service.keys[jwk["kid"]] = PublicKey.from_jwk(jwk)
    arguments = [tmp_path / "spool.db", tmp_path / "agent.pem", service.base_url, RECORDS]
    command = [sys.executable, "-m", "tests.metering.agent.crashing_agent", *map(str, arguments)]
    print(f"seed {seed}")
    for _ in range(KILLS):
        service.faults.extend(chance.choices([*FAULTS, None], k=3))
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as agent:
            if chance.random() < 0.8:
                agent.stdout.readline()  # else it may die before it has opened its spool
            time.sleep(chance.random() / 5)
            agent.kill()
    service.faults.clear()
    last = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert last.returncode == 0, last.stderr
    assert set(service.events) == {usage(number).id for number in range(RECORDS)}
    assert {len(bodies) for bodies in service.bodies.values()} == {1}
    numbered = {}
    for [body] in service.bodies.values():
        for event in json.loads(body):
            assert numbered.setdefault(event["sequence"], event["id"]) == event["id"]
    assert sorted(map(int, numbered)) == list(range(1, RECORDS + 1))
    with SpoolView(tmp_path / "spool.db") as view:
        assert (view.status().unsent, view.status().sent) == (0, RECORDS)
        assert next(view.receipts())[0] == 1
