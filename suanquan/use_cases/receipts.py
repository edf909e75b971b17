"""Receipts: that an entry is in the log under a signed head, with its content as far as it is disclosed."""

from __future__ import annotations

import functools
from typing import Any

from ledger import log_store, store
from ledger.checkpoint import Checkpoint
from ledger.entry import Entry
from ledger.errors import Kind
from ledger.note import Note
from ledger.policy import Policy
from ledger.proof import inclusion_path
from ledger.receipt import Content, check_receipt
from ledger.tlog_proof import TlogProof
from suanquan.errors import ServiceError
from suanquan.use_cases.books import entry_object, parse_event_id
from suanquan.use_cases.log import Log


async def prove_event(log: Log, event_id: str, *, disclose: bool = True) -> bytes:
    """The `.tlog-proof` of a recorded event; its payload goes with it unless that is not to be disclosed.

    Raises:
        ServiceError: `event-id-invalid`, `event-unknown` or `checkpoint-missing`.

    """
    identity = parse_event_id(event_id)
    async with log.database.read() as conn:
        entries = await store.load_entries(conn, [identity])
    if identity not in entries:
        raise ServiceError("event-unknown", "没有这个事件", "no such event", kind=Kind.NOT_FOUND)
    return await prove_entry(log, entries[identity].seq, disclose=disclose)


async def prove_entry(log: Log, seq: int, *, disclose: bool = True) -> bytes:
    """The `.tlog-proof` of an entry by its number; of an erased payload it says which entry erased it.

    Raises:
        ServiceError: `entry-unknown` or `checkpoint-missing`.

    """
    async with log.database.read() as conn:
        row = await store.load_entry(conn, seq) if 0 <= seq < 2**62 else None
        erased_by = await log_store.load_erasure(conn, seq) if row is not None else None
    if row is None:
        raise ServiceError("entry-unknown", f"没有第 {seq} 号分录", f"no entry {seq}", kind=Kind.NOT_FOUND)
    content = Content(row.leaf, erased_by=erased_by)
    if disclose and row.body is not None:
        content = content._replace(salt=row.salt, payload=row.body)
    head = await log.covering(seq)
    async with log.database.read() as conn:
        path = await log_store.with_nodes(conn, head.size, functools.partial(inclusion_path, seq, head.size))
    return TlogProof(seq, tuple(path), Note.parse(head.note.encode()), content.to_extra()).to_bytes()


def receipt_object(data: bytes, policy: Policy) -> dict[str, Any]:
    """What a receipt proves, in words.

    Raises:
        LedgerError: see `check_receipt`.

    """
    entry, checkpoint, content = check_receipt(data, policy)
    return {
        "ok": True,
        **_under(checkpoint),
        **entry_object(entry),
        "payload": None if content.payload is None else _readable(content.payload),
        **({} if content.erased_by is None else {"erased_by": content.erased_by}),
        "legs": _legs(entry),
    }


def _under(checkpoint: Checkpoint) -> dict[str, Any]:
    return {"log": checkpoint.origin, "size": checkpoint.size, "root": checkpoint.root.hex()}


def _legs(entry: Entry) -> list[dict[str, Any]]:
    return [
        {
            "account": leg.public_id.hex(),
            "asset": leg.asset,
            "side": ("debit", "credit")[leg.side],
            "layer": ("posted", "held")[leg.layer],
            "units": str(leg.amount),
        }
        for leg in entry.legs
    ]


def _readable(payload: bytes) -> str:
    """A payload as text where it is one, else in hexadecimal."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return payload.hex()
    return text if text.replace("\n", "").isprintable() else payload.hex()
