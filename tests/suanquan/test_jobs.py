"""What runs by the clock: expiries of holds are logged without anybody asking, and used nonces are forgotten in time."""

import asyncio
import time

from ledger.amount import CNY
from ledger.entry import EntryKind, Event, credit, debit
from ledger.scope import EVERYTHING
from ledger.store import load_page
from metering import store as metering_store
from suanquan.jobs import close_vouchers, running_jobs, tidy
from suanquan.service import open_service
from suanquan.use_cases.issue import load
from tests.suanquan.harness import PASSPHRASE, give
from voucher.holder import sandbox_uscc

HOUR_US = 3_600_000_000
S = 1_000_000_000


async def kinds(service):
    async with service.database.read() as connection:
        return [row.kind for row in await load_page(connection, -1, 1000)]


async def hold(service, name, expires_ns):
    async def write(tx):
        accounts = await tx.open([("payer", CNY, None), ("payee", CNY, None)])
        legs = (debit(accounts["payer"].number, 5), credit(accounts["payee"].number, 5))
        await tx.append([Event(EntryKind.HOLD, name.ljust(16), bytes(32), legs, expires_ns=expires_ns)])

    await service.journal.transact(write)


def test_a_due_hold_expires_without_a_request(installation):
    """`tidy` logs the expiry of a hold whose time has come, and of no other."""

    async def run():
        async with open_service(installation.home) as service:
            await hold(service, b"long", time.time_ns() + 3600 * S)
            await hold(service, b"brief", (due := time.time_ns() + S))
            await asyncio.sleep(max(0, due - time.time_ns()) / S + 0.01)
            await tidy(service)
            return await kinds(service)

    assert asyncio.run(run()).count(EntryKind.EXPIRE) == 1


def test_nonces_are_forgotten_when_no_signature_can_use_them(installation):
    """A nonce past its time goes; one that a signature could still carry stays."""

    async def run():
        async with open_service(installation.home) as service:
            now = service.now_us

            async def use(tx):
                return [
                    await metering_store.use_nonce(tx.connection, "kid", name, until)
                    for name, until in (("old", now - 1), ("new", now + HOUR_US))
                ]

            assert await service.journal.transact(use) == [True, True]
            await tidy(service)
            return await service.journal.transact(use)

    assert asyncio.run(run()) == [True, False]


def test_jobs_start_and_stop_with_the_service(installation):
    """The scheduler runs in the service's loop and leaves nothing behind."""

    async def run():
        async with open_service(installation.home) as service, running_jobs(service):
            before = len(asyncio.all_tasks())
        return before, len(asyncio.all_tasks())

    before, after = asyncio.run(run())
    assert after == 1 < before


def test_what_a_voucher_has_left_at_its_end_is_booked(installation):
    """Before the end the job finds nothing; after it, under a clock that is past it, the whole voucher breaks."""

    async def run():
        async with open_service(installation.home, PASSPHRASE) as service:
            voucher = await give(service, sandbox_uscc(1), "100")
            await close_vouchers(service)
            async with service.database.read() as connection:
                before = await load(connection, voucher.jti, EVERYTHING)
        later = voucher.until_us * 1000 + S
        async with open_service(installation.home, PASSPHRASE, lambda: later) as service:
            await close_vouchers(service)
            await close_vouchers(service)
            async with service.database.read() as connection:
                return before, await load(connection, voucher.jti, EVERYTHING)

    before, after = asyncio.run(run())
    assert (before.expired, after.expired) == (0, after.units)
