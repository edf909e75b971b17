"""Who asks, and whether the table of rights lets them: each route names its action with `may`, on the line above it.

People have a session in a cookie or show a token (`Authorization: Bearer`); agents of centres sign (see `usage`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, FastAPI
from fastapi.params import Depends as Dependency
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, request_response

from ledger.errors import Kind, storage_unavailable
from ledger.scope import EVERYTHING, NOTHING, Scope
from ledger.sql import is_storage_fault
from suanquan.access.acting import act_of, acting
from suanquan.access.policy import BENEFICIARY, CENTRE, POLICY, Reach, Role, reach
from suanquan.access.principal import PUBLIC, Principal
from suanquan.db.tokens import principal_of
from suanquan.errors import ServiceError
from suanquan.http.at_once import AtOnce
from suanquan.service import Service
from suanquan.use_cases.sign_in import session

COOKIE = "suanquan_token"
SESSION, SECURE_SESSION = "suanquan_session", "__Host-suanquan_session"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
TOKEN_MAX = 128
OWN_ACCOUNT = "account.self"
LOOK = "service.look"
_ACTION, _SCOPED = "__suanquan_action__", "__suanquan_scoped__"

Endpoint = Callable[[Request], Awaitable[Response]]


async def principal(request: Request) -> Principal:
    """Who asks, and may be answered; the public, where nothing is shown.

    Raises:
        ServiceError: `token-unknown` for an Authorization header that opens nothing; `cross-site` for a change that a browser
            was made to send: cookies go along with any request.

    """
    known = await identify(request)
    by_cookie = not known.is_public and "authorization" not in request.headers
    if by_cookie and request.method not in SAFE_METHODS and not is_from_here(request):
        zh, en = "请求不是从本站页面发出的", "the request did not come from a page of this site"
        raise ServiceError("cross-site", zh, en, kind=Kind.NOT_ALLOWED)
    return known


async def identify(request: Request) -> Principal:
    """Who asks, whatever made the browser ask: enough to show a page, not to change anything.

    Raises:
        ServiceError: `token-unknown` for an Authorization header that opens nothing.
        LedgerError: `storage-unavailable`: nobody can tell who asks, so that nothing is shown.

    """
    known: Principal | None = getattr(request.state, "principal", None)
    if known is None:
        try:
            known = request.state.principal = await _identify(request)
        except Exception as fault:
            if is_storage_fault(fault):
                raise storage_unavailable(fault) from fault
            raise
    return known


async def _identify(request: Request) -> Principal:
    header = request.headers.get("authorization")
    scheme, _, token = (header or "").partition(" ")
    service: Service = request.app.state.service
    if header is None:
        return await _of_cookie(request, service)
    found = await _lookup(service, token) if scheme.lower() == "bearer" else None
    if found is None:
        raise ServiceError(
            "token-unknown",
            "令牌不在册、已到期或已吊销",
            "the token is unknown, expired or revoked",
            kind=Kind.NOT_ALLOWED,
        )
    return found


async def _of_cookie(request: Request, service: Service) -> Principal:
    """Who a browser is logged in as: by its session, else by the token that it was given."""
    secret = request.cookies.get(SECURE_SESSION) or request.cookies.get(SESSION, "")
    found = await session(service.access, secret) if secret else None
    found = found or await _lookup(service, request.cookies.get(COOKIE, ""))
    return found or PUBLIC


def is_from_here(request: Request) -> bool:
    """Whether a page of ours sent a request: what the browser says of itself, else the origin it names."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    service: Service = request.app.state.service
    origin = request.headers.get("origin", "").partition("://")[2]
    return bool(origin) and origin in {request.headers.get("host"), urlsplit(service.settings.url).netloc}


def session_cookie(response: Response, url: str, secret: str) -> None:
    """Give a browser its session: no script reads it, no other site sends it, and over TLS no other host of the domain sets it."""
    secure = url.startswith("https:")
    name = SECURE_SESSION if secure else SESSION
    response.set_cookie(name, secret, path="/", secure=secure, httponly=True, samesite="strict")


def end_cookie(response: Response) -> None:
    """Have a browser forget its session and its token."""
    for name in (SESSION, COOKIE):
        response.delete_cookie(name, path="/")
    response.delete_cookie(SECURE_SESSION, path="/", secure=True)


async def _lookup(service: Service, token: str) -> Principal | None:
    if not token or len(token) > TOKEN_MAX:
        return None
    async with service.database.read() as connection:
        return await principal_of(connection, token, service.now_us)


def may(action: str, *, scoped: bool = False) -> Any:
    """The entry of a route: `dependencies=[may("voucher.read")]`. The caller needs a right to this action, to anything.

    A route that is `scoped` gives each tenant its own part: it lets those in as well who have a right to their own alone.

    Raises:
        KeyError: at import, for an action that the table does not have.

    """
    POLICY[action]

    async def check(request: Request) -> Principal:
        return await permit(request, action, scoped=scoped)

    setattr(check, _ACTION, action)
    setattr(check, _SCOPED, scoped)
    return Depends(check)


