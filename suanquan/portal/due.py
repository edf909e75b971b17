"""What waits for somebody, on top of the first page that it opens: what to do, until when, and the page that does it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ledger.scope import Scope
from ledger.sql import Connection
from metering.instants import parse_instant
from suanquan.portal.figures import DAY_US
from suanquan.service import Service
from suanquan.use_cases.applications import Application, load_rounds
from suanquan.use_cases.hold_views import list_holds
from suanquan.use_cases.settlement_reading import is_of, load_batches
from subsidy.procedure import Role
from voucher.hold_view_store import HoldFilter
from voucher.settlement.batch import State
from voucher.store import StoredVoucher

HOLDS_MAX = 1_000
SOON_US = DAY_US
"""A hold that ends within this is told."""


class Due(NamedTuple):
    """Something that waits: the key of its words, what they name, and where it is done."""

    text: str
    values: dict[str, object]
    path: str


class Soonest(NamedTuple):
    """The voucher with something left that ends first: its number, and in how many days."""

    jti: str
    until_us: int
    days: int


async def of_holder(service: Service, conn: Connection, scope: Scope) -> tuple[list[Due], int]:
    """What waits for a company: applications that were returned, holds about to end; and how many rounds are open."""
    cases = await service.cases.applications(conn, scope)
    due = [
        Due("due_supplement", {"project": one.project, "until": str(one.case.until or "—")}, f"/applications/{one.id}/supplement")
        for one in cases
        if _waits_for_applicant(one)
    ]  # fmt: skip
    today = service.proceedings.today
    rounds = await load_rounds(conn, service.proceedings.office)
    return [*due, *await _ending(service, conn, scope)], sum(one.opens <= today <= one.closes for one in rounds)


async def of_centre(service: Service, conn: Connection, scope: Scope, waiting: int, gaps: int) -> list[Due]:
    """What waits at a centre: records in quarantine, gaps, holds about to end, batches that came back or are under way."""
    batches = [one for one in await load_batches(conn) if is_of(one, scope)]
    returned = [one for one in batches if one.state is State.RETURNED]
    open_ = [one for one in batches if one.state in {State.PREPARED, State.APPROVED}]
    found = [
        Due("due_quarantine", {"count": waiting}, "/centre/quarantine") if waiting else None,
        Due("due_gaps", {"count": gaps}, "/centre#gaps") if gaps else None,
        Due("due_returned", {"count": len(returned)}, "/settlements") if returned else None,
        Due("due_settling", {"count": len(open_)}, "/settlements") if open_ else None,
    ]
    return [*(one for one in found if one is not None), *await _ending(service, conn, scope)]


def _waits_for_applicant(found: Application) -> bool:
    """Whether only its applicant can bring an application on."""
    following = found.round.procedure.next_steps(found.case.state)
    return any("materials" in one.takes and Role.APPLICANT in one.roles for one in following)


async def _ending(service: Service, conn: Connection, scope: Scope) -> Sequence[Due]:
    found = await list_holds(conn, scope, HoldFilter(state="open", limit=HOLDS_MAX, newest=True))
    now_us = service.now_us
    ending = [one for one in found if one["expires_at"] and parse_instant(one["expires_at"]) - now_us <= SOON_US]
    return [Due("due_holds", {"count": len(ending)}, "/holds?state=open")] if ending else []


def soonest(vouchers: Iterable[StoredVoucher], left: Iterable[bool], now_us: int) -> Soonest | None:
    """The voucher that ends first among those with something left."""
    open_ = [one for one, is_left in zip(vouchers, left, strict=True) if is_left and one.until_us > now_us]
    first = min(open_, key=lambda one: one.until_us, default=None)
    return None if first is None else Soonest(first.jti, first.until_us, (first.until_us - now_us) // DAY_US)
