"""`POST /v1/usage`: the hot path. Signature, decoding and one transaction; no framework between bytes and answer."""

from __future__ import annotations

import re
import time
from hashlib import sha256

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from ledger.ed25519 import PublicKey
from metering import signature
from metering.columns import COLUMNS
from metering.store import load_agent_keys
from suanquan.errors import ServiceError
from suanquan.http.at_once import AtOnce
from suanquan.http.auth import by_agents
from suanquan.http.rates import Rates
from suanquan.service import Service
from suanquan.use_cases.ingest import Request

CLOUDEVENTS = "application/cloudevents-batch+json"
KEYS_NS = 1_000_000_000
"""How long agent keys are kept in memory: a revoked key is refused at most this much later."""
KEYS_PAUSE_NS = 50_000_000
NONCE_KEPT_US = 600_000_000
"""Twice the longest life of a signature."""


_KEYID = re.compile('keyid="([^"]*)"')


class AgentKeys:
    """Registered keys of centre agents, read again every few seconds."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._keys: dict[str, tuple[PublicKey, str]] = {}
        self._read_at = -KEYS_NS

    async def refresh(self, header: str) -> None:
        """Read the keys when those in memory are old, or lack the one that a Signature-Input header names.

        Strangers cannot make us read for every request: between two readings lies `KEYS_PAUSE_NS`.
        """
        now = time.monotonic_ns()
        named = _KEYID.search(header)
        known = named is not None and named[1] in self._keys
        if now - self._read_at < (KEYS_NS if known else KEYS_PAUSE_NS):
            return
        async with self._service.database.read() as connection:
            rows = await load_agent_keys(connection)
        self._keys = {kid: (PublicKey(public), centre) for kid, (public, centre) in rows.items()}
        self._read_at = now

    def key(self, kid: str) -> PublicKey | None:
        """Public key of a key id that may report."""
        found = self._keys.get(kid)
        return found and found[0]

    def centre(self, kid: str) -> str:
        """Centre that a registered key reports for."""
        return self._keys[kid][1]


def target_uri(request: HttpRequest, base: str) -> str:
    """The address that a request must have been signed for: ours, with the path and query that were asked."""
    query = request.scope["query_string"]
    return base + str(request.scope["path"]) + ("?" + query.decode("latin-1") if query else "")


async def signed_by(request: HttpRequest, digest: bytes) -> signature.SignatureInput:
    """Who signed a request with a body of this digest.

    Raises:
        SignatureError: see `signature.verify`.
        TooOftenError: the key, or its centre, has used up its share.
        TooManyAtOnceError: it has as many requests under way as it may.

    """
    service: Service = request.app.state.service
    keys: AgentKeys = request.app.state.agent_keys
    header = request.headers.get("signature-input", "")
    await keys.refresh(header)
    at_once: AtOnce = request.app.state.at_once
    if named := _KEYID.search(header):
        at_once.check(f"key {named[1]}")  # whoever it is: the key that he names is not let in
    signed = signature.verify(
        request.method,
        target_uri(request, service.settings.url),
        [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw],
        digest,
        now_s=service.wall_us // 1_000_000,
        key_of=keys.key,
    )
    rates: Rates = request.app.state.agent_rates  # after the signature: nobody uses up what is another's
    names = f"key {signed.keyid}", f"centre {keys.centre(signed.keyid)}"
    rates.take(*names)
    at_once.enter(request.scope, *names)
    return signed


@by_agents("usage.report")
async def post_usage(request: HttpRequest) -> Response:
    """Accept one signed batch; the answer is a promise, given after the durable commit."""
    service: Service = request.app.state.service
    keys: AgentKeys = request.app.state.agent_keys
    content_type = request.headers.get("content-type", "").partition(";")[0].strip()
    if content_type not in {CLOUDEVENTS, COLUMNS}:
        raise ServiceError(
            "content-type-unsupported",
            f"Content-Type 应为 {CLOUDEVENTS} 或 {COLUMNS}",
            f"the content type must be {CLOUDEVENTS} or {COLUMNS}",
        )
    body = await request.body()
    digest = sha256(body).digest()
    signed = await signed_by(request, digest)
    batch = await service.decoder.decode(body, service.now_us, columns=content_type == COLUMNS)
    about = Request(
        keys.centre(signed.keyid),
        signed.keyid,
        signed.nonce,
        service.wall_us + NONCE_KEPT_US,
        request.headers["idempotency-key"],
        digest,
    )
    return Response(await service.intake.take(about, batch), media_type="application/json")
