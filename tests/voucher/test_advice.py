"""Advice before a job starts equals the debit after it."""

from hypothesis import given
from hypothesis import strategies as st

from ledger.amount import CNY, COMPUTE
from metering.batch import batch_of
from metering.model import Accelerator, UsageRecord
from metering.rating import Tariff, rate
from voucher.advice import MINUTE_MS, Job, Need, _Part, advise, charges_of
from voucher.allocation import Purse, charges_along, draw_one

FOREVER = 2**62
NOW = 1_764_288_000_000_000

CHANGE = NOW + 3 * 86_400_000_000
parts = st.lists(
    st.tuples(st.integers(1, 10**7), st.integers(0, 10**6), st.integers(0, 10**9)), min_size=1, max_size=4
).map(lambda found: [_Part(f"m{at}", n, Tariff(f"m{at}", g, p, 0, CHANGE)) for at, (n, g, p) in enumerate(found)])
purses = st.lists(st.tuples(st.sampled_from([CNY, COMPUTE]), st.integers(1, 10**12), st.booleans()), max_size=4).map(
    lambda found: [
        Purse(f"v{at}", "s", at, asset, units, 0, FOREVER, 0, None if every else frozenset({"m0"}))
        for at, (asset, units, every) in enumerate(found)
    ]
)
durations = st.integers(1, 90 * 86_400_000)


def tariffs(found):
    """What each part says, and half as much again from the change on."""

    def tariff(word, at_us):
        known = next((part.tariff for part in found if part.word == word), None)
        if known is None or at_us < known.until_us:
            return known
        dearer = known.micro_yuan_per_gpu_hour * 3 // 2
        return known._replace(gflops=known.gflops + 1, micro_yuan_per_gpu_hour=dearer, from_us=CHANGE, until_us=FOREVER)

    return tariff


def job(found, active_ms):
    return Job(tuple(Accelerator(part.tariff.model, part.count_milli) for part in found), NOW, active_ms)


def record(found, active_ms):
    cards = tuple(Accelerator(part.tariff.model, part.count_milli) for part in found)
    return UsageRecord("r", "a", "j", 0, NOW, NOW + active_ms * 1000, active_ms, cards, "COMPLETED")


@given(parts, durations)
def test_a_charge_is_what_the_record_will_be_rated_at(found, active_ms):
    """To the unit, in yuan and in compute, for any cards, prices and times."""
    rated = rate(batch_of([record(found, active_ms)]), tariffs(found), [0])
    got = charges_of(NOW, found, active_ms, tariffs(found))
    assert sum(one.yuan for one in got) == int(rated.yuan[0])
    assert sum(one.compute for one in got) == int(rated.compute[0])
    assert got == charges_along(rated.course(0, NOW, NOW + active_ms * 1000), rated.models[0])


@given(parts, purses, durations)
def test_what_is_covered_is_what_the_vouchers_will_pay(found, held, active_ms):
    """The purses are left alone; drawn on by the debit they pay just what was said, and for the time that was said."""
    before = [purse.available for purse in held]
    advice = advise(job(found, active_ms), held, tariffs(found), Need.FULL, {}, bound=True)
    assert [purse.available for purse in held] == before
    lasting = advice.covered_ms
    paid = draw_one(charges_of(NOW, found, active_ms, tariffs(found)), held)
    assert advice.price - advice.covered == paid.self_pay
    assert advice.allowed == (paid.self_pay == 0)
    assert bool(advice.reasons) == (not advice.allowed)

    def unpaid(time_ms):
        again = [
            Purse(p.jti, p.scheme, p.account, p.asset, b, p.from_us, p.until_us, p.priority, p.models)
            for p, b in zip(held, before, strict=True)
        ]
        return draw_one(charges_of(NOW, found, time_ms, tariffs(found)), again).self_pay

    assert lasting <= active_ms
    assert unpaid(lasting) == 0
    if (
        not advice.allowed
        and lasting + MINUTE_MS <= active_ms
        and any(p.covers(charges_of(NOW, found, 0, tariffs(found))[0]) for p in held)
    ):
        assert unpaid(lasting + MINUTE_MS) > 0, "the next minute is not paid"


def test_need_decides_how_much_must_be_covered():
    """A job of 12 yuan with 5 in the purse: not in full, but in part; without a purse only where nothing is needed."""
    found = [_Part("m0", 1000, Tariff("m0", 1, 12_000_000, 0, FOREVER))]
    five = [Purse("v", "s", 1, CNY, 5_000_000, 0, FOREVER)]
    hour = job(found, 3_600_000)
    verdicts = [
        advise(hour, some, tariffs(found), need, {}, bound=True).allowed for some in (five, []) for need in Need
    ]
    assert verdicts == [False, True, True, False, False, True]
    assert advise(hour, five, tariffs(found), Need.FULL, {}, bound=True).covered_ms == 25 * MINUTE_MS
