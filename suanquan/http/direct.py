"""The way of the routes that centres ask most: from the limits to the endpoint, past the framework that they use nothing of.

FastAPI's middlewares and router cost about 65 µs a request, which is a fifth of what a hold's signatures cost. The routes
are the application's too: it answers every other method, and describes them.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ledger.errors import DomainError
from suanquan.http import problem

Endpoint = Callable[[Request], Awaitable[Response]]


class Direct:
    """Answers POST at some paths, `{name}` standing for one segment; hands everything else on."""

    def __init__(self, app: ASGIApp, owner: object, routes: Mapping[str, Endpoint]) -> None:
        self._app = app
        self._owner = owner
        self._exact = {path: endpoint for path, endpoint in routes.items() if "{" not in path}
        self._patterns = [(_pattern(path), endpoint) for path, endpoint in routes.items() if "{" in path]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        endpoint = self._match(scope) if scope["type"] == "http" and scope["method"] == "POST" else None
        if endpoint is None:
            await self._app(scope, receive, send)
            return
        scope["app"] = self._owner
        request = Request(scope, receive)
        try:
            response = await endpoint(request)
        except DomainError as error:
            response = await problem.on_domain_error(request, error)
        except Exception as error:
            await (await problem.on_crash(request, error))(scope, receive, send)
            raise
        await response(scope, receive, send)

    def _match(self, scope: Scope) -> Endpoint | None:
        path = scope["path"]
        found = self._exact.get(path)
        if found is not None:
            return found
        for pattern, endpoint in self._patterns:
            if match := pattern.fullmatch(path):
                scope["path_params"] = match.groupdict()
                return endpoint
        return None


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(path)))