def by_agents(action: str) -> Callable[[Endpoint], Endpoint]:
    """The entry of a route that agents of centres sign: the handler verifies the signature, which is the agent's right."""
    right = POLICY[action]
    assert Role.CENTRE_AGENT in right.own, action

    def mark(endpoint: Endpoint) -> Endpoint:
        setattr(endpoint, _ACTION, action)
        return endpoint

    return mark


async def permit(request: Request, action: str, *, scoped: bool = False) -> Principal:
    """Who asks, if the right to the action reaches far enough (see `may`); of what everybody may do, nobody is asked who he is.

    Raises:
        ServiceError: `token-required`, `token-unknown`, `not-permitted`, `too-many-requests` or `too-many-at-once`.

    """
    if reach(Role.PUBLIC, action) is Reach.EVERYTHING:
        _count_with_the_public(request, action)
        return PUBLIC
    found = await principal(request)
    if found.reach(action) is not Reach.EVERYTHING and not (scoped and found.reach(action) is Reach.OWN):
        raise _token_required() if found.is_public else not_permitted(found, action)
    _take_a_share(request, found)
    await _leave_trace(request, found, action)
    return found


def _count_with_the_public(request: Request, action: str) -> None:
    """Of what is open to everybody only so much is under way, by route and altogether: the rest of the room is for who is known."""
    if action != LOOK:
        at_once: AtOnce = request.app.state.at_once
        at_once.enter(request.scope, f"route {getattr(request.scope.get('route'), 'path', '')}", "public")


def _take_a_share(request: Request, who: Principal) -> None:
    """Count a request among those of the caller, and of its tenant: how often, and how many at once."""
    state = request.app.state
    if who.role is Role.SCHEDULER:  # it asks before each of its jobs, as agents report each of theirs
        rates, caller, tenant = state.agent_rates, f"scheduler {who.name}", f"centre {who.tenant}"
    else:
        rates, caller, tenant = state.rates, f"person {who.name}", f"tenant {who.tenant}"
    names = (caller, tenant) if who.tenant else (caller,)
    rates.take(*names)
    at_once: AtOnce = state.at_once
    at_once.enter(request.scope, *names)


async def _leave_trace(request: Request, who: Principal, action: str) -> None:
    """Record what an official is about to read; have the journal record what anybody is about to change."""
    service: Service = request.app.state.service
    query = f"?{request.url.query}" if request.url.query else ""
    number = str(request.scope.get("suanquan.request_id", ""))
    act = act_of(who, action, f"{request.method} {request.url.path}{query}", request=number)
    if who.role.is_official and action != OWN_ACCOUNT and (request.method in SAFE_METHODS or reads(action)):
        await service.audit(act)
    if not reads(action):
        acting.set(act)


def reads(action: str) -> bool:
    """Whether an action changes nothing."""
    return action.endswith((".read", ".list"))


def _token_required() -> ServiceError:
    return ServiceError(
        "token-required",
        "需要登录或令牌：请在 Authorization: Bearer 中给出令牌",
        "log in, or send a token as Authorization: Bearer",
        kind=Kind.NOT_ALLOWED,
    )


def not_permitted(who: Principal, action: str) -> ServiceError:
    """The refusal of an action to a role or a token that has no right to it."""
    return ServiceError(
        "not-permitted",
        f"“{who.role.value}”无权办理（{action}）",
        f"{who.role.value} has no right to this ({action})",
        kind=Kind.NOT_ALLOWED,
    )


def actions_of(route: BaseRoute) -> Iterator[str]:
    """What the entries of a route name; a route without any is refused to everybody."""
    endpoint = getattr(route, "endpoint", None)
    marked = [dependency.dependency for dependency in _dependencies(route)]
    yield from (getattr(one, _ACTION) for one in (*marked, endpoint) if hasattr(one, _ACTION))


def is_scoped(route: BaseRoute) -> bool:
    """Whether a route gives each tenant its own part."""
    return any(getattr(one.dependency, _SCOPED, False) for one in _dependencies(route))


def _dependencies(route: BaseRoute) -> list[Dependency]:
    return list(route.dependencies) if isinstance(route, APIRoute) else []


def enter(app: FastAPI, path: str, action: str) -> None:
    """The entry of a route that the framework makes."""
    POLICY[action]
    (route,) = (one for one in app.routes if isinstance(one, Route) and one.path == path)
    setattr(route.endpoint, _ACTION, action)


def close_unentered(routes: Iterable[BaseRoute]) -> None:
    """Default deny: what nobody entered in the table is refused to everybody."""
    for route in routes:
        if isinstance(route, Route) and not any(actions_of(route)):
            route.app = request_response(_refuse)


async def _refuse(_request: Request) -> Response:
    raise not_permitted(PUBLIC, "-")


def scope_of(who: Principal) -> Scope:
    """What queries may give somebody: everything to the authority, their own to centres and companies, to the public nothing."""
    if who.role in CENTRE:
        return Scope(everything=False, centre=who.tenant)
    if who.role in BENEFICIARY:
        return Scope(everything=False, holder=who.tenant)
    return NOTHING if who.is_public else EVERYTHING


async def _scope(request: Request) -> Scope:
    return scope_of(await principal(request))


Scoped = Annotated[Scope, Depends(_scope)]
"""Whose rows the caller may be given."""
Caller = Annotated[Principal, Depends(principal)]
"""Who asks, of a route that `may` let through."""
