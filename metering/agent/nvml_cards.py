"""NVML with its library: imported only where a configuration names it (`pip install nvidia-ml-py`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pynvml

from metering.agent.config import AgentConfig
from metering.agent.cursors import Cursors
from metering.agent.nvml import NvmlCollector


def make(table: Mapping[str, Any], config: AgentConfig, _cursors: Cursors) -> NvmlCollector:
    """Make the collector of a table of `[collect]`; its files stand beside the spool."""
    return NvmlCollector(table, config.spool.parent, config.interval_s, pynvml)
