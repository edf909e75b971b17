"""Voucher and read routes. Public: schemes, keys, sums. Everything that names a company needs a token."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from fastapi import Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from ledger import store as ledger_store
from ledger.errors import Kind
from metering.quarantine import Verdict
from metering.zones import rfc3339
from suanquan import metrics
from suanquan.decision_keys import published
from suanquan.errors import ServiceError
from suanquan.http.auth import Caller, Scoped, may
from suanquan.http.fields import Day, NeededKey
from suanquan.http.routers import api_router
from suanquan.service import Service
from suanquan.use_cases import issue as issuing
from suanquan.use_cases.applications import load_committed
from suanquan.use_cases.catalogue import find_scheme, quote, scheme_object, scheme_terms
from suanquan.use_cases.desk import decide_waiting
from suanquan.use_cases.month_statement import month_statement
from suanquan.use_cases.overview import overview
from suanquan.use_cases.quarantine import Decision, list_waiting, parse_place
from suanquan.use_cases.sight_figures import sight_figures
from suanquan.use_cases.split import SplitOrder
from suanquan.use_cases.statement import statement
from suanquan.use_cases.subsidies import day_of
from voucher import store as voucher_store
from voucher.issuance import Contract, IssueRequest
from voucher.sm2 import ALGORITHM as SM2

public = api_router()
officer = api_router()

DAY_US = 86_400_000_000
CONTACT_DAYS = 180
"""RFC 9116, 2.5.5 recommends less than a year."""
KEYS_CACHED = "public, max-age=300"
JTI = Annotated[str, Field(pattern=r"^[0-9A-Za-z-]{1,64}$")]
Name = Annotated[str, Field(min_length=1, max_length=255)]


class VoucherContract(BaseModel):
    """The contract that a voucher supports: claimed once, or as often as its scheme allows."""

    model_config = ConfigDict(extra="forbid", strict=True)

    provider: Annotated[str, Field(max_length=400)]
    number: Annotated[str, Field(max_length=400)]


class VoucherOrder(BaseModel):
    """What a programme office asks for."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {
                    "scheme": "cn-sh-songjiang-sandbox",
                    "holder": "91350100M000100Y43",
                    "amount": "20000.00",
                    "contract": {"provider": "91350100M000100Y43", "number": "SJ-2026-001"},
                }
            ]
        },
    )

    scheme: Name
    holder: Annotated[str, Field(description="统一社会信用代码 / unified social credit code", max_length=18)]
    amount: Annotated[str, Field(description="十进制数 / decimal string", max_length=40)]
    unit: Annotated[str, Field(max_length=16)] = "CNY"
    holder_key: dict[str, str] | None = None
    contract: VoucherContract | None = None
    reason: Annotated[str, Field(max_length=400, description="没有合同的理由 / why there is no contract")] = ""


class VoucherPart(BaseModel):
    """What becomes a voucher of its own."""

    model_config = ConfigDict(extra="forbid", strict=True)

    amount: Annotated[str, Field(description="十进制数 / decimal string", max_length=40)]
    holder_key: Annotated[dict[str, str], Field(description="新券所绑定的公钥 JWK / public JWK of its holder")]


class QuoteRequest(BaseModel):
    """What somebody wants to know before applying."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"date": "2026-11-28", "facts": {"contract_yuan": "100000"}}]}
    )

    date: Annotated[Day, Field(description="申请日 / day of application")]
    facts: Annotated[dict[str, Any], Field(description="已知的事实 / the facts that are known")]


class Why(BaseModel):
    """Why an officer decides."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reason: Annotated[str, Field(description="理由 / reason", min_length=1, max_length=400)]


def service_of(request: Request) -> Service:
    """The service behind a request."""
    service: Service = request.app.state.service
    return service


Opened = Annotated[Service, Depends(service_of)]


def _refused(request: Request) -> dict[str, int]:
    state = request.app.state
    return {
        "too-many-requests": state.rates.refused + state.agent_rates.refused,
        "too-many-at-once": state.at_once.refused,
        "busy": state.limits.turned_away,
    }


Refused = Annotated[dict[str, int], Depends(_refused)]


@public.get("/healthz", tags=["operations"], dependencies=[may("service.look")])
async def healthz() -> dict[str, str]:
    """Process is up."""
    return {"status": "ok"}


@public.get("/readyz", tags=["operations"], dependencies=[may("service.look")])
async def readyz(service: Opened) -> dict[str, Any]:
    """Database answers and the log can be read."""
    async with service.database.read() as connection:
        head = await ledger_store.load_head(connection)
    assert head is not None, "a home has a ledger"
    return {"status": "ok", "log_size": head.size}


