"""`./run test [--all] [pytest arguments]`: every test, on two processes where there are two cores.

`--all` asks for the long counts (`SUANQUAN_TEST_ALL=1`). Set `SUANQUAN_TEST_SEED` to repeat a run.
"""

import os
import secrets
import shutil
import sys
from pathlib import Path

import pytest

MEMORY = Path("/dev/shm")
ROOM_BYTES = 6 << 30


def main(arguments: list[str]) -> int:
    """Runs pytest and returns its exit status; `conftest.py` prints what the run really did."""
    if "--all" in arguments:
        os.environ["SUANQUAN_TEST_ALL"] = "1"
    seed = os.environ.setdefault("SUANQUAN_TEST_SEED", str(secrets.randbelow(2**32)))
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM_BYTES:
        os.environ.setdefault("TMPDIR", str(MEMORY))  # a quarter faster: these tests kill processes, not machines
    parallel = ["-n2", "--dist=worksteal"] if (os.cpu_count() or 1) > 1 else []
    passed_on = [argument for argument in arguments if argument != "--all"]
    return pytest.main([*parallel, f"--hypothesis-seed={seed}", *passed_on])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
