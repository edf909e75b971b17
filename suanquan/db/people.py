"""SQL of accounts: persons and their roles, sessions, failed log-ins, passkeys, challenges and invitations."""

from __future__ import annotations

from collections.abc import Collection
from hashlib import sha256
from typing import NamedTuple

from sqlalchemy import ColumnElement, delete, func, insert, select, update

from ledger.sql import Connection
from suanquan.access.policy import Role
from suanquan.access.principal import Principal
from suanquan.db.tables import challenge, identity, invitation, login_failure, passkey, person, person_role, session

ACTIVE, ENDED = "active", "ended"


class Person(NamedTuple):
    """An account; `password` is empty where none is set, `totp` None where no second factor is."""

    name: str
    password: str
    totp: bytes | None
    totp_step: int
    state: str


class Grant(NamedTuple):
    """A role that somebody has, with its tenant."""

    role: str
    tenant: str


class Invitation(NamedTuple):
    """A secret that is used once. A recovery that nobody agreed to yet has no secret."""

    number: int
    purpose: str
    person: str
    role: str
    tenant: str
    made_by: str
    approved_by: str
    expires_us: int
    used_us: int | None


async def add_person(conn: Connection, name: str, now_us: int) -> None:
    """Make an account without a password, unless there is one of this name."""
    if await find_person(conn, name) is None:
        row = {"name": name, "password": "", "totp_step": 0, "state": ACTIVE, "created_us": now_us}
        await conn.execute(insert(person).values(row))


async def find_person(conn: Connection, name: str) -> Person | None:
    """The account of a name."""
    columns = person.c.name, person.c.password, person.c.totp, person.c.totp_step, person.c.state
    row = (await conn.execute(select(*columns).where(person.c.name == name))).one_or_none()
    return None if row is None else Person(*row)


async def list_people(conn: Connection) -> list[tuple[Person, list[Grant]]]:
    """Every account with its roles, in order of names."""
    columns = person.c.name, person.c.password, person.c.totp, person.c.totp_step, person.c.state
    roles: dict[str, list[Grant]] = {}
    query = select(person_role.c.person, person_role.c.role, person_role.c.tenant)
    for name, role, tenant in await conn.execute(query.order_by(person_role.c.role)):
        roles.setdefault(name, []).append(Grant(role, tenant))
    rows = await conn.execute(select(*columns).order_by(person.c.name))
    return [(Person(*row), roles.get(row.name, [])) for row in rows]


async def holding(conn: Connection, roles: Collection[str], most: int) -> list[str]:
    """Names of accounts in use that have one of these roles for nobody's part, in order, at most so many."""
    query = (
        select(person.c.name)
        .join(person_role, person_role.c.person == person.c.name)
        .where(person_role.c.role.in_(sorted(roles)), person_role.c.tenant == "", person.c.state == ACTIVE)
        .distinct()
        .order_by(person.c.name)
        .limit(most)
    )
    return [str(name) for name in (await conn.execute(query)).scalars()]


async def set_password(conn: Connection, name: str, hashed: str) -> None:
    """Store the hash of a new password."""
    await conn.execute(update(person).where(person.c.name == name).values(password=hashed))


async def set_totp(conn: Connection, name: str, sealed: bytes | None, step: int = 0) -> None:
    """Store a sealed seed, or take the second factor away; `step` is the last one that opened."""
    await conn.execute(update(person).where(person.c.name == name).values(totp=sealed, totp_step=step))


async def set_state(conn: Connection, name: str, state: str) -> None:
    """End an account, or let it be used again."""
    await conn.execute(update(person).where(person.c.name == name).values(state=state))


async def grant(conn: Connection, name: str, given: Grant, by: str, now_us: int) -> None:
    """Let somebody act in a role; again changes nothing."""
    if given not in await grants_of(conn, name):
        row = {"person": name, "role": given.role, "tenant": given.tenant, "granted_by": by, "granted_us": now_us}
        await conn.execute(insert(person_role).values(row))


async def grants_of(conn: Connection, name: str) -> list[Grant]:
    """Roles of an account in force."""
    query = (
        select(person_role.c.role, person_role.c.tenant)
        .join_from(person_role, person, person.c.name == person_role.c.person)
        .where(person_role.c.person == name, person.c.state == ACTIVE)
    )
    return [Grant(*row) for row in await conn.execute(query.order_by(person_role.c.role, person_role.c.tenant))]


