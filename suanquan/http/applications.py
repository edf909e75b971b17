"""Applications for vouchers, the rounds that take them, and programmes, on HTTP. A token says who acts and in which role."""

from __future__ import annotations

import secrets
from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from suanquan.access.principal import Principal
from suanquan.http import subsidies
from suanquan.http.auth import Caller, may, scope_of
from suanquan.http.fields import NeededKey
from suanquan.http.routers import api_router
from suanquan.http.routes import Name, Opened, VoucherContract
from suanquan.http.subsidies import BODY, Body, Id, Key, shown, shown_round
from suanquan.service import Service
from suanquan.use_cases import allotment, programme
from suanquan.use_cases import applications as reading
from suanquan.use_cases import procedure_views as views
from suanquan.use_cases.books import Order
from suanquan.use_cases.catalogue import find_scheme, version_at
from suanquan.use_cases.issue import with_tokens
from suanquan.use_cases.officers import actor_of
from suanquan.use_cases.reclaim import list_reclaims
from voucher.issuance import Contract

public = api_router(tags=["applications"])
person = api_router(tags=["applications"])
officer = api_router(tags=["programmes"])

Reason = Annotated[str, Field(description="依据 / authority", min_length=1, max_length=400)]
Amount = Annotated[str, Field(description="十进制数 / decimal string", max_length=40)]


class Allotted(BaseModel):
    """What a centre may hand out, or gives back."""

    model_config = ConfigDict(extra="forbid", strict=True)

    centre: Name
    amount: Amount
    unit: Annotated[str, Field(max_length=16)] = "CNY"
    reason: Reason


class HandOut(BaseModel):
    """A voucher out of a centre's allotment."""

    model_config = ConfigDict(extra="forbid", strict=True)

    holder: Annotated[str, Field(description="统一社会信用代码 / unified social credit code", max_length=18)]
    amount: Amount
    unit: Annotated[str, Field(max_length=16)] = "CNY"
    holder_key: dict[str, str] | None = None
    contract: VoucherContract | None = None
    reason: Annotated[str, Field(max_length=400, description="没有合同的理由 / why there is no contract")] = ""

    def receiver(self) -> allotment.Receiver:
        """Who gets it, and what for."""
        contract = None if self.contract is None else Contract(self.contract.provider, self.contract.number)
        return allotment.Receiver(self.holder, self.holder_key, contract, self.reason)


@public.get("/v1/procedures", dependencies=[may("procedure.read")])
async def get_procedures(service: Opened) -> list[dict[str, Any]]:
    """Procedures of voucher schemes: materials, states and steps."""
    office = service.proceedings.office
    found = [procedure for procedure in office.procedures.values() if procedure.for_schemes]
    return [views.procedure_object(office, procedure) for procedure in found]


@public.get("/v1/rounds", dependencies=[may("procedure.read")])
async def get_rounds(service: Opened) -> list[dict[str, Any]]:
    """Rounds that take applications for vouchers, oldest first."""
    office = service.proceedings.office
    async with service.database.read() as conn:
        found = [one for one in await reading.load_rounds(conn, office) if one.procedure.for_schemes]
    return [views.round_object(office, one) for one in found]


# What does not depend on whether a clause or a scheme is applied under is the same act at both addresses.
person.post("/v1/rounds", status_code=201, openapi_extra=BODY, dependencies=[may("round.call")])(subsidies.post_round)
person.post("/v1/rounds/{round_}/budgets", openapi_extra=BODY, dependencies=[may("round.call")])(subsidies.post_budgets)
person.post(
    "/v1/applications", status_code=201, openapi_extra=BODY, dependencies=[may("application.act", scoped=True)]
)(subsidies.post_application)
person.get("/v1/applications", dependencies=[may("application.read", scoped=True)])(subsidies.get_applications)
person.get("/v1/applications/{application}", dependencies=[may("application.read", scoped=True)])(
    subsidies.get_application
)


@person.post("/v1/rounds/{round_}/allocation", openapi_extra=BODY, dependencies=[may("round.call")])
async def post_allocation(round_: Id, service: Opened, body: Body, caller: Caller) -> list[dict[str, Any]]:
    """Plan every reviewed application of a closed round in the scheme's order, all together: `basis`."""
    return views.award_objects(await service.proceedings.allocate(actor_of(caller), round_, body))


