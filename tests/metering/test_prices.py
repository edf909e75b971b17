"""Price lists: what is valid when and where, what usage costs, and what is refused."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.amount import INT64_MAX
from metering.accelerators import load_accelerators
from metering.errors import MeteringError
from metering.prices import Price, PriceList, load_prices
from metering.zones import shanghai_day_us
from tests.shared_data import ROOT

ENTRY = {"model": '"A100"', "yuan_per_gpu_hour": '"12.00"', "from": "2015-01-01", "basis": '"invented"'}


def day(text: str) -> int:
    return shanghai_day_us(date.fromisoformat(text))


def toml(*entries: dict[str, str | None]) -> bytes:
    lines = []
    for changes in entries:
        members = {**ENTRY, **changes}
        lines += ["[[price]]", *(f"{name} = {value}" for name, value in members.items() if value is not None)]
    return "\n".join(lines).encode()


def prices(*entries: dict[str, str | None]) -> PriceList:
    return load_prices(toml(*entries), "prices.toml", {"A100", "H100-SXM"})


def price(micro_yuan: int) -> Price:
    return Price(None, "A100", micro_yuan, 0, INT64_MAX, "invented")


def test_the_sandbox_prices_every_registered_model_since_2015():
    """Old traces can be played on any card; every number says that it is invented."""
    cards = ROOT.joinpath("config", "accelerators", "accelerators.toml").read_bytes()
    models = load_accelerators(cards, "accelerators.toml").models
    sandbox = load_prices(ROOT.joinpath("config", "prices", "sandbox.toml").read_bytes(), "sandbox.toml", models)
    for model in models:
        for at_us in (day("2015-01-01"), day("2016-12-22"), day("2099-01-01")):
            found = sandbox.price_at("any-centre", model, at_us)
            assert found.micro_yuan_per_gpu_hour > 0
            assert "虚构" in found.basis


def test_a_price_begins_and_ends_with_shanghais_day():
    """`from` is its first day, `to` the first on which it is no longer valid, both at Shanghai's midnight."""
    listed = prices({"to": "2026-03-01"}, {"from": "2026-04-01", "yuan_per_gpu_hour": '"9.5"'})

    def at(us: int) -> int | None:
        found = listed.price_at("sj01", "A100", us)
        return found and found.micro_yuan_per_gpu_hour

    assert [at(day("2015-01-01") - 1), at(day("2015-01-01"))] == [None, 12_000_000]
    assert [at(day("2026-03-01") - 1), at(day("2026-03-01"))] == [12_000_000, None]
    assert [at(day("2026-04-01") - 1), at(day("2026-04-01"))] == [None, 9_500_000]
    assert day("2026-03-01") == 1_772_294_400_000_000, "2026-02-28T16:00:00Z"
    assert listed.price_at("sj01", "H100-SXM", day("2026-01-01")) is None


def test_a_centres_own_price_goes_before_the_general_one():
    """While it lasts; around it the general price stands, with intervals cut so that a kept one is never used too long."""
    listed = prices({}, {"centre": '"sj01"', "from": "2026-02-01", "to": "2026-03-01", "yuan_per_gpu_hour": '"8"'})
    assert [
        (found.centre, found.micro_yuan_per_gpu_hour, found.from_us, found.to_us)
        for found in listed.intervals("sj01", "A100")
    ] == [
        (None, 12_000_000, day("2015-01-01"), day("2026-02-01")),
        ("sj01", 8_000_000, day("2026-02-01"), day("2026-03-01")),
        (None, 12_000_000, day("2026-03-01"), INT64_MAX),
    ]
    assert len(listed.intervals("sj02", "A100")) == 1


def test_a_centre_may_be_the_only_one_with_a_price():
    """Elsewhere there is none, and usage is held."""
    listed = prices({"centre": '"sj01"'})
    assert listed.price_at("sj01", "A100", day("2026-01-01")) is not None
    assert listed.price_at("sj02", "A100", day("2026-01-01")) is None


spans = st.lists(st.tuples(st.booleans(), st.integers(0, 40), st.integers(1, 15)), max_size=8)


@given(spans)
def test_intervals_are_disjoint_and_right_on_every_day(drawn):
    """Own before general on each day, by the plain reading of the entries; intervals never overlap."""
    taken: dict[bool, set[int]] = {True: set(), False: set()}
    listed, kept = [], []
    for place, (own, start, length) in enumerate(drawn):
        if not taken[own] & set(range(start, start + length)):
            taken[own] |= set(range(start, start + length))
            kept.append((own, start, length, place))
            listed.append(Price("sj01" if own else None, "A100", place, start, start + length, "invented"))
    book = PriceList(listed)
    intervals = book.intervals("sj01", "A100")
    assert all(before.to_us <= after.from_us for before, after in pairwise(intervals))
    for at in range(60):
        valid = [(own, place) for own, start, length, place in kept if start <= at < start + length]
        expected = max(valid, default=(False, None))[1]
        found = book.price_at("sj01", "A100", at)
        assert (found.micro_yuan_per_gpu_hour if found else None) == expected


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([{"yuan_per_gpu_hour": "12.0"}], "yuan_per_gpu_hour must be a string"),
        ([{"yuan_per_gpu_hour": "12"}], "yuan_per_gpu_hour must be a string"),
        ([{"yuan_per_gpu_hour": '"-1"'}], "must be a plain decimal"),
        ([{"yuan_per_gpu_hour": '"0.0000001"'}], "at most 6 decimals"),
        ([{"yuan_per_gpu_hour": None}], "yuan_per_gpu_hour is missing"),
        ([{"model": '"a100"'}], "use its canonical name"),
        ([{"to": "2015-01-01"}], "later than from"),
        ([{"from": "2015"}], "from must be a date"),
        ([{"basis": '""'}], "basis must be a string"),
        ([{"currency": '"CNY"'}], "unknown members currency"),
        ([{}, {"from": "2026-01-01"}], "overlaps"),
        ([{"to": "2026-01-02"}, {"from": "2026-01-01"}], "overlaps"),
        ([{"centre": '"x"'}, {"centre": '"x"'}], "overlaps"),
    ],
)
def test_a_faulty_list_is_refused_by_entry(entries, message):
    """Every refusal names the file and the entry."""
    with pytest.raises(MeteringError, match=message) as refusal:
        prices(*entries)
    assert f"prices.toml #{len(entries)} " in refusal.value.en


def test_prices_that_touch_or_differ_in_model_or_centre_do_not_overlap():
    """One ends on the day on which the next begins."""
    prices({"to": "2026-01-01"}, {"from": "2026-01-01"}, {"model": '"H100-SXM"'}, {"centre": '"sj01"'})


def test_days_are_shanghais():
    """A day begins eight hours before UTC's."""
    assert day("1970-01-02") == (24 - 8) * 3_600_000_000
    assert day("2026-01-02") - day("2026-01-01") == timedelta(days=1) // timedelta(microseconds=1)