async def take_roles(conn: Connection, name: str) -> int:
    """End every role of somebody; how many there were."""
    return (await conn.execute(delete(person_role).where(person_role.c.person == name))).rowcount


async def failures_of(conn: Connection, name: str) -> tuple[int, int]:
    """Failed log-ins in a row under a name, known or not, and when the last one was."""
    columns = login_failure.c.failures, login_failure.c.last_us
    row = (await conn.execute(select(*columns).where(login_failure.c.name == _key(name)))).one_or_none()
    return (0, 0) if row is None else (row.failures, row.last_us)


async def set_failures(conn: Connection, name: str, failures: int, now_us: int, forget_us: int) -> None:
    """Count a failed log-in, or forget them with zero; names that nobody tried for long are dropped."""
    await conn.execute(
        delete(login_failure).where((login_failure.c.name == _key(name)) | (login_failure.c.last_us < forget_us))
    )
    if failures:
        await conn.execute(insert(login_failure).values(name=_key(name), failures=failures, last_us=now_us))


def _key(name: str) -> bytes:
    return sha256(name.encode("utf-8", "surrogatepass")).digest()


async def add_session(conn: Connection, secret: str, who: Principal, factor: str, now_us: int, expires_us: int) -> None:
    """Begin a session; only the digest of its secret is kept."""
    row = {
        "digest": sha256(secret.encode()).digest(),
        "person": who.name,
        "role": who.role.value,
        "tenant": who.tenant,
        "factor": factor,
        "created_us": now_us,
        "seen_us": now_us,
        "expires_us": expires_us,
    }
    await conn.execute(insert(session).values(row))


async def session_of(conn: Connection, secret: str, now_us: int, idle_us: int) -> tuple[Principal, int] | None:
    """Who a session stands for and when it was last seen, if it is neither ended, over nor idle, and its account in force."""
    digest = sha256(secret.encode()).digest()
    c = session.c
    query = (
        select(c.person, c.role, c.tenant, c.seen_us)
        .join_from(session, person, person.c.name == c.person)
        .where(c.digest == digest, c.ended_us.is_(None), c.expires_us > now_us, c.seen_us > now_us - idle_us)
        .where(person.c.state == ACTIVE)
    )
    row = (await conn.execute(query)).one_or_none()
    role = None if row is None else Role.parse(row.role)
    if row is None or role is None:
        return None
    return Principal(row.person, role, row.tenant, session=digest), row.seen_us


async def see_session(conn: Connection, digest: bytes, now_us: int) -> None:
    """Note that a session is in use."""
    await conn.execute(update(session).where(session.c.digest == digest).values(seen_us=now_us))


async def end_sessions(conn: Connection, name: str, now_us: int, *, but: bytes = b"", only: bytes = b"") -> int:
    """End the sessions of somebody: all, all but one, or only one; how many there were."""
    query = update(session).where(session.c.person == name, session.c.ended_us.is_(None), session.c.digest != but)
    if only:
        query = query.where(session.c.digest == only)
    return (await conn.execute(query.values(ended_us=now_us))).rowcount


async def add_invitation(conn: Connection, row: Invitation, secret: str = "") -> int:
    """Store an invitation; its number."""
    number = int((await conn.execute(select(func.coalesce(func.max(invitation.c.number), 0)))).scalar_one()) + 1
    values = row._replace(number=number)._asdict()
    digest = sha256(secret.encode()).digest() if secret else None
    await conn.execute(insert(invitation).values(values | {"digest": digest}))
    return number


_INVITATION = [invitation.c[name] for name in Invitation._fields]


async def find_invitation(conn: Connection, secret: str, now_us: int) -> Invitation | None:
    """The invitation of a secret, if it can still be used."""
    digest = sha256(secret.encode("utf-8", "surrogatepass")).digest()
    query = select(*_INVITATION).where(invitation.c.digest == digest, *_open(now_us))
    row = (await conn.execute(query)).one_or_none()
    return None if row is None else Invitation(*row)


def _open(now_us: int) -> tuple[ColumnElement[bool], ...]:
    return invitation.c.used_us.is_(None), invitation.c.expires_us > now_us


async def open_recovery(conn: Connection, name: str, now_us: int) -> Invitation | None:
    """The recovery of an account that waits for a second person."""
    query = select(*_INVITATION).where(
        invitation.c.person == name, invitation.c.purpose == "recovery", invitation.c.digest.is_(None), *_open(now_us)
    )
    row = (await conn.execute(query.order_by(invitation.c.number.desc()).limit(1))).one_or_none()
    return None if row is None else Invitation(*row)


