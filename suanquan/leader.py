"""One service of a database serves, others stand by: waiting for the lease, renewing it, and leaving once it is lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import structlog

from ledger.errors import DomainError, Kind
from suanquan.db.database import Database
from suanquan.db.lease import TTL_US, Lease, acquire, release, renew, this_process
from suanquan.errors import ServiceError

POLL_SECONDS = 1
"""How often a stand-by looks whether it can take over."""
log = structlog.get_logger("suanquan.leader")


async def stand_by(database: Database, stopping: asyncio.Event) -> Lease | None:
    """Wait for the lease, also through an outage of the database; None when asked to stop first."""
    said = False
    while not stopping.is_set():
        try:
            held = await acquire(database, this_process())
        except DomainError as error:
            log.warning("cannot take the lease", code=error.code)
        else:
            if held is not None:
                return held
            if not said:
                log.info("standing by: another process serves this database")
                said = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), POLL_SECONDS)
    return None


@contextlib.asynccontextmanager
async def holding(database: Database, held: Lease, lost: Callable[[], None]) -> AsyncIterator[None]:
    """Renew a lease while the block lasts, then release it; `lost` is called when another process has taken it.

    Raises:
        ServiceError: `writer-fenced` after the block, if it was lost.

    """
    renewing = asyncio.create_task(_renew(database, held, lost), name="lease")
    try:
        yield
    finally:
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)
    try:
        kept = await release(database, held)
    except DomainError:  # the database is away: the lease runs out by itself
        return
    if not kept:
        raise ServiceError(
            "writer-fenced", "写入权已移交另一进程", "another process has taken over writing", kind=Kind.UNAVAILABLE
        )


async def _renew(database: Database, held: Lease, lost: Callable[[], None]) -> None:
    """While the database is away nobody can take the lease either, and if somebody could, every commit would notice."""
    kept = True
    while kept:
        await asyncio.sleep(TTL_US / 3e6)
        try:
            kept = await renew(database, held)
        except DomainError as error:
            log.warning("cannot renew the lease", code=error.code)
    log.error("lease lost: another process has taken over")
    lost()
