"""What the charts' templates are given: rows as they are printed, and the sentences beside them. All figures come as integers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from fractions import Fraction
from typing import Any, NamedTuple

from suanquan.portal import figures
from suanquan.use_cases import daily
from suanquan.use_cases.admission_chart import Criterion
from suanquan.use_cases.burn import Burn
from suanquan.use_cases.daily import Day
from suanquan.use_cases.firsts import MARKS, OTHERS, POINTS, Line, Tenth
from suanquan.use_cases.flow import Flow, Stage
from suanquan.use_cases.public_price import Cost
from suanquan.use_cases.uptake import Utilised
from subsidy.operators import SYMBOLS
from subsidy.procedure import Procedure
from voucher.outlook import AHEAD_MAX

BAR = 1_000
"""A bar in a cell runs to this."""
MODELS_MAX = 4
"""Card models that have a colour of their own; the others are together."""
CENT = 10**4
"""Yuan units in a fen."""


def amount_said(units: int) -> str:
    """An amount in a sentence, whole fen, rounded down: in the unit of the page, without zeros behind the second decimal."""
    whole, _, fraction = figures.amount(units // CENT * CENT).striptags().partition(".")
    return f"{whole}.{fraction.rstrip('0').ljust(2, '0')}"


def burn_words(t: Mapping[str, str], one: Burn, today: date) -> list[str]:
    """What the chart says, in sentences: how the budget stands, until when it lasts, what is left at the end of the year."""
    amounts = {"budget": one.budget, "redeemed": one.budget - one.rest, "rest": one.rest}
    said = [t["burn_stands"].format_map({name: amount_said(units) for name, units in amounts.items()})]
    if one.year != today.year:
        return [*said, t["burn_over"].format(year=one.year)]
    if one.outlook is None or one.left_at_end is None:
        return [*said, t["burn_unknown"].format(known=one.days_known)]

    def day(ahead: int | None) -> str:
        return t["burn_beyond"] if ahead is None else (today + timedelta(days=ahead)).isoformat()

    first, middle, last = map(day, one.lasts)
    key = "burn_long" if one.lasts[1] is None else "burn_out"
    said.append(t[key].format(days=one.outlook.days, day=middle, first=first, last=last))
    low, expected, high = map(amount_said, one.left_at_end)
    return [*said, t["burn_left"].format(expected=expected, low=low, high=high)]


assert AHEAD_MAX > 3_650, "the sentences speak of ten years"


def burn_shown(t: Mapping[str, str], one: Burn | None, today: date) -> dict[str, Any] | None:
    """The chart of a budget; amounts to come are whole fen, rounded down."""
    if one is None:
        return None
    return {"burn": one, "words": burn_words(t, one, today), "round": lambda units: units // CENT * CENT}


class StageRow(NamedTuple):
    """A stage as printed, its bars in thousandths of the longest."""

    name: str
    state: str
    stage: Stage
    median: int
    p90: int
    limit: int | None


def stage_rows(stages: Sequence[Stage], procedures: Mapping[str, Procedure], *, english: bool) -> list[StageRow]:
    """Stages with the names of their states, those of several procedures with theirs."""
    most = max((max(one.p90 or 0, one.limit or 0) for one in stages), default=0) or 1
    several = len({one.procedure for one in stages}) > 1
    rows = []
    for one in stages:
        procedure = procedures[one.procedure]
        state = procedure.states[one.state]
        name = state.en if english else state.zh
        title = procedure.title_en if english else procedure.title_zh
        median, p90 = BAR * (one.median or 0) // most, BAR * (one.p90 or 0) // most
        limit = None if one.limit is None else BAR * one.limit // most
        rows.append(StageRow(f"{name} · {title}" if several else name, name, one, median, p90, limit))
    return rows


def returns_said(t: Mapping[str, str], flow: Flow) -> str:
    """How often cases were returned, as one phrase."""
    return t["and_so_on"].join(
        t["returns_of"].format(times=times, count=f"{count:,}") for times, count in flow.returned.items()
    )


class FirstRow(NamedTuple):
    """A number of days since issue, and of each quarter the part that was used by then, and whether that may still rise."""

    days: int
    cells: list[tuple[str, bool]]


def first_rows(lines: Sequence[Line]) -> list[FirstRow]:
    """The table of chart 4: a row for each number of days, a column for each quarter."""
    return [
        FirstRow(
            point,
            [
                ("—" if line.by[at] is None else figures.percent(line.by[at] or 0, line.issued), at >= line.settled)
                for line in lines
            ],
        )
        for at, point in enumerate(POINTS)
    ]


def first_heads(t: Mapping[str, str], lines: Sequence[Line]) -> list[str]:
    """Names of the quarters, with how many vouchers each has."""
    return [f"{t['earlier'] if line.quarter == OTHERS else line.quarter} ({line.issued:,})" for line in lines]


FIRST_MARKS = ",".join(map(str, MARKS))


def spread_share(tenths: Sequence[Tenth]) -> str:
    """What the first tenth got, in the title of the chart."""
    return figures.percent(tenths[0].units, tenths[-1].units) if tenths and tenths[-1].units else "—"


class CentreDays(NamedTuple):
    """A centre's row: days of use or of reports, and the mean over those that are known ("—": none is)."""

    centre: str
    name: str
    mean: str
    days: list[Day]


