"""`POST /v1/usage/corrections`: a centre's agent voids or revises records by id; the highest revision counts."""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from ledger.transaction import Transaction
from metering.corrections import Correction
from metering.wire import SKEW_US, TEXT_MAX, CloudEvent, Interval, interval_of, record_of, text_fault
from suanquan.errors import ServiceError
from suanquan.http.auth import by_agents
from suanquan.http.usage import NONCE_KEPT_US, AgentKeys, signed_by
from suanquan.service import Service
from suanquan.use_cases.corrections import FAULTS, Result, correct, open_corrected, use_nonce
from suanquan.use_cases.ingest import check_source
from suanquan.use_cases.settle import Said
from suanquan.use_cases.shares import Terms

CORRECTIONS_MAX = 1000
CONTENT_TYPE = "application/json"

Text = Annotated[str, Meta(min_length=1, max_length=TEXT_MAX)]


class _Correction(msgspec.Struct, forbid_unknown_fields=True):
    id: Text
    revision: Annotated[int, Meta(ge=1, le=100)]
    record: CloudEvent | None
    reason: Annotated[str, Meta(max_length=400)] = ""


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    source: Text
    corrections: Annotated[list[_Correction], Meta(min_length=1, max_length=CORRECTIONS_MAX)]


@by_agents("usage.correct")
async def post_corrections(request: Request) -> Response:
    """Take signed corrections; the answer says of each what became of it."""
    service: Service = request.app.state.service
    keys: AgentKeys = request.app.state.agent_keys
    body = await request.body()
    digest = sha256(body).digest()
    signed = await signed_by(request, digest)
    read = _read(body)
    centre, kid = keys.centre(signed.keyid), signed.keyid
    check_source(read.source, centre)
    wanted = [_correction(at, one, read.source, kid, service.now_us) for at, one in enumerate(read.corrections)]
    said = Said(digest, sha256(kid.encode()).digest()[:8], service.rules.ruleset)
    terms = Terms(centre, service.rules.tariffs(centre), service.rules.schemes)
    until_us = service.wall_us + NONCE_KEPT_US

    async def work(tx: Transaction) -> list[Result]:
        await use_nonce(tx, kid, signed.nonce, until_us)
        return await correct(tx, said, await open_corrected(tx, read.source, centre), terms, wanted)

    found = await service.journal.transact(work)
    return Response(msgspec.json.encode({"results": [_shown(one) for one in found]}), media_type=CONTENT_TYPE)


def _read(body: bytes) -> _Body:
    try:
        return msgspec.json.decode(body, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise _malformed("更正须写明来源与各条编号、修订号、内容", str(fault)) from None


def _malformed(zh: str, en: str) -> ServiceError:
    return ServiceError("correction-malformed", zh, en)


def _correction(at: int, one: _Correction, source: str, kid: str, now_us: int) -> Correction:
    if not (one.id + one.reason).isprintable():
        raise _malformed("编号或理由中有控制字符", f"corrections[{at}] has control characters")
    if one.record is None:
        return Correction(one.id, one.revision, None, one.reason, kid)
    times = interval_of(one.record, now_us + SKEW_US)
    fault = text_fault(one.record) if isinstance(times, Interval) else times
    if fault is not None or not isinstance(times, Interval):
        raise _malformed(f"第 {at + 1} 条：{fault}", f"corrections[{at}]: {fault}")
    if one.record.source != source:
        raise _malformed("内容的 source 不符", f"corrections[{at}]: its record names another source")
    return Correction(one.id, one.revision, record_of(one.record, times), one.reason, kid)


def _shown(result: Result) -> dict[str, object]:
    found: dict[str, object] = {"id": result.id, "revision": result.revision, "status": result.status}
    if result.code:
        found["code"] = result.code
    if result.code in FAULTS:
        found["detail"] = " / ".join(FAULTS[result.code])
    return found
