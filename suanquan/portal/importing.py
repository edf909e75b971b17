"""Spreadsheets on pages: a template, a look through that writes nothing, each fault by its cell, and one act for the whole.

What was sent is kept as it came until it counts, so that the page of a look through has an address, and nothing typed is lost.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import Response

from ledger.errors import DomainError, Finding, Kind
from ledger.transaction import Transaction
from suanquan.access.policy import CENTRE, Reach
from suanquan.access.principal import Principal
from suanquan.conduct import Conduct, Look, conducted
from suanquan.db import bulk as store
from suanquan.db.bulk import Draft
from suanquan.errors import ServiceError
from suanquan.http.auth import may, permit, principal
from suanquan.http.routers import page_router
from suanquan.portal import frame
from suanquan.portal.exports import TYPES, headers_of
from suanquan.portal.files import incoming, templates
from suanquan.portal.files.incoming import Grid
from suanquan.portal.forms import BACK, digest_of
from suanquan.portal.frame import language_of, or_failure, owner_of, reading, service_of
from suanquan.portal.sheet_kinds import SHEETS, At, Sheet, centres_of
from suanquan.portal.sheet_rows import Fault, Rows, accepted_of, read_rows, told
from suanquan.portal.sheet_text import TEXTS
from suanquan.portal.work import said_of, status_for, to

SHOWN_MAX, FAULTS_SHOWN = 50, 100
TEXT_MAX = 400
router = page_router()


def render(request: Request, page: str, **values: Any) -> Response:
    """A page with the texts of these pages."""
    return frame.render(request, f"work/{page}", t=TEXTS[language_of(request)], **values)


@router.get("/sheets", dependencies=[may("account.self")])
async def get_sheets(request: Request) -> Response:
    """What somebody may bring in."""
    return await or_failure(request, _sheets(request))


@router.get("/sheets/{sheet}", dependencies=[may("account.self")])
async def get_sheet(sheet: str, request: Request) -> Response:
    """A template, and the form that sends it."""
    return await or_failure(request, _form(request, sheet))


@router.post("/sheets/{sheet}", dependencies=[may("account.self")])
async def post_sheet(sheet: str, request: Request) -> Response:
    """Look a spreadsheet through; nothing is written but the file itself, for some days."""
    return await or_failure(request, _send(request, sheet))


@router.get("/sheets/{sheet}/template.{form}", dependencies=[may("account.self")])
async def get_template(sheet: str, form: str, request: Request) -> Response:
    """The template, `xlsx` or `csv`."""
    return await or_failure(request, _template(request, sheet, form))


@router.get("/sheets/drafts/{draft}", dependencies=[may("account.self")])
async def get_draft(draft: str, request: Request) -> Response:
    """What a spreadsheet says, what is wrong with it, and the button that makes it count."""
    return await or_failure(request, _draft(request, draft))


@router.post("/sheets/drafts/{draft}", dependencies=[may("account.self")])
async def post_draft(draft: str, request: Request) -> Response:
    """Make a spreadsheet count: all of it, or nothing."""
    return await or_failure(request, _confirm(request, draft))


@router.get("/sheets/drafts/{draft}/faults.xlsx", dependencies=[may("account.self")])
async def get_faults(draft: str, request: Request) -> Response:
    """The table as it was read, with what is wrong as a comment at each cell."""
    return await or_failure(request, _faults(request, draft))


async def _sheets(request: Request) -> Response:
    who = await principal(request)
    return render(
        request, "sheets.html", sheets=[one for one in SHEETS.values() if who.reach(one.action) is not Reach.NOTHING]
    )


async def _allowed(request: Request, name: str) -> Sheet:
    """The kind of spreadsheet, if who asks may bring it in.

    Raises:
        ServiceError: `sheet-unknown`, `not-permitted`.

    """
    sheet = SHEETS.get(name)
    if sheet is None:
        raise ServiceError("sheet-unknown", "没有这种表格", "there is no such spreadsheet", kind=Kind.NOT_FOUND)
    await permit(request, sheet.action, scoped=True)
    return sheet


async def _form(
    request: Request, name: str, problem: str = "", typed: Mapping[str, str] | None = None, status: int = 200
) -> Response:
    sheet = await _allowed(request, name)
    service, who = service_of(request), await principal(request)
    with reading():
        async with service.database.read() as conn:
            centres = await centres_of(conn, who)
    asks = [ask for ask in sheet.asks if ask != "centre" or who.role not in CENTRE]
    return render(
        request, "sheet.html", status=status, sheet=sheet, centres=centres, asks=asks, schemes=list(service.catalog.series),
        accepted={field.name: accepted_of(field)[language_of(request) == "en"] for field in sheet.fields},
        problem=problem, typed=typed or {}, headers={"Cache-Control": "private, no-cache"},
    )  # fmt: skip


async def _template(request: Request, name: str, form: str) -> Response:
    sheet, language = await _allowed(request, name), language_of(request)
    heads, texts = [field.said(language) for field in sheet.fields], TEXTS[language]
    if form == "csv":
        data = templates.plain(heads)
    elif form == "xlsx":
        about = [
            [texts["sheet_column"], texts["sheet_accepts"], texts["sheet_example"]],
            [texts["template_fill"], "", ""],
        ]
        for field in sheet.fields:
            need = texts["template_need" if field.needed else "template_may"]
            accepted = accepted_of(field)[language == "en"]
            about.append([f"{field.said(language)} ({need})", accepted, field.example])
        examples = [field.example for field in sheet.fields]
        data = await asyncio.to_thread(
            templates.workbook, texts[f"sheet_{name}"], heads, examples, (texts["template_note"], about)
        )
    else:
        raise ServiceError("sheet-unknown", "模板只有 xlsx 和 csv", "templates are xlsx or csv", kind=Kind.NOT_FOUND)
    return Response(data, media_type=TYPES[form], headers=headers_of(f"{name}-template", form))


async def _send(request: Request, name: str) -> Response:
    sheet = await _allowed(request, name)
    service, who = service_of(request), await principal(request)
    async with request.form(max_files=2, max_fields=20) as sent:
        typed = await _typed(sent, sheet)
        file = sent.get("file")
        body = await file.read() if isinstance(file, UploadFile) and file.filename else b""
        back = BACK in sent
        filename = (file.filename or "")[:120] if isinstance(file, UploadFile) else ""
    if back:
        return await _form(request, name, TEXTS[language_of(request)]["sheet_not_chosen"], typed)
    if not body and not filename:
        return await _form(request, name, TEXTS[language_of(request)]["sheet_not_chosen"], typed, 422)
    draft = Draft(
        secrets.token_hex(16), owner_of(who), name, filename, sha256(body).hexdigest(),
        json.dumps(typed, ensure_ascii=False), body, service.now_us,
    )  # fmt: skip
    try:
        await _looked_through(request, sheet, draft)
    except DomainError as error:
        return await _form(request, name, said_of(request, error), typed, status_for(error))
    async with service.database.write() as conn:
        await store.keep_draft(conn, draft)
        await service.leave_trace(conn)
    return to(request, f"/sheets/drafts/{draft.draft}")


async def _typed(sent: FormData, sheet: Sheet) -> dict[str, str]:
    """What was typed beside the file; of a chosen piece of evidence its SHA-256."""
    typed = {name: str(sent.get(name, "")).strip()[:TEXT_MAX] for name in sheet.asks}
    if "evidence" in typed and isinstance(chosen := sent.get("evidence:file"), UploadFile) and chosen.filename:
        typed["evidence"] = await digest_of(chosen)
    return typed


async def _looked_through(
    request: Request, sheet: Sheet, draft: Draft
) -> tuple[Grid, Rows, list[Fault], list[Finding]]:
    """What a file says, what is wrong with it, and what is worth knowing.

    Raises:
        DomainError: the file cannot be read at all, or what was typed beside it is wrong.

    """
    grid = await asyncio.to_thread(incoming.read, draft.name, draft.content)
    rows = await asyncio.to_thread(read_rows, grid, sheet.fields)
    at = _at(request, await principal(request), draft)
    if rows.faults:
        return grid, rows, list(rows.faults), []
    faults, notes = await sheet.look(at, rows)
    return grid, rows, faults, notes


def _at(request: Request, who: Principal, draft: Draft) -> At:
    return At(service_of(request), who, json.loads(draft.inputs), draft.draft)


async def _own(request: Request, number: str) -> tuple[Sheet, Draft]:
    """A spreadsheet that who asks sent, if he may still bring it in.

    Raises:
        ServiceError: `sheet-unknown`, `not-permitted`.

    """
    service, who = service_of(request), await principal(request)
    with reading():
        async with service.database.read() as conn:
            draft = await store.load_draft(conn, owner_of(who), number)
    if draft is None:
        texts = (TEXTS[language]["draft_unknown"] for language in ("zh", "en"))
        raise ServiceError("sheet-unknown", *texts, kind=Kind.NOT_FOUND)
    return await _allowed(request, draft.kind), draft


async def _draft(request: Request, number: str, problem: str = "", status: int = 200) -> Response:
    sheet, draft = await _own(request, number)
    done = json.loads(draft.done) if draft.done else None
    faults: list[Fault] = []
    notes: list[Finding] = []
    if done is None:
        _, rows, faults, notes = await _looked_through(request, sheet, draft)
    else:
        rows = Rows("", [], {}, [])
    return render(
        request, "sheet_draft.html", status=status, sheet=sheet, draft=draft, rows=rows, faults=faults[:FAULTS_SHOWN],
        count=len(faults), notes=notes, done=done, problem=problem, shown=rows.rows[:SHOWN_MAX], faults_max=FAULTS_SHOWN,
        inputs={name: value for name, value in json.loads(draft.inputs).items() if value},
        columns=[field for field in sheet.fields if field.name in rows.columns],
    )  # fmt: skip


async def _confirm(request: Request, number: str) -> Response:
    sheet, draft = await _own(request, number)
    if draft.done:
        return to(request, f"/sheets/drafts/{number}")
    _, rows, faults, _ = await _looked_through(request, sheet, draft)
    if faults:
        return await _draft(request, number, status=422)
    try:
        with conducted(Conduct(_settling(request, draft, len(rows.rows)))):
            await sheet.act(_at(request, await principal(request), draft), rows)
    except DomainError as error:
        why = TEXTS[language_of(request)]["sheet_refused"].format(why=said_of(request, error))
        return await _draft(request, number, why, status_for(error))
    return to(request, f"/sheets/drafts/{number}")


def _settling(request: Request, draft: Draft, rows: int) -> Look:
    """Says, in the transaction in which a spreadsheet counts, that it does."""
    done = json.dumps({"at_us": service_of(request).now_us, "rows": rows})

    async def look(tx: Transaction) -> None:
        if not await store.settle_draft(tx.connection, draft.draft, done):
            zh, en = "这份表格已经导入", "this file was brought in before"
            raise ServiceError("sheet-done", zh, en, kind=Kind.CONFLICT)

    return look


async def _faults(request: Request, number: str) -> Response:
    sheet, draft = await _own(request, number)
    if draft.done:
        return to(request, f"/sheets/drafts/{number}")
    grid, _, faults, _ = await _looked_through(request, sheet, draft)
    data = await asyncio.to_thread(templates.marked, grid, told(faults))
    return Response(data, media_type=TYPES["xlsx"], headers=headers_of(f"{sheet.name}-faults", "xlsx"))
