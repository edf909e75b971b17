"""Logging in at a provider of identities (OpenID Connect Core 1.0, code flow with PKCE): addresses and checks, no transport."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode, urlsplit

from ledger.errors import Kind
from suanquan.errors import ServiceError

ALGORITHMS = ("ES256", "EdDSA", "Ed25519", "PS256", "RS256")
"""By which a provider may sign; none of them is shared with us, so that no key of ours passes for its."""
LEEWAY_S = 60
SUBJECT_MAX = 255
"""Core 1.0, 2: a subject has at most 255 ASCII characters."""


@dataclass(frozen=True, slots=True)
class Provider:
    """What a provider says of itself (Discovery 1.0, 3)."""

    issuer: str
    authorization: str
    token: str
    keys: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """What we remember of somebody we sent to the provider; `person` is empty where he wants to log in."""

    nonce: str
    verifier: str
    person: str = ""

    @classmethod
    def fresh(cls, person: str = "") -> Attempt:
        """An attempt with new secrets of 256 bits."""
        return cls(secrets.token_urlsafe(32), secrets.token_urlsafe(32), person)

    def to_bytes(self) -> bytes:
        """As it is kept, under a seal."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Attempt:
        """What `to_bytes` made."""
        return cls(**json.loads(data))


def is_safe(address: str) -> bool:
    """Whether an address is one of TLS, or of this machine."""
    parts = urlsplit(address)
    if parts.username or parts.fragment or not parts.hostname:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in {"localhost", "127.0.0.1", "::1"})


def read_provider(found: Mapping[str, Any], issuer: str) -> Provider:
    """What a discovery document says.

    Raises:
        ServiceError: `provider-malformed`: an address is missing or unsafe, or it is another issuer's (Discovery 1.0, 4.3).

    """
    names = ("authorization_endpoint", "token_endpoint", "jwks_uri")
    addresses = [found.get(name) for name in names]
    if found.get("issuer") != issuer:
        raise malformed("the document is another issuer's")
    for name, address in zip(names, addresses, strict=True):
        if not isinstance(address, str) or not is_safe(address):
            raise malformed(f"{name} is missing or unsafe")
    return Provider(issuer, *map(str, addresses))


def authorization_address(provider: Provider, client: str, back: str, state: str, attempt: Attempt) -> str:
    """Where to send somebody (Core 1.0, 3.1.2.1; RFC 7636, 4.3)."""
    challenge = base64.urlsafe_b64encode(sha256(attempt.verifier.encode()).digest()).rstrip(b"=").decode()
    query = {
        "response_type": "code",
        "scope": "openid",
        "client_id": client,
        "redirect_uri": back,
        "state": state,
        "nonce": attempt.nonce,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    return f"{provider.authorization}{'&' if '?' in provider.authorization else '?'}{urlencode(query)}"


def subject_of(claims: Mapping[str, Any], provider: Provider, client: str, nonce: str, now_s: int) -> str:
    """Whom an identity token, whose signature holds, is about (Core 1.0, 3.1.3.7).

    Raises:
        ServiceError: `identity-refused`, with the claim.

    """
    audience = claims.get("aud")
    audiences = [audience] if isinstance(audience, str) else audience if isinstance(audience, list) else []
    expires, issued, subject = claims.get("exp"), claims.get("iat"), claims.get("sub")
    checks = {
        "iss": claims.get("iss") == provider.issuer,
        "aud": client in audiences and (len(audiences) == 1 or claims.get("azp") == client),
        "azp": claims.get("azp", client) == client,
        "exp": type(expires) is int and now_s < expires + LEEWAY_S,
        "iat": type(issued) is int and issued <= now_s + LEEWAY_S,
        "nonce": secrets.compare_digest(str(claims.get("nonce")).encode(), nonce.encode()),
        "sub": isinstance(subject, str) and 0 < len(subject) <= SUBJECT_MAX and subject.isascii(),
    }
    wrong = [name for name, holds in checks.items() if not holds]
    if wrong:
        raise refused(", ".join(wrong))
    return str(subject)


def refused(why: str) -> ServiceError:
    """What the provider gave does not show who somebody is."""
    return ServiceError(
        "identity-refused",
        f"身份提供方的答复不成立（{why}），请重新登录",
        f"the provider's answer does not hold ({why}); log in again",
        kind=Kind.NOT_ALLOWED,
    )


def malformed(why: str) -> ServiceError:
    """The provider does not speak as it must."""
    return ServiceError(
        "provider-malformed",
        f"身份提供方的答复不合规：{why}",
        f"malformed answer of the provider of identities: {why}",
        kind=Kind.UNAVAILABLE,
    )
