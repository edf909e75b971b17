"""Suspend, resume and revoke vouchers: an entry of the ledger each, which the status list then shows.

Suspending freezes the voucher's account: no new debit and no new hold; what was held before may still be captured.
Revoking gives what is free back to the budget, freezes the account, and is for ever.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from ledger import orders
from ledger import store as ledger_store
from ledger.amount import ASSETS_BY_NUMBER
from ledger.entry import EntryKind, Event, Restriction, credit, debit
from ledger.errors import Kind
from ledger.journal import Journal
from ledger.orders import Act
from ledger.scope import EVERYTHING
from ledger.transaction import Transaction
from suanquan.db.notices import put
from suanquan.errors import ServiceError
from suanquan.notices.model import Kind as NoticeKind
from suanquan.notices.model import Notice, of_holder
from suanquan.use_cases.books import Order, record_act
from suanquan.use_cases.caps import give_back
from suanquan.use_cases.issue import budget_name, load, voucher_object
from suanquan.use_cases.revoked_claims import release_unused
from suanquan.use_cases.status_lists import StatusCache
from voucher import store
from voucher.store import StoredVoucher

ACTS = ("suspend", "resume", "revoke")


async def change_standing(
    journal: Journal, order: Order, jti: str, what: str, cache: StatusCache | None = None
) -> dict[str, Any]:
    """Do one of `ACTS` to a voucher; the voucher afterwards. `cache` is that of a service, whose lists are signed anew.

    Raises:
        VoucherError: `voucher-unknown`.
        ServiceError: `voucher-revoked-already`, `voucher-legal-hold` (司法冻结), or `reason-missing`.

    """

    async def build(tx: Transaction, act: Act) -> Event:
        stored = await load(tx.connection, jti, EVERYTHING)
        final = orders.restrict(act, stored.account, Restriction.NONE if what == "resume" else Restriction.FROZEN)
        if await ledger_store.load_entries(tx.connection, [act.event_id]):
            return final  # asked before: the entry is there
        if await store.is_revoked(tx.connection, jti):
            raise ServiceError(
                "voucher-revoked-already",
                "该券已撤销，不能恢复或再改",
                "the voucher is revoked, and stays so",
                kind=Kind.CONFLICT,
            )
        account = (await tx.accounts_by_number([stored.account]))[stored.account]
        if account.restriction & Restriction.LEGAL_HOLD:
            raise ServiceError(
                "voucher-legal-hold",
                "该券被司法冻结，须先依法解除",
                "the voucher is under a legal hold, which must be lifted first",
                kind=Kind.NOT_ALLOWED,
            )
        if what == "revoke":
            returned = await _give_back(tx, act, stored)
            await store.write_revoked(tx.connection, jti, tx.now_ns // 1000, returned)
            await release_unused(tx, await load(tx.connection, jti, EVERYTHING))
        await put(tx.connection, _notice(stored, what, act.reason), tx.now_ns // 1000)
        return final

    await record_act(journal, order, f"{what}\0{jti}", build)
    if cache is not None:
        cache.lists.clear()
    return voucher_object(await journal.transact(lambda tx: load(tx.connection, jti, EVERYTHING)))


_TOLD = {
    "suspend": (NoticeKind.VOUCHER_SUSPENDED, "券已中止", "the voucher is suspended"),
    "resume": (NoticeKind.VOUCHER_RESUMED, "券已恢复", "the voucher may be spent again"),
    "revoke": (NoticeKind.VOUCHER_REVOKED, "券已撤销", "the voucher is revoked"),
}


def _notice(stored: StoredVoucher, what: str, reason: str) -> Notice:
    kind, zh, en = _TOLD[what]
    words = f"{zh}：{stored.jti}（{reason}）", f"{en}: {stored.jti} ({reason})"
    return Notice(kind, of_holder(stored.holder), stored.jti, *words, {"reason": reason})


async def _give_back(tx: Transaction, act: Act, stored: StoredVoucher) -> int:
    """Voucher → budget of the year it was issued in and its caps, as far as it is neither spent nor held; how many units."""
    account = (await tx.accounts_by_number([stored.account]))[stored.account]
    if account.available <= 0:
        return 0
    if account.restriction:  # a frozen account gives nothing; it is frozen again right after
        await tx.append([_free(tx, act, stored.account)])
    asset = ASSETS_BY_NUMBER[stored.asset]
    name = budget_name(stored.scheme, stored.year, asset)
    budget = (await tx.accounts([name]))[name]
    units = account.available
    path = (stored.scheme, str(stored.year), stored.holder)
    caps = await give_back(tx, path, units, asset)
    identity = sha256(act.event_id + b"give back").digest()
    await tx.append(
        [
            Event(
                EntryKind.POST,
                identity[:16],
                act.digest,
                (debit(stored.account, units), credit(budget.number, units), *caps),
                actor=act.actor,
                salt=tx.entropy(32),
                payload=f"revoke\n{act.reason}".encode(),
            )
        ]
    )
    return units


def _free(tx: Transaction, act: Act, account: int) -> Event:
    identity = sha256(act.event_id + b"free").digest()
    return orders.restrict(act._replace(event_id=identity[:16], salt=tx.entropy(32)), account, Restriction.NONE)
