"""How long vouchers last: per voucher, and per account over all that may pay for it."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterable
from typing import Any, NamedTuple

from ledger import store as ledger_store
from ledger.amount import ASSETS_BY_NUMBER, Asset, format_units
from ledger.history import totals_at
from ledger.scope import EVERYTHING
from ledger.sql import Connection
from metering.forecast import DAYS, Forecast, forecast
from metering.zones import SHANGHAI, rfc3339, shanghai_day_us
from suanquan.use_cases.issue import load
from voucher import purse_store
from voucher import store as voucher_store
from voucher.store import StoredVoucher

DAY_US = 86_400_000_000
VOUCHERS_MAX = 50
"""Vouchers of one account that are looked at; those drawn on first come first."""


class _Spending(NamedTuple):
    """A voucher's free balance, and what was spent of it on each of the last complete days."""

    stored: StoredVoucher
    available: int
    by_day: list[int]
    balances: list[int]
    """At the start of each of these days, and of today."""

    @property
    def asset(self) -> Asset:
        return ASSETS_BY_NUMBER[self.stored.asset]


def day_starts(now_us: int) -> list[int]:
    """Starts of the last complete days in Shanghai, and of today."""
    today = dt.datetime.fromtimestamp(now_us // 1_000_000, SHANGHAI).date()
    return [shanghai_day_us(today - dt.timedelta(days=back)) for back in range(DAYS, -1, -1)]


async def voucher_forecast(conn: Connection, jti: str, now_us: int) -> dict[str, Any]:
    """What is to be expected of one voucher.

    Raises:
        VoucherError: `voucher-unknown`.

    """
    [one] = await _spending(conn, [await load(conn, jti, EVERYTHING)], now_us)
    return _voucher(one, now_us)


class Day(NamedTuple):
    """A complete day in Shanghai: what was used of a voucher, and what was left at its end, on hold included."""

    day: str
    used: str
    left: str


async def voucher_outlook(conn: Connection, jti: str, now_us: int) -> tuple[dict[str, Any], list[Day]]:
    """What is to be expected of one voucher, and what the last days since its issue were like.

    Raises:
        VoucherError: `voucher-unknown`.

    """
    [one] = await _spending(conn, [await load(conn, jti, EVERYTHING)], now_us)
    starts = day_starts(now_us)
    days = [
        Day(
            dt.datetime.fromtimestamp(begin // 1_000_000, SHANGHAI).date().isoformat(),
            format_units(used, one.asset),
            format_units(left, one.asset),
        )
        for begin, end, used, left in zip(starts, starts[1:], one.by_day, one.balances[1:], strict=False)
        if end > one.stored.issued_us
    ]
    return _voucher(one, now_us), days


async def account_forecast(conn: Connection, centre: str, account: str, now_us: int) -> dict[str, Any]:
    """What is to be expected of all vouchers that may pay for an account, together by unit, and one by one."""
    _, rows = await purse_store.spendable_by(conn, centre, account)
    jtis = [row.jti for row, _ in sorted(rows, key=lambda one: (one[0].priority, one[0].until_us, one[0].jti))]
    stored = await voucher_store.load_vouchers(conn, jtis[:VOUCHERS_MAX])
    in_force = [stored[jti] for jti in jtis[:VOUCHERS_MAX] if stored[jti].from_us <= now_us < stored[jti].until_us]
    found = await _spending(conn, in_force, now_us)
    assets = dict.fromkeys(one.asset for one in found)
    return {
        "centre": centre,
        "account": account,
        "as_of": rfc3339(now_us),
        "units": [_together([one for one in found if one.asset is asset], asset, now_us) for asset in assets],
        "vouchers": [_voucher(one, now_us) for one in found],
    }


async def _spending(conn: Connection, vouchers: Iterable[StoredVoucher], now_us: int) -> list[_Spending]:
    vouchers = list(vouchers)
    starts = day_starts(now_us)
    accounts = {one.number: one for one in await ledger_store.load_accounts(conn, [v.account for v in vouchers])}
    gone: dict[str, list[tuple[int, int]]] = {}
    for jti, units, at_us in await purse_store.flows_of(conn, [voucher.jti for voucher in vouchers]):
        gone.setdefault(jti, []).append((units, at_us))
    found = []
    for voucher in vouchers:
        account = accounts[voucher.account]
        balances = [
            (await totals_at(conn, account, start * 1000 - 1)).balance if start > voucher.issued_us else 0
            for start in starts
        ]
        by_day = []
        for at, (begin, end) in enumerate(itertools.pairwise(starts)):
            came = voucher.units if begin <= voucher.issued_us < end else 0
            left = sum(units for units, at_us in gone.get(voucher.jti, ()) if begin <= at_us < end)
            by_day.append(balances[at] - balances[at + 1] + came - left)
        found.append(_Spending(voucher, account.available, by_day, balances))
    return found


def _voucher(one: _Spending, now_us: int) -> dict[str, Any]:
    days_valid = max(0, one.stored.until_us - now_us) // DAY_US
    expected = forecast(one.available, one.by_day)
    told: dict[str, Any] = {
        "jti": one.stored.jti,
        "unit": one.asset.code,
        "available": format_units(one.available, one.asset),
        "valid_until": rfc3339(one.stored.until_us),
        "forecast": _told(expected, one.asset, now_us),
    }
    if expected is not None:
        left = expected.unused_after(one.available, days_valid)
        told["unused_at_end"] = format_units(left, one.asset)
    return told


def _together(some: list[_Spending], asset: Asset, now_us: int) -> dict[str, Any]:
    available = sum(one.available for one in some)
    by_day = [sum(days) for days in zip(*(one.by_day for one in some), strict=True)]
    return {
        "unit": asset.code,
        "available": format_units(available, asset),
        "forecast": _told(forecast(available, by_day), asset, now_us),
    }


def _told(found: Forecast | None, asset: Asset, now_us: int) -> dict[str, Any]:
    """`known: false` where too little was spent to say anything; days in Shanghai."""
    if found is None:
        return {"known": False}
    today = dt.datetime.fromtimestamp(now_us // 1_000_000, SHANGHAI).date()

    def day(days: int | None) -> str | None:
        return None if days is None or days > 36_500 else (today + dt.timedelta(days=days)).isoformat()

    return {
        "known": True,
        "days_of_data": found.days,
        "spent": format_units(found.spent, asset),
        "days_left": found.days_left,
        "runs_out": day(found.days_left),
        "earliest": day(found.days_least),
        "latest": day(found.days_most),
    }
