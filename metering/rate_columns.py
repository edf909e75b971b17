"""Rating a compact batch: what `metering.rating.rate` would say of it, in sums over whole columns.

Only for what needs no look at single records: every card known and at one price throughout, nothing across a month, and
nothing that vouchers may not pay.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ledger.amount import INT64_MAX
from metering.compact import Column, Compact
from metering.months import month_index, month_name
from metering.prices import GFLOPS_MS_PER_COMPUTE_UNIT, MS_PER_HOUR
from metering.rating import AccountUsage, Line, LineKey, Tariff, Tariffs, sums_by


class Sums(NamedTuple):
    """What a batch comes to: by account, model and month, and by account in the order of first use."""

    lines: dict[LineKey, Line]
    accounts: dict[str, AccountUsage]


def rate_columns(batch: Compact, tariffs: Tariffs) -> Sums | None:
    """Sums of a batch; None where single records must be looked at (`metering.rating.rate`)."""
    first, last = int(batch.start_us.min()), max(int(batch.start_us.max()), int(batch.end_us.max()) - 1)
    found = [tariffs(word, first) for word, _ in batch.cards]
    known = [tariff for tariff in found if tariff is not None and tariff.until_us > last]
    if len(known) != len(found) or any(
        tariff.own_price(count) for tariff, (_, count) in zip(known, batch.cards, strict=True)
    ):
        return None
    months = _months(batch, first, last)
    amounts = None if months is None else _amounts(batch, known)
    if months is None or amounts is None:
        return None
    accounts = _accounts(batch, known, amounts)
    if isinstance(months, int) and len({tariff.model for tariff in known}) == 1:  # as most are: a line an account
        return Sums(_line_each(batch, known[0].model, months, accounts, amounts[2]), accounts)
    each = month_index(batch.start_us) if isinstance(months, int) else months
    return Sums(_lines(batch, known, each, amounts), accounts)


def _months(batch: Compact, first: int, last: int) -> int | Column | None:
    """The month of all records, or of each; None where one lies in more than one."""
    month, until = month_index(np.array((first, max(int(batch.end_us.max()) - 1, last)))).tolist()
    if month == until:
        return int(month)
    months = month_index(batch.start_us)
    return months if (month_index(np.maximum(batch.end_us - 1, batch.start_us)) == months).all() else None


def _amounts(batch: Compact, known: list[Tariff]) -> tuple[Column, Column, Column] | None:
    """GPU-milliseconds, yuan and compute of each record; None beyond what 64 bits can add up."""
    counts = np.array([count for _, count in batch.cards], dtype=np.int64)[batch.card]
    prices = np.array([tariff.price(n) for tariff, (_, n) in zip(known, batch.cards, strict=True)], dtype=np.int64)[
        batch.card
    ]
    gflops = np.array([tariff.gflops for tariff in known], dtype=np.int64)[batch.card]
    if int(counts.max()) * int(batch.active_ms.max()) > INT64_MAX:
        return None
    gpu_ms = counts * batch.active_ms // 1000
    if int(gpu_ms.max()) * max(int(prices.max()), int(gflops.max())) > INT64_MAX:
        return None
    return gpu_ms, gpu_ms * prices // MS_PER_HOUR, gpu_ms * gflops // GFLOPS_MS_PER_COMPUTE_UNIT


def _line_each(
    batch: Compact, model: str, month: int, accounts: dict[str, AccountUsage], compute: Column
) -> dict[LineKey, Line]:
    """The lines of a batch of one model and month: what was summed by account already."""
    sums, name = sums_by(compute, batch.account, len(accounts)).tolist(), month_name(month)
    return {
        (account, model, name): Line(use.records, use.gpu_ms, use.yuan, units)
        for (account, use), units in zip(accounts.items(), sums, strict=True)
    }


def _lines(
    batch: Compact, known: list[Tariff], months: Column, amounts: tuple[Column, Column, Column]
) -> dict[LineKey, Line]:
    models = list(dict.fromkeys(tariff.model for tariff in known))
    model = np.array([models.index(tariff.model) for tariff in known], dtype=np.int64)[batch.card]
    first = int(months.min())
    width = int(months.max()) - first + 1
    keys = (batch.account.astype(np.int64) * len(models) + model) * width + (months - first)
    distinct, group = _grouped(keys, len(batch.accounts) * len(models) * width)
    columns = [sums_by(column, group, len(distinct)).tolist() for column in (np.ones_like(group), *amounts)]
    lines: dict[LineKey, Line] = {}
    for key, *row in zip(distinct.tolist(), *columns, strict=True):
        pair, at = divmod(key, width)
        account, which = divmod(pair, len(models))
        lines[batch.accounts[account], models[which], month_name(first + at)] = Line(*row)
    return lines


def _grouped(keys: Column, size: int) -> tuple[Column, Column]:
    """Distinct keys below a size, ascending, and the place of each key among them."""
    if size > _DENSE_MAX:
        return np.unique(keys, return_inverse=True)
    used = np.zeros(size, dtype=bool)
    used[keys] = True
    return np.flatnonzero(used), (np.cumsum(used) - 1)[keys]


_DENSE_MAX = 65_536
"""Keys up to which a table of all of them is quicker than sorting those that occur."""


def _accounts(batch: Compact, known: list[Tariff], amounts: tuple[Column, Column, Column]) -> dict[str, AccountUsage]:
    group, size = batch.account, len(batch.accounts)
    first, last = np.full(size, INT64_MAX), np.full(size, -INT64_MAX)
    np.minimum.at(first, group, batch.start_us)
    np.maximum.at(last, group, np.maximum(batch.start_us, batch.end_us - 1))
    columns = np.bincount(group, minlength=size), *(sums_by(column, group, size) for column in amounts[:2]), first, last
    rows, models = zip(*(column.tolist() for column in columns), strict=True), {tariff.model for tariff in known}
    used = {name: AccountUsage(*row) for name, row in zip(batch.accounts, rows, strict=True)}
    if len(models) == 1:
        for use in used.values():
            use.models = models  # all share the one set, which nobody changes
    else:
        pairs, _ = _grouped(group.astype(np.int64) * len(known) + batch.card, size * len(known))
        for pair in pairs.tolist():
            account, card = divmod(pair, len(known))
            used[batch.accounts[account]].models.add(known[card].model)
    if batch.vouchers:
        for at, voucher in enumerate(batch.vouchers):
            if voucher is not None:
                used[batch.accounts[group[at]]].named = True
    return used
