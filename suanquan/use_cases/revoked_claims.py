"""What a revoked voucher means for the register: a contract that no voucher of its application supported may be claimed again."""

from __future__ import annotations

import cbor2

from ledger.store import load_entries, load_entry
from ledger.transaction import Transaction
from suanquan.use_cases.register import release_support
from subsidy import step_body, store
from voucher.store import StoredVoucher, load_vouchers


async def release_unused(tx: Transaction, stored: StoredVoucher) -> None:
    """Give back what the voucher or its application claims, once all that was issued was returned whole; else nothing happens."""
    application = await application_of(tx, stored)
    if application is None:
        if await unused(tx, [stored.jti]):
            await tx.append(await release_support(tx, stored.jti))
        return
    steps = [step_body.decode(row) for row in await store.steps_of(tx.connection, application)]
    jtis = [step["derived"]["voucher"] for step in steps if "voucher" in step["derived"]]
    if await unused(tx, jtis):
        await tx.append(await release_support(tx, application))


async def application_of(tx: Transaction, stored: StoredVoucher) -> str | None:
    """The application that a voucher was issued for, None for one that was issued without."""
    entry = (await load_entries(tx.connection, [stored.event_id])).get(stored.event_id)
    row = None if entry is None else await load_entry(tx.connection, entry.seq)
    told = cbor2.loads(row.body) if row is not None and row.body is not None else {}
    subject = told.get("for") if isinstance(told, dict) else None
    steps = await store.steps_of(tx.connection, subject) if isinstance(subject, str) else []
    return subject if steps else None


async def unused(tx: Transaction, jtis: list[str]) -> bool:
    """Whether these vouchers gave everything back."""
    found = await load_vouchers(tx.connection, jtis)
    return all(one.units == one.returned for one in found.values())
