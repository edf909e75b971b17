"""Issue many vouchers: what one order goes through, for some hundreds together; an order that is refused stops no other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from itertools import islice
from typing import NamedTuple

from ledger.errors import DomainError
from ledger.journal import Journal
from ledger.transaction import Transaction
from suanquan.errors import ServiceError
from suanquan.use_cases.caps import open_for_holders
from suanquan.use_cases.issue import Order, Ready, Signer, Signers, issue, record
from suanquan.use_cases.status_lists import take_status_places
from voucher import store
from voucher.document import make_jti
from voucher.holder import is_uscc
from voucher.issuance import Prepared, Tokens, sign_again
from voucher.keys import KeyRegistry
from voucher.scheme import policy_year
from voucher.store import StoredVoucher

TOGETHER = 250
"""Orders of one transaction: others wait for about a third of a second."""


class Desk(NamedTuple):
    """What issues: see `suanquan.use_cases.issue.issue`."""

    journal: Journal
    keys: KeyRegistry
    signer: Signer
    signers: Signers
    address: str | None

    async def one(self, order: Order) -> StoredVoucher | DomainError:
        """What became of one order alone."""
        try:
            return await issue(self.journal, order, self.keys, self.signer, signers=self.signers, address=self.address)
        except DomainError as error:
            return error


async def issue_many(desk: Desk, orders: Iterable[Order]) -> AsyncIterator[StoredVoucher | DomainError]:
    """What became of each order, in order: recorded and signed together, or one by one where one is refused or was issued before."""
    waiting = iter(orders)
    while part := list(islice(waiting, TOGETHER)):
        for outcome in await _together(desk, part) or [await desk.one(order) for order in part]:
            yield outcome


async def _together(desk: Desk, orders: Sequence[Order]) -> list[StoredVoucher | DomainError] | None:
    """Vouchers of orders that are all new and all allowed; None when they are not, and nothing was recorded."""

    async def work(tx: Transaction) -> list[Prepared] | None:
        if await store.any_used(tx.connection, [order.event_id for order in orders]):
            return None
        ready = await _ready(tx, desk, orders)
        prepared = [await record(tx, order, desk.keys, desk.address, ready) for order in orders]
        await store.write_vouchers(tx.connection, ready.rows)
        return prepared

    if len({order.event_id for order in orders}) < len(orders):
        return None
    try:
        prepared = await desk.journal.transact(work)
    except DomainError:
        return None
    return None if prepared is None else await _signed(desk, prepared)


async def _signed(desk: Desk, prepared: Sequence[Prepared]) -> list[StoredVoucher | DomainError]:
    """Vouchers that were recorded, signed and released."""
    signed = await asyncio.to_thread(_sign_all, desk, prepared)

    async def release(tx: Transaction) -> list[StoredVoucher | DomainError]:
        await store.write_all_released(tx.connection, signed)
        found = await store.load_vouchers(tx.connection, signed)
        return [found[jti] for jti in signed]

    return await desk.journal.transact(release)


async def record_all(desk: Desk, orders: Sequence[Order]) -> list[Prepared]:
    """Record vouchers of new orders in one transaction, all of them or none.

    Raises:
        DomainError: what `issue` refuses, of the first order that is; `batch-large` for more than can be recorded together.

    """
    if len(orders) > TOGETHER:
        zh, en = f"一次至多 {TOGETHER} 张", f"at most {TOGETHER} at once"
        raise ServiceError("batch-large", zh, en)

    async def work(tx: Transaction) -> list[Prepared]:
        ready = await _ready(tx, desk, orders)
        prepared = [await record(tx, order, desk.keys, desk.address, ready) for order in orders]
        await store.write_vouchers(tx.connection, ready.rows)
        return prepared

    return await desk.journal.transact(work)


async def issue_all(desk: Desk, orders: Sequence[Order]) -> list[StoredVoucher | DomainError]:
    """Issue vouchers of new orders, all of them or none.

    Raises:
        DomainError: see `record_all`.

    """
    return await _signed(desk, await record_all(desk, orders))


async def _ready(tx: Transaction, desk: Desk, orders: Sequence[Order]) -> Ready:
    """Ids, places and caps for all orders, read and written together."""
    now_us = tx.now_ns // 1000
    jtis = [make_jti(now_us, tx.entropy(10)) for _ in orders]
    places = {} if desk.address is None else await take_status_places(tx, desk.address, jtis)
    terms = {(order.scheme.id, one.asset) for order in orders for one in order.scheme.terms}
    for scheme, asset in terms:
        holders = {
            order.request.holder
            for order in orders
            if order.scheme.id == scheme and order.request.unit == asset.code and is_uscc(order.request.holder)
        }
        await open_for_holders(tx, scheme, policy_year(now_us), holders, asset)
    return Ready(places, iter(jtis), [])


def _sign_all(desk: Desk, prepared: Sequence[Prepared]) -> dict[str, Tokens]:
    second = desk.keys.second_key()
    signed = {}
    for one in prepared:
        tokens = one.sign(desk.signer)
        signed[one.voucher.jti] = tokens if second is None else sign_again(tokens, second, desk.signers(second.kid))
    return signed
