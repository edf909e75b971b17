"""What charts are made of: pure functions of integers, by tables that an auditor can follow."""

from datetime import date, timedelta
from fractions import Fraction
from types import SimpleNamespace

import pytest

from ledger.history import Totals
from metering.zones import shanghai_day_us
from suanquan.portal import chart_views
from suanquan.portal.chart_text import NAMES, TEXTS
from suanquan.portal.office_text import TEXTS as OFFICE
from suanquan.use_cases import daily
from suanquan.use_cases.admission_chart import Criterion
from suanquan.use_cases.burn import Month, ahead_rows, burn, month_ends, month_row, together
from suanquan.use_cases.closes import Close, close_of, closes_of, paid_up_to
from suanquan.use_cases.firsts import First, lines_of, quarter_of, quarter_span, tenths_of
from suanquan.use_cases.flow import decided_on, percentile, stages_of, stays_of
from suanquan.use_cases.public_price import Cost, costs_of
from suanquan.use_cases.uptake import Utilised, merged
from subsidy.calendar import load_calendar
from subsidy.procedure import Effect, State
from subsidy.working_days import WorkingDays
from tests.shared_data import ROOT
from tests.suanquan.test_portal import PORTAL
from voucher.close_store import Left, Paper
from voucher.outlook import outlook
from voucher.uptake_store import Sums

TODAY = date(2026, 11, 20)
NOW_US = shanghai_day_us(TODAY) + 10 * 3_600_000_000
PAPER = Paper("v1", 7, "s", 1, 2026, 1_000, 5)


def totals(debits=0, put_in=0, held=0):
    return Totals(debits, put_in, held, 0, 3)


@pytest.mark.parametrize(
    ("had", "left", "close"),
    [
        (totals(put_in=1_000), {}, Close(1_000, 1_000, 0, 0, 0, 0)),
        (totals(300, 1_000, 50), {}, Close(1_000, 650, 50, 300, 0, 0)),
        (totals(300, 1_100), {}, Close(1_000, 800, 0, 200, 0, 0)),  # a hundred were given back: corrected
        (totals(1_000, 1_000), {"expired": 700}, Close(1_000, 0, 0, 300, 700, 0)),
        (totals(400, 1_000), {"split": 400}, Close(600, 600, 0, 0, 0, 0)),
        (totals(1_000, 1_000), {"returned": 900}, Close(1_000, 0, 0, 100, 0, 900)),
    ],
)
def test_a_voucher_adds_up(had, left, close):
    """What its account had and what left it: issued = available + held + redeemed + expired + returned."""
    assert close_of(PAPER, had, left) == close
    assert close.issued == close.available + close.held + close.redeemed + close.expired + close.returned


def test_what_came_later_is_not_in_a_moment():
    """Vouchers that had no entry yet were not issued, and what left a voucher afterwards had not left it."""
    papers = [PAPER, PAPER._replace(jti="v2", account=8, year=2025), PAPER._replace(jti="v3", account=9)]
    had = {7: totals(100, 1_000), 8: totals(400, 1_000), 9: totals()}
    left = [Left("v2", "expired", 400, 50), Left("v1", "expired", 100, 51)]
    assert closes_of(papers, had, left, 50) == {
        ("s", 2026): Close(1_000, 900, 0, 100, 0, 0),
        ("s", 2025): Close(1_000, 600, 0, 0, 400, 0),
    }


@pytest.mark.parametrize(
    ("paid", "before", "redeemed", "of_it"),
    [(0, 0, 10, 0), (7, 0, 10, 7), (30, 0, 10, 10), (7, 10, 10, 0), (15, 10, 10, 5), (0, 0, 0, 0)],
)
def test_what_was_redeemed_first_is_paid_first(paid, before, redeemed, of_it):
    """A scheme's payments go to the years of its vouchers in their order."""
    assert paid_up_to(paid, before, redeemed) == of_it


def test_schemes_are_put_together_each_with_its_own_payments():
    """No scheme's payment pays another's vouchers; other years and other schemes stay out."""
    closes = {
        ("a", 2025): Close(100, 0, 0, 100, 0, 0),
        ("a", 2026): Close(100, 60, 0, 40, 0, 0),
        ("b", 2026): Close(50, 20, 10, 20, 0, 0),
        ("c", 2026): Close(9, 9, 0, 0, 0, 0),
    }
    assert together(closes, {"a": 130, "b": 5, "c": 1}, 2026, ["a", "b"]) == (Close(150, 80, 10, 60, 0, 0), 35)
    assert month_row("2026-10", *together(closes, {"a": 130, "b": 5}, 2026, ["a", "b"])) == Month(
        "2026-10", 35, 25, 10, 80
    )


