"""What runs by the clock. APScheduler only triggers; what is due is read from our own tables."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from ledger.errors import DomainError
from ledger.transaction import Transaction
from metering.store import forget_nonces
from suanquan.service import Service

EVERY_SECONDS = 30
log = structlog.get_logger("suanquan.jobs")


@contextlib.asynccontextmanager
async def running_jobs(service: Service) -> AsyncIterator[None]:
    """Run the jobs of a service while the block lasts."""
    scheduler = AsyncIOScheduler(timezone="UTC")
    scheduler.add_job(
        tidy, "interval", args=[service], seconds=EVERY_SECONDS, id="tidy", coalesce=True, max_instances=1
    )
    scheduler.start()
    try:
        yield
    finally:
        scheduler.shutdown(wait=False)


async def tidy(service: Service) -> None:
    """Log due expiries of holds, which any turn of the writer does first, and drop nonces past their use."""

    async def forget(tx: Transaction) -> None:
        await forget_nonces(tx.connection, service.now_us)

    try:
        await service.journal.transact(forget)
    except DomainError as error:
        log.warning("tidy failed", code=error.code)
