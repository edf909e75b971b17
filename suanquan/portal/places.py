"""The navigation: which page is for whom."""

from __future__ import annotations

from typing import NamedTuple

from suanquan.access.policy import BENEFICIARY, CENTRE, DEPARTMENTS, Reach, Role
from suanquan.access.principal import Principal


class Place(NamedTuple):
    """An entry of the navigation: path, key of its text, the action that it needs, and for whom it is."""

    path: str
    text: str
    action: str
    roles: frozenset[Role] | None = None


PLACES = (
    Place("/", "home", "figures.read"),
    Place("/notices", "notices", "notice.read"),
    Place("/subsidies", "subsidies", "rules.ask"),
    Place("/inbox", "inbox", "account.self"),
    Place("/vouchers", "my_vouchers", "voucher.list", BENEFICIARY),
    Place("/applications", "my_applications", "application.read", BENEFICIARY),
    Place("/usage", "my_usage", "statement.read", BENEFICIARY),
    Place("/disputes", "disputes", "statement.read"),
    Place("/centre", "my_centre", "centre.list", CENTRE),
    Place("/centre/quarantine", "quarantine_list", "quarantine.list", CENTRE),
    Place("/statements", "statements", "statement.read", BENEFICIARY | CENTRE),
    Place("/quote", "quote", "quote.ask", BENEFICIARY | CENTRE),
    Place("/members", "members", "account.list", BENEFICIARY | CENTRE),
    Place("/present", "counter", "hold.act", CENTRE),
    Place("/holds", "holds", "hold.list", BENEFICIARY | CENTRE),
    Place("/settlements", "settlements", "settlement.list", CENTRE),
    Place("/prices", "prices", "scheme.read", BENEFICIARY | CENTRE),
    Place("/energy", "energy", "centre.read", CENTRE),
    Place("/sheets", "sheets", "account.self", DEPARTMENTS | {Role.CENTRE_OPERATOR}),
    Place("/office", "office", "programme.read"),
    Place("/audit", "audit", "audit.read"),
    Place("/verify", "verify", "log.read"),
    Place("/log", "log", "log.read"),
    Place("/policies", "policies", "scheme.read"),
)
"""In the order shown. The table of rights says who sees which; a role's own places are for that role alone."""


def places_of(who: Principal) -> list[Place]:
    """The navigation of somebody."""
    return [
        place
        for place in PLACES
        if who.reach(place.action) is not Reach.NOTHING and (place.roles is None or who.role in place.roles)
    ]


def here(path: str) -> str:
    """The navigation's entry that a page belongs to: the longest path that it begins with."""
    found = [place.path for place in PLACES if path == place.path or path.startswith(f"{place.path}/")]
    return max(found, key=len, default="/")
