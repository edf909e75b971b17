"""A reported batch: CloudEvents bytes in, checked columns and per-record faults out. Every good record goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any

import msgspec
import numpy as np

from ledger.errors import Kind
from ledger.tree import hash_leaf, root_of
from metering.compact import Compact, Part, compact, numbered
from metering.errors import MeteringError
from metering.instants import parse_instants
from metering.model import UsageRecord
from metering.segment import Columns, encode, unpack
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


def expand(found: Compact) -> Batch:
    """The same batch record by record."""
    leaves = list(unpack(found.segment))
    return Batch(
        found.source, found.count, found.last_sequence, list(range(found.count)), found.id_list(),
        [found.accounts[at] for at in found.account.tolist()], found.start_us.tolist(), found.end_us.tolist(),
        found.active_ms.tolist(), [(found.cards[at],) for at in found.card.tolist()],
        list(found.vouchers) or [None] * found.count, leaves, [hash_leaf(leaf) for leaf in leaves], root=found.root,
    )  # fmt: skip


def decode_cloudevents(body: bytes, now_us: int) -> Batch:
    """`read_cloudevents`, record by record."""
    found = read_cloudevents(body, now_us)
    return expand(found) if isinstance(found, Compact) else found


def read_cloudevents(body: bytes, now_us: int) -> Batch | Compact:
    """Check a CloudEvents batch of at most 10,000 records; compact where every record is ordinary.

    Raises:
        MeteringError: the body as a whole cannot be read (no JSON, not an array, too many records, no source).

    """
    items = _decode_all(body)
    if isinstance(items, list):
        ordinary = _ordinary(items, now_us)
        if ordinary is not None:
            return ordinary
        items = _numbered(items)
    return careful(items, now_us)


def careful(items: Iterator[Item | Fault], now_us: int) -> Batch:
    """Check records one at a time: what is wrong with one is told of it alone.

    Raises:
        MeteringError: `source-missing`.

    """
    batch = _columns(items, now_us)
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
    check_count(len(events))
    return events


def _numbered(events: list[CloudEvent]) -> Iterator[Item]:
    return ((position, event, "", b"") for position, event in enumerate(events))


def _ordinary(events: list[CloudEvent], now_us: int) -> Compact | None:
    """Columns of a batch in which every record is good and of one card model; None for any other batch.

    The checks are those of `_append`, over whole columns (docs/decisions/0005). A property test holds the two ways to the
    same result.
    """
    data = [event.data for event in events]
    end_texts, times = [d.end for d in data], [event.time for event in events]
    try:
        starts, ends = parse_instants([d.start for d in data]), parse_instants(end_texts)
        if times != end_texts:  # a source's time is mostly the end of its interval
            parse_instants(times)
    except (ValueError, OverflowError):
        return None
    accelerators = [d.accelerators for d in data]
    sources = {event.source for event in events}
    seconds, exact = [d.active_s for d in data], [d.active_ms for d in data]
    if len(sources) != 1 or set(map(len, accelerators)) != {1} or not all(d.final for d in data):
        return None
    if None in seconds or exact.count(None) != len(exact):
        return None
    active = [1000 * s for s in seconds if s is not None]
    names, accounts, vouchers = [e.id for e in events], [e.subject for e in events], [d.voucher for d in data]
    cards, card = numbered([(part.model, part.count_milli) for (part,) in accelerators])
    columns = Columns(
        names, accounts, [d.job for d in data], [d.state for d in data], [voucher or "" for voucher in vouchers],
        [part.model for (part,) in accelerators], [d.attempt for d in data], np.array(starts), np.array(ends),
        np.array(active), [part.count_milli for (part,) in accelerators],
    )  # fmt: skip
    sequences = [event.sequence for event in events]
    if not is_number("".join(sequences)) or not in_order(columns, "".join(chain(*columns[:6])), now_us):
        return None
    return compact(sources.pop(), max(map(int, sequences)), columns, numbered(accounts), (cards, card), vouchers)


def in_order(columns: Columns, text: str, now_us: int) -> bool:
    """Whether times and texts (all of them, joined) of every record of a batch are as `_append` wants them."""
    starts, ends = np.asarray(columns.start_us), np.asarray(columns.end_us)
    return bool(
        ends.max() <= now_us + CLOCK_US
        and starts.min() >= EARLIEST_US
        and (ends >= starts).all()
        and (np.asarray(columns.active_ms) <= (ends - starts) // 1000).all()
        and _is_printable(text)
    )


def _is_printable(text: str) -> bool:
    """`str.isprintable`, at a fiftieth of its time where all of a long text is ASCII, as most are."""
    if len(text) < _LONG or not text.isascii():
        return text.isprintable()
    found = np.frombuffer(text.encode(), dtype=np.uint8)
    return bool(found.min() >= ord(" ") and found.max() <= ord("~"))


_LONG = 4_096


def _decode_each(raws: list[msgspec.Raw]) -> Iterator[Item | Fault]:
    """The careful way, taken when any record is unusual: one at a time, so that good ones go on."""
    check_count(len(raws))
    return (decode_one(position, bytes(raw)) for position, raw in enumerate(raws))


def decode_one(position: int, raw: bytes) -> Item | Fault:
    """One record by itself: what it says, or why it is refused."""
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


def check_count(count: int) -> None:
    """Refuse a batch of too many records: MeteringError `batch-too-large`."""
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
