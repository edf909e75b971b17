"""Usage in columns on the wire: what a CloudEvents batch says, each member as one column, texts that repeat in tables.

One source, consecutive sequence numbers, instants as UTC epoch microseconds. `subject`, `accelerator`, `state` and `voucher`
are places in `subjects`, `accelerators`, `states` and `vouchers`. A record has the same identity, canonical bytes and fate
in either form; what is unusual about one is checked as the CloudEvents record that it stands for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from metering.batch import RECORDS_MAX, Batch, careful, check_count, decode_one, in_order
from metering.compact import Compact, Part, compact
from metering.errors import MeteringError
from metering.segment import Columns
from metering.wire import ATTEMPT_MAX, ATTRIBUTES, EVENT_TYPE, SEQUENCE_DIGITS_MAX, TEXT_MAX, Cards
from metering.zones import INSTANT_US_MAX, rfc3339

COLUMNS = "application/vnd.suanquan.usage-columns+json"
_WORD_MAX = 64
"""Longest state, voucher or model, in characters (`metering.wire`)."""
_TABLES = (("subject", "subjects"), ("accelerator", "accelerators"), ("state", "states"), ("voucher", "vouchers"))


class UsageColumns(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, gc=False):
    """A batch in columns. `running` are the places of checkpoints (`final: false`), `extensions` attributes by place."""

    source: str
    first_sequence: Annotated[int, Meta(ge=1, lt=10**SEQUENCE_DIGITS_MAX - RECORDS_MAX)]
    id: list[str]
    job: list[str]
    attempt: list[int]
    start_us: list[int]
    end_us: list[int]
    active_ms: list[int]
    subjects: list[str]
    subject: list[int]
    accelerators: list[list[Cards]]
    accelerator: list[int]
    states: list[str]
    state: list[int]
    vouchers: list[str | None] = []
    voucher: list[int] = []
    running: list[int] = []
    extensions: dict[int, dict[str, Any]] = {}


_DECODER = msgspec.json.Decoder(UsageColumns)


def read_columns(body: bytes, now_us: int) -> Batch | Compact:
    """Check a batch of at most 10,000 records in columns; compact where every record is ordinary.

    Raises:
        MeteringError: `columns-malformed` where the body is no such batch: columns of different length, a place outside
            its table, a table with one entry twice; `batch-too-large`.

    """
    try:
        said = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise _malformed(str(fault)) from None
    check_count(len(said.id))
    places = _places(said)
    return _ordinary(said, places, now_us) or careful(_one_by_one(said), now_us)


def _malformed(why: str) -> MeteringError:
    return MeteringError("columns-malformed", f"列式用量格式错误：{why}", f"malformed usage columns: {why}")


def _places(said: UsageColumns) -> dict[str, NDArray[Any]]:
    """The columns of places, each checked against its table."""
    count = len(said.id)
    if not said.voucher:
        said.vouchers, said.voucher = [None], [0] * count
    if bad := next((name for name in _COLUMNS if len(getattr(said, name)) != count), None):
        raise _malformed(f"`{bad}` has {len(getattr(said, bad))} entries and `id` has {count}")
    found = {}
    for name, table in _TABLES:
        entries, column = getattr(said, table), getattr(said, name)
        try:
            places = np.array(column, dtype=np.int32)
        except OverflowError:  # beyond any table; which one is told below
            places = np.full(1, -1, dtype=np.int32)
        if count and not (places.min() >= 0 and places.max() < len(entries)):
            at = next(at for at, place in enumerate(column) if not 0 <= place < len(entries))
            raise _malformed(f"`{name}[{at}]` is {column[at]}, but `{table}` has {len(entries)} entries")
        if len(entries) > 1 and len(set(map(repr, entries))) != len(entries):
            raise _malformed(f"`{table}` has an entry twice")
        found[name] = places
    if bad_place := next((at for at in (*said.running, *said.extensions) if not 0 <= at < count), None):
        raise _malformed(f"place {bad_place} of `running` or `extensions` is beyond the last record")
    if said.extensions and (taken := ATTRIBUTES.intersection(*[chain.from_iterable(said.extensions.values())])):
        raise _malformed(f"`{min(taken)}` is no extension attribute")
    return found


_COLUMNS = (
    "job", "attempt", "start_us", "end_us", "active_ms", "subject", "accelerator", "state", "voucher"
)  # fmt: skip


def _ordinary(said: UsageColumns, places: dict[str, NDArray[Any]], now_us: int) -> Compact | None:
    """Columns that are ordinary throughout (`metering.batch.in_order`); None for any other batch."""
    if not said.id or said.running or said.extensions or any(len(some) != 1 for some in said.accelerators):
        return None
    parts: list[Part] = [(cards.model, cards.count_milli) for (cards,) in said.accelerators]
    tables = said.subjects, said.states, [word or "" for word in said.vouchers], [model for model, _ in parts]
    lengths = _lengths(said, tables, places)
    try:
        attempts, starts, ends, active = (np.array(getattr(said, name), dtype=np.int64) for name in _NUMBERS)
    except OverflowError:
        return None
    if lengths is None or attempts.min() < 0 or attempts.max() > ATTEMPT_MAX:
        return None
    subjects, states, words, models = (
        _take(table, column)
        for table, column in zip(tables, (said.subject, said.state, said.voucher, said.accelerator), strict=True)
    )
    counts = np.array([count for _, count in parts], dtype=np.int64)[places["accelerator"]]
    columns = Columns(said.id, subjects, said.job, states, words, models, attempts, starts, ends, active, counts)
    text = "".join(chain(said.id, said.job, *tables))
    if not in_order(columns, text, now_us):
        return None
    return compact(
        said.source,
        said.first_sequence + len(said.id) - 1,
        columns,
        _in_order_of_use(said.subjects, places["subject"]),
        _in_order_of_use(parts, places["accelerator"]),
        _take(said.vouchers, said.voucher) if any(said.vouchers) else [],
        lengths if text.isascii() else None,
    )


_NUMBERS = ("attempt", "start_us", "end_us", "active_ms")


def _lengths(
    said: UsageColumns, tables: tuple[Sequence[str], ...], places: dict[str, NDArray[Any]]
) -> NDArray[Any] | None:
    """Characters of each text of each record, in the order of `Columns`; None where one is missing or too long."""
    words = [word for word in said.vouchers if word is not None]
    if not all(
        map(_fit, (said.subjects, [said.source], said.states, words), (TEXT_MAX, TEXT_MAX, _WORD_MAX, _WORD_MAX))
    ):
        return None
    found = np.empty((len(said.id), 6), dtype=np.int64)
    for at, texts in ((0, said.id), (2, said.job)):
        found[:, at] = np.fromiter(map(len, texts), np.int64, len(texts))
        if not 0 < found[:, at].min() <= found[:, at].max() <= TEXT_MAX:
            return None
    for at, table, name in zip((1, 3, 4, 5), tables, ("subject", "state", "voucher", "accelerator"), strict=True):
        found[:, at] = np.array([len(entry) for entry in table], dtype=np.int64)[places[name]]
    return found


def _fit(texts: Sequence[str], longest: int) -> bool:
    lengths = list(map(len, texts))
    return not lengths or (min(lengths) > 0 and max(lengths) <= longest)


def _take(entries: Sequence[Any], places: Sequence[int]) -> list[Any]:
    return [entries[place] for place in places] if len(entries) > 1 else list(entries) * len(places)


def _in_order_of_use(entries: Sequence[Any], places: NDArray[Any]) -> tuple[list[Any], NDArray[Any]]:
    """Table and places as reading one record after another would number them, without entries that nobody uses."""
    used, first, of = np.unique(places, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    rank = np.empty(len(order), dtype=np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return [entries[place] for place in used[order].tolist()], rank[of]


def _one_by_one(said: UsageColumns) -> Iterator[Any]:
    """Each record as the CloudEvents record that it stands for, checked as such."""
    running = set(said.running)
    for at, name in enumerate(said.id):
        end = _instant(said.end_us[at])
        event = {
            "specversion": "1.0",
            "type": EVENT_TYPE,
            "source": said.source,
            "id": name,
            "time": end,
            "subject": said.subjects[said.subject[at]],
            "sequence": f"{said.first_sequence + at:018d}",
            "data": {
                "job": said.job[at],
                "attempt": said.attempt[at],
                "start": _instant(said.start_us[at]),
                "end": end,
                "active_ms": said.active_ms[at],
                "accelerators": said.accelerators[said.accelerator[at]],
                "state": said.states[said.state[at]],
                "final": at not in running,
                "voucher": said.vouchers[said.voucher[at]],
            },
        }
        yield decode_one(at, msgspec.json.encode(event | said.extensions.get(at, {})))


def _instant(epoch_us: int) -> str:
    return rfc3339(epoch_us) if 0 <= epoch_us <= INSTANT_US_MAX else str(epoch_us)
