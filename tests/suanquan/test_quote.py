"""A quote before the run is the debit after it, to the last unit."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from ledger.amount import CNY, parse_units
from metering.model import Accelerator
from suanquan.errors import ServiceError
from suanquan.use_cases.quote_usage import Run, parse_run, quote_usage
from tests.conftest import ALL
from tests.suanquan.harness import A100_HOUR, HOUR_MS, NOON_US, give, usage
from tests.suanquan.test_truth import desk  # noqa: F401 -- a fixture
from voucher.holder import sandbox_uscc

EXAMPLES = 60 if ALL else 12


@st.composite
def runs(draw):
    """A run, and the vouchers of its account."""
    models = draw(st.lists(st.sampled_from(["A100", "H100-SXM"]), min_size=1, max_size=2, unique=True))
    cards = tuple((model, draw(st.integers(1, 9000))) for model in models)
    start_us = NOON_US - draw(st.integers(0, 1000)) * HOUR_MS * 1000
    vouchers = st.tuples(st.sampled_from(["CNY", "PFLOPS.h"]), st.decimals("0.01", 40, places=2).map(str))
    return cards, start_us, draw(st.integers(1, 50 * HOUR_MS)), draw(st.lists(vouchers, max_size=3))


def test_a_quote_is_the_debit_that_follows(desk, seed):  # noqa: F811
    """Cards, times and vouchers of any kind: price, self-pay and what is left on vouchers are what the quote said."""
    print("seed", seed)
    numbers = itertools.count(1)

    async def play(here, cards, start_us, active_ms, vouchers):
        number, service = next(numbers), here.service
        account = f"quoted{number}"
        stored = [
            await give(service, sandbox_uscc(number), amount, unit=unit, accounts=[account])
            for unit, amount in vouchers
        ]
        before = await here.figures()
        quoted = await quote_usage(service.journal, service.rules, Run("sj01", account, cards, start_us, active_ms))
        assert (await here.figures()).balances == before.balances, "nothing is recorded"
        record = usage(
            number, account=account, start_us=start_us, end_us=start_us + active_ms * 1000, active_ms=active_ms,
            accelerators=tuple(Accelerator(model, count) for model, count in cards),
        )  # fmt: skip
        assert await here.report(record) == ["accepted"]
        after = await here.figures()
        rows = [row for (name, _), row in after.usage.items() if name == account]
        assert sum(row["gpu_ms"] for row in rows) == quoted["gpu_ms"]
        assert sum(row["rated_units"] for row in rows) == parse_units(quoted["yuan"], CNY)
        assert after.self_pay.get(f"sj01/{account}", 0) == parse_units(quoted["self_pay_yuan"], CNY)
        told = {line["voucher"]: line["amount"] for line in quoted["paid_by"]}
        for one, (unit, amount) in zip(stored, vouchers, strict=True):
            asset = next(asset for asset in service.journal.assets.values() if asset.code == unit)
            left = after.balances.get(f"voucher/{one.jti}", 0)
            assert parse_units(amount, asset) - left == parse_units(told.get(one.jti, "0"), asset)

    @settings(max_examples=EXAMPLES, deadline=None, database=None, phases=[Phase.generate])
    @given(runs())
    def check(run):
        desk(lambda here: play(here, *run))

    check()


def test_a_quote_says_what_it_cannot_price(desk):  # noqa: F811
    """An unknown card is never free: the quote names it, as the report would be held."""

    async def work(here):
        run = parse_run("sj01", "lab", ["unheard-of=1"], "2026-09-01T00:00:00+08:00", "3600")
        with pytest.raises(ServiceError, match="unheard-of") as refused:
            await quote_usage(here.service.journal, here.service.rules, run)
        assert refused.value.code == "model-unknown"
        run = parse_run("sj01", "lab", ["A100=0.5"], "2026-09-01T00:00:00+08:00", "7200.000")
        assert parse_units((await quote_usage(here.service.journal, here.service.rules, run))["yuan"], CNY) == A100_HOUR

    desk(work)


@pytest.mark.parametrize(
    ("cards", "start", "seconds"),
    [
        (["A100"], "2026-09-01T00:00:00Z", "1"),
        (["A100=0"], "2026-09-01T00:00:00Z", "1"),
        (["A100=1.0005"], "2026-09-01T00:00:00Z", "1"),
        (["A100=１"], "2026-09-01T00:00:00Z", "1"),
        (["A100=1"], "2026-09-01T00:00:00", "1"),
        (["A100=1"], "1999-09-01T00:00:00Z", "1"),
        (["A100=1"], "2026-09-01T00:00:00Z", "0"),
        ([], "2026-09-01T00:00:00Z", "1"),
    ],
)
def test_a_run_that_is_none_is_refused(cards, start, seconds):
    """No count, a count of nothing, a naive time, no time at all: the caller is told which."""
    with pytest.raises(ServiceError) as refused:
        parse_run("sj01", "lab", cards, start, seconds)
    assert refused.value.code == "run-malformed"
