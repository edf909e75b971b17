"""Source `prometheus`: cards in use, out of telemetry that says who holds them.

Without `--map gpus=…` a series is a card, or a MIG instance of one: whatever its metrics say of it, the card counts once an
instant, for whoever its labels name, while `--step` lasts. A card whose labels name nobody is idle; how busy a card is
decides nothing. With `--map gpus=value` a sample's value is a number of cards, as in `gauge-csv`; `--set metric=NAME` says
of which metric, and must where the file has several.

The account is the pod's namespace, or the label named with `--map account=LABEL`, or a constant. Equal levels that follow
each other become one interval; a gap is not filled. Samples of a text exposition are scraped a little early or late: each
speaks for the step it lies in. Those of a query stand exactly where they stand. Without a timestamp nothing is known:
`--set time=…` gives one to all samples that lack it.

An interval's identity is its card (or series), its holder and its start.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from decimal import Decimal
from heapq import merge
from itertools import repeat
from typing import NamedTuple

from metering.errors import MeteringError
from metering.model import UsageRecord
from metering.sources.devices import ACCOUNT, JOB, device_of, first_of, has_any, is_exporters_own
from metering.sources.faults import RowFault, Skipped
from metering.sources.gauge import Run, Runs
from metering.sources.options import SourceOptions
from metering.sources.samples import Sample, is_missing, samples_of
from metering.sources.source import Item, UsageFile
from metering.sources.values import (
    CLOSED,
    UNKNOWN_MODEL,
    WORD_CHARACTERS_MAX,
    cards,
    gpu_count_milli,
    name_in,
)
from metering.sources.wall_clock import InstantReader
from metering.zones import US


class _Holder(NamedTuple):
    """Who holds cards of which model."""

    account: str
    job: str
    model: str


class _State(NamedTuple):
    """What a card (or a series, where values are counts) was at an instant: held by whom, and how much of it."""

    holder: _Holder
    count_milli: int


def read_prometheus(file: UsageFile, options: SourceOptions) -> Iterator[Item]:
    """First what was skipped, while the file is read; then the intervals, in the order of their starts."""
    return _Reader(file, options).records()


class _Reader:
    def __init__(self, file: UsageFile, options: SourceOptions) -> None:
        self._file = file
        self._options = options
        self._step_us = (options.step_s or 0) * US
        self._counts = options.mapping.get("gpus")
        if self._counts not in {None, "value"}:
            raise MeteringError(
                "field-unknown",
                "来源 prometheus 的卡数只能取样本值：--map gpus=value",
                "cards of source prometheus can only be a sample's value: --map gpus=value",
            )
        self._metric = options.constants.get("metric", "")
        self._only: str | None = None
        self._time_us = self._constant_time()
        self._runs: dict[str, Runs] = {}
        self._states: dict[_State, int] = {}

    def records(self) -> Iterator[Item]:
        for sample in samples_of(self._file):
            if isinstance(sample, Skipped):
                yield sample
                continue
            try:
                self._take(sample)
            except RowFault as fault:
                yield fault.skipped(self._file.name, sample.place)
        states = list(self._states)
        for run, device in merge(
            *(zip(runs, repeat(device), strict=False) for device, runs in sorted(self._runs.items())), key=_place
        ):
            state = states[run.level_milli]
            if state.count_milli:
                yield self._record(device, state, run)

    def _constant_time(self) -> int | None:
        text = self._options.constants.get("time")
        if text is None:
            return None
        try:
            return InstantReader("--set time", self._options.timezone).us(text)
        except RowFault:
            raise MeteringError(
                "time-malformed", f"--set time={text} 不是时刻", f"--set time={text} is no instant"
            ) from None

    def _take(self, sample: Sample) -> None:
        if self._metric and sample.metric != self._metric:
            return
        if is_missing(sample.value):
            raise RowFault("missing-value", sample.metric)
        at_us = self._time_us if sample.at_us is None else sample.at_us
        if at_us is None:
            raise RowFault("no-timestamp")
        if self._counts:
            self._take_count(sample, at_us)
        else:
            self._take_card(sample, at_us)

    def _take_count(self, sample: Sample, at_us: int) -> None:
        if self._only not in {None, sample.metric}:
            raise MeteringError(
                "metric-missing",
                f"{self._file.name} 有多个指标（{self._only}、{sample.metric}），请用 --set metric=名称 选定",
                f"{self._file.name} has several metrics ({self._only}, {sample.metric}): choose with --set metric=NAME",
            )
        self._only = sample.metric
        series = "\0".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
        device = hashlib.sha256(series.encode()).hexdigest()[:32]
        if holder := self._holder(sample):
            self._add(device, holder, gpu_count_milli(_plain(sample.value)), at_us, sample)

    def _take_card(self, sample: Sample, at_us: int) -> None:
        device = device_of(sample.labels)
        if device is None:
            raise RowFault("no-device", sample.metric)
        holder = self._holder(sample, device.model)
        if holder is None:
            return
        try:
            self._add(name_in(device.key, "device"), holder, device.count_milli, at_us, sample)
        except RowFault as fault:
            if fault.reason != "duplicate":  # the card's other metrics say so again
                raise

    def _add(self, device: str, holder: _Holder, count_milli: int, at_us: int, sample: Sample) -> None:
        """Add a step of a card; what a card's runs hold as level is the number of who held how much of it.

        Raises:
            RowFault: `duplicate`, or `conflict` where another held it then: who came first in the file stands.

        """
        if sample.scraped:
            at_us -= at_us % self._step_us
        state = self._states.setdefault(_State(holder, count_milli), len(self._states))
        if device not in self._runs:
            self._runs[device] = Runs(self._step_us)
        self._runs[device].add(at_us, state, sample.place)

    def _holder(self, sample: Sample, model: str = "") -> _Holder | None:
        """Who holds a card; None: nobody, its labels are there and empty."""
        options, labels = self._options, sample.labels
        if is_exporters_own(labels) and "account" not in options.constants:
            return None
        label = options.mapping.get("account")
        account = options.constants.get("account") or (labels.get(label, "") if label else first_of(labels, ACCOUNT))
        if not account:
            if (label in labels) if label else has_any(labels, (*ACCOUNT, *JOB)):
                return None
            raise RowFault("no-account", label or "namespace")
        job = labels.get(options.mapping["job"], "") if "job" in options.mapping else first_of(labels, JOB)
        if "model" in options.mapping:
            model = labels.get(options.mapping["model"], "")
        model = options.constants.get("model") or model or UNKNOWN_MODEL
        return _Holder(
            name_in(account, "account"),
            name_in(job, "job") if job else "",
            name_in(model, "model", WORD_CHARACTERS_MAX),
        )

    def _record(self, device: str, state: _State, run: Run) -> UsageRecord:
        holder = state.holder
        name = hashlib.sha256("\0".join((device, *holder)).encode()).hexdigest()[:32]
        return UsageRecord(
            id=f"prometheus:{name}:{run.start_us}",
            account=holder.account,
            job=holder.job or device,
            attempt=run.start_us // US,
            start_us=run.start_us,
            end_us=run.end_us,
            active_ms=(run.end_us - run.start_us) // 1000,
            accelerators=cards(holder.model, state.count_milli),
            state=CLOSED,
        )


def _place(place: tuple[Run, str]) -> tuple[int, str]:
    run, device = place
    return run.start_us, device


def _plain(value: str) -> str:
    """`8e+00` as `8`: exporters in Go print large and small numbers with an exponent."""
    return format(Decimal(value), "f") if "e" in value.lower() else value