def centre_rows(days: Mapping[str, list[Day]], names: Mapping[str, str]) -> list[CentreDays]:
    """Centres with a figure on any day, those that are used most first."""
    rows = []
    for centre in daily.by_mean(days):
        used, there = daily.mean_use(days[centre])
        rows.append(CentreDays(centre, names[centre], figures.percent(used, there) if there else "—", days[centre]))
    return rows


def use_of(day: Day) -> str:
    """Utilisation of a day as printed."""
    return figures.percent(day.gpu_ms, day.capacity_ms) if day.known and day.capacity_ms else "—"


def heard_of(day: Day) -> str:
    """Hours of a day that something was heard of, as printed."""
    return figures.percent(day.heard, day.passed) if day.known and day.passed else "—"


def heat_of(day: Day) -> str:
    """Class of the cell: what is not known is hatched, a day of which nothing was heard framed."""
    if not day.known or not day.passed:
        return "none"
    return f"level-{4 * day.heard // day.passed}" if day.heard else "gap"


class Delivered(NamedTuple):
    """A month: GFLOPS-milliseconds and GPU-milliseconds by model, in the order of `models`."""

    month: str
    gflop_ms: list[int]
    gpu_ms: list[int]


def delivered_rows(rows: Sequence[Utilised], others: str, months: int) -> tuple[list[str], list[Delivered]]:
    """The newest months by card model: the models that computed most have a column each, the others one."""
    total: Counter[str] = Counter()
    for row in rows:
        total[row.model] += row.gflop_ms
    ranked = [model for model, _ in sorted(total.items(), key=lambda pair: (-pair[1], pair[0]))]
    models = ranked if len(ranked) <= MODELS_MAX + 1 else [*ranked[:MODELS_MAX], others]
    column = {model: min(at, len(models) - 1) for at, model in enumerate(ranked)}
    found: dict[str, Delivered] = {}
    for row in sorted(rows, key=lambda one: one.month):
        line = found.setdefault(row.month, Delivered(row.month, [0] * len(models), [0] * len(models)))
        line.gflop_ms[column[row.model]] += row.gflop_ms
        line.gpu_ms[column[row.model]] += row.gpu_ms
    return models, list(found.values())[-months:]


def price(yuan_units: int, gflop_ms: int) -> str:
    """Yuan for each PFLOPS·h, to the fen; "—" where nothing was computed."""
    if not gflop_ms:
        return "—"
    return amount_said(yuan_units * figures.GFLOP_MS_PER_PFLOPS_HOUR // gflop_ms)


def price_lines(costs: Sequence[Cost], names: Mapping[str, str], most: int) -> list[str]:
    """Centres that have a line: those with most computing."""
    total: Counter[str] = Counter()
    for one in costs:
        total[one.centre] += one.gflop_ms
    return sorted((centre for centre, _ in total.most_common(most)), key=lambda centre: names[centre])


def criterion_said(one: Criterion, t: Mapping[str, str]) -> tuple[str, str]:
    """Threshold and value of a criterion as printed: shares in percent, investments in yuan."""
    if one.threshold is None:
        return t["must_hold"], "—" if one.verdict is None else t["is_met"] if one.verdict else t["is_not_met"]
    sense = SYMBOLS[one.operator].replace(">=", "≥").replace("<=", "≤")
    return f"{sense} {_number(one, one.threshold, t)}", "—" if one.value is None else _number(one, one.value, t)


def _number(one: Criterion, value: Fraction, t: Mapping[str, str]) -> str:
    """A share in percent, an investment in hundreds of millions, anything else as it is; nothing is parted by thousands."""
    numerator, denominator = value.numerator, value.denominator
    if one.fact.endswith("_share"):
        return f"{figures.quotient(numerator * 100, denominator, 1)}%"
    if one.fact.endswith("_yuan"):
        return t["hundred_million"].format(number=figures.quotient(numerator, denominator * 10**8, 2).replace(",", ""))
    return figures.quotient(numerator, denominator, 3 if one.fact == "pue" else 0).replace(",", "")


DAYS_SHOWN = {"day_use": use_of, "day_heard": heard_of, "day_heat": heat_of}
"""How templates print the days of centres."""
