"""Usage of a voucher that is over, reported late: the voucher pays as if the report had come in time."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from ledger.amount import CNY
from ledger.scope import EVERYTHING
from metering.corrections import Correction
from suanquan.service import open_service
from suanquan.settings import Settings
from suanquan.use_cases.expiry import close_expired
from suanquan.use_cases.quote_usage import Run, quote_usage
from tests.suanquan.harness import A100_HOUR, HOUR_MS, NOON_US, PASSPHRASE, give, install, usage
from tests.suanquan.test_truth import BACK_ENDS, Desk
from voucher import store as voucher_store
from voucher.holder import sandbox_uscc

DAY_NS = 86_400 * 10**9
YUAN = 10**CNY.scale


class Clock:
    """A clock that a test sets."""

    def __init__(self, now_ns):
        self.now_ns = now_ns

    def __call__(self):
        return self.now_ns


@pytest.fixture(params=BACK_ENDS)
def dated(request, tmp_path):
    """A desk on either database whose clock a test sets: `dated(work)` runs `work(desk, clock)`."""
    yield from dated_on(request, tmp_path)


def dated_on(request, tmp_path, prepare=lambda home: None):
    """What a fixture that is a dated desk yields; `prepare` may change the home before the service opens."""
    databases = request.getfixturevalue("databases") if request.param == "postgresql" else None
    place = databases.create("reopen") if databases else None
    opened = Settings(sandbox=True, database_url=place.url) if place else Settings(sandbox=True)
    home, clock = install(tmp_path / "home", opened).home, Clock(0)
    prepare(home)
    with asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()
        clock.now_ns = time.time_ns()
        service = runner.run(stack.enter_async_context(open_service(home, PASSPHRASE, clock)))
        yield lambda work: runner.run(work(Desk(service), clock))
        runner.run(stack.aclose())
    if place:
        databases.drop(place)


def test_late_usage_reopens_what_broke(dated):
    """18 of 30 yuan broke. A late report takes 12 of them, the next the other 6 and pays 6 itself: not 12 and 12 itself."""

    async def work(desk, clock):
        service = desk.service
        stored = await give(service, sandbox_uscc(1), "30", accounts=["alone"])

        async def voucher():
            async with service.database.read() as connection:
                found = await voucher_store.load_voucher(connection, stored.jti, EVERYTHING)
                assert await service.watch.look(connection) == []
            paid = found.debits_posted - (found.credits_posted - found.units) - found.expired
            return found.expired, paid, found.credits_posted - found.debits_posted

        assert await desk.report(usage(1)) == ["accepted"]
        clock.now_ns = stored.until_us * 1000 + DAY_NS
        assert await service.journal.transact(close_expired) == 1
        assert await voucher() == (18 * YUAN, A100_HOUR, 0)

        quoted = await quote_usage(
            service.journal, service.rules, Run("sj01", "alone", (("A100", 1000),), NOON_US, HOUR_MS)
        )
        assert quoted["self_pay_yuan"] == "0.000000"
        assert await desk.report(usage(2)) == ["accepted"]
        assert (await desk.figures()).self_pay == {}
        assert await voucher() == (6 * YUAN, 2 * A100_HOUR, 0)

        assert await desk.report(usage(3)) == ["accepted"]
        assert (await desk.figures()).self_pay == {"sj01/alone": 6 * YUAN}
        assert await voucher() == (0, 30 * YUAN, 0)

        before = await desk.figures()
        assert await desk.correct(Correction(usage(1).id, 1, None)) == ["accepted"]
        assert await voucher() == (0, 18 * YUAN, 12 * YUAN)
        assert await service.journal.transact(close_expired) == 1
        assert await voucher() == (12 * YUAN, 18 * YUAN, 0)
        assert await desk.correct(Correction(usage(1).id, 2, usage(1))) == ["accepted"]
        after = await desk.figures()
        assert (after.usage, after.balances, after.debited) == (before.usage, before.balances, before.debited)
        assert await voucher() == (0, 30 * YUAN, 0)

    dated(work)


def test_usage_after_the_end_reopens_nothing(dated):
    """The time of the usage decides, not that of its report: the second before the voucher's end is paid, the hours after are not."""

    async def work(desk, clock):
        stored = await give(desk.service, sandbox_uscc(1), "30", accounts=["alone"])
        clock.now_ns = stored.until_us * 1000 + DAY_NS
        assert await desk.service.journal.transact(close_expired) == 1
        end = stored.until_us
        assert await desk.report(
            usage(1, start_us=end - 1_000_000, end_us=end + HOUR_MS * 1000), usage(2, start_us=end, end_us=end + HOUR_MS * 1000)
        ) == ["accepted"] * 2  # fmt: skip
        found = await desk.figures()
        second = A100_HOUR // 3601
        assert (found.debited, found.self_pay) == (second, {"sj01/alone": 2 * A100_HOUR - second})

    dated(work)
