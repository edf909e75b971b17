"""Redemption claims as they stand, and what of them nobody has settled."""

from __future__ import annotations

from collections.abc import Collection

from ledger import store as ledger_store
from ledger.errors import Kind
from ledger.sql import Connection
from voucher.errors import VoucherError
from voucher.settlement import claim as claims
from voucher.settlement import store
from voucher.settlement.claim import Agreement, Claim, agreement_of
from voucher.settlement.line import Line


async def load_claim(conn: Connection, claim: str) -> Claim:
    """The claim of this id.

    Raises:
        VoucherError: `claim-unknown`.

    """
    facts = await store.facts_of(conn, claim)
    if not facts or facts[0].kind != "claim":
        raise claim_unknown(claim)
    return claims.fold(facts)


def claim_unknown(claim: str) -> VoucherError:
    """There is no such claim, or none for whoever asks."""
    return VoucherError(
        "claim-unknown", f"没有兑付申请“{claim[:60]}”", f"no redemption claim {claim[:60]!r}", kind=Kind.NOT_FOUND
    )


async def load_claims(conn: Connection, scheme: str | None = None, payee: str | None = None) -> list[Claim]:
    """Claims in the order in which they were made, under one scheme or of one payee where asked."""
    made = await store.facts_named(conn, "claim")
    wanted = [
        fact.subject
        for fact in made
        if scheme in {None, (content := fact.content)["scheme"]} and payee in {None, content["payee"]}
    ]
    facts = await store.facts_of_all(conn, wanted)
    return [claims.fold(some) for some in facts.values()]


async def due_claims(conn: Connection, scheme: str, payee: str, until_us: int, live: Collection[str]) -> list[Line]:
    """Claims of a payee made before a moment that no live batch pays, as lines."""
    found = [one for one in await load_claims(conn, scheme, payee) if one.is_live and one.at_us < until_us]
    events = {one.id: bytes.fromhex(one.claimed) for one in found}
    entries = await ledger_store.load_entries(conn, events.values())
    lines = [
        Line(entries[events[one.id]].seq, one.jti, one.id, one.units, "claim")
        for one in found
        if events[one.id] in entries
    ]
    taken = await store.batches_of_lines(conn, {line.seq for line in lines})
    return sorted(line for line in lines if not set(live).intersection(taken.get(line.place, ())))


async def batch_of_claim(conn: Connection, claim: Claim, live: Collection[str]) -> str | None:
    """The live batch that pays a claim."""
    event = bytes.fromhex(claim.claimed)
    entries = await ledger_store.load_entries(conn, [event])
    if event not in entries:
        return None
    taken = await store.batches_of_lines(conn, [entries[event].seq])
    return next(iter(set(live).intersection(taken.get((entries[event].seq, claim.jti, claim.id), ()))), None)


async def load_agreement(conn: Connection, agreement: str) -> Agreement:
    """The agreement of this id.

    Raises:
        VoucherError: `agreement-unknown`.

    """
    facts = await store.facts_of(conn, agreement)
    if not facts or facts[0].kind != "agree":
        raise VoucherError(
            "agreement-unknown",
            f"没有目标责任书“{agreement[:60]}”",
            f"no target agreement {agreement[:60]!r}",
            kind=Kind.NOT_FOUND,
        )
    return agreement_of(facts[0])
