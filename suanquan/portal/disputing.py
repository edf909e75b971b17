"""Disputes on lines of usage: where each stands, who has it, what was said; officials answer and decide here.

A holder sees those of its own accounts, a centre those of its usage; another's is as one that is not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ledger.errors import DomainError
from ledger.scope import Scope
from ledger.sql import Connection
from metering import notice_store
from metering.dispute import DECIDED, Act, Step
from metering.zones import rfc3339
from suanquan.access.policy import Reach
from suanquan.access.principal import Principal
from suanquan.errors import ServiceError
from suanquan.http.auth import may, principal, scope_of
from suanquan.http.routers import page_router
from suanquan.portal import figures, frame
from suanquan.portal.dispute_text import TEXTS
from suanquan.portal.frame import language_of, link, or_failure, reading, service_of
from suanquan.portal.stamps import version_of
from suanquan.portal.table import Cell, Column, Row, exported, table
from suanquan.portal.work import said_of, status_for, to, typed_of
from suanquan.use_cases.line_disputes import Person, bound_accounts, number_of, take_step, unknown

ROWS_MAX = 1_000
ABOVE_ALL = 2**62
STATES = tuple(one.value for one in Act)
ACTS = {"answer": Act.ANSWER, "uphold": Act.UPHOLD, "refuse": Act.REFUSE}
NEXT = {"open": ("answer",), "answered": ("uphold", "refuse")}
"""What may be done to a dispute by its state."""
ROUTE = "/disputes/{dispute}"
COLUMNS = (
    Column("dispute", "dispute_no"), Column("state", "state"), Column("since", "since"), Column("centre", "centre"),
    Column("account", "accounts"), Column("record", "record"), Column("reason", "reason"),
)  # fmt: skip
router = page_router()


@router.get("/disputes", dependencies=[may("statement.read", scoped=True)])
async def get_disputes(request: Request) -> Response:
    """Disputes of the reader's own usage, for officials all of them; newest first."""
    return await or_failure(request, _list(request))


@router.get(ROUTE, dependencies=[may("statement.read", scoped=True)])
async def get_dispute(dispute: str, request: Request) -> Response:
    """A dispute with every step of it."""
    return await or_failure(request, _one(request, dispute))


@router.post(ROUTE, dependencies=[may("dispute.act")])
async def post_step(dispute: str, request: Request) -> Response:
    """Answer or decide it; what stands against that is said, and what was typed stays."""
    return await or_failure(request, _act(request, dispute))


def _render(request: Request, page: str, **values: Any) -> Response:
    return frame.render(request, f"work/{page}", t=TEXTS[language_of(request)], **values)


async def _list(request: Request) -> Response:
    service, who = service_of(request), await principal(request)
    asked, below = (request.query_params.get(name, "") for name in ("state", "below"))
    state = asked if asked in STATES else ""
    with reading():
        async with service.database.read() as conn:
            found = await _newest(conn, scope_of(who), state or None, number_of(below) or ABOVE_ALL)
    rows = [_row(request, one) for one in found]
    if (file := exported(request, "disputes", COLUMNS, rows, TEXTS)) is not None:
        return file
    more = link(request, "/disputes", state=state, below=str(found[-1].dispute)) if len(found) == ROWS_MAX else ""
    return _render(
        request, "disputes.html", table=table(request, "disputes", COLUMNS, rows), states=STATES, state=state, more=more,
        begun=bool(below),
    )  # fmt: skip


async def _newest(conn: Connection, scope: Scope, state: str | None, below: int) -> list[Step]:
    """Newest steps inside a scope, the newest dispute first, below a number: of a holder, account by account."""
    if scope.everything or scope.centre:
        return await notice_store.newest_steps(
            conn, centre=scope.centre or None, state=state, limit=ROWS_MAX, below=below
        )
    found = [
        step
        for centre, account in await bound_accounts(conn, scope)
        for step in await notice_store.newest_steps(
            conn, centre=centre, account=account, state=state, limit=ROWS_MAX, below=below
        )
    ]
    return sorted(found, key=lambda step: step.dispute, reverse=True)[:ROWS_MAX]


def _row(request: Request, one: Step) -> Row:
    texts = TEXTS[language_of(request)]
    return {
        "dispute": Cell(str(one.dispute), href=link(request, f"/disputes/{one.dispute}"), order=one.dispute),
        "state": Cell(texts[f"dispute_now_{one.state}"]),
        "since": Cell(figures.shanghai(rfc3339(one.at_us), texts), rfc3339(one.at_us)),
        "centre": Cell(one.centre),
        "account": Cell(one.account, code=True),
        "record": Cell(one.record, code=True),
        "reason": Cell(one.reason),
    }


async def _one(
    request: Request, dispute: str, problem: str = "", typed: dict[str, str] | None = None, status: int = 200
) -> Response:
    service, who = service_of(request), await principal(request)
    with reading():
        async with service.database.read() as conn:
            steps = await _steps(conn, scope_of(who), dispute)
            stamp = await version_of(request, conn, ROUTE, who, {})
    last = steps[-1]
    return _render(
        request, "dispute.html", status=status, stamp=stamp, last=last, steps=reversed(steps), closed=last.state in DECIDED,
        acts=_acts(who, steps), at=rfc3339, problem=problem, typed=typed or {"act": "", "reason": ""},
    )  # fmt: skip


def _acts(who: Principal, steps: Sequence[Step]) -> tuple[str, ...]:
    """What somebody may do: who took part decides nothing."""
    if who.reach("dispute.act") is not Reach.EVERYTHING:
        return ()
    acts = NEXT.get(steps[-1].state, ())
    return acts if acts == NEXT["open"] or who.name not in {step.who for step in steps} else ()


async def _steps(conn: Connection, scope: Scope, dispute: str) -> list[Step]:
    """Every step of a dispute inside a scope.

    Raises:
        ServiceError: `dispute-unknown`, also for another's.

    """
    number = number_of(dispute)
    steps = await notice_store.load_steps(conn, number) if number else []
    if steps and not scope.everything and scope.centre != steps[0].centre:
        own = await bound_accounts(conn, scope) if scope.holder else []
        steps = steps if (steps[0].centre, steps[0].account) in own else []
    if not steps:
        raise unknown(number)
    return steps


async def _act(request: Request, dispute: str) -> Response:
    service, who = service_of(request), await principal(request)
    typed = await typed_of(request, "act", "reason")
    act = ACTS.get(typed["act"])
    try:
        if act is None:
            texts = (TEXTS[language]["dispute_act_missing"] for language in ("zh", "en"))
            raise ServiceError("act-missing", *texts)
        await take_step(service.journal, number_of(dispute), act, Person(who.name, who.role.value), typed["reason"])
    except DomainError as error:
        return await _one(request, dispute, said_of(request, error), typed, status_for(error))
    return to(request, f"/disputes/{number_of(dispute)}")
