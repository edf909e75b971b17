"""The one-time secret of the first account, and the ready accounts of a sandbox's demo."""

from __future__ import annotations

import secrets

from ledger.errors import Kind
from suanquan.access.acting import act_of
from suanquan.access.policy import Role
from suanquan.access.principal import Principal
from suanquan.db import people, trail
from suanquan.db.database import Database
from suanquan.errors import ServiceError
from suanquan.home import Home
from suanquan.settings import load_settings
from suanquan.use_cases import accounts
from suanquan.use_cases.access import DAY_US, INVITATION_DAYS, INVITATION_PREFIX, Access
from suanquan.use_cases.setup import FIRST, KEEPER
from voucher.holder import sandbox_uscc

CENTRE, COMPANY = "sj03", sandbox_uscc(1)
"""Whose the ready accounts of a centre and of a company are."""
READY = {
    "经办": people.Grant(Role.PROGRAMME_OFFICER.value, ""),
    "财政": people.Grant(Role.FINANCE.value, ""),
    "审计": people.Grant(Role.AUDITOR.value, ""),
    f"{CENTRE}/中心": people.Grant(Role.CENTRE_OPERATOR.value, CENTRE),
    f"{COMPANY}/企业": people.Grant(Role.BENEFICIARY_ADMIN.value, COMPANY),
}
"""Accounts that a demo has besides the first, all with one password."""


async def first_secret(access: Access) -> str:
    """A secret by which the first account gets its password, used once."""
    now_us, secret = access.now_us, INVITATION_PREFIX + secrets.token_urlsafe(32)
    row = people.Invitation(0, "invitation", FIRST, "", "", "", "", now_us + INVITATION_DAYS * DAY_US, None)
    async with access.database.write() as conn:
        await people.add_person(conn, FIRST, now_us)
        await people.grant(conn, FIRST, people.Grant(Role.ADMINISTRATOR.value, ""), "", now_us)
        await people.add_invitation(conn, row, secret)
        await trail.append(conn, act_of(KEEPER, "account.make", FIRST), now_us)
    return secret


async def secret_of_home(home: Home) -> str:
    """`first_secret` of a home that is not opened."""
    settings = load_settings(home.settings_file)
    database = Database(home.place(settings))
    try:
        return await first_secret(Access(database, home, settings))
    finally:
        await database.close()


async def make_ready(access: Access, password: str) -> list[str]:
    """Give a sandbox its ready accounts, all with this password; their names.

    Raises:
        ServiceError: `sandbox-only`: ready accounts are for trying out.

    """
    if not access.settings.sandbox:
        raise ServiceError(
            "sandbox-only", "现成账号只限沙箱", "ready accounts are for a sandbox alone", kind=Kind.NOT_ALLOWED
        )
    admin = Principal(FIRST, Role.ADMINISTRATOR)
    await accounts.take_up(access, await first_secret(access), password)
    for name, grant in READY.items():
        secret = await accounts.invite(access, admin, name, grant)
        if secret:
            await accounts.take_up(access, secret, password)
    return [FIRST, *READY]