def test_months_end_when_they_are_over():
    """This month has not ended, nor have those to come; of a year that is over each has."""
    assert [name for name, _ in month_ends(2026, TODAY)] == [f"2026-{month:02d}" for month in range(1, 11)]
    assert month_ends(2026, TODAY)[-1][1] == shanghai_day_us(date(2026, 11, 1)) - 1
    assert len(month_ends(2025, TODAY)) == 12
    assert month_ends(2026, date(2026, 1, 31)) == []
    assert [name for name, _ in month_ends(2026, date(2027, 1, 1))][-1] == "2026-12"


def test_the_chart_of_a_budget_has_past_present_and_what_is_to_come():
    """By hand: a hundred a day, twenty days used; 11 days to the end of November, 42 to the end of the year."""
    now = Month("2026-11", 0, 2_000, 30, 1_000, is_open=True)
    past = [Month("2026-10", 0, 0, 0, 0)]
    found = burn(2026, TODAY, 5_000, past, now, [0] * 8 + [100] * 20)
    assert [row.month for row in found.months] == ["2026-10", "2026-11", "2026-12"]
    assert found.months[1] == now._replace(low=3_100, expected=3_100, high=3_100)
    assert found.months[2] == Month("2026-12", low=6_200, expected=6_200, high=6_200)
    assert found.rest == 3_000
    assert found.lasts == (30, 30, 30)
    assert found.left_at_end == (0, 0, 0)
    words = chart_views.burn_words(TEXTS["zh"], found, TODAY)
    assert "2026-12-20" in words[1]


@pytest.mark.parametrize("used", [[], [0] * 28, [0] * 20 + [100] * 8])
def test_with_too_little_there_is_no_line_and_words_say_why(used):
    """Months to come have no figure then, which is not 0."""
    found = burn(2026, TODAY, 5_000, [], Month("2026-11", 0, 800, 0, 0, is_open=True), used)
    assert found.outlook is None
    assert found.months[-1] == Month("2026-12")
    assert chart_views.burn_words(TEXTS["en"], found, TODAY)[1].startswith("Of the last 28 complete days")


def test_a_year_that_is_over_has_no_forecast():
    """Its twelve months stand, and none is to come."""
    past = [Month(f"2025-{month:02d}", 0, month, 0, 0) for month in range(1, 13)]
    found = burn(2025, TODAY, 100, past, Month("2026-11", 0, 12, 0, 0), [100] * 28)
    assert found.months == past
    assert found.outlook is None
    assert ahead_rows(2025, TODAY, 0, outlook([100] * 28)) == []


STEPS = ("2026-11-02 submit", "2026-11-04 return", "2026-11-05 supplement", "2026-11-10 post", "2026-11-19 approve")


def procedure():
    """Three states and their steps, as a file would have them."""
    targets = {
        "submit": ("got", ()),
        "return": ("back", ()),
        "supplement": ("got", ()),
        "note": (None, ()),
        "post": ("public", (Effect.NOTICE,)),
        "approve": ("done", (Effect.COMMIT,)),
        "refuse": ("no", ()),
    }
    steps = {
        name: SimpleNamespace(target=target, effects=effects, takes=("until",) if name == "return" else ())
        for name, (target, effects) in targets.items()
    }
    names = ("got", "back", "public", "done", "no")
    states = {name: State(name, name, name, final=name == "no") for name in names}
    return SimpleNamespace(id="p", states=states, steps=steps, notice_working_days=5)


def taken(*texts):
    return [(text.split()[1], date.fromisoformat(text.split()[0])) for text in texts]


@pytest.fixture(scope="module")
def days():
    return WorkingDays(load_calendar(ROOT / "config/calendars"))


def test_a_case_stays_in_one_state_after_another():
    """A step that leads nowhere ends no stay; the last stay is open, and a final state is none."""
    found = stays_of(procedure(), taken(*STEPS[:3], "2026-11-06 note", *STEPS[3:]))
    assert [(one.state, one.since.day, one.until and one.until.day) for one in found] == [
        ("got", 2, 4), ("back", 4, 5), ("got", 5, 10), ("public", 10, 19), ("done", 19, None),
    ]  # fmt: skip
    assert stays_of(procedure(), taken(STEPS[0], "2026-11-03 refuse"))[-1].until == date(2026, 11, 3)


