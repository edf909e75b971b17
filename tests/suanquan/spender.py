"""A centre that spends vouchers over HTTP, and the holder who signs for it."""

import hashlib
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.amount import CNY
from ledger.ed25519 import PublicKey
from metering.signature import sign
from tests.suanquan.harness import KEYS, SCHEME, request
from voucher.holder import sandbox_uscc
from voucher.issuance import IssueRequest
from voucher.presentation import Request, present

HOLDER = Ed25519PrivateKey.from_private_bytes(b"holder".ljust(32))
HOLDER_KEY = PublicKey.of(HOLDER)
YUAN = 10**CNY.scale


def give(service, amount="100", number=1, key=HOLDER_KEY):
    """A voucher that is bound to a key."""
    return service.call(
        service.service.issue(SCHEME, IssueRequest(sandbox_uscc(number), "CNY", amount, dict(key.jwk())))
    )


@dataclass
class Spender:
    """Asks as a centre's agent does; `changes` make it lie."""

    url: str
    centre: str = "sj01"
    clock: Callable[[], float] = time.time

    def post(self, path, body, *, key=None, signer=None, **changes):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return request(self.url, "POST", path, data, self.headers(path, data, key=key, signer=signer, **changes))

    def headers(self, path, data, *, key=None, signer=None, **changes):
        private = KEYS[signer or self.centre]
        return sign(
            private,
            PublicKey.of(private).kid,
            **{
                "method": "POST",
                "target_uri": self.url + path,
                "content_type": "application/json",
                "body_sha256": hashlib.sha256(data).digest(),
                "idempotency_key": key or secrets.token_hex(16),
                "created_s": int(self.clock()),
                "nonce": secrets.token_urlsafe(24),
            }
            | changes,
        )

    def nonce(self):
        [found] = self.post("/v1/nonces", {}).content["nonces"]
        return found

    def proof(
        self, token, yuan, *, path="/v1/holds", reference="job:1", nonce=None, key=HOLDER_KEY, signer=HOLDER.sign
    ):
        return present(
            token, key, signer, Request("POST", self.url + path, self.centre), jti=_uuid(), nonce=nonce or self.nonce(),
            asset=CNY, units=int(yuan * YUAN), reference=reference, now_s=int(self.clock()),
        )  # fmt: skip

    def hold(self, token, yuan, *, body=None, key=None, **changes):
        content = {"voucher": token, "proof": self.proof(token, yuan, **changes)} | (body or {})
        return self.post("/v1/holds", content, key=key)

    def raise_(self, hold, token, yuan, **changes):
        path = f"/v1/holds/{hold}/increments"
        proof = self.proof(token, yuan, path=path, **({"reference": hold} | changes))
        return self.post(path, {"voucher": token, "proof": proof})

    def capture(self, hold, amount, **changes):
        key = changes.pop("key", None)
        return self.post(f"/v1/holds/{hold}/captures", {"amount": amount} | changes, key=key)

    def release(self, hold, key=None):
        return self.post(f"/v1/holds/{hold}/release", {}, key=key)


def _uuid():
    data = secrets.token_hex(16)
    return f"{data[:8]}-{data[8:12]}-7{data[13:16]}-8{data[17:20]}-{data[20:]}"
