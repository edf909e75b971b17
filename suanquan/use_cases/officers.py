"""Who acts in procedures: persons with roles, each with a token of its own; every change stands in the log."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import cbor2

from ledger.entry import EntryKind, Event
from ledger.errors import Kind
from ledger.journal import Journal
from ledger.sql import Connection
from ledger.transaction import Transaction
from metering.zones import rfc3339
from suanquan.access import policy as access_policy
from suanquan.access.policy import BENEFICIARY
from suanquan.access.principal import Principal
from suanquan.clock import ClockNs
from suanquan.db import people, tokens
from suanquan.errors import ServiceError
from subsidy.errors import SubsidyError
from subsidy.procedure import PERSONS, Role
from subsidy.steps import Actor
from voucher.holder import check_uscc

NAME_MAX = 60


async def add_officer(journal: Journal, clock_ns: ClockNs, person: str, role: str) -> str:
    """Let a person act in a role; the token is shown once. An applicant is named by its unified social credit code.

    Raises:
        DomainError: `role-unknown`, `person-malformed`, or a code that is not valid.

    """
    if role not in {one.value for one in PERSONS}:
        listed = ", ".join(one.value for one in PERSONS)
        raise ServiceError(
            "role-unknown", f"角色应为其中之一：{listed}", f"a role is one of: {listed}, not {role[:40]!r}"
        )
    if role == Role.APPLICANT.value:
        check_uscc(person)
    elif not 0 < len(person) <= NAME_MAX or not person.isprintable() or person != person.strip():
        raise ServiceError(
            "person-malformed",
            f"姓名应为 1 至 {NAME_MAX} 个可见字符",
            f"a name has 1 to {NAME_MAX} printable characters",
        )

    async def write(tx: Transaction) -> str:
        now_us, tenant = clock_ns() // 1000, person if role == Role.APPLICANT.value else ""
        await people.add_person(tx.connection, person, now_us)
        await people.grant(tx.connection, person, people.Grant(role, tenant), "", now_us)
        token = await tokens.create_token(tx.connection, role, person, now_us, tenant=tenant)
        await _log(tx, {"type": "officer", "person": person, "role": role, "made": True})
        return token

    return await journal.transact(write)


async def revoke_officer(journal: Journal, clock_ns: ClockNs, person: str) -> int:
    """End every role of a person; how many tokens that were.

    Raises:
        ServiceError: `person-unknown`.

    """

    async def write(tx: Transaction) -> int:
        now_us = clock_ns() // 1000
        count = await tokens.revoke_tokens(tx.connection, person, now_us)
        await people.end_sessions(tx.connection, person, now_us)
        if not count + await people.take_roles(tx.connection, person):
            raise _unknown(person)
        await _log(tx, {"type": "officer", "person": person, "role": "", "made": False})
        return count

    return await journal.transact(write)


async def list_officers(conn: Connection) -> list[dict[str, Any]]:
    """Everybody with a token, oldest first."""
    return [
        {
            "person": token.label,
            "role": token.role,
            "since": rfc3339(token.created_us),
            "revoked": None if token.revoked_us is None else rfc3339(token.revoked_us),
        }
        for token in await tokens.list_tokens(conn)
    ]


async def actor_for(conn: Connection, person: str, wanted: Collection[Role] = ()) -> Actor:
    """An account in a role that is wanted, if it has one.

    Raises:
        ServiceError: `person-unknown`: no account of this name has a role in procedures.

    """
    found = [_actor(person, grant) for grant in await people.grants_of(conn, person)]
    actors = sorted((one for one in found if one is not None), key=lambda one: list(Role).index(one.role))
    if not actors:
        raise _unknown(person)
    return next((one for one in actors if one.role in wanted), actors[0])


def _actor(person: str, grant: people.Grant) -> Actor | None:
    role = access_policy.Role.parse(grant.role)
    if role in BENEFICIARY:
        return Actor(grant.tenant, Role.APPLICANT)
    return Actor(person, Role(grant.role)) if grant.role in {one.value for one in PERSONS} else None


def actor_of(who: Principal) -> Actor:
    """Who somebody is in a procedure: the beneficiary itself is the applicant, whoever of it acts.

    Raises:
        SubsidyError: `role-not-allowed` for roles that stand for nobody in particular.

    """
    if who.role in BENEFICIARY:
        return Actor(who.tenant, Role.APPLICANT)
    if who.role.value not in {one.value for one in PERSONS}:
        raise SubsidyError(
            "role-not-allowed",
            f"“{who.role.value}”不代表办理人；请由 suanquan officer add 登记",
            f"{who.role.value!r} stands for nobody in a procedure; register persons with suanquan officer add",
            kind=Kind.NOT_ALLOWED,
        )
    return Actor(who.name, Role(who.role.value))


def _unknown(person: str) -> ServiceError:
    return ServiceError(
        "person-unknown",
        f"没有登记“{person[:60]}”；请先运行 suanquan officer add",
        f"nobody is registered as {person[:60]!r}; run suanquan officer add first",
        kind=Kind.NOT_FOUND,
    )


async def _log(tx: Transaction, fact: Mapping[str, object]) -> None:
    payload = cbor2.dumps(fact, canonical=True)
    digest = tx.keyed(tx.size.to_bytes(8) + payload)
    await tx.append([Event(EntryKind.NOTE, digest[:16], digest, salt=tx.entropy(32), payload=payload)])
