"""What checking a password costs."""

import statistics
import time

import pytest

from suanquan.access.passwords import Passwords
from tests.conftest import ALL


@pytest.mark.skipif(not ALL, reason="a measurement: run with --all")
async def test_an_unknown_name_costs_what_a_known_one_does():
    """With the real costs: medians of interleaved checks differ by less than 5 %."""
    passwords = Passwords()
    stored = await passwords.make("correct horse battery")
    spent = {stored: [], "": []}
    await passwords.check("", "warm")
    for _ in range(300):
        for known, times in spent.items():
            begun = time.process_time()
            assert not await passwords.check(known, "wrong password")
            times.append(time.process_time() - begun)
    known, unknown = (statistics.median(times) for times in spent.values())
    print(f"known {known:.4f} s, unknown {unknown:.4f} s of CPU")
    assert abs(known - unknown) < max(known, unknown) * 0.05
