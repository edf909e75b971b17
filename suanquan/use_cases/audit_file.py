"""The audit log as a file: one JSON object a line, the head last; whoever has it checks it without the database."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import replace
from typing import Any

from ledger.checkpoint import Checkpoint
from ledger.errors import Kind, LedgerError
from ledger.note import Note
from ledger.sql import Connection
from ledger.vkey import VerifierKey
from metering.zones import rfc3339
from suanquan.access.trail import Checked, Row, check
from suanquan.db import trail
from suanquan.errors import ServiceError
from suanquan.use_cases.audit_heads import audit_keys, fault_of


def row_object(row: Row) -> dict[str, Any]:
    """A row as it is shown and exported; `detail` is null once it is erased."""
    return {
        "seq": row.seq,
        "at": rfc3339(row.at_us),
        "at_us": row.at_us,
        "action": row.action,
        "person": row.person.hex(),
        "commitment": row.commitment.hex(),
        "salt": None if row.salt is None else row.salt.hex(),
        "detail": None if row.body is None else json.loads(row.body),
    }


async def export(conn: Connection) -> AsyncIterator[str]:
    """Lines of an export: every row, then the head and what was erased."""
    async for row in trail.stream(conn):
        line = row_object(row)
        line["body"] = row.body
        del line["detail"]
        yield json.dumps(line, ensure_ascii=False)
    size, root = await trail.head(conn)
    gone = sorted((await trail.erased(conn)).items())
    newest = await trail.newest_head(conn)
    note = None if newest is None else newest.note
    yield json.dumps({"size": size, "root": root.hex(), "erased": gone, "signed": note}, ensure_ascii=False)


def verify_lines(lines: Iterable[str], at: int | None = None, keys: Iterable[VerifierKey] = ()) -> Checked:
    """Recompute an export from its lines alone; with keys, the signed head that it ends with is checked, and must be there.

    Raises:
        ServiceError: `audit-malformed`, with the line.

    """
    end: dict[str, Any] = {}
    rows = list(_rows(lines, end))
    if not end:
        raise _malformed("the last line, with the head, is missing")
    try:
        gone = frozenset(int(seq) for seq, _ in end["erased"])
        head = int(end["size"]), bytes.fromhex(end["root"])
        signed = end.get("signed")
        checkpoint = None if signed is None else Checkpoint.parse(Note.parse(signed.encode()).text)
    except (KeyError, TypeError, ValueError, AttributeError, LedgerError) as fault:
        raise _malformed(f"the last line: {fault}") from None
    found = check(rows, gone, at, {} if checkpoint is None else {checkpoint.size: checkpoint.root})
    if not found.fault and (why := _unsigned(signed, checkpoint, audit_keys(keys))):
        return replace(found, fault=why)
    if not found.fault and (found.size, found.root) != head:
        return Checked(found.size, found.root, "the head is not that of the rows", found.earlier)
    return found


def _unsigned(signed: str | None, checkpoint: Checkpoint | None, keys: tuple[VerifierKey, ...]) -> str:
    if not keys:
        return ""
    if signed is None or checkpoint is None or checkpoint.origin not in {key.name for key in keys}:
        return "it has no head signed by this key"
    return fault_of(signed, keys, {checkpoint.size: checkpoint.root})


def _rows(lines: Iterable[str], end: dict[str, Any]) -> Iterator[Row]:
    for number, line in enumerate(lines, 1):
        if end:
            raise _malformed(f"line {number} follows the head")
        try:
            found = json.loads(line)
            if "root" in found:
                end.update(found)
                continue
            salt = None if found["salt"] is None else bytes.fromhex(found["salt"])
            person, commitment = bytes.fromhex(found["person"]), bytes.fromhex(found["commitment"])
            yield Row(found["seq"], found["at_us"], found["action"], person, commitment, salt, found["body"])
        except (ValueError, KeyError, TypeError) as fault:
            raise _malformed(f"line {number}: {fault}") from None


def _malformed(why: str) -> ServiceError:
    return ServiceError(
        "audit-malformed", f"不是审计日志的导出：{why}", f"no export of an audit log: {why}", kind=Kind.PROOF
    )
