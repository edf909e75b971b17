"""Asks the library for this machine's cards as the agent does, in a process of its own: `python -m … FOLDER` prints what it found."""

import importlib
import json
import sys
from dataclasses import astuple
from pathlib import Path
from types import SimpleNamespace

from metering.agent.nvml import read_cards
from metering.errors import MeteringError
from metering.model import UsageRecord

T0 = 1_794_945_600
TABLE = {"account": "startup1"}


def told(folder):
    """Cards; hours and runs of telemetry of an hour; records of the round that collects."""
    nvml = importlib.import_module("metering.agent.nvml_cards")
    try:
        cards = [(one.uuid, one.model, one.processes, one.instance, one.profile) for one in read_cards(nvml.pynvml)]
    except MeteringError as fault:
        return [fault.code, fault.en]
    config = SimpleNamespace(spool=folder / "spool", interval_s=60)
    monitor = nvml.make_monitor(TABLE, config)
    for minute in range(60):
        assert list(monitor.hours(T0 + 60 * minute)) == []
    [(_, found)] = monitor.hours(T0 + 3600)
    collector = nvml.make(TABLE, config, None)
    assert list(collector.records()) == []
    [current] = folder.glob("nvml-*.prom")
    current.rename(folder / "nvml-00000000.prom")
    records = [one for one in collector.records() if isinstance(one, UsageRecord)]
    parts = [
        (one.account, one.accelerators[0].model, one.accelerators[0].count_milli, one.active_ms) for one in records
    ]
    return [cards, *([list(astuple(one)) for one in some] for some in (found.hours, found.runs)), sorted(parts)]


if __name__ == "__main__":
    print(json.dumps(told(Path(sys.argv[1]))))
