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
from suanquan.access.policy import BENEFICIARY
from suanquan.access.principal import Principal
from suanquan.clock import ClockNs
from suanquan.db import tokens
from suanquan.errors import ServiceError
from subsidy.errors import SubsidyError
from subsidy.procedure import Role
from subsidy.steps import Actor
from voucher.errors import VoucherError
from voucher.holder import check_uscc

NAME_MAX = 60


async def add_officer(journal: Journal, clock_ns: ClockNs, person: str, role: str) -> str:
    """Let a person act in a role; the token is shown once. An applicant is named by its unified social credit code.

    Raises:
        DomainError: `role-unknown`, `person-malformed`, or a code that is not valid.

    """
    if role not in {one.value for one in Role}:
        listed = ", ".join(one.value for one in Role)
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
        token = await tokens.create_token(tx.connection, role, person, clock_ns() // 1000)
        await _log(tx, {"type": "officer", "person": person, "role": role, "made": True})
        return token

    return await journal.transact(write)


async def revoke_officer(journal: Journal, clock_ns: ClockNs, person: str) -> int:
    """End every role of a person; how many tokens that were.

    Raises:
        ServiceError: `person-unknown`.

    """

    async def write(tx: Transaction) -> int:
        count = await tokens.revoke_tokens(tx.connection, person, clock_ns() // 1000)
        if not count:
            raise _unknown(person)
        await _log(tx, {"type": "officer", "person": person, "role": "", "made": False})
        return count

    return await journal.transact(write)


async def list_officers(conn: Connection) -> list[dict[str, Any]]:
    """Everybody with a token, oldest first."""
    return [
        {"person": label, "role": role, "since": rfc3339(made), "revoked": None if ended is None else rfc3339(ended)}
        for role, label, made, ended in await tokens.list_tokens(conn)
    ]


async def actor_for(conn: Connection, person: str, wanted: Collection[Role] = ()) -> Actor:
    """Somebody in a role that is wanted, if he has one; a unified social credit code is an applicant.

    Raises:
        ServiceError: `person-unknown`.

    """
    held = await tokens.roles_of(conn, person)
    roles = [role for role in Role if role.value in held]
    if not roles:
        try:
            check_uscc(person)
        except VoucherError:
            raise _unknown(person) from None
        roles = [Role.APPLICANT]
    fitting = [role for role in roles if role in wanted]
    return Actor(person, (fitting or roles)[0])


def actor_of(who: Principal) -> Actor:
    """Who somebody is in a procedure: the beneficiary itself is the applicant, whoever of it acts.

    Raises:
        SubsidyError: `role-not-allowed` for roles that stand for nobody in particular.

    """
    if who.role in BENEFICIARY:
        return Actor(who.tenant, Role.APPLICANT)
    if who.role.value not in {one.value for one in Role}:
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
