"""Files far larger than the memory they are read in: two gigabytes with `--all`, a hundredth of that in the ordinary run."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.conftest import ALL
from tests.metering.sources.big_file import FORMS
from tests.shared_data import ROOT

MEBIBYTES = 2_048 if ALL else 16
PEAK_MIB_MAX = 200 if ALL else 90
"""For the whole process, which has 35 when it begins; a file that is kept shows in a hundredth of it, too."""


@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("form", sorted(FORMS))
def test_a_big_file_is_streamed(form):
    """Every row of it is read, in at most 200 MiB for the whole process: tables, JSON, XML and text of every source that files come from."""
    command = [sys.executable, "-m", "tests.metering.sources.big_file", form, str(MEBIBYTES)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    print(found)
    assert found["others"] == 0
    assert found["records"] > MEBIBYTES << 20 >> 12
    assert found["peak_mib"] <= PEAK_MIB_MAX
