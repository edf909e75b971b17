"""What an hour of one PFLOPS costs the public, by centre and quarter, beside the list price (chart 11)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import NamedTuple

from ledger import store as ledger_store
from ledger.moments import totals_at_all
from ledger.sql import Connection
from metering import store as metering_store
from metering.zones import shanghai_day_us
from suanquan.use_cases.closes import Moments
from suanquan.use_cases.firsts import quarter_of, quarter_span
from suanquan.use_cases.postings import receivable
from suanquan.use_cases.subsidies import day_of
from suanquan.use_cases.uptake import Utilised
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
    conn: Connection, covered: Moments[dict[str, int]], usage: Iterable[Utilised], now_us: int
) -> list[Cost]:
    """Every centre's last quarters, from what is kept of those that are over and what stands now."""
    quarters = quarters_to(now_us)
    starts = [shanghai_day_us(quarter_span(one)[0]) - 1 for one in quarters]
    then, now = await covered.at(conn, starts), await covered_now(conn)
    upto = {centre: [*(then[at].get(centre, 0) for at in starts), units] for centre, units in now.items()}
    told = [(row.centre, quarter_of(date.fromisoformat(f"{row.month}-01")), row.yuan, row.gflop_ms) for row in usage]
    return costs_of(upto, quarters, told, quarters[-1])


async def covered_at(conn: Connection, moments_us: Sequence[int]) -> dict[int, dict[str, int]]:
    """By centre what vouchers had paid it up to each moment.

    What a centre is owed, and what of it was claimed and paid since, less what accounts paid themselves.
    """
    of: dict[int, str] = {}
    centres = await metering_store.load_centres(conn)
    for centre in centres:
        for one in await ledger_store.load_accounts_by_name(conn, [receivable(centre)]):
            of[one.number] = centre
        for one in await ledger_store.accounts_under(conn, self_paid(centre)):
            of[one.number] = centre  # its balance is below zero: it was debited
    for one in await ledger_store.accounts_under(conn, f"{ROOT}/"):
        if (centre := _payee(one.name)) in centres:
            of[one.number] = centre
    found: dict[int, dict[str, int]] = {moment: dict.fromkeys(centres, 0) for moment in moments_us}
    for number, totals in (await totals_at_all(conn, of, [moment * 1000 for moment in moments_us])).items():
        for moment, then in zip(moments_us, totals, strict=True):
            found[moment][of[number]] += then.balance
    return found


async def covered_now(conn: Connection) -> dict[str, int]:
    """By centre what vouchers have paid it, as `covered_at` has it: sums of balances alone."""
    found: dict[str, int] = {}
    for centre in await metering_store.load_centres(conn):
        owed = await ledger_store.load_accounts_by_name(conn, [receivable(centre)])
        found[centre] = sum(one.balance for one in owed) + await ledger_store.sum_under(conn, self_paid(centre))
    for name, balance in await ledger_store.balances_under(conn, f"{ROOT}/"):
        if (centre := _payee(name)) in found:
            found[centre] += balance
    return found


def self_paid(centre: str) -> str:
    """How the names of accounts of what its users paid a centre themselves begin."""
    return f"self-pay/{centre}/"


def _payee(name: str) -> str:
    """The centre whose claims an account of settlement counts; empty for any other."""
    return centre_of(name.split("/")[2]) or ""
