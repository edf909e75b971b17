"""Levels of cards per step: run-length coding that neither loses nor invents a card-second."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.errors import MeteringError
from metering.sources.options import parse_step_s
from tests.metering.sources.reading import items, records, skipped, totals

MAPPING = {"time": "time", "gpus": "gpus", "account": "vc"}
LEVELS = {"source": "gauge-csv", "mapping": MAPPING, "step_s": 60}
BASE_S = 1_588_262_400


def levels(*rows: tuple[int, object, str]) -> str:
    """A file of (minute, cards, account)."""
    return "\n".join(["time,gpus,vc", *(f"{BASE_S + minute * 60},{gpus},{account}" for minute, gpus, account in rows)])


def runs(text: str, **options) -> list[tuple[str, int, int, int]]:
    """Account, first minute, minutes and thousandths of cards of each interval."""
    return [
        (
            record.account,
            (record.start_us // 1_000_000 - BASE_S) // 60,
            (record.end_us - record.start_us) // 60_000_000,
            record.accelerators[0].count_milli,
        )
        for record in records(text, **{**LEVELS, **options})
    ]


def test_equal_levels_in_a_row_are_one_interval():
    """Three minutes of 14 cards, then one of 15: two intervals."""
    text = levels((0, 14, "a"), (1, 14, "a"), (2, 14, "a"), (3, 15, "a"))
    assert runs(text) == [("a", 0, 3, 14_000), ("a", 3, 1, 15_000)]
    first, second = records(text, "minutes.csv", **LEVELS)
    assert (first.id, second.id) == ("gauge-csv:minutes.csv:000000002", "gauge-csv:minutes.csv:000000005")
    assert (first.gpu_ms, first.active_ms, first.attempt, first.state) == (2_520_000, 180_000, BASE_S, "CLOSED")


def test_a_gap_is_not_filled():
    """A minute that nobody measured is not billed, and ends the interval."""
    assert runs(levels((0, 14, "a"), (2, 14, "a"))) == [("a", 0, 1, 14_000), ("a", 2, 1, 14_000)]


def test_a_level_of_zero_is_no_usage():
    """It ends an interval and makes none."""
    assert runs(levels((0, 1, "a"), (1, 0, "a"), (2, 1, "a"))) == [("a", 0, 1, 1000), ("a", 2, 1, 1000)]


def test_accounts_and_models_have_intervals_of_their_own():
    """Rows of several accounts may be mixed in any way; intervals come in the order of their starts."""
    text = levels((0, 1, "b"), (0, 2, "a"), (1, 1, "b"), (1, 2, "a"))
    assert runs(text) == [("a", 0, 2, 2000), ("b", 0, 2, 1000)]
    models = "time,gpus,vc,m\n" + "\n".join(f"{BASE_S},1,a,{model}" for model in ("a100", "h100"))
    found = records(models, **{**LEVELS, "mapping": {**MAPPING, "model": "m"}})
    assert [record.accelerators[0].model for record in found] == ["a100", "h100"]


def test_rows_out_of_order_are_placed():
    """A late row closes the gap that it left: the intervals are those of the sorted file."""
    rows = [(minute, 3, "a") for minute in range(5)]
    assert runs(levels(rows[3], rows[1], rows[0], rows[4], rows[2])) == runs(levels(*rows)) == [("a", 0, 5, 3000)]


@pytest.mark.parametrize(
    ("late", "reason"),
    [((1, 3), "duplicate"), ((1, 4), "conflict"), ((1, 0), "conflict"), ((1.5, 3), "overlap"), ((-0.5, 3), "overlap")],
)
def test_a_step_that_is_already_known_is_reported(late, reason):
    """The row read first stands: nothing is summed, averaged or replaced."""
    text = levels((0, 3, "a"), (1, 3, "a"), (2, 3, "a")) + f"\n{BASE_S + int(late[0] * 60)},{late[1]},a"
    assert skipped(text, **LEVELS) == [(5, reason)]
    assert runs(text) == [("a", 0, 3, 3000)]


def test_equal_levels_twice_are_not_summed():
    """Two rows for one account and minute, as of two nodes, are reported, not added: map what tells them apart."""
    assert totals(levels((0, 3, "a"), (0, 3, "a")), **LEVELS)["skipped"] == {"duplicate": 1}


def test_malformed_rows_are_skipped_and_the_rest_is_read():
    """A missing value is no zero: the gap that it leaves is not filled."""
    text = levels((0, 3, "a"), (1, "", "a"), (2, "NaN", "a"), (3, -1, "a"), (4, 3, ""), (5, 3, "a"))
    assert skipped(text, **LEVELS) == [(3, "bad-gpus"), (4, "bad-gpus"), (5, "bad-gpus"), (6, "bad-account")]
    assert runs(text) == [("a", 0, 1, 3000), ("a", 5, 1, 3000)]


def test_fractions_of_cards_are_levels_too():
    """Half a card for two minutes is 60 card-seconds."""
    assert totals(levels((0, "0.5", "a"), (1, "0.50", "a")), **LEVELS)["gpu_ms"] == 60_000


def test_another_step():
    """With a step of five minutes, rows a minute apart overlap."""
    text = levels((0, 3, "a"), (1, 3, "a"), (5, 3, "a"))
    assert skipped(text, **{**LEVELS, "step_s": 300}) == [(3, "overlap")]
    assert runs(text, step_s=300) == [("a", 0, 10, 3000)]


@pytest.mark.parametrize(("text", "seconds"), [("60s", 60), ("60", 60), ("5m", 300), ("1min", 60), ("1h", 3600)])
def test_steps_are_spelled_with_a_unit(text, seconds):
    """Seconds where no unit is given."""
    assert parse_step_s(text) == seconds


@pytest.mark.parametrize("text", ["", "0s", "-60s", "1.5m", "60 s", "1d", "s"])
def test_other_steps_are_refused(text):
    """The message shows a sound one."""
    with pytest.raises(MeteringError, match="60s"):
        parse_step_s(text)


@given(
    minutes=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3), st.sampled_from("ab")), max_size=60),
    random=st.randoms(use_true_random=False),
)
def test_run_length_coding_conserves_every_card_minute(minutes, random):
    """Any set of levels in any order: the intervals hold exactly those card-minutes, disjoint and as few as can be."""
    known = {(account, minute): gpus for minute, gpus, account in minutes}
    rows = [(minute, gpus, account) for (account, minute), gpus in known.items()]
    random.shuffle(rows)
    found = runs(levels(*rows))
    spread = {
        (account, start + offset): count_milli // 1000
        for account, start, length, count_milli in found
        for offset in range(length)
    }
    assert spread == {key: gpus for key, gpus in known.items() if gpus}
    assert len(spread) == sum(length for _, _, length, _ in found), "no minute stands in two intervals"
    ends = {(account, start + length, count) for account, start, length, count in found}
    assert not ends & {(account, start, count) for account, start, _, count in found}, "neighbours of one level are one"


@given(st.lists(st.tuples(st.integers(0, 600), st.integers(0, 3)), max_size=40))
def test_no_second_is_billed_twice(rows):
    """Rows at any second, with clashes: intervals of an account never overlap, and every row is kept or reported."""
    text = "\n".join(["time,gpus,vc", *(f"{BASE_S + second},{gpus},a" for second, gpus in rows)])
    found = items(text, **LEVELS)
    intervals = [(item.start_us, item.end_us) for item in found if hasattr(item, "start_us")]
    assert all(end <= start for (_, end), (start, _) in pairwise(intervals))
    steps = sum((end - start) // 60_000_000 for start, end in intervals)
    reported = sum(hasattr(item, "reason") for item in found)
    zeros = sum(gpus == 0 for _, gpus in rows)
    assert len(rows) - zeros - reported <= steps <= len(rows) - reported
