"""Routes of the policy clauses: what an applicant should be asked, and what the clauses answer. Public; nothing is stored."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any

from fastapi import Depends
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from ledger.errors import Finding
from suanquan.errors import ServiceError
from suanquan.http.auth import may, not_permitted, permit, scope_of
from suanquan.http.routers import api_router
from suanquan.http.routes import service_of
from suanquan.service import Service
from suanquan.use_cases.subsidies import Subsidies, day_of, refused
from suanquan.use_cases.voucher_cost import with_voucher_cost
from subsidy.applicants import read_cell
from subsidy.facts import Facts, Fault, Value
from subsidy.fields import parse_day

public = api_router(prefix="/v1/subsidies", tags=["subsidies"])

Opened = Annotated[Service, Depends(service_of)]
Word = Annotated[str, Field(min_length=1, max_length=80)]
PARAMETERS_MAX = 200
_RESERVED = {"on", "clause", "skip"}


class Inquiry(BaseModel):
    """Facts by name, the day on which the application is received (today in Shanghai, if none), and which clauses."""

    model_config = ConfigDict(extra="forbid", strict=True)

    facts: Annotated[dict[Word, Any], Field(max_length=PARAMETERS_MAX)] = {}
    on: Annotated[str | None, Field(max_length=10)] = None
    clauses: Annotated[list[Word], Field(max_length=50)] = []
    skipped: Annotated[list[Word], Field(max_length=PARAMETERS_MAX)] = []


class Case(Inquiry):
    """An inquiry about a known applicant: `holder` is its unified social credit code."""

    holder: Annotated[str | None, Field(pattern=r"^[0-9A-Z]{18}$")] = None


@public.get("/clauses", dependencies=[may("rules.ask")])
async def get_clauses(service: Opened, on: str | None = None) -> list[dict[str, Any]]:
    """Clauses that give something, and whether anybody may apply today (or on the day `on`)."""
    return service.subsidies.list_clauses(_day(service, on))


@public.get("/questions", dependencies=[may("rules.ask")])
async def get_questions(request: Request, service: Opened) -> dict[str, Any]:
    """The fewest questions that settle most clauses.

    Facts stand in the query (`pue=1.2499`), words of a set joined by `;`; `on`, `clause` and `skip` are no facts.
    """
    query = request.query_params
    facts = facts_of_query(service.subsidies, query.multi_items())
    clauses = service.subsidies.clauses(query.getlist("clause"))
    return service.subsidies.ask(clauses, facts, _day(service, query.get("on")), query.getlist("skip"))


@public.post("/questions", dependencies=[may("rules.ask")])
async def post_questions(inquiry: Inquiry, service: Opened) -> dict[str, Any]:
    """The same with the facts in the body."""
    clauses = service.subsidies.clauses(inquiry.clauses)
    facts = service.subsidies.facts(inquiry.facts)
    return service.subsidies.ask(clauses, facts, _day(service, inquiry.on), inquiry.skipped)


@public.post("/evaluations", dependencies=[may("rules.ask")])
async def post_evaluations(inquiry: Case, request: Request, service: Opened) -> dict[str, Any]:
    """What each clause says of these facts on that day, and why.

    With a `holder`, which needs a token, the cost that its vouchers paid is taken from the ledger unless it is stated.
    """
    clauses = service.subsidies.clauses(inquiry.clauses)
    facts, day = service.subsidies.facts(inquiry.facts), _day(service, inquiry.on)
    answer: dict[str, Any] = {"on": day.isoformat()}
    if inquiry.holder is not None:
        who = await permit(request, "cost.read", scoped=True)
        if not scope_of(who).holds(holder=inquiry.holder):
            raise not_permitted(who, "cost.read")
        async with service.database.read() as connection:
            facts, answer["voucher_paid_yuan"] = await with_voucher_cost(connection, facts, inquiry.holder)
    return answer | {"answers": service.subsidies.answer(clauses, facts, day)}


def _day(service: Service, written: str | None) -> date:
    day = day_of(service.now_us) if written is None else parse_day(written)
    if day is None:
        zh, en = "应写成 2025-05-26 的形式", f"must be a day such as 2025-05-26, not {written!r}"
        raise refused([Finding("fact-malformed", zh, en, "/on")])
    return day


def facts_of_query(subsidies: Subsidies, pairs: Sequence[tuple[str, str]]) -> Facts:
    """Facts as a query writes them.

    Raises:
        ServiceError: `facts-refused`, with a finding for each that cannot be taken.

    """
    written = [(name, text) for name, text in pairs if name not in _RESERVED]
    if len(pairs) > PARAMETERS_MAX:
        raise ServiceError("facts-refused", "参数过多", f"at most {PARAMETERS_MAX} parameters are taken")
    known: dict[str, Value] = {}
    findings = []
    unknown: dict[str, object] = {}
    for name, text in written:
        fact = subsidies.policies.facts.get(name)
        value = None if fact is None else read_cell(fact, text)
        if fact is None:
            unknown[name] = text
        elif name in known:
            findings.append(Finding("fact-malformed", f"“{name}”重复", f"`{name}` is repeated", f"/facts/{name}"))
        elif isinstance(value, Fault):
            findings.append(Finding("fact-malformed", f"“{name}”{value.zh}", f"`{name}` {value.en}", f"/facts/{name}"))
        elif value is not None:
            known[name] = value
    if findings:
        raise refused(findings)
    return {**subsidies.facts(unknown), **known}
