"""Where the portal leads: the navigation with the right that each entry needs, and which pages have amounts."""

from __future__ import annotations

from typing import NamedTuple

from suanquan.access.policy import BENEFICIARY, CENTRE, DEPARTMENTS, Role


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
    Place("/docs", "api", "service.look"),
)
"""In the order shown. The table of rights says who sees which; a role's own places are for that role alone."""
IN_WAN = frozenset(
    {
        *("/", "/notices", "/subsidies", "/vouchers", "/vouchers/{jti}", "/usage", "/usage/disputes", "/usage/line"),
        *("/applications", "/applications/new", "/applications/{application}"),
        *("/applications/{application}/steps/{step}", "/applications/{application}/supplement"),
        *("/settlements", "/settlements/{batch}", "/settlements/{batch}/{act}", "/bulk/settlements"),
        *(
            "/statements",
            "/statements/{centre}/{account}/{month}",
            "/holds",
            "/holds/{hold}",
            "/present",
            "/quote",
            "/prices",
            "/members",
        ),
        *("/office", "/office/uptake", "/office/centres", "/office/budgets", "/office/clauses", "/office/vouchers"),
        *(
            "/office/entries",
            "/office/usage",
            "/office/usage.csv",
            "/office/accounts",
            "/office/queue",
            "/office/rounds",
        ),
    }
)
"""Pages with amounts: all of them go by `figures`, so that their reader may choose between 元 and 万元 for all pages at once."""
