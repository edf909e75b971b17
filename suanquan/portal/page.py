"""The first page, its token form and the API page. Where reading fails, the page says so and shows no figure."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any

import structlog
from fastapi import APIRouter
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from ledger.amount import ASSETS_BY_NUMBER
from ledger.errors import DomainError, Kind
from ledger.scope import EVERYTHING
from suanquan.access.policy import Reach
from suanquan.catalog import Catalog
from suanquan.db.tokens import principal_of
from suanquan.errors import ServiceError
from suanquan.http.auth import COOKIE, end_cookie, identify, is_from_here, may, permit, session_cookie
from suanquan.portal import figures
from suanquan.portal.text import TEXTS
from suanquan.service import Service
from suanquan.use_cases.applications import load_rounds
from suanquan.use_cases.overview import Overview, overview
from suanquan.use_cases.procedure_views import procedure_object, public_notices, round_object
from suanquan.use_cases.sign_in import LockedError, Login, log_in, log_out, session
from voucher import store as voucher_store

VOUCHERS_MAX = 50
LATE_US = figures.DAY_US
"""A centre silent for longer than this is marked late."""
STATUSES = {
    "accepted": "accepted",
    "duplicate": "duplicate",
    "held": "pending",
    "conflict": "conflict",
    "rejected": "rejected",
}
"""Statuses of usage records, in the order shown, with the key of their text: `held` names money elsewhere on the page."""
DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""The vendored API page styles its own elements inline; nothing else on it does more than elsewhere."""

log = structlog.get_logger("suanquan.portal")
router = APIRouter()

_pages = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_pages.filters.update(
    {
        function.__name__: function
        for function in (
            figures.amount,
            figures.hours,
            figures.pflops_hours,
            figures.percent,
            figures.instant,
            figures.age,
        )
    }
)


@router.get("/", dependencies=[may("figures.read")])
async def get_home(request: Request) -> Response:
    """Public figures; with a token, single vouchers, too."""
    return await _or_failure(request, _home(request))


@router.get("/notices", dependencies=[may("notice.read")])
async def get_notices(request: Request) -> Response:
    """Calls for applications, what is in public notice today, and the process with its clauses."""
    return await _or_failure(request, _notices(request))


@router.post("/login", dependencies=[may("service.look")])
async def post_login(request: Request) -> Response:
    """Keep a token in a cookie that no script reads and no other site sends."""
    return await _or_failure(request, _login(request))


@router.post("/logout", dependencies=[may("service.look")])
async def post_logout(request: Request) -> Response:
    """Forget the token."""
    if not is_from_here(request):
        return await _or_failure(request, _home(request, "foreign", 403))
    return await _or_failure(request, _logout(request))


async def _logout(request: Request) -> Response:
    with _reading():
        who = await identify(request)
        if who.session:
            await log_out(_service(request).access, who, everywhere=False)
    response = RedirectResponse(f"/{_query(request)}", 303)
    end_cookie(response)
    return response


@router.get("/docs", dependencies=[may("service.look")])
async def get_docs(request: Request) -> Response:
    """Describe the API by the vendored page."""
    return _render(request, "docs.html", headers={"Content-Security-Policy": DOCS_POLICY})


class _UnreadableError(Exception):
    """What a page shows could not be read."""


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    """Tell a fault of reading apart from any other, which is no business of the reader's."""
    try:
        yield
    except DomainError as fault:
        if fault.kind is not Kind.UNAVAILABLE:
            raise
        raise _UnreadableError from fault
    except Exception as fault:
        raise _UnreadableError from fault


async def _or_failure(request: Request, answer: Awaitable[Response]) -> Response:
    """Answer, or say on a page of its own that the data could not be read."""
    try:
        return await answer
    except _UnreadableError:
        number = request.scope["suanquan.request_id"]
        log.exception("page not read", id=number)
        return _render(request, "failed.html", status=503, request_id=number)


async def _home(request: Request, problem: str = "", status: int = 200) -> Response:
    service = _service(request)
    with _reading():
        who = await identify(request)
        found = who.reach("voucher.list") is Reach.EVERYTHING
        if found:
            await permit(request, "voucher.list")
        async with service.database.read() as connection:
            read = await overview(connection, service.catalog, service.now_us, service.memo)
            vouchers = await voucher_store.newest_vouchers(connection, EVERYTHING, VOUCHERS_MAX) if found else []
    revoked = who.is_public and COOKIE in request.cookies and not problem
    response = _render(
        request,
        "page.html",
        status=status,
        problem="token_revoked" if revoked else problem,
        role=found,
        vouchers=vouchers,
        **_shown(read, service.catalog, service.now_us),
    )
    if revoked:
        response.delete_cookie(COOKIE, path="/")
    return response


