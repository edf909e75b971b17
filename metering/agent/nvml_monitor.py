"""Telemetry of this machine's own cards, for one without exporter: how busy they are and what energy they took.

    [telemetry]
    source = "nvml"
    account = "startup1"       # who has rented the machine
    held = "process"           # a card is held while a compute process is on it; "always": the whole machine is rented

Every round writes samples of each card, named as DCGM names them, into a file for the hour; an hour that is over is read,
and its file is removed once its reports lie in the outbox. Cards that are split (MIG) are passed over: the library tells
nothing of how busy an instance is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from metering.agent.nvml import HOUR_S, escaped, text_of
from metering.agent.telemetry import read_samples
from metering.errors import MeteringError
from metering.observe import Observation

UTIL, ENERGY = "DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"


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
    def nvmlDeviceGetUtilizationRates(self, handle: Any) -> Any: ...  # noqa: D102, N802
    def nvmlDeviceGetTotalEnergyConsumption(self, handle: Any) -> int: ...  # noqa: D102, N802


class NvmlMonitor:
    """Samples the cards at every round; hours that are over are told."""

    def __init__(self, table: Mapping[str, Any], folder: Path, interval_s: int, library: Library) -> None:
        account = table.get("account")
        if not isinstance(account, str) or not account or table.get("held") not in {None, "process", "always"}:
            raise MeteringError(
                "telemetry-config",
                '[telemetry] 的 nvml 需要 account，held 为 "process" 或 "always"',
                '[telemetry] of nvml needs an account, and held = "process" or "always"',
            )
        self._account, self._always = account, table.get("held") == "always"
        self._folder = folder
        self.step_s = interval_s
        self._library = library

    def hours(self, now_s: int) -> Iterator[tuple[int, Observation]]:
        """Write this round's samples, then give what hours that are over come to; each file goes when the next is asked."""
        current = self._file(now_s // HOUR_S)
        with current.open("a", encoding="utf-8") as file:
            file.writelines(self._lines(now_s * 1000))
        for path in sorted(self._folder.glob("telemetry-nvml-*.prom")):
            if path != current:
                with path.open("rb") as stream:
                    found = read_samples(path.name, stream, self.step_s)
                yield int(path.stem.rpartition("-")[2]) * HOUR_S, found
                path.unlink(missing_ok=True)

    def _file(self, hour: int) -> Path:
        return self._folder / f"telemetry-nvml-{hour:08d}.prom"

    def _lines(self, at_ms: int) -> list[str]:
        library = self._library
        try:
            library.nvmlInit()
            try:
                handles = map(library.nvmlDeviceGetHandleByIndex, range(library.nvmlDeviceGetCount()))
                return [line for handle in handles for line in self._card(handle, at_ms)]
            finally:
                library.nvmlShutdown()
        except library.NVMLError as fault:
            raise MeteringError("nvml-unavailable", f"NVML 不可用：{fault}", f"NVML cannot be used: {fault}") from fault

    def _card(self, handle: Any, at_ms: int) -> Iterator[str]:
        library = self._library
        uuid, model = (text_of(ask(handle)) for ask in (library.nvmlDeviceGetUUID, library.nvmlDeviceGetName))
        held = self._always or bool(library.nvmlDeviceGetComputeRunningProcesses(handle))
        labels = {"UUID": uuid, "modelName": model, "namespace": self._account if held else ""}
        inside = ",".join(f'{name}="{escaped(value)}"' for name, value in labels.items())
        asked = (
            (UTIL, lambda: library.nvmlDeviceGetUtilizationRates(handle).gpu),
            (ENERGY, lambda: library.nvmlDeviceGetTotalEnergyConsumption(handle)),
        )
        for metric, ask in asked:
            try:
                yield f"{metric}{{{inside}}} {ask()} {at_ms}\n"
            except library.NVMLError:  # a split card, or one too old to count its energy
                continue
