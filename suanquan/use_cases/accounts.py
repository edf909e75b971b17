"""Accounts: invited by somebody who may, taken up with a secret that is used once, recovered by two others, and ended."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from ledger.errors import Kind
from ledger.sql import Connection
from metering.zones import rfc3339
from suanquan.access import totp
from suanquan.access.acting import act_of
from suanquan.access.passwords import require_strong
from suanquan.access.policy import CENTRE, POLICY, Role, require_apart
from suanquan.access.principal import Principal
from suanquan.conduct import look_beside
from suanquan.db import notices, people, tokens, trail
from suanquan.db.people import Grant, Invitation
from suanquan.errors import ServiceError
from suanquan.use_cases.access import (
    DAY_US,
    INVITATION_DAYS,
    INVITATION_PREFIX,
    MINUTE_US,
    Access,
    account_unknown,
    check_grant,
    secret_unknown,
)
from suanquan.use_cases.sign_in import login_failed

TOKEN_DAYS_MAX = 366
CODE_MINUTES = 10
"""How long somebody has to show the first code of a new second factor."""


async def invite(access: Access, by: Principal, name: str, grant: Grant, request: str = "") -> str:
    """Let somebody act in a role; a secret to take up the account with, empty where it has a password already.

    Accounts that a centre or a company makes begin with its id and a slash, so that nobody learns which other names there are.

    Raises:
        DomainError: see `check_grant`; `not-permitted`, `account-foreign`, `account-ended`.

    """
    role = check_grant(name, grant)
    require_right(by, "account.make", grant.tenant, role)
    if by.tenant and not name.startswith(f"{by.tenant}/"):
        zh, en = f"账号名应以“{by.tenant}/”开头", f"the name of the account begins with {by.tenant}/"
        raise ServiceError("account-foreign", zh, en)
    now_us = access.now_us
    async with access.database.write() as conn:
        await people.add_person(conn, name, now_us)
        known = await people.find_person(conn, name)
        if known is None or known.state != people.ACTIVE:
            zh, en = "该账号已停用，请另用一个名字", "the account was ended; use another name"
            raise ServiceError("account-ended", zh, en, kind=Kind.CONFLICT)
        await people.grant(conn, name, Grant(role.value, grant.tenant), by.name, now_us)
        about = f"{name}: {role.value} {grant.tenant}".strip()
        await trail.append(conn, act_of(by, "account.make", about, request=request), now_us)
        return "" if known.password else await _secret(conn, "invitation", name, by.name, now_us)


async def _secret(conn: Connection, purpose: str, name: str, by: str, now_us: int) -> str:
    secret = INVITATION_PREFIX + secrets.token_urlsafe(32)
    expires_us = now_us + INVITATION_DAYS * DAY_US
    await people.add_invitation(conn, Invitation(0, purpose, name, "", "", by, "", expires_us, None), secret)
    return secret


async def take_up(access: Access, secret: str, password: str, request: str = "") -> str:
    """Set the password of the account that a one-time secret is for; its name. A recovery takes every other factor away.

    Raises:
        ServiceError: `secret-unknown`, `password-weak`.

    """
    async with access.database.read() as conn:
        if await people.find_invitation(conn, secret, access.now_us) is None:
            raise secret_unknown()
    hashed = await access.passwords.make(password)
    now_us = access.now_us
    async with access.database.write() as conn:
        found = await people.find_invitation(conn, secret, now_us)
        if found is None:
            raise secret_unknown()
        await people.use_invitation(conn, found.number, now_us)
        await people.set_password(conn, found.person, hashed)
        await people.set_failures(conn, found.person, 0, now_us, 0)
        if found.purpose == "recovery":
            await _drop_factors(conn, found.person, now_us)
        who = Principal(found.person, Role.PUBLIC)
        await trail.append(conn, act_of(who, "account.take_up", found.purpose, request=request), now_us)
    return found.person


async def _drop_factors(conn: Connection, name: str, now_us: int) -> None:
    await people.set_totp(conn, name, None)
    await people.drop_passkeys(conn, name)
    await people.drop_identities(conn, name)
    await people.end_sessions(conn, name, now_us)
    await tokens.revoke_tokens(conn, name, now_us)


async def open_recovery(access: Access, by: Principal, name: str, request: str = "") -> None:
    """Ask that an account be recovered; nothing changes before a second person agrees.

    Raises:
        ServiceError: `account-unknown`, `same-person`.

    """
    now_us = access.now_us
    require_apart("recovery.open", by.name, {"recovery.subject": name})
    async with access.database.write() as conn:
        await _require_active(conn, name)
        expires_us = now_us + DAY_US
        await people.add_invitation(conn, Invitation(0, "recovery", name, "", "", by.name, "", expires_us, None))
        await trail.append(conn, act_of(by, "recovery.open", name, request=request), now_us)


async def agree_recovery(access: Access, by: Principal, name: str, request: str = "") -> str:
    """Agree to a recovery that somebody else asked for; the secret, for its subject alone.

    Raises:
        ServiceError: `recovery-unknown`, `same-person`.

    """
    now_us = access.now_us
    async with access.database.write() as conn:
        found = await people.open_recovery(conn, name, now_us)
        if found is None:
            zh, en = "没有待批准的找回", "no recovery of this account waits"
            raise ServiceError("recovery-unknown", zh, en, kind=Kind.NOT_FOUND)
        require_apart("recovery.approve", by.name, {"recovery.open": found.made_by, "recovery.subject": name})
        secret = INVITATION_PREFIX + secrets.token_urlsafe(32)
        await people.agree_recovery(conn, found.number, by.name, secret)
        await trail.append(conn, act_of(by, "recovery.approve", name, request=request), now_us)
    return secret


async def end_account(access: Access, by: Principal, name: str, request: str = "") -> int:
    """End an account with its sessions and tokens, and clear what it logged in with; how many sessions ended.

    Raises:
        ServiceError: `account-unknown` (another tenant's just as one that is not there), `administrator-last`.

    """
    now_us = access.now_us
    async with access.database.write() as conn:
        await look_beside(conn)
        await _require_active(conn, name)
        grants = await people.grants_of(conn, name)
        if by.tenant and any(grant.tenant != by.tenant for grant in grants):
            raise account_unknown(name)
        if any(grant.role == Role.ADMINISTRATOR.value for grant in grants):
            await _keep_an_administrator(conn, name)
        await people.set_state(conn, name, people.ENDED)
        await _clear(conn, name)
        ended = await people.end_sessions(conn, name, now_us)
        await tokens.revoke_tokens(conn, name, now_us)
        await trail.append(conn, act_of(by, "account.end", name, request=request), now_us)
    return ended


async def _clear(conn: Connection, name: str) -> None:
    """Keep nothing of an account that nobody needs any more: the name stays, since the log and papers have it."""
    await people.set_password(conn, name, "")
    await people.set_totp(conn, name, None)
    await people.drop_passkeys(conn, name)
    await people.drop_identities(conn, name)
    await notices.drop_choice(conn, name)


async def _keep_an_administrator(conn: Connection, name: str) -> None:
    others = [
        known.name
        for known, grants in await people.list_people(conn)
        if known.state == people.ACTIVE
        and known.name != name
        and any(grant.role == Role.ADMINISTRATOR.value for grant in grants)
    ]
    if not others:
        zh, en = "这是最后一位管理员，请先另设一位", "this is the last administrator; make another first"
        raise ServiceError("administrator-last", zh, en, kind=Kind.CONFLICT)


async def end_sessions(access: Access, by: Principal, name: str, request: str = "") -> int:
    """End every session of an account; how many there were.

    Raises:
        ServiceError: `account-unknown`.

    """
    now_us = access.now_us
    async with access.database.write() as conn:
        await _require_active(conn, name)
        if by.tenant and any(grant.tenant != by.tenant for grant in await people.grants_of(conn, name)):
            raise account_unknown(name)
        ended = await people.end_sessions(conn, name, now_us)
        await trail.append(conn, act_of(by, "session.end", name, request=request), now_us)
    return ended


async def change_password(access: Access, who: Principal, old: str, new: str, request: str = "") -> None:
    """Set another password; every other session of the account ends.

    Raises:
        ServiceError: `login-failed`, `password-weak`.

    """
    require_strong(new)
    async with access.database.read() as conn:
        known = await people.find_person(conn, who.name)
    if not await access.passwords.check(known.password if known else "", old):
        raise login_failed()
    hashed = await access.passwords.make(new)
    now_us = access.now_us
    async with access.database.write() as conn:
        await people.set_password(conn, who.name, hashed)
        await people.end_sessions(conn, who.name, now_us, but=who.session)
        await trail.append(conn, act_of(who, "account.password", request=request), now_us)


async def begin_totp(access: Access, who: Principal) -> str:
    """The `otpauth:` address of a new second factor, which counts once a code of it was shown."""
    seed, now_us = secrets.token_bytes(totp.SECRET_BYTES), access.now_us
    text = f"totp\0{who.name}"
    async with access.database.write() as conn:
        await people.take_challenge(conn, text, "totp", now_us)
        sealed = access.seal.close(seed, who.name)
        await people.add_challenge(conn, text, who.name, "totp", sealed, now_us, now_us + CODE_MINUTES * MINUTE_US)
    return totp.address(seed, who.name, "suanquan")


async def confirm_totp(access: Access, who: Principal, code: str, request: str = "") -> None:
    """Let a new second factor count, by its first code.

    Raises:
        ServiceError: `login-failed`: a wrong code, or none was begun; begin anew.

    """
    now_us = access.now_us
    async with access.database.write() as conn:
        found = await people.take_challenge(conn, f"totp\0{who.name}", "totp", now_us)
        sealed = None if found is None else found[1]
        step = None
        if sealed is not None:
            step = totp.match(access.seal.open(sealed, who.name), code, now_us // 1_000_000, 0)
        if step is not None:
            await people.set_totp(conn, who.name, sealed, step)
            await trail.append(conn, act_of(who, "account.totp", request=request), now_us)
    if step is None:
        raise login_failed()


async def make_token(
    access: Access, who: Principal, actions: Sequence[str], days: int, request: str = ""
) -> dict[str, Any]:
    """A token for a program that acts for somebody: no more than he may, only these actions, and not for ever.

    Raises:
        ServiceError: `scope-unknown`, `scope-too-wide`.

    """
    known = {*POLICY, *(action.partition(".")[0] for action in POLICY)}
    if not actions or not set(actions) <= known:
        wrong = next((action for action in actions if action not in known), "")
        raise ServiceError("scope-unknown", f"没有动作“{wrong[:60]}”", f"there is no action {wrong[:60]!r}")
    if who.actions is not None and not set(actions) <= who.actions:
        zh, en = "令牌不能给出比自己更宽的令牌", "a token cannot make one that may do more"
        raise ServiceError("scope-too-wide", zh, en, kind=Kind.NOT_ALLOWED)
    now_us = access.now_us
    expires_us = now_us + min(days, TOKEN_DAYS_MAX) * DAY_US
    async with access.database.write() as conn:
        token = await tokens.create_token(
            conn, who.role.value, who.name, now_us, tenant=who.tenant, actions=actions, expires_us=expires_us
        )
        await trail.append(conn, act_of(who, "token.make", " ".join(sorted(actions)), request=request), now_us)
    return {"token": token, "actions": sorted(actions), "expires": rfc3339(expires_us)}


async def end_token(access: Access, who: Principal, token_id: str, request: str = "") -> None:
    """End one of the own tokens.

    Raises:
        ServiceError: `token-missing`.

    """
    now_us = access.now_us
    async with access.database.write() as conn:
        if not await tokens.revoke_token(conn, who.name, token_id, now_us):
            raise ServiceError("token-missing", "没有这个令牌", "you have no such token", kind=Kind.NOT_FOUND)
        await trail.append(conn, act_of(who, "token.end", token_id, request=request), now_us)


def require_right(by: Principal, action: str, tenant: str, role: Role) -> None:
    """Refuse accounts of another tenant, and of roles that are not of the own kind.

    Raises:
        ServiceError: `not-permitted`.

    """
    owner = {"centre": tenant} if role in CENTRE else {"holder": tenant}
    allowed = by.may(action, **owner) and (not by.tenant or bool(tenant))
    if not allowed:
        raise ServiceError(
            "not-permitted",
            f"“{by.role.value}”无权为此单位设立该角色的账号",
            f"{by.role.value} may not make accounts of this role there",
            kind=Kind.NOT_ALLOWED,
        )


async def _require_active(conn: Connection, name: str) -> None:
    known = await people.find_person(conn, name)
    if known is None or known.state != people.ACTIVE:
        raise account_unknown(name)
