"""What a centre declares of its months, against the records that arrived."""

from __future__ import annotations

from collections.abc import Sequence

from ledger.sql import Connection
from ledger.transaction import Transaction
from metering import store as metering_store
from metering.completeness import Completeness, Declaration, compare
from metering.signature import SignatureError

Months = dict[tuple[int, str], tuple[Declaration, Completeness]]
"""Newest declaration of a month and account, and what it comes to."""


async def declare(
    tx: Transaction, centre: str, kid: str, nonce: str, nonce_until_us: int, new: Sequence[Declaration]
) -> Months:
    """Keep declarations and answer with what they come to now; the same ones again change nothing.

    Raises:
        SignatureError: `nonce-replayed`.

    """
    if not await metering_store.use_nonce(tx.connection, kid, nonce, nonce_until_us):
        raise SignatureError("nonce-replayed", "该签名请求已被使用", "this signed request was used before")
    await metering_store.declare(tx.connection, centre, kid, tx.now_ns // 1000, new)
    wanted = {(one.month, one.account) for one in new}
    return {key: found for key, found in (await months_of(tx.connection, centre)).items() if key in wanted}


async def months_of(conn: Connection, centre: str) -> Months:
    """Every declared month of a centre's accounts, with what has arrived by now."""
    declared = await metering_store.load_declarations(conn, centre)
    if not declared:
        return {}
    arrived = {
        (row["month"], row["account"]): (row["records"], row["gpu_ms"])
        for row in await metering_store.usage_by(conn, "month", "account", centre=centre)
    }
    return {key: (one, compare(one, *arrived.get(key, (0, 0)))) for key, (_, one) in declared.items()}
