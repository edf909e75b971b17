"""What a run would cost: of one's own accounts, by today's prices and vouchers, and until when vouchers pay. Nothing is recorded.

The question stands in the address; the answer is that of the use case that agents and schedulers ask.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ledger.errors import DomainError
from metering.instants import parse_instant
from metering.wire import ACTIVE_MS_MAX
from metering.zones import SHANGHAI, rfc3339
from suanquan.http.auth import may, principal, scope_of
from suanquan.http.routers import page_router
from suanquan.portal import figures, frame
from suanquan.portal.frame import language_of, or_failure, reading, service_of
from suanquan.portal.quote_text import TEXTS
from suanquan.portal.work import said_of, status_for
from suanquan.service import Service
from suanquan.use_cases.line_disputes import bound_accounts
from suanquan.use_cases.quote_usage import COUNT_MAX, Run, quote_usage

FIELDS = ("account", "model", "count", "hours", "start")
HOUR_MS = 3_600_000
STEPS = 40
"""Halvings by which the moment is found at which vouchers end."""
_NUMBER = re.compile(r"([0-9]{1,6})(?:\.([0-9]{1,3}))?")
_START = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}")
router = page_router()


@router.get("/quote", dependencies=[may("quote.ask")])
async def get_quote(request: Request) -> Response:
    """The question, and its answer where it is asked."""
    return await or_failure(request, _quote(request))


async def _quote(request: Request) -> Response:
    service, who = service_of(request), await principal(request)
    typed = {name: request.query_params.get(name, "").strip()[:80] for name in FIELDS}
    with reading():
        async with service.database.read() as conn:
            accounts = [f"{centre}/{account}" for centre, account in await bound_accounts(conn, scope_of(who))]
    problems: dict[str, str] = {}
    told: dict[str, Any] | None = None
    status = 200
    if "model" in request.query_params:
        problems = _problems(typed, accounts, TEXTS[language_of(request)])
        status = 422 if problems else 200
    if "model" in request.query_params and not problems:
        run = _run(service, typed)
        try:
            told = await _told(service, run)
        except DomainError as error:
            status, problems = status_for(error), {"model": said_of(request, error)}
    return frame.render(
        request, "work/quote.html", status=status, t=TEXTS[language_of(request)], accounts=accounts, typed=defaultdict(str, typed), problems=problems, told=told,
        models=sorted(service.catalog.accelerators.models),
    )  # fmt: skip


def _problems(typed: Mapping[str, str], accounts: list[str], texts: Mapping[str, str]) -> dict[str, str]:
    """What is wrong, by field."""
    found = {}
    if typed["account"] not in accounts:
        found["account"] = texts["quote_bad_account"]
    if not typed["model"]:
        found["model"] = texts["quote_bad_model"]
    for name, most in (("count", COUNT_MAX), ("hours", ACTIVE_MS_MAX * 1000 // HOUR_MS)):
        if not 0 < _thousandths(typed[name]) <= most:
            found[name] = texts["quote_bad_number"]
    if typed["start"] and _instant(typed["start"]) is None:
        found["start"] = texts["quote_bad_start"]
    return found


def _thousandths(text: str) -> int:
    found = _NUMBER.fullmatch(text)
    return 0 if found is None else int(found[1]) * 1000 + int((found[2] or "").ljust(3, "0"))


def _instant(text: str) -> int | None:
    """UTC epoch microseconds of a Shanghai time."""
    if not _START.fullmatch(text):
        return None
    try:
        return parse_instant(dt.datetime.fromisoformat(text).replace(tzinfo=SHANGHAI).isoformat())
    except (ValueError, OverflowError):
        return None


def _run(service: Service, typed: Mapping[str, str]) -> Run:
    centre, _, account = typed["account"].partition("/")
    start = _instant(typed["start"]) if typed["start"] else service.now_us // 1_000_000 * 1_000_000
    cards = ((typed["model"], _thousandths(typed["count"])),)
    return Run(centre, account, cards, start or 0, _thousandths(typed["hours"]) * HOUR_MS // 1000)


async def _told(service: Service, run: Run) -> dict[str, Any]:
    """The answer, with the moment at which vouchers end where they do not pay for all of it."""
    told = await quote_usage(service.journal, service.rules, run)
    paid_ms = run.active_ms
    if not _covered(told):
        paid_ms = await _paid_for(service, run) if told["paid_by"] else 0
    return {
        **told, "hours_of_cards": figures.hours(told["gpu_ms"]), "covered": _covered(told), "paid_ms": paid_ms,
        "paid_hours": figures.quotient(paid_ms, HOUR_MS, 2), "paid_until": rfc3339(run.start_us + paid_ms * 1000),
    }  # fmt: skip


async def _paid_for(service: Service, run: Run) -> int:
    """The longest run, in milliseconds, that vouchers pay for whole."""
    low, high = 0, run.active_ms
    for _ in range(STEPS):
        if high - low <= 1000:
            break
        middle = (low + high) // 2
        shorter = await quote_usage(service.journal, service.rules, run._replace(active_ms=middle))
        low, high = (middle, high) if _covered(shorter) else (low, middle)
    return low


def _covered(told: Mapping[str, Any]) -> bool:
    return not told["self_pay_yuan"].strip("0.")
