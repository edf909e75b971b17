"""The audit log as a file: one JSON object a line, the head last; whoever has it checks it without the database."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

from ledger.errors import Kind
from ledger.sql import Connection
from metering.zones import rfc3339
from suanquan.access.trail import Checked, Row, check
from suanquan.db import trail
from suanquan.errors import ServiceError


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
    yield json.dumps({"size": size, "root": root.hex(), "erased": gone})


def verify_lines(lines: Iterable[str], at: int | None = None) -> Checked:
    """Recompute an export from its lines alone.

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
    except (KeyError, TypeError, ValueError) as fault:
        raise _malformed(f"the last line: {fault}") from None
    found = check(rows, gone, at)
    if not found.fault and (found.size, found.root) != head:
        return Checked(found.size, found.root, "the head is not that of the rows", found.earlier)
    return found


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
