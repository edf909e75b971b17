"""Which pages `bench pages` asks for, by whom, and what each may take: every page of the portal, as its reader sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ledger.scope import EVERYTHING, Scope
from suanquan.bench.pages_home import account, centre, scheme_of
from suanquan.db.tokens import create_token
from suanquan.service import Service
from suanquan.use_cases.applications import load_applications, load_rounds
from suanquan.use_cases.hold_views import list_holds
from suanquan.use_cases.settlement_reading import load_batches
from suanquan.use_cases.statement import statement
from voucher import store as voucher_store
from voucher.hold_view_store import HoldFilter
from voucher.holder import sandbox_uscc

PAGE_MS, DASHBOARD_MS, METRICS_MS, EXPORT_S, SERIES = 500, 1_000, 100, 10, 2_000
"""What may be taken: server time of a page, of the dashboard and of the metrics, of a long export; series of the metrics."""
DASHBOARD = "/office"
PEOPLE = {
    "officer": ("programme_officer", ""),
    "department": ("department", ""),
    "administrator": ("administrator", ""),
    "holder": ("beneficiary_admin", sandbox_uscc(0)),
    "centre": ("centre_operator", centre(0)),
}
_OFFICE = (
    *("", "/uptake", "/centres", "/budgets", "/clauses", "/queue", "/findings", "/vouchers", "/usage", "/gaps"),
    *("/charts", "/flow", "/supply", "/checks"),
)
_BULK = ("/bulk/applications", "/bulk/findings", "/bulk/settlements")
VISITS: Mapping[str, tuple[str, ...]] = {
    "": ("/", "/notices", "/subsidies", "/login", "/docs", "/log", "/verify", "/verify/offline.html", "/find", "/policies"),
    "officer": (
        "/",
        "/bulk/quarantine",
        *(f"/office{rest}" for rest in _OFFICE),
        *("/office/hours?centre={centre}", "/office/centres?centre={centre}", "/office/budgets?scheme={scheme}"),
        *("/office/usage?centre={centre}", "/office/queue?stage=every", "/office/accounts?under=self-pay/{centre}/"),
        *("/office/vouchers?class=other", "/office/entries?account=centre/{centre}/receivable"),
        *("/office/entries?account=voucher/{jti}", "/office/receipts/{event}", "/settlements", "/holds", "/disputes", "/disputes/1"),
        *("/statements?centre={centre}", "/office/queue?find=999&sort=-project", "/energy?centre={centre}", "/applications/{application}"),
    ),
    "administrator": ("/members", "/audit"),
    "department": (*_BULK, "/office/rounds", "/settlements/{batch}", "/payees", "/prices", "/clock"),
    "holder": (
        *("/vouchers", "/vouchers/{jti}", "/vouchers/{jti}/code.svg", "/usage", "/applications", "/statements"),
        *("/applications/new?round={round}&clause={scheme}", "/statements/{centre}/{account}/{month}"),
        *("/usage/line?batch={number}&record={record}", "/members", "/holds", "/prices", "/views", "/inbox", "/channels", "/quote", "/disputes"),
    ),
    "centre": ("/centre", "/centre/quarantine", "/holds", "/holds/{hold}", "/present", "/statements", "/statements?find=99&sort=-yuan", "/settlements", "/settlements/{batch}", "/energy", "/sheets", "/sheets/energy"),
}  # fmt: skip
"""Addresses by who asks for them."""


class Names(NamedTuple):
    """What addresses of single things are made of."""

    centre: str
    account: str
    jti: str
    event: str
    batch: str
    number: str
    record: str
    month: str
    round: str
    scheme: str
    application: str
    hold: str


async def names_of(service: Service) -> Names:
    """Things that there are in a filled home."""
    office = service.proceedings.office
    async with service.database.read() as conn:
        [voucher] = (await voucher_store.newest_vouchers(conn, Scope(everything=False, holder=sandbox_uscc(0)), 99))[
            -1:
        ]
        found = await statement(conn, service.catalog, EVERYTHING, centre(0), account(0), 2**62)
        [round_, *_] = await load_rounds(conn, office)
        [case, *_] = await load_applications(conn, office, round_.id, EVERYTHING)
        [batch, *_] = await load_batches(conn)
        [hold, *_] = await list_holds(conn, Scope(everything=False, centre=centre(0)), HoldFilter(limit=1))
    line = found["lines"][-1]
    return Names(
        centre(0), account(0), voucher.jti, voucher.event_id.hex(), batch.id, str(line["batch"]), line["id"], line["end"][:7],
        round_.id, scheme_of(service), case.id, hold["hold"],
    )  # fmt: skip


async def tokens_of(service: Service) -> dict[str, str]:
    """A token of each person, and of nobody."""
    async with service.database.write() as conn:
        made = {
            name: await create_token(conn, role, f"bench-{name}", service.now_us, tenant=tenant)
            for name, (role, tenant) in PEOPLE.items()
        }
    return made | {"": ""}


def limit_of(path: str) -> int:
    """Milliseconds that a page may take."""
    return DASHBOARD_MS if path == DASHBOARD else PAGE_MS
