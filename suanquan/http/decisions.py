"""Decisions on HTTP: for anybody whether a letter is genuine and still stands; making and reading them for officers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from ledger.scope import EVERYTHING
from suanquan.http.auth import Caller, Scoped, may
from suanquan.http.fields import Day, NeededKey
from suanquan.http.routers import api_router
from suanquan.http.routes import Opened
from suanquan.use_cases import decisions as deciding
from suanquan.use_cases.check_decision import LETTER_TEXT_MAX, Trusted, confirm, verify_statement
from suanquan.use_cases.letters import make_letter
from subsidy import store
from subsidy.ruling import TEXT_MAX, YUAN, Ruling, Verdict, fen_of

public = api_router(tags=["decisions"])
officer = api_router(tags=["decisions"])

DecisionId = Annotated[str, Field(pattern="^SQD-[0-9]{8}-[0-9A-HJKMNP-TV-Z]{12}$")]
Name = Annotated[str, Field(min_length=1, max_length=deciding.NAME_MAX)]
Text = Annotated[str, Field(min_length=1, max_length=TEXT_MAX)]


class DecisionOrder(BaseModel):
    """What an office decides on an application; who decides is whoever is logged in."""

    model_config = ConfigDict(extra="forbid")

    applicant: Name
    uscc: Annotated[str, Field(description="统一社会信用代码 / unified social credit code", max_length=18)]
    project: Name
    clause: Name
    on: Annotated[Day, Field(description="受理之日（上海）/ day of receipt, in Shanghai")]
    facts: dict[Annotated[str, Field(max_length=200)], bool | int | str | list[str] | None]
    verdict: Literal["grant", "refuse"]
    award_yuan: Annotated[str | None, Field(pattern=f"^{YUAN}$", max_length=16)] = None
    reason: Text
    answers: dict[Annotated[str, Field(max_length=200)], Text] = Field(default_factory=dict)
    corrects: DecisionId | None = None

    def order(self, officer: str, key: str) -> deciding.Order:
        """The order that this body asks for, by the officer who sent it."""
        application = deciding.Application(self.applicant, self.uscc, self.project, self.clause, self.on, self.facts)
        award = None if self.award_yuan is None else fen_of(self.award_yuan)
        ruling = Ruling(Verdict(self.verdict), self.reason, award, self.answers)
        return deciding.Order(application, ruling, officer, key, self.corrects)


@public.get("/v1/decisions/{decision_id}", dependencies=[may("decision.confirm")])
async def get_decision(
    decision_id: DecisionId,
    service: Opened,
    token: Annotated[
        str | None, Query(max_length=LETTER_TEXT_MAX, description="决定书所载声明 / statement of a letter")
    ] = None,
) -> dict[str, Any]:
    """What everybody may know: digest, signed statement, whether it still stands; with `token`, whether the letter is genuine."""
    async with service.database.read() as connection:
        if token is not None:
            keys = service.decisions.keys
            trusted = Trusted(
                service.settings.issuer,
                {} if keys is None else keys.verifying_keys(),
                {} if keys is None else keys.revocations(),
            )
            statement = verify_statement(token, trusted)
            if statement["id"] != decision_id:
                raise deciding.mismatch()
            await confirm(connection, statement)
        found = await deciding.public_object(connection, await deciding.load(connection, decision_id, EVERYTHING))
    return found | {"letter": None if token is None else "genuine"}


@officer.post("/v1/decisions", status_code=201, dependencies=[may("decision.make")])
async def post_decision(
    order: DecisionOrder,
    caller: Caller,
    service: Opened,
    idempotency_key: NeededKey,
) -> dict[str, Any]:
    """Evaluate, sign and record a decision; the same Idempotency-Key and body give the same decision again."""
    made = await deciding.decide(service.journal, service.decisions, order.order(caller.name, idempotency_key))
    async with service.database.read() as connection:
        return await deciding.public_object(connection, made)


@officer.get("/v1/decisions", dependencies=[may("decision.list", scoped=True)])
async def get_decisions(
    scope: Scoped,
    service: Opened,
    applicant: Annotated[str, Query(max_length=18)] = "",
    after: Annotated[str, Query(max_length=40)] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, Any]:
    """Decisions in order of id, of one applicant or of all; `next` continues."""
    async with service.database.read() as connection:
        found = await store.list_decisions(connection, scope, applicant=applicant, after=after, limit=limit)
    return {
        "decisions": [deciding.listed_object(stored) for stored in found],
        "next": found[-1].id if len(found) == limit else None,
    }


@officer.get("/v1/decisions/{decision_id}/file", dependencies=[may("decision.read", scoped=True)])
async def get_decision_file(decision_id: DecisionId, scope: Scoped, service: Opened) -> dict[str, Any]:
    """The decision file: record, facts, signed statement and documents, to be replayed offline."""
    async with service.database.read() as connection:
        return await deciding.decision_file(connection, await deciding.load(connection, decision_id, scope))


@officer.get(
    "/v1/decisions/{decision_id}/letter", response_class=Response, dependencies=[may("decision.read", scoped=True)]
)
async def get_decision_letter(decision_id: DecisionId, scope: Scoped, service: Opened) -> Response:
    """The decision letter, as PDF."""
    async with service.database.read() as connection:
        stored = await deciding.load(connection, decision_id, scope)
    made = await make_letter(service.home, stored, service.settings.public_url)
    headers = {"Content-Disposition": f'inline; filename="{decision_id}.pdf"'}
    return Response(made.pdf, media_type="application/pdf", headers=headers)
