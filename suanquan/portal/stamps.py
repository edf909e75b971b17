"""Forms that know of which state they were shown: one that is sent after its object has changed writes nothing and says who changed what.

A page puts the version of its object into its forms (`render(…, stamp=…)`). Which object that is, the route says and never
the form, and a reader's scope is asked first: nobody learns by a made-up form what happened to something of another's. The
version is looked at again within the transaction of the act, so that of two at once one comes too late.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

from starlette.requests import Request

from ledger.errors import Kind
from ledger.sql import Connection
from metering import centre_store
from metering import notice_store as disputes
from metering.centre import ENERGY
from metering.dispute import Step
from suanquan.access.principal import Principal
from suanquan.clock import read_ahead
from suanquan.db import people, trail
from suanquan.db.people import Grant, Person
from suanquan.db.trail import Wanted
from suanquan.errors import ServiceError
from suanquan.http.auth import scope_of
from suanquan.portal.forms import STAMP
from suanquan.portal.stamp_text import TEXTS
from suanquan.service import Service
from suanquan.use_cases.applications import CALL, FUND, SETTLE, load_application, load_round
from suanquan.use_cases.line_disputes import bound_accounts, number_of
from suanquan.use_cases.settlement_reading import facts_of_batch
from subsidy import step_body
from subsidy import store as step_store
from subsidy.procedure import Procedure, Role
from subsidy.store import StepRow
from voucher import finding_store
from voucher.settlement import store as fact_store
from voucher.settlement.fact import Fact

CHANGES_MAX = 5
PAYEE_FACTS = ("payee", "confirm", "suspend", "resume")


class Change(NamedTuple):
    """What somebody did to an object, and when (UTC epoch microseconds)."""

    at_us: int
    person: str
    role: str
    zh: str
    en: str

    def by(self, language: str) -> str:
        """Who did it: nobody, of what the program does by itself."""
        return TEXTS[language]["automatic"] if self.role == Role.SERVICE.value else self.person


class History(NamedTuple):
    """The version of an object, what made it (newest last), and the page that shows it."""

    version: str
    changes: Sequence[Change]
    page: str

    def since(self, version: str) -> Sequence[Change]:
        """What was done since a version, at most the last few; where nobody can tell, the last."""
        first = (
            int(version)
            if version.isdecimal() and len(version) < 10 and self.version.isdecimal()
            else len(self.changes) - 1
        )
        return self.changes[max(0, first) :][-CHANGES_MAX:]


class StaleError(ServiceError):
    """A form whose object has changed since its page was shown."""

    def __init__(self, changes: Sequence[Change], version: str, page: str) -> None:
        last = changes[-1] if changes else None
        zh = f"：{last.by('zh')} {last.zh}" if last else ""
        en = f": {last.by('en')}, {last.en}" if last else ""
        super().__init__(
            "page-stale",
            f"您打开这一页之后，情况已经变了{zh}。没有办理，也没有写入任何内容",
            f"things have changed since this page was shown{en}; nothing was acted on and nothing was written",
            kind=Kind.CONFLICT,
        )
        self.changes, self.version, self.page = changes, version, page


Read = Callable[[Service, Principal, Request, Connection, Mapping[str, str]], Awaitable[History | None]]
"""The history of the object that a route and what was typed name; None where there is none that the reader may see."""


def _counted(changes: Sequence[Change], page: str) -> History:
    return History(str(len(changes)), changes, page)


async def _case(
    service: Service, who: Principal, request: Request, conn: Connection, _typed: Mapping[str, str]
) -> History:
    name = request.path_params["application"]
    found = await load_application(conn, service.proceedings.office, name, scope_of(who))
    return _counted([_step(found.round.procedure, row) for row in found.rows], f"/applications/{name}")


async def _round(
    service: Service, _who: Principal, request: Request, conn: Connection, _typed: Mapping[str, str]
) -> History:
    name = request.query_params.get("round", "")[:80]
    procedure = (await load_round(conn, service.proceedings.office, name)).procedure
    return _counted([_step(procedure, row) for row in await step_store.steps_of(conn, name)], "/applications")


def _step(procedure: Procedure, row: StepRow) -> Change:
    """A step of a case in its procedure's words; of a round in ours."""
    step = procedure.steps.get(row.step)
    words = (
        (step.zh, step.en)
        if step
        else [TEXTS[language].get(f"round_{row.step}", row.step) for language in ("zh", "en")]
    )
    return _changed(row, words)


def _changed(row: StepRow, words: Sequence[str]) -> Change:
    """Who did it and when, as the body says that the log commits to."""
    content = step_body.decode(row)
    zh, en = words
    return Change(content["at_us"], content["person"], content["role"], zh, en)


async def _rounds(
    _service: Service, _who: Principal, _request: Request, conn: Connection, _typed: Mapping[str, str]
) -> History:
    rows = [row for step in (CALL, FUND, SETTLE) for row in await step_store.steps_named(conn, step)]
    changes = []
    for row in sorted(rows, key=lambda one: one.number):
        words = [f"{TEXTS[language].get(f'round_{row.step}', row.step)} {row.subject}" for language in ("zh", "en")]
        changes.append(_changed(row, words))
    return _counted(changes, "/office/rounds")


async def _finding(
    _service: Service, _who: Principal, request: Request, conn: Connection, _typed: Mapping[str, str]
) -> History:
    name = request.path_params["finding"][:64]
    reviews = (await finding_store.reviews_of(conn, [name])).get(name, [])
    texts = [TEXTS[language]["did_finding"] for language in ("zh", "en")]
    changes = [Change(one.at_us, one.officer, "", *(f"{said} {one.state.value}" for said in texts)) for one in reviews]
    return _counted(changes, f"/office/findings/{name}")


