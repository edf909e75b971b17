"""A batch without anything unusual, as columns that travel between processes and are rated without a look at each record.

Every record is good, closed and of one card model; texts that repeat stand once. Whatever else may be asked of single
records is asked of the batch that `metering.batch.expand` makes of it, the same that the careful way would have read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from operator import lt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ledger.tree import hash_leaves, root_of
from metering import segment

Column = NDArray[Any]
Part = tuple[str, int]
"""Card model as the centre names it, and thousandths of a card: a plain tuple, for batches travel between processes."""
_SEPARATOR = "\n"
"""No id has a control character."""


@dataclass(frozen=True, slots=True)
class Compact:
    """Columns of a batch in the order received.

    `account` and `card` are places in `accounts` and `cards`, which hold no text twice; `vouchers` is empty when no record
    names one. `ascends` says that each id is above the one before.
    """

    source: str
    last_sequence: int
    ids: str
    accounts: tuple[str, ...]
    account: Column
    cards: tuple[Part, ...]
    card: Column
    start_us: Column
    end_us: Column
    active_ms: Column
    vouchers: tuple[str | None, ...]
    segment: bytes
    root: bytes
    ascends: bool

    @property
    def count(self) -> int:
        """Number of records."""
        return len(self.account)

    def id_list(self) -> list[str]:
        """Every id, in order."""
        return self.ids.split(_SEPARATOR)


def compact(
    source: str,
    last_sequence: int,
    columns: segment.Columns,
    accounts: tuple[Sequence[str], Column],
    cards: tuple[Sequence[Part], Column],
    vouchers: Sequence[str | None],
    lengths: Column | None = None,
) -> Compact:
    """Columns whose records were all checked; `accounts` and `cards` are distinct values and the place of each record's.

    `lengths`: see `segment.encode_columns`.
    """
    leaves = segment.encode_columns(columns, lengths)
    ids = columns.id
    return Compact(
        source,
        last_sequence,
        _SEPARATOR.join(ids),
        tuple(accounts[0]),
        accounts[1],
        tuple(cards[0]),
        cards[1],
        _int64(columns.start_us),
        _int64(columns.end_us),
        _int64(columns.active_ms),
        tuple(vouchers) if any(vouchers) else (),
        segment.pack(leaves),
        root_of(hash_leaves(leaves)),
        all(map(lt, ids, islice(ids, 1, None))),
    )


def numbered(values: Sequence[Any]) -> tuple[list[Any], Column]:
    """Distinct values in the order they first appear, and the place of each value among them."""
    numbers = {value: number for number, value in enumerate(dict.fromkeys(values))}
    return list(numbers), np.array([numbers[value] for value in values], dtype=np.int32)


def _int64(values: Sequence[int] | Column) -> Column:
    return np.asarray(values, dtype=np.int64)