@public.get("/metrics", tags=["operations"], response_class=Response, dependencies=[may("figures.read")])
async def get_metrics(service: Opened, refused: Refused) -> Response:
    """Figures for Prometheus."""
    async with service.database.read() as connection:
        figures = await overview(connection, service.catalog, service.now_us, service.memo)
        committed = await load_committed(connection, service.proceedings.office)
        sight = await sight_figures(connection, service.catalog, service.subsidies, service.now_us)
    rules = replace(service.subsidies.figures(day_of(service.now_us)), committed=committed)
    page = metrics.render(figures, service.watch.verdicts, service.now_us, rules, sight, refused)
    return Response(page, media_type=metrics.CONTENT_TYPE)


@public.get("/.well-known/jwks.json", tags=["keys"], dependencies=[may("key.read")])
async def jwks(service: Opened, response: Response) -> dict[str, Any]:
    """Public keys that verify vouchers and receipts (`use` sig), and decisions (`use` decision)."""
    response.headers["Cache-Control"] = KEYS_CACHED
    return {"keys": [*service.keys.jwks()["keys"], *published(service.decisions.keys)]}


@public.get(
    "/.well-known/security.txt", tags=["operations"], response_class=Response, dependencies=[may("service.look")]
)
async def security_txt(service: Opened) -> Response:
    """Whom to tell of a vulnerability (RFC 9116); it is there once the operator has set `security_contact`."""
    contact = service.settings.security_contact
    if not contact:
        raise ServiceError("contact-unset", "运营单位尚未公布联系方式", "no contact is published", kind=Kind.NOT_FOUND)
    until = rfc3339((service.now_us // DAY_US + CONTACT_DAYS) * DAY_US)
    text = f"Contact: {contact}\nExpires: {until}\nPreferred-Languages: zh, en\n"
    return Response(text, media_type="text/plain; charset=utf-8")


@public.get("/.well-known/sm2-jwks.json", tags=["keys"], dependencies=[may("key.read")])
async def sm2_jwks(service: Opened, response: Response) -> dict[str, Any]:
    """Public SM2 keys, which verify the second signature of vouchers that have one."""
    response.headers["Cache-Control"] = KEYS_CACHED
    return dict(service.keys.jwks(SM2))


@public.get("/v1/schemes", tags=["schemes"], dependencies=[may("scheme.read")])
async def schemes(service: Opened) -> list[dict[str, str]]:
    """Schemes in force."""
    return [scheme_object(scheme) for scheme in service.catalog.schemes.values()]


@public.get("/v1/schemes/{scheme_id}", tags=["schemes"], dependencies=[may("scheme.read")])
async def scheme(scheme_id: Name, service: Opened) -> dict[str, Any]:
    """One scheme: what it fixes, what it leaves unknown, and its versions."""
    return scheme_terms(find_scheme(service.catalog.series, scheme_id))


@public.post("/v1/schemes/{scheme_id}/quote", tags=["schemes"], dependencies=[may("scheme.read")])
async def post_quote(scheme_id: Name, request: QuoteRequest, service: Opened) -> dict[str, Any]:
    """What the scheme would give, with every step. Nothing is recorded."""
    return quote(find_scheme(service.catalog.series, scheme_id), request.facts, request.date)


@officer.post("/v1/vouchers", tags=["vouchers"], status_code=201, dependencies=[may("voucher.issue")])
async def post_voucher(
    order: VoucherOrder,
    service: Opened,
    idempotency_key: NeededKey,
) -> dict[str, Any]:
    """Issue a voucher; the same Idempotency-Key and body give the same token again."""
    contract = None if order.contract is None else Contract(order.contract.provider, order.contract.number)
    request = IssueRequest(order.holder, order.unit, order.amount, order.holder_key, contract, order.reason)
    return issuing.with_tokens(await service.issue(order.scheme, request, idempotency_key))


@officer.post("/v1/vouchers/{jti}/split", tags=["vouchers"], status_code=201, dependencies=[may("voucher.split")])
async def post_split(
    jti: JTI,
    part: VoucherPart,
    service: Opened,
    idempotency_key: NeededKey,
) -> dict[str, Any]:
    """Make a part of what is available a voucher of its own, for another key of the same holder."""
    order = SplitOrder(jti, part.amount, part.holder_key, idempotency_key)
    return issuing.with_tokens(await service.split(order))


@officer.get("/v1/vouchers", tags=["vouchers"], dependencies=[may("voucher.list", scoped=True)])
async def get_vouchers(
    scope: Scoped,
    service: Opened,
    after: Annotated[str, Query(max_length=64)] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, Any]:
    """Vouchers in order of issue; `next` continues."""
    async with service.database.read() as connection:
        found = await voucher_store.list_vouchers(connection, scope, after=after, limit=limit)
    return {
        "vouchers": [issuing.voucher_object(stored) for stored in found],
        "next": found[-1].jti if len(found) == limit else None,
    }


@officer.get("/v1/vouchers/{jti}", tags=["vouchers"], dependencies=[may("voucher.read", scoped=True)])
async def get_voucher(jti: JTI, scope: Scoped, service: Opened) -> dict[str, Any]:
    """One voucher with its tokens."""
    async with service.database.read() as connection:
        return issuing.with_tokens(await issuing.load(connection, jti, scope))


@officer.get("/v1/vouchers/{jti}/state", tags=["vouchers"], dependencies=[may("voucher.read", scoped=True)])
async def get_voucher_state(jti: JTI, scope: Scoped, service: Opened) -> dict[str, Any]:
    """What a voucher still holds."""
    async with service.database.read() as connection:
        return issuing.voucher_object(await issuing.load(connection, jti, scope))


@officer.get("/v1/centres", tags=["centres"], dependencies=[may("centre.list", scoped=True)])
async def get_centres(scope: Scoped, service: Opened) -> list[dict[str, Any]]:
    """Centres with what they reported."""
    async with service.database.read() as connection:
        figures = await overview(connection, service.catalog, memo=service.memo)
    return [
        {"id": centre.centre, "name": centre.name, "gpu_ms": centre.gpu_ms, "statuses": centre.statuses}
        for centre in figures.centres
        if scope.holds(centre=centre.centre)
    ]


@officer.get(
    "/v1/statements/{centre}/{account}", tags=["statements"], dependencies=[may("statement.read", scoped=True)]
)
async def get_statement(
    centre: Name,
    account: Name,
    scope: Scoped,
    service: Opened,
    before: Annotated[int, Query(ge=0, le=2**62)] = 2**62,
) -> dict[str, Any]:
    """Usage of one account line by line, newest batches first; `next` continues."""
    async with service.database.read() as connection:
        return await statement(connection, service.catalog, scope, centre, account, before)


@officer.get(
    "/v1/statements/{centre}/{account}/{month}", tags=["statements"], dependencies=[may("statement.read", scoped=True)]
)
async def get_month_statement(
    centre: Name,
    account: Name,
    month: Annotated[str, Path(pattern=r"^20[0-9]{2}-(0[1-9]|1[0-2])$")],
    scope: Scoped,
    service: Opened,
) -> dict[str, Any]:
    """What was booked of an account in a month: prices, who paid, energy where it is known, and the entries that prove it."""
    return await month_statement(service, scope, centre, account, int(month.replace("-", "")))


@officer.get("/v1/quarantine", tags=["centres"], dependencies=[may("quarantine.list", scoped=True)])
async def get_quarantine(
    scope: Scoped,
    service: Opened,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    centre: Annotated[str | None, Query(max_length=32)] = None,
    decided: bool = False,
) -> list[dict[str, Any]]:
    """Records that wait for a person: held, in conflict or refused; with `decided` those with a verdict too."""
    async with service.database.read() as connection:
        return await list_waiting(connection, scope, centre=centre, limit=limit, every=decided)


@officer.post("/v1/quarantine/{place}/release", tags=["centres"], dependencies=[may("quarantine.decide")])
async def post_release(place: Name, why: Why, caller: Caller, service: Opened) -> dict[str, Any]:
    """Rate and post a record that waits, by the time of its usage; once."""
    return await _decide(place, Verdict.RELEASE, why, caller.name, service)


@officer.post("/v1/quarantine/{place}/drop", tags=["centres"], dependencies=[may("quarantine.decide")])
async def post_drop(place: Name, why: Why, caller: Caller, service: Opened) -> dict[str, Any]:
    """Leave a record that waits unrated; it is kept with the reason."""
    return await _decide(place, Verdict.REJECT, why, caller.name, service)


async def _decide(place: str, verdict: Verdict, why: Why, person: str, service: Service) -> dict[str, Any]:
    decision = Decision(parse_place(place), verdict, person, why.reason)
    return await decide_waiting(service.journal, service.rules, decision)
