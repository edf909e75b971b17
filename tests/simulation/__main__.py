"""Repeat simulations by hand: `python -m tests.simulation SEED [COUNT]`."""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from tests.ledger.desk import make_ledger
from tests.simulation.world import simulate

first, count = int(sys.argv[1]), int((*sys.argv, 1)[2]) if len(sys.argv) > 2 else 1
with tempfile.TemporaryDirectory() as folder:
    asyncio.run(make_ledger(Path(folder) / "ledger.db"))
    blank = (Path(folder) / "ledger.db").read_bytes()
for seed in range(first, first + count):
    began = time.perf_counter()
    try:
        world = simulate(seed, blank)
    except BaseException:
        print(f"seed {seed} failed")
        raise
    print(seed, f"{time.perf_counter() - began:.2f} s", len(world.log), world.auditor.checked, world.counts)
