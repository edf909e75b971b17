"""The inbox on a page: what one's company, centre or office was told, what of it one wants, and where else it goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from suanquan.access.policy import Reach
from suanquan.db import notices
from suanquan.db.notices import Choice, Stored
from suanquan.http.auth import may, principal
from suanquan.http.routers import page_router
from suanquan.notices.mail import ADDRESS
from suanquan.notices.model import Kind
from suanquan.portal import frame
from suanquan.portal.frame import language_of, link, or_failure, reading, service_of
from suanquan.portal.inbox_text import TEXTS
from suanquan.use_cases.channels import audience_of

SHOWN = 50
NUMBER_DIGITS = 18
CHOSEN = tuple(kind for kind in Kind if kind is not Kind.CHANNEL_TEST)
_PLACES: Mapping[str, str] = {
    "voucher": "/vouchers/{subject}",
    "application": "/applications/{subject}",
    "settlement": "/settlements/{subject}",
    "payee": "/payees",
    "statement": "/statements",
    "usage": "/usage",
    "dispute": "/disputes/{subject}",
}
"""Where the object of a notice stands, by the first word of its kind; the office finds some of it elsewhere."""
_OFFICE_PLACES: Mapping[str, str] = {
    "quarantine": "/office/centres", "gap": "/office/centres", "agent": "/office/centres", "finding": "/office/findings",
    "budget": "/office/budgets", "document": "/office/clauses",
}  # fmt: skip
_CENTRE_PLACES: Mapping[str, str] = {
    "quarantine": "/centre/quarantine", "gap": "/centre", "agent": "/centre", "usage": "/statements",
}  # fmt: skip
router = page_router()


@router.get("/inbox", dependencies=[may("account.self")])
async def get_inbox(request: Request) -> Response:
    """Notices, newest first, one's choice and the channels."""
    return await or_failure(request, _inbox(request))


@router.post("/inbox/read", dependencies=[may("account.self")])
async def post_read(request: Request) -> Response:
    """Remember that everything shown was read."""
    return await or_failure(request, _read(request))


@router.post("/inbox/choice", dependencies=[may("account.self")])
async def post_choice(request: Request) -> Response:
    """Choose by kind: by mail, or kept out of the inbox."""
    return await or_failure(request, _choose(request))


async def _inbox(request: Request, problem: str = "", typed: Choice | None = None, status: int = 200) -> Response:
    service, who = service_of(request), await principal(request)
    text = request.query_params.get("before", "")
    before = int(text) if text.isdecimal() and len(text) <= NUMBER_DIGITS else 2**62
    audience = audience_of(who)
    with reading():
        async with service.database.read() as conn:
            chosen = await notices.choice_of(conn, who.name)
            found = await notices.list_notices(conn, audience, chosen.muted, before, SHOWN + 1)
            ways = []
            if who.reach("channel.list") is not Reach.NOTHING:
                ways = await notices.channels_of(conn, audience, every=True)
    rows = [_row(request, audience, one, chosen) for one in found[:SHOWN]]
    return frame.render(
        request, "inbox.html", status=status, t=TEXTS[language_of(request)], rows=rows, ways=ways, problem=problem,
        choice=typed or chosen, kinds=[kind.value for kind in CHOSEN], newest=found[0].number if found else 0,
        older=link(request, "/inbox", before=found[SHOWN - 1].number) if len(found) > SHOWN else "",
        official=audience == "office",
    )  # fmt: skip


def _row(request: Request, audience: str, one: Stored, chosen: Choice) -> dict[str, Any]:
    """A notice as it is shown, with the way to what it is about."""
    own = _OFFICE_PLACES if audience == "office" else _CENTRE_PLACES if audience.startswith("centre:") else {}
    word = one.kind.partition(".")[0]
    place = {**_PLACES, **own}.get(word, "").format(subject=one.subject)
    said = one.en if language_of(request) == "en" else one.zh
    return {"kind": one.kind, "said": said, "at_us": one.at_us, "new": one.number > chosen.seen, "href": link(request, place) if place else ""}  # fmt: skip


async def _read(request: Request) -> Response:
    service, who = service_of(request), await principal(request)
    text = str((await request.form(max_files=0, max_fields=4)).get("up_to", ""))
    if text.isdecimal() and len(text) <= NUMBER_DIGITS:
        async with service.database.write() as conn:
            chosen = await notices.choice_of(conn, who.name)
            await notices.choose(conn, who.name, chosen._replace(seen=max(int(text), chosen.seen)))
            await service.leave_trace(conn)
    return RedirectResponse(link(request, "/inbox"), 303)


async def _choose(request: Request) -> Response:
    service, who = service_of(request), await principal(request)
    form = await request.form(max_files=0, max_fields=100)
    email = str(form.get("email", "")).strip()[:254]
    known = {kind.value for kind in CHOSEN}
    mailed, muted = (tuple(sorted(known & set(map(str, form.getlist(name))))) for name in ("mailed", "muted"))
    if email and ADDRESS.fullmatch(email) is None:
        return await _inbox(request, "choice_bad_email", Choice(email, mailed, muted), 422)
    async with service.database.write() as conn:
        seen = (await notices.choice_of(conn, who.name)).seen
        await notices.choose(conn, who.name, Choice(email, mailed, muted, seen))
        await service.leave_trace(conn)
    return RedirectResponse(link(request, "/inbox") + "#choice", 303)
