"""Sources that a centre adds: by hand, or with a package that it installs."""

import pytest

from metering.agent.collectors import Files, load_sources
from metering.errors import MeteringError
from metering.model import UsageRecord
from metering.sources import add_source, read
from metering.sources.options import FIELDS, Fields
from tests.metering.agent.test_collectors import taken


def test_a_centre_adds_a_source_of_its_own(tmp_path):
    """A function from bytes to records, under a name of its own; a built-in name is not to be had."""

    def levels(file, options):
        for number, line in enumerate(file.chunks, 1):
            at, count = line.split()
            account = options.constants["account"]
            yield UsageRecord(f"own:{number}", account, "j", 0, int(at), int(at) + 60, int(count), (), "CLOSED")

    try:
        add_source("own", levels, Fields(constant=frozenset({"account"})))
        (tmp_path / "own.txt").write_text("5 7\n", "utf-8")
        files = Files({"source": "own", "paths": ["own.txt"], "set": {"account": "a"}}, tmp_path)
        assert [(record.id, record.active_ms) for record in taken(files)] == [("own:1", 7)]
        with pytest.raises(MeteringError, match="sacct"):
            add_source("sacct", levels, Fields())
    finally:
        FIELDS.pop("own")
        read.__globals__["SOURCES"].pop("own")


def test_a_package_that_is_installed_brings_its_source(tmp_path, monkeypatch, caplog):
    """Found by its entry point, under the name it gives; another that cannot be loaded is named and keeps nobody from work."""
    lines = [
        "from metering.model import Accelerator, UsageRecord",
        "from metering.sources.options import Fields",
        "def read(file, options):",
        "    for number, line in enumerate(file.chunks, 1):",
        "        cards = (Accelerator('A100', 1000),)",
        "        yield UsageRecord(f'own:{number}', line.decode().strip(), 'j', 0, 0, 7000, 7, cards, 'CLOSED')",
        "source = (read, Fields())",
    ]
    (tmp_path / "brought.py").write_text("\n".join(lines), "utf-8")
    about = tmp_path / "brought-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: brought\nVersion: 1\n", "utf-8")
    (about / "entry_points.txt").write_text(
        "[suanquan.sources]\nbrought = brought:source\nbroken = brought:nothing\n", "utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    try:
        load_sources()
        (tmp_path / "usage.txt").write_text("lab1\nlab2\n", "utf-8")
        files = Files({"source": "brought", "paths": ["usage.txt"]}, tmp_path)
        assert [(one.id, one.account) for one in taken(files)] == [("own:1", "lab1"), ("own:2", "lab2")]
        assert "broken of brought:nothing cannot be loaded" in caplog.text
        assert "broken" not in FIELDS
    finally:
        FIELDS.pop("brought", None)
        read.__globals__["SOURCES"].pop("brought", None)
