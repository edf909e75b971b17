"""What waits for a person: open applications with who has each, and what the checks pointed out."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from ledger.amount import CNY
from suanquan.http.auth import may
from suanquan.http.routers import page_router
from suanquan.portal import exports, figures
from suanquan.portal.frame import language_of, link, or_failure, reading, service_of
from suanquan.portal.office import render, size_of, texts_of
from suanquan.portal.office_lists import ROWS, long_file
from suanquan.portal.office_text import TEXTS
from suanquan.portal.table import (
    Cell,
    Chosen,
    Column,
    Later,
    Plain,
    Row,
    exported,
    matching,
    paged,
    shown_columns,
    table,
    view_of,
)
from suanquan.use_cases.applications import Application
from suanquan.use_cases.findings import list_findings
from suanquan.use_cases.standing_of_case import Limit, forward, last_day, limit_of, owners, working_days
from subsidy.procedure import Procedure
from subsidy.unit import YUAN
from voucher import finding_store
from voucher.findings import CHECKS, State

QUEUE = (
    Column("id", "case"), Column("applicant", "applicant"), Column("project", "project"), Column("stage", "stage"),
    Column("who", "held_by"), Column("since", "since"), Column("days", "stays", number=True), Column("marks", "risk_marks", number=True), Column("until", "until_when"), Column("next", "next_act"),
    Column("clause", "clause", extra=True), Column("round", "round_no", extra=True),
    Column("approved", "approved_yuan", number=True, extra=True), Column("paid", "paid", number=True, extra=True),
)  # fmt: skip
FINDINGS = (
    Column("check", "finding"), Column("said", "what"), Column("subject", "subject"), Column("found", "found_on"),
    Column("state", "review_state"), Column("id", "finding_no", key=True, extra=True),
)  # fmt: skip
STAGES = ("open", "every", "closed", "approved", "paid")
"""Which applications a list is of, open ones unless its address says otherwise; `stage` may be the name of a state, too."""
FEN_UNITS = 10 ** (CNY.scale - 2)
router = page_router()


@router.get("/office/queue", dependencies=[may("application.read")])
async def get_queue(request: Request) -> Response:
    """Open applications, those that have waited longest first."""
    return await or_failure(request, _queue(request))


async def _queue(request: Request) -> Response:
    service = service_of(request)
    with reading():
        async with service.database.read() as conn:
            found = await service.cases.applications(conn)
            marks = await finding_store.count_open_by_subject(conn)
            size = await size_of(conn)
    query = {name: request.query_params.get(name, "").strip()[:200] for name in ("clause", "round", "stage")}
    waiting = sorted(_chosen(found, query), key=lambda one: one.since)
    texts, english = texts_of(request), language_of(request) == "en"
    pairs = {(one.round.procedure.id, one.case.state): one.round.procedure for one in waiting}
    limits = {pair: limit_of(procedure, pair[1]) for pair, procedure in pairs.items()}
    stages = {pair: _stage(texts, procedure, pair[1], english=english) for pair, procedure in pairs.items()}
    calendar, today = service.proceedings.office.calendar, service.proceedings.today
    stays = {since: working_days(calendar, since, today) for since in {one.since for one in waiting}}
    rows: list[Row] = []
    for one in waiting:
        kind = limits[one.round.procedure.id, one.case.state]
        seen = Seen(stays[one.since], marks.get(one.case.applicant, 0), kind)
        say = functools.partial(_case_said, one, texts, stages, seen)
        rows.append(Later(say, functools.partial(_case_row, request, one, say)))
    columns = QUEUE if query["stage"] in {"", "open"} else _with_money(QUEUE)
    if (file := exported(request, "queue", columns, rows, TEXTS)) is not None:
        return file
    listed = {id(row) for row in matching(request, columns, rows)}
    money = [one for one, row in zip(waiting, rows, strict=True) if id(row) in listed and one.unit is YUAN]
    sums = {
        "approved": figures.amount(sum(one.case.committed for one in money) * FEN_UNITS),
        "paid": figures.amount(sum(one.case.net_paid for one in money) * FEN_UNITS),
    }
    shown = table(request, "queue", columns, rows)
    return render(
        request, "queue.html", table=shown if columns is QUEUE else shown._replace(sums=sums), size=size, asked=query,
        names=_names(found, english=english), stages=STAGES, narrowed=any(query.values()),
        last_day=max((one.since for one in found), default=None),
    )  # fmt: skip


def _chosen(found: Sequence[Application], query: Mapping[str, str]) -> list[Application]:
    """Applications of a clause, a round and a stage, as far as these are given."""
    return [
        one
        for one in found
        if query["clause"] in {"", one.clause} and query["round"] in {"", one.round.id}
        and _is_at(one, query["stage"] or STAGES[0])
    ]  # fmt: skip


def _is_at(one: Application, stage: str) -> bool:
    if stage in {"open", "closed"}:
        return one.round.procedure.states[one.case.state].final is (stage == "closed")
    if stage == "approved":
        return one.case.committed > 0
    return stage == "every" or (one.case.net_paid > 0 if stage == "paid" else one.case.state == stage)


def _with_money(columns: Sequence[Column]) -> tuple[Column, ...]:
    """With what was approved and paid shown, where closed ones are listed."""
    return tuple(one._replace(extra=False) if one.name in {"approved", "paid"} else one for one in columns)


def _names(found: Sequence[Application], *, english: bool) -> dict[str, list[tuple[str, str]]]:
    """What a list can be narrowed to: clauses, rounds, and states of their procedures."""
    states = {
        state.id: state.en if english else state.zh
        for procedure in {one.round.procedure.id: one.round.procedure for one in found}.values()
        for state in procedure.states.values()
    }
    return {
        "clause": [(name, name) for name in dict.fromkeys(one.clause for one in found)],
        "round": [(one.id, f"{one.title} ({one.id})") for one in {one.round.id: one.round for one in found}.values()],
        "stage": list(states.items()),
    }


def _stage(texts: Mapping[str, str], procedure: Procedure, name: str, *, english: bool) -> dict[str, str]:
    """Stage, who has a case of it, and what is next."""
    state = procedure.states[name]
    following = [] if state.final else forward(procedure, name)
    return {
        "stage": state.en if english else state.zh,
        "who": texts["or_"].join(texts[f"acts_{role.value}"] for role in owners(following)) or texts["nobody_anymore"],
        "next": " / ".join(step.en if english else step.zh for step in following) or texts["nothing_next"],
    }


class Seen(NamedTuple):
    """Working days since the newest step (below zero: unknown), open findings about the applicant, what sets the last day."""

    stays: int
    marks: int
    limit: Limit | None


def _case_said(
    one: Application, texts: Mapping[str, str], stages: Mapping[tuple[str, str], dict[str, str]], seen: Seen
) -> Plain:
    last = last_day(seen.limit, one.case)
    said = {
        "id": one.id,
        "applicant": one.applicant_name,
        "project": one.project,
        "clause": one.clause,
        "round": one.round.id,
        "approved": _yuan(one, one.case.committed),
        "paid": _yuan(one, one.case.net_paid),
        "since": one.since.isoformat(),
        "until": last.isoformat() if last else texts["no_limit"],
        "days": texts["days_unknown"] if seen.stays < 0 else str(seen.stays),
        "marks": f"{seen.marks:,}" if seen.marks else "—",
    }
    orders = {"approved": one.case.committed, "paid": one.case.net_paid, "days": seen.stays, "marks": seen.marks}
    return Plain(said | stages[one.round.procedure.id, one.case.state], orders)


def _yuan(one: Application, fen: int) -> str:
    """An amount of money in the unit of the page; of an application for something else none."""
    return figures.yuan(YUAN.text(fen)) if one.unit is YUAN else ""


def _case_row(request: Request, one: Application, say: Callable[[], Plain]) -> Row:
    cells = {name: Cell(text) for name, text in say().texts.items()}
    marks = cells["marks"]._replace(href=link(request, "/office/findings", state="open", subject=one.case.applicant))
    return cells | {
        "id": Cell(one.id, href=link(request, f"/applications/{one.id}"), code=True),
        "marks": marks if marks.shown != "—" else cells["marks"],
    }


@router.get("/office/findings", dependencies=[may("finding.list")])
async def get_findings(request: Request) -> Response:
    """What the checks pointed out, newest first."""
    return await or_failure(request, _findings(request))


async def _findings(request: Request) -> Response:
    service, query = service_of(request), _sought(request)
    if exports.form_of(request):
        return await long_file(request, "findings", FINDINGS, _finding_rows(request, query))
    after = request.query_params.get("after", "")[:64]
    with reading():
        async with service.database.read() as conn:
            found = await list_findings(conn, **query, after=after, limit=ROWS)
            waiting = await finding_store.count_open(conn)
            last = await finding_store.last_run(conn)
            size = await size_of(conn)
    path, view = "/office/findings", {name: value or "" for name, value in query.items()} | view_of(request, FINDINGS)
    counted = query["state"] == State.OPEN.value and not query["subject"]
    chosen = Chosen(
        [_finding_row(request, one) for one in found["findings"]],
        (waiting.get(query["check"], 0) if query["check"] else sum(waiting.values())) if counted else -1,
        link(request, path, **view, after=found["next"]) if found["next"] else "",
        link(request, path, **view) if after else "",
    )
    asked = {name: value for name, value in query.items() if value}
    return render(
        request, "findings.html", table=paged(request, "findings", FINDINGS, chosen, asked), size=size, last=last,
        asked={"state": "", "check": "", "subject": ""} | asked, states=[one.value for one in State], checks=CHECKS,
    )  # fmt: skip


def _sought(request: Request) -> dict[str, str | None]:
    """State and check that findings are narrowed to."""
    return {name: request.query_params.get(name, "").strip()[:40] or None for name in ("state", "check", "subject")}


def _finding_row(request: Request, one: dict[str, Any]) -> Row:
    english = language_of(request) == "en"
    return {
        "check": Cell(
            one["check_en"] if english else one["check_zh"], href=link(request, f"/office/findings/{one['id']}")
        ),
        "said": Cell(one["en"] if english else one["zh"]),
        "subject": Cell(one["subject"], code=True),
        "found": Cell(one["found"][:10]),
        "state": Cell(texts_of(request)[f"finding_{one['state']}"]),
        "id": Cell(one["id"], code=True),
    }


async def _finding_rows(request: Request, query: Mapping[str, str | None]) -> exports.Parts:
    texts, columns = texts_of(request), shown_columns(request, FINDINGS)
    yield [[texts[column.text] for column in columns]]
    after = ""
    async with service_of(request).database.read() as conn:
        while True:
            found = await list_findings(conn, **query, after=after, limit=ROWS)
            rows = [_finding_row(request, one) for one in found["findings"]]
            yield [[row[column.name].said for column in columns] for row in rows]
            if not (after := found["next"] or ""):
                return
