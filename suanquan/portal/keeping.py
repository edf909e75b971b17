"""The same page shown otherwise while somebody fills in its form: in the other language or unit, or in another order."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import Message

from suanquan.http.auth import may
from suanquan.http.routers import page_router
from suanquan.portal import frame
from suanquan.portal.forms import Typed, fields_of
from suanquan.portal.frame import or_failure
from suanquan.portal.kept_forms import KEEP, SWITCHES, address, filled

ADDRESS_MAX = 4_000
router = page_router()


@router.post(KEEP, dependencies=[may("service.look")])
async def post_keep(request: Request) -> Response:
    """A page as an address shows it, with what was typed in one of its forms. Nothing is acted on and nothing is stored."""
    return await or_failure(request, _keep(request))


async def _keep(request: Request) -> Response:
    wanted = {name: request.query_params.get(name, "")[:ADDRESS_MAX] for name in ("to", "form", *SWITCHES)}
    page = address(_ours(wanted["to"]) or "/", **{name: wanted[name] for name in SWITCHES})
    action, fields = _ours(wanted["form"]), await fields_of(request)
    if not action or fields is None:
        return RedirectResponse(page, 303)
    shown = await _shown(request, page)
    if shown.status == 200 and shown.is_page and (text := filled(shown.body.decode(), action, fields)):
        return shown.answer(text.encode())
    typed = Typed(action, tuple(fields))
    if shown.status == 401:
        return frame.render(request, "sign_in.html", status=401, problem="session_over", next="", kept_form=typed)
    return frame.render(request, "resume.html", typed=typed)


def _ours(path: str) -> str:
    """An address of ours, else nothing."""
    plain = path.startswith("/") and not path.startswith(("//", "/\\", KEEP)) and path.isprintable()
    return path if plain else ""


class _Shown:
    """What a page of ours answers."""

    def __init__(self) -> None:
        self.status, self.body = 0, b""
        self.headers: list[tuple[bytes, bytes]] = []

    @property
    def is_page(self) -> bool:
        """Whether it is a page rather than a file."""
        return dict(self.headers).get(b"content-type", b"").startswith(b"text/html")

    async def take(self, message: Message) -> None:
        """A part of the answer."""
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message["headers"])
        self.body += message.get("body", b"")

    def answer(self, body: bytes) -> Response:
        """The same answer with another body."""
        response = Response(body, self.status)
        response.raw_headers = [one for one in self.headers if one[0] != b"content-length"]
        response.headers["content-length"] = str(len(body))
        return response


async def _shown(request: Request, page: str) -> _Shown:
    """The answer of the page at an address of ours to whoever asks."""
    parts = urlsplit(page)
    scope = {
        key: value for key, value in request.scope.items() if key not in {"route", "path_params", "endpoint", "state"}
    }
    body_less = [one for one in request.scope["headers"] if one[0] not in {b"content-length", b"content-type"}]
    scope |= {"method": "GET", "path": parts.path, "raw_path": parts.path.encode()}
    scope |= {"query_string": parts.query.encode(), "headers": body_less, "state": {}}
    shown = _Shown()

    async def nothing() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    await request.app(scope, nothing, shown.take)
    return shown
