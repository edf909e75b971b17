"""A reported batch: CloudEvents bytes in, checked columns and per-record faults out. Every good record goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any

import msgspec

from ledger.errors import Kind
from ledger.tree import hash_leaf, root_of
from metering.errors import MeteringError
from metering.instants import parse_instants
from metering.model import UsageRecord
from metering.segment import Columns, encode, encode_columns
from metering.wire import (
    ATTRIBUTES,
    EARLIEST_US,
    SEQUENCE_DIGITS_MAX,
    SKEW_US,
    TEXT_MAX,
    CloudEvent,
    Interval,
    extension_fault,
    interval_of,
    is_number,
    text_fault,
)

RECORDS_MAX = 10_000
BODY_BYTES_MAX = 8 * 1024 * 1024
CLOCK_US = 86_400_000_000
"""A closed record that ends further ahead than a clock can be wrong is refused."""
_BATCH: msgspec.json.Decoder[list[CloudEvent]] = msgspec.json.Decoder(list[CloudEvent])
_RAW: msgspec.json.Decoder[list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw])
_ONE: msgspec.json.Decoder[CloudEvent] = msgspec.json.Decoder(CloudEvent)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why one record of a batch was refused: a stable code and what is wrong, in words for the centre's operator.

    `source` and `sequence` are what can be read of them.
    """

    position: int
    id: str
    code: str
    detail: str
    raw: bytes = b""
    source: str = ""
    sequence: int = 0


Part = tuple[str, int]
"""Card model as the centre names it, and thousandths of a card: a plain tuple, for batches travel between processes."""


@dataclass(slots=True)
class Batch:
    """Good closed records as parallel columns, in the order received; `position` is the place in the batch.

    `running` are checkpoints: position and canonical bytes.
    """

    source: str = ""
    count: int = 0
    last_sequence: int = 0
    position: list[int] = field(default_factory=list)
    id: list[str] = field(default_factory=list)
    account: list[str] = field(default_factory=list)
    start_us: list[int] = field(default_factory=list)
    end_us: list[int] = field(default_factory=list)
    active_ms: list[int] = field(default_factory=list)
    accelerators: list[tuple[Part, ...]] = field(default_factory=list)
    voucher: list[str | None] = field(default_factory=list)
    leaf: list[bytes] = field(default_factory=list)
    digest: list[bytes] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    running: list[tuple[int, bytes]] = field(default_factory=list)
    root: bytes = b""

    def root_over(self, chosen: Sequence[int]) -> bytes:
        """Merkle root over the records at these column indices; known from decoding when they are all of the batch."""
        if self.root and len(chosen) == len(self.digest):
            return self.root
        return root_of([self.digest[index] for index in chosen])


def batch_of(records: Sequence[UsageRecord]) -> Batch:
    """Records as columns, to be rated; whether they are closed makes no difference there."""
    return Batch(
        count=len(records),
        position=list(range(len(records))),
        id=[record.id for record in records],
        account=[record.account for record in records],
        start_us=[record.start_us for record in records],
        end_us=[record.end_us for record in records],
        active_ms=[record.active_ms for record in records],
        accelerators=[tuple((part.model, part.count_milli) for part in record.accelerators) for record in records],
        voucher=[record.voucher for record in records],
    )


def decode_cloudevents(body: bytes, now_us: int) -> Batch:
    """Check a CloudEvents batch of at most 10,000 records.

    Raises:
        MeteringError: the body as a whole cannot be read (no JSON, not an array, too many records, no source).

    """
    items = _decode_all(body)
    if not isinstance(items, list):
        batch = _columns(items, now_us)
    else:
        batch = _ordinary(items, now_us) or _columns(_numbered(items), now_us)
    if not batch.source:
        raise MeteringError(
            "source-missing", "没有一条记录写明 source", "no record names its source, so that nobody can be answered"
        )
    return batch


Item = tuple[int, CloudEvent, str, bytes]
"""Position, event, extension attributes as canonical JSON, the record as received (empty on the fast path)."""


