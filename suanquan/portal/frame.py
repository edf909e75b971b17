"""What every page has around it: language, navigation by rights, the sandbox band, and an honest page where reading failed."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import structlog
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from ledger.amount import ASSETS_BY_NUMBER
from ledger.errors import DomainError, Kind
from suanquan.access.policy import BENEFICIARY, CENTRE, Reach, Role
from suanquan.access.principal import PUBLIC, Principal
from suanquan.http.problem import status_of
from suanquan.portal import figures
from suanquan.portal.text import TEXTS
from suanquan.service import Service

log = structlog.get_logger("suanquan.portal")


class Place(NamedTuple):
    """An entry of the navigation: path, key of its text, the action that it needs, and for whom it is."""

    path: str
    text: str
    action: str
    roles: frozenset[Role] | None = None


PLACES = (
    Place("/", "home", "figures.read"),
    Place("/notices", "notices", "notice.read"),
    Place("/subsidies", "subsidies", "rules.ask"),
    Place("/vouchers", "my_vouchers", "voucher.list", BENEFICIARY),
    Place("/applications", "my_applications", "application.read", BENEFICIARY),
    Place("/usage", "my_usage", "statement.read", BENEFICIARY),
    Place("/centre", "my_centre", "centre.list", CENTRE),
    Place("/centre/quarantine", "quarantine_list", "quarantine.list", CENTRE),
    Place("/statements", "statements", "statement.read", BENEFICIARY | CENTRE),
    Place("/members", "members", "account.list", BENEFICIARY | CENTRE),
    Place("/holds", "holds", "hold.list", BENEFICIARY | CENTRE),
    Place("/settlements", "settlements", "settlement.list", CENTRE),
    Place("/prices", "prices", "scheme.read", BENEFICIARY | CENTRE),
    Place("/energy", "energy", "centre.read", CENTRE),
    Place("/office", "office", "programme.read"),
    Place("/verify", "verify", "log.read"),
    Place("/log", "log", "log.read"),
    Place("/policies", "policies", "scheme.read"),
    Place("/docs", "api", "service.look"),
)
"""In the order shown. The table of rights says who sees which; a role's own places are for that role alone."""

_pages = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_pages.filters.update(
    {
        function.__name__: function
        for function in (
            figures.amount,
            figures.hours,
            figures.pflops_hours,
            figures.percent,
            figures.instant,
            figures.day,
            figures.age,
            figures.grouped,
            figures.fine,
            figures.shanghai,
        )
    }
)


class UnreadableError(Exception):
    """What a page shows could not be read."""


@contextlib.contextmanager
def reading() -> Iterator[None]:
    """Tell a fault of reading apart from any other, which is no business of the reader's."""
    try:
        yield
    except DomainError as fault:
        if fault.kind is not Kind.UNAVAILABLE:
            raise
        raise UnreadableError from fault
    except Exception as fault:
        raise UnreadableError from fault


async def or_failure(request: Request, answer: Awaitable[Response]) -> Response:
    """Answer, or say on a page of its own what stands against it: no page shows a figure that could not be read."""
    number = request.scope["suanquan.request_id"]
    try:
        return await answer
    except UnreadableError:
        log.exception("page not read", id=number)
        return render(request, "failed.html", status=503, request_id=number)
    except DomainError as error:
        return refused(request, error)


def refused(request: Request, error: DomainError) -> Response:
    """A page that says what was not done and why."""
    number = request.scope["suanquan.request_id"]
    return render(request, "refused.html", status=status_of(error), error=error, request_id=number)


def render(
    request: Request, page: str, *, status: int = 200, headers: dict[str, str] | None = None, **values: Any
) -> HTMLResponse:
    """A page in the reader's language, with the navigation that he has a right to."""
    service = service_of(request)
    language = language_of(request)
    names = {
        name: scheme.name_en if language == "en" else scheme.name_zh for name, scheme in service.catalog.schemes.items()
    }
    who: Principal = getattr(request.state, "principal", None) or PUBLIC
    common = {
        "t": TEXTS[language],
        "language": language,
        "query": query_of(request),
        "link": lambda path, **more: link(request, path, **more),
        "path": request.url.path,
        "here": _here(request),
        "other_language": link(request, request.url.path, **(_others(request) | {"lang": _OTHER[language]})),
        "who": who,
        "places": places_of(who),
        "sandbox": service.settings.sandbox,
        "now": service.now_us,
        "assets": ASSETS_BY_NUMBER,
        "scheme_name": lambda name: names.get(name, name),
    }
    text = _pages.get_template(page).render(common | values)
    return HTMLResponse(text, status, headers)


_OTHER = {"en": "zh", "zh": "en"}


def places_of(who: Principal) -> list[Place]:
    """The navigation of somebody."""
    return [
        place
        for place in PLACES
        if who.reach(place.action) is not Reach.NOTHING and (place.roles is None or who.role in place.roles)
    ]


def _here(request: Request) -> str:
    """The navigation's entry that a page belongs to: the longest path that it begins with."""
    path = request.url.path
    found = [place.path for place in PLACES if path == place.path or path.startswith(f"{place.path}/")]
    return max(found, key=len, default="/")


def link(request: Request, path: str, **more: Any) -> str:
    """A path with its query, in the language of the page."""
    lang = more.pop("lang", language_of(request))
    wanted = {key: value for key, value in more.items() if value not in ("", None)}
    if lang == "en":
        wanted["lang"] = "en"
    return f"{path}?{urlencode(wanted)}" if wanted else path


def _others(request: Request) -> dict[str, str]:
    return {key: value for key, value in request.query_params.items() if key != "lang"}


def language_of(request: Request) -> str:
    """`zh`, or `en` where the query asks for it."""
    return "en" if request.query_params.get("lang") == "en" else "zh"


def query_of(request: Request) -> str:
    """What a link adds to keep the language."""
    return "?lang=en" if language_of(request) == "en" else ""


def service_of(request: Request) -> Service:
    """The service behind a page."""
    service: Service = request.app.state.service
    return service
