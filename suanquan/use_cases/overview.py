"""What everyone may see: sums over vouchers, usage per centre and the head of the log, from one snapshot."""

from __future__ import annotations

from dataclasses import dataclass

from ledger import log_store
from ledger import store as ledger_store
from ledger.amount import ASSETS_BY_NUMBER, Asset
from ledger.changes import LogHead
from ledger.log_store import SignedHead
from ledger.sql import Connection
from metering import centre_store
from metering import fate_store as fates
from metering import store as metering_store
from suanquan.catalog import Catalog
from suanquan.use_cases.completeness import gaps_of
from voucher import store as voucher_store

US_PER_MS = 1000


@dataclass(frozen=True, slots=True)
class SchemeSum:
    """Vouchers of a scheme in one unit: issued = available + held + redeemed."""

    scheme: str
    asset: Asset
    vouchers: int
    holders: int
    issued: int
    redeemed: int
    held: int

    @property
    def available(self) -> int:
        """Units that can still be spent."""
        return self.issued - self.redeemed - self.held


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
    """Figures of one moment. `redeemed` gives scheme, centre and the yuan units that vouchers paid there."""

    schemes: list[SchemeSum]
    centres: list[CentreSum]
    redeemed: list[tuple[str, str, int]]
    quarantined: dict[str, int]
    head: LogHead
    signed: SignedHead | None = None
    witnessed: SignedHead | None = None


async def overview(conn: Connection, catalog: Catalog) -> Overview:
    """Read every public figure in one snapshot."""
    head = await ledger_store.load_head(conn)
    assert head is not None, "a home has a ledger"
    schemes = [
        SchemeSum(
            row["scheme"], ASSETS_BY_NUMBER[row["asset"]], row["vouchers"], row["holders"], row["issued"], row["redeemed"], row["held"]
        )
        for row in await voucher_store.scheme_totals(conn)
    ]  # fmt: skip
    centres = [
        await _centre(conn, catalog, centre, name, head.last_ns // US_PER_MS)
        for centre, name in (await metering_store.load_centres(conn)).items()
    ]
    redeemed = await voucher_store.load_redeemed(conn)
    return Overview(
        schemes,
        centres,
        redeemed,
        await fates.count_waiting(conn),
        head,
        await log_store.newest_head(conn),
        await log_store.newest_head(conn, witnessed=True),
    )


async def capacity_of(conn: Connection, centre: str, at_us: int) -> dict[str, int]:
    """Thousandths of cards by model: of the inventory where there is one, else as declared."""
    steps = (await centre_store.load_steps(conn)).get(centre)
    if steps is None:
        return (await metering_store.load_capacity(conn)).get(centre, {})
    return {model: centre_store.count_at(some, at_us) for model, some in steps.items()}


async def _centre(conn: Connection, catalog: Catalog, centre: str, name: str, at_us: int) -> CentreSum:
    rows = await metering_store.usage_by(conn, "model", centre=centre)
    capacity = await capacity_of(conn, centre, at_us)
    sources = [
        source for source in await metering_store.load_sources(conn) if source.centre == centre and source.last_us
    ]
    span_us = max((s.last_us for s in sources), default=0) - min((s.first_us for s in sources), default=0)
    gflops = catalog.capacity_gflops
    self_paid = await ledger_store.accounts_under(conn, f"self-pay/{centre}/")
    statuses = {status: count for at, status, count in await metering_store.load_statuses(conn) if at == centre}
    return CentreSum(
        centre,
        name,
        {row["model"]: row["gpu_ms"] for row in rows},
        sum(row["gpu_ms"] * gflops.get(row["model"], 0) for row in rows),
        sum(row["rated_units"] for row in rows),
        sum(account.debits_posted for account in self_paid),
        statuses,
        sum(capacity.values()) * (span_us // US_PER_MS) // 1000,
        sum(count * gflops.get(model, 0) for model, count in capacity.items()) // 1000,
        max((source.received_us for source in sources), default=0),
        await gaps_of(conn, centre),
    )
