"""Settlement on pages: what each batch comes to and rests on, who did what, and the acts of those whose turn it is.

A payee sees its own batches. Four eyes: who prepared a batch has no button to approve it, and is told who may.
"""

from __future__ import annotations

from typing import Any

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response

from ledger.errors import DomainError
from ledger.sql import Connection
from metering import store as metering_store
from suanquan.access.policy import Reach, same_person
from suanquan.access.principal import Principal
from suanquan.http.auth import may, principal, scope_of
from suanquan.http.routers import page_router
from suanquan.http.settlements import by_of, desk_of
from suanquan.portal import figures
from suanquan.portal.colleagues import Barred, barred_by
from suanquan.portal.forms import digest_of
from suanquan.portal.frame import language_of, link, or_failure, reading, service_of
from suanquan.portal.stamps import version_of
from suanquan.portal.table import Cell, Column, Row, exported, table
from suanquan.portal.work import render, said_of, status_for, to, typed_of, with_form
from suanquan.portal.work_text import TEXTS
from suanquan.service import Service
from suanquan.use_cases import evidence, payees
from suanquan.use_cases.settlement_facts import MAY, By
from suanquan.use_cases.settlement_reading import facts_of_batch, is_of, load_batches, load_own_batch, load_payees
from suanquan.use_cases.settlement_views import batch_object, line_object, payee_object
from voucher.settlement import store
from voucher.settlement.accounts import centre_payee
from voucher.settlement.batch import GENERATED, Batch, State
from voucher.settlement.batch import yuan as yuan_of
from voucher.settlement.fact import Fact

LINES_MAX = 1_000
"""Lines of a batch on its page; the bundle has them all."""
ACTS = {State.PREPARED: ("evidence", "certify", "approve", "return"), State.APPROVED: ("pay",), State.PAID: ("demand",)}
"""What may be done to a batch next, in the order in which it is done."""
_KIND = {"certify": "evidence"}
_FIELDS = {
    "return": ("reason",),
    "pay": ("paid_on", "reference"),
    "demand": ("amount_yuan", "reason", "corrections"),
    "recover": ("amount_yuan", "reference"),
    "evidence": ("kind", "name", "sha256", "number", "issuer", "amount_yuan"),
}
DETAILS = ("name", "uscc", "account", "bank", "bank_code")
router = page_router()

BATCHES = (
    Column("id", "batch"), Column("payee", "payee"), Column("scheme", "scheme"), Column("period", "period"),
    Column("state", "state"), Column("amount", "amount_yuan", number=True), Column("lines", "entries", number=True),
    Column("by", "prepared_by"), Column("since", "since"),
)  # fmt: skip


@router.get("/settlements", dependencies=[may("settlement.list", scoped=True)])
async def get_batches(request: Request) -> Response:
    """Batches, newest first; a payee sees its own."""
    return await or_failure(request, _batches(request))


@router.post("/settlements", dependencies=[may("settlement.act")])
async def post_batch(request: Request) -> Response:
    """Draw up a batch from the ledger."""
    return await or_failure(request, _prepare(request))


async def _batches(
    request: Request, problem: str = "", typed: dict[str, str] | None = None, status: int = 200
) -> Response:
    service, who = service_of(request), await principal(request)
    with reading():
        async with service.database.read() as conn:
            found = [one for one in await load_batches(conn) if is_of(one, scope_of(who))]
            centres = await metering_store.load_centres(conn)
    texts = TEXTS[language_of(request)]
    rows = [_row(request, texts, one) for one in reversed(found)]
    if (file := exported(request, "settlements", BATCHES, rows)) is not None:
        return file
    return render(
        request, "settlements.html", status=status, table=table(request, "settlements", BATCHES, rows),
        schemes=list(service.catalog.series), payees=[(centre_payee(one), name) for one, name in centres.items()],
        able=not _barred(who, "prepare", texts), acts=who.reach("settlement.act") is Reach.EVERYTHING,
        problem=problem, typed=typed or {},
    )  # fmt: skip


