"""A request that was signed once is taken once, however often it comes and whether or not the service was killed meanwhile."""

import json
from random import Random

from tests.conftest import ALL
from tests.suanquan.harness import Agent, ProcessService, assert_problem, figures_of

REPLAYS = 10_000 if ALL else 30


def test_a_replay_has_no_effect_before_or_after_a_kill(installation, seed):
    """Byte for byte, in any order: `nonce-replayed` each time, not one record more; the nonces are on disk with what they let in."""
    random, sent = Random(seed), []
    with ProcessService(installation) as service:
        agent = Agent(service.url)
        for number in range(5):
            body = json.dumps([agent.event(number)]).encode()
            sent.append((body, agent.sign(body)))
            assert agent.send(*sent[-1]).statuses == ["accepted"]
        replay(agent, sent, random)
        service.kill()
        service.start()
        replay(agent, sent, random)
        assert service.stop() == 0
    found = figures_of(installation.home)
    found.assert_conserved()
    assert found.gpu_ms == 5 * 3_600_000


def replay(agent, sent, random):
    for _ in range(REPLAYS // 2):
        assert_problem(agent.send(*random.choice(sent)), 401, "nonce-replayed")
