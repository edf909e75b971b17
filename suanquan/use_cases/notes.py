"""Notes: what is registered or decided outside the accounts stands in the log all the same, salted."""

from __future__ import annotations

from collections.abc import Mapping

import cbor2

from ledger.entry import EntryKind, Event
from ledger.transaction import Transaction
from suanquan.errors import ServiceError

TEXT_MAX = 400


async def append_note(tx: Transaction, fact: Mapping[str, object]) -> None:
    """Append a note whose payload is the fact; only this ledger can make its digest, so that nobody can guess the fact."""
    payload = cbor2.dumps(fact, canonical=True)
    digest = tx.keyed(tx.size.to_bytes(8) + payload)
    await tx.append([Event(EntryKind.NOTE, digest[:16], digest, salt=tx.entropy(32), payload=payload)])


def named(officer: str, reason: str, *, what: str = "理由") -> tuple[str, str]:
    """Who acts and why, without blanks around.

    Raises:
        ServiceError: `reason-missing`.

    """
    officer, reason = officer.strip(), reason.strip()
    if not all(0 < len(text) <= TEXT_MAX and text.isprintable() for text in (officer, reason)):
        raise ServiceError(
            "reason-missing",
            f"请写明经办人与{what}（各至多 {TEXT_MAX} 字）",
            f"name the officer and say why (at most {TEXT_MAX} characters each)",
        )
    return officer, reason