def test_stages_have_their_median_and_who_waits(days):
    """By hand: `got` was left after 2, 3 and 1 working days; a notice is at least five; a state nobody came to is not listed."""
    of = procedure()
    stays = stays_of(of, taken(*STEPS)) + stays_of(of, taken("2026-11-16 submit", "2026-11-17 refuse"))
    stays += stays_of(of, taken("2026-11-10 submit")) + stays_of(of, taken("2027-01-04 submit"))
    got, back, public, done = stages_of([of], stays, days, TODAY)
    assert (got.state, got.done, got.median, got.p90, got.waiting, got.longest, got.limit) == (
        "got",
        3,
        2,
        3,
        2,
        8,
        None,
    )
    assert got.unknown == 0  # the one that waits since a day to come has waited for none
    assert (back.done, back.median, public.limit, public.median) == (1, 1, 5, 7)
    assert (done.waiting, done.longest, done.median) == (1, 1, None)
    assert stages_of([of], stays_of(of, taken("2022-03-01 submit")), days, TODAY)[0].unknown == 1


@pytest.mark.parametrize(
    ("steps", "day"),
    [(STEPS, 19), (STEPS[:4], None), ((STEPS[0], "2026-11-03 refuse"), 3), (STEPS[:1], None)],
)
def test_a_case_is_decided_once_money_is_committed_or_it_ends(steps, day):
    """Paying and issuing come after."""
    found = decided_on(procedure(), taken(*steps))
    assert (found and found.day) == day


@pytest.mark.parametrize(
    ("values", "percent", "found"),
    [([5], 50, 5), ([1, 2], 50, 1), ([1, 2, 3], 50, 2), (range(1, 11), 90, 9), (range(1, 12), 90, 10), ([4], 90, 4)],
)
def test_percentiles_are_of_the_nearest_rank(values, percent, found):
    """A value that occurred, never one in between."""
    assert percentile(list(values), percent) == found


def first(issued, days):
    return First(shanghai_day_us(date.fromisoformat(issued)), days)


def test_first_use_by_quarter_says_what_may_still_rise():
    """Of a quarter the points that all have reached are settled, those that some have are open, the others have no figure."""
    vouchers = [first("2026-07-01", 3), first("2026-09-30", None), first("2026-11-01", 0)]
    third, fourth = lines_of(vouchers, NOW_US)
    assert (third.quarter, third.issued, third.used) == ("2026Q3", 2, 1)
    assert third.by == (0, 1, 1, 1, 1, 1, 1, None, None)
    assert third.settled == 4  # 0, 7, 14 and 30 days: the younger is 51 days old
    assert (fourth.by[:3], fourth.by[3], fourth.settled) == ((1, 1, 1), None, 3)
    rows = chart_views.first_rows([third, fourth])
    assert rows[1].cells == [("50.0%", False), ("100.0%", False)]
    assert rows[4].cells == [("50.0%", True), ("—", True)]
    assert rows[7].cells == [("—", True), ("—", True)]


def test_only_the_newest_quarters_have_lines_of_their_own():
    """Five lines at most: four quarters, and those before together."""
    starts = ("2025-01-01", "2025-04-01", "2025-07-01", "2025-10-01", "2026-01-01", "2026-04-01", "2026-07-01")
    found = lines_of([first(day, 1) for day in starts], NOW_US)
    assert [line.quarter for line in found] == ["earlier", "2025Q4", "2026Q1", "2026Q2", "2026Q3"]
    assert found[0].issued == 3
    assert len(lines_of([first(day, 1) for day in starts[:5]], NOW_US)) == 5


def test_tenths_say_how_much_went_to_how_few():
    """Ten holders: the first got half. Three holders: a tenth is at least one of them. All tenths are everybody."""
    ten = tenths_of([500, 100, 100, 100, 50, 50, 50, 30, 20, 0])
    assert [(one.holders, one.units) for one in ten][:2] == [(1, 500), (2, 600)]
    assert ten[-1] == (10, 10, 1_000)
    assert chart_views.spread_share(ten) == "50.0%"
    three = tenths_of([1, 5, 3])
    assert [one.holders for one in three] == [1, 1, 1, 1, 1, 1, 2, 2, 2, 3]
    assert (three[0].units, three[-1].units) == (5, 9)
    assert tenths_of([]) == []
    assert chart_views.spread_share(tenths_of([0])) == "—"