def _row(request: Request, texts: dict[str, str], one: Batch) -> Row:
    said = batch_object(one)
    return {
        "id": Cell(one.id, href=link(request, f"/settlements/{one.id}"), code=True),
        "payee": Cell(one.payee, code=True),
        "scheme": Cell(one.scheme),
        "period": Cell(one.period),
        "state": Cell(texts[f"batch_{one.state.value}"]),
        "amount": Cell(figures.yuan(said["amount_yuan"]), figures.money(said["amount_yuan"]), order=one.units),
        "lines": Cell(f"{one.lines:,}", order=one.lines),
        "by": Cell(one.prepared_by),
        "since": Cell(figures.instant(one.prepared_us, texts), said["prepared_at"], order=one.prepared_us),
    }


async def _prepare(request: Request) -> Response:
    service, who = service_of(request), await principal(request)
    typed = await typed_of(request, "scheme", "payee", "period")
    try:
        made = await desk_of(service).prepare(by_of(who, None), typed["scheme"], typed["payee"], typed["period"])
    except DomainError as error:
        return await _batches(request, said_of(request, error), typed, status_for(error))
    return to(request, f"/settlements/{made.id}")


@router.get("/settlements/{batch}", dependencies=[may("settlement.read", scoped=True)])
async def get_batch(batch: str, request: Request) -> Response:
    """One batch: what it comes to, its papers, who did what, its lines, and what comes next."""
    return await or_failure(request, _batch(request, batch))


@router.post("/settlements/{batch}/{act}", dependencies=[may("settlement.act")])
async def post_act(batch: str, act: str, request: Request) -> Response:
    """Act on a batch; what stands against it is said on the page, and what was typed stays."""
    return await or_failure(request, _act(request, batch, act))


async def _batch(
    request: Request,
    batch: str,
    problem: str = "",
    typed: dict[str, str] | None = None,
    acted: str = "",
    status: int = 200,
) -> Response:
    service, who = service_of(request), await principal(request)
    with reading():
        async with service.database.read() as conn:
            found = await load_own_batch(conn, batch, scope_of(who))
            facts = await facts_of_batch(conn, batch)
            lines = await store.lines_of(conn, batch)
            texts = TEXTS[language_of(request)]
            names = ("recover",) if found.demand is not None else ACTS.get(found.state, ())
            acts = {act: await _barred_from(conn, who, act, texts, found) for act in names}
    return render(
        request,
        "settlement.html",
        status=status,
        batch=batch_object(found),
        kept_yuan=yuan_of(found.kept),
        stands="demanded" if found.demand is not None else found.state.value,
        lacking=[kind for kind in found.required if kind not in {one.kind for one in found.evidence}],
        generated=GENERATED,
        acts=acts if who.reach("settlement.act") is Reach.EVERYTHING else {},
        may=MAY,
        official=who.reach("ledger.read") is Reach.EVERYTHING,
        history=[_told(one) for one in facts],
        lines=[line_object(line) for line in lines[:LINES_MAX]],
        whole=sum(line.units for line in lines),
        lines_max=LINES_MAX,
        problem=problem,
        typed=typed or {},
        acted=acted,
        state_since=facts[-1].at_us,
        stamp=str(len(facts)),
    )


def _barred(who: Principal, act: str, texts: dict[str, str]) -> str:
    """Which roles an act is for, empty for one of them; the use case refuses it besides."""
    roles = _may(act)
    if who.role.value in roles:
        return ""
    return texts["done_by"].format(roles=texts["or_"].join(texts[f"acts_{role}"] for role in roles))


def _may(act: str) -> tuple[str, ...]:
    return MAY[_KIND.get(act, act)]


async def _barred_from(
    conn: Connection, who: Principal, act: str, texts: dict[str, str], found: Batch
) -> Barred | None:
    """Why somebody cannot do an act of a batch, and who else can; None where he can."""
    if barred := _barred(who, act, texts):
        return Barred(barred)
    before = found.demand.person if found.demand and act == "recover" else found.prepared_by
    if act not in {"approve", "pay", "recover"} or not same_person(who.name, before):
        return None
    return await barred_by(conn, texts["another_person"].format(person=before), _may(act), [before], texts)


def _told(fact: Fact) -> dict[str, Any]:
    """A fact as the page tells it: who, in which role, when, what it says, and its entry in the log."""
    names = ("reason", "paid_on", "reference", "kind", "name", "sha256")
    content = {name: fact.content[name] for name in names if fact.content.get(name)}
    if fact.kind in {"demand", "recover"}:
        content["yuan"] = yuan_of(fact.content["units"])
    return {"kind": fact.kind, "person": fact.person, "role": fact.role, "at_us": fact.at_us,
            "event": fact.event_id.hex(), "content": content}  # fmt: skip


