"""What `[collect]` of the agent's configuration says, at work: files, a Prometheus, a cluster's API, the cards of this machine.

A collector yields closed records, may yield what it yielded before, and is told when all of it lies in the spool. Trouble of
one is logged and does not keep the others from their work.
"""

from __future__ import annotations

import logging
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Protocol

from ledger.errors import DomainError, Kind
from metering.agent.config import AgentConfig
from metering.agent.cursors import Cursors
from metering.errors import MeteringError
from metering.model import UsageRecord
from metering.sources import SOURCES, add_source, read
from metering.sources.faults import Skipped
from metering.sources.options import FIELDS, SourceOptions, parse_step_s

SOURCE_GROUP = "suanquan.sources"
"""A package of a centre's own names a source here; it is loaded to a pair `(source, fields)` of `metering.sources`."""
COLLECTOR_GROUP = "suanquan.collectors"

LEFT_ALONE_S = 300
LEFT_ALONE_STEPS = 3
"""A file of levels that was not written to for so many seconds, and so many of its steps, is taken for whole."""
COMMAND_S_MAX = 600
"""Longest a scheduler's command may take; a month of a big cluster takes a minute."""

NO_USAGE = frozenset({"no-gpu", "never-started", "step", "running"})
"""Reasons that are as they should be: such lines are counted, and not told one by one."""
TOLD_MAX = 1_000

_log = logging.getLogger("suanquan.agent")


class Collector(Protocol):
    """One thing that usage is collected from."""

    def records(self) -> Iterator[UsageRecord | Skipped]:
        """What there is now: closed records, and what is none, with its reason."""

    def done(self) -> None:
        """Told when everything that `records` gave lies in the spool."""


MakeCollector = Callable[[Mapping[str, Any], AgentConfig, Cursors], Collector]

BUILT_IN = (
    EntryPoint("prometheus", "metering.agent.prometheus_api:make", COLLECTOR_GROUP),
    EntryPoint("kubernetes", "metering.agent.kubernetes_api:make", COLLECTOR_GROUP),
    EntryPoint("nvml", "metering.agent.nvml_cards:make", COLLECTOR_GROUP),
)
"""Loaded when a configuration names them: what a centre does not use is never imported."""


def load_sources() -> None:
    """Add the sources of installed packages; one that cannot be loaded is named and left out."""
    for point in entry_points(group=SOURCE_GROUP):
        if point.name not in SOURCES:
            try:
                source, fields = point.load()
                add_source(point.name, source, fields)
            except (ImportError, AttributeError, TypeError, ValueError) as fault:
                _log.error("source %s of %s cannot be loaded: %s", point.name, point.value, fault)


def options_of(table: Mapping[str, Any]) -> SourceOptions:
    """Options of a source as a table of the configuration names them: as `agent collect` does.

    Raises:
        MeteringError: a source, field, zone or form that does not exist.

    """
    columns, step = table.get("format"), table.get("step")
    return SourceOptions(
        str(table.get("source", "sacct")),
        {str(name): str(value) for name, value in table.get("map", {}).items()},
        {str(name): str(value) for name, value in table.get("set", {}).items()},
        table.get("timezone"),
        table.get("delimiter"),
        tuple(name.strip() for name in columns.split(",")) if columns else None,
        parse_step_s(str(step)) if step else None,
    )


class Files:
    """Files that are read whole at every round; their records are known again by their ids.

    Of a file of levels that is still written, the intervals that reach its last instant are not closed: the next line may
    prolong them. They are held back until a later line ends them, or until the file has been left alone for a while.
    """

    def __init__(self, table: Mapping[str, Any], folder: Path) -> None:
        self._options = options_of(table)
        self._paths = [folder.joinpath(name) for name in table.get("paths", ())]

    def records(self) -> Iterator[UsageRecord | Skipped]:
        """Every record of every file; one that cannot be read is logged, the others are read."""
        for path in self._paths:
            try:
                with path.open("rb") as stream:
                    items = read(path.name, stream, self._options)
                    yield from self._closed(items) if self._still_written(path) else items
            except (DomainError, OSError) as fault:
                _log.error("%s was not read: %s", path, fault)

    def done(self) -> None:
        """Nothing to remember: the files are read from the start again."""

    def _closed(self, items: Iterator[UsageRecord | Skipped]) -> Iterator[UsageRecord | Skipped]:
        """Items without the records that reach the last step but one: accounts are written one after the other."""
        found = list(items)
        last_us = max((item.end_us for item in found if isinstance(item, UsageRecord)), default=0)
        open_us = last_us - (self._options.step_s or 0) * 1_000_000
        return (item for item in found if not (isinstance(item, UsageRecord) and item.end_us >= open_us))

    def _still_written(self, path: Path) -> bool:
        step_s = self._options.step_s
        if step_s is None or not FIELDS[self._options.source].needs_step:
            return False
        return time.time_ns() - path.stat().st_mtime_ns < max(LEFT_ALONE_STEPS * step_s, LEFT_ALONE_S) * 1_000_000_000


