"""Editions of the registers: what usage was rated by is kept, and a later edition that would rewrite it is refused."""

from __future__ import annotations

from pathlib import Path

from ledger.errors import Kind
from ledger.journal import Journal
from ledger.transaction import Transaction
from metering.accelerators import load_accelerators
from metering.edition_store import Edition, newest_edition, used_until_us, write_edition
from metering.prices import load_prices
from metering.tariff_history import Fact, Registers, rewritten
from metering.zones import rfc3339
from suanquan.catalog import ACCELERATORS, PRICES, Catalog
from suanquan.errors import ServiceError


async def check_edition(journal: Journal, catalog: Catalog, config: Path) -> None:
    """Begin to use the registers of a home: kept where they are new.

    Raises:
        ServiceError: `register-rewritten`, when a card, price or word that usage was rated by is another one now.

    """
    accelerators, prices = ((config / name).read_bytes() for name in (ACCELERATORS, PRICES))

    async def work(tx: Transaction) -> None:
        newest = await newest_edition(tx.connection)
        if newest is not None and newest.digest == catalog.digest:
            return
        if newest is not None:
            lost = rewritten(
                _registers(newest), Registers(catalog.accelerators, catalog.prices), await used_until_us(tx.connection)
            )
            if lost:
                raise _rewritten(lost)
        number = newest.number + 1 if newest else 1
        await write_edition(tx.connection, Edition(number, catalog.digest, accelerators, prices, tx.now_ns // 1000))

    await journal.transact(work, keeps_memo=True)


def _registers(edition: Edition) -> Registers:
    accelerators = load_accelerators(edition.accelerators, ACCELERATORS)
    return Registers(accelerators, load_prices(edition.prices, PRICES, accelerators.models))


def _rewritten(lost: list[Fact]) -> ServiceError:
    first = lost[0]
    file = PRICES if first.kind == "price" else ACCELERATORS
    of = f"{first.name} ({first.centre})" if first.centre else first.name
    span = f" {rfc3339(first.from_us)}/{rfc3339(first.until_us)}" if first.until_us else ""
    return ServiceError(
        "register-rewritten",
        f"{file}：已用于计价的 {first.kind} {of}={first.value}{span} 被改动（共 {len(lost)} 处）；请恢复原值，从以后某日起另立一条",
        f"{file}: {first.kind} {of}={first.value}{span} was used to rate and is another now ({len(lost)} in all);"
        " restore it, and add an entry that begins on a later day",
        kind=Kind.CONFLICT,
    )
