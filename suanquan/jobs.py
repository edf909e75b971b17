"""What runs by the clock. APScheduler only triggers; what is due is read from our own tables."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import functools
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from ledger.errors import DomainError, Kind
from ledger.standing import Fault
from ledger.transaction import Transaction
from metering.store import forget_nonces
from suanquan.checks import run_checks
from suanquan.clock import SandboxClock
from suanquan.service import Service
from suanquan.use_cases import retention
from suanquan.use_cases.alerts import give_alerts
from suanquan.use_cases.audit_heads import heads_of
from suanquan.use_cases.audit_witnessing import AuditWitnessing
from suanquan.use_cases.expiry import TOGETHER, any_over, close_expired
from suanquan.use_cases.issue_approved import take_up
from suanquan.use_cases.reclaim import reclaim_idle
from suanquan.use_cases.reminders import remind
from suanquan.use_cases.send_notices import send_due
from suanquan.use_cases.witnessing import Witnessing

EVERY_SECONDS = 30
CLOSE_SECONDS = 300
AUDIT_SECONDS = 10
NOTICES_SECONDS = 3
FINDINGS_SECONDS = 3600
RECLAIM_SECONDS = 3600
RETENTION_SECONDS = 3600
RECOMPUTE_HOUR_UTC = 19
"""03:00 in Shanghai."""
EXIT_PROOF = 8
FOLLOW, FOLLOW_SECONDS = "follow-clock", 0.5
"""The job that looks whether a sandbox's clock was set forwards."""
FINISH_SECONDS = 5
"""How long a stop waits for jobs under way; a recomputation is ended at once."""
jobs_log = structlog.get_logger("suanquan.jobs")


