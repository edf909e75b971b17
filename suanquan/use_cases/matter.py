"""What applications are about: a clause of a policy, or vouchers of a scheme. The machine of procedures is one for both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from typing import Any, NamedTuple, Protocol

import cbor2

from ledger.entry import Event
from ledger.errors import Finding
from ledger.sql import Connection
from ledger.transaction import Transaction
from suanquan.office import Office
from suanquan.use_cases import procedure_money as money
from suanquan.use_cases.applications import Application, Round
from suanquan.use_cases.register import Claimant, claim_support, release_support
from suanquan.use_cases.voucher_cost import voucher_paid_yuan
from subsidy import store
from subsidy.evaluate import EVALUATOR_VERSION, evaluate
from subsidy.explain import summary
from subsidy.facts import Facts, Supplier, read_facts
from subsidy.materials import Submitted, check_materials
from subsidy.outcome import Outcome
from subsidy.procedure import Case, Effect, Procedure, Step, with_inputs
from subsidy.procedure_guards import Setting, judged_by_clause, yuan
from subsidy.procedure_inputs import Reader
from subsidy.register import ClaimKind, commit
from subsidy.steps import Call, clause_closed_on
from subsidy.unit import Unit


class Asking(NamedTuple):
    """A step that is asked for: of which application, with what, on which day (Asia/Shanghai).

    `allocation` is the application's part of its round where that was worked out for all together.
    """

    found: Application
    step: Step
    inputs: Mapping[str, Any]
    today: date
    allocation: int | None = None

    @property
    def case(self) -> Case:
        """The application, counting what the step brings."""
        return with_inputs(self.found.case, self.step, self.inputs, self.today)


class Moved(NamedTuple):
    """What a step brings about: entries of the ledger, and what is recorded of it."""

    events: Sequence[Event] = ()
    derived: Mapping[str, Any] = {}


class Matter(Protocol):
    """What a procedure is about, as the machine needs it."""

    def reader(self, procedure: Procedure, about: str, unit: Unit, /) -> Reader:
        """Reads the inputs of steps; `about` is the clause or scheme, `unit` that of its amounts."""

    def closed_on(self, about: str, day: date, /) -> list[Finding]:
        """Why nothing can be applied for on a day."""

    def call_faults(self, call: Call, /) -> list[Finding]:
        """What else stands against a call."""

    def check(self, asking: Asking, /) -> None:
        """Refuse inputs that cannot be used, beyond their form."""

    def identity(self, tx: Transaction, about: Mapping[str, str], /) -> bytes:
        """The commitment under which an application of the same is found."""

    async def fund(self, tx: Transaction, round_: Round, budgets: Mapping[str, int], /) -> list[Event]:
        """Set aside what a round has of each of its budgets; see `subsidy.unit.pot`."""

    async def setting(self, conn: Connection, found: Application, asking: Asking | None, today: date, /) -> Setting:
        """What the world and the rules say of an application today, counting what a step would bring."""

    async def move(self, tx: Transaction, asking: Asking, setting: Setting, /) -> Moved:
        """Entries of a step whose guards hold."""

    async def claim(self, tx: Transaction, asking: Asking, setting: Setting, /) -> list[Event]:
        """Claims that a step makes or gives back."""


@dataclass(frozen=True, slots=True)
class ClauseMatter:
    """Support under a clause of a policy: evaluated by `subsidy`, paid from the clause's budget."""

    office: Office

    def reader(self, procedure: Procedure, _about: str, unit: Unit, /) -> Reader:
        """See `Matter`."""
        return Reader(self.office.policies.facts, procedure.materials, unit=unit)

    def closed_on(self, about: str, day: date, /) -> list[Finding]:
        """See `Matter`."""
        return clause_closed_on(self.office.policies, about, day)

    def call_faults(self, _call: Call, /) -> list[Finding]:
        """See `Matter`."""
        return []

    def check(self, _asking: Asking, /) -> None:
        """See `Matter`."""

    def identity(self, tx: Transaction, about: Mapping[str, str], /) -> bytes:
        """See `Matter`."""
        return commit(tx.keyed, ClaimKind.PROJECT, about["applicant"], about["project"])

    async def fund(self, tx: Transaction, round_: Round, budgets: Mapping[str, int], /) -> list[Event]:
        """See `Matter`."""
        accounts = {
            money.budget_account(round_.procedure.id, round_.called.year, clause): fen
            for clause, fen in budgets.items()
        }
        return await money.fund(tx, await store.next_step_number(tx.connection), accounts)

    async def setting(self, conn: Connection, found: Application, asking: Asking | None, today: date, /) -> Setting:
        """See `Matter`."""
        case, procedure = (asking.case if asking else found.case), found.round.procedure
        facts = await self._facts(conn, case)
        received = case.received or today
        outcome = evaluate(self.office.policies, found.clause, facts, received)
        given = Submitted(case.applicant, received.year, case.materials, case.costs, case.facts)
        judged = judged_by_clause(outcome)
        most = judged.ceiling
        return Setting(
            today,
            self.office.calendar,
            (found.round.opens, found.round.closes),
            check_materials(procedure.materials, given),
            judged.with_told(
                _evaluation(outcome, facts),
                {**summary(outcome), "ceiling_yuan": None if most is None else yuan(most), "promise": False},
            ),
            procedure.notice_working_days,
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

    async def move(self, tx: Transaction, asking: Asking, _setting: Setting, /) -> Moved:
        """See `Matter`."""
        award = asking.found.award._replace(step=await store.next_step_number(tx.connection))
        effects, case = asking.step.effects, asking.case
        entries = {name: event for effect in effects for name, event in money.entry_ids(effect, award).items()}
        events = [event for effect in effects for event in await money.move(tx, effect, award, case)]
        return Moved(events, {"entries": entries})

    async def claim(self, tx: Transaction, asking: Asking, _setting: Setting, /) -> list[Event]:
        """See `Matter`."""
        found = asking.found
        if Effect.CLAIM in asking.step.effects:
            claimant = Claimant(found.id, asking.case.applicant, found.project, found.clause)
            return await claim_support(tx, claimant, asking.case.costs, found.round.procedure.duplicate_basis)
        return await release_support(tx, found.id) if Effect.RELEASE in asking.step.effects else []


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
