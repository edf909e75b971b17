"""Rounds and applications: each step is decided by `subsidy.steps` and recorded with everything it brings about, or not at all.

Whoever sends the same thing twice is told what was recorded; under an idempotency key for ever, without one as long as it was
the newest step. The day that rules see is that of the service's clock, in Shanghai.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from hashlib import sha256
from typing import Any

import cbor2

from ledger.entry import EntryKind, Event
from ledger.errors import Kind
from ledger.journal import Journal
from ledger.scope import EVERYTHING
from ledger.sql import Connection
from ledger.transaction import Transaction
from suanquan.clock import ClockNs, shanghai_day
from suanquan.office import Office
from suanquan.use_cases import procedure_money as money
from suanquan.use_cases.applications import (
    CALL,
    FUND,
    Application,
    Round,
    load_application,
    load_round,
    load_rounds,
    place_for,
)
from suanquan.use_cases.register import Claimant, claim_support, release_support
from suanquan.use_cases.voucher_cost import voucher_paid_yuan
from subsidy import step_body, store
from subsidy.errors import SubsidyError
from subsidy.evaluate import EVALUATOR_VERSION, evaluate
from subsidy.explain import summary
from subsidy.facts import Facts, Supplier, read_facts
from subsidy.materials import Submitted, check_materials
from subsidy.outcome import Outcome
from subsidy.procedure import Case, Effect, Procedure, Record, Role, Step, with_inputs
from subsidy.procedure_guards import Asked, Setting
from subsidy.procedure_inputs import Reader
from subsidy.procedure_reader import procedure_named
from subsidy.steps import Actor, Call, read_inputs, require_call, require_possible, step_named, take
from subsidy.store import StepRow
from voucher.holder import check_uscc

_ABOUT = ("round", "clause", "applicant", "applicant_name", "project")


@dataclass(frozen=True, slots=True)
class Proceedings:
    """What runs procedures: the journal that records, the rules that decide, the clock that says what day it is."""

    journal: Journal
    office: Office
    clock_ns: ClockNs

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
        call = _read_call(Reader(self.office.policies.facts, ()), given)
        basis = procedure.call_basis
        cited = f"（{basis.clause}“{basis.quote.text}”）"
        _require_role(actor, Role.DEPARTMENT, f"发布申报通知{cited}", f"calls are published ({basis.clause})")
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
        require_call(procedure, self.office.policies, call, self.today, len(held))
        round_ = f"R{procedure.id}-{year}-{len(held) + 1}"
        inputs = {
            "title": call.title,
            "budgets": dict(call.budgets),
            "opens": call.opens.isoformat(),
            "closes": call.closes.isoformat(),
            "decision": call.decision,
        }
        record = Record(CALL, actor.person, actor.role.value, self.today, inputs)
        budgets = {money.budget_account(procedure.id, year, clause): fen for clause, fen in call.budgets.items()}
        events = await money.fund(tx, await store.next_step_number(tx.connection), budgets)
        await self._write(tx, wish, (round_, round_), procedure, record, events)
        return round_

    async def fund(self, actor: Actor, round_: str, given: Mapping[str, Any], key: str | None = None) -> str:
        """Add to the budgets of a round's clauses, which finance does with a basis; the id of the round.

        Raises:
            SubsidyError: `inputs-malformed`, `round-unknown`, `clause-not-called`, `role-not-allowed`.

        """
        budgets, basis = _read_funding(Reader(self.office.policies.facts, ()), given)
        _require_role(actor, Role.FINANCE, "追加预算", "budgets are added to")

        async def work(tx: Transaction) -> str:
            wish = Wish(tx, FUND, round_, {"as": actor.person, "inputs": given}, key)
            found = await load_round(tx.connection, self.office, round_)
            rows = await store.steps_of(tx.connection, round_)
            if await wish.recorded() is not None or step_body.decode(rows[-1])["request"] == wish.digest:
                return round_
            if unknown := budgets.keys() - found.budgets.keys():
                raise _not_called(found, ", ".join(unknown))
            accounts = {
                money.budget_account(found.procedure.id, found.called.year, clause): fen
                for clause, fen in budgets.items()
            }
            record = Record(FUND, actor.person, actor.role.value, self.today, {"budgets": budgets, "basis": basis})
            events = await money.fund(tx, await store.next_step_number(tx.connection), accounts)
            await self._write(tx, wish, (round_, round_), found.procedure, record, events)
            return round_

        return await self.journal.transact(work)

    async def submit(self, actor: Actor, given: Mapping[str, Any], key: str | None = None) -> str:
        """Submit an application; the id of the application, which is the same for the same content.

        Raises:
            SubsidyError: `inputs-malformed`, `application-exists`, `supported-already`, and what `take` refuses.

        """
        about = _read_about(Reader(self.office.policies.facts, ()), given)
        rest = {name: value for name, value in given.items() if name not in _ABOUT}
        return await self.journal.transact(
            lambda tx: self._submit(tx, actor, about, rest, Wish(tx, "submit", "", given, key))
        )

    async def _submit(
        self, tx: Transaction, actor: Actor, about: Mapping[str, str], rest: Mapping[str, Any], wish: Wish
    ) -> str:
        if (earlier := await wish.recorded()) is not None:
            return earlier.subject
        round_ = await load_round(tx.connection, self.office, about["round"])
        if about["clause"] not in round_.budgets:
            raise _not_called(round_, about["clause"])
        application, rows = await place_for(tx, about, round_)
        if rows:
            if step_body.decode(rows[0])["request"] == wish.digest:
                return application
            raise SubsidyError(
                "application-exists",
                f"该项目在本轮已有申报 {application}，内容不同；请补正或先撤回",
                f"this project has an application in the round, {application}, with other content; supplement or withdraw it",
                kind=Kind.CONFLICT,
            )
        procedure = round_.procedure
        step = next(step for step in procedure.steps.values() if step.begins)
        require_possible(procedure, Case(), step, actor)
        if actor.role is Role.APPLICANT and actor.person != about["applicant"]:
            raise SubsidyError(
                "not-your-application", "只能为本单位申报", "an applicant applies for itself", kind=Kind.NOT_ALLOWED
            )
        inputs = {**about, **read_inputs(procedure, step, self.office.policies.facts, rest)}
        new = Application(
            application,
            round_,
            about["clause"],
            about["applicant_name"],
            about["project"],
            (),
            Case(applicant=about["applicant"]),
        )
        await self._take(tx, wish, new, step, actor, inputs)
        return application

    async def take(
        self, actor: Actor, application: str, name: str, given: Mapping[str, Any], key: str | None = None
    ) -> str:
        """Take a step of an application; its id.

        Raises:
            SubsidyError: `application-unknown`, `step-unknown`, and everything that `subsidy.steps` refuses.

        """

        async def work(tx: Transaction) -> str:
            wish = Wish(tx, name, application, {"as": actor.person, "inputs": given}, key)
            found = await load_application(tx.connection, self.office, application, EVERYTHING)
            if await wish.recorded() is not None or step_body.decode(found.rows[-1])["request"] == wish.digest:
                return application
            procedure = found.round.procedure
            step = step_named(procedure, name)
            require_possible(procedure, found.case, step, actor)
            inputs = read_inputs(procedure, step, self.office.policies.facts, given)
            await self._take(tx, wish, found, step, actor, inputs)
            return application

        return await self.journal.transact(work)

    async def _take(
        self, tx: Transaction, wish: Wish, found: Application, step: Step, actor: Actor, inputs: Mapping[str, Any]
    ) -> None:
        procedure = found.round.procedure
        setting = await self.setting(tx.connection, found, step, inputs)
        record = take(Asked(procedure, step, inputs), found.case, actor, setting)
        award = found.award._replace(step=await store.next_step_number(tx.connection))
        entries = {name: event for effect in step.effects for name, event in money.entry_ids(effect, award).items()}
        derived = {**record.derived, "evaluation": _evaluation(setting.outcome, setting.facts), "entries": entries}
        case = with_inputs(found.case, step, inputs, self.today)
        events = [event for effect in step.effects for event in await money.move(tx, effect, award, case)]
        events += await self._claims(tx, found, step, inputs)
        place = found.id, found.round.id
        await self._write(tx, wish, place, procedure, replace(record, derived=derived), events)

    async def _claims(self, tx: Transaction, found: Application, step: Step, inputs: Mapping[str, Any]) -> list[Event]:
        if Effect.CLAIM in step.effects:
            applicant = found.case.applicant or inputs["applicant"]
            claimant = Claimant(found.id, applicant, found.project, found.clause)
            costs = inputs.get("costs", found.case.costs)
            return await claim_support(tx, claimant, costs, found.round.procedure.duplicate_basis)
        return await release_support(tx, found.id) if Effect.RELEASE in step.effects else []

    async def setting(
        self, conn: Connection, found: Application, step: Step | None = None, inputs: Mapping[str, Any] | None = None
    ) -> Setting:
        """What the world and the rules say of an application today, counting what a step would bring."""
        today, case, procedure = self.today, found.case, found.round.procedure
        if step is not None:
            case = with_inputs(case, step, inputs or {}, today)
        facts = await self._facts(conn, case)
        received = case.received or today
        given = Submitted(case.applicant, received.year, case.materials, case.costs, case.facts)
        return Setting(
            today,
            self.office.calendar,
            (found.round.opens, found.round.closes),
            check_materials(procedure.materials, given),
            facts,
            evaluate(self.office.policies, found.clause, facts, received),
        )

    async def _facts(self, conn: Connection, case: Case) -> Facts:
        """Facts as the rules read them. What vouchers paid is known from the ledger, unless an officer established it."""
        facts, _ = read_facts(self.office.policies.facts, case.facts, lambda name: name)
        names = [name for name, fact in self.office.policies.facts.items() if fact.supplier is Supplier.LEDGER]
        paid = await voucher_paid_yuan(conn, case.applicant)
        for name in names:
            if paid is not None and name not in case.decided:
                claimed = facts.get(name)
                facts[name] = max(paid, claimed if isinstance(claimed, int) else 0)
        return facts

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


class Wish:
    """A request, and whether it was fulfilled before: by its idempotency key, or by its content."""

    def __init__(self, tx: Transaction, step: str, subject: str, given: Mapping[str, Any], key: str | None) -> None:
        content = json.dumps([step, subject, given], ensure_ascii=False, sort_keys=True, default=str)
        self.digest = tx.keyed(b"request\0" + content.encode())
        self.key = key
        self.event_id = None if key is None else tx.keyed(b"procedure\0" + key.encode())[:16]
        self._connection = tx.connection

    async def recorded(self) -> StepRow | None:
        """The step that was recorded under the key.

        Raises:
            SubsidyError: `idempotency-key-reused`.

        """
        row = None if self.event_id is None else await store.find_step(self._connection, self.event_id)
        if row is not None and step_body.decode(row)["request"] != self.digest:
            raise SubsidyError(
                "idempotency-key-reused",
                "该 Idempotency-Key 已用于内容不同的请求",
                "this Idempotency-Key was used for a different request",
                kind=Kind.CONFLICT,
            )
        return row


def _evaluation(outcome: Outcome, facts: Facts) -> dict[str, Any]:
    """What the rules said when a step was taken: enough to replay it."""
    told = summary(outcome)
    kept = ("status", "amount_fen", "amount_kind", "cap_yuan", "needs_human", "missing_facts", "reasons")
    plain = {name: str(value) for name, value in sorted(facts.items())}
    return {
        **{name: told[name] for name in kept},
        "facts_sha256": sha256(cbor2.dumps(plain, canonical=True)).hexdigest(),
        "evaluator_version": EVALUATOR_VERSION,
    }


def _require_role(actor: Actor, role: Role, zh: str, en: str) -> None:
    if actor.role is not role:
        raise SubsidyError(
            "role-not-allowed",
            f"{zh}由 {role.value} 办理，不是 {actor.role.value}",
            f"{en} by {role.value}, not by {actor.role.value}",
            kind=Kind.NOT_ALLOWED,
        )


def _not_called(round_: Round, clause: str) -> SubsidyError:
    listed = ", ".join(round_.budgets)
    return SubsidyError(
        "clause-not-called",
        f"该轮申报的条款为 {listed}，不含“{clause[:40]}”",
        f"the round is for {listed}, not for {clause[:40]!r}",
    )


def _read_funding(reader: Reader, given: Mapping[str, Any]) -> tuple[dict[str, int], str]:
    for name in given.keys() - {"budgets", "basis"}:
        reader.fault(f"/{name}", f"没有“{name}”这一项", f"there is no `{name}`")
    budgets = _read_budgets(reader, given)
    basis = reader.text("/basis", given.get("basis"))
    reader.raise_any()
    return budgets, basis


def _read_budgets(reader: Reader, given: Mapping[str, Any]) -> dict[str, int]:
    written = given.get("budgets")
    if not isinstance(written, Mapping) or not written:
        reader.fault("/budgets", "应为“条款: 预算（元）”", "must be a mapping of clauses to yuan")
        return {}
    return {str(clause): reader.fen(f"/budgets/{clause}", amount) or 0 for clause, amount in written.items()}


def _read_call(reader: Reader, given: Mapping[str, Any]) -> Call:
    for name in given.keys() - {"procedure", "title", "budgets", "opens", "closes", "decision"}:
        reader.fault(f"/{name}", f"没有“{name}”这一项", f"there is no `{name}`")
    budgets = _read_budgets(reader, given)
    days = [reader.day(f"/{name}", given.get(name)) for name in ("opens", "closes")]
    title = reader.text("/title", given.get("title"))
    decision = reader.text("/decision", given["decision"]) if given.get("decision") else ""
    reader.raise_any()
    return Call(title, budgets, date.fromisoformat(days[0]), date.fromisoformat(days[1]), decision)


def _read_about(reader: Reader, given: Mapping[str, Any]) -> dict[str, str]:
    about = {name: reader.text(f"/{name}", given.get(name)) for name in _ABOUT}
    reader.raise_any()
    check_uscc(about["applicant"])
    return about
