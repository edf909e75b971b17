"""Logging in at a provider of identities, and the links of one's own account to it."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from suanquan.http.accounts import RequestId, at_desk
from suanquan.http.auth import Caller, may, session_cookie
from suanquan.http.routers import api_router
from suanquan.http.routes import Opened
from suanquan.oidc_client import OidcClient
from suanquan.use_cases import identities

router = api_router(tags=["accounts"])

STATE, SECURE_STATE = "suanquan_oidc", "__Host-suanquan_oidc"
_THERE = (
    '<!doctype html><html lang="zh-CN"><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=/">'
    '<title>算券</title><p><a href="/">继续 continue</a></p></html>'
)
"""A page of our own: only a way from here takes the session along, which a way from the provider would not."""


class Link(BaseModel):
    """Which link to take away."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    issuer: Annotated[str, Field(max_length=300)]
    subject: Annotated[str, Field(max_length=255)]


@router.get("/v1/sessions/oidc", status_code=303, response_class=Response, dependencies=[may("session.begin")])
async def get_oidc(request: Request, service: Opened) -> Response:
    """Go to the provider to log in."""
    sent = await identities.send(service.access, _client(request), service.settings.url)
    return _with_state(RedirectResponse(sent.address, 303), service.settings.url, sent.state)


@router.get(identities.PATH, response_class=HTMLResponse, dependencies=[may("session.begin")])
async def get_oidc_back(
    request: Request,
    service: Opened,
    number: RequestId,
    state: Annotated[str, Query(max_length=100)] = "",
    code: Annotated[str, Query(max_length=4096)] = "",
) -> Response:
    """Come back from the provider: logged in, or with the account linked."""
    cookie = request.cookies.get(SECURE_STATE) or request.cookies.get(STATE, "")
    url = service.settings.url
    begun = await identities.come_back(service.access, _client(request), url, (code, state), cookie, number)
    response = HTMLResponse(_THERE)
    response.delete_cookie(STATE, path="/")
    response.delete_cookie(SECURE_STATE, path="/", secure=True)
    if begun is not None:
        session_cookie(response, url, begun.secret)
    return response


@router.get("/v1/me/identities", dependencies=[may("account.self")])
async def get_identities(caller: Caller, service: Opened) -> list[dict[str, str]]:
    """What is linked to the own account."""
    return await identities.list_identities(service.access, caller)


@router.post("/v1/me/identities", status_code=202, dependencies=[may("account.self")])
async def post_identity(request: Request, caller: Caller, service: Opened, response: Response) -> dict[str, str]:
    """Begin to link the own account: where to go in this browser."""
    who = at_desk(caller)
    sent = await identities.send(service.access, _client(request), service.settings.url, who.name)
    _with_state(response, service.settings.url, sent.state)
    return {"address": sent.address}


@router.post("/v1/me/identities/end", dependencies=[may("account.self")])
async def post_identity_end(order: Link, caller: Caller, service: Opened, number: RequestId) -> dict[str, str]:
    """Take a link of the own account away."""
    await identities.unlink(service.access, at_desk(caller), order.issuer, order.subject, number)
    return {"issuer": order.issuer, "subject": order.subject}


def _with_state(response: Response, url: str, state: str) -> Response:
    """Bind an attempt to this browser; the way back comes from the provider, so that `strict` would lose it."""
    secure = url.startswith("https:")
    name, life = SECURE_STATE if secure else STATE, identities.MINUTES * 60
    response.set_cookie(name, state, max_age=life, path="/", secure=secure, httponly=True, samesite="lax")
    return response


def _client(request: Request) -> OidcClient:
    """The one client of this service; it is made when it is first asked for."""
    state = request.app.state
    if state.oidc is None:
        state.oidc = identities.client_of(state.service.access)
    client: OidcClient = state.oidc
    return client