class Command:
    """What a scheduler's own command prints (`sacct -a -D -X -P …`), in UTC; its file name is that of the program."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        self._options = options_of(table)
        self._command = [str(word) for word in table["command"]]
        if not self._command:
            raise MeteringError("collect-malformed", "[collect] 的 command 为空", "[collect] has an empty command")

    def records(self) -> Iterator[UsageRecord | Skipped]:
        """Run it once; what it printed before it failed is not believed."""
        with tempfile.TemporaryFile() as out:
            try:
                done = subprocess.run(  # noqa: S603 - the operator's own configuration names it
                    self._command, stdout=out, stderr=subprocess.PIPE, timeout=COMMAND_S_MAX, check=False, env=_utc()
                )
            except subprocess.TimeoutExpired as fault:
                raise _failed(self._command[0], f"longer than {COMMAND_S_MAX} s") from fault
            if done.returncode:
                raise _failed(self._command[0], done.stderr[-500:].decode("utf-8", "replace"))
            out.seek(0)
            yield from read(Path(self._command[0]).name, out, self._options)

    def done(self) -> None:
        """Nothing to remember: how far back it looks is in the command."""


def _utc() -> dict[str, str]:
    return {**os.environ, "TZ": "UTC", "LC_ALL": "C.UTF-8"}


def _failed(program: str, why: str) -> MeteringError:
    return MeteringError(
        "command-failed",
        f"命令 {program} 没有成功：{why}",
        f"the command {program} failed: {why}",
        kind=Kind.UNAVAILABLE,
    )


def make_collectors(config: AgentConfig, folder: Path) -> list[Collector]:
    """Make what each table of `[collect]` asks for; paths are relative to `folder`.

    Raises:
        MeteringError: a table that cannot be understood.

    """
    load_sources()
    cursors = Cursors(config.spool.with_name(f"{config.spool.name}.cursors"))
    return [_made(table, config, folder, cursors) for table in config.tables]


def _made(table: Mapping[str, Any], config: AgentConfig, folder: Path, cursors: Cursors) -> Collector:
    name = str(table.get("source", "sacct"))
    if "command" in table:
        return Command(table)
    if name != "nvml" and "url" not in table and "paths" in table:
        return Files(table, folder)
    for point in (*BUILT_IN, *entry_points(group=COLLECTOR_GROUP)):
        if point.name == name:
            make = _loaded(point)
            return make({**table, "folder": folder}, config, cursors)
    if name in SOURCES:
        return Files(table, folder)
    raise MeteringError(
        "collector-unknown", f"[collect] 的来源“{name}”不存在", f"[collect] names a source {name!r} that does not exist"
    )


def _loaded(point: EntryPoint) -> MakeCollector:
    try:
        make: MakeCollector = point.load()
    except ImportError as fault:
        raise MeteringError(
            "library-missing",
            f"来源 {point.name} 所需的库未安装：{fault}（nvml 需要 nvidia-ml-py）",
            f"a library that {point.name} needs is missing: {fault} (nvml needs nvidia-ml-py)",
        ) from fault
    return make


class Collection:
    """Every collector of a configuration, as the daemon wants it: closed records and checkpoints, then `done`."""

    def __init__(self, collectors: list[Collector]) -> None:
        self._collectors = collectors
        self._finished: list[Collector] = []
        self._told: set[tuple[str, int, str]] = set()
        self.skipped: dict[str, int] = {}

    def __call__(self) -> Iterator[UsageRecord]:
        """Records of every collector; trouble of one is logged, and it is not told that it is done."""
        self._finished, self.skipped = [], {}
        for collector in self._collectors:
            try:
                for item in collector.records():
                    if not isinstance(item, Skipped):
                        yield item
                        continue
                    self._note(item)
                    if item.checkpoint is not None:  # cumulative: the service counts the highest
                        yield item.checkpoint
            except (DomainError, OSError) as fault:
                _log.error("a source was not read to its end: %s", fault)
            except Exception:  # noqa: BLE001 -- a centre's own source may raise anything; the others go on
                _log.exception("a source broke")
            else:
                self._finished.append(collector)

    def _note(self, item: Skipped) -> None:
        """Count what was skipped, and tell each place once: the same file is read again at every round."""
        self.skipped[item.reason] = self.skipped.get(item.reason, 0) + 1
        place = item.file, item.line, item.reason
        if item.reason not in NO_USAGE and place not in self._told and len(self._told) < TOLD_MAX:
            self._told.add(place)
            _log.warning("%s:%d skipped: %s %s", item.file, item.line, item.reason, item.detail)

    def done(self) -> None:
        """Tell every collector that came to its end."""
        for collector in self._finished:
            collector.done()
