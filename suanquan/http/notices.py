"""What users see beside their statements: how long vouchers last, alerts, disputes of lines."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from metering.dispute import Act
from suanquan.http.auth import may, principal, scope_of
from suanquan.http.routers import api_router
from suanquan.http.routes import JTI, Name, Opened, Why
from suanquan.use_cases.alerts import list_alerts
from suanquan.use_cases.forecast import account_forecast, voucher_forecast
from suanquan.use_cases.line_disputes import Line, Person, list_disputes, open_dispute, show_dispute, take_step

officer = api_router(tags=["statements"])

After = Annotated[int, Query(ge=0, le=2**62)]
Limit = Annotated[int, Query(ge=1, le=1000)]
Optional = Annotated[str | None, Query(max_length=255)]
Number = Annotated[int, Field(ge=1, le=2**62)]


class DisputedLine(BaseModel):
    """The line that is disputed, and why."""

    model_config = ConfigDict(extra="forbid", strict=True)

    centre: Name
    account: Name
    source: Annotated[str, Field(description="来源 / urn:centre:…:agent:…", min_length=1, max_length=600)]
    record: Name
    reason: Annotated[str, Field(description="理由 / reason", min_length=1, max_length=2000)]


async def _person(request: Request) -> Person:
    who = await principal(request)
    return Person(who.name, who.role.value)


@officer.get("/v1/vouchers/{jti}/forecast", dependencies=[may("forecast.read")])
async def get_voucher_forecast(jti: JTI, service: Opened) -> dict[str, Any]:
    """How long a voucher lasts by what was spent in the last 28 days; unknown with less than 7 days of data."""
    async with service.database.read() as connection:
        return await voucher_forecast(connection, jti, service.now_us)


@officer.get("/v1/forecasts/{centre}", dependencies=[may("forecast.read")])
async def get_account_forecast(
    centre: Name, account: Annotated[str, Query(max_length=255)], service: Opened
) -> dict[str, Any]:
    """The same for all vouchers that may pay for an account."""
    async with service.database.read() as connection:
        return await account_forecast(connection, centre, account, service.now_us)


@officer.get("/v1/alerts", dependencies=[may("alert.list")])
async def get_alerts(service: Opened, after: After = 0, limit: Limit = 100, holder: Optional = None) -> dict[str, Any]:
    """Alerts on vouchers in the order given: a share is used, or the end is near; `next` continues."""
    async with service.database.read() as connection:
        return await list_alerts(connection, after, limit, holder)


@officer.get("/v1/usage/disputes", dependencies=[may("dispute.list")])
async def get_disputes(
    service: Opened, centre: Optional = None, account: Optional = None, state: Optional = None, after: After = 0,
    limit: Limit = 100,
) -> dict[str, Any]:  # fmt: skip
    """Disputes of statement lines with their newest step; `next` continues."""
    async with service.database.read() as connection:
        return await list_disputes(connection, centre=centre, account=account, state=state, after=after, limit=limit)


@officer.post("/v1/usage/disputes", status_code=201, dependencies=[may("dispute.open", scoped=True)])
async def post_dispute(line: DisputedLine, request: Request, service: Opened) -> dict[str, Any]:
    """Dispute a line of a statement, a holder one of its own usage; it is marked from then on."""
    disputed = Line(line.centre, line.account, line.source, line.record)
    scope = scope_of(await principal(request))
    return await open_dispute(service.journal, disputed, await _person(request), line.reason, scope)


@officer.get("/v1/usage/disputes/{dispute}", dependencies=[may("dispute.read")])
async def get_dispute(dispute: Number, service: Opened) -> dict[str, Any]:
    """One dispute with every step."""
    async with service.database.read() as connection:
        return await show_dispute(connection, dispute)


@officer.post("/v1/usage/disputes/{dispute}/answer", dependencies=[may("dispute.act")])
async def post_answer(dispute: Number, why: Why, request: Request, service: Opened) -> dict[str, Any]:
    """Answer a dispute."""
    return await take_step(service.journal, dispute, Act.ANSWER, await _person(request), why.reason)


@officer.post("/v1/usage/disputes/{dispute}/uphold", dependencies=[may("dispute.act")])
async def post_uphold(dispute: Number, why: Why, request: Request, service: Opened) -> dict[str, Any]:
    """Uphold a dispute that was answered; who took part in it may not. The correction is made by itself."""
    return await take_step(service.journal, dispute, Act.UPHOLD, await _person(request), why.reason)


@officer.post("/v1/usage/disputes/{dispute}/refuse", dependencies=[may("dispute.act")])
async def post_refuse(dispute: Number, why: Why, request: Request, service: Opened) -> dict[str, Any]:
    """Refuse a dispute that was answered; who took part in it may not."""
    return await take_step(service.journal, dispute, Act.REFUSE, await _person(request), why.reason)