async def _batch(
    _service: Service, _who: Principal, request: Request, conn: Connection, _typed: Mapping[str, str]
) -> History:
    name = request.path_params["batch"]
    return _counted([_fact(one) for one in await facts_of_batch(conn, name)], f"/settlements/{name}")


async def _payees(
    _service: Service, _who: Principal, _request: Request, conn: Connection, _typed: Mapping[str, str]
) -> History:
    facts = [one for kind in PAYEE_FACTS for one in await fact_store.facts_named(conn, kind)]
    return _counted([_fact(one) for one in sorted(facts, key=lambda one: one.number)], "/payees")


def _fact(one: Fact) -> Change:
    said = [TEXTS[language].get(f"fact_kind_{one.kind}", one.kind) for language in ("zh", "en")]
    about = f" {one.subject}" if one.kind in PAYEE_FACTS else ""
    return Change(one.at_us, one.person, one.role, said[0] + about, said[1] + about)


async def _energy(
    _service: Service, who: Principal, _request: Request, conn: Connection, typed: Mapping[str, str]
) -> History:
    centre = scope_of(who).centre or typed.get("centre", "")
    facts = await centre_store.load_facts(conn, centre, (ENERGY,))
    texts = (TEXTS["zh"]["energy_month"], TEXTS["en"]["energy_month"])
    changes = [Change(one.recorded_us, one.officer, "", *(f"{said} {one.period}" for said in texts)) for one in facts]
    return _counted(changes, "/energy")


async def _line(
    _service: Service, who: Principal, _request: Request, conn: Connection, typed: Mapping[str, str]
) -> History | None:
    centre, account = typed.get("centre", ""), typed.get("account", "")
    if (centre, account) not in await bound_accounts(conn, scope_of(who)):
        return None
    steps = await disputes.steps_of_account(conn, centre, account)
    return _counted([_disputed(one) for one in steps], "/usage")


async def _dispute(
    _service: Service, _who: Principal, request: Request, conn: Connection, _typed: Mapping[str, str]
) -> History:
    name = request.path_params["dispute"]
    return _counted([_disputed(one) for one in await disputes.load_steps(conn, number_of(name))], f"/disputes/{name}")


def _disputed(one: Step) -> Change:
    words = (f"{TEXTS[language][f'dispute_state_{one.state}']} {one.record}" for language in ("zh", "en"))
    return Change(one.at_us, one.who, one.role, *words)


def member_version(known: Person, grants: Sequence[Grant]) -> str:
    """State and roles of an account."""
    return " ".join([known.state, *sorted(f"{one.role}/{one.tenant}" for one in grants)])


async def _member(
    _service: Service, who: Principal, _request: Request, conn: Connection, typed: Mapping[str, str]
) -> History | None:
    name = typed.get("name", "")
    found = next(((known, grants) for known, grants in await people.list_people(conn) if known.name == name), None)
    if found is None or not (
        not who.tenant or name.startswith(f"{who.tenant}/") or any(one.tenant == who.tenant for one in found[1])
    ):
        return None
    return History(member_version(*found), await _trail(conn, "account", name), "/members")


async def _clock(
    service: Service, _who: Principal, _request: Request, conn: Connection, _typed: Mapping[str, str]
) -> History:
    return History(str(read_ahead(service.home.sandbox_clock)), await _trail(conn, "clock.set", ""), "/clock")


async def _trail(conn: Connection, action: str, about: str) -> list[Change]:
    """What the audit log has of an action and a name; what was erased of it says nothing."""
    found, after = [], -1
    while rows := await trail.search(conn, Wanted(action=action, after=after, limit=500)):
        after = rows[-1].seq
        for row in rows:
            body = json.loads(row.body) if row.body else {}
            if str(body.get("about", "")).startswith(about) and body:
                words = (TEXTS[language].get(f"did_{row.action}", row.action) for language in ("zh", "en"))
                found.append(Change(row.at_us, str(body.get("person", "")), str(body.get("role", "")), *words))
    return found


STAMPED: Mapping[str, Read] = {
    "/applications/{application}/steps/{step}": _case,
    "/applications/{application}/supplement": _case,
    "/applications/new": _round,
    "/office/rounds": _rounds,
    "/office/findings/{finding}": _finding,
    "/settlements/{batch}/{act}": _batch,
    "/payees": _payees,
    "/energy": _energy,
    "/usage/disputes": _line,
    "/disputes/{dispute}": _dispute,
    "/members/end": _member,
    "/clock": _clock,
}
"""By the route of a form."""


async def version_of(
    request: Request, conn: Connection, path: str, who: Principal, typed: Mapping[str, str] | None = None
) -> str:
    """The version that the forms of a page carry."""
    found = await STAMPED[path](request.app.state.service, who, request, conn, typed or {})
    return found.version if found else ""


async def check(request: Request, who: Principal, typed: Mapping[str, str], conn: Connection) -> None:
    """Refuse a form whose object is no longer as its page showed it; one without a stamp is as good as its act.

    Raises:
        StaleError: with what was done meanwhile.

    """
    read = STAMPED.get(getattr(request.scope.get("route"), "path", ""))
    stamp = typed.get(STAMP, "")
    if read is None or not stamp:
        return
    found = await read(request.app.state.service, who, request, conn, typed)
    if found is not None and found.version != stamp:
        raise StaleError(found.since(stamp), found.version, found.page)
