"""What runs by the clock. APScheduler only triggers; what is due is read from our own tables."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from ledger.errors import DomainError, Kind
from ledger.transaction import Transaction
from metering.store import forget_nonces
from suanquan.service import Service
from suanquan.use_cases.witnessing import Witnessing

EVERY_SECONDS = 30
jobs_log = structlog.get_logger("suanquan.jobs")


@contextlib.asynccontextmanager
async def running_jobs(service: Service) -> AsyncIterator[None]:
    """Run the jobs of a service while the block lasts."""
    scheduler = AsyncIOScheduler(timezone="UTC")
    scheduler.add_job(
        tidy, "interval", args=[service], seconds=EVERY_SECONDS, id="tidy", coalesce=True, max_instances=1
    )
    every = {"coalesce": True, "max_instances": 1, "seconds": service.settings.checkpoint_ms / 1000}
    scheduler.add_job(sign_log, "interval", args=[service], id="sign-log", **every)
    if service.settings.witnesses:
        scheduler.add_job(Witnessing(service.log).round, "interval", id="witnesses", **every)
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
        jobs_log.warning("tidy failed", code=error.code)


async def sign_log(service: Service) -> None:
    """Sign the head of the log if it has grown; a database that was put back meanwhile is not written to any more."""
    try:
        await service.log.sign()
    except DomainError as error:
        jobs_log.error("log not signed", code=error.code, cause=error.en)
        if error.kind is Kind.PROOF:
            service.journal.guard = service.check_history
