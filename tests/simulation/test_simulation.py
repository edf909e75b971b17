"""The real writer on a real database, in simulated worlds: an auditor that shares no code with it must agree at every step."""

from __future__ import annotations

import pytest

from tests.conftest import ALL
from tests.simulation.world import simulate

WORLDS = 2_000 if ALL else 16
PARTS = 8


@pytest.mark.timeout(3600 if ALL else 240)
@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_fails_the_auditor_agrees(blank_ledger, seed, part):
    """Answers, log, burnt ids, projections and the order of events are as predicted, and everybody is answered in the end.

    Clients ask at random, sound and unsound, alone, in chains and in bulk, retry, repeat and go away; meanwhile statements
    fail, processes crash, the disk fills up, the clock is set forwards and back, and other processes write.
    """
    first, size = seed * 1_000_003 + part * WORLDS, WORLDS // PARTS
    seen: dict[str, int] = {}
    for number in range(first, first + size):
        try:
            world = simulate(number, blank_ledger)
        except BaseException as error:
            error.add_note(f"repeat it: .venv-dev/bin/python -m tests.simulation {number}")
            raise
        for code, count in world.counts.items():
            seen[code] = seen.get(code, 0) + count
    assert {"created", "insufficient", "hold-expired", "event-failed", "chain-undone", "crash"} <= seen.keys()


def test_the_same_number_is_the_same_world(blank_ledger):
    """A seed says everything: two runs of it record the same log."""
    one, two = (simulate(7, blank_ledger) for _ in range(2))
    assert [entry.leaf for entry in one.log] == [entry.leaf for entry in two.log]
    assert one.counts == two.counts
