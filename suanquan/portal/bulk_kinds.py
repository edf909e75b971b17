"""What officers act on together: which rows there are, what each says of itself, how it is known to be as it was shown, and the act.

An act is that of its own page, with the rights and the four eyes of it; nothing here decides who may do what.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from ledger.scope import EVERYTHING
from ledger.sql import Connection
from metering import fate_store
from metering.quarantine import Verdict as Fate
from suanquan.access.policy import Reach
from suanquan.access.principal import Principal
from suanquan.http.settlements import by_of, desk_of
from suanquan.portal import figures
from suanquan.service import Service
from suanquan.use_cases import evidence
from suanquan.use_cases.desk import decide_waiting
from suanquan.use_cases.findings import list_findings, review
from suanquan.use_cases.officers import actor_of
from suanquan.use_cases.quarantine import Decision, list_waiting, parse_place
from suanquan.use_cases.settlement_facts import MAY
from suanquan.use_cases.settlement_reading import facts_of_batch, load_batches
from suanquan.use_cases.settlement_views import batch_object
from subsidy import store as subsidy_store
from subsidy.procedure import Procedure
from voucher import finding_store
from voucher.findings import State, Verdict
from voucher.settlement.batch import State as BatchState

LISTED_MAX = 1_000
"""Rows that wait which one list holds; more come once these are done."""
STEPS = ("pass_preliminary_review", "return_for_materials", "refuse", "agree_list", "post_notice", "approve")
"""Steps that take no more than words which may be the same for several applications; points and amounts are one by one."""
STEP_FIELDS = ("opinion", "reason", "until", "basis", "address")


class At(NamedTuple):
    """Where and for whom rows are read."""

    conn: Connection
    service: Service
    who: Principal
    language: str


class Deed(NamedTuple):
    """Something to be done to rows: its name, its words by language, and what has to be typed for it."""

    name: str
    zh: str
    en: str
    fields: tuple[str, ...] = ()

    def said(self, language: str) -> str:
        """Its words."""
        return self.en if language == "en" else self.zh


class Item(NamedTuple):
    """A row as it is now. `stamp` changes with everything that may be decided about it."""

    id: str
    stamp: str
    what: str
    whose: str
    stands: str
    since: str
    href: str = ""
    yuan: str = ""


class Pile(Protocol):
    """One kind of rows. `action` is the right to act on them, `reads` that to read them, `place` where they are listed."""

    name: str
    action: str
    reads: str
    place: str

    def deeds(self, at: At) -> list[Deed]:
        """What somebody in this role may do to some of them."""

    async def items(self, at: At) -> list[Item]:
        """Those that wait."""

    async def stamp(self, conn: Connection, item: str) -> str:
        """What tells whether one is as it was; empty where there is none."""

    async def do(self, service: Service, who: Principal, item: str, deed: str, typed: Mapping[str, str]) -> None:
        """Do something to one."""


FATES = (
    Deed("release", "放行计费", "Rate after all", ("reason",)),
    Deed("drop", "不予计价", "Leave unrated", ("reason",)),
)
VERDICTS = (
    Deed(State.EXPLAINED.value, "已说明，不再追查", "Explained", ("reason",)),
    Deed(State.DISMISSED.value, "排除", "Dismiss", ("reason",)),
    Deed(State.UPHELD.value, "属实", "Uphold", ("reason",)),
)


def _for(at: At, pile: Pile, deeds: tuple[Deed, ...]) -> list[Deed]:
    """All of these for whoever may act on the rows at all."""
    return list(deeds) if at.who.reach(pile.action) is Reach.EVERYTHING else []


class Applications:
    """Applications that wait for a step which several can take with the same words."""

    name, action, reads, place = "applications", "application.act", "application.read", "/office/queue"

    def deeds(self, at: At) -> list[Deed]:
        """Steps of the procedures that are for this role."""
        found: dict[str, Deed] = {}
        for procedure in at.service.proceedings.office.procedures.values():
            for step in procedure.steps.values():
                if step.id in STEPS and at.who.role.value in {role.value for role in step.roles}:
                    fields = tuple(name for name in STEP_FIELDS if name in step.takes)
                    found.setdefault(step.id, Deed(step.id, step.zh, step.en, fields))
        return [found[name] for name in STEPS if name in found]

    async def items(self, at: At) -> list[Item]:
        """Open applications that one of these steps may follow on."""
        waiting = [
            one
            for one in await at.service.cases.applications(at.conn)
            if set(STEPS) & {step.id for step in one.round.procedure.next_steps(one.case.state)}
        ]
        return [
            Item(
                one.id, one.rows[-1].event_id.hex(), one.project, one.applicant_name,
                _state(one.round.procedure, one.case.state, at.language), figures.day(one.rows[-1].at_us), f"/applications/{one.id}",
            )
            for one in waiting[:LISTED_MAX]
        ]  # fmt: skip

    async def stamp(self, conn: Connection, item: str) -> str:
        """The entry of its newest step."""
        rows = await subsidy_store.steps_of(conn, item)
        return rows[-1].event_id.hex() if rows else ""

    async def do(self, service: Service, who: Principal, item: str, deed: str, typed: Mapping[str, str]) -> None:
        """Take a step."""
        await service.proceedings.take(actor_of(who), item, deed, dict(typed), None)


def _state(procedure: Procedure, name: str, language: str) -> str:
    state = procedure.states[name]
    return state.en if language == "en" else state.zh


class Waiting:
    """Usage records in quarantine."""

    name, action, reads, place = "quarantine", "quarantine.decide", "quarantine.list", "/centre/quarantine"

    def deeds(self, at: At) -> list[Deed]:
        """Rate them after all, or leave them unrated."""
        return _for(at, self, FATES)

    async def items(self, at: At) -> list[Item]:
        """Records without a verdict, newest first."""
        return [
            Item(
                one["place"], "waiting", one["id"], f"{one['centre']} {one.get('account', '')}".strip(), one["code"],
                str(one.get("start", "—"))[:10],
            )
            for one in await list_waiting(at.conn, EVERYTHING, limit=LISTED_MAX)
        ]  # fmt: skip

    async def stamp(self, conn: Connection, item: str) -> str:
        """Whether it still waits: what it says does not change while it does."""
        row = await fate_store.waiting_at(conn, *parse_place(item))
        return "" if row is None else row["verdict"] or "waiting"

    async def do(self, service: Service, who: Principal, item: str, deed: str, typed: Mapping[str, str]) -> None:
        """Decide one."""
        verdict = Fate.RELEASE if deed == "release" else Fate.REJECT
        decision = Decision(parse_place(item), verdict, who.name, typed["reason"])
        await decide_waiting(service.journal, service.rules, decision)


class Findings:
    """What the checks pointed out and nobody has decided yet."""

    name, action, reads, place = "findings", "finding.decide", "finding.list", "/office/findings"

    def deeds(self, at: At) -> list[Deed]:
        """The three verdicts."""
        return _for(at, self, VERDICTS)

    async def items(self, at: At) -> list[Item]:
        """Open ones, newest first."""
        found = (await list_findings(at.conn, state=State.OPEN.value, limit=LISTED_MAX))["findings"]
        english = at.language == "en"
        stamps = await _stamps(at.conn, [one["id"] for one in found])
        return [
            Item(
                one["id"], stamps[one["id"]], one["en"] if english else one["zh"], one["subject"],
                f"{one['check']} {one['check_en'] if english else one['check_zh']}", one["found"][:10], f"/office/findings/{one['id']}",
            )
            for one in found
        ]  # fmt: skip

    async def stamp(self, conn: Connection, item: str) -> str:
        """How often it was decided, and the number of its newest evidence."""
        return (await _stamps(conn, [item])).get(item, "")

    async def do(self, service: Service, who: Principal, item: str, deed: str, typed: Mapping[str, str]) -> None:
        """Decide one."""
        await review(service.journal, item, Verdict(State(deed), who.name, typed["reason"]))


async def _stamps(conn: Connection, ids: list[str]) -> dict[str, str]:
    seen = await finding_store.newest_evidence(conn, ids)
    reviews = await finding_store.reviews_of(conn, ids)
    return {name: f"{len(reviews.get(name, []))}-{seen[name].number}" for name in ids if name in seen}


class Batches:
    """Settlement batches that were prepared."""

    name, action, reads, place = "settlements", "settlement.act", "settlement.list", "/settlements"

    def deeds(self, at: At) -> list[Deed]:
        """What the role may do to a prepared batch."""
        every = {
            "certify": ("evidence", Deed("certify", "生成交付凭证", "Make the delivery certificate")),
            "approve": ("approve", Deed("approve", "批准", "Approve")),
            "return": ("return", Deed("return", "退回", "Return", ("reason",))),
        }
        return [deed for kind, deed in every.values() if at.who.role.value in MAY[kind]]

    async def items(self, at: At) -> list[Item]:
        """Prepared ones, oldest first."""
        waiting = [one for one in await load_batches(at.conn) if one.state is BatchState.PREPARED][:LISTED_MAX]
        return [
            Item(
                one.id, await self.stamp(at.conn, one.id), f"{one.scheme} {one.period}", one.payee, one.prepared_by,
                figures.day(one.prepared_us), f"/settlements/{one.id}", batch_object(one)["amount_yuan"],
            )
            for one in waiting
        ]  # fmt: skip

    async def stamp(self, conn: Connection, item: str) -> str:
        """Its newest fact."""
        return (await facts_of_batch(conn, item))[-1].event_id.hex()

    async def do(self, service: Service, who: Principal, item: str, deed: str, typed: Mapping[str, str]) -> None:
        """Act on one."""
        desk, by = desk_of(service), by_of(who, None)
        if deed == "approve":
            await desk.approve(by, item)
        elif deed == "return":
            await desk.return_(by, item, typed["reason"])
        else:
            await evidence.certify(service.journal, service.rules, by, item)


PILES: Mapping[str, Pile] = {one.name: one for one in (Applications(), Waiting(), Findings(), Batches())}
