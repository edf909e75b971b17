"""Passkeys (W3C Web Authentication): registered by somebody who is logged in, and then a way to log in by itself."""

from __future__ import annotations

import base64
import json
import secrets
from typing import Any
from urllib.parse import urlsplit

from ledger.errors import Kind
from suanquan.access.acting import act_of
from suanquan.access.principal import Principal
from suanquan.db import people, trail
from suanquan.db.people import Passkey
from suanquan.errors import ServiceError
from suanquan.optional import load_webauthn
from suanquan.use_cases.access import MINUTE_US, Access
from suanquan.use_cases.sign_in import Begun, begin, login_failed

CHALLENGE_MINUTES = 5
PASSKEYS_MAX = 10
LABEL_MAX = 60
CHALLENGE_BYTES = 32


async def registration_options(access: Access, who: Principal) -> dict[str, Any]:
    """What a browser hands to the authenticator to make a credential."""
    webauthn, challenge = load_webauthn(), secrets.token_bytes(CHALLENGE_BYTES)
    async with access.database.write() as conn:
        known = await people.passkeys_of(conn, who.name)
        await _keep(access, conn, challenge, who.name, "passkey-new")
    if len(known) >= PASSKEYS_MAX:
        zh, en = f"至多 {PASSKEYS_MAX} 把通行密钥", f"at most {PASSKEYS_MAX} passkeys"
        raise ServiceError("passkeys-full", zh, en, kind=Kind.CONFLICT)
    structs = webauthn.helpers.structs
    options = webauthn.generate_registration_options(
        rp_id=_rp_id(access),
        rp_name="suanquan 算券",
        user_name=who.name,
        user_id=secrets.token_bytes(16),
        challenge=challenge,
        exclude_credentials=[structs.PublicKeyCredentialDescriptor(id=key.id) for key in known],
        authenticator_selection=structs.AuthenticatorSelectionCriteria(
            resident_key=structs.ResidentKeyRequirement.REQUIRED,
            user_verification=structs.UserVerificationRequirement.REQUIRED,
        ),
    )
    found: dict[str, Any] = json.loads(webauthn.options_to_json(options))
    return found


async def register(
    access: Access, who: Principal, credential: dict[str, Any], label: str, request: str = ""
) -> dict[str, Any]:
    """Take a new credential; its id.

    Raises:
        ServiceError: `passkey-refused`.

    """
    webauthn, challenge = load_webauthn(), _challenge_in(credential)
    now_us = access.now_us
    async with access.database.write() as conn:
        owner = await people.take_challenge(conn, challenge, "passkey-new", now_us)
    if owner is None or owner[0] != who.name:
        raise _refused("the challenge is unknown, used or too old")
    try:
        made = webauthn.verify_registration_response(
            credential=credential,
            expected_challenge=_bytes(challenge),
            expected_rp_id=_rp_id(access),
            expected_origin=_origin(access),
            require_user_verification=True,
        )
    except (webauthn.helpers.exceptions.WebAuthnException, ValueError, TypeError, KeyError) as fault:
        raise _refused(type(fault).__name__) from None
    key = Passkey(made.credential_id, who.name, made.credential_public_key, made.sign_count, label)
    async with access.database.write() as conn:
        if await people.find_passkey(conn, key.id) is not None:
            raise _refused("it is registered already")
        await people.add_passkey(conn, key, now_us)
        await trail.append(conn, act_of(who, "account.passkey", label, request=request), now_us)
    return {"id": _text(key.id), "label": label}


async def login_options(access: Access) -> dict[str, Any]:
    """What a browser hands to the authenticator to log in. It names nobody: the credential says who it is."""
    webauthn, challenge = load_webauthn(), secrets.token_bytes(CHALLENGE_BYTES)
    async with access.database.write() as conn:
        await _keep(access, conn, challenge, "", "passkey-login")
    options = webauthn.generate_authentication_options(
        rp_id=_rp_id(access),
        challenge=challenge,
        user_verification=webauthn.helpers.structs.UserVerificationRequirement.REQUIRED,
    )
    found: dict[str, Any] = json.loads(webauthn.options_to_json(options))
    return found


async def log_in(access: Access, credential: dict[str, Any], request: str = "") -> Begun:
    """Begin a session by a passkey. A counter that does not grow shows a copy, and is refused.

    Raises:
        ServiceError: `login-failed`.

    """
    webauthn, challenge = load_webauthn(), _challenge_in(credential)
    async with access.database.write() as conn:
        asked = await people.take_challenge(conn, challenge, "passkey-login", access.now_us)
        key = await people.find_passkey(conn, _bytes(str(credential.get("rawId", ""))))
        grants = await people.grants_of(conn, key.person) if key else []
    if asked is None or key is None or not grants:
        raise login_failed()
    try:
        shown = webauthn.verify_authentication_response(
            credential=credential,
            expected_challenge=_bytes(challenge),
            expected_rp_id=_rp_id(access),
            expected_origin=_origin(access),
            credential_public_key=key.public_key,
            credential_current_sign_count=key.sign_count,
            require_user_verification=True,
        )
    except (webauthn.helpers.exceptions.WebAuthnException, ValueError, TypeError, KeyError):
        raise login_failed() from None
    async with access.database.write() as conn:
        await people.count_passkey(conn, key.id, shown.new_sign_count)
        return await begin(access, conn, key.person, grants[0], "passkey", request)


async def _keep(access: Access, conn: Any, challenge: bytes, name: str, purpose: str) -> None:
    now_us = access.now_us
    until_us = now_us + CHALLENGE_MINUTES * MINUTE_US
    await people.add_challenge(conn, _text(challenge), name, purpose, None, now_us, until_us)


def _challenge_in(credential: dict[str, Any]) -> str:
    """The challenge that an authenticator says it answered; whether it did is verified later."""
    try:
        data = json.loads(_bytes(credential["response"]["clientDataJSON"]))
        return str(data["challenge"])[:100]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return b""


def _origin(access: Access) -> str:
    parts = urlsplit(access.settings.url)
    return f"{parts.scheme}://{parts.netloc}"


def _rp_id(access: Access) -> str:
    return urlsplit(access.settings.url).hostname or "localhost"


def _refused(why: str) -> ServiceError:
    return ServiceError("passkey-refused", f"通行密钥未通过核验（{why}）", f"the passkey does not hold: {why}")
