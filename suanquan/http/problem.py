"""RFC 9457 problem documents: the one renderer of errors on HTTP."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ledger.errors import DomainError, Finding, Kind
from metering.signature import SignatureError
from suanquan.errors import cause_of
from suanquan.http.fields import KEY_HEADER

log = structlog.get_logger("suanquan.http")

STATUS = {
    Kind.INVALID: 422,
    Kind.NOT_FOUND: 404,
    Kind.CONFLICT: 409,
    Kind.NOT_ALLOWED: 403,
    Kind.INSUFFICIENT: 409,
    Kind.UNAVAILABLE: 503,
    Kind.PROOF: 422,
}
_STATUS_OF_CODE = {
    "body-unreadable": 400,
    "batch-too-large": 413,
    "token-required": 401,
    "token-unknown": 401,
    "identity-refused": 401,
    "login-failed": 401,
    "second-factor-needed": 401,
    "secret-unknown": 401,
    "login-locked": 429,
    "too-many-requests": 429,
    "too-many-at-once": 429,
    "body-too-large": 413,
    "body-timeout": 408,
    "headers-too-large": 431,
    "content-type-unsupported": 415,
    "idempotency-key-missing": 400,
    "idempotency-key-reused": 422,
    "status-list-past": 501,
    "not-acceptable": 406,
}
_TITLES = {400: "请求有误", 404: "没有这个地址", 405: "不支持的方法", 413: "请求过大", 422: "请求内容有误"}
TYPE = "application/problem+json"
PROBLEM: dict[str, Any] = {"description": "RFC 9457 problem", "content": {TYPE: {}}}
"""How the OpenAPI document describes every refusal."""


def problem(
    status: int, code: str, zh: str, en: str, *, findings: tuple[Finding, ...] = (), headers: dict[str, str] | None = None,
    request_id: str = "",
) -> Response:  # fmt: skip
    """A problem response: Chinese title, English detail, a stable code, JSON pointers of what is at fault."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": zh,
        "status": status,
        "detail": en,
        "code": code,
        "request_id": request_id,
    }
    if findings:
        body["errors"] = [{"pointer": f.where, "code": f.code, "title": f.zh, "detail": f.en} for f in findings]
    return Response(msgspec.json.encode(body), status, headers, TYPE)


def _id(request: Request) -> str:
    return str(request.scope.get("suanquan.request_id", ""))


async def on_domain_error(request: Request, error: Exception) -> Response:
    """What the domain refused."""
    assert isinstance(error, DomainError)
    return problem_of(error, _id(request))


def status_of(error: DomainError) -> int:
    """The status that an error is answered with."""
    return 401 if isinstance(error, SignatureError) else _STATUS_OF_CODE.get(error.code, STATUS[error.kind])


def problem_of(error: DomainError, request_id: str) -> Response:
    """The problem document of an error, for whoever asked under this id."""
    status = status_of(error)
    headers = {"Retry-After": str(getattr(error, "wait_s", 1))} if status in {429, 503} else {}
    if status >= 500 and (cause := cause_of(error)):
        log.error("unavailable", id=request_id, code=error.code, cause=cause)
    if status == 401:
        headers["WWW-Authenticate"] = "Signature" if isinstance(error, SignatureError) else "Bearer"
    return problem(
        status, error.code, error.zh, error.en, findings=error.findings, headers=headers, request_id=request_id
    )


async def on_http_error(request: Request, error: Exception) -> Response:
    """What the router refused."""
    assert isinstance(error, HTTPException)
    title = _TITLES.get(error.status_code, "请求被拒绝")
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["allow"] = _allowed(request) or headers["allow"]
    return problem(
        error.status_code, f"http-{error.status_code}", title, error.detail, headers=headers, request_id=_id(request)
    )


def _allowed(request: Request) -> str:
    """Methods of all routes of an address; the router itself names those of the first alone.

    An address that is written out goes before a pattern that it fits as well.
    """
    matching = [route for route in request.app.state.routes if route.matches(request.scope)[0] is not Match.NONE]
    return _methods(_written_out(request) or matching)


def _written_out(request: Request) -> list[Route]:
    """Routes whose address is exactly the one that was asked for."""
    return [route for route in request.app.state.routes if route.path == request.url.path]


def _methods(routes: list[Route]) -> str:
    return ", ".join(sorted({method for route in routes for method in route.methods or ()}))


async def on_invalid_request(request: Request, error: Exception) -> Response:
    """What the request model refused, by JSON pointer."""
    assert isinstance(error, RequestValidationError)
    if any(fault["type"] == "missing" and fault["loc"] == ("header", KEY_HEADER) for fault in error.errors()):
        zh, en = "缺少 Idempotency-Key", "the Idempotency-Key header is required"
        return problem(400, "idempotency-key-missing", zh, en, request_id=_id(request))
    if (exact := _written_out(request)) and request.method not in _methods(exact).split(
        ", "
    ):  # it fitted a pattern only
        refused = HTTPException(HTTPStatus.METHOD_NOT_ALLOWED, headers={"allow": _methods(exact)})
        return await on_http_error(request, refused)
    findings = tuple(
        Finding(str(fault["type"]), "此项有误", str(fault["msg"]), "/" + "/".join(map(str, fault["loc"][1:])))
        for fault in error.errors()
    )
    return problem(
        422, "request-invalid", "请求内容有误", "the request is not valid", findings=findings, request_id=_id(request)
    )


async def on_crash(request: Request, _error: Exception) -> Response:
    """What nobody foresaw: says nothing about the inside; the log has the trace under the request id."""
    return problem(500, "internal", "系统内部错误", "internal error", request_id=_id(request))


def refuse(scope: Scope, error: DomainError) -> ASGIApp:
    """An application that answers with what was refused before any other saw the request, and hangs up."""

    async def answer(_scope: Scope, receive: Receive, send: Send) -> None:
        response = await on_domain_error(Request(scope), error)
        response.headers["connection"] = "close"
        await response(scope, receive, send)

    return answer
