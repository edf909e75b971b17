"""Who may read and do what is not public: bearer tokens from `suanquan init`; browsers carry the same in a cookie."""

from __future__ import annotations

from starlette.requests import Request

from ledger.errors import Kind
from suanquan.db.tokens import role_of
from suanquan.errors import ServiceError
from suanquan.service import Service

COOKIE = "suanquan_token"
TOKEN_MAX = 128


async def role(request: Request) -> str | None:
    """Role of the caller, None for the public.

    Raises:
        ServiceError: `token-unknown` for an Authorization header that opens nothing.

    """
    header = request.headers.get("authorization")
    scheme, _, token = (header or "").partition(" ")
    if header is None:
        token = request.cookies.get(COOKIE, "")
    found = await _lookup(request.app.state.service, token) if header is None or scheme.lower() == "bearer" else None
    if header is not None and found is None:
        raise ServiceError(
            "token-unknown", "令牌无效或已吊销", "the token is unknown or revoked", kind=Kind.NOT_ALLOWED
        )
    return found


async def _lookup(service: Service, token: str) -> str | None:
    if not token or len(token) > TOKEN_MAX:
        return None
    async with service.database.read() as connection:
        return await role_of(connection, token)


async def require_officer(request: Request) -> str:
    """The caller's role, refused without one.

    Raises:
        ServiceError: `token-required` or `token-unknown`.

    """
    found = await role(request)
    if found is None:
        raise ServiceError(
            "token-required",
            "需要令牌：请在 Authorization: Bearer 中给出 suanquan init 显示的令牌",
            "a token is required: send the one that suanquan init printed as Authorization: Bearer",
            kind=Kind.NOT_ALLOWED,
        )
    return found
