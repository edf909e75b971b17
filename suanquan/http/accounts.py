"""Accounts on HTTP: log in and out, one's own account and its factors, and the accounts of others."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from ledger.errors import Kind
from metering.zones import rfc3339
from suanquan.access.principal import Principal
from suanquan.db import people, tokens
from suanquan.errors import ServiceError
from suanquan.http.auth import Caller, end_cookie, may, session_cookie
from suanquan.http.routers import api_router
from suanquan.http.routes import Opened
from suanquan.http.strict_json import json_object
from suanquan.use_cases import accounts, passkeys, sign_in
from suanquan.use_cases.access import NAME_MAX
from suanquan.use_cases.sign_in import Begun, Login

router = api_router(tags=["accounts"])

Typed = Annotated[str, Field(max_length=256)]
Name = Annotated[str, Field(min_length=1, max_length=NAME_MAX)]
Body = Annotated[dict[str, Any], Depends(json_object)]
_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class LoginOrder(_Strict):
    """Name and password, the code of a second factor, and the role to act in where there are several."""

    name: Typed
    password: Typed
    code: Annotated[str, Field(max_length=16)] = ""
    role: Annotated[str, Field(max_length=40)] = ""


class NewAccount(_Strict):
    """Who is to act in which role, and for which centre or company."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "sj01/张", "role": "centre_operator", "tenant": "sj01"}]}
    )

    name: Name
    role: Annotated[str, Field(max_length=40)]
    tenant: Annotated[str, Field(max_length=64)] = ""


class TakeUp(_Strict):
    """A secret that is used once, and the password to be set."""

    secret: Typed
    password: Typed


class NewPassword(_Strict):
    """The password that is, and the one to be."""

    old: Typed
    new: Typed


class Code(_Strict):
    """Six digits of an authenticator."""

    code: Annotated[str, Field(max_length=16)]


