"""Whether the kept decisions are those that the log commits to, with the documents that they applied."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, NamedTuple

import cbor2

from ledger.errors import DomainError
from ledger.sql import Connection
from ledger.standing import Fault, Wrong
from suanquan.use_cases.decisions import NOTE_TYPE
from subsidy import store
from subsidy.decision import canonical, facts_digest, parse
from subsidy.store import StoredDecision

_NOT_TOLD = Wrong("决定与日志不符", "the decision is not what the log commits to")
_COLUMNS = Wrong("决定的列与记录不符", "its columns do not say what its record says")
_FACTS = Wrong("决定的事实与记录不符", "its facts are not those that its record names")
_DOCUMENT = Wrong("决定所依文件缺失或与其摘要不符", "the document is missing or not what its digest says")
_GONE = Wrong("日志提到的决定不存在", "the log speaks of a decision that is not there")
_NOTE_BEGINS = b"\xa3\x62id\x78"
"""A map of three members of which `id`, a text of 24 bytes or more, comes first: no other payload begins so."""


class DecisionTold(NamedTuple):
    """What a note of the log says about a decision."""

    event_id: bytes
    digest: bytes


@dataclass(slots=True)
class DecisionsTold:
    """What the log says of decisions by their id, and the events whose payload was erased, so that they say nothing."""

    told: dict[str, DecisionTold] = field(default_factory=dict)
    silent: set[bytes] = field(default_factory=set)

    def note(self, body: bytes, event_id: bytes) -> None:
        """Collect what the payload of an entry says about a decision."""
        if not body.startswith(_NOTE_BEGINS):
            return
        content = cbor2.loads(body)
        if content.get("type") == NOTE_TYPE:
            self.told[content["id"]] = DecisionTold(event_id, content["sha256"])


async def verify_decisions(conn: Connection, log: DecisionsTold) -> Fault | None:
    """The first fault."""
    left, named = dict(log.told), set[bytes]()
    async for stored in store.all_decisions(conn):
        about = DecisionTold(stored.event_id, sha256(stored.record).digest())
        if left.pop(stored.id, about if stored.event_id in log.silent else None) != about:
            return _NOT_TOLD.at(f"decision {stored.id}")
        fault = _check(stored, named)
        if fault is not None:
            return fault
    if left:
        return _GONE.at(f"decision {min(left)}")
    return await _check_documents(conn, named)


def _check(stored: StoredDecision, named: set[bytes]) -> Fault | None:
    """Columns and facts are those of the record; notes which documents it names."""
    where = f"decision {stored.id}"
    try:
        record, facts = parse(stored.record), parse(stored.facts)
        if canonical(facts) != stored.facts or facts_digest(record["salt"], facts) != record["facts_sha256"]:
            return _FACTS.at(where)
        named |= {bytes.fromhex(entry["sha256"]) for entry in record["documents"]}
        return None if _columns(record) == _stored(stored) else _COLUMNS.at(where)
    except (DomainError, KeyError, TypeError, ValueError):
        return _FACTS.at(where)


def _columns(record: dict[str, Any]) -> tuple[Any, ...]:
    corrects = record["corrects"]
    return record["id"], record["applicant"]["uscc"], record["decided_us"], None if corrects is None else corrects["id"]


def _stored(stored: StoredDecision) -> tuple[Any, ...]:
    return stored.id, stored.applicant, stored.decided_us, stored.corrects


async def _check_documents(conn: Connection, named: set[bytes]) -> Fault | None:
    async for digest, body in store.all_documents(conn):
        if digest not in named or sha256(body).digest() != digest:
            return _DOCUMENT.at(f"decision_document {digest.hex()}")
        named.discard(digest)
    return _DOCUMENT.at(f"decision_document {min(named).hex()}") if named else None