async def _act(request: Request, batch: str, act: str) -> Response:
    service, who = service_of(request), await principal(request)
    typed = {} if act not in _FIELDS else await _typed(request, act)
    try:
        await _do(service, by_of(who, None), batch, act, typed)
    except DomainError as error:
        page = await _batch(request, batch, said_of(request, error), typed, act, status_for(error))
        return with_form(request, page, error) if typed else page
    return to(request, f"/settlements/{batch}")


async def _typed(request: Request, act: str) -> dict[str, str]:
    """What was typed; of a chosen file its name and SHA-256 are taken, as if they had been typed."""
    async with request.form(max_files=1, max_fields=12) as sent:
        typed = {name: str(sent.get(name, "")).strip()[:500] for name in _FIELDS[act]}
        if isinstance(chosen := sent.get("sha256:file"), UploadFile) and chosen.filename:
            typed |= {"name": typed["name"] or chosen.filename, "sha256": await digest_of(chosen)}
    return typed


async def _do(service: Service, by: By, batch: str, act: str, typed: dict[str, str]) -> None:
    desk = desk_of(service)
    if act == "approve":
        await desk.approve(by, batch)
    elif act == "return":
        await desk.return_(by, batch, typed["reason"])
    elif act == "pay":
        await desk.pay(by, batch, typed["paid_on"], typed["reference"])
    elif act == "demand":
        await desk.demand(by, batch, typed["amount_yuan"], typed["reason"], corrections=bool(typed["corrections"]))
    elif act == "recover":
        await desk.recover(by, batch, typed["amount_yuan"], typed["reference"])
    elif act == "certify":
        await evidence.certify(service.journal, service.rules, by, batch)
    else:
        await evidence.add_paper(service.journal, by, batch, evidence.read_paper(_paper(typed)))


def _paper(typed: dict[str, str]) -> dict[str, Any]:
    paper: dict[str, Any] = {name: typed.get(name, "") for name in ("kind", "name", "sha256")}
    if paper["kind"] == "invoice":
        paper["invoice"] = {name: typed[name] for name in ("number", "issuer", "amount_yuan")}
    return paper


@router.get("/payees", dependencies=[may("payee.list")])
async def get_payees(request: Request) -> Response:
    """Who is paid to which account; details that wait for a second person."""
    return await or_failure(request, _payees(request))


@router.post("/payees", dependencies=[may("payee.act")])
async def post_payee(request: Request) -> Response:
    """Give details of a payee, or confirm those that somebody else gave."""
    return await or_failure(request, _set_payee(request))


async def _payees(
    request: Request, problem: str = "", typed: dict[str, str] | None = None, status: int = 200
) -> Response:
    service, who = service_of(request), await principal(request)
    texts = TEXTS[language_of(request)]
    with reading():
        async with service.database.read() as conn:
            found = [payee_object(one) for one in await load_payees(conn)]
            stamp = await version_of(request, conn, "/payees", who)
            centres = await metering_store.load_centres(conn)
            apart = {
                one["id"]: await barred_by(
                    conn, texts["another_person"].format(person=by), _may("confirm"), [by], texts
                )
                for one in found
                if one["waiting"] and same_person(by := one["waiting"]["set_by"], who.name)
            }
    return render(
        request, "payees.html", status=status, stamp=stamp, payees=found, details=DETAILS, problem=problem, typed=typed or {},
        ids=["payer", *map(centre_payee, centres)], barred=_barred(who, "confirm", texts), apart=apart,
    )  # fmt: skip


async def _set_payee(request: Request) -> Response:
    service, who = service_of(request), await principal(request)
    typed = await typed_of(request, "act", "payee", *DETAILS)
    try:
        by = by_of(who, None)
        if typed["act"] == "confirm":
            await payees.confirm_payee(service.journal, by, typed["payee"])
        else:
            await payees.set_payee(service.journal, by, typed["payee"], {name: typed[name] for name in DETAILS})
    except DomainError as error:
        return await _payees(request, said_of(request, error), typed, status_for(error))
    return to(request, "/payees")
