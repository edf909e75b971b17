"""Usage that goes on while a voucher ends: the voucher pays until then, the next one from then on, to the last unit."""

from __future__ import annotations

import datetime as dt
import itertools
from dataclasses import replace

import pytest
from hypothesis import Phase, given, settings

from ledger.amount import CNY, format_units
from ledger.scope import EVERYTHING
from ledger.split import split
from metering.corrections import Correction
from metering.history import History
from metering.rating import rate_one
from suanquan.use_cases import setup
from suanquan.use_cases.expiry import close_expired
from suanquan.use_cases.month_statement import month_statement
from suanquan.use_cases.quote_usage import Run, quote_usage
from tests.conftest import ALL
from tests.suanquan.harness import A100_HOUR, HOUR_MS, NOON_US, SCHEME, give, usage
from tests.suanquan.test_reopen import dated_on
from tests.suanquan.test_truth import BACK_ENDS, as_stated, histories, renamed, told_first
from voucher import store as voucher_store
from voucher.holder import sandbox_uscc

EXAMPLES = 40 if ALL else 6
DAY_NS = 86_400 * 10**9
HOUR_US = HOUR_MS * 1000
YUAN = 10**CNY.scale


def brief(home):
    """A second scheme whose vouchers end a month before those of the sandbox."""
    text = (home.config / "schemes" / "sandbox.toml").read_text(encoding="utf-8")
    text = text.replace(f'id = "{SCHEME}"', 'id = "cn-sh-sandbox-brief"').replace(
        "valid_to = 2034-12-31", "valid_to = 2034-11-30"
    )
    (home.config / "schemes" / "brief.toml").write_text(text, encoding="utf-8")


@pytest.fixture(params=BACK_ENDS)
def dated(request, tmp_path):
    """A desk on either database whose clock a test sets, with two schemes."""
    yield from dated_on(request, tmp_path, brief)


async def two_vouchers(desk, clock, amount):
    """One that ends a month before the other, of one holder."""
    first = await give(desk.service, sandbox_uscc(1), amount, accounts=["alone"], scheme="cn-sh-sandbox-brief")
    second = await give(desk.service, sandbox_uscc(1), amount)
    clock.now_ns = first.until_us * 1000 + 25 * DAY_NS
    assert second.until_us * 1000 > clock.now_ns
    return first, second


async def paid(desk, *vouchers):
    """What each voucher has paid for good, in units."""
    found = []
    async with desk.service.database.read() as connection:
        assert await desk.service.watch.look(connection) == []
        for one in vouchers:
            row = await voucher_store.load_voucher(connection, one.jti, EVERYTHING)
            found.append(row.debits_posted - (row.credits_posted - row.units) - row.expired)
    return found