@pytest.mark.parametrize(
    ("day", "quarter"), [("2026-01-01", "2026Q1"), ("2026-03-31", "2026Q1"), ("2026-04-01", "2026Q2"), ("2026-12-31", "2026Q4")]
)  # fmt: skip
def test_quarters(day, quarter):
    """A quarter holds its days, and the next begins where it ends."""
    first_day, after = quarter_span(quarter)
    assert quarter_of(date.fromisoformat(day)) == quarter
    assert first_day <= date.fromisoformat(day) < after
    assert quarter_of(after) != quarter == quarter_of(after - timedelta(days=1))


HOUR = 3_600_000_000


def heard(**changes):
    begin = shanghai_day_us(TODAY) // HOUR
    given = {
        "used": {"a": {begin: 3_600_000, begin - 24: 7_200_000}},
        "seen": {"a": {begin + 1: (5, 9)}},
        "cards": {"a": {"A100": [(0, 2_000)]}},
        "first_us": {"a": shanghai_day_us(date(2026, 11, 18)) + 5},
        "last_us": {"a": NOW_US},
    }
    return daily.Heard(**(given | changes))


def test_days_of_a_centre_say_what_is_known():
    """Two cards: 20 card-hours in the ten hours of today, of which one was used; of the hours two were heard of."""
    days = daily.days_of(["a"], heard(), NOW_US, 4)["a"]
    assert [one.known for one in days] == [False, True, True, True]
    today = days[-1]
    assert (today.gpu_ms, today.capacity_ms, today.heard, today.passed) == (3_600_000, 20 * 3_600_000, 2, 10)
    assert today.is_open
    assert today.monitors
    assert [chart_views.use_of(one) for one in days] == ["—", "0.0%", "4.2%", "5.0%"]
    assert [chart_views.heard_of(one) for one in days] == ["—", "0.0%", "4.2%", "20.0%"]
    assert [chart_views.heat_of(one) for one in days] == ["none", "gap", "level-0", "level-0"]


def test_a_silent_centre_has_gaps_and_no_noughts():
    """After its last word nothing is known; one that never reported has no figure at all, and stands last."""
    quiet = heard(last_us={"a": shanghai_day_us(date(2026, 11, 19)) + 5}, cards={"a": {"A100": [(0, 2_000)]}, "b": {}})
    days = daily.days_of(["b", "a"], quiet, NOW_US, 3)
    assert [one.known for one in days["a"]] == [True, True, False]
    assert [one.known for one in days["b"]] == [False] * 3
    rows = chart_views.centre_rows(days, {"a": "甲", "b": "乙"})
    assert [(row.centre, row.mean) for row in rows] == [("a", "2.1%"), ("b", "—")]


def test_cards_that_come_are_marked():
    """The day on which capacity changes has its mark; capacity that was only declared has none."""
    change = shanghai_day_us(date(2026, 11, 19)) + 12 * HOUR
    days = daily.days_of(["a"], heard(cards={"a": {"A100": [(5, 2_000), (change, 4_000)]}}), NOW_US, 3)["a"]
    assert [one.steps for one in days] == [False, True, False]
    assert days[1].capacity_ms == 3 * 24 * 3_600_000


def test_hours_of_a_day_stop_where_it_stands():
    """Ten hours of today have passed; an hour with neither usage nor a report is unknown."""
    hours = daily.hours_list("a", TODAY, heard(), NOW_US)
    assert len(hours) == 10
    assert [(one.gpu_ms, one.seen_ms) for one in hours[:3]] == [(3_600_000, None), (0, 9), (0, None)]


def test_costs_are_what_came_in_each_quarter():
    """What vouchers had paid by the end of a quarter less what they had before; quarters without anything have no row."""
    usage = [("a", "2026Q3", 500, 70), ("a", "2026Q3", 100, 30), ("b", "2026Q4", 10, 5)]
    found = costs_of({"a": [5, 305, 305], "b": [0, 0, 8]}, ["2026Q3", "2026Q4"], usage, "2026Q4")
    assert found == [Cost("a", "2026Q3", 300, 600, 100, is_open=False), Cost("b", "2026Q4", 8, 10, 5, is_open=True)]
    hour = 3_600_000 * 10**6
    assert chart_views.price(30 * 10**6, 4 * hour) == "7.50"
    assert chart_views.price(10 * 10**6, 3 * hour) == "3.33"
    assert chart_views.price(5, 0) == "—"


