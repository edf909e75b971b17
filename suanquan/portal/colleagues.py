"""Why somebody may not take a step, and who else can: named to officials, so that a case can be handed on at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from ledger.sql import Connection
from suanquan.access.policy import same_person
from suanquan.db import people

SHOWN_MAX = 5
LOOKED_AT_MAX = 200


class Barred(NamedTuple):
    """Why there is no form, what follows from that, and the names of those who could take the step."""

    why: str
    then: str = ""
    names: str = ""


async def barred_by(
    conn: Connection, why: str, roles: Collection[str], before: Collection[str], texts: Mapping[str, str]
) -> Barred:
    """With the accounts that have one of these roles, none of whom acted `before`; or it says that there are none."""
    names = [
        name
        for name in await people.holding(conn, roles, LOOKED_AT_MAX)
        if not any(same_person(name, earlier) for earlier in before)
    ]
    if not names:
        said = texts["or_"].join(texts[f"acts_{role}"] for role in sorted(roles))
        return Barred(why, texts["able_nobody"].format(roles=said))
    more = "…" if len(names) > SHOWN_MAX else ""
    return Barred(why, texts["able_others"], texts["or_"].join(names[:SHOWN_MAX]) + more)
