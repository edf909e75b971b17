"""`/v1/claims`, `/v1/agreements`, `/v1/receipts`, `/v1/disputes`: what beneficiaries ask, and say to receipts of their jobs."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query

from suanquan.access.principal import Principal
from suanquan.errors import ServiceError
from suanquan.http.auth import Caller, may
from suanquan.http.routers import api_router
from suanquan.http.routes import Opened
from suanquan.http.settlements import BODY, Id, Named, by_of, text_of
from suanquan.http.subsidies import Body, Key
from suanquan.service import Service
from suanquan.use_cases import claim_reading, disputes, settlement_reading
from suanquan.use_cases.claims import Claims
from suanquan.use_cases.job_receipts import About, Receipts
from suanquan.use_cases.settlement_views import agreement_object, claim_object, dispute_object
from voucher.settlement.claim import Claim

router = api_router(tags=["claims"])

Text = Annotated[str, Query(max_length=255)]


def _claims(service: Service) -> Claims:
    return Claims(service.journal, service.catalog.series)


def receipts_of(service: Service) -> Receipts:
    """What makes receipts in a service."""
    return Receipts(service.journal, service.rules, service.keys.issuer)


@router.get("/v1/claims", dependencies=[may("claim.list", scoped=True)])
async def get_claims(
    service: Opened, caller: Caller, scheme: Named = None, payee: Named = None
) -> list[dict[str, Any]]:
    """Redemption claims in the order in which they were made; an applicant sees its own."""
    async with service.database.read() as conn:
        found = await claim_reading.load_claims(conn, scheme, payee)
        return [await _shown(service, one) for one in found if _may_see(caller, one)]


@router.get("/v1/claims/{claim}", dependencies=[may("claim.read", scoped=True)])
async def get_claim(claim: Id, service: Opened, caller: Caller) -> dict[str, Any]:
    """One claim with the decision that gave its amount, and the batch that pays it."""
    async with service.database.read() as conn:
        found = await claim_reading.load_claim(conn, claim)
    if not _may_see(caller, found):
        raise claim_reading.claim_unknown(claim)
    return await _shown(service, found)


@router.post("/v1/claims", status_code=201, openapi_extra=BODY, dependencies=[may("claim.act", scoped=True)])
async def post_claim(service: Opened, body: Body, caller: Caller, key: Key = None) -> dict[str, Any]:
    """Claim under a scheme; the scheme decides how much, and the ledger whether it is there."""
    return await _shown(service, await _claims(service).submit(by_of(caller, key), body))


@router.post("/v1/claims/{claim}/withdraw", openapi_extra=BODY, dependencies=[may("claim.act", scoped=True)])
async def post_withdraw(claim: Id, service: Opened, body: Body, caller: Caller, key: Key = None) -> dict[str, Any]:
    """Withdraw a claim that no batch has taken up."""
    [reason] = text_of(body, "reason")
    return await _shown(service, await _claims(service).end(by_of(caller, key), claim, "withdraw", reason))


@router.post("/v1/claims/{claim}/return", openapi_extra=BODY, dependencies=[may("claim.act", scoped=True)])
async def post_return(claim: Id, service: Opened, body: Body, caller: Caller, key: Key = None) -> dict[str, Any]:
    """Give a claim back to be corrected."""
    [reason] = text_of(body, "reason")
    return await _shown(service, await _claims(service).end(by_of(caller, key), claim, "give_back", reason))


@router.post("/v1/claims/{claim}/refuse", openapi_extra=BODY, dependencies=[may("claim.act", scoped=True)])
async def post_refuse(claim: Id, service: Opened, body: Body, caller: Caller, key: Key = None) -> dict[str, Any]:
    """Refuse a claim for good."""
    [reason] = text_of(body, "reason")
    return await _shown(service, await _claims(service).end(by_of(caller, key), claim, "refuse", reason))


@router.post("/v1/agreements", status_code=201, openapi_extra=BODY, dependencies=[may("agreement.make")])
async def post_agreement(service: Opened, body: Body, caller: Caller, key: Key = None) -> dict[str, Any]:
    """Sign a target-responsibility agreement: one of two sides is entitled to an amount once its target is reached."""
    return agreement_object(await _claims(service).agree(by_of(caller, key), body))


@router.get("/v1/receipts", dependencies=[may("receipt.read", scoped=True)])
async def get_receipt(
    service: Opened, caller: Caller, source: Text = "", record: Text = "", event: Text = ""
) -> dict[str, Any]:
    """The signed receipt of a usage record (`source`, `record`) or of a capture (`event`)."""
    by = by_of(caller, None)
    return await receipts_of(service).receipt(by, _about(source, record, event), service.issuer)


@router.post("/v1/receipts/countersign", openapi_extra=BODY, dependencies=[may("receipt.act", scoped=True)])
async def post_countersign(service: Opened, body: Body, caller: Caller, key: Key = None) -> dict[str, Any]:
    """Say that a receipt is right; with the key of the voucher, if one is bound, or with the token alone."""
    about, receipt, signature = _answer(body)
    text_of(body)
    return await receipts_of(service).countersign(by_of(caller, key), about, receipt, signature)


@router.post(
    "/v1/receipts/dispute", status_code=201, openapi_extra=BODY, dependencies=[may("receipt.act", scoped=True)]
)
async def post_dispute(service: Opened, body: Body, caller: Caller, key: Key = None) -> dict[str, Any]:
    """Say that a receipt is wrong: its part stays out of batches until this is resolved."""
    about, receipt, signature = _answer(body)
    [reason] = text_of(body, "reason")
    found = await receipts_of(service).dispute(by_of(caller, key), about, receipt, reason, signature)
    return dispute_object(found)


@router.get("/v1/disputes", dependencies=[may("receipt.list")])
async def get_disputes(service: Opened) -> list[dict[str, Any]]:
    """Disputes in the order in which they came."""
    async with service.database.read() as conn:
        return [dispute_object(one) for one in (await disputes.load_disputes(conn)).all]


@router.post("/v1/disputes/{dispute}/resolve", openapi_extra=BODY, dependencies=[may("receipt.resolve")])
async def post_resolve(dispute: Id, service: Opened, body: Body, caller: Caller, key: Key = None) -> dict[str, Any]:
    """End a dispute: `confirmed`, or `corrected` once the usage was corrected."""
    outcome, reason = text_of(body, "outcome", "reason")
    return dispute_object(await receipts_of(service).resolve(by_of(caller, key), dispute, outcome, reason))


def _answer(body: dict[str, Any]) -> tuple[About, str, str]:
    """Take what an answer is about out of a body."""
    names = ("source", "record", "event", "receipt", "signature")
    found = {name: body.pop(name, "") for name in names}
    for name, value in found.items():
        if not isinstance(value, str):
            raise ServiceError("request-malformed", f"/{name} 应为文字", f"/{name} must be a text")
    return _about(found["source"], found["record"], found["event"]), found["receipt"], found["signature"]


def _about(source: str, record: str, event: str) -> About:
    if bool(event) == bool(source and record) or (event and (source or record)):
        raise ServiceError(
            "request-malformed",
            "须写明 source 与 record，或只写 event",
            "name a source and a record, or an event alone",
        )
    return About(source, record, event)


def _may_see(caller: Principal, found: Claim) -> bool:
    return caller.may("claim.read", holder=found.holder)


async def _shown(service: Service, found: Claim) -> dict[str, Any]:
    async with service.database.read() as conn:
        batches = await settlement_reading.load_batches(conn, found.scheme, found.payee)
        live = {batch.id for batch in batches if batch.is_live}
        return claim_object(found, await claim_reading.batch_of_claim(conn, found, live))
