"""The counter of a centre: a voucher that is shown, whether it is good here and for how much; holding it, and giving back.

One box takes what is pasted, or what the camera reads. What a session may do here ends where the holder's key begins: a hold
takes the holder's proof, made elsewhere.
"""

from __future__ import annotations

import re
import secrets
import shlex
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ledger.amount import format_units
from ledger.errors import DomainError
from suanquan.access.policy import Reach
from suanquan.errors import ServiceError
from suanquan.http.auth import may, principal, scope_of
from suanquan.http.holds import Spending
from suanquan.http.routers import page_router
from suanquan.portal import figures, frame
from suanquan.portal.frame import language_of, or_failure, owner_of, reading, service_of
from suanquan.portal.present_text import TEXTS
from suanquan.portal.work import said_of, status_for, to, typed_of
from suanquan.use_cases.admission import Presented
from suanquan.use_cases.counter import Usable, ask, request_of, usable
from suanquan.use_cases.hold_views import list_holds, show_hold
from suanquan.use_cases.spend_acts import Release
from voucher import presentation
from voucher.hold_view_store import HoldFilter
from voucher.spending import LIFE_S

CODE_MAX = 8_000
HELD_MAX = 50
_NUMBER = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
router = page_router()


@router.get("/present", dependencies=[may("hold.act", scoped=True)])
async def get_counter(request: Request) -> Response:
    """The box."""
    return await or_failure(request, _page(request, {}))


@router.post("/present", dependencies=[may("hold.act", scoped=True)])
async def post_counter(request: Request) -> Response:
    """Whether a voucher can be used, and why not; with its holder's proof, hold it."""
    return await or_failure(request, _take(request))


@router.get("/holds/{hold}", dependencies=[may("hold.read", scoped=True)])
async def get_hold(hold: str, request: Request) -> Response:
    """One hold: what is left of it, until when, and what follows."""
    return await or_failure(request, _hold(request, hold))


@router.post("/holds/{hold}/release", dependencies=[may("hold.act", scoped=True)])
async def post_release(hold: str, request: Request) -> Response:
    """Give back what is left of a hold of one's own centre."""
    return await or_failure(request, _release(request, hold))


async def shown(request: Request, code: str) -> Response:
    """Whether a voucher whose code was put in elsewhere can be used here."""
    return await _taken(request, {"pasted": code[:CODE_MAX], "amount": "", "proof": "", "act": ""})


async def _take(request: Request) -> Response:
    typed = await typed_of(request, "pasted", "amount", "proof", "act")
    form = await request.form()
    typed |= {name: str(form.get(name, "")).strip()[:CODE_MAX] for name in ("pasted", "proof")}
    return await _taken(request, typed)


async def _taken(request: Request, typed: dict[str, str]) -> Response:
    try:
        code = _code(typed["pasted"], TEXTS["zh"], TEXTS["en"])
        if typed["act"] == "hold":
            return await _keep(request, code, typed["proof"])
        return await _page(request, typed, await _look(request, code, typed["amount"]))
    except DomainError as error:
        return await _page(request, typed, None, error, status_for(error))


def _code(pasted: str, zh: Mapping[str, str], en: Mapping[str, str]) -> str:
    """The code of a voucher, as it is verified.

    Raises:
        ServiceError: `code-missing`: it is nothing, a number, or something else.

    """
    text = pasted.strip()
    if text.startswith(("SQ1:", "{")) or (text.count(".") == 2 and not re.search(r"\s", text)):
        return text
    key = "counter_empty" if not text else "counter_number" if _NUMBER.fullmatch(text) else "counter_no_code"
    raise ServiceError("code-missing", zh[key], en[key])


async def _look(request: Request, code: str, amount: str) -> Usable:
    service, who = service_of(request), await principal(request)
    return await usable(
        _spending(request).gate,
        service.journal,
        service.keys,
        code,
        centre=who.tenant,
        amount=amount.replace(",", "").replace("，", ""),
        now_us=service.now_us,
    )


