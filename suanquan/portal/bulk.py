"""Acting on several rows of a list: tick, preview what will happen to each or why it cannot, confirm once, see what came of each.

A preview tries each act out and takes it back, so that it says what the act itself would say. Rows are acted on one by one: one
that is refused stops no other. A row that is not as it was shown is left alone, which is looked at in the act's own transaction.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from ledger.errors import DomainError, Kind
from ledger.transaction import Transaction
from suanquan.access.acting import act_of, acting
from suanquan.access.principal import Principal
from suanquan.conduct import Conduct, conducted
from suanquan.db import bulk as store
from suanquan.db.bulk import DONE, Outcome, Run
from suanquan.errors import ServiceError
from suanquan.http.auth import may, principal
from suanquan.http.routers import page_router
from suanquan.portal import frame
from suanquan.portal.bulk_kinds import PILES, At, Deed, Item, Pile
from suanquan.portal.bulk_text import TEXTS
from suanquan.portal.forms import BACK
from suanquan.portal.frame import language_of, link, or_failure, owner_of, reading, service_of
from suanquan.portal.table import Cell, Column, Row, amount, exported, table
from suanquan.portal.work import changed, to
from suanquan.service import Service

ROWS_MAX = 100
"""Rows that are acted on together: what goes through a sign-in with all of them ticked, and what a person can look through."""
RUNS_SHOWN = 10
TEXT_MAX = 2_000
TICK = "row."
COLUMNS = (
    Column("id", "row_id", key=True), Column("what", "row_what"), Column("whose", "row_whose"),
    Column("stands", "row_stands"), Column("since", "row_since"), Column("yuan", "row_yuan", number=True),
)  # fmt: skip
router = page_router()


class Sent(NamedTuple):
    """What somebody ticked, with what it was when he saw it; what is to be done; and what was typed for it."""

    ticked: Mapping[str, str]
    deed: str
    typed: Mapping[str, str]
    act: str


def render(request: Request, page: str, **values: Any) -> Response:
    """A page with the texts of these pages."""
    return frame.render(request, f"work/{page}", t=TEXTS[language_of(request)], **values)


async def get_pile(pile: Pile, request: Request) -> Response:
    """Rows that wait, to be ticked."""
    return await or_failure(request, _list(request, pile))


async def post_pile(pile: Pile, request: Request) -> Response:
    """Preview what would be done to the ticked rows, or do it."""
    return await or_failure(request, _sent(request, pile))


for _pile in PILES.values():
    for _method, _endpoint in (("GET", get_pile), ("POST", post_pile)):
        router.add_api_route(
            f"/bulk/{_pile.name}", partial(_endpoint, _pile), methods=[_method], dependencies=[may(_pile.action)]
        )


@router.get("/bulk/runs/{run}", dependencies=[may("account.self")])
async def get_run(run: str, request: Request) -> Response:
    """What came of each row."""
    return await or_failure(request, _run(request, run))


async def _list(
    request: Request, pile: Pile, sent: Sent | None = None, problems: Mapping[str, str] | None = None, status: int = 200
) -> Response:
    service, who = service_of(request), await principal(request)
    language = language_of(request)
    with reading():
        async with service.database.read() as conn:
            at = At(conn, service, who, language)
            deeds = pile.deeds(at)
            items = await pile.items(at) if deeds else []
            runs = await store.runs_of(conn, owner_of(who), pile.name, RUNS_SHOWN)
    rows = [_row(request, item) for item in items]
    columns = _columns(items)
    if (file := exported(request, pile.name, columns, rows, TEXTS)) is not None:
        return file
    ticked = dict(sent.ticked) if sent else {}
    if request.query_params.get("tick") == "all" and sent is None:
        ticked = {item.id: item.stamp for item in items}
    names = {deed.name: deed.said(language) for deed in deeds}
    return render(
        request, "bulk.html", status=status, pile=pile, table=table(request, pile.name, columns, rows, ROWS_MAX),
        stamps={item.id: item.stamp for item in items}, ticked=ticked, deeds=deeds, names=names, fields=_fields(deeds, names),
        sent=sent, problems=problems or {}, runs=runs, most=ROWS_MAX, tick=TICK, here=link(request, f"/bulk/{pile.name}"),
    )  # fmt: skip


def _columns(items: list[Item]) -> tuple[Column, ...]:
    return COLUMNS if any(item.yuan for item in items) else COLUMNS[:-1]


def _fields(deeds: list[Deed], names: Mapping[str, str]) -> dict[str, list[str]]:
    """What may have to be typed, each with the deeds that it is for."""
    found: dict[str, list[str]] = {}
    for deed in deeds:
        for field in deed.fields:
            found.setdefault(field, []).append(names[deed.name])
    return found


def _row(request: Request, item: Item) -> Row:
    return {
        "id": Cell(item.id, href=link(request, item.href) if item.href else "", code=True),
        "what": Cell(item.what),
        "whose": Cell(item.whose or "—"),
        "stands": Cell(item.stands),
        "since": Cell(item.since),
        "yuan": amount(item.yuan) if item.yuan else Cell("—"),
    }


def _read(form: FormData) -> Sent:
    fields = {name: value for name, value in form.items() if isinstance(value, str)}
    ticked = {name.removeprefix(TICK): stamp[:80] for name, stamp in fields.items() if name.startswith(TICK)}
    typed = {
        name: fields.get(name, "").strip()[:TEXT_MAX] for name in ("opinion", "reason", "until", "basis", "address")
    }
    return Sent(ticked, fields.get("deed", ""), typed, fields.get("act", ""))


async def _sent(request: Request, pile: Pile) -> Response:
    service, who = service_of(request), await principal(request)
    form = await request.form(max_files=0, max_fields=200)
    sent = _read(form)
    if BACK in form:
        return await _list(request, pile, sent)
    with reading():
        async with service.database.read() as conn:
            deeds = {deed.name: deed for deed in pile.deeds(At(conn, service, who, language_of(request)))}
    deed = deeds.get(sent.deed)
    if problems := _problems(request, sent, deed):
        return await _list(request, pile, sent, problems, 422)
    assert deed is not None, "without a deed there is a problem"
    if sent.act == "confirm":
        return to(request, f"/bulk/runs/{await _do_all(request, pile, deed, sent)}")
    return await _preview(request, pile, deed, sent)


def _problems(request: Request, sent: Sent, deed: Deed | None) -> dict[str, str]:
    """What is missing before anything can be tried out, by the field it is about."""
    texts, problems = TEXTS[language_of(request)], {}
    if not sent.ticked:
        problems["rows"] = texts["problem_ticks"]
    elif len(sent.ticked) > ROWS_MAX:
        problems["rows"] = texts["problem_too_many"].format(most=ROWS_MAX, count=len(sent.ticked))
    if deed is None:
        return problems | {"deeds": texts["problem_deed"]}
    for field in deed.fields:
        if not sent.typed[field]:
            said = deed.said(language_of(request))
            problems[field] = texts["problem_field"].format(deed=said, field=texts[f"input_{field}"])
    return problems


def _needed(deed: Deed, sent: Sent) -> dict[str, str]:
    return {field: sent.typed[field] for field in deed.fields}


async def _preview(request: Request, pile: Pile, deed: Deed, sent: Sent) -> Response:
    service, who, language = service_of(request), await principal(request), language_of(request)
    about = f"POST /bulk/{pile.name} {deed.name} {' '.join(sent.ticked)}"
    await service.audit(act_of(who, pile.reads, about, request=str(request.scope.get("suanquan.request_id", ""))))
    with reading():
        async with service.database.read() as conn:
            items = {item.id: item for item in await pile.items(At(conn, service, who, language))}
    faults = {id_: await _fault(service, who, pile, deed, sent, id_, rehearsal=True) for id_ in sent.ticked}
    able = [id_ for id_, fault in faults.items() if fault is None]
    units = [items[id_].yuan for id_ in able if id_ in items and items[id_].yuan]
    return render(
        request, "bulk_preview.html", pile=pile, deed=deed, said=deed.said(language), sent=sent, able=able, tick=TICK,
        rows=[(id_, items.get(id_), faults[id_]) for id_ in sent.ticked], here=link(request, f"/bulk/{pile.name}"),
        needed=_needed(deed, sent), yuan=_added(units),
    )  # fmt: skip


def _added(texts: list[str]) -> str:
    """The sum of decimal texts of fen, or nothing where there are none."""
    if not texts:
        return ""
    fen = sum(int(text.replace(".", "")) for text in (f"{one}.00" if "." not in one else one for one in texts))
    return f"{fen // 100}.{fen % 100:02d}"


async def _fault(
    service: Service, who: Principal, pile: Pile, deed: Deed, sent: Sent, id_: str, *, rehearsal: bool
) -> DomainError | None:
    """Why a row cannot be acted on; None where it was, or in a rehearsal would be.

    Raises:
        DomainError: of kind UNAVAILABLE: nobody knows about any row.

    """

    async def look(tx: Transaction) -> None:
        if (now := await pile.stamp(tx.connection, id_)) != sent.ticked[id_]:
            raise changed(now)

    try:
        with conducted(Conduct(look, rehearsal)):
            await pile.do(service, who, id_, deed.name, _needed(deed, sent))
    except DomainError as error:
        if error.kind is Kind.UNAVAILABLE and rehearsal:
            raise
        return error
    return None


async def _do_all(request: Request, pile: Pile, deed: Deed, sent: Sent) -> str:
    """Act on each row in turn, each with its own row of the audit log; the number of the run."""
    service, who = service_of(request), await principal(request)
    run = Run(
        secrets.token_hex(16), owner_of(who), pile.name, deed.name,
        json.dumps(_needed(deed, sent) | {"person": who.name}, ensure_ascii=False), service.now_us,
    )  # fmt: skip
    async with service.database.write() as conn:
        await store.begin(conn, run, list(sent.ticked))
        await service.leave_trace(conn)
    whole = acting.get()
    for number, id_ in enumerate(sent.ticked):
        acting.set(whole and replace(whole, about=f"{whole.about} {deed.name} {id_}"))
        fault = await _fault(service, who, pile, deed, sent, id_, rehearsal=False)
        told = (DONE, "", "") if fault is None else (fault.code, fault.zh, fault.en)
        async with service.database.write() as conn:
            await store.note(conn, run.run, Outcome(number, id_, *told, service.now_us))
        if fault is None and pile.name == "applications":
            await service.try_to_issue(id_)  # what stands against it is tried again by the job
    acting.set(whole)
    return run.run


async def _run(request: Request, run: str) -> Response:
    service, who = service_of(request), await principal(request)
    with reading():
        async with service.database.read() as conn:
            found = await store.load_run(conn, owner_of(who), run)
            at = At(conn, service, who, language_of(request))
            deeds = [] if found is None else PILES[found[0].kind].deeds(at)
    if found is None:
        texts = (TEXTS[language]["run_unknown"] for language in ("zh", "en"))
        raise ServiceError("run-unknown", *texts, kind=Kind.NOT_FOUND)
    head, rows = found
    language = language_of(request)
    said = next((deed.said(language) for deed in deeds if deed.name == head.act), head.act)
    counts = {
        "done": sum(row.outcome == DONE for row in rows),
        "waiting": sum(not row.outcome for row in rows),
    }
    counts["refused"] = len(rows) - sum(counts.values())
    inputs = json.loads(head.inputs)
    return render(
        request, "bulk_run.html", run=head, rows=rows, counts=counts, said=said, pile=PILES[head.kind], done=DONE,
        person=inputs.pop("person"), inputs=inputs,
    )  # fmt: skip
