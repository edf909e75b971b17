"""What several pages read for their charts, in the snapshot of the page."""

from __future__ import annotations

from typing import Any, NamedTuple

from starlette.requests import Request

from ledger.sql import Connection
from metering import store as metering_store
from suanquan.portal import chart_views
from suanquan.portal.chart_text import TEXTS
from suanquan.portal.frame import language_of, service_of
from suanquan.service import Service
from suanquan.use_cases import daily
from suanquan.use_cases.burn import Burn, load_burn
from suanquan.use_cases.flow import Flow, flow_of
from suanquan.use_cases.subsidies import day_of
from subsidy.working_days import WorkingDays

QUESTIONS = (
    ("q_burn", "/office/budgets#burn"), ("q_identity", "/office#vouchers"), ("q_stuck", "/office/flow#stuck"),
    ("q_first", "/office/uptake#first"), ("q_who", "/office/uptake#by_class"), ("q_spread", "/office/uptake#spread"),
    ("q_expiring", "/office/uptake#by_end_month"), ("q_used", "/office/centres#used"), ("q_delivered", "/office/supply#delivered"),
    ("q_trust", "/office/centres#trust"), ("q_price", "/office/supply#price"), ("q_admission", "/office/supply#admission"),
    ("q_clauses", "/office/clauses"), ("q_limits", "/office/flow#limits"), ("q_checks", "/office/checks#found"),
    ("q_books", "/office/checks#books"),
)  # fmt: skip
"""Each question with the page and section that answers it."""


async def flow_in(conn: Connection, service: Service) -> Flow:
    """Ways of all applications, as of the service's day."""
    days = WorkingDays(service.proceedings.office.calendar)
    return flow_of(await service.cases.applications(conn), days, day_of(service.now_us))


def stages_shown(request: Request, flow: Flow) -> list[chart_views.StageRow]:
    """Stages with the names of their procedures' states."""
    procedures = {one.id: one for one in service_of(request).proceedings.office.procedures.values()}
    return chart_views.stage_rows(flow.stages, procedures, english=language_of(request) == "en")


async def burn_in(conn: Connection, service: Service, scheme: str = "") -> Burn | None:
    """A scheme's budget, or that of all schemes together."""
    schemes = [scheme] if scheme in service.catalog.series else list(service.catalog.series)
    return await load_burn(conn, service.charts.closes, schemes, service.now_us)


def burn_shown(request: Request, one: Burn | None) -> dict[str, Any] | None:
    """It, with its sentences."""
    return chart_views.burn_shown(TEXTS[language_of(request)], one, day_of(service_of(request).now_us))


class Centres(NamedTuple):
    """Names of centres, and the rows of their last days."""

    names: dict[str, str]
    rows: list[chart_views.CentreDays]


async def centres_in(conn: Connection, service: Service, chosen: str = "") -> Centres:
    """The last days of every centre, or of one."""
    names = await metering_store.load_centres(conn)
    heard = await service.charts.batches.heard(conn, service.now_us)
    wanted = [centre for centre in names if chosen in {"", centre}]
    return Centres(names, chart_views.centre_rows(daily.days_of(wanted, heard, service.now_us), names))
