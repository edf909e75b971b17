"""Split a voucher online: a part of what is available becomes a voucher of its own, with its own key and its own balance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import NamedTuple

import cbor2

from ledger.amount import ASSETS_BY_NUMBER, parse_units
from ledger.entry import EntryKind, Event, credit, debit
from ledger.errors import Kind
from ledger.journal import Journal
from ledger.scope import EVERYTHING
from ledger.transaction import Transaction
from suanquan.use_cases.issue import Signer, Signers, load, release
from suanquan.use_cases.status_lists import take_status_place
from voucher import hold_store, store
from voucher.document import cwt_input, jwt_input, make_jti, read_voucher
from voucher.errors import VoucherError
from voucher.issuance import recorded
from voucher.keys import KeyRegistry
from voucher.p256 import holder_key
from voucher.store import StoredVoucher


class SplitOrder(NamedTuple):
    """What is to become a voucher of its own: how much, for which key, and under which key it may be repeated."""

    parent: str
    amount: str
    holder_key: Mapping[str, object]
    key: str

    @property
    def event_id(self) -> bytes:
        """Id of the entry, from the idempotency key."""
        return sha256(b"split\x00" + self.key.encode()).digest()[:16]

    @property
    def digest(self) -> bytes:
        """What tells another request under the same key apart."""
        parts = (self.parent, self.amount, sorted(self.holder_key.items()))
        return sha256(cbor2.dumps(parts, canonical=True)).digest()


async def split(
    journal: Journal,
    order: SplitOrder,
    keys: KeyRegistry,
    signer: Signer,
    *,
    signers: Signers | None = None,
    address: str | None = None,
) -> StoredVoucher:
    """The child of a split; the same order again gets the same child. It ends when its parent does, under the same terms.

    Raises:
        VoucherError: `voucher-unknown`, `voucher-expired`, `amount-not-positive`, `idempotency-key-reused`.
        LedgerError: `insufficient`, or `account-frozen` for a suspended or revoked parent.

    """

    async def find_or_record(tx: Transaction) -> str:
        earlier = await store.find_issue(tx.connection, order.event_id)
        if earlier is None:
            return await _record(tx, order, keys, address)
        jti, digest = earlier
        if digest != order.digest:
            raise VoucherError(
                "idempotency-key-reused",
                "该 Idempotency-Key 已用于内容不同的请求",
                "this Idempotency-Key was used for a different request",
                kind=Kind.CONFLICT,
            )
        return jti

    jti = await journal.transact(find_or_record)
    return await release(journal, jti, keys, signer, signers)


async def _record(tx: Transaction, order: SplitOrder, keys: KeyRegistry, address: str | None) -> str:
    now_us = tx.now_ns // 1000
    parent = await load(tx.connection, order.parent, EVERYTHING)
    if parent.token is None or parent.until_us <= now_us:
        raise VoucherError("voucher-expired", "不在该券的有效期内", "the voucher is not valid now", kind=Kind.PROOF)
    asset = ASSETS_BY_NUMBER[parent.asset]
    units = parse_units(order.amount, asset)
    if units <= 0:
        raise VoucherError("amount-not-positive", "数量须大于零", "the amount must be more than zero")
    _, voucher = read_voucher(parent.token, keys.all_keys())
    jti = make_jti(now_us, tx.entropy(10))
    child = replace(
        voucher,
        jti=jti,
        units=units,
        issued_at_s=now_us // 1_000_000,
        holder_jkt=holder_key(order.holder_key).kid,
        status=None if address is None else await take_status_place(tx, address, jti),
    )
    key = keys.signing_key()
    prepared = recorded(jwt_input(child, key.kid), cwt_input(child, key.kid), key)
    name = f"voucher/{jti}"
    account = (await tx.open([(name, asset, 0)], fresh=True))[name].number
    digest, year = await hold_store.scheme_digest(tx.connection, parent.jti)
    payload = {
        "type": "issue",
        "jti": jti,
        "jwt": prepared.jwt_digest,
        "cwt": prepared.cwt_digest,
        "parent": parent.jti,
    }
    event = Event(
        EntryKind.POST,
        order.event_id,
        tx.keyed(order.digest),
        (debit(parent.account, units), credit(account, units)),
        ruleset=bytes.fromhex(digest),
        actor=sha256(key.kid.encode()).digest()[:8],
        salt=tx.entropy(32),
        payload=cbor2.dumps(payload, canonical=True),
    )
    await tx.append([event])
    row = store.voucher_row(
        prepared, account=account, year=year, priority=parent.priority, scheme_digest=digest,
        event_id=order.event_id, request_digest=order.digest,
    )  # fmt: skip
    await store.write_vouchers(tx.connection, [row])
    await hold_store.write_outflow(tx.connection, order.event_id, parent.jti, "split", units, now_us, jti)
    return jti
