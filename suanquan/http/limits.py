"""Our own limits at the edge: body size and time, concurrency, request ids. uvicorn has none of them.

Headers that dribble never reach the application, so their deadline is in `GuardedProtocol`.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from typing import Any

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ledger.errors import Kind
from metering.batch import BODY_BYTES_MAX
from suanquan.errors import ServiceError

OTHER_BODY_BYTES_MAX = 256 * 1024
BODY_SECONDS = 10
HEADER_SECONDS = 10
HEADERS_MAX = 64
HEADER_BYTES_MAX = 16 * 1024
CONCURRENCY_MAX = 256
USAGE_CONCURRENCY_MAX = 16
"""Usage batches held in memory at once: 16 × 8 MiB; an agent beyond that is told to come back."""
USAGE_PATH = "/v1/usage"

log = structlog.get_logger("suanquan.http")


class Limits:
    """ASGI middleware: gives each request an id, bounds what it may send and how long, and logs it once."""

    def __init__(self, app: ASGIApp, refuse: Callable[[Scope, ServiceError], ASGIApp]) -> None:
        self._app = app
        self._refuse = refuse
        self._active = {True: 0, False: 0}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["suanquan.request_id"] = secrets.token_hex(8)
        started, status = time.perf_counter_ns(), 0
        usage = scope["path"] == USAGE_PATH

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", scope["suanquan.request_id"].encode()), *_SAFE]
            await send(message)

        self._active[usage] += 1
        try:
            await self._serve(scope, receive, send_marked, usage=usage)
        finally:
            self._active[usage] -= 1
            log.info(
                "request",
                id=scope["suanquan.request_id"],
                method=scope["method"],
                path=scope["path"],
                status=status,
                ms=(time.perf_counter_ns() - started) // 1_000_000,
            )

    async def _serve(self, scope: Scope, receive: Receive, send: Send, *, usage: bool) -> None:
        try:
            self._check(scope, usage=usage)
            body = await _read(receive, BODY_BYTES_MAX if usage else OTHER_BODY_BYTES_MAX)
        except ServiceError as error:
            await self._refuse(scope, error)(scope, receive, send)
            return
        await self._app(scope, _replay(body, receive), send)

    def _check(self, scope: Scope, *, usage: bool) -> None:
        if self._active[usage] > (USAGE_CONCURRENCY_MAX if usage else CONCURRENCY_MAX):
            raise ServiceError("busy", "系统繁忙，请稍后重试", "too many requests at once; retry later", kind=Kind.UNAVAILABLE)
        if len(scope["headers"]) > HEADERS_MAX:
            raise ServiceError("headers-too-many", "请求头过多", f"at most {HEADERS_MAX} header fields")
        if b"%00" in scope.get("raw_path", b"") or "\x00" in scope["path"]:
            raise ServiceError("path-invalid", "地址无效", "the path holds a NUL", kind=Kind.NOT_FOUND)
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if length.isdigit() and int(length) > (BODY_BYTES_MAX if usage else OTHER_BODY_BYTES_MAX):
            raise _too_large(BODY_BYTES_MAX if usage else OTHER_BODY_BYTES_MAX)


_SAFE = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; "
     b"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"),
)  # fmt: skip


async def _read(receive: Receive, limit: int) -> bytes:
    """The whole body, in time and within its limit."""
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    break
                part = message.get("body", b"")
                size += len(part)
                if size > limit:
                    raise _too_large(limit)
                parts.append(part)
                if not message.get("more_body", False):
                    break
    except TimeoutError:
        raise ServiceError(
            "body-timeout", "请求体发送过慢", f"the body did not arrive within {BODY_SECONDS} s"
        ) from None
    return b"".join(parts)


def _too_large(limit: int) -> ServiceError:
    return ServiceError("body-too-large", f"请求体超过 {limit} 字节", f"the body is larger than {limit} bytes")


def _replay(body: bytes, receive: Receive) -> Receive:
    """Hand the body on in one piece; afterwards wait for the client as before."""
    sent = False

    async def replay() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with a deadline for complete headers and a bound on their size."""

    _deadline: asyncio.TimerHandle | None = None
    _header_bytes = 0

    def connection_made(self, transport: Any) -> None:
        """Start the clock of the first request."""
        super().connection_made(transport)
        self._arm()

    def data_received(self, data: bytes) -> None:
        """Count bytes while headers are incomplete."""
        if self._deadline is None and self.cycle is not None and self.cycle.response_complete:
            self._arm()
        if self._deadline is not None:
            self._header_bytes += len(data)
        super().data_received(data)
        if self._deadline is not None and self._header_bytes > HEADER_BYTES_MAX:
            self.transport.close()

    def on_headers_complete(self) -> None:
        """Headers are here: the body has its own deadline."""
        self._disarm()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the clock."""
        self._disarm()
        super().connection_lost(exc)

    def _arm(self) -> None:
        self._disarm()
        self._deadline = self.loop.call_later(HEADER_SECONDS, self._expire)

    def _disarm(self) -> None:
        self._header_bytes = 0
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _expire(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.close()
