"""What must still hold when an act is written: looked at within the transaction of the first write of the current task."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

from ledger.sql import Connection
from ledger.transaction import Transaction

T = TypeVar("T")


@dataclass(slots=True)
class Expectation:
    """Raises where something no longer is as whoever acts has seen it; once an act was written, it has changed by that."""

    check: Callable[[Connection], Awaitable[None]]
    met: bool = False

    def before(self, work: Callable[[Transaction], Awaitable[T]]) -> Callable[[Transaction], Awaitable[T]]:
        """Work that is done if what is expected holds in its own transaction."""

        async def run(tx: Transaction) -> T:
            if not self.met:
                await self.check(tx.connection)
            result = await work(tx)
            self.met = True
            return result

        return run


expecting: ContextVar[Expectation | None] = ContextVar("expecting", default=None)
"""None where nothing was shown before: agents, jobs, commands, the API."""
