"""Every named workload runs, at its smoke size, and reports its figure with the raw limit of the same run."""

import json
import os
import subprocess
import sys
import tomllib

import pytest

from tests.conftest import ALL
from tests.shared_data import ROOT

WORKLOADS = tomllib.loads((ROOT / "benchmarks" / "workloads.toml").read_text("utf-8"))


SLOW = {"holds", "prolog", "pages"}
"""What starts a service for each of three runs: with --all."""


@pytest.mark.parametrize("name", [name for name in WORKLOADS if ALL or name not in SLOW])
def test_workload_runs_at_its_smoke_size(name, tmp_path):
    """The command ends well, leaves nothing behind, and gives every figure that the workload promises."""
    workload = WORKLOADS[name]
    command = [sys.executable, "-m", "suanquan", "bench", name, *workload["smoke"], "--json"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["workload"] == name
    assert all(found[figure] > 0 for figure in workload["figures"]), found
    assert not list(tmp_path.iterdir()), "a measurement leaves nothing in the current folder"
