"""What the agent tells of monitors: hours that are over are read, kept in an outbox, and sent until the service has them.

    [telemetry]
    source = "prometheus"
    url = "http://prometheus.example.cn:9090"
    step = "60s"
    query = '{__name__=~"DCGM_FI_DEV_GPU_UTIL|DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"}'   # optional
    account = "namespace"      # optional: the label that says who holds a card
    token_file = "token"       # optional

An hour is asked for once it is over; after an outage the hours that were missed come first, as far back as the monitor
remembers. What was read lies in a folder beside the spool, one file a report, and is removed when the service has taken it.
Usage goes before: telemetry is evidence, and waits.
"""

from __future__ import annotations

import http.client
import io
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from urllib.parse import urlencode, urlsplit

import msgspec

from ledger.errors import DomainError
from metering.agent.client import usage_uri
from metering.agent.config import AgentConfig
from metering.agent.cursors import Cursors
from metering.agent.declare import post
from metering.agent.http_get import get
from metering.agent.keys import AgentKey
from metering.errors import MeteringError
from metering.observe import Observation, observe
from metering.sources.options import parse_step_s
from metering.sources.rows import chunks_of
from metering.sources.samples import samples_of
from metering.sources.source import UsageFile
from metering.telemetry import DeviceRun
from metering.zones import rfc3339

HOUR_S = 3600
GRACE_S = 300
HOURS_AT_ONCE = 24
RUNS_PER_REPORT = 2_000
FILES_MAX = 20_000
"""Reports that may wait: two years of hours, or fewer where hours have many runs. Beyond, monitors are not asked."""
CONTENT_TYPE = "application/json"
QUERY = '{__name__=~"DCGM_FI_DEV_GPU_UTIL|DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION|npu_chip_info_utilization|npu_chip_info_power"}'
_log = logging.getLogger("suanquan.agent")


def reports_of(found: Observation, source: str, step_s: int) -> Iterator[bytes]:
    """Bodies of an observation: its hours with the first runs, then the rest of the runs."""
    hours = [
        {
            "hour": rfc3339(one.hour_us),
            "model": one.model,
            "busy_ms": one.busy_ms,
            "seen_ms": one.seen_ms,
            "energy_mj": one.energy_mj,
        }
        for one in found.hours
    ]
    parts = [found.runs[at : at + RUNS_PER_REPORT] for at in range(0, len(found.runs), RUNS_PER_REPORT)] or [[]]
    for at, part in enumerate(parts):
        runs = [_run(run) for run in part]
        yield msgspec.json.encode({"source": source, "step_s": step_s, "hours": [] if at else hours, "runs": runs})


def _run(run: DeviceRun) -> dict[str, Any]:
    return {
        "device": run.device,
        "model": run.model,
        "account": run.account,
        "job": run.job,
        "start": rfc3339(run.start_us),
        "end": rfc3339(run.end_us),
        "busy_ms": run.busy_ms,
        "seen_ms": run.seen_ms,
    }


def read_samples(name: str, stream: BinaryIO, step_s: int, account: str = "") -> Observation:
    """What a file of samples (exposition with timestamps, `promtool tsdb dump`, answer of a query) comes to.

    Raises:
        MeteringError: a file that is none of these.

    """
    return observe(samples_of(UsageFile(name, chunks_of(name, stream))), step_s, account)


def send_report(base_url: str, key: AgentKey, body: bytes) -> dict[str, Any]:
    """Send one report.

    Raises:
        MeteringError: `unreachable`; `telemetry-refused`, in the service's words.

    """
    target = f"{usage_uri(base_url)}/telemetry"
    status, answer = post(target, key, body, CONTENT_TYPE)
    if status != http.client.OK:
        words = answer[:500].decode("utf-8", "replace")
        raise MeteringError(
            "telemetry-refused",
            f"监控报告被拒（{status}）：{words}",
            f"the report of telemetry was refused ({status}): {words}",
        )
    found: dict[str, Any] = msgspec.json.decode(answer)
    return found


class Outbox:
    """Reports that wait for the service: files in a folder, sent in the order of their names."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def waiting(self) -> list[Path]:
        """Reports, oldest first."""
        return sorted(self._folder.glob("*.json"))

    def put(self, name: str, bodies: Iterable[bytes]) -> None:
        """Keep reports durably; the same name again replaces what it had."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        for at, body in enumerate(bodies):
            path = self._folder / f"{name}-{at:04d}.json"
            new = path.with_suffix(".new")
            new.write_bytes(body)
            new.replace(path)

    def send(self, base_url: str, key: AgentKey) -> int:
        """Send what waits until one is not taken; how many were. One that is refused for good is set aside."""
        sent = 0
        for path in self.waiting:
            try:
                send_report(base_url, key, path.read_bytes())
            except MeteringError as error:
                if error.code != "telemetry-refused" or "（422）" not in error.zh:
                    _log.warning("telemetry not delivered: %s", error)
                    break
                _log.error("telemetry refused, kept as %s: %s", path.with_suffix(".refused"), error)
                path.replace(path.with_suffix(".refused"))
                continue
            path.unlink()
            sent += 1
        return sent


