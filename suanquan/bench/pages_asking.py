"""Asking the application of `bench pages` as a browser does, without a network between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import NamedTuple

from starlette.types import ASGIApp, Message, Scope

HOST = "127.0.0.1:8080"


class Asking(NamedTuple):
    """An application, and the token of whoever asks; an empty one says nothing of himself."""

    app: ASGIApp
    token: str = ""

    @property
    def url(self) -> str:
        """Where the application says that it is."""
        return f"http://{HOST}"


class Answer(NamedTuple):
    """An answer with the CPU and the time that it took; `largest` is the longest piece that was sent at once."""

    cpu_ms: float
    wall_ms: float
    body: bytes
    largest: int


async def get(asking: Asking, path: str) -> Answer:
    """A page, whole.

    Raises:
        RuntimeError: it was refused.

    """
    headers = {"authorization": f"Bearer {asking.token}"} if asking.token else {}
    return await _ask(asking, "GET", path, b"", headers)


async def post(asking: Asking, path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """What came of a post.

    Raises:
        RuntimeError: it was refused.

    """
    return (await _ask(asking, "POST", path, body, headers)).body


async def _ask(asking: Asking, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    target, _, query = path.partition("?")
    named = {"host": HOST, "content-length": str(len(body))} if body else {"host": HOST}
    scope: Scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http", "path": target,
        "raw_path": target.encode(), "query_string": query.encode(), "root_path": "", "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8080),
        "headers": [(name.lower().encode(), value.encode()) for name, value in (named | dict(headers)).items()],
    }  # fmt: skip
    sent: list[Message] = []
    begun = False

    async def receive() -> Message:
        nonlocal begun
        if begun:
            await asyncio.Event().wait()
        begun = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    cpu, wall = time.process_time(), time.perf_counter()
    await asking.app(scope, receive, send)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    parts = [message.get("body", b"") for message in sent[1:]]
    if sent[0]["status"] not in {200, 201}:
        raise RuntimeError(f"{path}: {sent[0]['status']} {b''.join(parts)[:300]!r}")
    return Answer(cpu * 1000, wall * 1000, b"".join(parts), max(map(len, parts)))
