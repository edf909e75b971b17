"""Saved views: an account's names for addresses of lists. The address is the view, so it can be passed on as well."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from suanquan.db import views
from suanquan.db.views import View
from suanquan.errors import ServiceError
from suanquan.http.auth import may, principal
from suanquan.http.routers import page_router
from suanquan.portal.frame import MOMENTARY, link, or_failure, owner_of, reading, render, service_of
from suanquan.portal.places import PLACES

NAME_MAX = 40
QUERY_MAX = 2000
VIEWS_MAX = 50
"""Views of one account."""
router = page_router()


@router.get("/views", dependencies=[may("account.self")])
async def get_views(request: Request) -> Response:
    """Every view that one saved, by page."""
    return await or_failure(request, _list(request))


async def _list(request: Request) -> Response:
    service, who = service_of(request), await principal(request)
    with reading():
        async with service.database.read() as conn:
            found = await views.views_of(conn, owner_of(who))
    return render(request, "views.html", saved=found)


@router.post("/views", dependencies=[may("account.self")])
async def post_view(request: Request) -> Response:
    """Keep the address of a list under a name, and show it."""
    return await or_failure(request, _save(request))


async def _save(request: Request) -> Response:
    service, who = service_of(request), await principal(request)
    form = await request.form(max_files=0, max_fields=8)
    view = _view({name: str(form.get(name, "")) for name in ("path", "name", "query")})
    async with service.database.write() as conn:
        done = await views.save(conn, owner_of(who), view, service.now_us, VIEWS_MAX)
        await service.leave_trace(conn)
    if not done:
        raise ServiceError(
            "views-too-many",
            f"已保存 {VIEWS_MAX} 个视图，请先删除不用的",
            f"{VIEWS_MAX} views are saved already; remove one that is not needed",
        )
    return RedirectResponse(f"{view.path}?{view.query}", 303)


def _view(typed: dict[str, str]) -> View:
    """A view of a page of ours, without what is of a moment alone.

    Raises:
        ServiceError: `view-malformed`.

    """
    name, path = " ".join(typed["name"].split()), typed["path"]
    places = {place.path for place in PLACES if place.path != "/"}
    ours = any(path == place or path.startswith(f"{place}/") for place in places)
    query = urlencode([(key, value) for key, value in parse_qsl(typed["query"]) if key not in MOMENTARY])
    if not name or len(name) > NAME_MAX or not name.isprintable() or not ours or len(query) > QUERY_MAX:
        raise ServiceError(
            "view-malformed",
            f"请给视图起名（至多 {NAME_MAX} 字），并从列表页保存",
            f"give the view a name (at most {NAME_MAX} characters), and save it from the page of a list",
        )
    return View(path, name, query)


@router.post("/views/remove", dependencies=[may("account.self")])
async def post_remove(request: Request) -> Response:
    """Forget a view."""
    return await or_failure(request, _remove(request))


async def _remove(request: Request) -> Response:
    service, who = service_of(request), await principal(request)
    form = await request.form(max_files=0, max_fields=8)
    async with service.database.write() as conn:
        await views.remove(conn, owner_of(who), str(form.get("path", "")), str(form.get("name", "")))
        await service.leave_trace(conn)
    return RedirectResponse(link(request, "/views"), 303)
