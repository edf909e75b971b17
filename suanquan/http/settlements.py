"""`/v1/settlements`, `/v1/payees`: batches, their evidence and payment; who is paid. A token says who acts, and in which role."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query
from pydantic import Field
from starlette.responses import Response

from suanquan.access.policy import BENEFICIARY
from suanquan.access.principal import Principal
from suanquan.errors import ServiceError
from suanquan.http.auth import Caller, Scoped, may
from suanquan.http.routers import api_router
from suanquan.http.routes import Opened
from suanquan.http.subsidies import Body, Key
from suanquan.service import Service
from suanquan.use_cases import evidence, payees, settlement_reading
from suanquan.use_cases.settlement_facts import By
from suanquan.use_cases.settlement_views import batch_object, line_object, payee_object
from suanquan.use_cases.settlements import Settlements, read_day
from subsidy.procedure import Role
from voucher.settlement import store
from voucher.settlement.batch import Batch

router = api_router(tags=["settlements"])

Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")]
PayeeId = Annotated[str, Field(pattern=r"^[A-Za-z0-9:-]{1,80}$")]
Named = Annotated[str | None, Query(max_length=80)]
BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}}


def desk_of(service: Service) -> Settlements:
    """What settles in a service."""
    return Settlements(service.journal, service.catalog.series)


def by_of(caller: Principal, key: str | None) -> By:
    """Who acts, and the request's key; the beneficiary itself is the applicant, whoever of it acts."""
    if caller.role in BENEFICIARY:
        return By(caller.tenant, Role.APPLICANT.value, key)
    return By(caller.name, caller.role.value, key)


def text_of(body: dict[str, Any], *names: str) -> list[str]:
    """Members of a body, all texts and no others.

    Raises:
        ServiceError: `request-malformed`.

    """
    for name in body.keys() - set(names):
        raise ServiceError("request-malformed", f"/{name[:60]} 没有这一项", f"/{name[:60]} is not known here")
    for name in names:
        if not isinstance(body.get(name), str):
            raise ServiceError("request-malformed", f"/{name} 应为文字", f"/{name} must be a text")
    return [body[name] for name in names]


@router.get("/v1/settlements", dependencies=[may("settlement.list", scoped=True)])
async def get_settlements(
    service: Opened, scope: Scoped, scheme: Named = None, payee: Named = None
) -> list[dict[str, Any]]:
    """Batches in the order in which they were prepared; a payee sees its own."""
    async with service.database.read() as conn:
        found = await settlement_reading.load_batches(conn, scheme, payee)
    return [batch_object(one) for one in found if settlement_reading.is_of(one, scope)]


@router.get("/v1/settlements/bank-file", response_class=Response, dependencies=[may("payee.list")])
async def get_bank_file(
    service: Opened,
    batch: Annotated[list[str], Query(min_length=1, max_length=1000)],
    execute_on: Annotated[str, Query(max_length=10)],
    form: Annotated[str, Query(max_length=20)] = "csv",
) -> Response:
    """A file for the bank that pays approved batches: `csv` or `pain.001`."""
    day = read_day(execute_on)
    async with service.database.read() as conn:
        name, body = await payees.bank_file(conn, service.catalog.series, batch, form, day, service.now_us)
    media = "text/csv; charset=utf-8" if form == "csv" else "application/xml"
    return _file(name, body, media)


@router.get("/v1/settlements/{batch}", dependencies=[may("settlement.read", scoped=True)])
async def get_settlement(batch: Id, service: Opened, scope: Scoped) -> dict[str, Any]:
    """One batch as it stands; another's is as unknown as one that is not there."""
    async with service.database.read() as conn:
        return batch_object(await settlement_reading.load_own_batch(conn, batch, scope))


@router.get("/v1/settlements/{batch}/lines", dependencies=[may("settlement.read", scoped=True)])
async def get_lines(batch: Id, service: Opened, scope: Scoped) -> list[dict[str, Any]]:
    """Lines of a batch: which entry of the log makes what due."""
    async with service.database.read() as conn:
        await settlement_reading.load_own_batch(conn, batch, scope)
        return [line_object(line) for line in await store.lines_of(conn, batch)]


@router.get(
    "/v1/settlements/{batch}/bundle", response_class=Response, dependencies=[may("settlement.read", scoped=True)]
)
async def get_bundle(batch: Id, service: Opened, scope: Scoped) -> Response:
    """All evidence of a batch as a ZIP archive with a signed list of hashes."""
    async with service.database.read() as conn:
        found = await settlement_reading.load_own_batch(conn, batch, scope)
        body = await evidence.bundle(conn, found, service.issuer)
    return _file(f"{batch}.zip", body, "application/zip")


@router.post("/v1/settlements", status_code=201, openapi_extra=BODY, dependencies=[may("settlement.act")])
async def post_settlement(service: Opened, body: Body, caller: Caller, key: Key = None) -> dict[str, Any]:
    """Draw up what a scheme owes a payee until the end of a period, and claim it."""
    scheme, payee, period = text_of(body, "scheme", "payee", "period")
    return batch_object(await desk_of(service).prepare(by_of(caller, key), scheme, payee, period))


