"""Rounds and applications on HTTP. A token says who acts and in which role; without one only public notices are shown."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Header, Query
from pydantic import Field

from ledger.scope import EVERYTHING, Scope
from suanquan.http.auth import Caller, Scoped, may, scope_of
from suanquan.http.routers import api_router
from suanquan.http.routes import Opened
from suanquan.http.strict_json import json_object
from suanquan.service import Service
from suanquan.use_cases import applications as reading
from suanquan.use_cases import procedure_views as views
from suanquan.use_cases.officers import actor_of

public = api_router(tags=["subsidies"])
person = api_router(tags=["subsidies"])

Body = Annotated[dict[str, Any], Depends(json_object)]
Key = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=255)]
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")]
BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}}


@public.get("/v1/subsidies/procedures", dependencies=[may("procedure.read")])
async def get_procedures(service: Opened) -> list[dict[str, Any]]:
    """Procedures as they are on file: materials, states and steps, each with its clause."""
    office = service.proceedings.office
    found = [procedure for procedure in office.procedures.values() if not procedure.for_schemes]
    return [views.procedure_object(office, procedure) for procedure in found]


@public.get("/v1/subsidies/rounds", dependencies=[may("procedure.read")])
async def get_rounds(service: Opened) -> list[dict[str, Any]]:
    """Calls for applications, oldest first."""
    office = service.proceedings.office
    async with service.database.read() as conn:
        rounds = [found for found in await reading.load_rounds(conn, office) if not found.procedure.for_schemes]
    return [views.round_object(office, found) for found in rounds]


@public.get("/v1/subsidies/notices", dependencies=[may("notice.read")])
async def get_notices(service: Opened) -> list[dict[str, Any]]:
    """What is in public notice today."""
    proceedings = service.proceedings
    async with service.database.read() as conn:
        return await views.public_notices(conn, proceedings.office, proceedings.today)


@person.post("/v1/subsidies/rounds", status_code=201, openapi_extra=BODY, dependencies=[may("round.call")])
async def post_round(service: Opened, body: Body, caller: Caller, idempotency_key: Key = None) -> dict[str, Any]:
    """Call for applications: `procedure`, `title`, `budgets` (clause or scheme: yuan), `opens`, `closes` and, if needed, `decision`."""
    return await shown_round(service, await service.proceedings.call(actor_of(caller), body, idempotency_key))


@person.post("/v1/subsidies/rounds/{round_}/budgets", openapi_extra=BODY, dependencies=[may("round.call")])
async def post_budgets(
    round_: Id, service: Opened, body: Body, caller: Caller, idempotency_key: Key = None
) -> dict[str, Any]:
    """Add to the budgets of a round: `budgets` (clause or scheme: yuan) and `basis`."""
    await service.proceedings.fund(actor_of(caller), round_, body, idempotency_key)
    return await shown_round(service, round_)


async def shown_round(service: Service, round_: str) -> dict[str, Any]:
    """A round with its budgets and what became of them."""
    office = service.proceedings.office
    async with service.database.read() as conn:
        return views.round_object(office, await reading.load_round(conn, office, round_))


@person.post(
    "/v1/subsidies/applications",
    status_code=201,
    openapi_extra=BODY,
    dependencies=[may("application.act", scoped=True)],
)
async def post_application(service: Opened, body: Body, caller: Caller, idempotency_key: Key = None) -> dict[str, Any]:
    """Submit an application; the same content again is the same application."""
    application = await service.proceedings.submit(actor_of(caller), body, idempotency_key)
    return await shown(service, application)


@person.get("/v1/subsidies/applications", dependencies=[may("application.read", scoped=True)])
async def get_applications(
    service: Opened, scope: Scoped, round_: Annotated[str, Query(alias="round", max_length=64)]
) -> list[dict[str, Any]]:
    """Applications of a round; an applicant sees its own."""
    office = service.proceedings.office
    async with service.database.read() as conn:
        found = await reading.load_applications(conn, office, round_, scope)
    return [views.application_line(office, one) for one in found]


@person.get("/v1/subsidies/applications/{application}", dependencies=[may("application.read", scoped=True)])
async def get_application(application: Id, service: Opened, scope: Scoped) -> dict[str, Any]:
    """Where an application stands, what the rules or the scheme say of it, what is lacking, what may follow and what was done."""
    return await shown(service, application, scope)


@person.post(
    "/v1/subsidies/applications/{application}/steps/{step}",
    openapi_extra=BODY,
    dependencies=[may("application.act", scoped=True)],
)
async def post_step(
    application: Id, step: Annotated[str, Field(pattern=r"^[a-z_]{1,60}$")], service: Opened, body: Body, caller: Caller,
    idempotency_key: Key = None,
) -> dict[str, Any]:  # fmt: skip
    """Take a step; the body holds what it takes."""
    if caller.tenant:
        await shown(service, application, scope_of(caller))  # another's is as unknown as one that is not there
    await service.proceedings.take(actor_of(caller), application, step, body, idempotency_key)
    return await shown(service, application)


async def shown(service: Service, application: str, scope: Scope = EVERYTHING) -> dict[str, Any]:
    """An application in full; one outside the scope is as unknown as one that is not there."""
    proceedings = service.proceedings
    async with service.database.read() as conn:
        found = await reading.load_application(conn, proceedings.office, application, scope)
        return views.application_object(proceedings.office, found, await proceedings.setting(conn, found))
