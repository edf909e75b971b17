"""Rounds and applications as they stand, read from their steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from ledger import store as ledger_store
from ledger.errors import Kind
from ledger.scope import Scope
from ledger.sql import Connection
from ledger.transaction import Transaction
from suanquan.office import Office
from suanquan.use_cases.procedure_money import UNITS_PER_FEN, Award, budget_account
from subsidy import step_body, store
from subsidy.errors import SubsidyError
from subsidy.procedure import Case, Procedure, Role, fold
from subsidy.procedure_reader import procedure_named
from subsidy.store import StepRow
from subsidy.unit import Unit

CALL, FUND, SETTLE = "call", "fund", "settle"


@dataclass(frozen=True, slots=True)
class Round:
    """A round as called; its budgets are named by `subsidy.unit.pot`."""

    id: str
    procedure: Procedure
    title: str
    called: date
    opens: date
    closes: date
    budgets: Mapping[str, int]
    decision: str


@dataclass(frozen=True, slots=True)
class Application:
    """An application with its steps and what has become of it."""

    id: str
    round: Round
    clause: str
    applicant_name: str
    project: str
    rows: Sequence[StepRow]
    case: Case
    since: date
    """Day of its newest step."""

    @property
    def unit(self) -> Unit:
        """What its amounts count."""
        return self.case.unit

    @property
    def award(self) -> Award:
        """Whose money its steps move; the number is that of the next step."""
        budget = budget_account(self.round.procedure.id, self.round.called.year, self.clause)
        return Award(self.id, budget, 0)


async def load_rounds(conn: Connection, office: Office) -> list[Round]:
    """Every round, in the order in which they were called."""
    calls = await store.steps_named(conn, CALL)
    return [round_of(office, await store.steps_of(conn, call.subject)) for call in calls]


async def load_committed(conn: Connection, office: Office) -> dict[tuple[str, int], int]:
    """Units that each clause has committed in a year: what its budget was given, less what it still has."""
    return {key: given - left for key, (given, left) in (await load_budgets(conn, office)).items()}


async def load_budgets(conn: Connection, office: Office) -> dict[tuple[str, int], tuple[int, int]]:
    """Units that the budget of each clause and year was given, and those that it still has."""
    given: Counter[str] = Counter()
    clauses: dict[str, tuple[str, int]] = {}
    rounds = [found for found in await load_rounds(conn, office) if not found.procedure.for_schemes]
    for found in rounds:
        for clause, fen in found.budgets.items():
            name = budget_account(found.procedure.id, found.called.year, clause)
            given[name] += fen * UNITS_PER_FEN
            clauses[name] = clause, found.called.year
    has = {one.name: one.balance for one in await ledger_store.load_accounts_by_name(conn, list(given))}
    budgets: dict[tuple[str, int], tuple[int, int]] = {}
    for name, units in given.items():
        before = budgets.get(clauses[name], (0, 0))
        budgets[clauses[name]] = before[0] + units, before[1] + has.get(name, 0)
    return budgets


async def load_round(conn: Connection, office: Office, round_: str) -> Round:
    """The round of this id.

    Raises:
        SubsidyError: `round-unknown`.

    """
    rows = await store.steps_of(conn, round_)
    if not rows or rows[0].step != CALL:
        raise SubsidyError(
            "round-unknown", f"没有轮次“{round_[:60]}”", f"no round {round_[:60]!r}", kind=Kind.NOT_FOUND
        )
    return round_of(office, rows)


def round_of(office: Office, rows: Sequence[StepRow]) -> Round:
    """A round from its call, what was added to its budgets since, and what it gave back."""
    content, *added = [step_body.decode(row) for row in rows]
    inputs = content["inputs"]
    budgets = Counter(inputs["budgets"])
    for more in added:
        budgets.update(more["inputs"].get("budgets", {}))
        budgets.subtract(more["inputs"].get("returned", {}))
    called, opens, closes = (date.fromisoformat(text) for text in (content["day"], inputs["opens"], inputs["closes"]))
    procedure = procedure_named(office.procedures, content["procedure"])
    return Round(rows[0].subject, procedure, inputs["title"], called, opens, closes, dict(budgets), inputs["decision"])


async def load_application(conn: Connection, office: Office, application: str, scope: Scope) -> Application:
    """An application with all its steps; one outside the scope is as unknown as one that is not there.

    Raises:
        SubsidyError: `application-unknown`.

    """
    rows = await store.steps_of(conn, application)
    if not rows or rows[0].step == CALL:
        raise _unknown(application)
    found = application_of(await load_round(conn, office, rows[0].round), rows)
    if not scope.holds(holder=found.case.applicant):
        raise _unknown(application)
    return found


def _unknown(application: str) -> SubsidyError:
    return SubsidyError(
        "application-unknown",
        f"没有申报“{application[:60]}”",
        f"no application {application[:60]!r}",
        kind=Kind.NOT_FOUND,
    )


async def load_applications(conn: Connection, office: Office, round_: str, scope: Scope) -> list[Application]:
    """The applications of a round inside the scope, in the order in which they came."""
    found = await load_round(conn, office, round_)
    rows: dict[str, list[StepRow]] = {}
    for row in await store.steps_of_round(conn, round_):
        if row.subject != round_:
            rows.setdefault(row.subject, []).append(row)
    made = [application_of(found, steps) for steps in rows.values()]
    return [one for one in made if scope.holds(holder=one.case.applicant)]


def application_of(round_: Round, rows: Sequence[StepRow]) -> Application:
    """An application from its steps.

    Raises:
        SubsidyError: `procedure-changed`: its file no longer has a step that was taken.

    """
    gone = {row.step for row in rows} - round_.procedure.steps.keys()
    if gone:
        names = ", ".join(sorted(gone))
        raise SubsidyError(
            "procedure-changed",
            f"流程 {round_.procedure.id} 的文件中已没有步骤 {names}，而 {rows[0].subject} 办过；请恢复该步骤",
            f"the file of procedure {round_.procedure.id} lacks {names}, which {rows[0].subject} went through; put it back",
            kind=Kind.UNAVAILABLE,
        )
    records = [step_body.record_of(row) for row in rows]
    about = records[0].inputs
    case = fold(round_.procedure, records)
    return Application(
        rows[0].subject, round_, about["clause"], about["applicant_name"], about["project"], rows, case, records[-1].day
    )


async def place_for(
    tx: Transaction, digest: bytes, about: Mapping[str, str], round_: Round
) -> tuple[str, list[StepRow]]:
    """The newest application of the same under a clause of a round with its steps, or the id for a new one without any.

    `digest` is the commitment that says what is the same. A withdrawn one makes room for another.
    """
    claims = await store.claims_on(tx.connection, [digest])
    for subject in reversed(dict.fromkeys(claim.subject for claim in claims)):
        rows = await store.steps_of(tx.connection, subject)
        if not rows or rows[0].round != round_.id or step_body.decode(rows[0])["inputs"]["clause"] != about["clause"]:
            continue
        if not _was_withdrawn(round_.procedure, rows[-1]):
            return subject, rows
        break
    number = await store.count_applications(tx.connection, round_.id) + 1
    return f"{round_.id}-{number:04d}", []


def _was_withdrawn(procedure: Procedure, row: StepRow) -> bool:
    step = procedure.steps[row.step]
    target = procedure.states.get(step.target or "")
    return target is not None and target.final and Role.APPLICANT in step.roles
