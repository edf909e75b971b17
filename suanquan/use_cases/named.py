"""Who a command acts as. The home is the operator's: a name shows that the account exists and may, not who typed it."""

from __future__ import annotations

from ledger.errors import Kind
from ledger.sql import Connection
from suanquan.access.policy import Reach, Role
from suanquan.access.principal import Principal
from suanquan.db import people
from suanquan.errors import ServiceError
from suanquan.use_cases.access import account_unknown


async def named(conn: Connection, name: str, action: str) -> Principal:
    """An account in a role that may do an action.

    Raises:
        ServiceError: `account-unknown`, `not-permitted`.

    """
    grants = await people.grants_of(conn, name)
    if not grants:
        raise account_unknown(name)
    for grant in grants:
        role = Role.parse(grant.role)
        who = None if role is None else Principal(name, role, grant.tenant)
        if who is not None and who.reach(action) is not Reach.NOTHING:
            return who
    held = "、".join(grant.role for grant in grants)
    raise ServiceError(
        "not-permitted",
        f"“{name}”的角色（{held}）无权办理（{action}）",
        f"the roles of {name!r} ({held}) have no right to this ({action})",
        kind=Kind.NOT_ALLOWED,
    )
