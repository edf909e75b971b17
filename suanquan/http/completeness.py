"""`POST /v1/usage/completeness`: a centre's agent declares what its accounts used in a month, and hears what is missing."""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from ledger.amount import INT64_MAX
from metering.completeness import Declaration
from metering.wire import TEXT_MAX
from suanquan.errors import ServiceError
from suanquan.http.auth import by_agents
from suanquan.http.usage import NONCE_KEPT_US, AgentKeys, signed_by
from suanquan.service import Service
from suanquan.use_cases.completeness import Months, declare

ACCOUNTS_MAX = 10_000
CONTENT_TYPE = "application/json"

Count = Annotated[int, Meta(ge=0, le=INT64_MAX)]


class _Account(msgspec.Struct, forbid_unknown_fields=True):
    account: Annotated[str, Meta(min_length=1, max_length=TEXT_MAX)]
    jobs: Count
    segments: Count
    gpu_ms: Count


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    month: Annotated[str, Meta(pattern=r"^20[0-9]{2}-(0[1-9]|1[0-2])$")]
    accounts: Annotated[list[_Account], Meta(min_length=1, max_length=ACCOUNTS_MAX)]


@by_agents("usage.declare")
async def post_completeness(request: Request) -> Response:
    """Keep a signed declaration; the answer says, account by account, what has not arrived."""
    service: Service = request.app.state.service
    keys: AgentKeys = request.app.state.agent_keys
    body = await request.body()
    signed = await signed_by(request, sha256(body).digest())
    new = _declarations(body)
    centre, until_us = keys.centre(signed.keyid), service.wall_us + NONCE_KEPT_US
    found = await service.journal.transact(lambda tx: declare(tx, centre, signed.keyid, signed.nonce, until_us, new))
    return Response(msgspec.json.encode(_answer(found)), media_type=CONTENT_TYPE)


def _declarations(body: bytes) -> list[Declaration]:
    try:
        read = msgspec.json.decode(body, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise ServiceError(
            "declaration-malformed",
            f"申报应为 month 与 accounts：{fault}",
            f"a declaration is a month and its accounts: {fault}",
        ) from None
    month = int(read.month.replace("-", ""))
    names = [one.account for one in read.accounts]
    if len(set(names)) != len(names) or not all(name.isprintable() for name in names):
        raise ServiceError(
            "declaration-malformed", "账户重复或含控制字符", "an account is named twice or has control characters"
        )
    return [Declaration(month, one.account, one.jobs, one.segments, one.gpu_ms) for one in read.accounts]


def _answer(found: Months) -> dict[str, Any]:
    """States by account; `missing` is what the declaration has more than arrived, negative where it has less."""
    return {
        "accounts": [
            {
                "account": account,
                "state": result.state.value,
                "missing": {"segments": result.segments, "gpu_ms": str(result.gpu_ms)},
            }
            for (_, account), (_, result) in sorted(found.items())
        ]
    }
