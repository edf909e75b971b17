"""What every page has around it: language, navigation by rights, the sandbox band, and an honest page where reading failed."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Awaitable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import structlog
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from ledger.amount import ASSETS_BY_NUMBER
from ledger.errors import DomainError, Kind
from suanquan.access.principal import PUBLIC, Principal
from suanquan.conduct import Conduct, conducted
from suanquan.db import notices, views
from suanquan.http.problem import status_of
from suanquan.portal import exports, figures, forms, kept_forms, stamps
from suanquan.portal.places import here, places_of
from suanquan.portal.stamp_text import TEXTS as STAMP_TEXTS
from suanquan.portal.text import TEXTS
from suanquan.service import Service
from suanquan.use_cases.channels import audience_of

log = structlog.get_logger("suanquan.portal")


IN_WAN = frozenset(
    {
        *("/", "/notices", "/subsidies", "/vouchers", "/vouchers/{jti}", "/usage", "/usage/disputes", "/usage/line"),
        *("/applications", "/applications/new", "/applications/{application}"),
        *("/applications/{application}/steps/{step}", "/applications/{application}/supplement"),
        *("/settlements", "/settlements/{batch}", "/settlements/{batch}/{act}", "/bulk/settlements"),
        *(
            "/statements",
            "/statements/{centre}/{account}/{month}",
            "/holds",
            "/holds/{hold}",
            "/present",
            "/quote",
            "/prices",
            "/members",
        ),
        *("/office", "/office/uptake", "/office/centres", "/office/budgets", "/office/clauses", "/office/vouchers"),
        *(
            "/office/entries",
            "/office/usage",
            "/office/usage.csv",
            "/office/accounts",
            "/office/queue",
            "/office/rounds",
        ),
    }
)
"""Pages with amounts: all of them go by `figures`, so that their reader may choose between 元 and 万元 for all pages at once."""
MONEY_COOKIE = "suanquan_money"
MONEY = frozenset({"yuan", "wan"})
MONEY_KEPT_S = 365 * 86_400

MOMENTARY = frozenset({"after", "until", "before", "format", "table", "again"})
"""What an address asks for at one moment: no link of the page and no saved view keeps it."""
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
            figures.money,
            figures.yuan,
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
    figures.in_wan.set(_has_amounts(request) and money_of(request) == "wan")
    try:
        await _load_views(request)
        return _remember(request, await exports.finished(request, await _acted(request, answer), texts_of(request)))
    except UnreadableError:
        log.exception("page not read", id=number)
        return await _unread(request)
    except DomainError as error:
        return await refused(request, error)
    finally:
        if isinstance(answer, Coroutine):
            answer.close()  # what came before it failed: it is not to run


async def _acted(request: Request, answer: Awaitable[Response]) -> Response:
    """The answer to a page or a form; a form that was sent before leads to where its act is shown, with a word on it."""
    who: Principal = getattr(request.state, "principal", None) or PUBLIC
    if request.method != "POST" or who.is_public:
        return await answer
    once: forms.Once = request.app.state.once
    try:
        found = await once.act(request, owner_of(who), _fresh(request, who, answer))
    finally:
        if isinstance(answer, Coroutine):
            answer.close()  # where it was not to run
    if isinstance(found, Response):
        return found
    address, hash_, part = found.partition("#")
    return RedirectResponse(f"{address}{'&' if '?' in address else '?'}{forms.AGAIN}=1{hash_}{part}", 303)


async def _fresh(request: Request, who: Principal, answer: Awaitable[Response]) -> Response:
    """The answer to a form whose object is as its page showed it, now and when its act is written.

    Raises:
        StaleError: it has changed; nothing was acted on.

    """
    typed = dict((await forms.typed_of(request) or forms.Typed("", ())).fields)
    if forms.BACK in await request.form():
        return await answer
    with reading():
        async with service_of(request).database.read() as conn:
            await stamps.check(request, who, typed, conn)
    way = Conduct(
        lambda tx: stamps.check(request, who, typed, tx.connection),
        beside=lambda conn: stamps.check(request, who, typed, conn),
    )
    with conducted(way):
        return await answer


def owner_of(who: Principal) -> str:
    """Whose something of an account's own is: a person in a role, and of whom."""
    return f"{who.role.value}/{who.tenant}/{who.name}"


async def _load_views(request: Request) -> None:
    """The views of this page that who asks has saved, for its list to show; and how many notices are new to him."""
    who: Principal = getattr(request.state, "principal", None) or PUBLIC
    if who.is_public or request.method != "GET" or exports.form_of(request):
        return
    with reading():
        async with service_of(request).database.read() as conn:
            request.state.views = await views.views_of(conn, owner_of(who), request.url.path)
            chosen = await notices.choice_of(conn, who.name)
            request.state.unread = await notices.count_after(conn, audience_of(who), chosen.muted, chosen.seen)


async def refused(request: Request, error: DomainError) -> Response:
    """A page that says what was not done and why, with what was typed; for whose session has ended, the way back in."""
    if error.code == "storage-unavailable":
        return await _unread(request)
    number, typed = request.scope["suanquan.request_id"], await forms.typed_of(request)
    if isinstance(error, stamps.StaleError):
        t = STAMP_TEXTS[language_of(request)]
        see = link(request, error.page)
        return render(request, "stale.html", status=status_of(error), t=t, error=error, typed=typed, see=see)
    if typed is not None and error.code == "token-required":
        return render(request, "sign_in.html", status=401, problem="session_over", next="", kept_form=typed)
    return render(request, "refused.html", status=status_of(error), error=error, request_id=number, typed=typed)


