"""Samples of Prometheus: text exposition (with timestamps), `promtool tsdb dump`, and answers of the HTTP API.

A sample is a metric's labels, an instant and a value. DCGM writes numbers near 2^63 (and 2^47 for decimals) where it has none
to give; such a value is missing, never large. An exposition without timestamps says when nothing: its time must be given.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from metering.sources.faults import RowFault, Skipped, unreadable
from metering.sources.json_stream import JsonArray, starts_json
from metering.sources.rows import text_lines
from metering.sources.source import UsageFile
from metering.zones import INSTANT_US_MAX

INT64_BLANK_FROM = 9_223_372_036_854_775_792
"""DCGM's blank, not found, not supported (…794) and not permissioned: the last 16 numbers of int64."""
FP64_BLANKS = frozenset({Decimal(140_737_488_355_328 + place) for place in range(4)})

_LINE = re.compile(r"([A-Za-z_:][A-Za-z0-9_:]*)?\s*(?:\{(.*)\})?\s+(\S+)(?:\s+(\S+))?(?:\s+#.*)?")
_LABEL = re.compile(r'\s*([A-Za-z_][A-Za-z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)')
_DUMPED = re.compile(rb"\s*\{\s*[A-Za-z_]")
"""A line of `promtool tsdb dump`: `{__name__="up",job="x"} 1 1795305600000`."""
_ESCAPED = re.compile(r"\\(.)")
_SECONDS = re.compile(r"[0-9]{9,10}(?:\.[0-9]{1,9})?")
_MILLISECONDS = re.compile(r"[0-9]{12,13}")
LABELS_MAX = 64


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of one series.

    `at_us` None: the file does not say when. `place` is its line, or the place of its series. `scraped` says that its
    instant is that of a scrape, which comes a little early or late.
    """

    metric: str
    labels: Mapping[str, str]
    at_us: int | None
    value: str
    place: int
    scraped: bool = False


def samples_of(file: UsageFile) -> Iterator[Sample | Skipped]:
    """Every sample of a file, in its order.

    Raises:
        MeteringError: JSON that is no successful answer with a `matrix` or `vector` result.

    """
    first = next(file.chunks, b"")
    chunks, is_json = starts_json(itertools.chain([first] if first else [], file.chunks))
    if is_json and not _DUMPED.match(first):
        yield from _answer(file.name, chunks)
        return
    for line in text_lines(file.name, chunks):
        if isinstance(line, Skipped):
            yield line
        elif not line[1].lstrip().startswith("#"):
            try:
                yield _sample(*line)
            except RowFault as fault:
                yield fault.skipped(file.name, line[0])


def is_missing(value: str) -> bool:
    """Whether a value says that there is none: NaN, or one of DCGM's blanks."""
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise RowFault("bad-value", value) from None
    return not number.is_finite() or number >= INT64_BLANK_FROM or number in FP64_BLANKS


def _sample(number: int, text: str) -> Sample:
    match = _LINE.fullmatch(text.strip())
    if match is None:
        raise RowFault("bad-line")
    name, body, value, stamp = match.groups()
    labels = _labels(body or "")
    name = name or labels.pop("__name__", "")
    if not name:
        raise RowFault("bad-line")
    return Sample(name, labels, None if stamp is None else _instant_us(stamp), value, number, scraped=stamp is not None)


def _labels(body: str) -> dict[str, str]:
    labels: dict[str, str] = {}
    at = 0
    while at < len(body):
        match = _LABEL.match(body, at)
        if match is None or len(labels) >= LABELS_MAX:
            raise RowFault("bad-labels", body)
        name, value = match.groups()
        labels[name] = (
            _ESCAPED.sub(lambda found: {"n": "\n"}.get(found[1], found[1]), value) if "\\" in value else value
        )
        at = match.end()
    return labels


def _instant_us(text: str) -> int:
    """Microseconds of a timestamp: 12 or 13 digits are milliseconds, 9 or 10 (and decimals) are seconds."""
    if _MILLISECONDS.fullmatch(text):
        return int(text) * 1000
    if _SECONDS.fullmatch(text):
        return int(Decimal(text) * 1_000_000)
    raise RowFault("bad-time", text)


def _answer(file: str, chunks: Iterator[bytes]) -> Iterator[Sample | Skipped]:
    array = JsonArray(file, chunks, ("data", "result"))
    for element in array.elements():
        if isinstance(element, Skipped):
            yield element
            continue
        place, series = element
        try:
            yield from _series(place, series)
        except RowFault as fault:
            yield fault.skipped(file, place)
    if not array.found:
        raise unreadable(
            file, "不是 Prometheus 查询的成功结果", "it is no successful answer of a Prometheus query (data.result)"
        )


def _series(place: int, series: Any) -> Iterator[Sample]:
    metric = series.get("metric") if isinstance(series, dict) else None
    if not isinstance(metric, dict) or not all(isinstance(value, str) for value in metric.values()):
        raise RowFault("bad-series")
    labels = {name: value for name, value in metric.items() if name != "__name__"}
    points = series.get("values", [series["value"]] if "value" in series else None)
    if not isinstance(points, list):
        raise RowFault("bad-series")
    for point in points:
        match point:
            case [int() | Decimal() as at, str() as value] if 0 <= at < INSTANT_US_MAX // 1_000_000:
                yield Sample(metric.get("__name__", ""), labels, int(at * 1_000_000), value, place)
            case _:
                raise RowFault("bad-point", str(point))