@router.post("/v1/settlements/{batch}/evidence", openapi_extra=BODY, dependencies=[may("settlement.act")])
async def post_evidence(batch: Id, service: Opened, body: Body, caller: Caller, key: Key = None) -> dict[str, Any]:
    """Add a paper: its content in base64, or its hash; of an invoice number, issuer and amount."""
    paper = evidence.read_paper(body)
    return batch_object(await evidence.add_paper(service.journal, by_of(caller, key), batch, paper))


@router.post("/v1/settlements/{batch}/certificate", dependencies=[may("settlement.act")])
async def post_certificate(batch: Id, service: Opened, caller: Caller, key: Key = None) -> dict[str, Any]:
    """Make the delivery certificate from metering."""
    return batch_object(await evidence.certify(service.journal, service.rules, by_of(caller, key), batch))


@router.post("/v1/settlements/{batch}/approve", dependencies=[may("settlement.act")])
async def post_approve(batch: Id, service: Opened, caller: Caller, key: Key = None) -> dict[str, Any]:
    """Close a batch: somebody else than who prepared it approves."""
    return batch_object(await desk_of(service).approve(by_of(caller, key), batch))


@router.post("/v1/settlements/{batch}/return", openapi_extra=BODY, dependencies=[may("settlement.act")])
async def post_return(batch: Id, service: Opened, body: Body, caller: Caller, key: Key = None) -> dict[str, Any]:
    """Give a batch back; its lines are free for another one."""
    [reason] = text_of(body, "reason")
    return batch_object(await desk_of(service).return_(by_of(caller, key), batch, reason))


@router.post("/v1/settlements/{batch}/payment", openapi_extra=BODY, dependencies=[may("settlement.act")])
async def post_payment(batch: Id, service: Opened, body: Body, caller: Caller, key: Key = None) -> dict[str, Any]:
    """Record that the treasury paid, with the bank's reference."""
    paid_on, reference = text_of(body, "paid_on", "reference")
    return batch_object(await desk_of(service).pay(by_of(caller, key), batch, paid_on, reference))


@router.post("/v1/settlements/{batch}/demand", openapi_extra=BODY, dependencies=[may("settlement.act")])
async def post_demand(batch: Id, service: Opened, body: Body, caller: Caller, key: Key = None) -> dict[str, Any]:
    """Demand back what was paid; `for` is `clawback`, or `corrections`."""
    amount, reason, why = text_of(body, "amount_yuan", "reason", "for")
    return batch_object(await _demand(service, by_of(caller, key), batch, amount, reason, why))


@router.post("/v1/settlements/{batch}/recovery", openapi_extra=BODY, dependencies=[may("settlement.act")])
async def post_recovery(batch: Id, service: Opened, body: Body, caller: Caller, key: Key = None) -> dict[str, Any]:
    """Record what came back on a demand."""
    amount, reference = text_of(body, "amount_yuan", "reference")
    return batch_object(await desk_of(service).recover(by_of(caller, key), batch, amount, reference))


@router.get("/v1/payees", dependencies=[may("payee.list")])
async def get_payees(service: Opened) -> list[dict[str, Any]]:
    """Everybody who is or was to be paid."""
    async with service.database.read() as conn:
        return [payee_object(one) for one in await settlement_reading.load_payees(conn)]


@router.post("/v1/payees/{payee}", openapi_extra=BODY, dependencies=[may("payee.act")])
async def post_payee(payee: PayeeId, service: Opened, body: Body, caller: Caller, key: Key = None) -> dict[str, Any]:
    """Give name, code and bank account of a payee; they count once somebody else confirms them."""
    return payee_object(await payees.set_payee(service.journal, by_of(caller, key), payee, body))


@router.post("/v1/payees/{payee}/confirm", dependencies=[may("payee.act")])
async def post_confirm(payee: PayeeId, service: Opened, caller: Caller, key: Key = None) -> dict[str, Any]:
    """Confirm the details that wait."""
    return payee_object(await payees.confirm_payee(service.journal, by_of(caller, key), payee))


@router.post("/v1/payees/{payee}/suspend", openapi_extra=BODY, dependencies=[may("payee.act")])
async def post_suspend(payee: PayeeId, service: Opened, body: Body, caller: Caller, key: Key = None) -> dict[str, Any]:
    """Pay nothing to a payee until further notice; what it redeemed stays due."""
    [reason] = text_of(body, "reason")
    return payee_object(await payees.hold_payee(service.journal, by_of(caller, key), payee, reason, suspend=True))


@router.post("/v1/payees/{payee}/resume", openapi_extra=BODY, dependencies=[may("payee.act")])
async def post_resume(payee: PayeeId, service: Opened, body: Body, caller: Caller, key: Key = None) -> dict[str, Any]:
    """Pay a payee again."""
    [reason] = text_of(body, "reason")
    return payee_object(await payees.hold_payee(service.journal, by_of(caller, key), payee, reason, suspend=False))


async def _demand(service: Service, by: By, batch: str, amount: str, reason: str, why: str) -> Batch:
    if why not in {"clawback", "corrections"}:
        raise ServiceError("request-malformed", "/for 应为 clawback 或 corrections", "/for is clawback or corrections")
    return await desk_of(service).demand(by, batch, amount, reason, corrections=why == "corrections")


def _file(name: str, body: bytes, media: str) -> Response:
    return Response(body, media_type=media, headers={"Content-Disposition": f'attachment; filename="{name}"'})