@person.post("/v1/rounds/{round_}/settlement", openapi_extra=BODY, dependencies=[may("round.call")])
async def post_settlement(
    round_: Id, service: Opened, body: Body, caller: Caller, idempotency_key: Key = None
) -> dict[str, Any]:
    """End a round: what nobody got goes back to the year's budget: `basis`."""
    return await shown_round(
        service, await service.proceedings.settle_round(actor_of(caller), round_, body, idempotency_key)
    )


@person.post(
    "/v1/applications/{application}/steps/{step}",
    openapi_extra=BODY,
    dependencies=[may("application.act", scoped=True)],
)
async def post_step(
    application: Id, step: Annotated[str, Field(pattern=r"^[a-z_]{1,60}$")], service: Opened, body: Body, caller: Caller,
    idempotency_key: Key = None,
) -> dict[str, Any]:  # fmt: skip
    """Take a step; what is due then is issued at once, or as soon as it can be: `not_issued` says what stands against it."""
    if caller.tenant:
        await shown(service, application, scope_of(caller))  # another's is as unknown as one that is not there
    await service.proceedings.take(actor_of(caller), application, step, body, idempotency_key)
    why = await service.try_to_issue(application)
    return await shown(service, application) | ({"not_issued": why} if why else {})


@officer.get("/v1/programmes", dependencies=[may("programme.read")])
async def get_programmes(service: Opened) -> list[dict[str, Any]]:
    """Schemes under which money was set aside or given, with totals."""
    async with service.database.read() as conn:
        return await programme.list_programmes(conn, service.catalog.series)


@officer.get("/v1/programmes/{scheme_id}", dependencies=[may("programme.read")])
async def get_programme(
    scheme_id: Name, service: Opened, year: Annotated[int | None, Query(ge=2000, le=2999)] = None
) -> dict[str, Any]:
    """A programme year by year: budget, set aside, issued, held, redeemed, expired, paid, clawed back; all from ledger accounts."""
    async with service.database.read() as conn:
        return await programme.programme_object(conn, find_scheme(service.catalog.series, scheme_id), year)


@officer.get("/v1/programmes/{scheme_id}/reclaims", dependencies=[may("programme.read")])
async def get_reclaims(scheme_id: Name, service: Opened) -> list[dict[str, Any]]:
    """Notices that idle units will be taken back, and what became of each, newest first."""
    async with service.database.read() as conn:
        return await list_reclaims(conn, find_scheme(service.catalog.series, scheme_id).id)


@officer.post("/v1/programmes/{scheme_id}/allotments", status_code=201, dependencies=[may("programme.allot")])
async def post_allotment(
    scheme_id: Name, allotted: Allotted, service: Opened, caller: Caller, idempotency_key: Key = None
) -> dict[str, Any]:
    """Allot to a centre, which hands out."""
    await allotment.allot(service.journal, *_act(service, scheme_id, allotted, caller, idempotency_key))
    return await get_programme(scheme_id, service)


@officer.post("/v1/programmes/{scheme_id}/returns", status_code=201, dependencies=[may("programme.allot")])
async def post_return(
    scheme_id: Name, allotted: Allotted, service: Opened, caller: Caller, idempotency_key: Key = None
) -> dict[str, Any]:
    """A centre gives back what it did not hand out."""
    await allotment.take_back(service.journal, *_act(service, scheme_id, allotted, caller, idempotency_key))
    return await get_programme(scheme_id, service)


@officer.post(
    "/v1/programmes/{scheme_id}/allotments/{centre}/vouchers", status_code=201, dependencies=[may("programme.allot")]
)
async def post_hand_out(
    scheme_id: Name,
    centre: Name,
    order: HandOut,
    service: Opened,
    idempotency_key: NeededKey,
) -> dict[str, Any]:
    """A voucher out of a centre's allotment; the same Idempotency-Key and body give the same voucher."""
    portion = allotment.Portion(_version(service, scheme_id), centre, order.amount, order.unit)
    return with_tokens(await allotment.hand_out(service.desk, portion, order.receiver(), idempotency_key))


def _act(
    service: Service, scheme_id: str, allotted: Allotted, caller: Principal, key: str | None
) -> tuple[Order, allotment.Portion]:
    portion = allotment.Portion(_version(service, scheme_id), allotted.centre, allotted.amount, allotted.unit)
    return Order(caller.name, allotted.reason, key or secrets.token_hex(16)), portion


def _version(service: Service, scheme_id: str) -> Any:
    return version_at(find_scheme(service.catalog.series, scheme_id), service.now_us)
