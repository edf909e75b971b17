"""What everyone may see: sums over vouchers, usage per centre and the head of the log, from one snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ledger import log_store
from ledger import store as ledger_store
from ledger.amount import ASSETS_BY_NUMBER, Asset
from ledger.changes import LogHead
from ledger.log_store import SignedHead
from ledger.sql import Connection
from metering import centre_store, month_store
from metering import fate_store as fates
from metering import store as metering_store
from metering.store import Source
from suanquan.catalog import Catalog
from voucher import store as voucher_store
from voucher import uptake_store

US_PER_MS = 1000
_Usage = dict[str, list[tuple[str, int, int]]]
"""By centre: model, GPU-milliseconds, yuan units rated."""


@dataclass(frozen=True, slots=True)
class SchemeSum:
    """Vouchers of a scheme in one unit: issued = available + held + redeemed + expired + returned.

    `active` are those in force that still have something; `returned` went back to the budget.
    """

    scheme: str
    asset: Asset
    vouchers: int
    holders: int
    active: int
    issued: int
    available: int
    held: int
    redeemed: int
    expired: int
    returned: int


@dataclass(frozen=True, slots=True)
class CentreSum:
    """A centre's usage: GPU-milliseconds by model, yuan rated and self-paid, and how much of its capacity that is.

    `capacity_gpu_ms` is capacity × the time its records span, 0 where no capacity or nothing was reported;
    `gaps` is the number of declared account-months that lack something; `flop_rate` is the capacity in dense FP16 GFLOPS.
    """

    centre: str
    name: str
    gpu_ms: dict[str, int]
    gflop_ms: int
    yuan: int
    self_pay: int
    statuses: dict[str, int]
    capacity_gpu_ms: int
    capacity_gflops: int
    received_us: int
    gaps: int = 0

    @property
    def total_gpu_ms(self) -> int:
        """GPU-milliseconds over all models."""
        return sum(self.gpu_ms.values())


@dataclass(frozen=True, slots=True)
class Overview:
    """Figures of one moment.

    `redeemed` gives scheme, centre and the yuan units that vouchers paid there; `classes` scheme, class of `holder_class`
    and number of holders.
    """

    schemes: list[SchemeSum]
    centres: list[CentreSum]
    redeemed: list[tuple[str, str, int]]
    quarantined: dict[str, int]
    head: LogHead
    signed: SignedHead | None = None
    witnessed: SignedHead | None = None
    classes: list[tuple[str, str, int]] = field(default_factory=list)


class Memo:
    """Sums over all usage as of the newest log seen: they change only with it, and take most of the time of an overview."""

    def __init__(self) -> None:
        self._root = b""
        self._sums: tuple[_Usage, dict[str, int]] = {}, {}

    async def sums(self, conn: Connection, root: bytes) -> tuple[_Usage, dict[str, int]]:
        """Usage, and yuan units that accounts paid themselves, by centre."""
        if root != self._root:
            usage: _Usage = {}
            for centre, model, gpu_ms, yuan in await metering_store.usage_by_model(conn):
                usage.setdefault(centre, []).append((model, gpu_ms, yuan))
            self_pay = {
                centre: -await ledger_store.sum_under(conn, f"self-pay/{centre}/")
                for centre in await metering_store.load_centres(conn)
            }
            self._root, self._sums = root, (usage, self_pay)
        return self._sums


async def overview(conn: Connection, catalog: Catalog, at_us: int | None = None, memo: Memo | None = None) -> Overview:
    """Read every public figure in one snapshot, as things stand at `at_us` (UTC epoch microseconds) or at the last entry."""
    head = await ledger_store.load_head(conn)
    assert head is not None, "a home has a ledger"
    last_us = head.last_ns // US_PER_MS
    totals = await uptake_store.scheme_totals(conn, last_us if at_us is None else at_us)
    usage, self_pay = await (memo or Memo()).sums(conn, head.root)
    return Overview(
        [SchemeSum(**row | {"asset": ASSETS_BY_NUMBER[row["asset"]]}) for row in totals],
        await _centres(conn, catalog, last_us, usage, self_pay),
        await voucher_store.load_redeemed(conn),
        await fates.count_waiting(conn),
        head,
        await log_store.newest_head(conn),
        await log_store.newest_head(conn, witnessed=True),
        await uptake_store.holders_by_class(conn),
    )


async def _centres(
    conn: Connection, catalog: Catalog, at_us: int, usage: _Usage, self_pay: Mapping[str, int]
) -> list[CentreSum]:
    """Every centre, each table read once."""
    names = await metering_store.load_centres(conn)
    statuses: dict[str, dict[str, int]] = {}
    for at, status, count in await metering_store.load_statuses(conn):
        statuses.setdefault(at, {})[status] = count
    sources: dict[str, list[Source]] = {}
    for source in await metering_store.load_sources(conn):
        if source.last_us:
            sources.setdefault(source.centre, []).append(source)
    capacity, gaps = await capacities(conn, at_us), await month_store.count_gaps(conn)
    gflops, found = catalog.capacity_gflops, []
    for centre, name in names.items():
        rows, known, cards = usage.get(centre, []), sources.get(centre, []), capacity.get(centre, {})
        span_us = max((s.last_us for s in known), default=0) - min((s.first_us for s in known), default=0)
        one = CentreSum(
            centre,
            name,
            {model: gpu_ms for model, gpu_ms, _ in rows},
            sum(gpu_ms * gflops.get(model, 0) for model, gpu_ms, _ in rows),
            sum(yuan for _, _, yuan in rows),
            self_pay.get(centre, 0),
            statuses.get(centre, {}),
            sum(cards.values()) * (span_us // US_PER_MS) // 1000,
            sum(count * gflops.get(model, 0) for model, count in cards.items()) // 1000,
            max((source.received_us for source in known), default=0),
            gaps.get(centre, 0),
        )
        found.append(one)
    return found


async def capacities(conn: Connection, at_us: int) -> dict[str, dict[str, int]]:
    """Thousandths of cards by centre and model: of the inventory where there is one, else as declared."""
    steps = await centre_store.load_steps(conn)
    counted = {
        centre: {model: centre_store.count_at(some, at_us) for model, some in models.items()}
        for centre, models in steps.items()
    }
    return await metering_store.load_capacity(conn) | counted


async def capacity_of(conn: Connection, centre: str, at_us: int) -> dict[str, int]:
    """Thousandths of cards of one centre by model: of the inventory where there is one, else as declared."""
    return (await capacities(conn, at_us)).get(centre, {})