class Monitor:
    """Asks one Prometheus for the hours that are over."""

    def __init__(self, table: Mapping[str, Any], folder: Path, cursors: Cursors, now_s: int) -> None:
        if table.get("source", "prometheus") != "prometheus" or not isinstance(table.get("url"), str):
            raise MeteringError(
                "telemetry-config",
                '[telemetry] 需要 source = "prometheus" 与 url，或 source = "nvml"',
                '[telemetry] needs source = "prometheus" and a url, or source = "nvml"',
            )
        self._url = table["url"].rstrip("/")
        self._query = str(table.get("query", QUERY))
        self.step_s = parse_step_s(str(table.get("step", "60s")))
        if HOUR_S % self.step_s:
            raise MeteringError("telemetry-config", "step 应整除一小时", "step must divide an hour")
        self._account = str(table.get("account", ""))
        self._token = folder.joinpath(str(table["token_file"])) if "token_file" in table else None
        self._ca_file = folder.joinpath(str(table["ca_file"])) if "ca_file" in table else None
        self._grace_s = int(table.get("grace_s", GRACE_S))
        self._cursors = cursors
        self._name = f"telemetry {self._url} {self._query}"
        self._since_s = int(table.get("since_s", now_s - HOUR_S)) // HOUR_S * HOUR_S

    def hours(self, now_s: int) -> Iterator[tuple[int, Observation]]:
        """Hours that are over and were not read, oldest first, with what was seen; each is remembered when the next is asked."""
        at_s = int(self._cursors.get(self._name) or self._since_s)
        for _ in range(HOURS_AT_ONCE):
            if at_s + HOUR_S + self._grace_s > now_s:
                return
            yield at_s, self._hour(at_s)
            at_s += HOUR_S
            self._cursors.put(self._name, str(at_s))

    def _hour(self, at_s: int) -> Observation:
        """One step more is asked for at its start: a counter's first difference needs the value before."""
        asked = {
            "query": self._query,
            "start": at_s - self.step_s,
            "end": at_s + HOUR_S - self.step_s,
            "step": f"{self.step_s}s",
        }
        headers = {}
        if self._token is not None:
            headers["authorization"] = f"Bearer {self._token.read_text('utf-8').strip()}"
        body = get(f"{self._url}/api/v1/query_range?{urlencode(asked)}", headers=headers, ca_file=self._ca_file)
        found = read_samples(urlsplit(self._url).netloc, io.BytesIO(body), self.step_s, self._account)
        from_us = at_s * 1_000_000
        found.hours = [one for one in found.hours if one.hour_us >= from_us]
        found.runs = [run for one in found.runs if (run := _from(one, from_us)) is not None]
        return found


def _from(run: DeviceRun, from_us: int) -> DeviceRun | None:
    """The part of a run from an instant on: of the sample before, one step is left out, with its share of what was busy."""
    if run.start_us >= from_us:
        return run
    if run.end_us <= from_us:
        return None
    whole_us = run.end_us - run.start_us
    left_us = run.end_us - from_us
    busy_ms, seen_ms = run.busy_ms * left_us // whole_us, run.seen_ms * left_us // whole_us
    return DeviceRun(run.device, from_us, run.account, run.job, run.end_us, run.model, busy_ms, seen_ms)


def _now_s() -> int:
    return time.time_ns() // 1_000_000_000


class Hours(Protocol):
    """What is asked for hours that are over."""

    step_s: int

    def hours(self, now_s: int) -> Iterator[tuple[int, Observation]]:
        """Hours that are over and were not told, by their epoch seconds; one is done with when the next is asked for."""


class Observer:
    """The daemon's telemetry: read what is over, keep it, send what waits. Trouble is logged and tried again."""

    def __init__(self, config: AgentConfig, folder: Path, now_s: Callable[[], int] = _now_s) -> None:
        self._config = config
        self._now_s = now_s
        cursors = Cursors(config.spool.with_name(f"{config.spool.name}.telemetry-cursors"))
        tables = [config.telemetry] if isinstance(config.telemetry, Mapping) else list(config.telemetry)
        self._monitors = [_monitor(table, config, folder, (cursors, now_s())) for table in tables if table]
        self.outbox = Outbox(config.spool.with_name(f"{config.spool.name}.telemetry"))

    def look(self) -> None:
        """Read what monitors have, at every interval of the agent, also while the service is away."""
        if self._monitors and len(self.outbox.waiting) >= FILES_MAX:
            _log.error("telemetry waits in %d files; monitors are not asked", FILES_MAX)
            return
        for at, monitor in enumerate(self._monitors):
            try:
                for at_s, found in monitor.hours(self._now_s()):
                    self._keep(f"{at_s:012d}-{at}", found, monitor.step_s)
            except (DomainError, OSError) as fault:
                _log.error("telemetry was not read: %s", fault)

    def _keep(self, name: str, found: Observation, step_s: int) -> None:
        for reason, count in found.skipped.items():
            _log.warning("telemetry: %d samples skipped: %s", count, reason)
        if found.hours or found.runs:
            self.outbox.put(name, reports_of(found, self._config.source, step_s))

    def send(self, key: AgentKey) -> None:
        """Send what waits, once no usage does."""
        if self._monitors:
            self.outbox.send(self._config.base_url, key)


def _monitor(table: Mapping[str, Any], config: AgentConfig, folder: Path, start: tuple[Cursors, int]) -> Hours:
    """What a table of `[telemetry]` asks for.

    Raises:
        MeteringError: `telemetry-config`, `library-missing`.

    """
    if table.get("source") != "nvml":
        return Monitor(table, folder, *start)
    try:
        make = EntryPoint("nvml", "metering.agent.nvml_cards:make_monitor", "suanquan.monitors").load()
    except ImportError as fault:
        raise MeteringError(
            "library-missing", f"nvml 需要 nvidia-ml-py：{fault}", f"nvml needs nvidia-ml-py: {fault}"
        ) from fault
    made: Hours = make(table, config)
    return made