def crossing(number, first, hours_before, hours_after, **changes):
    """An A100 for so many hours around the end of a voucher."""
    start, end = first.until_us - hours_before * HOUR_US, first.until_us + hours_after * HOUR_US
    return usage(number, start_us=start, end_us=end, active_ms=(end - start) // 1000, **changes)


def test_a_record_is_cut_at_the_end_of_its_voucher(dated):
    """36 yuan: two hours by the one, an hour by the other, also where it is reported late; not all by the first, which was valid at its start."""

    async def work(desk, clock):
        first, second = await two_vouchers(desk, clock, "100")
        service, record = desk.service, crossing(1, first, 2, 1)
        run = Run("sj01", "alone", (("A100", 1000),), record.start_us, record.active_ms)
        quoted = await quote_usage(service.journal, service.rules, run)
        told = {line["voucher"]: line["amount"] for line in quoted["paid_by"]}
        assert told == {first.jti: "24.000000", second.jti: "12.000000"}
        assert await service.journal.transact(close_expired) == 1, "the first is over; 24 of its 100 yuan are reopened"
        assert await desk.report(record) == ["accepted"]
        assert await paid(desk, first, second) == [2 * A100_HOUR, A100_HOUR]

        before = await desk.figures()
        assert await desk.correct(Correction(record.id, 1, None)) == ["accepted"]
        assert await paid(desk, first, second) == [0, 0]
        later = replace(record, end_us=record.end_us + 3 * HOUR_US, active_ms=6 * HOUR_MS)
        assert await desk.correct(Correction(record.id, 2, later)) == ["accepted"]
        assert await paid(desk, first, second) == [2 * A100_HOUR, 4 * A100_HOUR]
        assert await desk.correct(Correction(record.id, 3, record)) == ["accepted"]
        after = await desk.figures()
        assert (after.usage, after.balances, after.debited) == (before.usage, before.balances, before.debited)

        named = crossing(2, first, 2, 1, voucher=first.jti)
        assert await desk.report(named) == ["accepted"]
        assert await paid(desk, first, second) == [4 * A100_HOUR, A100_HOUR]
        assert (await desk.figures()).self_pay == {"sj01/alone": A100_HOUR}, "what it names pays until it ends"

        rows = (await month_statement(service, EVERYTHING, "sj01", "alone", _month(clock)))["paid_by"]
        assert rows == {first.jti: format_units(4 * A100_HOUR, CNY), second.jti: format_units(A100_HOUR, CNY)}

    dated(work)


def _month(clock):
    day = dt.datetime.fromtimestamp(clock.now_ns // 10**9 + 8 * 3600, dt.UTC)
    return day.year * 100 + day.month


def test_checkpoints_across_the_end_come_to_what_the_report_comes_to(dated):
    """A job seen before, at and after the end, suspended in between: each time the vouchers have paid what that record alone would cost."""

    async def work(desk, clock):
        first, second = await two_vouchers(desk, clock, "500")
        whole = crossing(1, first, 10, 20)
        for hours, active in ((4, 4), (10, 10), (14, 10), (20, 16), (30, 26)):
            end = whole.start_us + hours * HOUR_US
            seen = replace(whole, end_us=end, active_ms=active * HOUR_MS, final=hours == 30, state="RUNNING")
            assert await desk.report(seen) == ["accepted"]
            lengths = [min(hours, 10), max(0, hours - 10)]
            assert await paid(desk, first, second) == split(active * A100_HOUR, lengths), (hours, active)
        assert (await desk.figures()).self_pay == {}

    dated(work)


def shifted(fact, by_us):
    """A fact at another time."""
    if isinstance(fact, Correction):
        return replace(fact, record=fact.record and shifted(fact.record, by_us))
    return replace(fact, start_us=fact.start_us + by_us, end_us=fact.end_us + by_us)


def test_any_order_of_facts_gives_what_counts_where_vouchers_end(dated):
    """Reports, checkpoints and corrections around the end of a voucher, permuted and repeated, against the sorted history."""
    numbers = itertools.count(1)

    async def stock(desk, clock):
        return await two_vouchers(desk, clock, "3000000")

    first, second = dated(stock)
    shift = first.until_us - NOON_US + 20 * 86_400_000_000
    total = [0, 0]

    @settings(max_examples=EXAMPLES, deadline=None, database=None, phases=[Phase.generate])
    @given(histories())
    def play(facts):
        number = next(numbers)
        facts = [shifted(renamed(fact, number), shift) for fact in told_first(facts)]
        history = History()
        for fact in facts:
            history.apply(fact)

        async def work(desk, _):
            await setup.bind_account(desk.service.journal, "sj01", f"paid{number}", sandbox_uscc(1))
            for at, fact in enumerate(facts):
                [status] = await desk.say(fact)
                assert status in {"accepted", "duplicate"}
                if at == len(facts) // 2:
                    await desk.service.journal.transact(close_expired)
            tariffs = desk.service.catalog.tariffs("sj01")
            counting = [one for one in history.effective() if one.account == f"paid{number}"]
            assert await desk.stated(f"paid{number}") == as_stated(counting, tariffs)
            for one in counting:
                lengths = [
                    min(one.end_us, first.until_us) - one.start_us,
                    one.end_us - max(one.start_us, first.until_us),
                ]
                lengths = [max(0, length) for length in lengths] if any(lengths) else [1, 0]
                for place, part in enumerate(split(rate_one(one, tariffs), lengths)):
                    total[place] += part
            assert await paid(desk, first, second) == total
            assert not [name for name in (await desk.figures()).self_pay if name.endswith(f"paid{number}")]

        dated(work)

    play()
