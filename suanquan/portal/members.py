"""Members of a company or centre, and the vouchers that were split off: who may act, and what is drawn from where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ledger.amount import ASSETS_BY_NUMBER, format_units, parse_units
from ledger.errors import DomainError
from ledger.scope import Scope
from ledger.sql import Connection
from suanquan.access.policy import BENEFICIARY, CENTRE, Role
from suanquan.access.principal import Principal
from suanquan.db import people
from suanquan.http.auth import may, principal, scope_of
from suanquan.http.routers import page_router
from suanquan.portal import figures
from suanquan.portal.frame import language_of, link, or_failure, reading, service_of
from suanquan.portal.stamps import member_version
from suanquan.portal.table import Cell, Column, Row, amount, exported, table
from suanquan.portal.work import render, said_of, status_for, to, typed_of
from suanquan.portal.work_text import TEXTS
from suanquan.use_cases import accounts
from suanquan.use_cases.issue import voucher_object
from voucher import hold_store
from voucher import store as voucher_store
from voucher.store import StoredVoucher

VOUCHERS_MAX = 1_000
router = page_router()

PARTS = (
    Column("child", "sub_voucher"), Column("parent", "split_from"), Column("unit", "unit"),
    Column("issued", "issued", number=True), Column("available", "available", number=True),
    Column("held", "held", number=True), Column("redeemed", "redeemed", number=True), Column("since", "split_at"),
)  # fmt: skip


@router.get("/members", dependencies=[may("account.list", scoped=True)])
async def get_members(request: Request) -> Response:
    """Accounts of one's own company or centre, and its sub-vouchers."""
    return await or_failure(request, _members(request))


@router.post("/members", dependencies=[may("account.make", scoped=True)])
async def post_member(request: Request) -> Response:
    """Invite somebody; the secret to take the account up with is shown this once."""
    return await or_failure(request, _invite(request))


@router.post("/members/end", dependencies=[may("account.end", scoped=True)])
async def post_end(request: Request) -> Response:
    """End an account with its sessions and tokens."""
    return await or_failure(request, _end(request))


async def _members(
    request: Request, problem: str = "", typed: dict[str, str] | None = None, status: int = 200, secret: str = ""
) -> Response:
    service, who = service_of(request), await principal(request)
    with reading():
        async with service.database.read() as conn:
            found = [
                (known, grants)
                for known, grants in await people.list_people(conn)
                if not who.tenant or any(grant.tenant == who.tenant for grant in grants)
            ]
            rows = await _parts(conn, request, scope_of(who)) if who.role in BENEFICIARY else []
    if (file := exported(request, "sub-vouchers", PARTS, rows)) is not None:
        return file
    return render(
        request, "members.html", status=status, headers={"Cache-Control": "no-store"}, version=member_version, people=found, roles=roles_of(who), secret=secret, problem=problem,
        typed=typed or {}, table=table(request, "sub-vouchers", PARTS, rows), holder=who.role in BENEFICIARY, me=who.name,
    )  # fmt: skip


def roles_of(who: Principal) -> list[str]:
    """Roles that somebody may invite others of his own company or centre into."""
    own = {Role.BENEFICIARY_ADMIN: BENEFICIARY, Role.CENTRE_OPERATOR: CENTRE - {Role.CENTRE_AGENT}}
    return sorted(role.value for role in own.get(who.role, frozenset()))


async def _parts(conn: Connection, request: Request, scope: Scope) -> list[Row]:
    """A row for each voucher that was split off one of the holder's."""
    texts = figures.texts_in(TEXTS[language_of(request)])
    own = await voucher_store.newest_vouchers(conn, scope, VOUCHERS_MAX)
    children = await hold_store.children_of(conn, [one.jti for one in own])
    known = await voucher_store.load_vouchers(conn, [child for _, child, _ in children])
    return [_part(request, texts, parent, known[child], at_us) for parent, child, at_us in children if child in known]


def _part(request: Request, texts: Mapping[str, str], parent: str, child: StoredVoucher, at_us: int) -> Row:
    asset, said = ASSETS_BY_NUMBER[child.asset], voucher_object(child)
    units = {name: parse_units(said[name], asset) for name in ("issued", "available", "held", "redeemed")}
    return {
        "child": Cell(child.jti, href=link(request, f"/vouchers/{child.jti}"), code=True),
        "parent": Cell(parent, href=link(request, f"/vouchers/{parent}"), code=True),
        "unit": Cell(texts[f"unit_{asset.code}"]),
        **{name: amount(format_units(one, asset), asset.code) for name, one in units.items()},
        "since": Cell(figures.instant(at_us, texts), order=at_us),
    }


async def _invite(request: Request) -> Response:
    service, who = service_of(request), await principal(request)
    typed = await typed_of(request, "name", "role")
    name = (
        typed["name"]
        if not who.tenant or typed["name"].startswith(f"{who.tenant}/")
        else f"{who.tenant}/{typed['name']}"
    )
    try:
        grant = people.Grant(typed["role"], who.tenant)
        secret = await accounts.invite(service.access, who, name, grant, request.scope["suanquan.request_id"])
    except DomainError as error:
        return await _members(request, said_of(request, error), typed, status_for(error))
    return await _members(request, status=201, secret=secret) if secret else to(request, "/members")


async def _end(request: Request) -> Response:
    service, who = service_of(request), await principal(request)
    typed: dict[str, Any] = await typed_of(request, "name")
    try:
        await accounts.end_account(service.access, who, typed["name"], request.scope["suanquan.request_id"])
    except DomainError as error:
        return await _members(request, said_of(request, error), {}, status_for(error))
    return to(request, "/members")
