"""The cards of this machine, asked through NVIDIA's management library: for a machine without an exporter.

    [collect]
    source = "nvml"
    account = "startup1"      # who has rented the machine
    held = "process"          # a card is held while a compute process is on it; "always": the whole machine is rented

Every round writes one line for each card, with its time, into a file for the hour; an hour that is over becomes records, and
its file is removed once they are spooled. A crash loses nothing but the rounds that it missed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from metering.errors import MeteringError
from metering.model import UsageRecord
from metering.sources import read
from metering.sources.faults import Skipped
from metering.sources.options import SourceOptions

HOUR_S = 3600
_MIB_IN_GIB = 1024


class Library(Protocol):
    """The functions of `pynvml` (nvidia-ml-py) that are used."""

    NVMLError: type[Exception]

    def nvmlInit(self) -> None: ...  # noqa: D102, N802
    def nvmlShutdown(self) -> None: ...  # noqa: D102, N802
    def nvmlDeviceGetCount(self) -> int: ...  # noqa: D102, N802
    def nvmlDeviceGetHandleByIndex(self, index: int) -> Any: ...  # noqa: D102, N802
    def nvmlDeviceGetUUID(self, handle: Any) -> str | bytes: ...  # noqa: D102, N802
    def nvmlDeviceGetName(self, handle: Any) -> str | bytes: ...  # noqa: D102, N802
    def nvmlDeviceGetComputeRunningProcesses(self, handle: Any) -> list[Any]: ...  # noqa: D102, N802
    def nvmlDeviceGetMigMode(self, handle: Any) -> Any: ...  # noqa: D102, N802
    def nvmlDeviceGetMaxMigDeviceCount(self, handle: Any) -> int: ...  # noqa: D102, N802
    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: Any, index: int) -> Any: ...  # noqa: D102, N802
    def nvmlDeviceGetGpuInstanceId(self, handle: Any) -> int: ...  # noqa: D102, N802
    def nvmlDeviceGetAttributes(self, handle: Any) -> Any: ...  # noqa: D102, N802


@dataclass(frozen=True, slots=True)
class Reading:
    """A card, or a MIG instance of one, at one moment."""

    uuid: str
    model: str
    processes: int
    instance: str = ""
    profile: str = ""

    def line(self, account: str, at_ms: int, *, held: bool) -> str:
        """One sample of telemetry; a card that is not held names nobody."""
        labels = {"UUID": self.uuid, "modelName": self.model, "namespace": account if held else ""}
        if self.instance:
            labels |= {"GPU_I_ID": self.instance, "GPU_I_PROFILE": self.profile}
        inside = ",".join(f'{name}="{escaped(value)}"' for name, value in labels.items())
        return f"suanquan_card_processes{{{inside}}} {self.processes} {at_ms}\n"


def read_cards(library: Library) -> list[Reading]:
    """Ask for every card.

    Raises:
        MeteringError: `nvml-unavailable`, in the library's words.

    """
    try:
        library.nvmlInit()
        try:
            handles = map(library.nvmlDeviceGetHandleByIndex, range(library.nvmlDeviceGetCount()))
            return [reading for handle in handles for reading in _card(library, handle)]
        finally:
            library.nvmlShutdown()
    except library.NVMLError as fault:
        raise MeteringError("nvml-unavailable", f"NVML 不可用：{fault}", f"NVML cannot be used: {fault}") from fault


def _card(library: Library, handle: Any) -> Iterator[Reading]:
    uuid, model = (text_of(ask(handle)) for ask in (library.nvmlDeviceGetUUID, library.nvmlDeviceGetName))
    instances = list(_instances(library, handle, uuid, model))
    if instances:
        yield from instances
        return
    yield Reading(uuid, model, len(library.nvmlDeviceGetComputeRunningProcesses(handle)))


def _instances(library: Library, handle: Any, uuid: str, model: str) -> Iterator[Reading]:
    try:
        enabled = bool(library.nvmlDeviceGetMigMode(handle)[0])
    except library.NVMLError:  # cards that cannot be split have no such mode
        return
    for index in range(library.nvmlDeviceGetMaxMigDeviceCount(handle) if enabled else 0):
        try:
            part = library.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)
        except library.NVMLError:  # places without an instance
            continue
        has = library.nvmlDeviceGetAttributes(part)
        profile = f"{has.gpuInstanceSliceCount}g.{-(-has.memorySizeMB // _MIB_IN_GIB)}gb"
        instance = str(library.nvmlDeviceGetGpuInstanceId(part))
        yield Reading(uuid, model, len(library.nvmlDeviceGetComputeRunningProcesses(part)), instance, profile)


class NvmlCollector:
    """Samples the cards at every round; hours that are over become records."""

    def __init__(self, table: Mapping[str, Any], folder: Path, interval_s: int, library: Library) -> None:
        self._account = table.get("account")
        self._always = table.get("held", "process") == "always"
        if (
            not isinstance(self._account, str)
            or not self._account
            or table.get("held") not in {None, "process", "always"}
        ):
            raise MeteringError(
                "collect-malformed",
                '[collect] 的 nvml 需要 account，held 为 "process" 或 "always"',
                '[collect] of nvml needs an account, and held = "process" or "always"',
            )
        self._folder = folder
        self._options = SourceOptions("prometheus", step_s=interval_s)
        self._library = library
        self._read: list[Path] = []

    def records(self) -> Iterator[UsageRecord | Skipped]:
        """Write this round's samples, then give the records of the hours that are over."""
        now_ms = time.time_ns() // 1_000_000
        current = self._file(now_ms // 1000 // HOUR_S)
        readings = read_cards(self._library)
        with current.open("a", encoding="utf-8") as file:
            for reading in readings:
                held = self._always or reading.processes > 0
                file.write(reading.line(str(self._account), now_ms, held=held))
        self._read = [path for path in sorted(self._folder.glob("nvml-*.prom")) if path != current]
        for path in self._read:
            with path.open("rb") as stream:
                yield from read(path.name, stream, self._options)

    def done(self) -> None:
        """Remove the hours whose records lie in the spool."""
        for path in self._read:
            path.unlink(missing_ok=True)

    def _file(self, hour: int) -> Path:
        return self._folder / f"nvml-{hour:08d}.prom"


def text_of(value: str | bytes) -> str:
    """A text as the library gives it, in either of its ages."""
    return value.decode() if isinstance(value, bytes) else value


def escaped(value: str) -> str:
    """A label's value as an exposition writes it."""
    return value.replace("\\", "\\\\").replace('"', '\\"')
