"""Log in and out. An unknown name, a wrong password and an ended account get one answer, for one hash."""

from __future__ import annotations

import secrets
from typing import NamedTuple

from ledger.errors import Kind
from ledger.sql import Connection
from suanquan.access import totp
from suanquan.access.acting import act_of
from suanquan.access.lockout import FORGET_S, left_s
from suanquan.access.policy import Role
from suanquan.access.principal import PUBLIC, Principal
from suanquan.db import people, trail
from suanquan.db.people import Grant, Person
from suanquan.errors import ServiceError
from suanquan.use_cases.access import (
    HOUR_US,
    IDLE_MINUTES,
    MINUTE_US,
    SEEN_SECONDS,
    SESSION_HOURS,
    SESSION_PREFIX,
    Access,
)

SECRET_MAX = 128


class Login(NamedTuple):
    """What somebody typed; `role` chooses among several, `code` is that of the second factor."""

    name: str
    password: str
    code: str = ""
    role: str = ""


class Begun(NamedTuple):
    """A session that began: its secret, for a cookie alone, who acts in it, and until when."""

    secret: str
    who: Principal
    expires_us: int


class LockedError(ServiceError):
    """Too many failures under a name; `wait_s` says for how long nothing is tried."""

    def __init__(self, wait: int) -> None:
        super().__init__(
            "login-locked",
            f"连续不对的次数过多，请在 {wait} 秒后再登录",
            f"too many failures; try again in {wait} s",
            kind=Kind.NOT_ALLOWED,
        )
        self.wait_s = wait


def login_failed() -> ServiceError:
    """The one answer to whoever did not get in."""
    return ServiceError(
        "login-failed", "账号、口令或验证码不对", "the name, the password or the code is wrong", kind=Kind.NOT_ALLOWED
    )


async def log_in(access: Access, typed: Login, request: str = "") -> Begun:
    """Begin a session by password, and by the code of the second factor where there is one.

    Raises:
        ServiceError: `login-failed`, `second-factor-needed` or `login-locked`.

    """
    now_us = access.now_us
    async with access.database.read() as conn:
        _refuse_locked(*await people.failures_of(conn, typed.name), now_us)
        known = await people.find_person(conn, typed.name)
        grants = await people.grants_of(conn, typed.name)
    fits = await access.passwords.check(known.password if known else "", typed.password)
    grant = _chosen(grants, typed.role)
    step = None
    if known is not None and grant is not None and fits and known.totp is not None:
        if not typed.code:
            raise ServiceError(
                "second-factor-needed",
                "请再输入验证器上的六位数字",
                "the six digits of the authenticator are needed as well",
                kind=Kind.NOT_ALLOWED,
            )
        step = totp.match(access.seal.open(known.totp, known.name), typed.code, now_us // 1_000_000, known.totp_step)
        fits = step is not None
    if known is None or grant is None or not fits:
        await fail(access, known, typed.name, request)
    assert known is not None
    assert grant is not None
    async with access.database.write() as conn:
        _refuse_locked(*await people.failures_of(conn, known.name), now_us)
        if step is not None:
            await _use_step(conn, known, step)
        return await begin(access, conn, known.name, grant, "totp" if step is not None else "password", request)


async def fail(access: Access, known: Person | None, name: str, request: str) -> None:
    """Count a failure under a name, known or not, with a trace; then refuse.

    Raises:
        ServiceError: `login-failed`.

    """
    now_us = access.now_us
    async with access.database.write() as conn:
        failures, last_us = await people.failures_of(conn, name)
        failures = 1 if now_us - last_us > FORGET_S * 1_000_000 else failures + 1
        await people.set_failures(conn, name, failures, now_us, now_us - FORGET_S * 1_000_000)
        who = PUBLIC if known is None else Principal(known.name, Role.PUBLIC)  # a name nobody has may be a password
        await trail.append(conn, act_of(who, "session.refuse", request=request), now_us)
    raise login_failed()


async def _use_step(conn: Connection, known: Person, step: int) -> None:
    """Let no code open twice, also when two log in with it at once."""
    fresh = await people.find_person(conn, known.name)
    if fresh is None or fresh.totp_step >= step:
        raise login_failed()
    await people.set_totp(conn, known.name, fresh.totp, step)


async def begin(access: Access, conn: Connection, name: str, grant: Grant, factor: str, request: str) -> Begun:
    """Begin a session of somebody who showed who he is; earlier failures are forgotten."""
    now_us = access.now_us
    role = Role.parse(grant.role)
    assert role is not None, "grants have roles"
    who = Principal(name, role, grant.tenant)
    secret = SESSION_PREFIX + secrets.token_urlsafe(32)
    expires_us = now_us + SESSION_HOURS * HOUR_US
    await people.set_failures(conn, name, 0, now_us, now_us - FORGET_S * 1_000_000)
    await people.add_session(conn, secret, who, factor, now_us, expires_us)
    await trail.append(conn, act_of(who, "session.begin", factor, request=request), now_us)
    return Begun(secret, who, expires_us)


async def session(access: Access, secret: str) -> Principal | None:
    """Who a session stands for; it was seen then."""
    if not secret.startswith(SESSION_PREFIX) or len(secret) > SECRET_MAX:
        return None
    now_us = access.now_us
    async with access.database.read() as conn:
        found = await people.session_of(conn, secret, now_us, IDLE_MINUTES * MINUTE_US)
    if found is None:
        return None
    who, seen_us = found
    if now_us - seen_us > SEEN_SECONDS * 1_000_000:
        async with access.database.write() as conn:
            await people.see_session(conn, who.session, now_us)
    return who


async def log_out(access: Access, who: Principal, *, everywhere: bool, request: str = "") -> int:
    """End the session that asks, or every session of who asks; how many ended."""
    now_us = access.now_us
    async with access.database.write() as conn:
        ended = await people.end_sessions(conn, who.name, now_us, only=b"" if everywhere else who.session)
        await trail.append(
            conn, act_of(who, "session.end", "everywhere" if everywhere else "", request=request), now_us
        )
    return ended


def _chosen(grants: list[Grant], role: str) -> Grant | None:
    fitting = [grant for grant in grants if Role.parse(grant.role) is not None and role in {"", grant.role}]
    return fitting[0] if fitting else None


def _refuse_locked(failures: int, last_us: int, now_us: int) -> None:
    wait = left_s(failures, last_us, now_us)
    if wait:
        raise LockedError(wait)
