"""What a browser is told whose form is too large to be read: in a page of ours, once it has finished sending."""

from __future__ import annotations

import asyncio
import contextlib

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from ledger.errors import DomainError
from metering.batch import BODY_BYTES_MAX
from suanquan.errors import ServiceError
from suanquan.http import problem
from suanquan.http.auth import identify
from suanquan.portal.frame import refused

DRAINED_BYTES_MAX = 64 * 1024 * 1024
DRAIN_SECONDS = 20
"""A browser that cannot finish sending shows no answer at all: so much is read and forgotten."""


class Refusing:
    """Answers what was refused before any route saw it: forms of pages with a page, all else with a problem document."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, error: DomainError) -> ASGIApp:
        """Give the application that answers."""
        headers = dict(scope["headers"])
        by_browser = b"text/html" in headers.get(b"accept", b"") and b"form" in headers.get(b"content-type", b"")
        if error.code != "body-too-large" or not by_browser:
            return problem.refuse(scope, error)
        return self._page

    async def _page(self, scope: Scope, receive: Receive, send: Send) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                await _drain(receive)
        request = Request(dict(scope) | {"app": self._app})
        request.state.typed = None  # there is nothing left to read
        with contextlib.suppress(DomainError):
            await identify(request)
        response = await refused(request, _too_large())
        response.headers["connection"] = "close"
        await response(scope, receive, send)


async def _drain(receive: Receive) -> None:
    size, more = 0, True
    while more and size < DRAINED_BYTES_MAX:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)


def _too_large() -> ServiceError:
    most = BODY_BYTES_MAX // 1024**2
    return ServiceError(
        "body-too-large",
        f"表单连同所附文件超过 {most} MiB，没有办理。请用浏览器的后退键回到表单，所填内容还在；文件较大的，可以不附文件，只填它的 SHA-256",
        f"the form and its files are over {most} MiB, and nothing was done. Go back in the browser, where what you typed is "
        "still there; instead of a large file, enter its SHA-256",
    )
