"""Applications for vouchers of a scheme: decided by `voucher.decide`, paid from the round's share of the year's budget, issued once."""

from __future__ import annotations

import functools
import hmac
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple

from ledger import store as ledger_store
from ledger.amount import CNY
from ledger.budget import used_name
from ledger.entry import Event
from ledger.errors import DomainError, Finding, Kind
from ledger.scope import EVERYTHING
from ledger.sql import Connection
from ledger.transaction import Transaction
from metering.zones import shanghai_day_us
from suanquan.office import Office
from suanquan.use_cases import programme_money as money
from suanquan.use_cases.applications import Application, Round, load_applications
from suanquan.use_cases.catalogue import facts_invalid
from suanquan.use_cases.issue import Order, Source, record
from suanquan.use_cases.matter import Asking, Moved
from suanquan.use_cases.programme_money import Programme
from suanquan.use_cases.register import Claimant, claim_contract, contract_claims, release_support
from suanquan.use_cases.revoked_claims import unused
from subsidy.errors import SubsidyError
from subsidy.materials import Submitted, check_materials
from subsidy.procedure import Case, Effect, Guard, Procedure, Step, issued_as
from subsidy.procedure_guards import Setting
from subsidy.procedure_inputs import Reader
from subsidy.register import application_commitment
from subsidy.steps import Call
from subsidy.unit import YUAN, Unit, of_pot, pot
from voucher import programme_store
from voucher.application import (
    Standing,
    Sums,
    allocate,
    call_faults,
    claims_max,
    judge,
    lifted,
    read_stated,
    unpaid,
)
from voucher.issuance import IssueRequest
from voucher.keys import KeyRegistry
from voucher.p256 import holder_key
from voucher.programme import Award, RoundClaim
from voucher.scheme import COST_KINDS, Scheme, Series

YEARS_BACK = 12
"""How far back sums "in total" look: no scheme has lived longer."""


class Issuing(NamedTuple):
    """What a voucher is recorded with: the issuer's public keys as they stand, and the service's address for status lists."""

    keys: Callable[[], KeyRegistry]
    address: str | None