async def _notices(request: Request) -> Response:
    service = _service(request)
    with _reading():
        proceedings = service.proceedings
        office = proceedings.office
        async with service.database.read() as connection:
            rounds = await load_rounds(connection, office)
            notices = await public_notices(connection, office, proceedings.today)
    return _render(
        request,
        "notices.html",
        notices=notices,
        rounds=[round_object(office, found) for found in rounds],
        procedures=[procedure_object(office, procedure) for procedure in office.procedures.values()],
    )


async def _login(request: Request) -> Response:
    if not is_from_here(request):
        return await _home(request, "foreign", 403)
    form = await request.form(max_files=0, max_fields=8)
    token, name = str(form.get("token", "")).strip(), str(form.get("name", "")).strip()
    if name and not token:
        return await _login_by_name(
            request, Login(name, str(form.get("password", "")), str(form.get("code", "")).strip())
        )
    service = _service(request)
    with _reading():
        async with service.database.read() as connection:
            known = await principal_of(connection, token, service.now_us)
    if known is None or known.reach("voucher.list") is not Reach.EVERYTHING:
        return await _home(request, "token_unknown" if token else "token_missing", 401)
    response = RedirectResponse(f"/{_query(request)}#list", 303)
    secure = service.settings.url.startswith("https:")
    response.set_cookie(COOKIE, token, path="/", secure=secure, httponly=True, samesite="strict")
    return response


async def _login_by_name(request: Request, typed: Login) -> Response:
    service = _service(request)
    try:
        with _reading():
            begun = await log_in(service.access, typed, request.scope["suanquan.request_id"])
    except LockedError:
        return await _home(request, "login_locked", 429)
    except ServiceError as error:
        if error.code not in {"login-failed", "second-factor-needed"}:
            raise
        return await _home(request, "login_failed", 401)
    if begun.who.reach("voucher.list") is not Reach.EVERYTHING:
        found = await session(service.access, begun.secret)
        await log_out(service.access, found or begun.who, everywhere=False)
        return await _home(request, "login_failed", 401)
    response = RedirectResponse(f"/{_query(request)}#list", 303)
    session_cookie(response, service.settings.url, begun.secret)
    return response


def _shown(read: Overview, catalog: Catalog, now_us: int) -> dict[str, Any]:
    """Prepare what the page says beyond the figures read."""
    covered: Counter[str] = Counter()
    for _scheme, centre, units in read.redeemed:
        covered[centre] += units
    return {
        "figures": read,
        "covered": covered,
        "models": [
            (centre.name, model, gpu_ms) for centre in read.centres for model, gpu_ms in sorted(centre.gpu_ms.items())
        ],
        "late": {c.centre for c in read.centres if c.received_us and now_us - c.received_us > LATE_US},
        "unused": [name for name in catalog.schemes if name not in {known.scheme for known in read.schemes}],
        "sandbox_schemes": {name for name, scheme in catalog.schemes.items() if scheme.status.value == "sandbox"},
    }


def _render(
    request: Request, page: str, *, status: int = 200, headers: dict[str, str] | None = None, **values: Any
) -> HTMLResponse:
    service = _service(request)
    language = _language(request)
    names = {
        name: scheme.name_en if language == "en" else scheme.name_zh for name, scheme in service.catalog.schemes.items()
    }
    text = _pages.get_template(page).render(
        t=TEXTS[language],
        language=language,
        query=_query(request),
        path=request.url.path if request.url.path in {"/docs", "/notices"} else "/",
        sandbox=service.settings.sandbox,
        now=service.now_us,
        assets=ASSETS_BY_NUMBER,
        statuses=STATUSES,
        vouchers_max=VOUCHERS_MAX,
        scheme_name=lambda name: names.get(name, name),
        **values,
    )
    return HTMLResponse(text, status, headers)


def _language(request: Request) -> str:
    return "en" if request.query_params.get("lang") == "en" else "zh"


def _query(request: Request) -> str:
    return "?lang=en" if _language(request) == "en" else ""


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service
