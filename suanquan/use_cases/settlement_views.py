"""Batches, payees, claims and disputes as surfaces show them: plain values, amounts as decimal strings of yuan."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from metering.zones import rfc3339
from suanquan.use_cases.disputes import Dispute
from voucher.settlement.batch import Batch, Demand, Evidence, yuan
from voucher.settlement.claim import Agreement, Claim
from voucher.settlement.line import Line
from voucher.settlement.payee import Details, Payee


def batch_object(batch: Batch) -> dict[str, Any]:
    """A batch; `amount_yuan` is paid, `lines_yuan` what its lines come to."""
    return {
        "id": batch.id,
        "scheme": batch.scheme,
        "payee": batch.payee,
        "period": batch.period,
        "claim_mode": batch.mode,
        "scheme_version": batch.version,
        "state": batch.state.value,
        "amount_yuan": yuan(batch.units),
        "lines": batch.lines,
        "lines_yuan": yuan(batch.net),
        "carried_in_yuan": yuan(batch.carried_in),
        "carried_out_yuan": yuan(batch.carried),
        "invoices_at_least_yuan": yuan(batch.invoiced),
        "lines_sha256": batch.lines_sha256.hex(),
        "required": list(batch.required),
        "evidence": [evidence_object(one) for one in batch.evidence],
        "prepared_by": batch.prepared_by,
        "prepared_at": rfc3339(batch.prepared_us),
        "approved_by": batch.approved_by,
        "payment": _payment(batch),
        "demand": None if batch.demand is None else demand_object(batch.demand),
        "recovered_yuan": yuan(batch.recovered),
        "refunded_yuan": yuan(batch.refunded),
        "reason": batch.reason,
    }


def _payment(batch: Batch) -> dict[str, Any] | None:
    if batch.payment is None:
        return None
    return {name: batch.payment[name] for name in ("paid_on", "reference")}


def demand_object(demand: Demand) -> dict[str, Any]:
    """What is demanded back."""
    return {
        "amount_yuan": yuan(demand.units),
        "by": demand.person,
        "reason": demand.reason,
        "for": "corrections" if demand.corrections else "clawback",
    }


def evidence_object(one: Evidence) -> dict[str, Any]:
    """A paper with its hash."""
    shown: dict[str, Any] = {"kind": one.kind, "name": one.name, "sha256": one.sha256, "kept": one.kept}
    if one.invoice is not None:
        number, issuer, units = one.invoice
        shown["invoice"] = {"number": number, "issuer": issuer, "amount_yuan": yuan(units)}
        if one.lines:
            shown["invoice"]["lines"] = [
                {"kind": line.kind, "amount_yuan": yuan(line.units), "text": line.text} for line in one.lines
            ]
    return shown


def line_object(line: Line) -> dict[str, Any]:
    """A line: the entry of the log it stands on, and what it makes due."""
    return {
        "log_index": line.seq,
        "voucher": line.jti or None,
        "part": line.part or None,
        "kind": line.kind,
        "amount_yuan": yuan(line.units),
    }


def payee_object(payee: Payee) -> dict[str, Any]:
    """A payee; details that wait for a second person are told apart from those that count."""
    return {
        "id": payee.id,
        "details": None if payee.details is None else _details(payee.details),
        "waiting": None if payee.waiting is None else _details(payee.waiting),
        "suspended": payee.suspended or None,
    }


def _details(details: Details) -> dict[str, Any]:
    return asdict(details)


def claim_object(claim: Claim, batch: str | None = None) -> dict[str, Any]:
    """A claim with the decision that gave its amount, and the batch that pays it, if there is one."""
    return {
        "id": claim.id,
        "scheme": claim.scheme,
        "claim_mode": claim.mode,
        "payee": claim.payee,
        "holder": claim.holder,
        "claimed_as": claim.actor,
        "voucher": claim.jti or None,
        "agreement": claim.agreement or None,
        "period": claim.period or None,
        "amount_yuan": yuan(claim.units),
        "state": claim.state.value,
        "reason": claim.reason,
        "batch": batch,
        "claimed_by": claim.by,
        "claimed_at": rfc3339(claim.at_us),
        "event_id": claim.claimed,
        "decision": dict(claim.decision),
        "evidence": [evidence_object(one) for one in claim.evidence],
    }


def agreement_object(agreement: Agreement) -> dict[str, Any]:
    """A target-responsibility agreement."""
    return {
        "id": agreement.id,
        "scheme": agreement.scheme,
        "holder": agreement.holder,
        "provider": agreement.provider,
        "amount_yuan": yuan(agreement.units),
        "basis": agreement.basis,
    }


def dispute_object(dispute: Dispute) -> dict[str, Any]:
    """A dispute with what it keeps out of batches."""
    return {
        "id": dispute.id,
        "centre": dispute.centre,
        "holder": dispute.holder,
        "about": dict(dispute.about),
        "receipt": dispute.receipt,
        "reason": dispute.reason,
        "by": dispute.person,
        "at": rfc3339(dispute.at_us),
        "kept_back_yuan": yuan(sum(units for *_, units in dispute.parts)) if dispute.resolved is None else "0.00",
        "state": "open" if dispute.resolved is None else dispute.outcome,
        "resolution": dispute.resolution,
    }