def _decode_all(body: bytes) -> list[CloudEvent] | Iterator[Item | Fault]:
    try:
        events = _BATCH.decode(body)
    except msgspec.ValidationError:
        return _decode_each(_guarded(_RAW.decode, body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _unreadable() from None
    _check_count(len(events))
    return events


def _numbered(events: list[CloudEvent]) -> Iterator[Item]:
    return ((position, event, "", b"") for position, event in enumerate(events))


def _ordinary(events: list[CloudEvent], now_us: int) -> Batch | None:
    """Columns of a batch in which every record is good, one card model and ASCII throughout; None for any other batch.

    The checks are those of `_append`, over whole columns: 6 µs a record instead of 13 (docs/decisions/0005). A property
    test holds the two ways to the same result.
    """
    data = [event.data for event in events]
    end_texts, times = [d.end for d in data], [event.time for event in events]
    try:
        starts, ends = parse_instants([d.start for d in data]), parse_instants(end_texts)
        if times != end_texts:  # a source's time is mostly the end of its interval
            parse_instants(times)
    except (ValueError, OverflowError):
        return None
    active = [d.active_s * 1000 for d in data if d.active_s is not None]
    accelerators = [d.accelerators for d in data]
    sources = {event.source for event in events}
    if (
        len(sources) != 1
        or len(active) != len(data)
        or any(d.active_ms is not None for d in data)
        or not all(d.final for d in data)
        or set(map(len, accelerators)) != {1}
        or max(ends) > now_us + CLOCK_US
        or min(starts) < EARLIEST_US
        or any(1000 * a > e - s for a, s, e in zip(active, starts, ends, strict=True))
    ):
        return None
    ids, accounts = [event.id for event in events], [event.subject for event in events]
    jobs, states = [d.job for d in data], [d.state for d in data]
    vouchers = [d.voucher for d in data]
    parts = [(card.model, card.count_milli) for (card,) in accelerators]
    models = [model for model, _ in parts]
    sequences = [event.sequence for event in events]
    everything = "".join(chain(ids, accounts, jobs, states, models, filter(None, vouchers)))
    digits = "".join(sequences)
    if not (everything.isascii() and everything.isprintable() and is_number(digits)):
        return None
    named = [voucher or "" for voucher in vouchers]
    attempts, counts = [d.attempt for d in data], [count for _, count in parts]
    leaves = encode_columns(Columns(ids, accounts, jobs, states, named, models, attempts, starts, ends, active, counts))
    digests = [hash_leaf(leaf) for leaf in leaves]
    return Batch(
        sources.pop(), len(events), max(map(int, sequences)), list(range(len(events))), ids, accounts, starts, ends,
        active, [(part,) for part in parts], vouchers, leaves, digests, root=root_of(digests),
    )  # fmt: skip


def _decode_each(raws: list[msgspec.Raw]) -> Iterator[Item | Fault]:
    """The careful way, taken when any record is unusual: one at a time, so that good ones go on."""
    _check_count(len(raws))
    return (_decode_one(position, bytes(raw)) for position, raw in enumerate(raws))


def _decode_one(position: int, raw: bytes) -> Item | Fault:
    try:
        return position, _ONE.decode(raw), "", raw
    except msgspec.ValidationError as fault:
        message = str(fault)
    except (msgspec.DecodeError, UnicodeDecodeError):  # the first look, for whole records, does not read their texts
        raise _unreadable() from None
    members = _guarded(msgspec.json.decode, raw)
    if not isinstance(members, dict):
        return Fault(
            position, "", "not-an-event", "记录应为 CloudEvents 对象 / a record must be a CloudEvents object", raw
        )
    refused = partial(_refused, position, raw, dict(members))
    extensions = {key: members.pop(key) for key in list(members) if key not in ATTRIBUTES}
    if not extensions:
        return refused(_code_of(message), message)
    wrong = extension_fault(extensions)
    if wrong:
        return refused("extension-invalid", wrong)
    try:
        event = msgspec.convert(members, CloudEvent)
    except msgspec.ValidationError as fault:
        return refused(_code_of(str(fault)), str(fault))
    return position, event, msgspec.json.encode(extensions, order="sorted").decode(), raw


def _refused(position: int, raw: bytes, members: Mapping[str, Any], code: str, detail: str) -> Fault:
    """A fault that says who sent the event and which it was, so that its agent is answered and can go on."""
    name, source, sequence = (
        text if isinstance(text := members.get(member), str) else "" for member in ("id", "source", "sequence")
    )
    number = int(sequence) if len(sequence) <= SEQUENCE_DIGITS_MAX and is_number(sequence) else 0
    return Fault(position, name, code, detail, raw, source if len(source) <= TEXT_MAX else "", number)


_CODES = (
    ("unknown field", "member-unknown"),
    ("missing required field", "member-missing"),
    ("count_milli", "count-invalid"),
    ("active_", "active-invalid"),
    ("$.type", "type-unsupported"),
    ("$.specversion", "type-unsupported"),
)


def _code_of(message: str) -> str:
    return next((code for part, code in _CODES if part in message), "member-invalid")


def _guarded(decode: Callable[[bytes], Any], body: bytes) -> Any:
    try:
        return decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _unreadable() from None


def _unreadable() -> MeteringError:
    return MeteringError(
        "body-unreadable",
        "请求体不是 CloudEvents JSON 数组（UTF-8，数值有限，嵌套不深）",
        "the body is not a JSON array of CloudEvents (UTF-8, finite numbers, shallow nesting)",
    )


def _check_count(count: int) -> None:
    if count > RECORDS_MAX:
        raise MeteringError(
            "batch-too-large",
            f"一批最多 {RECORDS_MAX} 条，本批 {count} 条",
            f"a batch holds at most {RECORDS_MAX} records, this one has {count}",
            kind=Kind.INVALID,
        )


def _columns(items: Iterator[Item | Fault], now_us: int) -> Batch:
    batch = Batch()
    latest = now_us + SKEW_US, now_us + CLOCK_US
    for item in items:
        batch.count += 1
        if isinstance(item, Fault):
            batch.faults.append(item)
            batch.source = batch.source or item.source
            batch.last_sequence = max(batch.last_sequence, item.sequence)
            continue
        position, event, extensions, raw = item
        if event.source != batch.source:
            if batch.source:
                batch.faults.append(Fault(position, event.id, "source-mixed", _MIXED, raw))
                continue
            batch.source = event.source
        fault = _append(batch, position, event, extensions, latest)
        if fault:
            batch.faults.append(Fault(position, event.id, *fault, raw or msgspec.json.encode(event)))
    return batch


_MIXED = "一批只能来自一个 source / all records of a batch have one source"


def _append(
    batch: Batch, position: int, event: CloudEvent, extensions: str, latest_us: tuple[int, int]
) -> tuple[str, str] | None:
    """Check one event and add it to the columns; code and detail when it is refused.

    `latest_us` is when a checkpoint and when a closed record may end at the latest: the latter waits for a person if its
    agent's clock runs ahead by hours.
    """
    data = event.data
    if not is_number(event.sequence):
        return "sequence-invalid", "sequence 须为 1 至 18 位数字 / sequence must be 1 to 18 digits"
    batch.last_sequence = max(batch.last_sequence, int(event.sequence))
    checked = interval_of(event, latest_us[data.final])
    if not isinstance(checked, Interval):
        return checked
    if fault := text_fault(event):
        return fault
    start_us, end_us, active_ms = checked
    leaf = encode(
        event.id, event.subject, data.job, data.attempt, start_us, end_us, active_ms, data.accelerators, data.state,
        data.final, data.voucher, extensions,
    )  # fmt: skip
    if not data.final:
        batch.running.append((position, leaf))
        return None
    batch.position.append(position)
    batch.id.append(event.id)
    batch.account.append(event.subject)
    batch.start_us.append(start_us)
    batch.end_us.append(end_us)
    batch.active_ms.append(active_ms)
    batch.accelerators.append(tuple((part.model, part.count_milli) for part in data.accelerators))
    batch.voucher.append(data.voucher)
    batch.leaf.append(leaf)
    batch.digest.append(hash_leaf(leaf))
    return None
