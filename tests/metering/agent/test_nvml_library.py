"""NVIDIA's own Python binding against a library of the same functions, structures and return codes, for machines without a card."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.metering.agent.nvml_reader import T0
from tests.shared_data import ROOT

COMPILER = shutil.which("cc") or shutil.which("gcc")
pytestmark = [
    pytest.mark.skipif(COMPILER is None, reason="no C compiler here"),
    pytest.mark.skipif(find_spec("pynvml") is None, reason="nvidia-ml-py is not installed"),
]


@pytest.fixture(scope="module")
def ask(tmp_path_factory):
    """What the agent's code makes of the library: `ask(mode)`."""
    folder = tmp_path_factory.mktemp("nvml")
    source = Path(__file__).with_name("nvml_shim.c")
    library = folder / "libnvidia-ml.so.1"
    subprocess.run([COMPILER, "-shared", "-fPIC", "-Wall", "-Werror", "-o", library, source], check=True)

    def asked(mode):
        environment = os.environ | {
            "LD_LIBRARY_PATH": str(folder),
            "NVML_SHIM": mode,
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        home = tmp_path_factory.mktemp("cards")
        done = subprocess.run(
            [sys.executable, "-m", "tests.metering.agent.nvml_reader", home],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(done.stdout)

    return asked


def test_cards_are_read_through_the_library(ask):
    """Whole cards, instances of a split one with their profile, and a card with MIG mode that is whole all the same."""
    cards, hours, runs, records = ask("")
    uuid = "GPU-0000000{}-0000-0000-0000-000000000000"
    assert cards == [
        [uuid.format(0), "NVIDIA H200", 2, "", ""],
        [uuid.format(1), "NVIDIA H200", 0, "", ""],
        [uuid.format(2), "NVIDIA H100 80GB HBM3", 1, "1", "3g.40gb"],
        [uuid.format(2), "NVIDIA H100 80GB HBM3", 0, "9", "1g.10gb"],
        [uuid.format(3), "NVIDIA H100 80GB HBM3", 0, "", ""],
    ]
    assert hours == [["NVIDIA H200", T0 * 1_000_000, 60 * 48_000, 2 * 3_600_000, 59_000]]
    assert [(run[0], run[2], run[6]) for run in runs if run[2]] == [(uuid.format(0), "startup1", 60 * 48_000)]
    assert records == [
        ["startup1", "NVIDIA H100 80GB HBM3", 428, 60_000],
        ["startup1", "NVIDIA H200", 1000, 60_000],
    ]


def test_a_driver_that_is_not_loaded_is_told_in_its_words(ask):
    """No card is not the same as no usage."""
    assert ask("nodriver") == ["nvml-unavailable", "NVML cannot be used: Driver Not Loaded"]
