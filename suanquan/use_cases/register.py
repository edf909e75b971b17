"""Claims on the anti-double-funding register, recorded with the log inside the writer's transaction, for every scheme."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import cbor2

from ledger.entry import EntryKind, Event
from ledger.errors import Finding, Kind
from ledger.sql import Connection
from ledger.transaction import Transaction
from subsidy import register, store
from subsidy.errors import SubsidyError
from subsidy.materials import Basis
from subsidy.register import Claim, ClaimKind, Commitment


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
    return await claim_all(
        tx, claimant, register.commitments(tx.keyed, claimant.applicant, claimant.project, costs), basis
    )


async def claim_contract(
    tx: Transaction,
    claimant: Claimant,
    contract: Mapping[str, Any],
    invoices: Sequence[Mapping[str, Any]],
    claims_max: int,
    basis: Basis,
) -> list[Event]:
    """Claim an application of a round, its contract and its invoices for a voucher; `clause` of the claimant is the round.

    A contract is claimed at most `claims_max` times, an invoice (issuer and number) once, for whatever support it is.

    Raises:
        SubsidyError: `cost-repeated` or `supported-already`.

    """
    wanted = [register.application_commitment(tx.keyed, claimant.applicant, claimant.project, claimant.clause)]
    if contract:
        wanted.append(await _free_slot(tx, claimant.subject, contract, claims_max))
    for at, cost in enumerate(invoices):
        digest = register.commit(tx.keyed, ClaimKind.COST, cost["issuer"], cost["document"])
        wanted.append(Commitment(ClaimKind.COST, digest, f"/costs/{at}"))
    return await claim_all(tx, claimant, wanted, basis)


async def claim_slot(
    tx: Transaction, claimant: Claimant, contract: Mapping[str, Any], claims_max: int, basis: Basis
) -> list[Event]:
    """Claim a contract alone, for a voucher that no application stands behind.

    Raises:
        SubsidyError: `supported-already`.

    """
    return await claim_all(tx, claimant, [await _free_slot(tx, claimant.subject, contract, claims_max)], basis)


async def _free_slot(tx: Transaction, subject: str, contract: Mapping[str, Any], claims_max: int) -> Commitment:
    """The subject's own claim on a contract, else the first that nobody holds, else the last."""
    slots = [
        register.contract_slot(tx.keyed, contract["provider"], contract["number"], at + 1) for at in range(claims_max)
    ]
    holding = register.live(await store.claims_on(tx.connection, [slot.digest for slot in slots]))
    holders = [(slot, holding[slot.digest].subject if slot.digest in holding else "") for slot in slots]
    own = next((slot for slot, holder in holders if holder == subject), None)
    return own or next((slot for slot, holder in holders if not holder), slots[-1])


async def contract_claims(
    keyed: register.Keyed, conn: Connection, subject: str, contract: Mapping[str, Any], claims_max: int
) -> int:
    """How many others claim a contract now, of the claims that are allowed."""
    slots = [
        register.contract_slot(keyed, contract["provider"], contract["number"], at + 1) for at in range(claims_max)
    ]
    holding = register.live(await store.claims_on(conn, [slot.digest for slot in slots]))
    return sum(claim.subject != subject for claim in holding.values())


async def claim_all(tx: Transaction, claimant: Claimant, wanted: Sequence[Commitment], basis: Basis) -> list[Event]:
    """Claim commitments for one subject; what it claimed before and claims no longer is released.

    Raises:
        SubsidyError: see `claim_support`.

    """
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
    cited = f"（{basis.cited}）"
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
