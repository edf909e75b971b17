"""How the journal does what an act asks of it: looking first at what the act is about, or trying it out and taking it back.

Both happen in the act's own transaction: what was looked at cannot change before it is done, and what was tried out leaves
nothing, no row of the audit log either. What is tried out is the act itself, so that a preview cannot promise anything else.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from ledger.journal import T, Work
from ledger.sql import Connection, is_storage_fault
from ledger.transaction import Transaction

Look = Callable[[Transaction], Awaitable[None]]
LookBeside = Callable[[Connection], Awaitable[None]]


@dataclass(slots=True)
class Conduct:
    """What comes before an act, if anything, and whether the act is taken back; `beside` looks where an act writes no entry.

    It is looked once: what an act has written changes what is looked at. `looked` is set when that is on disk, for a commit that
    fails is done again.
    """

    look: Look | None = None
    rehearsal: bool = False
    looked: bool = False
    beside: LookBeside | None = None


class TriedError(Exception):
    """An act that was tried out; raised so that its transaction is taken back. Not an error to anybody outside."""

    def __init__(self, result: Any, fault: Exception | None) -> None:
        super().__init__()
        self.result, self.fault = result, fault


conduct: ContextVar[Conduct | None] = ContextVar("conduct", default=None)


@contextlib.contextmanager
def conducted(way: Conduct) -> Iterator[None]:
    """Everything that this task has the journal do until the end of the block is done this way."""
    mark = conduct.set(way)
    try:
        yield
    finally:
        conduct.reset(mark)


async def look_beside(conn: Connection) -> None:
    """Look first at what an act is about that writes beside the journal, in its own transaction.

    Raises:
        DomainError: it is not as it was shown.

    """
    way = conduct.get()
    if way is not None and way.beside is not None and not way.looked:
        await way.beside(conn)
        way.looked = True


def over(work: Work[T], way: Conduct) -> Work[T]:
    """Work done this way."""

    async def run(tx: Transaction) -> T:
        try:
            if way.look is not None and not way.looked:
                await way.look(tx)
            result = await work(tx)
        except Exception as fault:
            if way.rehearsal and not is_storage_fault(
                fault
            ):  # as it would be refused: the refusal is not remembered under the act's number, either
                raise TriedError(None, fault) from fault
            raise
        if way.rehearsal:
            raise TriedError(result, None)
        return result

    return run
