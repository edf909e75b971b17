"""Rounds and applications: each step is decided by `subsidy.steps` and recorded with everything it brings about, or not at all.

Whoever sends the same thing twice is told what was recorded; under an idempotency key for ever, without one as long as it was
the newest step. The day that rules see is that of the service's clock, in Shanghai.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import cbor2

from ledger.entry import EntryKind, Event
from ledger.errors import Kind
from ledger.journal import Journal
from ledger.scope import EVERYTHING, Scope
from ledger.sql import Connection
from ledger.transaction import Transaction
from suanquan.clock import ClockNs, shanghai_day
from suanquan.db.notices import put
from suanquan.office import Office
from suanquan.use_cases.applications import (
    CALL,
    FUND,
    SETTLE,
    Application,
    Round,
    load_application,
    load_applications,
    load_round,
    load_rounds,
    place_for,
)
from suanquan.use_cases.matter import Asking, ClauseMatter, Matter
from suanquan.use_cases.procedure_notices import step_notices
from suanquan.use_cases.procedure_requests import (
    ABOUT,
    Wish,
    not_called,
    read_about,
    read_basis,
    read_call,
    read_funding,
    require_role,
)
from suanquan.use_cases.voucher_matter import Issuing, SchemeMatter, planning_step
from subsidy import step_body, store
from subsidy.errors import SubsidyError
from subsidy.procedure import Case, Procedure, Record, Role
from subsidy.procedure_guards import Asked, Setting
from subsidy.procedure_inputs import Reader
from subsidy.procedure_reader import procedure_named
from subsidy.steps import Actor, Call, read_inputs, refuse_any, require_call, require_possible, step_named, take
from subsidy.unit import pot, unit_of
from voucher.programme import Award

TOGETHER = 25
"""Applications that are planned in one transaction: others wait for about a fifth of a second."""


@dataclass(frozen=True, slots=True)
class Proceedings:
    """What runs procedures: the journal that records, the rules that decide, the clock that says what day it is."""

    journal: Journal
    office: Office
    clock_ns: ClockNs
    issuing: Issuing | None = None

    def matter(self, procedure: Procedure) -> Matter:
        """What a procedure is about: clauses of a policy, or vouchers of schemes."""
        return self.vouchers if procedure.for_schemes else ClauseMatter(self.office)

    @property
    def vouchers(self) -> SchemeMatter:
        """Applications for vouchers."""
        return SchemeMatter(self.office, self.issuing)

    @property
    def today(self) -> date:
        """The day of the service's clock in Shanghai."""
        return shanghai_day(self.clock_ns())

    async def call(self, actor: Actor, given: Mapping[str, Any], key: str | None = None) -> str:
        """Call for applications; the id of the round.

        Raises:
            SubsidyError: `inputs-malformed`, `call-refused`, `role-not-allowed`, `idempotency-key-reused`.

        """
        procedure = procedure_named(self.office.procedures, str(given.get("procedure", "")))
        call = read_call(Reader(self.office.policies.facts, ()), given)
        basis = procedure.call_basis
        require_role(actor, Role.DEPARTMENT, f"发布申报通知（{basis.cited}）", f"calls are published ({basis.clause})")
        return await self.journal.transact(
            lambda tx: self._call(tx, procedure, actor, call, Wish(tx, CALL, "", given, key))
        )

    async def _call(self, tx: Transaction, procedure: Procedure, actor: Actor, call: Call, wish: Wish) -> str:
        if (earlier := await wish.recorded()) is not None:
            return earlier.subject
        rounds = [one for one in await load_rounds(tx.connection, self.office) if one.procedure.id == procedure.id]
        for one in rounds:
            same = (one.title, one.opens, one.closes, dict(one.budgets)) == (
                call.title,
                call.opens,
                call.closes,
                dict(call.budgets),
            )
            if same and wish.key is None:
                return one.id
        year = self.today.year
        held = [one for one in rounds if one.called.year == year]
        matter = self.matter(procedure)
        refuse_any(matter.call_faults(call))
        require_call(procedure, matter.closed_on, call, self.today, len(held))
        round_ = f"R{procedure.id}-{year}-{len(held) + 1}"
        inputs = {
            "title": call.title,
            "budgets": dict(call.budgets),
            "opens": call.opens.isoformat(),
            "closes": call.closes.isoformat(),
            "decision": call.decision,
        }
        record = Record(CALL, actor.person, actor.role.value, self.today, inputs)
        called = Round(
            round_, procedure, call.title, self.today, call.opens, call.closes, dict(call.budgets), call.decision
        )
        events = await matter.fund(tx, called, call.budgets)
        await self._write(tx, wish, (round_, round_), procedure, record, events)
        return round_

    async def fund(self, actor: Actor, round_: str, given: Mapping[str, Any], key: str | None = None) -> str:
        """Add to the budgets of a round's clauses, which finance does with a basis; the id of the round.

        Raises:
            SubsidyError: `inputs-malformed`, `round-unknown`, `clause-not-called`, `role-not-allowed`.

        """
        budgets, basis = read_funding(Reader(self.office.policies.facts, ()), given)
        require_role(actor, Role.FINANCE, "追加预算", "budgets are added to")

        async def work(tx: Transaction) -> str:
            wish = Wish(tx, FUND, round_, {"as": actor.person, "inputs": given}, key)
            found = await load_round(tx.connection, self.office, round_)
            rows = await store.steps_of(tx.connection, round_)
            if await wish.recorded() is not None or step_body.decode(rows[-1])["request"] == wish.digest:
                return round_
            if unknown := budgets.keys() - found.budgets.keys():
                raise not_called(found, ", ".join(unknown))
            record = Record(FUND, actor.person, actor.role.value, self.today, {"budgets": budgets, "basis": basis})
            events = await self.matter(found.procedure).fund(tx, found, budgets)
            await self._write(tx, wish, (round_, round_), found.procedure, record, events)
            return round_

        return await self.journal.transact(work)

    async def submit(self, actor: Actor, given: Mapping[str, Any], key: str | None = None) -> str:
        """Submit an application; the id of the application, which is the same for the same content.

        Raises:
            SubsidyError: `inputs-malformed`, `application-exists`, `supported-already`, and what `take` refuses.

        """
        about = read_about(Reader(self.office.policies.facts, ()), given)
        rest = {name: value for name, value in given.items() if name not in {*ABOUT, "scheme", "unit"}}
        return await self.journal.transact(
            lambda tx: self._submit(tx, actor, about, rest, Wish(tx, "submit", "", given, key))
        )

    async def _submit(
        self, tx: Transaction, actor: Actor, about: Mapping[str, str], rest: Mapping[str, Any], wish: Wish
    ) -> str:
        if (earlier := await wish.recorded()) is not None:
            return earlier.subject
        round_ = await load_round(tx.connection, self.office, about["round"])
        unit = unit_of(about)
        if (wanted := pot(about["clause"], unit)) not in round_.budgets:
            raise not_called(round_, wanted)
        procedure, matter = round_.procedure, self.matter(round_.procedure)
        application, rows = await place_for(tx, matter.identity(tx, about), about, round_)
        if rows:
            if step_body.decode(rows[0])["request"] == wish.digest:
                return application
            raise SubsidyError(
                "application-exists",
                f"该项目在本轮已有申报 {application}，内容不同；请补正或先撤回",
                f"this project has an application in the round, {application}, with other content; supplement or withdraw it",
                kind=Kind.CONFLICT,
            )
        step = next(step for step in procedure.steps.values() if step.begins)
        require_possible(procedure, Case(), step, actor)
        if actor.role is Role.APPLICANT and actor.person != about["applicant"]:
            raise SubsidyError(
                "not-your-application", "只能为本单位申报", "an applicant applies for itself", kind=Kind.NOT_ALLOWED
            )
        inputs = {**about, **read_inputs(step, matter.reader(procedure, about["clause"], unit), rest)}
        new = Application(
            application,
            round_,
            about["clause"],
            about["applicant_name"],
            about["project"],
            (),
            Case(applicant=about["applicant"], unit=unit),
            self.today,
        )
        await self._take(tx, wish, actor, Asking(new, step, inputs, self.today))
        return application

    async def take(
        self, actor: Actor, application: str, name: str, given: Mapping[str, Any], key: str | None = None
    ) -> str:
        """Take a step of an application; its id.

        Raises:
            SubsidyError: `application-unknown` (an applicant is told so of another's, too), `step-unknown`, and everything that `subsidy.steps` refuses.

        """

        async def work(tx: Transaction) -> str:
            wish = Wish(tx, name, application, {"as": actor.person, "inputs": given}, key)
            applies = actor.role is Role.APPLICANT
            scope = Scope(everything=False, holder=actor.person) if applies else EVERYTHING
            found = await load_application(tx.connection, self.office, application, scope)
            if await wish.recorded() is not None or step_body.decode(found.rows[-1])["request"] == wish.digest:
                return application
            procedure = found.round.procedure
            step = step_named(procedure, name)
            require_possible(procedure, found.case, step, actor)
            inputs = read_inputs(step, self.matter(procedure).reader(procedure, found.clause, found.unit), given)
            await self._take(tx, wish, actor, Asking(found, step, inputs, self.today))
            return application

        return await self.journal.transact(work)

    async def _take(self, tx: Transaction, wish: Wish, actor: Actor, asking: Asking) -> None:
        found, step = asking.found, asking.step
        matter = self.matter(found.round.procedure)
        matter.check(asking)
        setting = await matter.setting(tx.connection, found, asking, self.today)
        asked = Asked(found.round.procedure, step, asking.inputs)
        record = take(asked, found.case, actor, setting)
        claims = await matter.claim(tx, asking, setting)
        moved = await matter.move(tx, asking, setting)
        derived = {**record.derived, "evaluation": dict(setting.judged.told), **moved.derived}
        place = found.id, found.round.id
        await self._write(
            tx, wish, place, found.round.procedure, replace(record, derived=derived), [*moved.events, *claims]
        )
        for notice in step_notices(found, step, actor):
            await put(tx.connection, notice, self.clock_ns() // 1000)

    async def allocate(self, actor: Actor, round_: str, given: Mapping[str, Any]) -> list[Award]:
        """Plan the applications of a closed round in the scheme's order, if each of them may be; what each gets.

        Others write in between, so that nobody waits for a large round; what stops half-way goes on when it is asked again,
        which else plans what has come free since.

        Raises:
            SubsidyError: `round-open`, `round-unreviewed`, and everything that the planning step refuses.

        """
        basis = read_basis(Reader(self.office.policies.facts, ()), given)
        awards = await self.journal.transact(lambda tx: self._awards(tx, actor, round_))
        given_to = [award for award in awards if award.amount]
        for at in range(0, len(given_to), TOGETHER):
            part = given_to[at : at + TOGETHER]
            await self.journal.transact(functools.partial(self._plan, actor=actor, awards=part, basis=basis))
        return awards

    async def _awards(self, tx: Transaction, actor: Actor, round_: str) -> list[Award]:
        """What each application gets, by rank, once the actor may plan every one of them."""
        found = await load_round(tx.connection, self.office, round_)
        step, awards = planning_step(found.procedure), []
        listed = {one.id: one for one in await load_applications(tx.connection, self.office, round_, EVERYTHING)}
        for name in found.budgets:
            shares = await self.vouchers.allocation(tx.connection, found, name, self.today)
            awards += sorted(shares.values(), key=lambda award: award.rank)
        for award in awards:
            if award.amount:
                require_possible(found.procedure, listed[award.claim].case, step, actor)
        return awards

    async def _plan(self, tx: Transaction, *, actor: Actor, awards: Sequence[Award], basis: str) -> None:
        """Plan applications that still wait, each with what it gets."""
        for award in awards:
            application = await load_application(tx.connection, self.office, award.claim, EVERYTHING)
            step = planning_step(application.round.procedure)
            if application.case.state in step.sources:
                inputs = {application.unit.kept: award.amount, "basis": basis}
                asking = Asking(application, step, inputs, self.today, award.amount)
                wish = Wish(tx, step.id, application.id, {"as": actor.person, "inputs": inputs}, None)
                await self._take(tx, wish, actor, asking)

    async def settle_round(self, actor: Actor, round_: str, given: Mapping[str, Any], key: str | None = None) -> str:
        """End a round of vouchers: what no application got goes back to the year's budget; the id of the round.

        Raises:
            SubsidyError: `round-open`, `round-unfinished`, `role-not-allowed`.

        """
        basis = read_basis(Reader(self.office.policies.facts, ()), given)
        require_role(actor, Role.FINANCE, "轮次结束", "rounds are settled")

        async def work(tx: Transaction) -> str:
            wish = Wish(tx, SETTLE, round_, {"as": actor.person, "inputs": given}, key)
            found = await load_round(tx.connection, self.office, round_)
            rows = await store.steps_of(tx.connection, round_)
            if await wish.recorded() is not None or step_body.decode(rows[-1])["request"] == wish.digest:
                return round_
            returned, events = await self.vouchers.leftovers(tx, found, self.today)
            inputs = {"returned": returned, "basis": basis}
            record = Record(SETTLE, actor.person, actor.role.value, self.today, inputs)
            await self._write(tx, wish, (round_, round_), found.procedure, record, events)
            return round_

        return await self.journal.transact(work)

    async def setting(self, conn: Connection, found: Application) -> Setting:
        """What the world and the rules say of an application today."""
        return await self.matter(found.round.procedure).setting(conn, found, None, self.today)

    async def _write(
        self,
        tx: Transaction,
        wish: Wish,
        place: tuple[str, str],
        procedure: Procedure,
        record: Record,
        events: Sequence[Event],
    ) -> None:
        """One step: its row, its NOTE, and the entries that it brings about."""
        number, at_us = await store.next_step_number(tx.connection), self.clock_ns() // 1000
        body = step_body.encode(step_body.Header(number, *place, at_us, wish.digest), procedure, record)
        event_id = wish.event_id or tx.keyed(b"step\0" + body)[:16]
        await store.add_step(tx.connection, step_body.row_of(event_id, body, cbor2.loads(body)))
        note = Event(
            EntryKind.NOTE,
            event_id,
            tx.keyed(body),
            ruleset=bytes.fromhex(procedure.digest),
            actor=tx.keyed(b"person\0" + record.person.encode())[:8],
            salt=tx.entropy(32),
            payload=body,
        )
        await tx.append([note, *events])
