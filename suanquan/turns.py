"""Queues whose places go round: whoever has much waiting stands before nobody who has little.

Of each name one item is served in turn, and its own in the order they came; alone, a name is served as fast as there is room.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Turns(Generic[T]):
    """What waits, by the name it waits under."""

    def __init__(self) -> None:
        self._lines: dict[str, deque[T]] = {}  # in the order of their next turn
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, name: str, item: T) -> None:
        """Queue something behind what waits under the same name."""
        self._lines.setdefault(name, deque()).append(item)
        self._count += 1

    def take(self, most: int, weight: Callable[[T], int] | None = None, weight_max: int = 0) -> list[T]:
        """The next items by turn: at most so many, and no more once they weigh `weight_max` together."""
        taken: list[T] = []
        weighs = 0
        while self._count and len(taken) < most and (weight is None or weighs < weight_max):
            name = next(iter(self._lines))
            line = self._lines.pop(name)
            taken.append(line.popleft())
            weighs += weight(taken[-1]) if weight else 0
            self._count -= 1
            if line:
                self._lines[name] = line
        return taken


class Gate:
    """Lets a number in at once; the others wait for their turns."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._waiting: Turns[asyncio.Future[None]] = Turns()

    @contextlib.asynccontextmanager
    async def turn(self, name: str) -> AsyncIterator[None]:
        """Wait to be let in, and make room on leaving."""
        if self._free:
            self._free -= 1
        else:
            await self._wait(name)
        try:
            yield
        finally:
            self._leave()

    async def _wait(self, name: str) -> None:
        called: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(name, called)
        try:
            await called
        except asyncio.CancelledError:
            if not called.cancelled():  # called and given up in the same moment: the place is another's
                self._leave()
            raise

    def _leave(self) -> None:
        while found := self._waiting.take(1):
            if not found[0].done():
                found[0].set_result(None)
                return
        self._free += 1