class NewToken(_Strict):
    """What a token may be used for, by action or its first word, and for how many days."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"actions": ["voucher.list", "settlement"], "days": 30}]})

    actions: Annotated[list[Annotated[str, Field(max_length=60)]], Field(min_length=1, max_length=50)]
    days: Annotated[int, Field(ge=1, le=accounts.TOKEN_DAYS_MAX)] = 90


class Named(_Strict):
    """Which account."""

    name: Name


def request_id(request: Request) -> str:
    """The id of a request, as it stands in the log."""
    return str(request.scope.get("suanquan.request_id", ""))


RequestId = Annotated[str, Depends(request_id)]


@router.post("/v1/sessions", status_code=201, dependencies=[may("session.begin")])
async def post_session(order: LoginOrder, service: Opened, response: Response, number: RequestId) -> dict[str, Any]:
    """Log in; the session is in a cookie that no script reads."""
    typed = Login(order.name, order.password, order.code, order.role)
    return _begun(response, service.settings.url, await sign_in.log_in(service.access, typed, number))


@router.post("/v1/sessions/passkey/options", dependencies=[may("session.begin")])
async def post_login_options(service: Opened) -> dict[str, Any]:
    """What an authenticator needs to log in."""
    return await passkeys.login_options(service.access)


@router.post("/v1/sessions/passkey", status_code=201, dependencies=[may("session.begin")], openapi_extra=_BODY)
async def post_passkey_session(body: Body, service: Opened, response: Response, number: RequestId) -> dict[str, Any]:
    """Log in by a passkey."""
    return _begun(response, service.settings.url, await passkeys.log_in(service.access, body, number))


def _begun(response: Response, url: str, begun: Begun) -> dict[str, Any]:
    session_cookie(response, url, begun.secret)
    return _me(begun.who) | {"expires": rfc3339(begun.expires_us)}


def _me(who: Principal) -> dict[str, Any]:
    return {"name": who.name, "role": who.role.value, "tenant": who.tenant}


@router.get("/v1/me", dependencies=[may("account.self")])
async def get_me(caller: Caller) -> dict[str, Any]:
    """Who asks, in which role and for whom."""
    return _me(caller)


@router.post("/v1/sessions/end", dependencies=[may("account.self")])
async def post_logout(
    caller: Caller, service: Opened, response: Response, number: RequestId, *, everywhere: bool = False
) -> dict[str, int]:
    """End this session, or every session of the account."""
    end_cookie(response)
    return {"ended": await sign_in.log_out(service.access, caller, everywhere=everywhere, request=number)}


@router.post("/v1/me/password", dependencies=[may("account.self")])
async def post_password(order: NewPassword, caller: Caller, service: Opened, number: RequestId) -> dict[str, Any]:
    """Set another password; other sessions end."""
    await accounts.change_password(service.access, at_desk(caller), order.old, order.new, number)
    return _me(caller)


@router.post("/v1/me/totp", dependencies=[may("account.self")])
async def post_totp(caller: Caller, service: Opened) -> dict[str, str]:
    """Begin a second factor: the address that an authenticator reads."""
    return {"address": await accounts.begin_totp(service.access, at_desk(caller))}


@router.post("/v1/me/totp/confirm", dependencies=[may("account.self")])
async def post_totp_code(order: Code, caller: Caller, service: Opened, number: RequestId) -> dict[str, Any]:
    """Let the second factor count."""
    await accounts.confirm_totp(service.access, at_desk(caller), order.code, number)
    return _me(caller)


@router.post("/v1/me/passkeys/options", dependencies=[may("account.self")])
async def post_passkey_options(caller: Caller, service: Opened) -> dict[str, Any]:
    """What an authenticator needs to make a passkey."""
    return await passkeys.registration_options(service.access, at_desk(caller))


@router.post("/v1/me/passkeys", status_code=201, dependencies=[may("account.self")], openapi_extra=_BODY)
async def post_passkey(body: Body, caller: Caller, service: Opened, number: RequestId) -> dict[str, Any]:
    """Register a passkey; `label` is what its owner calls it."""
    label = str(body.pop("label", ""))[: passkeys.LABEL_MAX]
    return await passkeys.register(service.access, at_desk(caller), body, label, number)


@router.get("/v1/me/tokens", dependencies=[may("account.self")])
async def get_tokens(caller: Caller, service: Opened) -> list[dict[str, Any]]:
    """The own tokens, without their secrets."""
    async with service.database.read() as connection:
        return [
            {"id": token.id, "role": token.role, "actions": list(token.actions), "since": rfc3339(token.created_us)}
            | {"expires": None if token.expires_us is None else rfc3339(token.expires_us)}
            | {"revoked": None if token.revoked_us is None else rfc3339(token.revoked_us)}
            for token in await tokens.list_tokens(connection, caller.name)
        ]


@router.post("/v1/me/tokens", status_code=201, dependencies=[may("account.self")])
async def post_token(order: NewToken, caller: Caller, service: Opened, number: RequestId) -> dict[str, Any]:
    """Make a token; it is shown this once."""
    return await accounts.make_token(service.access, caller, order.actions, order.days, number)


@router.post("/v1/me/tokens/{token_id}/end", dependencies=[may("account.self")])
async def post_token_end(
    token_id: Annotated[str, Field(pattern="^[0-9a-f]{16}$")], caller: Caller, service: Opened, number: RequestId
) -> dict[str, str]:
    """End one of the own tokens."""
    await accounts.end_token(service.access, caller, token_id, number)
    return {"ended": token_id}


@router.get("/v1/accounts", dependencies=[may("account.list", scoped=True)])
async def get_accounts(caller: Caller, service: Opened) -> list[dict[str, Any]]:
    """Accounts with their roles; a centre and a company see their own."""
    async with service.database.read() as connection:
        found = await people.list_people(connection)
    return [
        {
            "name": known.name,
            "state": known.state,
            "second_factor": known.totp is not None,
            "roles": [{"role": grant.role, "tenant": grant.tenant} for grant in grants],
        }
        for known, grants in found
        if not caller.tenant or any(grant.tenant == caller.tenant for grant in grants)
    ]


@router.post("/v1/accounts", status_code=201, dependencies=[may("account.make", scoped=True)])
async def post_account(order: NewAccount, caller: Caller, service: Opened, number: RequestId) -> dict[str, Any]:
    """Let somebody act in a role; the one-time secret to take the account up with is shown this once."""
    grant = people.Grant(order.role, order.tenant)
    secret = await accounts.invite(service.access, caller, order.name, grant, number)
    return {"name": order.name, "role": order.role, "tenant": order.tenant, "secret": secret or None}


@router.post("/v1/accounts/take-up", dependencies=[may("session.begin")])
async def post_take_up(order: TakeUp, service: Opened, number: RequestId) -> dict[str, str]:
    """Set a password by a one-time secret: of an invitation or of a recovery."""
    return {"name": await accounts.take_up(service.access, order.secret, order.password, number)}


@router.post("/v1/accounts/end", dependencies=[may("account.end", scoped=True)])
async def post_account_end(order: Named, caller: Caller, service: Opened, number: RequestId) -> dict[str, Any]:
    """End an account, its sessions and its tokens."""
    ended = await accounts.end_account(service.access, caller, order.name, number)
    return {"name": order.name, "sessions": ended}


@router.post("/v1/accounts/sessions/end", dependencies=[may("account.end", scoped=True)])
async def post_sessions_end(order: Named, caller: Caller, service: Opened, number: RequestId) -> dict[str, Any]:
    """End every session of an account; it may log in again."""
    ended = await accounts.end_sessions(service.access, caller, order.name, number)
    return {"name": order.name, "sessions": ended}


@router.post("/v1/accounts/recovery", status_code=202, dependencies=[may("recovery.open")])
async def post_recovery(order: Named, caller: Caller, service: Opened, number: RequestId) -> dict[str, str]:
    """Ask that an account be recovered; a second person must agree."""
    await accounts.open_recovery(service.access, caller, order.name, number)
    return {"name": order.name}


@router.post("/v1/accounts/recovery/approve", status_code=201, dependencies=[may("recovery.approve")])
async def post_approval(order: Named, caller: Caller, service: Opened, number: RequestId) -> dict[str, str]:
    """Agree to a recovery; the one-time secret, for its subject alone, is shown this once."""
    return {"name": order.name, "secret": await accounts.agree_recovery(service.access, caller, order.name, number)}


def at_desk(caller: Principal) -> Principal:
    """Who asks, if he is logged in: a token, which a program keeps, does not change how its owner logs in.

    Raises:
        ServiceError: `session-required`.

    """
    if not caller.session:
        zh, en = "须登录后办理，令牌不行", "this needs a session; a token will not do"
        raise ServiceError("session-required", zh, en, kind=Kind.NOT_ALLOWED)
    return caller
