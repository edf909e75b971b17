"""Signing in on a page, by account or by token, and out again. Whoever was on his way to a page gets there."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from suanquan.access.principal import Principal
from suanquan.db.tokens import principal_of
from suanquan.errors import ServiceError
from suanquan.http.auth import COOKIE, TOKEN_MAX, end_cookie, identify, is_from_here, may, session_cookie
from suanquan.http.routers import page_router
from suanquan.portal.forms import BACK, Typed, read_kept
from suanquan.portal.frame import link, or_failure, query_of, reading, render, service_of
from suanquan.portal.places import places_of
from suanquan.use_cases.sign_in import LockedError, Login, log_in, log_out

router = page_router()


@router.get("/login", dependencies=[may("service.look")])
async def get_login(request: Request) -> Response:
    """The form."""
    return await or_failure(request, _form(request))


@router.post("/login", dependencies=[may("service.look")])
async def post_login(request: Request) -> Response:
    """Begin a session, or keep a token in a cookie that no script reads and no other site sends."""
    return await or_failure(request, _login(request))


@router.post("/logout", dependencies=[may("service.look")])
async def post_logout(request: Request) -> Response:
    """End the session and forget the token."""
    return await or_failure(request, _logout(request))


async def _form(
    request: Request, problem: str = "", status: int = 200, typed: Typed | None = None, wait: int = 0, name: str = ""
) -> Response:
    with reading():
        await identify(request)
    return render(
        request,
        "sign_in.html",
        status=status,
        problem=problem,
        wait=wait,
        next=_next(request),
        kept_form=typed,
        name=name,
    )


def _in(request: Request, who: Principal, typed: Typed | None) -> Response:
    """On to where somebody was going; what was typed when the session ended is there again, and nothing of it was done yet."""
    if typed is None:
        return RedirectResponse(_home_of(request, who), 303)
    request.state.principal = who
    return render(request, "resume.html", typed=typed)


def _next(request: Request) -> str:
    """The page that somebody was on his way to: one of ours, whatever the address says."""
    wanted = request.query_params.get("next", "")[:200]
    return wanted if wanted.startswith("/") and not wanted.startswith(("//", "/\\")) and wanted.isprintable() else ""


def _home_of(request: Request, who: Principal) -> str:
    seen = {place.path for place in places_of(who)}
    own = next((path for path in ("/vouchers", "/centre", "/office") if path in seen), "/")
    return link(request, _next(request) or own)


async def _logout(request: Request) -> Response:
    if not is_from_here(request):
        return await _form(request, "foreign", 403)
    with reading():
        who = await identify(request)
        if who.session:
            await log_out(service_of(request).access, who, everywhere=False)
    response = RedirectResponse(f"/{query_of(request)}", 303)
    end_cookie(response)
    return response


async def _login(request: Request) -> Response:
    if not is_from_here(request):
        return await _form(request, "foreign", 403)
    form = await request.form(max_files=0, max_fields=8)
    typed = read_kept(str(form.get("kept", "")))
    token, name = str(form.get("token", "")).strip(), str(form.get("name", "")).strip()
    if BACK in form:
        return await _form(request, typed=typed, name=name)
    if name and not token:
        return await _by_name(
            request, Login(name, str(form.get("password", "")), str(form.get("code", "")).strip()), typed
        )
    service = service_of(request)
    with reading():
        async with service.database.read() as connection:
            known = await principal_of(connection, token, service.now_us) if 0 < len(token) <= TOKEN_MAX else None
    if known is None:
        return await _form(request, "token_unknown" if token else "token_missing", 401, typed)
    response = _in(request, known, typed)
    secure = service.settings.url.startswith("https:")
    response.set_cookie(COOKIE, token, path="/", secure=secure, httponly=True, samesite="strict")
    return response


async def _by_name(request: Request, login: Login, typed: Typed | None) -> Response:
    service = service_of(request)
    try:
        with reading():
            begun = await log_in(service.access, login, request.scope["suanquan.request_id"])
    except LockedError as error:
        return await _form(request, "login_locked", 429, typed, error.wait_s)
    except ServiceError as error:
        if error.code not in {"login-failed", "second-factor-needed"}:
            raise
        return await _form(request, "login_failed", 401, typed)
    response = _in(request, begun.who, typed)
    session_cookie(response, service.settings.url, begun.secret)
    return response