async def _unread(request: Request) -> Response:
    """A page that says that nothing could be read, and shows nothing else; with what was typed, and the way to try again."""
    again = link(request, request.url.path, **_others(request)) if request.method == "GET" else link(request, "/")
    number, typed = request.scope["suanquan.request_id"], await forms.typed_of(request)
    return render(request, "failed.html", status=503, request_id=number, typed=typed, retry=again)


def render(
    request: Request,
    page: str,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
    stamp: str = "",
    **values: Any,
) -> HTMLResponse:
    """A page in the reader's language, with the navigation that he has a right to; its forms carry the version `stamp`."""
    service = service_of(request)
    language = language_of(request)
    names = {
        name: scheme.name_en if language == "en" else scheme.name_zh for name, scheme in service.catalog.schemes.items()
    }
    who: Principal = getattr(request.state, "principal", None) or PUBLIC
    common = {
        "language": language,
        "query": query_of(request),
        "link": lambda path, **more: link(request, path, **more),
        "path": request.url.path,
        "kept": kept(request),
        "again": forms.AGAIN in request.query_params,
        "label_of": forms.label_of,
        "switch": _switch(request),
        "files": exports.links(lambda path, **more: link(request, path, **more), request.url.path, _others(request)),
        "here": here(request.url.path),
        "other_language": link(request, _page_path(request), **_others(request), lang=_OTHER[language]),
        "posted": request.method == "POST",
        "who": who,
        "places": places_of(who),
        "stays": kept(request),
        "unread": getattr(request.state, "unread", 0),
        "sandbox": service.settings.sandbox,
        "now": service.now_us,
        "assets": ASSETS_BY_NUMBER,
        "scheme_name": lambda name: names.get(name, name),
    }
    values["t_in"] = values.get("t", TEXTS[language])  # of what is typed, which is in yuan whatever is shown
    values["t"] = figures.texts_in(values["t_in"])
    text = _pages.get_template(page).render(common | values)
    if "<form" in text:
        text = kept_forms.offered(text, _kept_page(request))
    return HTMLResponse(forms.marked(text, secrets.token_urlsafe(12), stamp), status, headers)


def _kept_page(request: Request) -> kept_forms.Shown:
    """What forms of this page need in order to be shown again with what was typed."""
    language, t = language_of(request), texts_of(request)
    other = ("中文", "zh-CN") if language == "en" else ("English", "en")
    switches = [kept_forms.Switch(*other, kept(request) | {"lang": _OTHER[language]})]
    for unit in _switch(request):
        asked = kept(request) | {"money": unit}
        switches.append(kept_forms.Switch(t[f"switch_{unit}"], t["language"], asked))
    shown = link(request, _page_path(request), **_others(request))
    address = kept_forms.address(shown, lang="", money="")
    return kept_forms.Shown(address, switches, t["keep_switch"], forms.RESUMED | {"/login"})


def _page_path(request: Request) -> str:
    """The path at which the page that is shown can be asked for: a form may be sent to a path below it."""
    path = request.url.path
    while request.method == "POST" and path.count("/") > 1 and not _is_shown(request, path):
        path = path.rpartition("/")[0]
    return path


def _is_shown(request: Request, path: str) -> bool:
    return any("GET" in (one.methods or ()) and one.path_regex.match(path) for one in request.app.state.routes)


_OTHER = {"en": "zh", "zh": "en"}


def link(request: Request, path: str, **more: Any) -> str:
    """A path with its query, in the language of the page."""
    stays = {"lang": "", "money": ""} | kept(request)
    wanted = {
        key: value for key, value in {**more, **{key: more.get(key, stays[key]) for key in stays}}.items() if value
    }
    if wanted.get("lang") == "zh":
        del wanted["lang"]
    return f"{path}?{urlencode(wanted, doseq=True)}" if wanted else path


def _others(request: Request) -> dict[str, Any]:
    """What an address asks for but language, and what is of this moment alone."""
    query = request.query_params
    return {key: query.getlist(key) for key in query if key not in {"lang", "money", "format", "table", "again"}}


def kept(request: Request) -> dict[str, str]:
    """What every link and form of a page keeps: its language and the unit of its amounts."""
    money = {"money": "wan"} if money_of(request) == "wan" else {}
    return ({"lang": "en"} if language_of(request) == "en" else {}) | money


def money_of(request: Request) -> str:
    """`wan` where amounts are shown in 万元, else `yuan`: as the address says, else as its reader chose before.

    A file goes by its address alone, which says in which unit it is.
    """
    asked = request.query_params.get("money", "")
    if asked in MONEY:
        return asked
    chosen = "" if exports.form_of(request) else request.cookies.get(MONEY_COOKIE, "")
    return chosen if chosen in MONEY else "yuan"


def _has_amounts(request: Request) -> bool:
    return getattr(request.scope.get("route"), "path", "") in IN_WAN


def _remember(request: Request, response: Response) -> Response:
    """An answer by which a browser remembers the unit that its reader chose."""
    asked = request.query_params.get("money", "")
    if asked in MONEY and request.cookies.get(MONEY_COOKIE, "yuan") != asked:
        secure = service_of(request).settings.url.startswith("https:")
        response.set_cookie(
            MONEY_COOKIE, asked, max_age=MONEY_KEPT_S, path="/", secure=secure, httponly=True, samesite="lax"
        )
    return response


def _switch(request: Request) -> dict[str, str]:
    """Where the same page is in the other unit, for a page that has amounts."""
    if not _has_amounts(request):
        return {}
    other = "yuan" if money_of(request) == "wan" else "wan"
    return {other: link(request, _page_path(request), **_others(request), money=other)}


def texts_of(request: Request) -> Mapping[str, str]:
    """The texts that all pages share, in the reader's language and unit."""
    return figures.texts_in(TEXTS[language_of(request)])


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
