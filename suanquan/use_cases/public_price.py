"""What an hour of one PFLOPS costs the public, by centre and quarter, beside the list price (chart 11)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

from ledger import store as ledger_store
from ledger.amount import CNY
from ledger.moments import totals_at_all
from ledger.sql import Connection
from metering import store as metering_store
from metering.zones import shanghai_day_us
from suanquan.catalog import Catalog
from suanquan.use_cases.firsts import quarter_of, quarter_span
from suanquan.use_cases.postings import receivable
from suanquan.use_cases.subsidies import day_of
from voucher.settlement.accounts import ROOT, centre_of

QUARTERS = 8


class Cost(NamedTuple):
    """A centre's quarter: yuan units that vouchers paid there and that its usage costs by the list, GFLOPS-milliseconds delivered."""

    centre: str
    quarter: str
    subsidised: int
    listed: int
    gflop_ms: int
    is_open: bool


def costs_of(
    covered: Mapping[str, Sequence[int]], quarters: Sequence[str], usage: Iterable[tuple[str, str, int, int]], this: str
) -> list[Cost]:
    """Quarters of each centre with usage; `covered` is what vouchers had paid by the end of each quarter, after what they had before.

    `usage` are centre, quarter, yuan units by the list, GFLOPS-milliseconds.
    """
    sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for centre, quarter, listed, gflop_ms in usage:
        sums[centre, quarter][0] += listed
        sums[centre, quarter][1] += gflop_ms
    found = []
    for centre, upto in sorted(covered.items()):
        for at, quarter in enumerate(quarters):
            listed, gflop_ms = sums.get((centre, quarter), (0, 0))
            paid = upto[at + 1] - upto[at]
            if gflop_ms or paid:
                found.append(Cost(centre, quarter, paid, listed, gflop_ms, quarter == this))
    return found


def quarters_to(now_us: int) -> list[str]:
    """The last quarters, this one among them, oldest first."""
    found = [quarter_of(day_of(now_us))]
    while len(found) < QUARTERS:
        found.insert(0, quarter_of(quarter_span(found[0])[0] - timedelta(days=1)))
    return found


async def load_costs(
    conn: Connection, catalog: Catalog, now_us: int, memo: dict[object, dict[str, list[int]]]
) -> list[Cost]:
    """Every centre's last quarters. What lies before the end of the log is kept in `memo` under the log's root."""
    quarters = quarters_to(now_us)
    head = await ledger_store.load_head(conn)
    assert head is not None, "a home has a ledger"
    key = head.root, quarters[-1]
    if key not in memo:
        covered = await _covered(conn, quarters)
        memo.clear()
        memo[key] = covered
    usage = []
    for row in await metering_store.usage_by(conn, "centre", "model", "month"):
        quarter = f"{row['month'] // 100}Q{(row['month'] % 100 + 2) // 3}"
        gflops = catalog.capacity_gflops.get(str(row["model"]), 0)
        usage.append((str(row["centre"]), quarter, int(row["rated_units"]), int(row["gpu_ms"]) * gflops))
    return costs_of(memo[key], quarters, usage, quarters[-1])


async def _covered(conn: Connection, quarters: Sequence[str]) -> dict[str, list[int]]:
    """By centre what vouchers had paid it before the first quarter and by the end of each.

    What a centre is owed, and what of it was claimed and paid since, less what accounts paid themselves.
    """
    of: dict[int, str] = {}
    for centre in await metering_store.load_centres(conn):
        for one in await ledger_store.load_accounts_by_name(conn, [receivable(centre)]):
            of[one.number] = centre
        for one in await ledger_store.accounts_under(conn, f"self-pay/{centre}/"):
            of[one.number] = centre  # its balance is below zero: it was debited
    for one in await ledger_store.accounts_under(conn, f"{ROOT}/"):
        if one.asset == CNY.number and (name := centre_of(one.name.split("/")[2])):
            of[one.number] = name
    ends = [shanghai_day_us(quarter_span(one)[0]) * 1000 - 1 for one in quarters]
    ends.append(shanghai_day_us(quarter_span(quarters[-1])[1]) * 1000 - 1)
    found = {centre: [0] * len(ends) for centre in await metering_store.load_centres(conn)}
    for number, totals in (await totals_at_all(conn, of, ends)).items():
        for at, then in enumerate(totals):
            found[of[number]][at] += then.balance
    return found