async def _keep(request: Request, code: str, proof: str) -> Response:
    """Hold what the holder signed for."""
    service, who, spending = service_of(request), await principal(request), _spending(request)
    about = presentation.Request("POST", f"{service.settings.url}/v1/holds", who.tenant)
    shown, now_us = Presented(code, proof, LIFE_S), service.now_us
    nonces = await spending.nonces()
    act = await spending.gate.admit(shown, service.keys, nonces, about, now_s=now_us // 1_000_000)
    asked = request_of(owner_of(who), who.tenant, secrets.token_hex(16), f"{code}\0{proof}".encode(), service.wall_us)
    found = await ask(spending.till, asked, act)
    return to(request, f"/holds/{found['hold']}")


async def _page(
    request: Request, typed: Mapping[str, str], found: Usable | None = None, error: DomainError | None = None, status: int = 200
) -> Response:  # fmt: skip
    who, held, command = await principal(request), [], ""
    if found is not None:
        with reading():
            async with service_of(request).database.read() as conn:
                wanted = HoldFilter(jti=found.jti, state="open", limit=HELD_MAX)
                held = await list_holds(conn, scope_of(who), wanted)
        command = await _command(request, typed, found)
    return frame.render(
        request, "work/counter.html", status=status, t=TEXTS[language_of(request)], headers={"Cache-Control": "no-store"}, typed=defaultdict(str, typed),
        found=_said(found) if found else None, problem=said_of(request, error) if error else "", code=error.code if error else "",
        held=held, command=command, seconds=presentation.LIFE_S, holding=typed.get("act") == "hold",
    )  # fmt: skip


def _said(found: Usable) -> dict[str, Any]:
    parts = {name: format_units(getattr(found, name), found.asset) for name in ("available", "held", "used")}
    return found._asdict() | parts | {"unit": found.asset.code}


async def _command(request: Request, typed: Mapping[str, str], found: Usable) -> str:
    """What a holder runs to sign for a hold here, with a nonce of this moment."""
    service, who = service_of(request), await principal(request)
    nonces = await _spending(request).nonces()
    nonce = nonces.make(who.tenant, service.now_us // 1_000_000, secrets.token_bytes(8))
    amount = typed.get("amount", "").replace(",", "") or format_units(found.available, found.asset)
    words = {
        "--key": TEXTS[language_of(request)]["counter_key"], "--nonce": nonce, "--centre": who.tenant, "--amount": amount, "--unit": found.asset.code,
        "--ref": "job-1", "--url": service.settings.url,
    }  # fmt: skip
    said = " ".join(f"{name}={shlex.quote(value)}" for name, value in words.items())
    return f"suanquan voucher present {shlex.quote(typed['pasted'])} {said}"


async def _hold(request: Request, hold: str, error: DomainError | None = None, status: int = 200) -> Response:
    who = await principal(request)
    with reading():
        async with service_of(request).database.read() as conn:
            found = await show_hold(conn, scope_of(who), hold)
    texts = figures.texts_in(TEXTS[language_of(request)])
    own = who.reach("hold.act") is Reach.OWN and found["state"] == "open" and not found["lease"]
    return frame.render(
        request, "work/hold.html", status=status, t=TEXTS[language_of(request)], hold=found, able=own and found["settled_by"] != "metering",
        ends=figures.shanghai(found["expires_at"], texts) if found["expires_at"] else "—",
        taken=figures.shanghai(found["taken_at"], texts), problem=said_of(request, error) if error else "",
    )  # fmt: skip


async def _release(request: Request, hold: str) -> Response:
    service, who = service_of(request), await principal(request)
    asked = request_of(owner_of(who), who.tenant, secrets.token_hex(16), hold.encode(), service.wall_us)
    try:
        await ask(_spending(request).till, asked, Release(hold))
    except DomainError as error:
        return await _hold(request, hold, error, status_for(error))
    return to(request, f"/holds/{hold}")


def _spending(request: Request) -> Spending:
    found: Spending = request.app.state.spending
    return found