@contextlib.asynccontextmanager
async def running_jobs(service: Service) -> AsyncIterator[None]:
    """Run the jobs of a service while the block lasts."""
    scheduler = AsyncIOScheduler(timezone="UTC")
    under_way: set[asyncio.Task[None]] = set()

    def noted(job: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        @functools.wraps(job)
        async def run(*arguments: Any) -> None:
            task = asyncio.current_task()
            assert task is not None
            under_way.add(task)
            try:
                await job(*arguments)
            finally:
                under_way.discard(task)

        return run

    _add_jobs(scheduler, service, noted)
    scheduler.start()
    try:
        yield
    finally:
        scheduler.pause()
        if under_way:  # a statement that is cut off leaves a broken connection and a traceback behind
            await asyncio.wait(under_way, timeout=FINISH_SECONDS)
        scheduler.shutdown(wait=False)


def _add_jobs(scheduler: AsyncIOScheduler, service: Service, noted: Callable[..., Any]) -> None:
    """Every job with how often it runs; `noted` ones are waited for by a stop."""
    scheduler.add_job(
        noted(tidy), "interval", args=[service], seconds=EVERY_SECONDS, id="tidy", coalesce=True, max_instances=1
    )
    scheduler.add_job(
        noted(close_vouchers), "interval", args=[service], seconds=CLOSE_SECONDS, id="close-vouchers", coalesce=True,
        max_instances=1,
    )  # fmt: skip
    if service.ring.can_sign:
        scheduler.add_job(
            noted(issue_due), "interval", args=[service], seconds=EVERY_SECONDS, id="issue-approved", coalesce=True,
            max_instances=1, next_run_time=dt.datetime.now(dt.UTC), misfire_grace_time=None,
        )  # fmt: skip
    scheduler.add_job(
        noted(take_back_idle), "interval", args=[service], seconds=RECLAIM_SECONDS, id="reclaim-idle", coalesce=True,
        max_instances=1,
    )  # fmt: skip
    scheduler.add_job(
        noted(alert), "interval", args=[service], seconds=CLOSE_SECONDS, id="alerts", coalesce=True, max_instances=1
    )
    scheduler.add_job(
        noted(send_notices), "interval", args=[service], seconds=NOTICES_SECONDS, id="notices", coalesce=True,
        max_instances=1,
    )  # fmt: skip
    scheduler.add_job(
        noted(watch), "interval", args=[service], seconds=EVERY_SECONDS, id="watch", coalesce=True, max_instances=1,
        next_run_time=dt.datetime.now(dt.UTC), misfire_grace_time=None,
    )  # fmt: skip
    scheduler.add_job(
        recompute, "cron", args=[service], hour=RECOMPUTE_HOUR_UTC, id="recompute", coalesce=True, max_instances=1,
        misfire_grace_time=None,
    )  # fmt: skip
    scheduler.add_job(
        look_for_findings, "interval", args=[service], seconds=FINDINGS_SECONDS, id="findings", coalesce=True,
        max_instances=1, misfire_grace_time=None,
    )  # fmt: skip
    scheduler.add_job(
        noted(drop_past), "interval", args=[service], seconds=RETENTION_SECONDS, id="retention", coalesce=True,
        max_instances=1, misfire_grace_time=None,
    )  # fmt: skip
    every = {"coalesce": True, "max_instances": 1, "seconds": service.settings.checkpoint_ms / 1000}
    scheduler.add_job(noted(sign_log), "interval", args=[service], id="sign-log", **every)
    scheduler.add_job(
        noted(sign_audit), "interval", args=[service], seconds=AUDIT_SECONDS, id="sign-audit", coalesce=True,
        max_instances=1,
    )  # fmt: skip
    if service.settings.witnesses:
        scheduler.add_job(noted(Witnessing(service.log).round), "interval", id="witnesses", **every)
        audited = AuditWitnessing(heads_of(service.log), service.log.policy)
        scheduler.add_job(
            noted(audited.round),
            "interval",
            seconds=AUDIT_SECONDS,
            id="audit-witnesses",
            coalesce=True,
            max_instances=1,
        )
    if isinstance(service.clock_ns, SandboxClock):
        scheduler.add_job(
            _Follow(scheduler, service.clock_ns).look, "interval", seconds=FOLLOW_SECONDS, id=FOLLOW, coalesce=True,
            max_instances=1,
        )  # fmt: skip


class _Follow:
    """Has every job run at once when a sandbox's clock was set forwards: what fell due meanwhile happens in seconds."""

    def __init__(self, scheduler: AsyncIOScheduler, clock: SandboxClock) -> None:
        self._scheduler, self._clock, self._ahead_ns = scheduler, clock, clock.ahead_ns

    async def look(self) -> None:
        """Look once."""
        try:
            ahead_ns = self._clock.ahead_ns
        except DomainError as error:
            jobs_log.error("clock not read", code=error.code)
            return
        if ahead_ns != self._ahead_ns:
            self._ahead_ns = ahead_ns
            jobs_log.info("clock set forwards", days=ahead_ns // 86_400_000_000_000)
            for job in self._scheduler.get_jobs():
                if job.id not in {FOLLOW, "recompute"}:
                    job.modify(next_run_time=dt.datetime.now(dt.UTC))


async def tidy(service: Service) -> None:
    """Log due expiries of holds, which any turn of the writer does first, and drop nonces past their use."""

    async def forget(tx: Transaction) -> None:
        await forget_nonces(tx.connection, service.wall_us)

    try:
        await service.journal.transact(forget)
    except DomainError as error:
        jobs_log.warning("tidy failed", code=error.code)


async def close_vouchers(service: Service) -> None:
    """Book what vouchers that are over have left; whether there are any is read beside the writer."""
    try:
        async with service.database.read() as connection:
            more = await any_over(connection, service.now_us)
        while more:
            more = await service.journal.transact(close_expired) == TOGETHER
    except DomainError as error:
        jobs_log.warning("vouchers not closed", code=error.code)


async def alert(service: Service) -> None:
    """Write the alerts on vouchers and the reminders that have become due."""
    try:
        count = await give_alerts(service) + await remind(service)
    except DomainError as error:
        jobs_log.warning("alerts not written", code=error.code)
    else:
        if count:
            jobs_log.info("alerts", count=count)


async def send_notices(service: Service) -> None:
    """Deliver what waits in the outbox of notices."""
    try:
        count = await send_due(service)
    except DomainError as error:
        jobs_log.warning("notices not sent", code=error.code)
    else:
        if count:
            jobs_log.info("notices", count=count)


async def take_back_idle(service: Service) -> None:
    """Announce and take back what lies idle in vouchers, by the rule of each scheme."""
    try:
        async with service.database.read() as connection:
            done = await reclaim_idle(service.journal, connection, service.catalog.series, service.now_us)
    except DomainError as error:
        jobs_log.warning("idle vouchers not looked at", code=error.code)
        return
    if done:
        jobs_log.info("idle vouchers", **done)


async def issue_due(service: Service) -> None:
    """Issue what was approved and not issued, and sign what was recorded and not signed: whatever a stop left behind."""
    try:
        done, refused = await take_up(service.proceedings, service.desk)
    except DomainError as error:
        jobs_log.warning("approved applications not issued", code=error.code)
        return
    if done:
        jobs_log.info("approved applications issued", count=done)
    for application, why in refused:
        jobs_log.warning("approved application not issued", application=application, code=why.code, cause=why.en)


async def watch(service: Service) -> None:
    """Judge the ledger's invariants on what is new; a broken one is an error in the log, and 0 in the metrics."""
    try:
        async with service.database.read() as connection:
            _tell(await service.watch.look(connection))
    except DomainError as error:
        jobs_log.warning("ledger not watched", code=error.code)


async def look_for_findings(service: Service) -> None:
    """Run the checks in a process of its own and keep what they point out; nothing else follows from it here."""
    try:
        told = await run_checks(service)
    except DomainError as error:
        jobs_log.error("checks not run", code=error.code, cause=error.en)
    else:
        if told["raised"]:
            jobs_log.warning("findings raised", **told)


async def recompute(service: Service) -> None:
    """Recompute the whole ledger in a process of its own, so that nobody waits for it."""
    command = (sys.executable, "-m", "suanquan", "ledger", "verify", "--home", str(service.home.path), "--json")
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        answer, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode in (0, EXIT_PROOF):
        _tell(service.watch.take_whole(json.loads(answer)))
    else:
        jobs_log.error("ledger not recomputed", exit=process.returncode)


def _tell(faults: Iterable[Fault]) -> None:
    for fault in faults:
        jobs_log.error("ledger invariant broken", invariant=fault.invariant, where=fault.where, what=fault.en)


async def sign_log(service: Service) -> None:
    """Sign the head of the log if it has grown; a database that was put back meanwhile is not written to any more."""
    try:
        await service.log.sign()
    except DomainError as error:
        jobs_log.error("log not signed", code=error.code, cause=error.en)
        if error.kind is Kind.PROOF:
            service.journal.guard = service.check_history


async def drop_past(service: Service) -> None:
    """Drop what is past its time by the table of retention."""
    try:
        dropped = await retention.apply(service.access)
    except DomainError as error:
        jobs_log.error("retention not applied", code=error.code, cause=[found.where for found in error.findings])
        return
    if dropped:
        jobs_log.info("retention", **dropped)


async def sign_audit(service: Service) -> None:
    """Sign the head of the audit log if it has grown."""
    try:
        await heads_of(service.log).sign()
    except DomainError as error:
        jobs_log.error("audit log not signed", code=error.code, cause=error.en)
