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
        if count and not 0 <= min(column) <= max(column) < len(entries):
            at = next(at for at, place in enumerate(column) if not 0 <= place < len(entries))
            raise _malformed(f"`{name}[{at}]` is {column[at]}, but `{table}` has {len(entries)} entries")
        if len(set(map(repr, entries))) != len(entries):
            raise _malformed(f"`{table}` has an entry twice")
        found[name] = np.array(column, dtype=np.int32)
    if bad_place := next((at for at in (*said.running, *said.extensions) if not 0 <= at < count), None):
        raise _malformed(f"place {bad_place} of `running` or `extensions` is beyond the last record")
    if taken := ATTRIBUTES.intersection(*[chain.from_iterable(said.extensions.values())]):
        raise _malformed(f"`{min(taken)}` is no extension attribute")
    return found


_COLUMNS = (
    "job", "attempt", "start_us", "end_us", "active_ms", "subject", "accelerator", "state", "voucher"
)  # fmt: skip


def _ordinary(said: UsageColumns, places: dict[str, NDArray[Any]], now_us: int) -> Compact | None:
    """Columns that are ordinary throughout (`metering.batch.in_order`); None for any other batch."""
    texts = (said.id, said.job, said.subjects, [said.source])
    words = (said.states, [word for word in said.vouchers if word is not None])
    if (
        not said.id
        or said.running
        or said.extensions
        or any(len(some) != 1 for some in said.accelerators)
        or not all(_fit(some, TEXT_MAX) for some in texts)
        or not all(_fit(some, _WORD_MAX) for some in words)
    ):
        return None
    try:
        numbers = [np.array(getattr(said, name), dtype=np.int64) for name in _NUMBERS]
    except OverflowError:
        return None
    attempts, starts, ends, active = numbers
    if attempts.min() < 0 or attempts.max() > ATTEMPT_MAX:
        return None
    parts: list[Part] = [(cards.model, cards.count_milli) for (cards,) in said.accelerators]
    counts = np.array([count for _, count in parts], dtype=np.int64)
    taken = {name: _take(entries, getattr(said, name)) for name, entries in (
        ("subject", said.subjects), ("state", said.states), ("voucher", [word or "" for word in said.vouchers]),
        ("accelerator", [model for model, _ in parts]),
    )}  # fmt: skip
    columns = Columns(
        said.id, taken["subject"], said.job, taken["state"], taken["voucher"], taken["accelerator"], attempts, starts, ends,
        active, counts[places["accelerator"]],
    )  # fmt: skip
    if not in_order(
        columns, chain(said.id, said.job, said.subjects, words[0], words[1], (m for m, _ in parts)), now_us
    ):
        return None
    vouchers = _take(said.vouchers, said.voucher) if any(said.vouchers) else []
    return compact(
        said.source,
        said.first_sequence + len(said.id) - 1,
        columns,
        _in_order_of_use(said.subjects, places["subject"]),
        _in_order_of_use(parts, places["accelerator"]),
        vouchers,
    )


_NUMBERS = ("attempt", "start_us", "end_us", "active_ms")


def _fit(texts: Sequence[str], longest: int) -> bool:
    lengths = list(map(len, texts))
    return not lengths or (min(lengths) > 0 and max(lengths) <= longest)


def _take(entries: Sequence[Any], places: Sequence[int]) -> list[Any]:
    return [entries[place] for place in places]


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
