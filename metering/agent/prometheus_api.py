"""Collector `prometheus`: range queries of the HTTP API, window by window, each asked for once it is over.

    [collect]
    source = "prometheus"
    url = "http://prometheus.example.cn:9090"
    query = 'DCGM_FI_DEV_GPU_UTIL{namespace!=""}'
    step = "60s"
    window_s = 3600            # one record of a card at least for each window
    grace_s = 300              # how long after its end a window is asked for
    token_file = "token"       # bearer token, where one is needed

A window that was read is never asked for again; after an outage of the agent the windows that were missed come first, as far
back as the monitor remembers.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from metering.agent.config import AgentConfig
from metering.agent.cursors import Cursors
from metering.agent.http_get import get
from metering.errors import MeteringError
from metering.model import UsageRecord
from metering.sources import read
from metering.sources.faults import Skipped
from metering.sources.options import SourceOptions, parse_step_s

WINDOW_S = 3600
GRACE_S = 300
WINDOWS_AT_ONCE = 24
"""Windows of one round; after a long outage the rest comes in the next rounds."""


class PrometheusCollector:
    """Asks one query of one server."""

    def __init__(self, table: Mapping[str, Any], cursors: Cursors, now_s: int) -> None:
        self._url = _text(table, "url").rstrip("/")
        self._query = _text(table, "query")
        self._step_s = parse_step_s(str(table.get("step", "60s")))
        self._window_s = int(table.get("window_s", WINDOW_S))
        self._grace_s = int(table.get("grace_s", GRACE_S))
        self._ca_file = table.get("ca_file")
        self._token_file = table.get("token_file")
        self._folder = Path(table.get("folder", "."))
        self._options = SourceOptions("prometheus", table.get("map", {}), table.get("set", {}), step_s=self._step_s)
        self._cursors = cursors
        self._name = f"prometheus {self._url} {self._query}"
        self._since_s = int(table.get("since_s", now_s - self._window_s)) // self._window_s * self._window_s
        self._reached_s = 0
        if self._window_s % self._step_s:
            raise MeteringError(
                "window-malformed", "window_s 应为 step 的整数倍", "window_s must be a multiple of step"
            )

    def records(self) -> Iterator[UsageRecord | Skipped]:
        """Records of every window that is over and was not read, oldest first."""
        self._reached_s = at_s = int(self._cursors.get(self._name) or self._since_s)
        now_s = time.time_ns() // 1_000_000_000
        for _ in range(WINDOWS_AT_ONCE):
            if at_s + self._window_s + self._grace_s > now_s:
                return
            yield from self._window(at_s)
            at_s += self._window_s
            self._reached_s = at_s

    def done(self) -> None:
        """Remember the last window that was read."""
        if self._reached_s:
            self._cursors.put(self._name, str(self._reached_s))

    def _window(self, at_s: int) -> Iterator[UsageRecord | Skipped]:
        asked = {
            "query": self._query,
            "start": at_s,
            "end": at_s + self._window_s - self._step_s,
            "step": f"{self._step_s}s",
        }
        headers = {}
        if self._token_file:
            headers["authorization"] = f"Bearer {self._folder.joinpath(self._token_file).read_text('utf-8').strip()}"
        ca_file = self._folder.joinpath(self._ca_file) if self._ca_file else None
        body = get(f"{self._url}/api/v1/query_range?{urlencode(asked)}", headers=headers, ca_file=ca_file)
        return read(urlsplit(self._url).netloc, io.BytesIO(body), self._options)


def make(table: Mapping[str, Any], _config: AgentConfig, cursors: Cursors) -> PrometheusCollector:
    """Make the collector of a table of `[collect]`."""
    return PrometheusCollector(table, cursors, time.time_ns() // 1_000_000_000)


def _text(table: Mapping[str, Any], name: str) -> str:
    value = table.get(name)
    if not isinstance(value, str) or not value:
        raise MeteringError("collect-malformed", f"[collect] 缺少 {name}", f"[collect] lacks {name}")
    return value
