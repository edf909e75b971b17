"""Declare a month: what this centre says it used, by account, signed by the agent's key; and what the service lacks."""

from __future__ import annotations

import hashlib
import http.client
import secrets
import ssl
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from ledger.errors import Kind
from metering.agent.client import TIMEOUT_S, usage_uri
from metering.agent.keys import AgentKey
from metering.completeness import Declaration
from metering.errors import MeteringError
from metering.signature import sign

CONTENT_TYPE = "application/json"
ANSWER_BYTES_MAX = 8 * 2**20


def declare(base_url: str, key: AgentKey, declared: Sequence[Declaration]) -> list[dict[str, object]]:
    """Send the declarations of one month; the answer says what has not arrived, account by account.

    Raises:
        MeteringError: unreachable, or refused, in the service's words.

    """
    month = declared[0].month
    accounts = [
        {"account": one.account, "jobs": one.jobs, "segments": one.segments, "gpu_ms": one.gpu_ms} for one in declared
    ]
    body = msgspec.json.encode({"month": f"{month // 100}-{month % 100:02d}", "accounts": accounts})
    target = f"{usage_uri(base_url)}/completeness"
    status, answer = post(target, key, body, CONTENT_TYPE)
    if status != http.client.OK:
        words = answer[:500].decode("utf-8", "replace")
        raise MeteringError(
            "declaration-refused", f"申报被拒（{status}）：{words}", f"the declaration was refused ({status}): {words}"
        )
    found: list[dict[str, object]] = msgspec.json.decode(answer)["accounts"]
    return found


def post(target: str, key: AgentKey, body: bytes, content_type: str) -> tuple[int, bytes]:
    """Sign and send a body once; status and body of the answer.

    Raises:
        MeteringError: `unreachable`.

    """
    headers = sign(
        key.private,
        key.kid,
        method="POST",
        target_uri=target,
        content_type=content_type,
        body_sha256=hashlib.sha256(body).digest(),
        idempotency_key=secrets.token_hex(16),
        created_s=time.time_ns() // 1_000_000_000,
        nonce=secrets.token_urlsafe(24),
    )
    parts = urlsplit(target)
    assert parts.hostname, "usage_uri has checked it"
    connection = (
        http.client.HTTPSConnection(parts.hostname, parts.port, timeout=TIMEOUT_S, context=ssl.create_default_context())
        if parts.scheme == "https"
        else http.client.HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT_S)
    )
    try:
        connection.request("POST", parts.path, body, headers)
        with connection.getresponse() as response:
            return response.status, response.read(ANSWER_BYTES_MAX)
    except (OSError, http.client.HTTPException) as fault:
        raise MeteringError(
            "unreachable", f"{target} 不可达：{fault}", f"{target} is unreachable: {fault}", kind=Kind.UNAVAILABLE
        ) from fault
    finally:
        connection.close()
