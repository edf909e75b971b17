"""Claims on the anti-double-funding register, recorded with the log inside the writer's transaction, for every scheme."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import cbor2

from ledger.entry import EntryKind, Event
from ledger.errors import Finding, Kind
from ledger.transaction import Transaction
from subsidy import register, store
from subsidy.errors import SubsidyError
from subsidy.materials import Basis
from subsidy.register import Claim, Commitment


class Claimant(NamedTuple):
    """Who claims support for what: `subject` is the application (or voucher) that holds the claim, `clause` what it is under."""

    subject: str
    applicant: str
    project: str
    clause: str


async def claim_support(
    tx: Transaction, claimant: Claimant, costs: Sequence[Mapping[str, Any]], basis: Basis
) -> list[Event]:
    """Claim a project and its costs for one subject; the event that says so is for the caller to append.

    What the subject claimed before and claims no longer is released.

    Raises:
        SubsidyError: `cost-repeated`, or `supported-already` with a finding for each thing that another subject holds.

    """
    wanted = register.commitments(tx.keyed, claimant.applicant, claimant.project, costs)
    if twice := register.repeated(wanted):
        raise _refused("cost-repeated", basis, [(one, "同一凭证列了两次", "is listed twice") for one in twice])
    holding = register.live(await store.claims_on(tx.connection, {one.digest for one in wanted}))
    if found := register.taken(wanted, holding, claimant.subject):
        raise _refused(
            "supported-already",
            basis,
            [(one, f"已由 {claim.subject} 申报或获得支持", f"is claimed by {claim.subject}") for one, claim in found],
        )
    own = register.live(await store.claims_of(tx.connection, claimant.subject))
    kept = {one.digest for one in wanted}
    clause = register.clause_commitment(tx.keyed, claimant.applicant, claimant.project, claimant.clause)
    rows = [claim._replace(released=1) for digest, claim in own.items() if digest not in kept]
    rows += [
        Claim(0, one.digest, one.kind.value, claimant.subject, clause, 0) for one in wanted if one.digest not in own
    ]
    return await _write(tx, rows)


async def claim_costs(tx: Transaction, subject: str, costs: Sequence[Mapping[str, Any]]) -> list[Event]:
    """Claim documents (issuer and number) for one subject beside what it has; the event is for the caller to append.

    Raises:
        SubsidyError: `supported-already`: another subject, or this one before, has used one of them.

    """
    wanted = [
        Commitment(
            register.ClaimKind.COST,
            register.commit(tx.keyed, register.ClaimKind.COST, cost["issuer"], cost["document"]),
            f"/costs/{at}",
        )
        for at, cost in enumerate(costs)
    ]
    holding = register.live(await store.claims_on(tx.connection, {one.digest for one in wanted}))
    if found := [holding[one.digest] for one in wanted if one.digest in holding] or register.repeated(wanted):
        by = getattr(found[0], "subject", subject)
        raise SubsidyError(
            "supported-already",
            f"发票已由 {by} 使用，一张发票只能用一次",
            f"the invoice was used by {by}; an invoice is good for one use",
            kind=Kind.CONFLICT,
        )
    clause = register.clause_commitment(tx.keyed, subject, "", "")
    return await _write(tx, [Claim(0, one.digest, one.kind.value, subject, clause, 0) for one in wanted])


async def release_support(tx: Transaction, subject: str) -> list[Event]:
    """Give back everything that a subject claims; the event that says so is for the caller to append."""
    own = register.live(await store.claims_of(tx.connection, subject))
    return await _write(tx, [claim._replace(released=1) for claim in own.values()])


async def _write(tx: Transaction, rows: Sequence[Claim]) -> list[Event]:
    if not rows:
        return []
    first = await store.next_claim_number(tx.connection)
    numbered = [claim._replace(number=first + at) for at, claim in enumerate(rows)]
    payload = cbor2.dumps({"type": "support-claim", "rows": [list(claim[:-1]) for claim in numbered]}, canonical=True)
    digest = tx.keyed(payload)
    await store.add_claims(tx.connection, [claim._replace(event_id=digest[:16]) for claim in numbered])
    return [Event(EntryKind.NOTE, digest[:16], digest, salt=tx.entropy(32), payload=payload)]


def _refused(code: str, basis: Basis, faults: Sequence[tuple[Commitment, str, str]]) -> SubsidyError:
    cited = f"（{basis.clause}“{basis.quote.text}”）"
    findings = [
        Finding(code, f"{one.kind.value}：{zh}{cited}", f"{one.kind.value} {en} ({basis.clause})", one.place)
        for one, zh, en in faults
    ]
    return SubsidyError(
        code,
        f"不予重复支持：{findings[0].zh}",
        f"no support twice: {findings[0].en}",
        kind=Kind.CONFLICT,
        findings=findings,
    )
