"""Rating: each record once, to the last unit, whatever batch it came in, and sums that add up."""

import datetime as dt
from collections import Counter
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from ledger.amount import INT64_MAX
from metering import batch as batches
from metering.batch import Batch
from metering.course import Span, cells, growth
from metering.model import Accelerator, UsageRecord
from metering.months import month_shares
from metering.price_parts import PriceParts, Tier
from metering.rating import Line, Tariff, rate, rate_one
from metering.wire import ACTIVE_MS_MAX
from metering.zones import rfc3339, shanghai_day_us
from tests.metering.events import NOW_US, spans

DAY_US = 86_400_000_000
CHANGE_US = NOW_US - 200 * DAY_US
"""When the dearer tariff of `B` began; before it was first priced, `C` was nothing."""
TIERED = PriceParts(
    (Tier(0, 12_000_000), Tier(8_000, 10_000_000)), 10, (("compute", 7_000_001), ("storage", 4_999_999)), ("storage",)
)
TARIFFS = {
    "A": [Tariff("A", 312_000, 12_000_000, 0, INT64_MAX)],
    "a": [Tariff("A", 312_000, 12_000_000, 0, INT64_MAX)],
    "B": [Tariff("B", 989_000, 23_999_999, 0, CHANGE_US), Tariff("B", 989_001, 24_000_001, CHANGE_US, INT64_MAX)],
    "C": [Tariff("C", 7, 1, CHANGE_US, INT64_MAX)],
    "D": [Tariff("D", 9, 10_800_000, 0, INT64_MAX, TIERED)],
    "E": [Tariff("E", 5, 9_000_001, 0, CHANGE_US)],
}


def tariffs(word, at_us):
    return next((t for t in TARIFFS.get(word, ()) if t.from_us <= at_us < t.until_us), None)


