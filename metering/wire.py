"""The usage record on the wire: the CloudEvents 1.0 members of one interval, and what is checked of them.

The service checks batches of them (`metering.batch`), the agent's source `cloudevents` reads files of them; both by the
same rules, and the agent without the libraries of the service.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta

from metering.instants import parse_instant
from metering.model import Accelerator, UsageRecord

EVENT_TYPE = "cn.suanquan.usage.interval.v1"
TEXT_MAX = 255
"""Longest id, account, job, state, voucher or model, in characters."""
SKEW_US = 300_000_000
"""How far beyond our clock a record may end: five minutes of clock skew."""
EXTENSIONS_MAX = 16
EARLIEST_US = 946_684_800_000_000
"""2000-01-01: nothing older was ever metered."""
ATTEMPT_MAX = 2**53
SEQUENCE_DIGITS_MAX = 18
ACTIVE_MS_MAX = 2**44
"""Over 500 years: keeps GPU-milliseconds of any card count inside int64."""

Text = Annotated[str, Meta(min_length=1, max_length=TEXT_MAX)]
Count = Annotated[int, Meta(ge=1, le=100_000_000)]
Milliseconds = Annotated[int, Meta(ge=0, le=ACTIVE_MS_MAX)]


class Cards(msgspec.Struct, forbid_unknown_fields=True, frozen=True, gc=False):
    """Cards of one model on the wire."""

    model: Annotated[str, Meta(min_length=1, max_length=64)]
    count_milli: Count


class Data(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, gc=False):
    """The interval a record reports. `active_ms` stands for `active_s` where time is not whole seconds."""

    job: Text
    attempt: Annotated[int, Meta(ge=0, le=ATTEMPT_MAX)]
    start: str
    end: str
    accelerators: Annotated[list[Cards], Meta(min_length=1, max_length=16)]
    state: Annotated[str, Meta(min_length=1, max_length=64)]
    final: bool
    active_s: Milliseconds | None = None
    active_ms: Milliseconds | None = None
    voucher: Annotated[str, Meta(min_length=1, max_length=64)] | None = None


class CloudEvent(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, gc=False):
    """CloudEvents 1.0 envelope without extension attributes."""

    specversion: Literal["1.0"]
    type: Literal["cn.suanquan.usage.interval.v1"]
    source: Text
    id: Text
    time: str
    subject: Text
    sequence: Annotated[str, Meta(min_length=1, max_length=SEQUENCE_DIGITS_MAX)]
    data: Data
    datacontenttype: Literal["application/json"] = "application/json"


ATTRIBUTES = frozenset(CloudEvent.__struct_fields__)
_EXTENSION = re.compile(r"[a-z0-9]{1,20}")


class Interval(NamedTuple):
    """What a record's times come to: UTC epoch microseconds, and the charged milliseconds within."""

    start_us: int
    end_us: int
    active_ms: int


def interval_of(event: CloudEvent, latest_us: int) -> Interval | tuple[str, str]:
    """Check the times of a record that may end at `latest_us` at the latest; code and detail where they are refused."""
    data = event.data
    try:
        start_us, end_us, _ = parse_instant(data.start), parse_instant(data.end), parse_instant(event.time)
    except (ValueError, OverflowError):
        return "time-invalid", "时间须为带时区的 RFC 3339 / instants must be RFC 3339 with an offset"
    active_ms = data.active_ms if data.active_s is None else data.active_s * 1000
    if active_ms is None or (data.active_s is not None and data.active_ms is not None):
        return "active-invalid", "active_s 与 active_ms 须且只须给出一个 / give exactly one of active_s and active_ms"
    span_us = end_us - start_us
    if start_us < EARLIEST_US:
        return "time-invalid", "开始早于 2000 年 / the interval starts before 2000"
    if span_us < 0:
        return "end-before-start", "结束早于开始 / the interval ends before it starts"
    if active_ms * 1000 > span_us:
        return "active-exceeds-interval", "计费时长超过区间 / the active time is longer than the interval"
    if end_us > latest_us:
        return "in-the-future", "区间尚未结束，请检查时钟 / the interval has not ended yet; check the clock"
    return Interval(start_us, end_us, active_ms)


def record_of(event: CloudEvent, times: Interval) -> UsageRecord:
    """The record of an event whose times were checked."""
    data = event.data
    cards = tuple(Accelerator(part.model, part.count_milli) for part in data.accelerators)
    return UsageRecord(
        event.id, event.subject, data.job, data.attempt, times.start_us, times.end_us, times.active_ms, cards, data.state,
        data.final, data.voucher,
    )  # fmt: skip


def text_fault(event: CloudEvent) -> tuple[str, str] | None:
    """Code and detail where a text of a record has control characters."""
    data = event.data
    texts = event.id + event.subject + data.job + data.state + (data.voucher or "")
    if not texts.isprintable() or not all(part.model.isprintable() for part in data.accelerators):
        return "text-invalid", "文字中有控制字符 / control characters in a text member"
    return None


def is_number(sequence: str) -> bool:
    """Whether a sequence is plain digits."""
    return sequence.isascii() and sequence.isdigit()


def extension_fault(extensions: Mapping[str, Any]) -> str:
    """CloudEvents extension attributes: lower-case letters and digits, scalar values, few and short."""
    if len(extensions) > EXTENSIONS_MAX:
        return f"扩展属性超过 {EXTENSIONS_MAX} 个 / more than {EXTENSIONS_MAX} extension attributes"
    for name, value in extensions.items():
        if not _EXTENSION.fullmatch(name):
            return f"扩展属性名“{name[:40]}”不合规 / extension attribute name {name[:40]!r} is not [a-z0-9]{{1,20}}"
        if not isinstance(value, str | int | bool) or len(str(value)) > TEXT_MAX:
            return (
                f"扩展属性“{name}”的值不合规 / extension attribute {name!r} must be a short string, integer or boolean"
            )
    return ""
