"""Our own limits at the edge: body size and time, concurrency, request ids. uvicorn has none of them.

Headers that dribble never reach the application, nor does what is no HTTP, so `GuardedProtocol` sees to both.
A request counts as under way once its body is here: stalled ones cost what they have sent, and hold nobody up.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ledger.errors import Kind
from metering.batch import BODY_BYTES_MAX
from suanquan.errors import ServiceError
from suanquan.http.at_once import ENTERED, AtOnce
from suanquan.http.problem import problem

OTHER_BODY_BYTES_MAX = 256 * 1024
BODY_SECONDS = 10
HEADER_SECONDS = 10
WRITE_SECONDS = 10
"""How long a client may leave a full buffer of an answer unread."""
HEADERS_MAX = 64
HEADER_BYTES_MAX = 16 * 1024
CONCURRENCY_MAX = 256
BODIES_BYTES_MAX = 16 * BODY_BYTES_MAX
"""Bodies held in memory at once, complete or not; an agent beyond that is told to come back."""
STREAMED_BYTES_MAX = 2**20
"""Largest body whose length was not said beforehand."""
STREAMED_TOGETHER_MAX = 2 * 2**20
"""Bytes of such bodies in memory: who says the length is refused before it is there, who does not can only be stopped."""
USAGE_PATH = "/v1/usage"
LARGE = re.compile(
    r"/v1/usage(/telemetry)?|/v1/centres/[a-z0-9-]{1,32}/inventory|/v1/.{1,200}/evidence"
    r"|/applications/new|/settlements/[^/]{1,80}/evidence|/energy"
)
"""Paths that take bodies of many lines or papers: usage, hours of monitors, cards, evidence, forms with files."""

BUSY = "系统繁忙，没有办理；请一秒后重试", "too many requests at once; nothing was done: retry after a second"

log = structlog.get_logger("suanquan.http")


class Limits:
    """ASGI middleware: gives each request an id, bounds what it may send and how long, and logs it once."""

    def __init__(
        self, app: ASGIApp, refuse: Callable[[Scope, ServiceError], ASGIApp], at_once: AtOnce | None = None
    ) -> None:
        self._app = app
        self._refuse = refuse
        self._at_once = at_once
        self.turned_away = 0
        self._active = 0
        self._held = 0
        self._streamed = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["suanquan.request_id"] = secrets.token_hex(8)
        started, status = time.perf_counter_ns(), 0

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = {name.lower() for name, _ in message["headers"]}
                safe = (header for header in _SAFE if header[0] not in own)
                identity = (b"x-request-id", scope["suanquan.request_id"].encode())
                message["headers"] = [*message["headers"], identity, *safe]
            await send(message)

        try:
            await self._serve(scope, receive, send_marked)
        finally:
            log.info(
                "request",
                id=scope["suanquan.request_id"],
                method=scope["method"],
                path=scope["path"],
                status=status,
                ms=(time.perf_counter_ns() - started) // 1_000_000,
            )

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit = BODY_BYTES_MAX if LARGE.fullmatch(scope["path"]) else OTHER_BODY_BYTES_MAX
        streamed = all(name != b"content-length" for name, _ in scope["headers"])
        if streamed:
            limit = min(limit, STREAMED_BYTES_MAX)
        parts: list[bytes] = []
        try:
            try:
                _check(scope, limit)
                await self._read(receive, limit, parts, streamed=streamed)
                if self._active >= CONCURRENCY_MAX:
                    raise self._busy()
            except ServiceError as error:
                await self._refuse(scope, error)(scope, receive, send)
                return
            await self._pass_on(scope, _replay(b"".join(parts), receive), send)
        finally:
            size = sum(map(len, parts))
            self._held -= size
            self._streamed -= size if streamed else 0

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Have the application answer, and count the request as under way until it has."""
        self._active += 1
        if self._at_once is not None:
            scope[ENTERED] = []
        try:
            await self._app(scope, receive, send)
        finally:
            self._active -= 1
            if self._at_once is not None:
                self._at_once.leave(scope[ENTERED])

    def _busy(self) -> ServiceError:
        self.turned_away += 1
        return ServiceError("busy", *BUSY, kind=Kind.UNAVAILABLE)

    async def _read(self, receive: Receive, limit: int, parts: list[bytes], *, streamed: bool) -> None:
        """Add the whole body to `parts`, in time and within its limit."""
        size, more = 0, True
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while more:
                    message = await receive()
                    part = message.get("body", b"")
                    parts.append(part)
                    size += len(part)
                    self._held += len(part)
                    self._streamed += len(part) if streamed else 0
                    if size > limit:
                        raise _too_large(limit)
                    if self._held > BODIES_BYTES_MAX or (streamed and self._streamed > STREAMED_TOGETHER_MAX):
                        raise self._busy()
                    more = message.get("more_body", False)
        except TimeoutError:
            raise ServiceError(
                "body-timeout", "请求体发送过慢", f"the body did not arrive within {BODY_SECONDS} s"
            ) from None


