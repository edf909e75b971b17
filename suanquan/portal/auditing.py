"""The audit log on a page: who did what, found by person, action and day. Looking at it leaves a row as well."""

from __future__ import annotations

from datetime import date, timedelta

from starlette.requests import Request
from starlette.responses import Response

from metering.zones import shanghai_day_us
from suanquan.access.trail import Row as Trace
from suanquan.db import trail
from suanquan.errors import ServiceError
from suanquan.http.auth import may
from suanquan.http.routers import page_router
from suanquan.portal import exports, figures, frame
from suanquan.portal.check_text import TEXTS
from suanquan.portal.frame import language_of, link, or_failure, reading, service_of
from suanquan.portal.office_lists import long_file
from suanquan.portal.table import Cell, Chosen, Column, Row, paged, shown_columns, view_of, worded
from suanquan.use_cases.audit_file import row_object
from suanquan.use_cases.audit_sample import Draw, sample

ROWS = 50
FILTERS = ("person", "action", "since", "until", "sample", "seed", "upto")
SAMPLE_MAX = 200
COLUMNS = (
    Column("seq", "audit_seq", number=True, key=True), Column("at", "audit_at"), Column("action", "audit_action"),
    Column("person", "audit_person"), Column("role", "role_of"), Column("about", "audit_about"),
    Column("via", "audit_via", extra=True),
)  # fmt: skip
router = page_router()


@router.get("/audit", dependencies=[may("audit.read")])
async def get_audit(request: Request) -> Response:
    """Rows of a person, an action and some days, oldest first."""
    return await or_failure(request, _audit(request))


async def _audit(request: Request) -> Response:
    service, texts = service_of(request), TEXTS[language_of(request)]
    filters = {name: request.query_params.get(name, "").strip()[:64] for name in FILTERS}
    after = request.query_params.get("after", "")
    wanted, draw = _wanted(filters, int(after) if after.isdecimal() and len(after) < 19 else -1), _draw_of(filters)
    if exports.form_of(request):
        return await long_file(request, "audit", COLUMNS, _rows(request, wanted, draw))
    with reading():
        async with service.database.read() as conn:
            size, root = await trail.head(conn)
            if draw is not None:
                draw = draw._replace(upto=min(draw.upto, size))
                filters["upto"] = str(draw.upto)
            found = await trail.search(conn, wanted) if draw is None else await sample(conn, wanted, draw)
    view = {name: value for name, value in filters.items() if value} | view_of(request, COLUMNS)
    more = link(request, "/audit", **view, after=str(found[-1].seq)) if len(found) == ROWS and draw is None else ""
    chosen = Chosen([_row(one, texts) for one in found], -1, more, link(request, "/audit", **view) if after else "")
    return frame.render(
        request, "office/audit.html", t=texts, table=paged(request, "audit", COLUMNS, chosen, filters), filters=filters,
        sought=any(filters.values()) or bool(after), size=size, root=root.hex(), draw=draw, most=SAMPLE_MAX,
    )  # fmt: skip


def _draw_of(filters: dict[str, str]) -> Draw | None:
    """How many rows are drawn, and by which seed; None where all are wanted.

    Raises:
        ServiceError: `sample-malformed`.

    """
    count = filters["sample"]
    if not count:
        return None
    if not (count.isascii() and count.isdecimal()) or not 0 < int(count) <= SAMPLE_MAX or not filters["seed"]:
        zh = f"抽样须写明条数（1 至 {SAMPLE_MAX}）和种子：同样的种子、条件和日志抽出同样的行"
        en = f"a sample has 1 to {SAMPLE_MAX} rows and a seed: the same seed, filters and log draw the same rows"
        raise ServiceError("sample-malformed", zh, en)
    upto = filters["upto"]
    return Draw(int(count), filters["seed"], int(upto) if upto.isdecimal() and len(upto) < 19 else 2**62)


def _wanted(filters: dict[str, str], after: int) -> trail.Wanted:
    try:
        since = shanghai_day_us(date.fromisoformat(filters["since"])) if filters["since"] else 0
        until = shanghai_day_us(date.fromisoformat(filters["until"]) + timedelta(days=1)) if filters["until"] else 2**62
    except (ValueError, OverflowError):
        zh, en = "日期应如 2026-11-20", "a day must look like 2026-11-20"
        raise ServiceError("filter-malformed", zh, en) from None
    return trail.Wanted(filters["person"], filters["action"], since, until, after, ROWS)


def _row(one: Trace, texts: dict[str, str]) -> Row:
    said = row_object(one)
    detail = said["detail"] or {}
    gone = texts["audit_erased"] if said["detail"] is None else ""
    return {
        "seq": Cell(str(one.seq), order=one.seq),
        "at": Cell(figures.instant(one.at_us, texts), said["at"]),
        "action": Cell(one.action, code=True),
        "person": Cell(detail.get("person", "") or f"{said['person'][:12]}…"),
        "role": Cell(texts.get(f"role_{detail.get('role', '')}", detail.get("role", "") or "—")),
        "about": Cell(gone or detail.get("about", "") or "—"),
        "via": Cell(detail.get("via", "") or "—"),
    }


async def _rows(request: Request, wanted: trail.Wanted, draw: Draw | None) -> exports.Parts:
    texts, columns = TEXTS[language_of(request)], shown_columns(request, COLUMNS)
    form = exports.form_of(request)
    yield [[texts[column.text] for column in columns]]
    async with service_of(request).database.read() as conn:
        if draw is not None:
            drawn = [_row(row, texts) for row in await sample(conn, wanted, draw)]
            yield [[worded(row[column.name], column, form) for column in columns] for row in drawn]
            return
        while found := await trail.search(conn, wanted._replace(limit=1000)):
            yield [[worded(row[column.name], column, form) for column in columns] for row in (_row(one, texts) for one in found)]  # fmt: skip
            wanted = wanted._replace(after=found[-1].seq)
