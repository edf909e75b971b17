"""Will the budget last: a year's budget month by month, what became of it, and what comes if all goes on as now (chart 1)."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import NamedTuple

from ledger import store as ledger_store
from ledger.amount import CNY
from ledger.budget import open_name, used_name
from ledger.sql import Connection
from metering.zones import shanghai_day_us
from suanquan.use_cases.closes import Close, Key, Moment, Moments, paid_up_to
from suanquan.use_cases.subsidies import day_of
from voucher import uptake_store
from voucher.outlook import DAYS, Outlook, outlook
from voucher.settlement.accounts import ROOT

NOTHING = Close()
YEARS_BACK = 20
"""How far back a budget is looked for where no later year has one."""


class Month(NamedTuple):
    """A month's end, or now: what of the budget was paid out, redeemed and not paid, on hold, available; or what is to come.

    `is_open` is the month that is not over. Months to come have what will have been redeemed: at least, expected, at most (80 %).
    """

    month: str
    paid: int | None = None
    unpaid: int | None = None
    held: int | None = None
    available: int | None = None
    is_open: bool = False
    low: int | None = None
    expected: int | None = None
    high: int | None = None

    @property
    def redeemed(self) -> int | None:
        """What vouchers paid, whether it was paid out or not."""
        return None if self.paid is None or self.unpaid is None else self.paid + self.unpaid


class Burn(NamedTuple):
    """A year's budget: its months, what it is, what is not redeemed of it, and whole days until it is used (None: no forecast, or ten years)."""

    year: int
    budget: int
    rest: int
    months: list[Month]
    outlook: Outlook | None
    days_known: int
    lasts: tuple[int | None, int | None, int | None] = (None, None, None)
    left_at_end: tuple[int, int, int] | None = None
    """What will not be redeemed by the end of the year: at least, expected, at most."""


def month_ends(year: int, today: date) -> list[tuple[str, int]]:
    """Months of a year that are over, with their last microsecond (UTC epoch)."""
    found = []
    for month in range(1, 13):
        following = date(year + month // 12, month % 12 + 1, 1)
        if following <= today:
            found.append((f"{year}-{month:02d}", shanghai_day_us(following) - 1))
    return found


def day_ends(today: date) -> list[int]:
    """Last microseconds of the complete days that a forecast looks at, and of the day before them."""
    return [shanghai_day_us(today - timedelta(days=back)) - 1 for back in range(DAYS, -1, -1)]


def together(
    closes: Mapping[Key, Close], paid: Mapping[str, int], year: int, schemes: Iterable[str]
) -> tuple[Close, int]:
    """Vouchers of a year's budgets over some schemes, and what of their use was paid out."""
    sums, out = [0] * len(Close._fields), 0
    for scheme in schemes:
        one = closes.get((scheme, year), NOTHING)
        before = sum(found.redeemed for (name, then), found in closes.items() if name == scheme and then < year)
        out += paid_up_to(paid.get(scheme, 0), before, one.redeemed)
        sums = [a + b for a, b in zip(sums, one, strict=True)]
    return Close(*sums), out


def month_row(month: str, close: Close, paid: int, *, is_open: bool = False) -> Month:
    """A month from what vouchers came to at its end."""
    return Month(month, paid, close.redeemed - paid, close.held, close.available, is_open)


def ahead_rows(year: int, today: date, redeemed: int, found: Outlook | None) -> list[Month]:
    """Months of the year that are not over, this one among them, with what will have been redeemed by their ends."""
    rows = []
    for month in range(today.month if today.year == year else 13, 13):
        name, last = f"{year}-{month:02d}", date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)
        then = found.after((last - today).days + 1) if found else None
        ends = (redeemed + then.low, redeemed + then.expected, redeemed + then.high) if then else (None, None, None)
        rows.append(Month(name, None, None, None, None, month == today.month, *ends))
    return rows


def burn(year: int, today: date, budget: int, past: Sequence[Month], now: Month, used_by_day: Sequence[int]) -> Burn:
    """The chart of a year: months that are over, the one that runs, and those to come."""
    current = today.year == year
    found = outlook(used_by_day) if current else None
    redeemed = now.redeemed or 0
    ahead = ahead_rows(year, today, redeemed, found)
    if ahead:
        ahead[0] = now._replace(low=ahead[0].low, expected=ahead[0].expected, high=ahead[0].high)
    rest = max(0, budget - redeemed)
    known = len(list(itertools.dropwhile(lambda used: used <= 0, used_by_day)))
    last = ahead[-1] if ahead else None
    if found is None or last is None or last.low is None or last.expected is None or last.high is None:
        return Burn(year, budget, rest, [*past, *ahead], None, known)
    left = (max(0, budget - last.high), max(0, budget - last.expected), max(0, budget - last.low))
    return Burn(year, budget, rest, [*past, *ahead], found, known, found.lasts(rest), left)


async def budgets_of(conn: Connection, keys: Iterable[Key]) -> dict[Key, int]:
    """Budgets in yuan units: what the year's cap still allows, and what was given or set aside of it."""
    names = {
        name: key
        for key in keys
        for name in (open_name((key[0], str(key[1])), CNY), used_name((key[0], str(key[1])), CNY))
    }
    found: dict[Key, int] = {}
    for one in await ledger_store.load_accounts_by_name(conn, list(names)):
        found[names[one.name]] = found.get(names[one.name], 0) + one.balance
    return found


async def load_burn(
    conn: Connection, closes: Moments[Moment], schemes: Sequence[str], now_us: int, year: int | None = None
) -> Burn | None:
    """The chart of some schemes for a year, by default the newest that has a budget; None where there is no budget."""
    today = day_of(now_us)
    years = range(year or today.year - YEARS_BACK, (year or today.year) + 1)
    budgets = await budgets_of(conn, [(scheme, one) for scheme in schemes for one in years])
    if not any(budgets.values()):
        return None
    chosen = max(key[1] for key, units in budgets.items() if units)
    ends, days = month_ends(chosen, today), day_ends(today)
    kept = await closes.at(conn, [*(at for _, at in ends), *days])
    live = await now_of(conn)
    past = [
        month_row(name, *_of(kept[at], chosen, schemes)) if _is_there(kept[at], chosen, schemes) else Month(name)
        for name, at in ends
    ]
    now = month_row(f"{today:%Y-%m}", *_of(live, chosen, schemes), is_open=True)
    redeemed = [_of(kept[at], chosen, schemes)[0].redeemed for at in days]
    used = [after - before for before, after in itertools.pairwise(redeemed)]
    budget = sum(units for (_, one), units in budgets.items() if one == chosen)
    return burn(chosen, today, budget, past, now, used)


def _is_there(moment: Moment, year: int, schemes: Sequence[str]) -> bool:
    """Whether a voucher of that year's budget had been issued: before, there is no figure, which is not 0."""
    return any((scheme, year) in moment.vouchers for scheme in schemes)


def _of(moment: Moment, year: int, schemes: Sequence[str]) -> tuple[Close, int]:
    return together(moment.vouchers, moment.paid, year, schemes)


async def now_of(conn: Connection) -> Moment:
    """How vouchers and payments stand now."""
    vouchers = {key: Close(*sums[2:]) for key, sums in (await uptake_store.sums_by_year(conn, CNY.number)).items()}
    paid: dict[str, int] = {}
    for name, balance in await ledger_store.balances_under(conn, f"{ROOT}/"):
        if name.endswith("/paid"):
            scheme = name.split("/")[1]
            paid[scheme] = paid.get(scheme, 0) + balance
    return Moment(vouchers, paid)