def _check(scope: Scope, limit: int) -> None:
    """What can be said before the body has come."""
    headers = scope["headers"]
    size = len(scope["query_string"]) + sum(len(name) + len(value) for name, value in headers)
    if len(headers) > HEADERS_MAX or size > HEADER_BYTES_MAX:
        raise ServiceError(
            "headers-too-large",
            "请求头过多或过长",
            f"at most {HEADERS_MAX} header fields and {HEADER_BYTES_MAX} bytes are accepted",
        )
    if b"%00" in scope.get("raw_path", b"") + scope["query_string"] or "\x00" in scope["path"]:
        raise ServiceError("path-invalid", "地址含 NUL 字符", "the address holds a NUL", kind=Kind.NOT_FOUND)
    length = dict(headers).get(b"content-length", b"0")
    if length.isdigit() and int(length) > limit:
        raise _too_large(limit)


CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_SAFE = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", CSP.encode()),
)  # fmt: skip


def _too_large(limit: int) -> ServiceError:
    zh, en = f"请求体超过 {limit} 字节", f"the body is larger than {limit} bytes"
    if limit == STREAMED_BYTES_MAX:
        zh, en = f"{zh}；更大的须给出 Content-Length", f"{en}; larger ones need a Content-Length"
    return ServiceError("body-too-large", zh, en)


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
    """uvicorn's protocol with deadlines for complete headers and for reading answers, and a bound on the headers' size."""

    _deadline: asyncio.TimerHandle | None = None
    _write_deadline: asyncio.TimerHandle | None = None
    _header_bytes = 0
    _is_streamed = False
    _arrived = 0  # of all connections: bytes of bodies of unsaid length that nobody had a turn to read yet

    def connection_made(self, transport: Any) -> None:
        """Start the clock of the first request."""
        super().connection_made(transport)
        self._arm()

    def data_received(self, data: bytes) -> None:
        """Count bytes while headers are incomplete."""
        if self._deadline is None and getattr(self.cycle, "response_complete", False):
            self._arm()
        if self._deadline is not None:
            self._header_bytes += len(data)
        super().data_received(data)
        if self._deadline is not None and self._header_bytes > HEADER_BYTES_MAX and not self.transport.is_closing():
            self._answer(431, "headers-too-large", "请求头过长", f"at most {HEADER_BYTES_MAX} bytes are accepted")

    def on_headers_complete(self) -> None:
        """Headers are here: the body has its own deadline."""
        self._disarm()
        self._is_streamed = any(name == b"transfer-encoding" for name, _ in self.headers)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Stop bodies of unsaid length that arrive together: what is in one turn of the loop, no one has read (and refused) yet."""
        if self._is_streamed and not self.transport.is_closing():
            if GuardedProtocol._arrived + len(body) > STREAMED_TOGETHER_MAX:
                self._answer(503, "busy", *BUSY)
            elif not GuardedProtocol._arrived:
                self.loop.call_soon(self._had_a_turn)
            GuardedProtocol._arrived += len(body)
        if not self.transport.is_closing():
            super().on_body(body)

    @staticmethod
    def _had_a_turn() -> None:
        GuardedProtocol._arrived = 0

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the clocks."""
        self._disarm()
        self._disarm_write()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Start the clock of a client that does not read."""
        super().pause_writing()
        self._write_deadline = self.loop.call_later(WRITE_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop that clock: the client reads."""
        self._disarm_write()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP in the one form of errors, and close."""
        self._answer(400, "http-400", "不是有效的 HTTP 请求", msg)

    def _answer(self, status: int, code: str, zh: str, en: str) -> None:
        identity = secrets.token_hex(8)
        answer = problem(
            status,
            code,
            zh,
            en,
            headers={
                "connection": "close",
                **({"retry-after": "1"} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}),
            },
            request_id=identity,
        )
        lines = [b"HTTP/1.1 %d %b" % (status, HTTPStatus(status).phrase.encode())]
        lines += [b"%b: %b" % header for header in (*answer.raw_headers, (b"x-request-id", identity.encode()), *_SAFE)]
        self.transport.write(b"\r\n".join(lines) + b"\r\n\r\n" + bytes(answer.body))
        self.transport.close()
        log.info("request", id=identity, status=status)

    def _arm(self) -> None:
        self._disarm()
        self._deadline = self.loop.call_later(HEADER_SECONDS, self._expire)

    def _disarm(self) -> None:
        self._header_bytes = 0
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _disarm_write(self) -> None:
        if self._write_deadline is not None:
            self._write_deadline.cancel()
            self._write_deadline = None

    def _expire(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.close()