async def agree_recovery(conn: Connection, number: int, by: str, secret: str) -> None:
    """Give a recovery its secret: a second person agreed."""
    digest = sha256(secret.encode()).digest()
    query = update(invitation).where(invitation.c.number == number)
    await conn.execute(query.values(approved_by=by, digest=digest))


async def use_invitation(conn: Connection, number: int, now_us: int) -> None:
    """Let a secret not be used again."""
    await conn.execute(update(invitation).where(invitation.c.number == number).values(used_us=now_us))


async def add_challenge(
    conn: Connection, text: str, name: str, purpose: str, secret: bytes | None, now_us: int, expires_us: int
) -> None:
    """Keep what somebody has to answer once."""
    await conn.execute(delete(challenge).where(challenge.c.expires_us < now_us))
    row = {"person": name, "purpose": purpose, "secret": secret, "expires_us": expires_us}
    await conn.execute(insert(challenge).values(row | {"digest": sha256(text.encode()).digest()}))


async def take_challenge(conn: Connection, text: str, purpose: str, now_us: int) -> tuple[str, bytes | None] | None:
    """Whose challenge it was, and its secret; it is gone afterwards."""
    c = challenge.c
    found = c.digest == sha256(text.encode("utf-8", "surrogatepass")).digest()
    query = select(c.person, c.secret).where(found, c.purpose == purpose, c.expires_us > now_us)
    row = (await conn.execute(query)).one_or_none()
    await conn.execute(delete(challenge).where(found, c.purpose == purpose))
    return None if row is None else (row.person, row.secret)


class Passkey(NamedTuple):
    """A credential of an authenticator."""

    id: bytes
    person: str
    public_key: bytes
    sign_count: int
    label: str


async def add_passkey(conn: Connection, key: Passkey, now_us: int) -> None:
    """Register a credential."""
    await conn.execute(insert(passkey).values(key._asdict() | {"created_us": now_us}))


async def passkeys_of(conn: Connection, name: str) -> list[Passkey]:
    """Credentials of somebody."""
    columns = [passkey.c[field] for field in Passkey._fields]
    rows = await conn.execute(select(*columns).where(passkey.c.person == name).order_by(passkey.c.created_us))
    return [Passkey(*row) for row in rows]


async def find_passkey(conn: Connection, credential: bytes) -> Passkey | None:
    """The credential of an id."""
    columns = [passkey.c[field] for field in Passkey._fields]
    row = (await conn.execute(select(*columns).where(passkey.c.id == credential))).one_or_none()
    return None if row is None else Passkey(*row)


async def count_passkey(conn: Connection, credential: bytes, sign_count: int) -> None:
    """Remember the counter of a credential, by which a copy shows."""
    await conn.execute(update(passkey).where(passkey.c.id == credential).values(sign_count=sign_count))


async def drop_passkeys(conn: Connection, name: str) -> None:
    """Take away every credential of somebody."""
    await conn.execute(delete(passkey).where(passkey.c.person == name))


async def link_identity(conn: Connection, issuer: str, subject: str, name: str, now_us: int) -> None:
    """Let an account be logged in to by whom a provider calls so."""
    row = {"issuer": issuer, "subject": subject, "person": name, "linked_us": now_us}
    await conn.execute(insert(identity).values(row))


async def person_of_identity(conn: Connection, issuer: str, subject: str) -> str | None:
    """The account that is linked to whom a provider calls so."""
    query = select(identity.c.person).where(identity.c.issuer == issuer, identity.c.subject == subject)
    return (await conn.execute(query)).scalar_one_or_none()


async def identities_of(conn: Connection, name: str) -> list[tuple[str, str, int]]:
    """Issuer, subject and when it was linked, of each link of an account, oldest first."""
    columns = identity.c.issuer, identity.c.subject, identity.c.linked_us
    query = select(*columns).where(identity.c.person == name)
    rows = await conn.execute(query.order_by(identity.c.linked_us, identity.c.subject))
    return [(issuer, subject, at) for issuer, subject, at in rows]


async def unlink_identity(conn: Connection, name: str, issuer: str, subject: str) -> bool:
    """Take a link of an account away; whether there was one."""
    found = identity.c.person == name, identity.c.issuer == issuer, identity.c.subject == subject
    return (await conn.execute(delete(identity).where(*found))).rowcount == 1


async def drop_identities(conn: Connection, name: str) -> None:
    """Take every link of an account away."""
    await conn.execute(delete(identity).where(identity.c.person == name))
