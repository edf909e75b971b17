"""What a caller says about a file of usage."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from metering.errors import MeteringError
from metering.zones import zone_of


@dataclass(frozen=True, slots=True)
class Fields:
    """What may be said about the fields of a source: which may be mapped to a column, which may be constants.

    `needs_step` says that a row is a level, so that it must be said how long it is held.
    """

    mapped: frozenset[str] = frozenset()
    constant: frozenset[str] = frozenset()
    needs_step: bool = False


_TELEMETRY = frozenset({"account", "model", "job"})

FIELDS: dict[str, Fields] = {
    "sacct": Fields(constant=frozenset({"cluster", "account", "model"})),
    "csv": Fields(
        frozenset({"start", "end", "duration", "gpus", "model", "account", "job", "state"}),
        frozenset({"duration", "gpus", "model", "account", "state"}),
    ),
    "gauge-csv": Fields(
        frozenset({"time", "gpus", "model", "account"}), frozenset({"model", "account"}), needs_step=True
    ),
    "cloudevents": Fields(),
    "apel": Fields(
        frozenset({"start", "end", "duration", "gpus", "model", "account", "job", "state"}),
        frozenset({"gpus", "model", "account", "state"}),
    ),
    "prometheus": Fields(_TELEMETRY | {"gpus", "device"}, _TELEMETRY | {"metric", "time"}, needs_step=True),
    "kubernetes": Fields(_TELEMETRY - {"job"}, frozenset({"account", "model", "cluster", "basis", "shared"})),
}
"""Every source that can be named, own ones of a centre included once they are added (`metering.sources.add_source`)."""

_DELIMITER_NAMES = {r"\t": "\t", "tab": "\t", r"\x1f": "\x1f", "0x1f": "\x1f"}
_STEP = re.compile(r"([1-9][0-9]{0,6})(s|m|min|h)?")
_STEP_UNIT_S = {None: 1, "s": 1, "m": 60, "min": 60, "h": 3600}


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How to read a file of usage.

    `mapping` names the column of each field, `constants` the value of a field that the file lacks, `timezone` (IANA name
    or `+08:00`) the zone of times that carry none, `delimiter` what the header would not show, `format` the columns of a
    file without header, `step_s` how many seconds a level of `gauge-csv` or a sample of `prometheus` is held.

    Raises:
        MeteringError: a source, field, zone, delimiter, format or step that does not exist, or a field given twice.

    """

    source: str
    mapping: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    timezone: str | None = None
    delimiter: str | None = None
    format: tuple[str, ...] | None = None
    step_s: int | None = None

    def __post_init__(self) -> None:
        fields = FIELDS.get(self.source)
        if fields is None:
            raise MeteringError(
                "source-unknown",
                f"来源“{self.source}”不存在，可用：{'、'.join(FIELDS)}",
                f"source {self.source!r} does not exist: use one of {', '.join(FIELDS)}",
            )
        self._refuse_unknown("--map", self.mapping, fields.mapped)
        self._refuse_unknown("--set", self.constants, fields.constant)
        if twice := sorted(self.mapping.keys() & self.constants.keys()):
            raise MeteringError(
                "field-given-twice",
                f"字段 {'、'.join(twice)} 同时用了 --map 与 --set，只留一个",
                f"{', '.join(twice)} has both --map and --set: keep one",
            )
        if self.timezone is not None:
            zone_of(self.timezone)
        if self.delimiter is not None:
            object.__setattr__(self, "delimiter", _delimiter(self.delimiter))
        if self.format is not None and not (self.format and all(name.strip() for name in self.format)):
            raise MeteringError(
                "format-malformed",
                "--format 应列出每一列的名称，以逗号分隔",
                "--format must name every column, separated by commas",
            )
        if fields.needs_step and (self.step_s is None or self.step_s <= 0):
            raise MeteringError(
                "step-missing",
                f"{self.source} 的每一行是一段时间内的数量，请用 --step 说明这段时间多长，例如 --step 60s",
                f"a {self.source} row is a level held for a while: say for how long, for example --step 60s",
            )

    def _refuse_unknown(self, flag: str, given: Mapping[str, str], known: frozenset[str]) -> None:
        if unknown := sorted(given.keys() - known):
            names = ", ".join(sorted(known)) or "-"
            raise MeteringError(
                "field-unknown",
                f"来源 {self.source} 的 {flag} 没有字段 {'、'.join(unknown)}，可用：{names}",
                f"{flag} of source {self.source} knows no field {', '.join(unknown)}: use {names}",
            )


def _delimiter(text: str) -> str:
    delimiter = _DELIMITER_NAMES.get(text, text)
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise MeteringError(
            "delimiter-malformed",
            f"分隔符“{text}”应为一个字符（可写 \\t 或 \\x1f）",
            f"delimiter {text!r} must be one character; \\t and \\x1f may be spelled",
        )
    return delimiter


def parse_step_s(text: str) -> int:
    r"""Seconds of a step such as `60s`, `5m`, `1h` or `60`.

    Raises:
        MeteringError: anything else.

    """
    match = _STEP.fullmatch(text)
    if match is None:
        raise MeteringError(
            "step-malformed", f"步长“{text}”应写作 60s、5m 或 1h", f"step {text!r} must look like 60s, 5m or 1h"
        )
    return int(match.group(1)) * _STEP_UNIT_S[match.group(2)]
