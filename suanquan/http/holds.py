"""`/v1/nonces`, `/v1/holds` and `/v1/leases`: what centres ask in the name of a holder, signed by their agents like reports of usage."""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime
from hashlib import sha256
from types import MappingProxyType
from typing import Any

import msgspec
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from ledger.errors import DomainError, Kind
from suanquan.errors import ServiceError
from suanquan.http.auth import by_agents
from suanquan.http.strict_json import json_object
from suanquan.http.usage import NONCE_KEPT_US, AgentKeys, signed_by
from suanquan.service import Service
from suanquan.use_cases.admission import Gate, Presented
from suanquan.use_cases.ingest import Request
from suanquan.use_cases.spend_acts import Act, Capture, Faulty, Hold, Release, Report
from suanquan.use_cases.till import Till
from voucher import presentation
from voucher.lease import NUMBER_MAX, REFERENCE, SPENDS_MAX
from voucher.presentation import Nonces
from voucher.spending import LIFE_S, LIFE_S_MAX, LIFE_S_MIN

CONTENT_TYPE = "application/json"
NONCES_MAX = 1_000
_HOLD = re.compile(r"[0-9a-f]{32}")
_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


class Spending:
    """What the routes of holds share in a service."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.gate = Gate(service.database, service.catalog.series)
        self.till = Till(service.journal, lambda: service.issuer)
        self._nonces: Nonces | None = None

    async def nonces(self) -> Nonces:
        """The maker of nonces; its secret is of this ledger, so that another process of the same service takes them."""
        if self._nonces is None:
            secret = await self._service.journal.transact(_secret, own_sql=False, keeps_memo=True)
            self._nonces = Nonces(secret)
        return self._nonces


async def _secret(tx: Any) -> bytes:
    return bytes(tx.keyed(b"nonces of holds"))


@by_agents("hold.ask")
async def post_nonces(request: HttpRequest) -> Response:
    """Nonces for proofs of possession, each for one hold at the centre that asks."""
    service: Service = request.app.state.service
    signed = await _signed(request)
    body = await json_object(request)
    count = body.pop("count", 1)
    _refuse_unknown(body)
    if type(count) is not int or not 1 <= count <= NONCES_MAX:
        raise _malformed("/count", f"应为 1 至 {NONCES_MAX} 的整数", f"must be an integer from 1 to {NONCES_MAX}")
    nonces = await _spending(request).nonces()
    now_s = service.now_us // 1_000_000
    found = [nonces.make(signed.centre, now_s, secrets.token_bytes(8)) for _ in range(count)]
    return _json(msgspec.json.encode({"nonces": found, "expires_in_s": presentation.LIFE_S}))


@by_agents("hold.ask")
async def post_hold(request: HttpRequest) -> Response:
    """Reserve what the holder signed for."""
    return await _reserve(request, None)


@by_agents("hold.ask")
async def post_increment(request: HttpRequest) -> Response:
    """Raise a hold: the holder signs for more, with the hold's id as `ref`."""
    return await _reserve(request, _hold_id(request))


@by_agents("hold.ask")
async def post_lease(request: HttpRequest) -> Response:
    """Set aside what the holder signed for, to be spent by this centre while it is cut off."""
    signed, act = await verified_hold(request, None)
    if isinstance(act, Hold):
        act = act._replace(is_lease=True)
    return _json(await _spending(request).till.ask_alone(signed, act))


@by_agents("hold.ask")
async def post_spends(request: HttpRequest) -> Response:
    """Capture what was spent of a lease, each number once."""
    hold, signed = _hold_id(request), await _signed(request)
    body = await json_object(request)
    spends, final = body.pop("spends", None), body.pop("final", False)
    _refuse_unknown(body)
    if not isinstance(final, bool):
        raise _malformed("/final", "应为 true 或 false", "must be true or false")
    if not isinstance(spends, list) or len(spends) > SPENDS_MAX or not (spends or final):
        raise _malformed("/spends", f"应为至多 {SPENDS_MAX} 笔的列表", f"must be a list of at most {SPENDS_MAX} spends")
    report = Report(hold, tuple(_spend(one, f"/spends/{at}") for at, one in enumerate(spends)), final)
    return _json(await _spending(request).till.ask_alone(signed, report))


def _spend(value: object, where: str) -> tuple[int, str, int, str]:
    if not isinstance(value, dict) or value.keys() != {"number", "amount", "at", "reference"}:
        raise _malformed(
            where, "应恰含 number、amount、at、reference", "must hold exactly number, amount, at, reference"
        )
    number, amount, at, reference = (value[name] for name in ("number", "amount", "at", "reference"))
    if type(number) is not int or not 0 < number <= NUMBER_MAX:
        raise _malformed(f"{where}/number", f"应为 1 至 {NUMBER_MAX} 的整数", f"must be an integer of 1..{NUMBER_MAX}")
    if not isinstance(amount, str) or len(amount) > 40:
        raise _malformed(f"{where}/amount", "应为十进制文字", "must be a decimal in quotes")
    if not isinstance(reference, str) or not REFERENCE.fullmatch(reference):
        raise _malformed(
            f"{where}/reference", "应为至多 128 个可见 ASCII 字符", "must be 1 to 128 visible ASCII characters"
        )
    return number, amount, _second(at, f"{where}/at"), reference


