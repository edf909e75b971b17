"""The ASGI application: routes, limits and the one error renderer, around an opened service."""

from __future__ import annotations

import time
from importlib import resources

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

import suanquan
from ledger.errors import DomainError
from suanquan.http import (
    accounts,
    advice,
    applications,
    audit,
    centres,
    claims,
    decisions,
    findings,
    hold_views,
    holds,
    identities,
    inbox,
    log,
    notices,
    problem,
    questions,
    quotes,
    routes,
    settlements,
    status,
    subsidies,
)
from suanquan.http.at_once import at_once
from suanquan.http.auth import close_unentered, enter
from suanquan.http.completeness import post_completeness
from suanquan.http.corrections import post_corrections
from suanquan.http.direct import Direct, Endpoint
from suanquan.http.limits import Limits
from suanquan.http.rates import KEYS_BURST, KEYS_PER_SECOND, Rates
from suanquan.http.telemetry import post_telemetry
from suanquan.http.usage import AgentKeys, post_usage
from suanquan.portal import (
    applying,
    asking,
    auditing,
    beneficiary,
    bulk,
    case,
    centre,
    channels_page,
    charts,
    checking,
    counter,
    disputing,
    finding,
    finding_box,
    holding,
    importing,
    inbox_page,
    keeping,
    members,
    office,
    office_cases,
    office_lists,
    office_usage,
    page,
    quoting,
    rounds,
    sandbox,
    settling,
    sign_in,
    statements,
    supplementing,
    views,
)
from suanquan.portal.forms import Once
from suanquan.portal.frame import refused
from suanquan.portal.oversize import Refusing
from suanquan.service import Service
from suanquan.use_cases.advice import Desk

_DESCRIPTION = "算力券：签发、计量、记账与核验 / compute vouchers: issue, meter, record, verify"

ROUTERS = (
    *(routes.public, routes.officer, quotes.router),
    *(log.public, log.officer),
    *(status.public, status.officer),
    *(subsidies.public, subsidies.person),
    *(applications.public, applications.person, applications.officer),
    *(decisions.public, decisions.officer),
    centres.officer,
    hold_views.router,
    findings.officer,
    settlements.router,
    claims.router,
    questions.public,
    advice.scheduler,
    notices.officer,
    inbox.router,
    accounts.router,
    identities.router,
    audit.router,
)
"""Every route of the API but what centres sign."""

PAGES = (
    *(page.router, sign_in.router, asking.router, applying.router, beneficiary.router, centre.router),
    *(
        office.router,
        charts.router,
        office_lists.router,
        office_usage.router,
        office_cases.router,
        checking.router,
        views.router,
    ),
    *(case.router, settling.router, statements.router, holding.router, members.router, sandbox.router),
    *(bulk.router, importing.router, supplementing.router, rounds.router, finding.router, auditing.router),
    *(
        inbox_page.router,
        disputing.router,
        keeping.router,
        counter.router,
        channels_page.router,
        quoting.router,
        finding_box.router,
    ),
)
"""Every page of the portal."""
PAGE_PATHS = frozenset(route.path for pages in PAGES for route in pages.routes if isinstance(route, Route))

SIGNED: dict[str, Endpoint] = {
    "/v1/usage": post_usage,
    "/v1/usage/completeness": post_completeness,
    "/v1/usage/telemetry": post_telemetry,
    "/v1/usage/corrections": post_corrections,
    **holds.ROUTES,
}
"""What the agents of centres post under their signature."""


def create_app(service: Service) -> ASGIApp:
    """Everything a browser, an agent or Prometheus may ask of a service."""
    app = FastAPI(
        title="suanquan 算券",
        version=suanquan.__version__,
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        responses={"4XX": problem.PROBLEM, 503: problem.PROBLEM},
    )
    app.state.service = service
    app.state.rates = Rates(time.monotonic_ns)
    app.state.once = Once()
    app.state.at_once = at_once(service.settings)
    app.state.agent_rates = Rates(time.monotonic_ns, KEYS_PER_SECOND, KEYS_BURST)
    service.subsidies.load()
    app.state.oidc = None
    app.state.agent_keys = AgentKeys(service)
    app.state.advice = Desk(service)
    app.state.spending = holds.Spending(service)
    for path, endpoint in SIGNED.items():
        app.add_route(path, endpoint, methods=["POST"])
    for router in (*ROUTERS, *PAGES):
        app.router.routes.extend(router.routes)
    enter(app, "/openapi.json", "service.look")
    app.state.routes = [route for route in app.routes if isinstance(route, Route)]
    close_unentered(app.state.routes)
    app.mount("/static", StaticFiles(directory=str(resources.files("suanquan.portal") / "static")))
    app.add_exception_handler(DomainError, _on_domain_error)
    app.add_exception_handler(HTTPException, problem.on_http_error)
    app.add_exception_handler(RequestValidationError, problem.on_invalid_request)
    app.add_exception_handler(Exception, problem.on_crash)
    direct = Direct(app, app, SIGNED, {"/v1/advice/{centre}": advice.quick_advice})
    limits = Limits(direct, Refusing(app), app.state.at_once)
    app.state.limits = limits
    return limits


async def _on_domain_error(request: Request, error: Exception) -> Response:
    """A page where a page was asked for, a problem document anywhere else."""
    path = getattr(request.scope.get("route"), "path", "")
    if path in PAGE_PATHS and isinstance(error, DomainError):
        return await refused(request, error)
    return await problem.on_domain_error(request, error)
