"""What waits for a person: open applications with who has each, and what the checks pointed out."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from suanquan.http.auth import may
from suanquan.http.routers import page_router
from suanquan.portal import exports
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
    paged,
    shown_columns,
    table,
    view_of,
)
from suanquan.use_cases.applications import Application
from suanquan.use_cases.findings import list_findings
from subsidy.procedure import Procedure

QUEUE = (
    Column("id", "case"), Column("applicant", "applicant"), Column("project", "project"), Column("stage", "stage"),
    Column("who", "held_by"), Column("since", "since"), Column("until", "until_when"), Column("next", "next_act"),
    Column("clause", "clause", extra=True),
)  # fmt: skip
FINDINGS = (
    Column("check", "finding"), Column("said", "what"), Column("subject", "subject"), Column("found", "found_on"),
    Column("state", "review_state"), Column("id", "finding_no", key=True, extra=True),
)  # fmt: skip
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
            size = await size_of(conn)
    waiting = [one for one in found if not one.round.procedure.states[one.case.state].final]
    waiting.sort(key=lambda one: one.since)
    texts, english = texts_of(request), language_of(request) == "en"
    pairs = {(one.round.procedure.id, one.case.state): one.round.procedure for one in waiting}
    stages = {pair: _stage(texts, procedure, pair[1], english=english) for pair, procedure in pairs.items()}
    rows: list[Row] = []
    for one in waiting:
        say = functools.partial(_case_said, one, texts, stages)
        rows.append(Later(say, functools.partial(_case_row, request, one, say)))
    if (file := exported(request, "queue", QUEUE, rows, TEXTS)) is not None:
        return file
    return render(request, "queue.html", table=table(request, "queue", QUEUE, rows), size=size)


def _stage(texts: Mapping[str, str], procedure: Procedure, name: str, *, english: bool) -> dict[str, str]:
    """Stage, who has a case of it, and what is next."""
    following, state = procedure.next_steps(name), procedure.states[name]
    roles = sorted({role.value for step in following for role in step.roles})
    return {
        "stage": state.en if english else state.zh,
        "who": texts["or_"].join(texts.get(f"role_{role}", role) for role in roles),
        "next": " / ".join(step.en if english else step.zh for step in following),
    }


def _case_said(one: Application, texts: Mapping[str, str], stages: Mapping[tuple[str, str], dict[str, str]]) -> Plain:
    limit = one.case.until or one.case.last_notice_day
    said = {
        "id": one.id,
        "applicant": one.applicant_name,
        "project": one.project,
        "clause": one.clause,
        "since": one.since.isoformat(),
        "until": limit.isoformat() if limit else texts["no_limit"],
    }
    return Plain(said | stages[one.round.procedure.id, one.case.state], {})


def _case_row(request: Request, one: Application, say: Callable[[], Plain]) -> Row:
    cells = {name: Cell(text) for name, text in say().texts.items()}
    return cells | {"id": Cell(one.id, href=link(request, f"/applications/{one.id}"), code=True)}


@router.get("/office/findings", dependencies=[may("finding.list")])
async def get_findings(request: Request) -> Response:
    """What the checks pointed out, newest first."""
    return await or_failure(request, _findings(request))


async def _findings(request: Request) -> Response:
    service = service_of(request)
    if exports.form_of(request):
        return await long_file(request, "findings", FINDINGS, _finding_rows(request))
    after = request.query_params.get("after", "")[:64]
    with reading():
        async with service.database.read() as conn:
            found = await list_findings(conn, after=after, limit=ROWS)
            size = await size_of(conn)
    path, view = "/office/findings", view_of(request, FINDINGS)
    chosen = Chosen(
        [_finding_row(request, one) for one in found["findings"]],
        -1,
        link(request, path, **view, after=found["next"]) if found["next"] else "",
        link(request, path, **view) if after else "",
    )
    return render(request, "findings.html", table=paged(request, "findings", FINDINGS, chosen, {}), size=size)


def _finding_row(request: Request, one: dict[str, Any]) -> Row:
    english = language_of(request) == "en"
    return {
        "check": Cell(
            one["check_en"] if english else one["check_zh"], href=link(request, f"/office/findings/{one['id']}")
        ),
        "said": Cell(one["en"] if english else one["zh"]),
        "subject": Cell(one["subject"], code=True),
        "found": Cell(one["found"][:10]),
        "state": Cell(one["state"]),
        "id": Cell(one["id"], code=True),
    }


async def _finding_rows(request: Request) -> exports.Parts:
    texts, columns = texts_of(request), shown_columns(request, FINDINGS)
    yield [[texts[column.text] for column in columns]]
    after = ""
    async with service_of(request).database.read() as conn:
        while True:
            found = await list_findings(conn, after=after, limit=ROWS)
            rows = [_finding_row(request, one) for one in found["findings"]]
            yield [[row[column.name].said for column in columns] for row in rows]
            if not (after := found["next"] or ""):
                return
