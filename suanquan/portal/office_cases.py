"""What waits for a person: open applications with who has each, and what the checks pointed out."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from suanquan.http.auth import may
from suanquan.portal import exports
from suanquan.portal.frame import language_of, link, or_failure, reading, service_of
from suanquan.portal.office import every_application, render, size_of, texts_of
from suanquan.portal.office_lists import ROWS, long_file
from suanquan.portal.office_text import TEXTS
from suanquan.portal.table import Cell, Chosen, Column, Row, exported, paged, shown_columns, table, view_of
from suanquan.use_cases.applications import Application
from suanquan.use_cases.findings import list_findings
from subsidy.step_body import decode

QUEUE = (
    Column("id", "case"), Column("applicant", "applicant"), Column("project", "project"), Column("stage", "stage"),
    Column("who", "held_by"), Column("since", "since"), Column("until", "until_when"), Column("next", "next_act"),
    Column("clause", "clause", extra=True),
)  # fmt: skip
FINDINGS = (
    Column("check", "finding"), Column("said", "what"), Column("subject", "subject"), Column("found", "found_on"),
    Column("state", "review_state"), Column("id", "finding_no", key=True, extra=True),
)  # fmt: skip
router = APIRouter()


@router.get("/office/queue", dependencies=[may("application.read")])
async def get_queue(request: Request) -> Response:
    """Open applications, those that have waited longest first."""
    return await or_failure(request, _queue(request))


async def _queue(request: Request) -> Response:
    service = service_of(request)
    with reading():
        async with service.database.read() as conn:
            found = await every_application(conn, service)
            size = await size_of(conn)
    waiting = [one for one in found if not one.round.procedure.states[one.case.state].final]
    rows = sorted((_case_row(request, one) for one in waiting), key=lambda row: row["since"].said)
    if (file := exported(request, "queue", QUEUE, rows, TEXTS)) is not None:
        return file
    return render(request, "queue.html", table=table(request, "queue", QUEUE, rows), size=size)


def _case_row(request: Request, one: Application) -> Row:
    texts, english = texts_of(request), language_of(request) == "en"
    procedure, case = one.round.procedure, one.case
    limit = case.until or case.last_notice_day
    following = procedure.next_steps(case.state)
    state = procedure.states[case.state]
    roles = sorted({role.value for step in following for role in step.roles})
    return {
        "id": Cell(one.id, href=link(request, f"/applications/{one.id}"), code=True),
        "applicant": Cell(one.applicant_name),
        "project": Cell(one.project),
        "clause": Cell(one.clause),
        "stage": Cell(state.en if english else state.zh),
        "who": Cell(texts["or_"].join(texts.get(f"role_{role}", role) for role in roles)),
        "since": Cell(str(decode(one.rows[-1])["day"])),
        "until": Cell(limit.isoformat() if limit else texts["no_limit"]),
        "next": Cell(" / ".join(step.en if english else step.zh for step in following)),
    }


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
