"""What an office knows of parties beside the ledger: what ties them, who may not apply, and what was told of providers.

Names, phones and bank accounts are personal: they are kept as digests under the ledger's key, with a few letters for a
reviewer to recognise them by. Only equality counts, and a party can be forgotten.
"""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Iterable
from typing import Any, NamedTuple

from ledger.amount import INT64_MAX
from ledger.errors import Kind
from ledger.journal import Journal
from ledger.sql import Connection
from ledger.transaction import Transaction
from metering.zones import rfc3339
from suanquan.errors import ServiceError
from suanquan.use_cases.notes import append_note, named
from voucher import finding_store
from voucher.finding_store import Sanction, Tip, Trait
from voucher.findings_parties import CLUSTERING, RELATING

KINDS = tuple(dict.fromkeys((*RELATING, *CLUSTERING)))
NAMING = ("shareholder", "officer")
"""Kinds whose value is itself a party: a firm is tied to its shareholder, not only to those who share him."""
TEXT_MAX = 200
ROWS_MAX = 100_000
SHOWN = 2
"""Letters at either end that are kept of a value."""


class Said(NamedTuple):
    """One trait as it was said: the party, the kind and the plain value."""

    party: str
    kind: str
    value: str


def read_traits(data: bytes, file: str) -> list[Said]:
    """Traits of a CSV with the columns `party`, `kind` and `value`.

    Raises:
        ServiceError: `parties-malformed`, with the line.

    """
    try:
        rows = csv.DictReader(io.StringIO(data.decode("utf-8-sig")), strict=True)
        if rows.fieldnames != ["party", "kind", "value"]:
            raise _malformed(f"{file}:1", "表头应为 party,kind,value", "the header must be party,kind,value")
        return checked(
            (Said(*(row.get(name) or "" for name in Said._fields)), f"{file}:{rows.line_num}") for row in rows
        )
    except (UnicodeDecodeError, csv.Error) as fault:
        raise _malformed(file, f"不是 UTF-8 的 CSV：{fault}", f"it is no CSV in UTF-8: {fault}") from None


def checked(rows: Iterable[tuple[Said, str]]) -> list[Said]:
    """The traits without blanks around them.

    Raises:
        ServiceError: `parties-malformed`, with where it was written.

    """
    found = []
    for said, where in rows:
        clean = Said(*(text.strip() for text in said))
        if clean.kind not in KINDS or not all(0 < len(text) <= TEXT_MAX and text.isprintable() for text in clean):
            listed = ", ".join(KINDS)
            raise _malformed(where, f"kind 应为 {listed}；各项不可为空", f"kind is one of {listed}; nothing is empty")
        found.append(clean)
    if not 0 < len(found) <= ROWS_MAX:
        raise _malformed("", f"应有 1 至 {ROWS_MAX} 行", f"there must be 1 to {ROWS_MAX} rows")
    return found


def _malformed(where: str, zh: str, en: str) -> ServiceError:
    return ServiceError("parties-malformed", f"{where}：{zh}".lstrip("："), f"{where}: {en}".removeprefix(": "))


async def learn(journal: Journal, traits: list[Said], origin: str) -> dict[str, int]:
    """Keep what ties parties together; `origin` says where it is known from (a register, an application)."""
    origin, _ = named(origin, origin, what="来源")

    async def write(tx: Transaction) -> dict[str, int]:
        rows = [row for said in traits for row in _rows(tx, said, origin)]
        await finding_store.put_traits(tx.connection, rows)
        await append_note(tx, {"type": "parties", "origin": origin, "traits": len(rows)})
        return {"traits": len(rows), "parties": len({row.party for row in rows})}

    return await journal.transact(write)


def _rows(tx: Transaction, said: Said, origin: str) -> list[Trait]:
    blinded = tx.keyed(f"trait\0{said.kind}\0{_normal(said.value)}".encode()).hex()
    now_us = tx.now_ns // 1000
    parties = [said.party, *([said.value] if said.kind in NAMING else [])]
    return [Trait(party, said.kind, blinded, masked(said.value), origin, now_us) for party in dict.fromkeys(parties)]


def _normal(value: str) -> str:
    return "".join(unicodedata.normalize("NFKC", value).casefold().split())


def masked(value: str) -> str:
    """A value of which a reviewer sees both ends, or of a short one its first letter."""
    if len(value) <= 2 * SHOWN:
        return f"{value[:1]}***"
    return f"{value[:SHOWN]}***{value[-SHOWN:]}"


async def forget(journal: Journal, party: str, officer: str, reason: str) -> int:
    """Forget what ties a party to others; how many traits that were.

    Raises:
        ServiceError: `party-unknown`, `reason-missing`.

    """
    officer, reason = named(officer, reason)

    async def write(tx: Transaction) -> int:
        count = await finding_store.drop_traits(tx.connection, party)
        if not count:
            raise ServiceError(
                "party-unknown", f"没有“{party[:60]}”的关联", f"nothing ties {party[:60]!r}", kind=Kind.NOT_FOUND
            )
        await append_note(tx, {"type": "party-forgotten", "officer": officer, "reason": reason, "traits": count})
        return count

    return await journal.transact(write)


async def ban(journal: Journal, party: str, decision: str, officer: str, times: tuple[int, int]) -> int:
    """Record that a party may not apply in `[from, until)`, and by which decision; the number of the record.

    Raises:
        ServiceError: `reason-missing`, `period-invalid`.

    """
    officer, decision = named(officer, decision, what="处罚决定")
    party, _ = named(party, decision)
    if times[0] >= times[1]:
        raise ServiceError("period-invalid", "止期应晚于起期", "it must end after it begins")

    async def write(tx: Transaction) -> int:
        sanction = Sanction(0, party, decision, *times, officer, tx.now_ns // 1000)
        number = await finding_store.add_sanction(tx.connection, sanction)
        await append_note(tx, {"type": "sanction", **sanction._asdict(), "number": number})
        return number

    return await journal.transact(write)


async def tell(journal: Journal, provider: str, message: str, officer: str) -> int:
    """Record what was told of a provider; the number of the record.

    Raises:
        ServiceError: `reason-missing`.

    """
    officer, message = named(officer, message, what="内容")
    provider, _ = named(provider, message)

    async def write(tx: Transaction) -> int:
        told = Tip(0, provider, message, officer, tx.now_ns // 1000)
        number = await finding_store.add_tip(tx.connection, told)
        await append_note(tx, {"type": "tip", **told._asdict(), "number": number})
        return number

    return await journal.transact(write)


async def parties_object(conn: Connection, party: str | None = None) -> dict[str, Any]:
    """What ties parties (masked), who may not apply, and what was told."""
    traits = await finding_store.load_traits(conn, party)
    return {
        "traits": [
            {"party": one.party, "kind": one.kind, "value": f"{one.shown} #{one.blinded[:12]}", "origin": one.origin}
            for one in traits
        ],
        "sanctions": [
            {
                "party": one.party,
                "decision": one.decision,
                "from": rfc3339(one.from_us),
                "until": None if one.until_us == INT64_MAX else rfc3339(one.until_us),
                "officer": one.officer,
            }
            for one in await finding_store.load_sanctions(conn)
            if party in {None, one.party}
        ],
        "tips": [
            {"provider": one.provider, "message": one.message, "officer": one.officer, "at": rfc3339(one.recorded_us)}
            for one in await finding_store.load_tips(conn)
            if party in {None, one.provider}
        ],
    }
