"""Usage records as CloudEvents 1.0: what the agent spools and sends, byte for byte the same on every try.

An event is encoded once, without its number; the number is the spool's row and is written last, when a batch is built.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

import msgspec

from metering.model import Accelerator, UsageRecord

CONTENT_TYPE = "application/cloudevents-batch+json"
EVENT_TYPE = "cn.suanquan.usage.interval.v1"

_NUMBER = b',"sequence":"%018d"}'


class _Data(msgspec.Struct, frozen=True, gc=False):
    job: str
    attempt: int
    start: dt.datetime
    end: dt.datetime
    active_s: int | msgspec.UnsetType
    active_ms: int | msgspec.UnsetType
    accelerators: tuple[Accelerator, ...]
    state: str
    final: bool
    voucher: str | None


class _Event(msgspec.Struct, frozen=True, gc=False):
    specversion: str
    type: str
    source: str
    id: str
    time: dt.datetime
    subject: str
    datacontenttype: str
    data: _Data


_encode = msgspec.json.Encoder().encode


def encode_event(record: UsageRecord, source: str) -> bytes:
    """Encode one record as a CloudEvent of this source, yet without its number; `time` is the end of the interval."""
    end = _instant(record.end_us)
    seconds, rest_ms = divmod(record.active_ms, 1000)
    data = _Data(
        record.job,
        record.attempt,
        _instant(record.start_us),
        end,
        msgspec.UNSET if rest_ms else seconds,
        record.active_ms if rest_ms else msgspec.UNSET,
        record.accelerators,
        record.state,
        record.final,
        record.voucher,
    )
    return _encode(_Event("1.0", EVENT_TYPE, source, record.id, end, record.account, "application/json", data))


def number_event(event: bytes, sequence: int) -> bytes:
    """Add the event's number (CloudEvents `sequence`): 18 digits, strictly increasing per source."""
    return event[:-1] + _NUMBER % sequence


def batch_body(numbered_events: Iterable[bytes]) -> bytes:
    """Join numbered events to the body of a report, a JSON array."""
    return b"[" + b",".join(numbered_events) + b"]"


def batch_events(body: bytes) -> list[msgspec.Raw]:
    """Split a body into its numbered events, each as the bytes it was joined from."""
    return msgspec.json.decode(body, type=list[msgspec.Raw])


def _instant(epoch_us: int) -> dt.datetime:
    seconds, rest_us = divmod(epoch_us, 1_000_000)
    instant = dt.datetime.fromtimestamp(seconds, dt.UTC)
    return instant.replace(microsecond=rest_us) if rest_us else instant
