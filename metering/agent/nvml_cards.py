"""NVML with its library: imported only where a configuration names it (`pip install nvidia-ml-py`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pynvml

from metering.agent.config import AgentConfig
from metering.agent.cursors import Cursors
from metering.agent.nvml import NvmlCollector
from metering.agent.nvml_monitor import NvmlMonitor


def make(table: Mapping[str, Any], config: AgentConfig, _cursors: Cursors) -> NvmlCollector:
    """Make the collector of a table of `[collect]`; its files stand beside the spool."""
    return NvmlCollector(table, config.spool.parent, config.interval_s, pynvml)


def make_monitor(table: Mapping[str, Any], config: AgentConfig) -> NvmlMonitor:
    """Make the monitor of a table of `[telemetry]`; its files stand beside the spool."""
    return NvmlMonitor(table, config.spool.parent, config.interval_s, pynvml)