def sums(holders, redeemed=0):
    return Sums(holders, holders, redeemed, 0, 0, redeemed, 0, 0)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ([("enterprise", 5), ("other", 4)], [("enterprise", 5), ("other", 4)]),
        ([("enterprise", 5), ("public-institution", 2), ("other", 1)], [("enterprise", 5), ("other", 3)]),
        ([("enterprise", 5), ("public-institution", 2)], [("other", 7)]),
        ([("enterprise", 5), ("public-institution", 3), ("other", 2)], [("enterprise", 5), ("other", 5)]),
        ([("enterprise", 3)], [("enterprise", 3)]),
        ([("enterprise", 2)], []),
        ([("other", 2)], []),
        ([], []),
    ],
)
def test_no_group_of_few_is_shown_to_everybody(given, shown):
    """Fewer than three go with the others, and the others never are fewer than three; nothing gets lost on the way."""
    found = merged([(kind, sums(count, 10 * count)) for kind, count in given])
    assert [(kind, one.holders) for kind, one in found] == shown
    assert not found or sum(one.redeemed for _, one in found) == sum(10 * count for _, count in given)


def test_at_most_five_card_models_have_a_colour():
    """Those that computed most, and the others together; each month adds up."""
    rows = [Utilised("a", f"M{at}", month, at, 0, 10 * at, 0) for at in range(1, 8) for month in ("2026-10", "2026-09")]
    models, months = chart_views.delivered_rows(rows, "其他", 12)
    assert models == ["M7", "M6", "M5", "M4", "其他"]
    assert [month.month for month in months] == ["2026-09", "2026-10"]
    assert all(month.gflop_ms == [70, 60, 50, 40, 60] and month.gpu_ms == [7, 6, 5, 4, 6] for month in months)
    assert chart_views.delivered_rows(rows[:10], "其他", 12)[0] == ["M5", "M4", "M3", "M2", "M1"]


@pytest.mark.parametrize(
    ("fact", "operator", "threshold", "value", "place", "said"),
    [
        ("green_power_share", "ge", "0.10", "0.15", 750, ("≥ 10.0%", "15.0%")),
        ("pue", "lt", "1.25", "1.20", 400, ("< 1.250", "1.200")),
        ("pue", "lt", "1.25", "1.80", 1000, ("< 1.250", "1.800")),
        ("compute_pflops_fp16_dense", "ge", "20000", "8", 0, ("≥ 20000", "8")),
        ("compute_equipment_investment_yuan", "ge", "3000000000", "3000000000", 500, ("≥ 30.00 亿元", "30.00 亿元")),
        ("green_power_share", "ge", "0.10", None, None, ("≥ 10.0%", "—")),
    ],
)
def test_bullets_have_their_threshold_in_the_middle(fact, operator, threshold, value, place, said):
    """PUE begins at one; what is more than twice the threshold ends with the bar, and what is unknown has none."""
    known = None if value is None else Fraction(value)
    one = Criterion("id", fact, "", operator, Fraction(threshold), known, None, 1 if fact == "pue" else 0)
    assert one.place == place
    assert chart_views.criterion_said(one, TEXTS["zh"]) == said


def test_every_text_of_charts_stands_in_both_languages_and_is_used():
    """Placeholders agree, and each key stands on a page or is named by what it stands for."""
    used = "".join(path.read_text("utf-8") for path in (*PORTAL.glob("templates/**/*.html"), *PORTAL.glob("chart*.py")))
    assert not [key for key in NAMES if key in OFFICE["zh"]], "no text of another page is replaced"
    for key in NAMES:
        chinese, english = TEXTS["zh"][key], TEXTS["en"][key]
        assert chinese
        assert english
        assert sorted(part.split("}")[0] for part in chinese.split("{")[1:]) == sorted(
            part.split("}")[0] for part in english.split("{")[1:]
        ), key
        by_value = key.startswith(("crit_", "state_"))
        assert by_value or f"t.{key}" in used or f'"{key}"' in used, key
