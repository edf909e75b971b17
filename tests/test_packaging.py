"""The built wheel: exactly the five packages with their data, the same bytes each time, and it runs without the tree."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {"ledger", "metering", "voucher", "subsidy", "suanquan"}


def build(folder: Path) -> Path:
    """Builds the wheel in this process with the pinned hatchling: no isolation, no download."""
    return Path(next(WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    return build(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def names(wheel) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def below(folder: str, prefix: str) -> set[str]:
    """Files of a folder of the tree, as the wheel should name them."""
    found = (path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {f"{prefix}/{path.relative_to(ROOT / folder).as_posix()}" for path in found}


def test_the_wheel_holds_the_five_packages_and_nothing_else(names):
    """Every file of the packages and of config/ is there; no tests, no documents, no other top-level name."""
    expected = set.union(*(below(package, package) for package in PACKAGES), below("config", "suanquan/config"))
    assert {name for name in names if ".dist-info/" not in name} == expected
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == PACKAGES


def test_the_wheel_carries_its_data(names):
    """Type marks, pages, migrations and the reviewed configuration travel with the code."""
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
    assert any(name.startswith("suanquan/portal/templates/") for name in names)
    assert any(name.startswith("suanquan/db/migrations/versions/") and name.endswith(".py") for name in names)
    assert any(name.startswith("suanquan/config/schemes/") for name in names)
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_two_builds_are_equal_to_the_byte(wheel, tmp_path, monkeypatch):
    """Anybody can rebuild a release and compare: neither the day nor the folder is in it."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert build(tmp_path / "one").read_bytes() == build(tmp_path / "two").read_bytes()


def test_the_wheel_runs_without_the_source_tree(wheel, tmp_path):
    """Unpacked elsewhere it starts through its entry point and finds its own configuration."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    (entry_points,) = tmp_path.glob("*.dist-info/entry_points.txt")
    assert "suanquan = suanquan.cli:main" in entry_points.read_text()
    start = "import sys; from suanquan.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", start, "scheme", "list", "--json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "sandbox" in done.stdout
