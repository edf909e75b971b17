"""Who a command acts as.

A secret (a session's or a token's) shows who somebody is. In a sandbox, whose acts have no effect, a name alone is enough: it
shows that the account exists and may, not who typed it. Without a name the keeper of the home acts, who has no account: a
name that begins with `os:`.
"""

from __future__ import annotations

from typing import NamedTuple

from ledger.errors import Kind
from ledger.sql import Connection
from suanquan.access.commands import NEVER_NAMELESS
from suanquan.access.policy import Reach, Role
from suanquan.access.principal import Principal
from suanquan.db import people, tokens
from suanquan.errors import ServiceError
from suanquan.use_cases.access import KEEPER, Access, account_unknown
from suanquan.use_cases.sign_in import session

SHOWN, NAMED, KEPT = "cli", "cli-named", "cli-keeper"
"""How a row of the audit log came about: by a secret, by a name in a sandbox, by the keeper of the home."""


class Acting(NamedTuple):
    """Who acts, and how that was shown."""

    who: Principal
    surface: str


async def acting_person(access: Access, action: str, *, name: str, secret: str, keeper: str) -> Acting:
    """Who a command acts as: whom the secret shows, whom a sandbox's command names, else the keeper of the home.

    Raises:
        ServiceError: `account-unknown`, `not-permitted`, `token-unknown`, `not-shown` (a name alone, outside a sandbox),
            `name-differs` (the secret is another's).

    """
    if secret:
        who = await _shown(access, secret)
        if name and name != who.name:
            zh, en = (
                f"出示的凭据是“{who.name}”的，不是“{name}”的",
                f"the secret is that of {who.name!r}, not of {name!r}",
            )
            raise ServiceError("name-differs", zh, en, kind=Kind.NOT_ALLOWED)
        if action and who.reach(action) is Reach.NOTHING:
            raise _no_right(who.name, who.role.value, action)
        return Acting(who, SHOWN)
    if access.settings.sandbox and name:
        async with access.database.read() as conn:
            return Acting(await named(conn, name, action), NAMED)
    if name or (action in NEVER_NAMELESS and not access.settings.sandbox):
        raise _not_shown()
    return Acting(Principal(KEEPER + keeper, Role.OPERATOR), KEPT)


async def _shown(access: Access, secret: str) -> Principal:
    found = await session(access, secret)
    if found is None:
        async with access.database.read() as conn:
            found = await tokens.principal_of(conn, secret, access.now_us)
    if found is None:
        raise ServiceError(
            "token-unknown",
            "凭据不在册、已到期或已吊销",
            "the secret is unknown, expired or revoked",
            kind=Kind.NOT_ALLOWED,
        )
    return found


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
        if who is not None and (not action or who.reach(action) is not Reach.NOTHING):
            return who
    raise _no_right(name, "、".join(grant.role for grant in grants), action)


def _no_right(name: str, held: str, action: str) -> ServiceError:
    return ServiceError(
        "not-permitted",
        f"“{name}”的角色（{held}）无权办理（{action}）",
        f"the roles of {name!r} ({held}) have no right to this ({action})",
        kind=Kind.NOT_ALLOWED,
    )


def _not_shown() -> ServiceError:
    return ServiceError(
        "not-shown",
        "只写姓名不够：请先 suanquan account login，再以 --token-file（SUANQUAN_TOKEN_FILE）出示",
        "a name is not enough: run suanquan account login, then show its file by --token-file (SUANQUAN_TOKEN_FILE)",
        kind=Kind.NOT_ALLOWED,
    )
