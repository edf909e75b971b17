"""Whether what clients saw fits the order of the log: strict serializability without a search, for the log gives the order.

An operation covers places of the log: a write those of its entries, a read the size that it saw. One that ended before another
began must come first. Who asked and got no answer is told by reading: his entries are in the log or nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass
class Operation:
    """From `begun` to `ended` (None: no answer), in steps of one counter; places [low, high) of the log."""

    client: int
    begun: int
    ended: int | None = None
    low: int | None = None
    high: int = 0
    totals: dict[int, tuple[int, ...]] = field(default_factory=dict)


class History:
    """What clients did and saw."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self._steps = 0

    def step(self) -> int:
        self._steps += 1
        return self._steps

    def begin(self, client: int) -> Operation:
        operation = Operation(client, self.step())
        self.operations.append(operation)
        return operation

    def wrote(self, operation: Operation, new: Iterable[int], known: Iterable[int] = ()) -> None:
        """An answer named entries: those that are new since the question, and those that were known before."""
        new, operation.ended = list(new), self.step()
        operation.low = min(new, default=None)
        operation.high = max([*new, *known], default=-1) + 1

    def read(self, operation: Operation, size: int, totals: dict[int, tuple[int, ...]]) -> None:
        operation.ended, operation.low, operation.high = self.step(), size, size
        operation.totals = totals


def disorder(operations: Sequence[Operation]) -> list[str]:
    """Pairs of operations that the log shows in another order than they happened in."""
    ended = sorted((one for one in operations if one.ended is not None), key=lambda one: one.ended or 0)
    found, at, first = [], 0, None
    for later in sorted(operations, key=lambda one: one.begun):
        while at < len(ended) and (ended[at].ended or 0) < later.begun:
            if first is None or ended[at].high > first.high:
                first = ended[at]
            at += 1
        if first is not None and later.low is not None and later.low < first.high:
            found.append(f"{later} began after {first} had ended")
    return found
