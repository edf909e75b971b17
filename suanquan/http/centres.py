"""The register of centres on HTTP: what is registered of one, and what officers add to it."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from ledger.amount import INT64_MAX
from metering.capacity import Card
from metering.centre import Energy, checked_cards
from metering.zones import shanghai_day_us
from suanquan.http.auth import Scoped, may, principal
from suanquan.http.fields import Day
from suanquan.http.routers import api_router
from suanquan.http.routes import Opened
from suanquan.service import Service
from suanquan.use_cases import centres
from suanquan.use_cases.centre_admission import admit, centre_object
from suanquan.use_cases.centres import Said, require_own
from suanquan.use_cases.sight import Window, pools

officer = api_router(tags=["centres"])

CENTRE = r"^[a-z0-9][a-z0-9-]{0,31}$"
Centre = Annotated[str, Field(pattern=CENTRE)]
Since = Annotated[Day, Field(description="自何日起，上海 / from which day on, Shanghai")]
Evidence = Annotated[str, Field(description="证据的 SHA-256 / SHA-256 of the evidence", pattern=r"^([0-9a-f]{64})?$")]
Kwh = Annotated[int, Field(ge=0, le=2**53)]
Words = Annotated[str, Field(min_length=1, max_length=400)]
Serial = Annotated[str, Field(min_length=1, max_length=64)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CardEntry(_Body):
    """One card: its serial number, the centre's word for its model, and the days on which it came and left."""

    serial: Serial
    model: Serial
    from_: Annotated[Day | None, Field(alias="from")] = None
    to: Day | None = None


class Inventory(_Body):
    """All cards that a centre has, had, and is to get; `from` is the day of those that name none."""

    from_: Annotated[Since, Field(alias="from")]
    cards: Annotated[list[CardEntry], Field(min_length=1, max_length=100_000)]
    evidence: Evidence = ""


class Reading(_Body):
    """Kilowatt-hours of a month: in all, of the computing equipment, and green."""

    month: Annotated[str, Field(max_length=7)]
    total_kwh: Kwh
    it_kwh: Kwh
    green_kwh: Kwh
    evidence: Evidence


class Statement(_Body):
    """A fact of the policies, `operator` (a unified social credit code) or `declared_tflops`, from a day on."""

    fact: Annotated[str, Field(max_length=100)]
    value: Any
    from_: Annotated[Since, Field(alias="from")]
    evidence: Evidence = ""


class Switch(_Body):
    """Suspend, or let go on, from a day on, and why."""

    from_: Annotated[Since, Field(alias="from")]
    reason: Words
    evidence: Evidence = ""


class Admission(_Body):
    """From which day on the verdict is to stand."""

    from_: Annotated[Since, Field(alias="from")]
    evidence: Evidence = ""


async def _said(request: Request, day: date, evidence: str = "", reason: str = "") -> Said:
    return Said((await principal(request)).name, shanghai_day_us(day), evidence, reason)


@officer.get("/v1/centres/{centre}", dependencies=[may("centre.read", scoped=True)])
async def get_centre(centre: Centre, service: Opened, scope: Scoped, on: Day | None = None) -> dict[str, Any]:
    """What is registered of a centre, and what follows from it today or at the start of a day."""
    require_own(scope, centre)
    return await _shown(centre, service, service.now_us if on is None else shanghai_day_us(on))


async def _shown(centre: str, service: Service, at_us: int) -> dict[str, Any]:
    async with service.database.read() as conn:
        return await centre_object(conn, service.catalog, service.subsidies, centre, at_us)


@officer.get("/v1/centres/{centre}/pools", dependencies=[may("centre.read", scoped=True)])
async def get_pools(
    centre: Centre, service: Opened, scope: Scoped, on: Day, days: Annotated[int, Query(ge=1, le=31)] = 1
) -> list[dict[str, Any]]:
    """GPU time allocated, busy and seen, and energy, by model and hour, from the start of a day in Shanghai."""
    require_own(scope, centre)
    window = Window(centre, shanghai_day_us(on), shanghai_day_us(on + timedelta(days=days)))
    async with service.database.read() as conn:
        return await pools(conn, service.catalog, window)


@officer.post("/v1/centres/{centre}/inventory", dependencies=[may("centre.change")])
async def post_inventory(centre: Centre, body: Inventory, request: Request, service: Opened) -> dict[str, Any]:
    """Replace the inventory; the answer has the capacity that was recomputed, and words that nobody registered."""
    said = await _said(request, body.from_, body.evidence)
    cards = [
        Card(
            one.serial,
            one.model,
            said.from_us if one.from_ is None else shanghai_day_us(one.from_),
            INT64_MAX if one.to is None else shanghai_day_us(one.to),
        )
        for one in body.cards
    ]
    return await centres.register_inventory(
        service.journal, service.catalog, centre, checked_cards(cards, "/cards"), said
    )


@officer.post("/v1/centres/{centre}/energy", dependencies=[may("energy.report", scoped=True)])
async def post_energy(
    centre: Centre, body: Reading, request: Request, service: Opened, scope: Scoped
) -> dict[str, Any]:
    """Register a month's kilowatt-hours; one more for the same month corrects it. A centre reports its own."""
    require_own(scope, centre)
    reading = Energy(body.month, body.total_kwh, body.it_kwh, body.green_kwh)
    said = await _said(request, date(1970, 1, 2), body.evidence)
    await centres.register_energy(service.journal, centre, reading, said)
    return await _shown(centre, service, service.now_us)


@officer.post("/v1/centres/{centre}/facts", dependencies=[may("centre.change")])
async def post_fact(centre: Centre, body: Statement, request: Request, service: Opened) -> dict[str, Any]:
    """Register a statement from a day on."""
    said = await _said(request, body.from_, body.evidence)
    await centres.register_statement(service.journal, service.subsidies, centre, body.fact, body.value, said)
    return await _shown(centre, service, service.now_us)


@officer.post("/v1/centres/{centre}/suspend", dependencies=[may("centre.change")])
async def post_suspend(centre: Centre, body: Switch, request: Request, service: Opened) -> dict[str, Any]:
    """Suspend a centre: its usage from then on waits for a person."""
    said = await _said(request, body.from_, body.evidence, body.reason)
    await centres.switch(service.journal, centre, said, suspended=True)
    return await _shown(centre, service, service.now_us)


@officer.post("/v1/centres/{centre}/resume", dependencies=[may("centre.change")])
async def post_resume(centre: Centre, body: Switch, request: Request, service: Opened) -> dict[str, Any]:
    """Let a suspended centre go on."""
    said = await _said(request, body.from_, body.evidence, body.reason)
    await centres.switch(service.journal, centre, said, suspended=False)
    return await _shown(centre, service, service.now_us)


@officer.post("/v1/centres/{centre}/admission", dependencies=[may("centre.change")])
async def post_admission(centre: Centre, body: Admission, request: Request, service: Opened) -> dict[str, Any]:
    """Record the verdict of the policy's definition of a computing centre."""
    said = await _said(request, body.from_, body.evidence)
    return await admit(service.journal, service.catalog, service.subsidies, centre, said)
