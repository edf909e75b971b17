"""One box that takes everything: what somebody has at hand leads to its page, if it is one that he may see.

Numbers may stand in an address; codes and receipts are sent and kept nowhere. What is not there and what is another's are
told apart by nobody.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import TypeVar
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ledger import errors
from ledger import store as ledger_store
from ledger.errors import DomainError
from ledger.scope import Scope
from ledger.sql import Connection
from suanquan.access.policy import BENEFICIARY, Reach
from suanquan.access.principal import Principal
from suanquan.http.auth import identify, may, scope_of
from suanquan.http.routers import page_router
from suanquan.portal import checking, counter, frame
from suanquan.portal.find_text import TEXTS
from suanquan.portal.frame import language_of, or_failure, reading, service_of
from suanquan.portal.kept_forms import address
from suanquan.portal.recognise import TEXT_MAX, Kind, Recognised, as_uuid, recognise
from suanquan.service import Service
from suanquan.use_cases import issue
from suanquan.use_cases.applications import load_application
from suanquan.use_cases.findings import finding_object
from suanquan.use_cases.hold_views import show_hold
from suanquan.use_cases.settlement_reading import load_own_batch

ASKED_MAX = 200
ENTRIES = "/office/entries?account=voucher/"
CUT = "eyJ"
"""How codes begin; one in an address is the beginning of one, which a line of the frame cut off."""
T = TypeVar("T")
router = page_router()


@router.get("/find", dependencies=[may("log.read")])
async def get_find(request: Request) -> Response:
    """On to what a number or a name leads to; without one, the box."""
    text, cut = request.query_params.get("q"), "cut" in request.query_params
    said = TEXTS[language_of(request)]["seek_code_cut"] if cut else ""
    return await or_failure(request, _page(request, "", said) if text is None else _found(request, text[:ASKED_MAX]))


@router.post("/find", dependencies=[may("log.read")])
async def post_find(request: Request) -> Response:
    """The same for what may be long or secret: codes, and receipts, which are verified."""
    form = await request.form(max_files=0, max_fields=4, max_part_size=checking.PASTED_MAX)
    return await or_failure(request, _sent(request, str(form.get("pasted", ""))[: checking.PASTED_MAX]))


async def _sent(request: Request, text: str) -> Response:
    found = recognise(text)
    if found.kind is Kind.CODE and (await identify(request)).reach("hold.act") is not Reach.NOTHING:
        return await counter.shown(request, found.value)
    if found.kind in {Kind.CODE, Kind.RECEIPT}:
        return await checking.verified(request, found.value)
    return await _found(request, text)


async def _found(request: Request, text: str) -> Response:
    service, found = service_of(request), recognise(text)
    with reading():
        who = await identify(request)
        async with service.database.read() as conn:
            place = await _place(_Seeking(conn, service, who, scope_of(who)), found)
    if found.kind in {Kind.CODE, Kind.RECEIPT} or text.strip().startswith(CUT):
        return RedirectResponse(address("/find", cut="1", **frame.kept(request)), 303)  # out of the address
    if place is not None:
        return RedirectResponse(address(place, **frame.kept(request)), 303)
    said = TEXTS[language_of(request)][f"seek_{found.kind.value}"]
    return await _page(request, text, said.format(value=text.strip()[:TEXT_MAX]), 404)


async def _page(request: Request, typed: str, said: str = "", status: int = 200) -> Response:
    with reading():
        await identify(request)
    texts = TEXTS[language_of(request)]
    again = f"/find?{urlencode({'q': typed})}" if typed else ""
    return frame.render(request, "work/find.html", t=texts, typed=typed, said=said, status=status, again=again)


# --- where things are -------------------------------------------------------------------------------------------------


class _Seeking:
    """Who seeks, and in what."""

    def __init__(self, conn: Connection, service: Service, who: Principal, scope: Scope) -> None:
        self.conn, self.service, self.who, self.scope = conn, service, who, scope

    def may(self, action: str) -> bool:
        """Whether a page that takes this action can be shown at all."""
        return self.who.reach(action) is not Reach.NOTHING


async def _place(seeking: _Seeking, found: Recognised) -> str | None:
    """The page of what was recognised; None if there is none that who asks may see."""
    seek = _PLACES.get(found.kind)
    return await _unless_missing(seek(seeking, found.value)) if seek is not None else None


async def _unless_missing(loaded: Awaitable[T]) -> T | None:
    """What was sought; None where it is not there, or another's. What could not be read is no such thing."""
    try:
        return await loaded
    except DomainError as error:
        if error.kind is not errors.Kind.NOT_FOUND:
            raise
        return None


async def _number(seeking: _Seeking, value: str) -> str | None:
    """Sixteen bytes are the number of a voucher, a hold, a finding or an entry: whatever is there."""
    conn, scope, jti = seeking.conn, seeking.scope, as_uuid(value)
    own = seeking.who.role in BENEFICIARY
    kinds: tuple[tuple[str, Callable[[], Awaitable[object]], str], ...] = (
        ("voucher.read", lambda: issue.load(conn, jti, scope), f"/vouchers/{jti}" if own else f"{ENTRIES}{jti}"),
        ("hold.read", lambda: show_hold(conn, scope, value), f"/holds/{value}"),
        ("finding.read", lambda: finding_object(conn, value), f"/office/findings/{value}"),
        ("ledger.read", lambda: _entry(conn, value), f"/office/receipts/{value}"),
    )
    for action, load, place in kinds:
        if seeking.may(action) and (await _unless_missing(load())) is not None:
            return place
    return None


async def _entry(conn: Connection, value: str) -> object | None:
    return await ledger_store.load_entries(conn, [bytes.fromhex(value)]) or None


async def _application(seeking: _Seeking, value: str) -> str | None:
    if not seeking.may("application.read"):
        return None
    found = await load_application(seeking.conn, seeking.service.proceedings.office, value, seeking.scope)
    return f"/applications/{found.id}"


async def _round(seeking: _Seeking, _value: str) -> str | None:
    return "/office/rounds" if seeking.may("round.call") else "/notices"


async def _batch(seeking: _Seeking, value: str) -> str | None:
    if not seeking.may("settlement.read"):
        return None
    return f"/settlements/{(await load_own_batch(seeking.conn, value, seeking.scope)).id}"


async def _month(seeking: _Seeking, value: str) -> str | None:
    return f"/statements/{value}" if seeking.may("statement.read") else None


async def _company(seeking: _Seeking, value: str) -> str | None:
    if seeking.who.role in BENEFICIARY and value == seeking.who.tenant:
        return "/vouchers"
    return f"/office/vouchers?{urlencode({'find': value})}" if seeking.may("programme.read") else None


async def _words(seeking: _Seeking, value: str) -> str | None:
    asked = urlencode({"find": value})
    if seeking.may("programme.read") and seeking.may("application.read"):
        return f"/office/queue?stage=every&{asked}"
    if seeking.may("application.read"):
        return f"/applications?{asked}"
    return f"/statements?{asked}" if seeking.may("statement.read") and not seeking.who.is_public else None


async def _same(_seeking: _Seeking, value: str) -> str | None:
    """An address of this site is asked for as it stands: its page says who may see it."""
    return value


_PLACES: Mapping[Kind, Callable[[_Seeking, str], Awaitable[str | None]]] = MappingProxyType(
    {
        Kind.NUMBER: _number,
        Kind.APPLICATION: _application,
        Kind.ROUND: _round,
        Kind.BATCH: _batch,
        Kind.MONTH: _month,
        Kind.COMPANY: _company,
        Kind.PAGE: _same,
        Kind.WORDS: _words,
    }
)
