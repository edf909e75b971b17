"""A machine's own cards as telemetry: sampled at every round, told by the hour, held only while somebody computes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from metering.agent.nvml_monitor import NvmlMonitor
from metering.errors import MeteringError
from metering.telemetry import DeviceRun, PoolHour

T0 = 1_794_945_600


class LibraryError(Exception):
    """What the library raises."""


class Cards:
    """Two cards: one busy, with an energy counter; one that can tell neither."""

    NVMLError = LibraryError

    def __init__(self):
        self.round, self.broken = 0, False

    def nvmlInit(self):  # noqa: N802
        if self.broken:
            raise LibraryError("driver is not loaded")

    def nvmlShutdown(self):  # noqa: N802
        """Nothing to close."""

    def nvmlDeviceGetCount(self):  # noqa: N802
        return 2

    def nvmlDeviceGetHandleByIndex(self, index):  # noqa: N802
        return index

    def nvmlDeviceGetUUID(self, handle):  # noqa: N802
        return f"GPU-{handle}".encode()

    def nvmlDeviceGetName(self, handle):  # noqa: N802
        return "A100"

    def nvmlDeviceGetComputeRunningProcesses(self, handle):  # noqa: N802
        return ["job"] if self.round < 30 else []

    def nvmlDeviceGetUtilizationRates(self, handle):  # noqa: N802
        if handle:
            raise LibraryError("not supported")
        return SimpleNamespace(gpu=80)

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):  # noqa: N802
        if handle:
            raise LibraryError("not supported")
        self.round += 1
        return 1000 * self.round


def test_hours_of_cards_are_told_once_they_are_over(tmp_path):
    """An hour of rounds: busy time, energy and the run while a process was there; then its file is gone."""
    monitor = NvmlMonitor({"account": "startup1"}, tmp_path, 60, Cards())
    for minute in range(60):
        assert list(monitor.hours(T0 + 60 * minute)) == []
    [(at_s, found)] = monitor.hours(T0 + 3600)
    assert at_s == T0
    assert found.hours == [PoolHour("A100", T0 * 1_000_000, 60 * 48_000, 3_600_000, 59_000)]
    end_us = (T0 + 30 * 60) * 1_000_000
    assert found.runs == [DeviceRun("GPU-0", T0 * 1_000_000, "startup1", "", end_us, "A100", 30 * 48_000, 1_800_000)]
    assert [path.name for path in tmp_path.iterdir()] == [f"telemetry-nvml-{T0 // 3600 + 1:08d}.prom"]


def test_trouble_with_the_library_is_told(tmp_path):
    """No driver, and a table without an account: an error in documented words."""
    cards = Cards()
    cards.broken = True
    with pytest.raises(MeteringError, match="driver") as caught:
        list(NvmlMonitor({"account": "a"}, tmp_path, 60, cards).hours(T0))
    assert caught.value.code == "nvml-unavailable"
    with pytest.raises(MeteringError, match="account"):
        NvmlMonitor({}, tmp_path, 60, cards)
