"""Forms that lose nothing and act once: every form of a page is sent with a mark, and what was typed survives whatever comes between.

The mark and what was typed are digested and claimed before the act; the same again leads to where the first one led. What
was typed in a form that was refused, or sent after the session had ended, comes back on the page that says so.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Coroutine, Mapping
from hashlib import sha256
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from markupsafe import escape
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ledger.errors import DomainError, Kind
from suanquan.db import forms as form_store
from suanquan.errors import ServiceError
from suanquan.http.auth import is_from_here
from suanquan.service import Service

MARK, AGAIN, BACK, STAMP = "once", "again", "resume", "stamp"
"""Fields and parameters that no form of a page may use: the mark, what a page says of a second form, the wish to go on typing,
the version of what the page showed."""
SECRETS = frozenset({"password", "code", "token", "kept", "sign_secret"})
FILES_MAX, FIELDS_MAX = 40, 200
KEPT_MAX = 60_000
"""Characters that may come back through a sign-in."""
_FORM = re.compile(r'<form\b[^>]*\bmethod="post"[^>]*>')
RESUMED = frozenset(
    {
        *("/applications/new", "/usage/disputes", "/office/rounds"),
        *("/bulk/applications", "/bulk/quarantine", "/bulk/findings", "/bulk/settlements"),
        *("/sheets/energy", "/sheets/inventory", "/sheets/vouchers", "/sheets/parties"),
    }
)
"""Where a form is shown again with what was typed, before it is sent."""


class Typed(NamedTuple):
    """A form as it was sent: where, and each field in order. Of files the SHA-256 stands, under the field's own name."""

    path: str
    fields: tuple[tuple[str, str], ...]

    @property
    def shown(self) -> list[tuple[str, str]]:
        """What a person typed or chose, in order."""
        return [
            (name, value)
            for name, value in self.fields
            if value and name not in {"act", STAMP} and not name.endswith(".sha256")
        ]

    @property
    def act(self) -> str:
        """Which button was pressed, of a form that has several."""
        return dict(self.fields).get("act", "")

    @property
    def can_go_on(self) -> bool:
        """Whether the form itself can be shown again."""
        path = self.path.partition("?")[0]
        return path in RESUMED or (path.startswith("/applications/") and path.endswith("/supplement"))

    def kept(self) -> str:
        """As it goes through the form for signing in."""
        text = json.dumps([self.path, self.fields], ensure_ascii=False, separators=(",", ":"))
        return text if len(text) <= KEPT_MAX else ""


def read_kept(text: str) -> Typed | None:
    """What came along through a sign-in; None where nothing did."""
    try:
        path, fields = json.loads(text if len(text) <= KEPT_MAX else "")
        found = tuple((str(name), str(value)) for name, value in fields)
    except (ValueError, TypeError, RecursionError):
        return None
    ours = isinstance(path, str) and path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return Typed(path, found[:FIELDS_MAX]) if ours else None


async def typed_of(request: Request) -> Typed | None:
    """What a page of ours was sent with; None for what is no form, or came from elsewhere: it must not look like ours."""
    if not hasattr(request.state, "typed"):  # read once, before whoever acts on it closes its files
        request.state.typed = await _read(request)
    found: Typed | None = request.state.typed
    return found


async def _read(request: Request) -> Typed | None:
    fields = await fields_of(request)
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return None if fields is None else Typed(path, tuple(dict(fields).items()))


async def fields_of(request: Request) -> list[tuple[str, str]] | None:
    """Each field of a form of ours in order, several of a name among them; None for what is no form, or came from elsewhere."""
    kind = request.headers.get("content-type", "").partition(";")[0]
    if request.method != "POST" or kind not in {"application/x-www-form-urlencoded", "multipart/form-data"}:
        return None
    if not is_from_here(request) or request.url.path in {"/login", "/logout"}:
        return None
    try:
        form = await request.form(max_files=FILES_MAX, max_fields=FIELDS_MAX)
    except HTTPException:  # what is no form holds nothing that somebody typed
        return None
    fields = []
    for name, value in form.multi_items():
        if isinstance(value, str):
            if name not in SECRETS and name not in {MARK, BACK}:
                fields.append((name, value))
        elif value.filename and not value.file.closed:
            fields.append((name.removesuffix(":file"), await digest_of(value)))
    return fields


async def digest_of(file: UploadFile) -> str:
    """SHA-256 of a file that was sent, in hex; it can be read again afterwards."""
    digest = sha256()
    while part := await file.read(1 << 16):
        digest.update(part)
    await file.seek(0)
    return digest.hexdigest()


def marked(page: str, mark: str, stamp: str = "") -> str:
    """A page whose forms are sent with a mark, different each time the page is made, and with the version of what it shows."""
    fields = f'<input type="hidden" name="{MARK}" value="{mark}">'
    if stamp:
        fields += f'<input type="hidden" name="{STAMP}" value="{escape(stamp)}">'
    return _FORM.sub(lambda found: found[0] + fields, page)


class Once:
    """Takes each form on once. One at a time of the same form: the second waits for what comes of the first."""

    def __init__(self) -> None:
        self._turns: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()

    async def act(self, request: Request, owner: str, answer: Awaitable[Response]) -> Response | str:
        """What the act answers; the address where it is shown already, for a form that was sent before.

        Raises:
            ServiceError: `form-unsettled`: the service stopped while it acted on this form.

        """
        typed = await typed_of(request)
        form = await request.form() if typed is not None else {}
        mark = form.get(MARK)
        if typed is None or not isinstance(mark, str) or not mark or BACK in form:
            return await answer
        digest = sha256(json.dumps([owner, mark, typed.path, typed.fields]).encode()).digest()
        turn = self._turns.setdefault(digest, asyncio.Lock())
        async with turn:
            return await self._act(request.app.state.service, digest, answer)

    @staticmethod
    async def _act(service: Service, digest: bytes, answer: Awaitable[Response]) -> Response | str:
        known = await form_store.claim(service.database, digest, service.now_us)
        if known is not None:
            if isinstance(answer, Coroutine):
                answer.close()  # it is not to run
            if not known:
                raise unsettled()
            return known
        try:
            response = await answer
        except DomainError:  # refused; of any other fault nobody knows whether the act was done
            await form_store.release(service.database, digest)
            raise
        if response.status_code != 303:
            await form_store.release(service.database, digest)
            return response
        await form_store.settle(service.database, digest, response.headers["location"])
        return response


def unsettled() -> ServiceError:
    """The refusal of a form of which nobody knows whether it was acted on."""
    return ServiceError(
        "form-unsettled",
        "这张表正在办理，或办理时系统中断过；请先查看有没有办成，再决定是否重新填写",
        "this form is being acted on, or the service stopped while it was; look whether it was done before sending it anew",
        kind=Kind.CONFLICT,
    )


def label_of(name: str, texts: Mapping[str, Any]) -> str:
    """The words by which a form calls a field, as far as a text is named after it."""
    flat = name.replace(".", "_")
    last = name.rpartition(".")[2]
    keys = (name, flat, f"fact_{name}", f"{name}_name", f"field_{last}", last)
    return next((str(texts[key]) for key in keys if key in texts), name)
