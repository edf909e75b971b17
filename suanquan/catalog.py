"""The reviewed configuration of a home: schemes, accelerators and price lists, read once at start and named by digest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from ledger.amount import INT64_MAX
from metering.accelerators import AcceleratorRegister, load_accelerators
from metering.grid import GridFactors, load_factors
from metering.prices import PriceList, load_prices
from metering.rating import Tariff, Tariffs
from voucher.scheme import Scheme, Series
from voucher.scheme_reader import load_series

ACCELERATORS = "accelerators/accelerators.toml"
PRICES = "prices/sandbox.toml"
GRID = "grid/factors.toml"


@dataclass(frozen=True)
class Catalog:
    """What usage is rated by and vouchers are issued under."""

    series: Mapping[str, Series]
    accelerators: AcceleratorRegister
    prices: PriceList
    digest: bytes
    grid: GridFactors = field(default_factory=GridFactors)

    def tariffs(self, centre: str) -> Tariffs:
        """Tariffs of a centre: what its words for cards mean, what they compute and what they cost at an instant."""

        def tariff(word: str, at_us: int) -> Tariff | None:
            card = self.accelerators.resolve(word, at_us)
            if card is None:
                return None
            price = self.prices.price_at(centre, card.model, at_us)
            if price is None:
                return None
            return Tariff(
                card.model,
                card.gflops,
                price.micro_yuan_per_gpu_hour,
                max(card.from_us, price.from_us),
                min(card.to_us, price.to_us),
                price.parts,
            )

        return tariff

    @cached_property
    def schemes(self) -> dict[str, Scheme]:
        """The latest version of every scheme by id: its names and status. Which version decides depends on the day."""
        return {name: series.latest for name, series in self.series.items()}

    @cached_property
    def capacity_gflops(self) -> dict[str, int]:
        """Dense FP16 GFLOPS of one card by canonical model, as registered last."""
        found = ((model, self.accelerators.resolve(model, INT64_MAX - 1)) for model in self.accelerators.models)
        return {model: card.gflops for model, card in found if card is not None}


def load_catalog(config: Path) -> Catalog:
    """Read `config/`; the first faulty file is named by the error.

    Raises:
        VoucherError, MeteringError: a scheme, register, price list or list of factors is not valid.

    """
    registers = [(config / name).read_bytes() for name in (ACCELERATORS, PRICES)]
    accelerators = load_accelerators(registers[0], ACCELERATORS)
    prices = load_prices(registers[1], PRICES, accelerators.models)
    series = load_series(config / "schemes")
    digest = sha256(b"".join(sha256(data).digest() for data in registers)).digest()
    grid = config / GRID  # not of the digest: nothing is rated by it; homes made before it have none
    factors = load_factors(grid.read_bytes(), GRID) if grid.exists() else GridFactors()
    return Catalog(series, accelerators, prices, digest, factors)