@dataclass(frozen=True, slots=True)
class SchemeMatter:
    """Vouchers of a scheme, see `Matter`. Without `issuing` everything but the issue itself can be done."""

    office: Office
    issuing: Issuing | None = None

    def reader(self, procedure: Procedure, about: str, unit: Unit, /) -> Reader:
        """See `Matter`."""
        series = self._series(about)

        def stated(written: Mapping[str, object], where: str) -> tuple[dict[str, object], list[Finding]]:
            return read_stated(series, written, where, date.min)

        return Reader(series.latest.facts, procedure.materials, stated, unit)

    def closed_on(self, about: str, day: date, /) -> list[Finding]:
        """See `Matter`."""
        version, where = self._series(about).on(day), f"/budgets/{about}"
        if version is None:
            zh, en = f"方案 {about} 在 {day} 没有施行中的版本", f"no version of the scheme {about} is in force on {day}"
            return [Finding("scheme-not-in-force", zh, en, where)]
        span = version.application
        if span is None or span.holds(day):
            return []
        source = version.source("application")
        zh = f"{day} 不在方案的申请期 {span.first} 至 {span.last} 内（{source}）"
        en = f"{day} is outside the scheme's time of application, {span.first} to {span.last} ({source})"
        return [Finding("scheme-closed", zh, en, where)]

    def call_faults(self, call: Call, /) -> list[Finding]:
        """See `Matter`."""
        found = []
        for name, amount in call.budgets.items():
            about, unit = of_pot(name)
            version = self._series(about).on(call.opens) if about in self.office.series else None
            if version is not None and unit is not None:
                found += call_faults(version, unit, amount, f"/budgets/{name}")
        return found

    def check(self, asking: Asking, /) -> None:
        """See `Matter`."""
        contract, key = asking.inputs.get("contract"), asking.inputs.get("holder_key")
        found = [] if contract is None else list(_contract_faults(contract))
        if key is not None:
            try:
                holder_key(key)
            except DomainError as error:
                found.append(Finding(error.code, error.zh, error.en, "/holder_key"))
        if found:
            first = found[0]
            raise SubsidyError(
                "inputs-malformed",
                f"填写有误：{first.where} {first.zh}",
                f"the inputs are not valid: {first.where} {first.en}",
                findings=found,
            )

    def identity(self, tx: Transaction, about: Mapping[str, str], /) -> bytes:
        """See `Matter`."""
        return application_commitment(tx.keyed, about["applicant"], about["project"], about["round"]).digest

    async def fund(self, tx: Transaction, round_: Round, budgets: Mapping[str, int], /) -> list[Event]:
        """See `Matter`."""
        events = []
        for name, amount in budgets.items():
            of, unit = self._programme_of(name, round_)
            if amount:
                account = of.round(round_.id)
                events += await money.set_aside(tx, of, account, round_.id, unit.units(amount), round_.id)
        return events

    async def setting(self, conn: Connection, found: Application, asking: Asking | None, today: date, /) -> Setting:
        """See `Matter`."""
        case, procedure = (asking.case if asking else found.case), found.round.procedure
        received = case.received or today
        standing = await self.standing(conn, found, case, received)
        given = Submitted(case.applicant, received.year, case.materials, case.costs, case.facts, case.contract)
        allocation = asking.allocation if asking else None
        if asking and allocation is None and Guard.WITHIN_ALLOCATION in asking.step.guards:
            awards = await self.allocation(conn, found.round, pot(found.clause, found.unit), today)
            allocation = awards[found.id].amount if found.id in awards else 0
        days = standing.decision.scheme.procedure.publication_days or 0
        return Setting(
            today,
            self.office.calendar,
            (found.round.opens, found.round.closes),
            check_materials(procedure.materials, given),
            standing.judged,
            max(procedure.notice_working_days, days),
            allocation,
            standing.due,
        )

    async def standing(self, conn: Connection, found: Application, case: Case, received: date) -> Standing:
        """What the scheme makes of an application.

        Raises:
            VoucherError: `facts-invalid`.

        """
        sums = await self._sums(conn, found, case)
        standing, findings = judge(self._series(found.clause), case, sums, received)
        if standing is None:
            raise facts_invalid(findings)
        return standing

    async def _sums(self, conn: Connection, found: Application, case: Case) -> Sums:
        """What the ledger knows of the applicant under the scheme, without this application."""
        scheme, year, holder = found.clause, found.round.called.year, case.applicant
        claimed = await _given(conn, scheme, year, holder, YUAN)
        given = claimed if case.unit is YUAN else await _given(conn, scheme, year, holder, case.unit)
        given[year] = max(given.get(year, 0) - case.committed, 0)
        paid = await programme_store.redeemed_by_holder(conn, scheme, CNY.number, holder)
        redeemed = {one: -(-units // YUAN.step_units) for one, units in paid.items()}
        head = await ledger_store.load_head(conn)
        prior = 0
        if case.contract and head is not None:
            most = max(claims_max(version) for version in self._series(scheme).versions)
            keyed = functools.partial(_keyed, head.pseudonym_key)
            prior = await contract_claims(keyed, conn, found.id, case.contract, most)
        sums = claimed.get(year, 0), redeemed.get(year, 0), sum(claimed.values()), sum(redeemed.values())
        return Sums(*sums, prior, given[year])

    async def allocation(self, conn: Connection, round_: Round, name: str, today: date) -> dict[str, Award]:
        """What each application that waits to be planned gets of what a closed round has left of a budget, by the scheme's order.

        Raises:
            SubsidyError: `round-unreviewed`: one that was not reviewed yet may rank higher.

        """
        listed = [
            one
            for one in await load_applications(conn, self.office, round_.id, EVERYTHING)
            if pot(one.clause, one.unit) == name
        ]
        planning = planning_step(round_.procedure)
        alive = [one for one in listed if not round_.procedure.states[one.case.state].final or one.case.committed]
        planned = [one for one in alive if planning.id in one.case.persons]
        waiting = [one for one in alive if one.case.state in planning.sources]
        closed_us = shanghai_day_us(round_.closes + timedelta(1)) if today > round_.closes else None
        if closed_us is not None:
            _require_reviewed(one for one in alive if one not in planned and one not in waiting)
        spent = sum(one.case.committed or one.case.amount or 0 for one in planned)
        claims = [await self._claim_of(conn, one) for one in waiting]
        of, unit = self._programme_of(name, round_)
        return allocate(of.scheme, unit, max(round_.budgets[name] - spent, 0), closed_us, claims)

    async def leftovers(self, tx: Transaction, round_: Round, today: date) -> tuple[dict[str, int], list[Event]]:
        """What a round that is over has left of each budget, and the entries that give it back to the year's budget.

        Raises:
            SubsidyError: `round-open`, `round-unfinished`.

        """
        if today <= round_.closes:
            zh, en = f"本轮至 {round_.closes} 截止", f"the round takes applications until {round_.closes}"
            raise SubsidyError("round-open", zh, en, kind=Kind.CONFLICT)
        listed = await load_applications(tx.connection, self.office, round_.id, EVERYTHING)
        states = round_.procedure.states
        pending = [one.id for one in listed if not states[one.case.state].final and not one.case.committed]
        if pending:
            names = ", ".join(pending)
            zh, en = f"尚有申请没有结果：{names}", f"applications are without a result: {names}"
            raise SubsidyError("round-unfinished", zh, en, kind=Kind.CONFLICT)
        returned, events = {}, []
        for name in round_.budgets:
            of, unit = self._programme_of(name, round_)
            account = of.round(round_.id)
            found = await tx.accounts([account])
            left = found[account].available if account in found else 0
            if left:
                events += await money.put_back(tx, of, account, round_.id, left, round_.id)
            returned[name] = unit.of_units(left)
        return returned, events

    async def _claim_of(self, conn: Connection, found: Application) -> RoundClaim:
        case, received_us = found.case, found.rows[0].at_us
        assert case.received is not None
        standing = await self.standing(conn, found, case, case.received)
        signed = case.contract.get("signed_on")
        signed_us = shanghai_day_us(date.fromisoformat(signed)) if signed else received_us
        most = standing.judged.ceiling or 0
        wanted = most if case.asked is None else min(case.asked, most)
        return RoundClaim(found.id, wanted, signed_us, received_us)

    async def move(self, tx: Transaction, asking: Asking, setting: Setting, /) -> Moved:
        """See `Matter`."""
        found, case, effects = asking.found, asking.case, asking.step.effects
        version = self._version(found.clause, str(setting.judged.told["version"]))
        unit = case.unit
        of = self._programme(lifted(version, case.override, unit), found.round, unit)
        place = of, found.round.id, case.applicant
        if Effect.COMMIT in effects:
            return Moved(await money.commit(tx, *place, unit.units(case.amount or 0), found.id))
        if Effect.RELEASE in effects and unpaid(case):
            return Moved(await money.uncommit(tx, *place, unit.units(unpaid(case)), found.id))
        if Effect.ISSUE in effects:
            return await self._issue(tx, of, asking, setting.due)
        return Moved()

    async def _issue(self, tx: Transaction, of: Programme, asking: Asking, amount: int) -> Moved:
        """Record the voucher of what is due, in the step's own transaction; it is signed once that is durable.

        Raises:
            SubsidyError: `cannot-issue`: opened without the issuer's keys.
            VoucherError: `issue-refused`.

        """
        if self.issuing is None:
            raise SubsidyError("cannot-issue", "此处不能发券", "no voucher can be issued here", kind=Kind.UNAVAILABLE)
        found, case = asking.found, asking.case
        unit = case.unit
        request = IssueRequest(case.applicant, unit.code, unit.text(amount), case.holder_key)
        order = Order(request, of.scheme, f"{found.id}/{len(case.vouchers) + 1}", "application")
        source = Source(of.approved, of.year, found.id)
        prepared = await record(tx, order, self.issuing.keys(), self.issuing.address, source=source)
        issued = {issued_as(unit): amount}
        return Moved((), {"voucher": prepared.voucher.jti, **issued, "entries": {}})

    async def claim(self, tx: Transaction, asking: Asking, setting: Setting, /) -> list[Event]:
        """See `Matter`. Issuing claims again what the application claimed, so that no voucher stands without its claim."""
        found, case, effects = asking.found, asking.case, set(asking.step.effects)
        if effects & {Effect.CLAIM, Effect.ISSUE}:
            claimant = Claimant(found.id, case.applicant, found.project, found.round.id)
            most = claims_max(self._version(found.clause, str(setting.judged.told["version"])))
            basis = found.round.procedure.duplicate_basis
            return await claim_contract(tx, claimant, case.contract, case.costs, most, basis)
        free = Effect.RELEASE in effects and await unused(tx, list(case.vouchers))
        return await release_support(tx, found.id) if free else []

    def _series(self, about: str) -> Series:
        return self.office.series[about]

    def _version(self, about: str, name: str) -> Scheme:
        return next(version for version in self._series(about).versions if version.version == name)

    def _programme_of(self, name: str, round_: Round) -> tuple[Programme, Unit]:
        """The programme that bears a budget of a round, and the budget's unit."""
        about, unit = of_pot(name)
        assert unit is not None, "a round was called with it"
        return self._programme(self._series(about).on(round_.opens) or self._series(about).latest, round_, unit), unit

    def _programme(self, scheme: Scheme, round_: Round, unit: Unit) -> Programme:
        """The programme that bears a round: that of the year in which it was called."""
        terms = scheme.terms_in(unit.code)
        if terms is None:
            raise SubsidyError(
                "scheme-incomplete",
                f"方案 {scheme.id} 版本 {scheme.version} 缺预算或上限，不能发券",
                f"version {scheme.version} of the scheme {scheme.id} lacks a budget or a cap: nothing can be issued under it",
                kind=Kind.NOT_ALLOWED,
            )
        return Programme(scheme, terms, round_.called.year)


async def _given(conn: Connection, scheme: str, year: int, holder: str, unit: Unit) -> dict[int, int]:
    """What a holder was given under a scheme, by year, in steps of a unit, rounded up."""
    names = {used_name((scheme, str(one), holder), unit.asset): one for one in range(year - YEARS_BACK, year + 1)}
    accounts = await ledger_store.load_accounts_by_name(conn, list(names))
    return {names[one.name or ""]: -(-one.balance // unit.step_units) for one in accounts}


def _keyed(pepper: bytes, text: bytes) -> bytes:
    return hmac.digest(pepper, text, "sha256")


def planning_step(procedure: Procedure) -> Step:
    """The step by which applications of a closed round get their part of it.

    Raises:
        SubsidyError: `no-allocation`: the procedure has none.

    """
    for step in procedure.steps.values():
        if Guard.WITHIN_ALLOCATION in step.guards:
            return step
    raise SubsidyError(
        "no-allocation",
        f"流程 {procedure.id} 没有按次序分配的步骤",
        f"the procedure {procedure.id} has no step that allocates",
        kind=Kind.CONFLICT,
    )


def _require_reviewed(pending: Iterable[Application]) -> None:
    names = ", ".join(one.id for one in pending)
    if names:
        raise SubsidyError(
            "round-unreviewed",
            f"尚未评审的申请可能排在前面：{names}",
            f"not reviewed yet, and may rank higher: {names}",
            kind=Kind.CONFLICT,
        )


def _contract_faults(contract: Mapping[str, object]) -> Iterable[Finding]:
    """Days out of order, and kinds of cost that no scheme knows."""
    if str(contract["ends_on"]) < str(contract["starts_on"]):
        zh, en = "合同终止日早于起始日", "the contract ends before it starts"
        yield Finding("input-malformed", zh, en, "/contract/ends_on")
    items = contract["items"]
    assert isinstance(items, list)
    for at, item in enumerate(items):
        if item["kind"] not in COST_KINDS:
            words = ", ".join(COST_KINDS)
            where = f"/contract/items/{at}/kind"
            yield Finding("input-malformed", f"应为其中之一：{words}", f"must be one of: {words}", where)
