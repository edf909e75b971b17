"""What a centre asks of the service about its leases, signed by its agent's key (RFC 9421)."""

from __future__ import annotations

import json
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from ledger.errors import Kind
from metering.agent.keys import AgentKey
from metering.signature import sign
from suanquan.errors import ServiceError
from suanquan.use_cases.lease_book import Counter, read_book, spends_object
from voucher.lease import SPENDS_MAX, Lease

TIMEOUT_S = 30
ANSWER_BYTES_MAX = 1 << 20


@dataclass(frozen=True, slots=True)
class Office:
    """The service as a centre's agent reaches it."""

    url: str
    key: AgentKey

    def post(self, path: str, body: Mapping[str, Any], key: str | None = None) -> dict[str, Any]:
        """The answer to a signed request; `key` is its Idempotency-Key.

        Raises:
            ServiceError: `service-unreachable`, or what the service refuses, in its words.

        """
        data, target = json.dumps(body).encode(), self.url.rstrip("/") + path
        headers = sign(
            self.key.private, self.key.kid, method="POST", target_uri=target, content_type="application/json",
            body_sha256=sha256(data).digest(), idempotency_key=key or secrets.token_hex(16),
            created_s=time.time_ns() // 1_000_000_000, nonce=secrets.token_urlsafe(24),
        )  # fmt: skip
        if not target.startswith(("http://", "https://")):
            raise ServiceError("url-malformed", f"地址 {target} 应以 http 开头", f"{target} is no address of a service")
        request = urllib.request.Request(target, data, headers, method="POST")  # noqa: S310 -- looked at above
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310 -- looked at above
                return dict(json.loads(answer.read(ANSWER_BYTES_MAX)))
        except urllib.error.HTTPError as refusal:
            raise _refused(refusal.code, refusal.read(ANSWER_BYTES_MAX)) from None
        except (OSError, ValueError) as fault:
            raise ServiceError(
                "service-unreachable",
                f"连不上 {self.url}",
                f"no answer from {self.url}: {fault}",
                kind=Kind.UNAVAILABLE,
            ) from fault


_KINDS = {
    401: Kind.PROOF,
    403: Kind.NOT_ALLOWED,
    404: Kind.NOT_FOUND,
    409: Kind.CONFLICT,
    422: Kind.PROOF,
    503: Kind.UNAVAILABLE,
}


def _refused(status: int, data: bytes) -> ServiceError:
    try:
        told = json.loads(data)
        code, zh, en = str(told["code"]), str(told["title"]), str(told["detail"])
    except (ValueError, KeyError, TypeError):
        code, zh, en = f"http-{status}", "服务未能应答", f"the service answered {status}"
    return ServiceError(code, zh, en, kind=_KINDS.get(status, Kind.INVALID))


def report(office: Office, counter: Counter, *, final: bool) -> dict[str, Any]:
    """Report what waits in a lease's file, part by part; with `final` the last one gives the rest back.

    A part that was taken and whose answer was lost is sent again: the service counts a number once.

    Raises:
        DomainError: what the file, the token or the service says.

    """
    if final:
        counter.close()
    book = read_book(counter.path)
    lease = counter.lease(book)
    waiting, answer = book.waiting, dict[str, Any]()
    accepted = duplicate = 0
    for at in range(0, max(len(waiting), 1), SPENDS_MAX):
        part = waiting[at : at + SPENDS_MAX]
        last = final and at + SPENDS_MAX >= len(waiting)
        if not part and not last:
            break
        body = {"spends": spends_object(lease, part), "final": last}
        answer = office.post(f"/v1/leases/{lease.lease}/captures", body)
        if part:
            counter.note_reported(part[-1].number)
        accepted, duplicate = accepted + len(answer["accepted"]), duplicate + len(answer["duplicate"])
    return _reported(lease, accepted, duplicate, answer)


def _reported(lease: Lease, accepted: int, duplicate: int, answer: Mapping[str, Any]) -> dict[str, Any]:
    return {"lease": lease.lease, "accepted": accepted, "duplicate": duplicate, "remaining": answer.get("remaining")}
