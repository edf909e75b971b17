"""What we ask of a provider of identities over the network: its own description, its keys, and a token for a code."""

from __future__ import annotations

import asyncio
import base64
import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus, urlencode

from ledger.errors import Kind
from suanquan.access.oidc import ALGORITHMS, Provider, malformed, read_provider, refused
from suanquan.errors import ServiceError
from suanquan.optional import load_joserfc

ANSWER_BYTES_MAX = 1 << 20
TIMEOUT_S = 10
KEPT_S = 3_600
PAUSE_S = 60
"""How soon keys are read again for a token whose key is not among them."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A provider answers where it said it would."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow nothing."""


@dataclass(slots=True)
class OidcClient:
    """One provider as seen by one client; what it says is kept for an hour."""

    issuer: str
    client: str
    secret: str
    _provider: Provider | None = None
    _keys: dict[str, Any] = field(default_factory=dict)
    _read_at: float = -KEPT_S
    _keys_at: float = -KEPT_S

    async def provider(self) -> Provider:
        """What the provider says of itself.

        Raises:
            ServiceError: `provider-unavailable`, `provider-malformed`.

        """
        if self._provider is None or time.monotonic() - self._read_at > KEPT_S:
            found = await self._ask(self.issuer.rstrip("/") + "/.well-known/openid-configuration")
            self._provider, self._read_at = read_provider(found, self.issuer), time.monotonic()
        return self._provider

    async def claims(self, code: str, verifier: str, back: str) -> dict[str, Any]:
        """The claims of the identity token that a code is exchanged for; its signature holds.

        Raises:
            ServiceError: `provider-unavailable`, `provider-malformed`, `identity-refused`.

        """
        provider = await self.provider()
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": back, "code_verifier": verifier}
        answer = await self._ask(provider.token, form)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise malformed("no id_token")
        try:
            return self._verified(token, await self._key_set(provider))
        except KeyError:
            return self._verified(token, await self._key_set(provider, again=True))

    def _verified(self, token: str, keys: dict[str, Any]) -> dict[str, Any]:
        jose = load_joserfc()
        try:
            header = jose.jws.extract_compact(token.encode()).headers()
            known = [key for key in keys.get("keys", ()) if "kid" not in header or key.get("kid") == header["kid"]]
            if not known:
                raise KeyError(header.get("kid"))
            algorithms = [name for name in ALGORITHMS if name == header.get("alg")]
            key_set = jose.jwk.KeySet.import_key_set({"keys": known})
            claims = jose.jwt.decode(token, key_set, algorithms=algorithms or list(ALGORITHMS)).claims
        except (jose.errors.JoseError, ValueError, TypeError) as fault:
            raise refused("signature") from fault
        return dict(claims)

    async def _key_set(self, provider: Provider, *, again: bool = False) -> dict[str, Any]:
        age = time.monotonic() - self._keys_at
        if age > (PAUSE_S if again else KEPT_S):
            self._keys, self._keys_at = await self._ask(provider.keys), time.monotonic()
        elif again:
            raise refused("key")
        return self._keys

    async def _ask(self, address: str, form: dict[str, str] | None = None) -> dict[str, Any]:
        return await asyncio.to_thread(self._ask_now, address, form)

    def _ask_now(self, address: str, form: dict[str, str] | None) -> dict[str, Any]:
        request = urllib.request.Request(address, headers={"Accept": "application/json"})  # noqa: S310 -- see `is_safe`
        if form is not None:
            request.data = urlencode(form).encode()
            pair = f"{quote_plus(self.client)}:{quote_plus(self.secret)}".encode()  # RFC 6749, 2.3.1
            request.add_header("Authorization", f"Basic {base64.b64encode(pair).decode()}")
        opener = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=TIMEOUT_S) as response:
                body = response.read(ANSWER_BYTES_MAX + 1)
        except urllib.error.HTTPError as fault:
            if form is not None and 400 <= fault.code < 500:
                raise refused("code") from None
            raise _unavailable(fault.code) from None
        except OSError as fault:
            raise _unavailable(type(fault).__name__) from fault
        try:
            found = json.loads(body) if len(body) <= ANSWER_BYTES_MAX else None
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise malformed("no JSON object")
        return found


def _unavailable(why: object) -> ServiceError:
    return ServiceError(
        "provider-unavailable",
        f"身份提供方暂不可用（{why}）",
        f"the provider of identities is unavailable ({why})",
        kind=Kind.UNAVAILABLE,
    )
