"""The way of the routes that centres ask most: from the limits to the endpoint, past the framework that they use nothing of.

FastAPI's middlewares and router cost about 65 µs a request, which is a fifth of what a hold's signatures cost. The routes
are the application's too: it answers every other method, and describes them.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ledger.errors import DomainError
from suanquan.http import problem

Endpoint = Callable[[Request], Awaitable[Response]]
Reader = Callable[[Request], Awaitable[Response | None]]
"""Answers a request, or hands it on: None."""
E = TypeVar("E")


class Direct:
    """Answers POST at some paths, `{name}` standing for one segment, and what GETs a reader wants; hands everything else on."""

    def __init__(
        self, app: ASGIApp, owner: object, routes: Mapping[str, Endpoint], readers: Mapping[str, Reader] | None = None
    ) -> None:
        self._app = app
        self._owner = owner
        self._readers = [(_pattern(path), reader) for path, reader in (readers or {}).items()]
        self._exact = {path: endpoint for path, endpoint in routes.items() if "{" not in path}
        self._patterns = [(_pattern(path), endpoint) for path, endpoint in routes.items() if "{" in path]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        method = scope["method"] if scope["type"] == "http" else ""
        endpoint: Reader | None = None
        if method == "POST":
            endpoint = self._match(scope)
        elif method == "GET":
            endpoint = _matched(scope, self._readers)
        if endpoint is None:
            await self._app(scope, receive, send)
            return
        scope["app"] = self._owner
        request = Request(scope, receive)
        try:
            response = await endpoint(request)
            if response is None:
                await self._app(scope, receive, send)
                return
        except DomainError as error:
            response = await problem.on_domain_error(request, error)
        except Exception as error:
            await (await problem.on_crash(request, error))(scope, receive, send)
            raise
        await response(scope, receive, send)

    def _match(self, scope: Scope) -> Endpoint | None:
        found = self._exact.get(scope["path"])
        return found if found is not None else _matched(scope, self._patterns)


def _matched(scope: Scope, patterns: Sequence[tuple[re.Pattern[str], E]]) -> E | None:
    for pattern, endpoint in patterns:
        if match := pattern.fullmatch(scope["path"]):
            scope["path_params"] = match.groupdict()
            return endpoint
    return None


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(path)))
