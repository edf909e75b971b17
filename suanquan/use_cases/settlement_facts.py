"""Recording facts of settlement: each with its NOTE and the entries that it brings about, or not at all.

Whoever sends the same thing twice is told what was recorded: under an idempotency key for ever, without one as long as it was
the newest fact of its subject.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import cbor2

from ledger import store as ledger_store
from ledger.entry import EntryKind, Event, Leg
from ledger.errors import Kind
from ledger.transaction import Transaction
from suanquan.use_cases.settlement_notices import tell
from subsidy.procedure import Role
from voucher.errors import VoucherError
from voucher.settlement import store
from voucher.settlement.fact import Fact, Said, encode, fact_of


class By(NamedTuple):
    """Who asks, in which role, and under which key it may be repeated."""

    person: str
    role: str
    key: str | None = None


_OFFICE, _FINANCE = (Role.DEPARTMENT.value,), (Role.FINANCE.value,)
_EITHER = (*_OFFICE, *_FINANCE)
MAY: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("prepare", "return", "demand", "evidence", "agree", "give_back", "refuse", "resolve"), _OFFICE),
    **dict.fromkeys(("approve", "payee", "confirm", "suspend", "resume"), _EITHER),
    **dict.fromkeys(("pay", "recover"), _FINANCE),
    **dict.fromkeys(("claim", "withdraw"), (Role.APPLICANT.value, *_OFFICE)),
    **dict.fromkeys(("countersign", "dispute"), (Role.APPLICANT.value,)),
}
"""Roles that may record each kind of fact."""


def require_role(by: By, kind: str) -> None:
    """Refuse an act that is another role's.

    Raises:
        VoucherError: `role-not-allowed`.

    """
    if by.role not in MAY[kind]:
        listed = "、".join(MAY[kind])
        raise VoucherError(
            "role-not-allowed",
            f"此步由 {listed} 办理，{by.person[:60]} 是 {by.role[:40]}",
            f"this is done by {listed}; {by.person[:60]} is {by.role[:40]}",
            kind=Kind.NOT_ALLOWED,
        )


class Wish:
    """A request about a subject, and whether it was fulfilled before: by its key, or as the newest fact of the subject."""

    def __init__(self, tx: Transaction, by: By, kind: str, subject: str, given: Mapping[str, Any]) -> None:
        require_role(by, kind)
        content = json.dumps([kind, subject, by.person, given], ensure_ascii=False, sort_keys=True, default=str)
        self.by, self.kind, self.subject = by, kind, subject
        self.digest = tx.keyed(b"settlement request\0" + content.encode())
        self.event_id = None if by.key is None else tx.keyed(b"settlement\0" + by.key.encode())[:16]
        self._tx = tx

    async def recorded(self) -> Fact | None:
        """What this request recorded before.

        Raises:
            VoucherError: `idempotency-key-reused`.

        """
        if self.event_id is not None:
            found = await store.find_fact(self._tx.connection, self.event_id)
            if found is not None and found.request != self.digest:
                raise VoucherError(
                    "idempotency-key-reused",
                    "该 Idempotency-Key 已用于内容不同的请求",
                    "this Idempotency-Key was used for a different request",
                    kind=Kind.CONFLICT,
                )
            return found
        facts = await store.facts_of(self._tx.connection, self.subject) if self.subject else []
        return facts[-1] if facts and facts[-1].request == self.digest else None

    async def record(
        self, content: Mapping[str, Any], events: Sequence[Event] = (), subject: str | None = None
    ) -> Fact:
        """Append the fact and its entries; a new subject is named here."""
        tx, by = self._tx, self.by
        said = Said(subject or self.subject, self.kind, by.person, by.role, dict(content))
        body = encode(await store.next_number(tx.connection), tx.now_ns // 1000, self.digest, said)
        event_id = self.event_id or tx.keyed(b"settlement fact\0" + body)[:16]
        fact = fact_of(event_id, body)
        assert fact is not None, "a body that was just made tells a fact"
        await store.add_fact(tx.connection, fact)
        note = Event(
            EntryKind.NOTE,
            event_id,
            tx.keyed(body),
            actor=tx.keyed(b"person\0" + by.person.encode())[:8],
            salt=tx.entropy(32),
            payload=body,
        )
        await tx.append([note, *events])
        await tell(tx.connection, fact)
        return fact


def posting(tx: Transaction, subject: str, what: str, legs: tuple[Leg, ...]) -> Event:
    """The entry by which an act moves money. Its id is new: one that was refused stays refused, and the act may be tried again."""
    payload = cbor2.dumps({"type": "settlement", "subject": subject, "what": what}, canonical=True)
    identity = (tx.now_ns // 1_000_000).to_bytes(6) + tx.entropy(10)
    return Event(
        EntryKind.POST, identity, tx.keyed(payload + repr(legs).encode()), legs, salt=tx.entropy(32), payload=payload
    )


async def claimed_seq(tx: Transaction, event_id: str) -> int:
    """Number of the entry by which something was claimed, once it is committed.

    Raises:
        VoucherError: `claim-under-way`: it is recorded at this very moment, and cannot be taken back before.

    """
    identity = bytes.fromhex(event_id)
    entries = await ledger_store.load_entries(tx.connection, [identity])
    if identity not in entries:
        raise VoucherError(
            "claim-under-way",
            "该申请正在入账，通常一秒内完成；请原样再提交一次",
            "it is being recorded, usually within a second; send it again as it is",
            kind=Kind.UNAVAILABLE,
        )
    return entries[identity].seq
