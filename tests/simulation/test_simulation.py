"""Whole lives of a ledger in virtual time, from a seed: clients, faults, crashes, and an auditor that predicts each reply."""

import asyncio

import pytest

from tests.ledger.desk import make_ledger
from tests.simulation.world import simulate


@pytest.mark.parametrize("seed", [1, 2])
def test_every_reply_is_what_the_auditor_predicts(seed, tmp_path):
    """Retries, duplicates, crashes and clock jumps change no answer; `python -m tests.simulation SEED` repeats a life."""
    asyncio.run(make_ledger(tmp_path / "ledger.db"))
    world = simulate(seed, (tmp_path / "ledger.db").read_bytes())
    assert world.auditor.checked > 100
