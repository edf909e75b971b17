"""A voucher as somebody presents it, against what the ledger has: the gate before anything is held or spent.

Whoever stole a key can sign any voucher with any date; he cannot put it in the log. A row that was slipped into the database
has no entry in the log either. So the very bytes that were signed must be those that an issue entry commits to.
"""

from __future__ import annotations

from hashlib import sha256

import cbor2

from ledger import store as ledger_store
from ledger.entry import EntryKind
from ledger.errors import Kind
from ledger.scope import EVERYTHING
from ledger.sql import Connection
from voucher import store
from voucher.days import minute_of
from voucher.document import Voucher, signed_bytes
from voucher.errors import VoucherError
from voucher.store import StoredVoucher


async def require_issued(conn: Connection, voucher: Voucher, text: str) -> StoredVoucher:
    """What is stored of a verified token (JWT, with two signatures or one, or `SQ1:` text) that was issued here, and logged.

    Raises:
        VoucherError: of kind PROOF: `voucher-not-logged`, `voucher-revoked`.

    """
    stored = await store.load_voucher(conn, voucher.jti, EVERYTHING)
    if stored is None or signed_bytes(text) not in (stored.jwt_input, stored.cwt_input):
        raise _not_logged(voucher.jti)
    await _require_entry(conn, stored)
    await refuse_revoked(conn, voucher.jti)
    return stored


async def refuse_revoked(conn: Connection, jti: str) -> None:
    """Say since when a voucher is revoked.

    Raises:
        VoucherError: `voucher-revoked`.

    """
    revoked_us = await store.revoked_at(conn, jti)
    if revoked_us is not None:
        since = minute_of(revoked_us // 1_000_000)
        raise VoucherError(
            "voucher-revoked",
            f"该券已于 {since}（上海时间）收回，不会恢复。请改用其他券，或向方案经办询问理由",
            f"the voucher was recalled at {since} (Shanghai time) for good; use another one, or ask the programme office why",
            kind=Kind.PROOF,
        )


async def _require_entry(conn: Connection, stored: StoredVoucher) -> None:
    """The issue entry is in the log, and commits to this voucher as far as its content was not erased since."""
    entry = (await ledger_store.load_entries(conn, [stored.event_id])).get(stored.event_id)
    if entry is None or entry.kind != EntryKind.POST:
        raise _not_logged(stored.jti)
    row = await ledger_store.load_entry(conn, entry.seq)
    if row is not None and row.body is not None:
        told = cbor2.loads(row.body)
        issued = {"type": "issue", "jti": stored.jti, "jwt": sha256(stored.jwt_input).digest()}
        if not isinstance(told, dict) or {name: told.get(name) for name in issued} != issued:
            raise _not_logged(stored.jti)


def _not_logged(jti: str) -> VoucherError:
    return VoucherError(
        "voucher-not-logged",
        f"账本中没有券 {jti} 的签发记录：它不存在。请核对券码，或请持券单位重新下载",
        f"the ledger has no issue of the voucher {jti}: it does not exist; check the code, or have its holder download it again",
        kind=Kind.PROOF,
    )