parts = st.tuples(
    st.sampled_from(["A", "a", "B", "C", "D", "E", "unheard-of"]), st.integers(1, 10**8) | st.integers(7_999, 8_001)
)
records = st.tuples(
    st.sampled_from(["alone", "covered", "松江"]),
    st.one_of(
        spans(),
        st.sampled_from([(CHANGE_US - 1, CHANGE_US, 0), (CHANGE_US, CHANGE_US + DAY_US, 86_400_000)]),
        st.builds(
            lambda before, after, idle: (
                CHANGE_US - before,
                CHANGE_US + after,
                max((before + after) // 1000 - idle, 0),
            ),
            st.integers(1, 40 * DAY_US),
            st.integers(1, 40 * DAY_US),
            st.integers(0, 1_000_000),
        ),
    ),
    st.lists(parts, min_size=1, max_size=1) | st.lists(parts, min_size=1, max_size=4),
)


def batch_of(drawn):
    """The columns that rating reads."""
    batch = Batch(source="s", count=len(drawn))
    for place, (account, (start, end, active), cards) in enumerate(drawn):
        batch.position.append(place)
        batch.id.append(str(place))
        batch.account.append(account)
        batch.start_us.append(start)
        batch.end_us.append(end)
        batch.active_ms.append(active)
        batch.accelerators.append(tuple(cards))
        batch.voucher.append(None)
    return batch


def by_hand(drawn):
    """GPU-milliseconds, yuan and compute of one record in plain integers; None where a card or its price is unknown."""
    _, (start, end, active), cards = drawn
    known = [
        (count, count * active // 1000, cut_by_hand(word, start, end, count * active // 1000)) for word, count in cards
    ]
    if any(cut is None for _, _, cut in known):
        return None
    return (
        sum(ms for _, ms, _ in known),
        sum(ms * price_by_hand(tariff, count) for count, _, cut in known for tariff, ms in cut) // 3_600_000,
        sum(ms * tariff.gflops for _, _, cut in known for tariff, ms in cut) // 3_600,
    )


def cut_by_hand(word, start, end, ms):
    """Milliseconds by tariff: those before the change and after it, which add up; None where one of them has no price."""
    if not start < CHANGE_US < end or len({tariffs(word, start), tariffs(word, end - 1)}) == 1:
        return [(tariffs(word, start), ms)] if tariffs(word, start) else None
    before, after = Fraction(ms * (CHANGE_US - start), end - start), Fraction(ms * (end - CHANGE_US), end - start)
    first = int(before)
    if int(before) + int(after) < ms and (before % 1, CHANGE_US - start) >= (after % 1, end - CHANGE_US):
        first += 1
    found = [(tariffs(word, start), first), (tariffs(word, CHANGE_US), ms - first)]
    return None if None in (tariff for tariff, _ in found) else found


def price_by_hand(tariff, count):
    """10.80 an hour, from eight cards on 9.00, or what the tariff says."""
    return tariff.micro_yuan_per_gpu_hour if tariff.model != "D" else 10_800_000 if count < 8_000 else 9_000_000


@given(st.lists(records, max_size=12), st.data())
def test_records_are_rated_as_by_hand(drawn, data):
    """Columns give what plain integers give, for any choice of records; what is unknown is held and counts for nothing."""
    chosen = sorted(data.draw(st.sets(st.integers(0, len(drawn) - 1)))) if drawn else []
    rated = rate(batch_of(drawn), tariffs, chosen)
    assert rated.index == chosen
    for place, index in enumerate(chosen):
        expected = by_hand(drawn[index])
        assert (expected is None) == (index in rated.held)
        found = (rated.gpu_ms[place], rated.yuan[place], rated.compute[place])
        assert tuple(map(int, found)) == (expected or (0, 0, 0))
        if expected is not None:
            assert rated.models[place] == tuple(word.upper() for word, _ in drawn[index][2])
            assert 0 <= rated.own[place] <= rated.yuan[place]
            assert bool(rated.own[place]) <= ("D" in rated.models[place])
    assert set(rated.held.values()) <= {"model-unknown"}


@given(st.lists(records, max_size=12))
def test_sums_by_account_and_by_month_add_up(drawn):
    """Lines by account, model and month, and totals by account, are the records' amounts spread without loss."""
    rated = rate(batch_of(drawn), tariffs, range(len(drawn)))
    owed = Counter()
    for account, amounts in ((one[0], by_hand(one)) for one in drawn):
        if amounts is not None:
            owed.update({(account, name): amount for name, amount in zip(AMOUNTS, (1, *amounts), strict=True)})
    assert sum(used.own for used in rated.accounts.values()) == sum(map(int, rated.own))
    spread = Counter()
    for (account, _, _), line in rated.lines.items():
        spread.update({(account, name): getattr(line, name) for name in AMOUNTS})
    assert +spread == +owed
    assert {account: (u.records, u.gpu_ms, u.yuan) for account, u in rated.accounts.items()} == {
        account: tuple(owed[account, name] for name in AMOUNTS[:3]) for account, name in owed if name == "records"
    }


AMOUNTS = ("records", "gpu_ms", "yuan", "compute")


@given(st.lists(records, max_size=12), st.randoms(use_true_random=False))
def test_lines_do_not_depend_on_the_batch(drawn, chance):
    """Rated in one batch, one by one, or in another order, the same records give the same monthly lines."""
    whole = rate(batch_of(drawn), tariffs, range(len(drawn))).lines
    chance.shuffle(drawn)
    single = {}
    for one in drawn:
        for key, line in rate(batch_of([one]), tariffs, [0]).lines.items():
            single.setdefault(key, Line()).add(line.records, line.gpu_ms, line.yuan, line.compute)
    assert whole == single


@given(records)
def test_one_record_costs_the_same_on_its_own(drawn):
    """`rate_one` is `rate` for a record that was not sent yet; what is unknown costs nothing so far."""
    account, (start, end, active), cards = drawn
    accelerators = tuple(Accelerator(word, count) for word, count in cards)
    record = UsageRecord("1", account, "1", 0, start, end, active, accelerators, "COMPLETED")
    assert rate_one(record, tariffs) == (by_hand(drawn) or (0, 0))[1]


def test_a_price_that_changes_within_a_record_is_paid_by_time():
    """Two hours at 12 yuan and, from the first of the month, one at 36: 24 and 36. Wrong: 36 or 108 in all, 40 and 20 by time."""
    hour, change = 3_600_000_000, shanghai_day_us(dt.date(2026, 3, 1))
    low, high = Tariff("A", 1, 12_000_000, 0, change), Tariff("A", 1, 36_000_000, change, INT64_MAX)
    cards = [("A", 1000)]
    rated = rate(
        batch_of([("a", (change - 2 * hour, change + hour, 3 * 3_600_000), cards)]),
        lambda _, at_us: low if at_us < change else high, [0],
    )  # fmt: skip
    assert int(rated.yuan[0]) == 2 * 12_000_000 + 36_000_000
    assert {month: line.yuan for (_, _, month), line in rated.lines.items()} == {202602: 24_000_000, 202603: 36_000_000}
    assert {month: line.gpu_ms for (_, _, month), line in rated.lines.items()} == {202602: 7_200_000, 202603: 3_600_000}


def test_amounts_beyond_int64_are_exact():
    """The most that a batch may say, 16 kinds of 100,000 cards for centuries, is added up in Python's integers."""
    largest = ("a", (0, 0, ACTIVE_MS_MAX), [("B", 10**8)] * 16)
    rated = rate(batch_of([largest] * 3), tariffs, range(3))
    gpu_ms, yuan, compute = by_hand(largest)
    assert compute > INT64_MAX
    assert (rated.gpu_ms.tolist(), rated.yuan.tolist(), rated.compute.tolist()) == (
        [gpu_ms] * 3,
        [yuan] * 3,
        [compute] * 3,
    )
    assert rated.accounts["a"].yuan == 3 * yuan
    assert sum(line.compute for line in rated.lines.values()) == 3 * compute


@given(spans())
def test_an_interval_is_cut_at_the_months_of_shanghai(span):
    """The shares of an interval are whole, in order, each in its own month as Shanghai counts them."""
    start, end, _ = span
    shares = month_shares(start, end)
    assert sum(share for _, share in shares) == end - start
    assert [month for month, _ in shares] == sorted({month for month, _ in shares})
    at = start
    for month, share in shares:
        for instant in (at, max(at, at + share - 1)):
            assert rfc3339(instant + 8 * 3_600_000_000).startswith(f"{month // 100}-{month % 100:02d}")
        at += share


def test_a_record_across_new_year_is_shared_by_time():
    """A third of the time before midnight in Shanghai puts a third of everything into the old year."""
    midnight = 1_767_196_800_000_000  # 2026-01-01T00:00+08:00
    cards = [("A", 3000)]
    hour = 3_600_000_000
    rated = rate(batch_of([("a", (midnight - hour, midnight + 2 * hour, 3 * 3_600_000), cards)]), tariffs, [0])
    old, new = rated.lines["a", "A", 202512], rated.lines["a", "A", 202601]
    assert (old.records, new.records) == (1, 0)
    assert Fraction(old.gpu_ms, old.gpu_ms + new.gpu_ms) == Fraction(old.yuan, old.yuan + new.yuan) == Fraction(1, 3)
    assert old.yuan + new.yuan == 9 * 12_000_000


def test_a_course_is_cut_where_prices_change_and_adds_up():
    """Two cards, one of which is dearer from the second hour on: each hour has what it was worth, and between any instants lies their difference."""
    hour = 3_600_000_000
    until = {"a": NOW_US + hour, "b": 2**62}

    def tariff(word, at_us):
        later = at_us >= until[word]
        return Tariff(
            word, 1000, 4_000_000 if later else 1_000_000, until[word] if later else 0, 2**62 if later else until[word]
        )

    record = UsageRecord(
        "r", "x", "j", 0, NOW_US, NOW_US + 3 * hour, 3 * 3_600_000, (Accelerator("a", 1000), Accelerator("b", 2000)), "COMPLETED"
    )  # fmt: skip
    course = rate(batches.batch_of([record]), tariff, [0]).course(0, record.start_us, record.end_us)
    assert [(span.until_us - span.from_us, span.yuan) for span in course] == [(hour, 3_000_000), (2 * hour, 12_000_000)]
    found = cells(course, [NOW_US, NOW_US + 7, NOW_US + hour, NOW_US + 2 * hour + 1, NOW_US + 3 * hour])
    assert sum(one.yuan for one in found) == 15_000_000
    assert [one.yuan for one in found[2:]] == [6_000_000, 6_000_000]
    assert growth(course, course, [NOW_US, NOW_US + 3 * hour]) == [Span(NOW_US, NOW_US + 3 * hour, 0, 0, 0)]
    less = (Span(NOW_US, NOW_US + 3 * hour, 15_000_000, 0, 0),)
    assert growth(less, course, [NOW_US, NOW_US + hour, NOW_US + 3 * hour]) is None
