"""Logging in by a provider of identities: only an account that was linked before, by somebody logged in to it.

No account is made, and none is found by an address or a name that the provider gives: who controls such an attribute there
must not control an account here.
"""

from __future__ import annotations

import secrets
from typing import NamedTuple

from ledger.errors import Kind
from metering.zones import rfc3339
from suanquan.access.acting import act_of
from suanquan.access.oidc import Attempt, authorization_address, refused, subject_of
from suanquan.access.policy import Role
from suanquan.access.principal import Principal
from suanquan.db import people, trail
from suanquan.errors import ServiceError
from suanquan.home import read_secret
from suanquan.oidc_client import OidcClient
from suanquan.use_cases.access import MINUTE_US, Access
from suanquan.use_cases.sign_in import Begun, begin

PATH = "/v1/sessions/oidc/back"
MINUTES = 10
"""How long somebody has to log in at the provider."""
PURPOSE = "oidc"


class Sent(NamedTuple):
    """Where somebody is sent, and the state that his browser must bring back."""

    address: str
    state: str


def client_of(access: Access) -> OidcClient:
    """The client of the provider that the settings name.

    Raises:
        ServiceError: `provider-unset`, or a secret that cannot be read.

    """
    settings = access.settings
    if not settings.oidc_issuer:
        zh, en = "未设置身份提供方（oidc_issuer）", "no provider of identities is set (oidc_issuer)"
        raise ServiceError("provider-unset", zh, en, kind=Kind.NOT_FOUND)
    secret = read_secret(access.home.path / settings.oidc_client_secret_file).decode("utf-8")
    return OidcClient(settings.oidc_issuer, settings.oidc_client_id, secret)


async def send(access: Access, client: OidcClient, url: str, person: str = "") -> Sent:
    """Begin at the provider, to log in or, with a person, to link his account.

    Raises:
        ServiceError: `provider-unavailable`, `provider-malformed`.

    """
    provider = await client.provider()
    attempt, state, now_us = Attempt.fresh(person), secrets.token_urlsafe(32), access.now_us
    sealed = access.seal.close(attempt.to_bytes(), PURPOSE)
    async with access.database.write() as conn:
        await people.add_challenge(conn, state, person, PURPOSE, sealed, now_us, now_us + MINUTES * MINUTE_US)
    return Sent(authorization_address(provider, client.client, url + PATH, state, attempt), state)


async def come_back(
    access: Access, client: OidcClient, url: str, answer: tuple[str, str], cookie: str, request: str = ""
) -> Begun | None:
    """Take the provider's answer, a code and a state: a session, or None where an account was linked.

    Raises:
        ServiceError: `identity-refused` (the state is unknown, used, over, or another browser's; the token does not hold),
            `identity-unlinked`, `identity-taken`.

    """
    code, state = answer
    if not state or not secrets.compare_digest(state.encode("utf-8", "replace"), cookie.encode("utf-8", "replace")):
        raise refused("state")
    async with access.database.write() as conn:
        found = await people.take_challenge(conn, state, PURPOSE, access.now_us)
    if found is None or found[1] is None:
        raise refused("state")
    attempt = Attempt.from_bytes(access.seal.open(found[1], PURPOSE))
    claims = await client.claims(code, attempt.verifier, url + PATH)
    provider, now_s = await client.provider(), access.now_us // 1_000_000
    subject = subject_of(claims, provider, client.client, attempt.nonce, now_s)
    if attempt.person:
        await _link(access, attempt.person, provider.issuer, subject, request)
        return None
    return await _log_in(access, provider.issuer, subject, request)


async def _link(access: Access, person: str, issuer: str, subject: str, request: str) -> None:
    now_us = access.now_us
    async with access.database.write() as conn:
        if not await people.grants_of(conn, person):
            raise refused("account")
        owner = await people.person_of_identity(conn, issuer, subject)
        if owner not in {None, person}:
            zh, en = "该身份已连接到另一账号", "this identity is linked to another account"
            raise ServiceError("identity-taken", zh, en, kind=Kind.CONFLICT)
        if owner is None:
            await people.link_identity(conn, issuer, subject, person, now_us)
        who = Principal(person, Role.PUBLIC)
        await trail.append(conn, act_of(who, "account.link", issuer, request=request), now_us)


async def _log_in(access: Access, issuer: str, subject: str, request: str) -> Begun:
    async with access.database.write() as conn:
        person = await people.person_of_identity(conn, issuer, subject)
        grants = [] if person is None else await people.grants_of(conn, person)
        if person is None or not grants:
            raise ServiceError(
                "identity-unlinked",
                "该身份未连接账号；请先以口令或通行密钥登录，再在账号里连接",
                "no account is linked to this identity; log in by password or passkey first, and link it",
                kind=Kind.NOT_ALLOWED,
            )
        return await begin(access, conn, person, grants[0], PURPOSE, request)


async def list_identities(access: Access, who: Principal) -> list[dict[str, str]]:
    """What is linked to an account, oldest first."""
    async with access.database.read() as conn:
        found = await people.identities_of(conn, who.name)
    return [{"issuer": issuer, "subject": subject, "linked": rfc3339(at)} for issuer, subject, at in found]


async def unlink(access: Access, who: Principal, issuer: str, subject: str, request: str = "") -> None:
    """Take a link away.

    Raises:
        ServiceError: `identity-missing`.

    """
    async with access.database.write() as conn:
        if not await people.unlink_identity(conn, who.name, issuer, subject):
            zh, en = "没有这一连接", "there is no such link"
            raise ServiceError("identity-missing", zh, en, kind=Kind.NOT_FOUND)
        await trail.append(conn, act_of(who, "account.unlink", issuer, request=request), access.now_us)