def _second(value: object, where: str) -> int:
    """UTC epoch seconds of `2026-11-22T01:15:37Z`."""
    if isinstance(value, str) and _INSTANT.fullmatch(value):
        with contextlib.suppress(ValueError):
            return int(datetime.fromisoformat(value).timestamp())
    raise _malformed(
        where, "应为 2026-11-22T01:15:37Z 形式的 UTC 时刻", "must be a UTC instant like 2026-11-22T01:15:37Z"
    )


@by_agents("hold.ask")
async def post_capture(request: HttpRequest) -> Response:
    """Debit a part of a hold, or its last part."""
    hold = _hold_id(request)

    def read(body: dict[str, Any]) -> Act:
        amount, final = _text(body, "amount", 40), body.pop("final", False)
        if not isinstance(final, bool):
            raise _malformed("/final", "应为 true 或 false", "must be true or false")
        return Capture(hold, amount, final)

    return await _ask(request, read)


@by_agents("hold.ask")
async def post_release(request: HttpRequest) -> Response:
    """Give back what a hold has left."""
    hold = _hold_id(request)
    return await _ask(request, lambda _: Release(hold))


async def _ask(request: HttpRequest, read: Callable[[dict[str, Any]], Act]) -> Response:
    signed = await _signed(request)
    body = await json_object(request)
    act = read(body)
    _refuse_unknown(body)
    return _json(await _spending(request).till.ask(signed, act))


async def _reserve(request: HttpRequest, hold: str | None) -> Response:
    signed, act = await verified_hold(request, hold)
    return _json(await _spending(request).till.ask(signed, act))


async def verified_hold(request: HttpRequest, hold: str | None) -> tuple[Request, Act]:
    """Who asks, and what the holder signed for, every signature verified; nothing is recorded yet.

    Raises:
        DomainError: the agent's signature or the form of the request is not good.

    """
    service: Service = request.app.state.service
    spending = _spending(request)
    signed = await _signed(request)
    shown = _shown(await json_object(request))
    about = presentation.Request("POST", service.settings.url + request.scope["path"], signed.centre)
    nonces, now_s = await spending.nonces(), service.now_us // 1_000_000
    try:
        act: Act = await spending.gate.admit(shown, service.keys, nonces, about, now_s=now_s, hold=hold)
    except DomainError as error:
        if error.kind is Kind.UNAVAILABLE:
            raise
        act = Faulty(error)  # a retry may come when the proof is too old: it gets the answer that it had
    return signed, act


def _shown(body: dict[str, Any]) -> Presented:
    voucher, proof = _text(body, "voucher", 8192), _text(body, "proof", 8192)
    life_s, links = body.pop("expires_in_s", LIFE_S), body.pop("delegations", [])
    _refuse_unknown(body)
    if type(life_s) is not int or not LIFE_S_MIN <= life_s <= LIFE_S_MAX:
        bounds = f"{LIFE_S_MIN}..{LIFE_S_MAX}"
        raise _malformed("/expires_in_s", f"应为 {bounds} 的整数", f"must be an integer of {bounds}")
    if not isinstance(links, list) or not all(isinstance(one, str) for one in links):
        raise _malformed("/delegations", "应为令牌的列表", "must be a list of tokens")
    return Presented(voucher, proof, life_s, tuple(links))


async def _signed(request: HttpRequest) -> Request:
    """Who asks, by the signature of a centre's agent over this very request."""
    service: Service = request.app.state.service
    keys: AgentKeys = request.app.state.agent_keys
    body = await request.body()
    digest = sha256(request.scope["path"].encode() + b"\0" + body).digest()
    signed = await signed_by(request, sha256(body).digest())
    return Request(
        keys.centre(signed.keyid), signed.keyid, signed.nonce, service.wall_us + NONCE_KEPT_US,
        request.headers["idempotency-key"], digest,
    )  # fmt: skip


def _spending(request: HttpRequest) -> Spending:
    found: Spending = request.app.state.spending
    return found


def _hold_id(request: HttpRequest) -> str:
    hold = str(request.path_params["hold"])
    if _HOLD.fullmatch(hold) is None:
        raise ServiceError("hold-unknown", "没有这笔冻结", "no such hold", kind=Kind.NOT_FOUND)
    return hold


def _text(body: dict[str, Any], name: str, longest: int) -> str:
    value = body.pop(name, None)
    if not isinstance(value, str) or not 0 < len(value) <= longest:
        raise _malformed(
            f"/{name}", f"应为至多 {longest} 个字符的文字", f"must be a text of at most {longest} characters"
        )
    return value


def _refuse_unknown(body: dict[str, Any]) -> None:
    for name in body:
        raise _malformed(f"/{name[:60]}", "没有这一项", "is not known here")


def _malformed(where: str, zh: str, en: str) -> ServiceError:
    return ServiceError("request-malformed", f"{where} {zh}", f"{where} {en}")


def _json(content: bytes) -> Response:
    return Response(content, media_type=CONTENT_TYPE)


ROUTES: MappingProxyType[str, Callable[[HttpRequest], Awaitable[Response]]] = MappingProxyType(
    {
        "/v1/nonces": post_nonces,
        "/v1/holds": post_hold,
        "/v1/holds/{hold}/increments": post_increment,
        "/v1/holds/{hold}/captures": post_capture,
        "/v1/holds/{hold}/release": post_release,
        "/v1/leases": post_lease,
        "/v1/leases/{hold}/captures": post_spends,
    }
)
