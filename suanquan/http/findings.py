"""Findings on HTTP: the queue of reviewers, and what an office knows of parties."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from ledger.amount import INT64_MAX
from metering.zones import shanghai_day_us
from suanquan.checks import run_checks
from suanquan.http.auth import may, principal
from suanquan.http.fields import Day
from suanquan.http.routers import api_router
from suanquan.http.routes import Opened, Why
from suanquan.use_cases import findings, parties
from voucher.findings import State, Verdict

officer = api_router(tags=["findings"])

Id = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Party = Annotated[str, Field(min_length=1, max_length=200)]
Text = Annotated[str, Field(min_length=1, max_length=400)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ReviewBody(_Body):
    """What a reviewer decides, and why."""

    state: State
    reason: Text


class TraitBody(_Body):
    """Something that may tie a party to others."""

    party: Party
    kind: Annotated[str, Field(max_length=40)]
    value: Party


class TraitsBody(_Body):
    """What is known of parties, and where from."""

    origin: Text
    traits: Annotated[list[TraitBody], Field(min_length=1, max_length=10_000)]


class SanctionBody(_Body):
    """Who may not apply from a day on, until another (not included), by which decision."""

    party: Party
    decision: Text
    from_: Annotated[Day, Field(alias="from")]
    until: Day | None = None


class TipBody(_Body):
    """What was told of a provider."""

    provider: Party
    message: Text


async def _person(request: Request) -> str:
    return (await principal(request)).name


Caller = Annotated[str, Depends(_person)]


@officer.get("/v1/findings", dependencies=[may("finding.list")])
async def get_findings(
    service: Opened,
    state: Annotated[str | None, Query(max_length=20)] = None,
    check: Annotated[str | None, Query(max_length=8)] = None,
    subject: Annotated[str | None, Query(max_length=255)] = None,
    after: Annotated[str, Query(max_length=32)] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, Any]:
    """Findings, newest first; `next` continues."""
    async with service.database.read() as conn:
        return await findings.list_findings(conn, state=state, check=check, subject=subject, after=after, limit=limit)


@officer.post("/v1/findings/run", dependencies=[may("finding.decide")])
async def post_run(service: Opened) -> dict[str, Any]:
    """Run all checks now, as the service does by itself every hour; how many findings are new."""
    return await run_checks(service)


@officer.get("/v1/findings/{finding}", dependencies=[may("finding.read")])
async def get_finding(finding: Id, service: Opened) -> dict[str, Any]:
    """One finding with its evidence and every decision on it."""
    async with service.database.read() as conn:
        return await findings.finding_object(conn, finding)


@officer.post("/v1/findings/{finding}/review", dependencies=[may("finding.decide")])
async def post_review(finding: Id, body: ReviewBody, caller: Caller, service: Opened) -> dict[str, Any]:
    """Decide a finding, or open a decided one again. It changes nothing else."""
    return await findings.review(service.journal, finding, Verdict(body.state, caller, body.reason))


@officer.get("/v1/parties", dependencies=[may("party.list")])
async def get_parties(service: Opened, party: Annotated[str | None, Query(max_length=200)] = None) -> dict[str, Any]:
    """What ties parties (masked), sanctions and tips: of one party, or all."""
    async with service.database.read() as conn:
        return await parties.parties_object(conn, party)


@officer.post("/v1/parties/traits", dependencies=[may("party.change")])
async def post_traits(body: TraitsBody, service: Opened) -> dict[str, int]:
    """Keep what ties parties together; values are kept as digests under the ledger's key."""
    said = [parties.Said(one.party, one.kind, one.value) for one in body.traits]
    traits = parties.checked((one, f"/traits/{at}") for at, one in enumerate(said))
    return await parties.learn(service.journal, traits, body.origin)


@officer.post("/v1/parties/{party}/forget", dependencies=[may("party.change")])
async def post_forget(party: Party, why: Why, caller: Caller, service: Opened) -> dict[str, int]:
    """Forget what ties a party to others."""
    return {"traits": await parties.forget(service.journal, party, caller, why.reason)}


@officer.post("/v1/sanctions", dependencies=[may("party.change")])
async def post_sanction(body: SanctionBody, caller: Caller, service: Opened) -> dict[str, int]:
    """Record that a party may not apply for a time."""
    until_us = INT64_MAX if body.until is None else shanghai_day_us(body.until)
    times = shanghai_day_us(body.from_), until_us
    return {"number": await parties.ban(service.journal, body.party, body.decision, caller, times)}


@officer.post("/v1/tips", dependencies=[may("party.change")])
async def post_tip(body: TipBody, caller: Caller, service: Opened) -> dict[str, int]:
    """Record what was told of a provider: its code, or the id of its centre."""
    return {"number": await parties.tell(service.journal, body.provider, body.message, caller)}
