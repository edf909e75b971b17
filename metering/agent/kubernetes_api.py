"""Collector `kubernetes`: the pods of a cluster, by a list once and a watch from there on.

    [collect]
    source = "kubernetes"
    url = "https://kubernetes.default.svc"
    token_file = "/var/run/secrets/kubernetes.io/serviceaccount/token"
    ca_file = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
    set = { cluster = "sj01" }

The agent needs the verbs `list` and `watch` on pods, nothing else. Each round takes up the watch where the last one ended, so
that a pod that was deleted between two rounds is heard of. Where the cluster has forgotten that place (410 Gone) the pods are
listed again, and what was deleted meanwhile without a trace is logged as a possible gap.
"""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from metering.agent.config import AgentConfig
from metering.agent.cursors import Cursors
from metering.agent.http_get import get
from metering.errors import MeteringError
from metering.model import UsageRecord
from metering.sources import read
from metering.sources.faults import Skipped
from metering.sources.options import SourceOptions

PAGE = 500
WATCH_S = 2
"""A watch from an old place tells at once what has happened since; then it may end."""
GONE = 410

_log = logging.getLogger("suanquan.agent")


class KubernetesCollector:
    """Lists and watches the pods of one cluster."""

    def __init__(self, table: Mapping[str, Any], cursors: Cursors) -> None:
        url = table.get("url")
        if not isinstance(url, str) or not url:
            raise MeteringError("collect-malformed", "[collect] 缺少 url", "[collect] lacks url")
        self._url = f"{url.rstrip('/')}/api/v1/pods"
        folder = Path(table.get("folder", "."))
        self._token_file = folder.joinpath(table["token_file"]) if "token_file" in table else None
        self._ca_file = folder.joinpath(table["ca_file"]) if "ca_file" in table else None
        self._selector = str(table.get("selector", ""))
        self._options = SourceOptions("kubernetes", table.get("map", {}), table.get("set", {}))
        self._cursors = cursors
        self._name = f"kubernetes {self._url} {self._selector}"
        self._reached = ""

    def records(self) -> Iterator[UsageRecord | Skipped]:
        """Pods that have ended since the last round."""
        self._reached = ""
        events = self._watched() if self._cursors.get(self._name) else self._listed()
        if events:
            yield from read("pods", io.BytesIO(b"\n".join(events)), self._options)

    def done(self) -> None:
        """Remember where the watch goes on."""
        self._cursors.put(self._name, self._reached)

    def _listed(self) -> list[bytes]:
        """Every pod there is, as events; large clusters answer page by page."""
        events: list[bytes] = []
        after = ""
        while True:
            page = json.loads(self._get(f"limit={PAGE}" + (f"&continue={quote(after)}" if after else "")))
            events += [json.dumps({"type": "ADDED", "object": item}).encode() for item in page.get("items", [])]
            metadata = page.get("metadata", {})
            after = metadata.get("continue", "")
            if not after:
                self._reached = str(metadata.get("resourceVersion", ""))
                return events

    def _watched(self) -> list[bytes]:
        place = self._reached = self._cursors.get(self._name) or ""
        asked = f"watch=1&allowWatchBookmarks=true&timeoutSeconds={WATCH_S}&resourceVersion={quote(place)}"
        events = []
        for line in self._get(asked).splitlines():
            event = json.loads(line)
            if event.get("type") == "ERROR":
                return self._forgotten(event)
            self._reached = event["object"]["metadata"].get("resourceVersion", self._reached)
            events.append(line)
        return events

    def _forgotten(self, event: Mapping[str, Any]) -> list[bytes]:
        if event.get("object", {}).get("code") != GONE:
            raise MeteringError("watch-failed", f"集群监视中断：{event}", f"the cluster's watch failed: {event}")
        _log.warning("the cluster has forgotten %s: pods deleted since are a possible gap", self._reached)
        return self._listed()

    def _get(self, query: str) -> bytes:
        if self._selector:
            query += f"&labelSelector={quote(self._selector)}"
        headers = {"accept": "application/json"}
        if self._token_file:  # rotated by the cluster: read each time
            headers["authorization"] = f"Bearer {self._token_file.read_text('utf-8').strip()}"
        return get(f"{self._url}?{query}", headers=headers, ca_file=self._ca_file)


def make(table: Mapping[str, Any], _config: AgentConfig, cursors: Cursors) -> KubernetesCollector:
    """Make the collector of a table of `[collect]`."""
    return KubernetesCollector(table, cursors)
