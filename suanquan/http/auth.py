"""Who may read and do what is not public: bearer tokens from `suanquan init`; browsers carry the same in a cookie."""

from __future__ import annotations

from starlette.requests import Request

from ledger.errors import Kind
from suanquan.db.tokens import identity_of
from suanquan.errors import ServiceError
from suanquan.service import Service

COOKIE = "suanquan_token"
TOKEN_MAX = 128


SCHEDULER = "scheduler"
"""Role of a centre's scheduler, whose label is the centre: it may ask for advice on that centre's accounts, and nothing else."""
OUTSIDERS = {"applicant", "reviewer", SCHEDULER}
"""Roles that see neither vouchers nor accounts: those of a procedure, and schedulers."""


async def identity(request: Request) -> tuple[str, str] | None:
    """Role and name of the caller, None for the public.

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


async def _lookup(service: Service, token: str) -> tuple[str, str] | None:
    if not token or len(token) > TOKEN_MAX:
        return None
    async with service.database.read() as connection:
        return await identity_of(connection, token)


async def role(request: Request) -> str | None:
    """Role of an officer, None for everybody else.

    Raises:
        ServiceError: see `identity`.

    """
    found = await identity(request)
    return None if found is None or found[0] in OUTSIDERS else found[0]


async def require_identity(request: Request) -> tuple[str, str]:
    """The caller's role and name, refused without a token.

    Raises:
        ServiceError: `token-required` or `token-unknown`.

    """
    found = await identity(request)
    if found is None:
        raise ServiceError(
            "token-required",
            "需要令牌：请在 Authorization: Bearer 中给出 suanquan init 显示的令牌",
            "a token is required: send the one that suanquan init printed as Authorization: Bearer",
            kind=Kind.NOT_ALLOWED,
        )
    return found


async def require_officer(request: Request) -> str:
    """The caller's role, refused without one.

    Raises:
        ServiceError: `token-required`, `token-unknown`, or `officers-only` for applicants and reviewers.

    """
    found, _ = await require_identity(request)
    if found in OUTSIDERS:
        raise ServiceError("officers-only", "仅限工作人员", "this is for officers alone", kind=Kind.NOT_ALLOWED)
    return found


async def require_scheduler(request: Request) -> None:
    """Let officers ask about any centre, and a centre's scheduler about its own.

    Raises:
        ServiceError: `token-required`, `token-unknown`, `officers-only`, or `foreign-centre`.

    """
    found, label = await require_identity(request)
    if found == SCHEDULER:
        if request.path_params.get("centre") != label:
            raise ServiceError(
                "foreign-centre", "该令牌属于另一中心", "this token is another centre's", kind=Kind.NOT_ALLOWED
            )
    elif found in OUTSIDERS:
        raise ServiceError("officers-only", "仅限工作人员", "this is for officers alone", kind=Kind.NOT_ALLOWED)
