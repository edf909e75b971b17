"""What else goes on in the demo's town: a round that is over and one that is open, usage of months, a payment, a gap, a dispute.

Everything is done by what pages and API call, and on the days on which it would have been done: the demo's clock begins months
ago and comes to today. Names and figures are invented, as everything of a sandbox is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from ledger.amount import CNY, format_units
from ledger.errors import DomainError
from ledger.scope import EVERYTHING
from metering.agent.declare import declare
from metering.agent.keys import AgentKey
from metering.centre import Energy
from metering.completeness import declarations
from metering.model import Accelerator, UsageRecord
from metering.notice_store import urns_of
from metering.zones import shanghai_day_us
from suanquan.clock import SandboxClock, shanghai_day
from suanquan.home import Home
from suanquan.http.settlements import desk_of
from suanquan.service import Service
from suanquan.use_cases import payees, setup
from suanquan.use_cases.centres import Said, register_energy
from suanquan.use_cases.evidence import Paper, add_paper, certify
from suanquan.use_cases.first_account import CENTRE, COMPANY
from suanquan.use_cases.line_disputes import Line, Person, open_dispute
from suanquan.use_cases.officers import add_officer
from suanquan.use_cases.settlement_facts import By
from suanquan.use_cases.statement import statement
from subsidy.procedure import Role
from subsidy.steps import Actor
from voucher.holder import sandbox_uscc
from voucher.settlement.accounts import centre_payee

NAME = "松江大学城智算中心（沙箱）"
T = TypeVar("T")
CARDS = {"A100": 32}
SCHEME, PROCEDURE = "cn-sh-songjiang-sandbox", "voucher-sandbox"
OPENED_DAYS = 108
"""How long ago the first round was called, at least."""
SPENT_DAYS = 53
"""From the first call to the last day of the quarter that is settled, at least: there is usage in it then."""
FIRST_DAYS = 34
"""From the first call to the first day of usage: three weeks of it are for the public notice, which a holiday makes long."""
DAY_NS, HOUR_US, HOUR_MS = 86_400_000_000_000, 3_600_000_000, 3_600_000
CLERK, PLANNER, CHIEF = (Actor(name, Role.DEPARTMENT) for name in ("林初审", "钱计划", "孙批准"))
EXPERTS, TREASURY, CASHIER = (
    Actor("专家组", Role.REVIEWER), Actor("何会签", Role.FINANCE), Actor("许出纳", Role.FINANCE),
)  # fmt: skip


class Party(NamedTuple):
    """Who applies: its kind and name, its account at the centre, the cards of one of its jobs, and its contract's yuan."""

    holder: str
    kind: str
    name: str
    account: str
    cards: int
    yuan: int


PARTIES = (
    Party(COMPANY, "enterprise", "上海星河智能科技有限公司（沙箱）", "xinghe", 4, 160_000),
    Party(sandbox_uscc(2), "university", "松江大学（沙箱）", "sjdx-ai", 2, 120_000),
    Party(sandbox_uscc(3), "research_institute", "长三角机器人研究院（沙箱）", "robotics", 3, 90_000),
    Party(sandbox_uscc(4), "platform", "G60 算法创新平台（沙箱）", "g60", 1, 60_000),
)
NEWCOMER = Party(sandbox_uscc(5), "enterprise", "松江初芽科技有限公司（沙箱）", "chuya", 1, 40_000)


class PastClock(SandboxClock):
    """A sandbox's clock that is at an earlier day until it comes to today."""

    def __init__(self, file: Path) -> None:
        super().__init__(file)
        self._behind_ns = 0

    @property
    def ahead_ns(self) -> int:
        """How far the sandbox is ahead, in nanoseconds; less than nothing while it is in the past."""
        return super().ahead_ns - self._behind_ns

    def go_to(self, days_ago: int) -> None:
        """Be at this time of the day, so many days ago."""
        self._behind_ns = days_ago * DAY_NS

    @property
    def today(self) -> date:
        """The day in Shanghai when it has come to today."""
        return shanghai_day(self() + self._behind_ns)


class Agent(NamedTuple):
    """The centre's agent: how it reports records, and its key."""

    report: Callable[[list[UsageRecord]], Awaitable[None]]
    key: AgentKey


@dataclass(slots=True)
class Scene:
    """The service in which it goes on, its clock, and what has come of it so far."""

    service: Service
    clock: PastClock
    agent: Agent
    given: list[Party] = field(default_factory=list)
    """Who has a voucher of the first round."""
    sent: list[UsageRecord] = field(default_factory=list)
    cases: list[str] = field(default_factory=list)
    """Applications of the second round, of the second and the third party."""

    async def step(self, case: str, actor: Actor, name: str, **inputs: Any) -> str:
        """Take a step of an application; its id."""
        return await self.service.proceedings.take(actor, case, name, inputs)


def begun(home: Home) -> bool:
    """Whether it was played in this home already, if only in part."""
    return (home.path / "demo-scene").exists()


def since_quarter(today: date) -> int:
    """Days since the last whole quarter ended, which is settled."""
    return (today - date(today.year, (today.month - 1) // 3 * 3 + 1, 1)).days


def first_day(today: date) -> int:
    """How many days ago it begins."""
    return max(OPENED_DAYS, since_quarter(today) + SPENT_DAYS)


async def people(service: Service) -> None:
    """Who acts in it: officers, and whose accounts of the centre are."""
    (service.home.path / "demo-scene").touch(mode=0o600)
    for actor in (CLERK, PLANNER, CHIEF, EXPERTS, TREASURY, CASHIER):
        await add_officer(service.journal, service.clock_ns, actor.person, actor.role.value)
    for party in PARTIES:
        await setup.bind_account(service.journal, CENTRE, party.account, party.holder)


async def play(scene: Scene) -> None:
    """Play it from the first call to today: one round is over, one waits for finance and the public notice, one is open.

    Where the working days of a year are not known yet no public notice can be posted: what depends on one stays away.
    """
    await _past_round(scene)
    since = since_quarter(scene.clock.today)
    plot = [
        (since + 2, _report), (since * 3 // 4, _settle), (16, _second_round), (6, _plan_second), (5, _open_round),
        (2, _publish_second), *((days, _report) for days in range(30, 0, -3)), (1, _energy), (0, _report), (0, _declare), (0, _dispute),
    ]  # fmt: skip
    for days_ago, act in sorted(plot, key=lambda one: -one[0]):
        scene.clock.go_to(days_ago)
        await act(scene)
    scene.clock.go_to(0)


# --- rounds -----------------------------------------------------------------------------------------------------------


async def _call(scene: Scene, title: str, days: int) -> str:
    opens = scene.service.proceedings.today
    call = {
        "procedure": PROCEDURE,
        "title": title,
        "budgets": {SCHEME: "1000000.00"},
        "opens": opens.isoformat(),
        "closes": (opens + timedelta(days=days)).isoformat(),
    }
    return await scene.service.proceedings.call(PLANNER, call)


async def _apply(scene: Scene, round_: str, party: Party, project: str) -> str:
    today = scene.service.proceedings.today
    contract = _hash(party.account, project)
    more: dict[str, dict[str, Any]] = {
        "application_form": {},
        "business_licence_copy": {"registration_number": party.holder},
        "service_contract": {"sha256": contract},
        "credit_report": {"bad_record": False},
    }
    application = {
        "round": round_,
        "scheme": SCHEME,
        "applicant": party.holder,
        "applicant_name": party.name,
        "project": project,
        "facts": {"beneficiary": {"kind": party.kind, "startup": party is NEWCOMER, "related_to_provider": False}},
        "contract": {
            "number": f"HT-{today:%Y%m%d}-{party.account}",
            "provider": sandbox_uscc(9),
            "sha256": contract,
            "signed_on": (today - timedelta(days=9)).isoformat(),
            "starts_on": today.isoformat(),
            "ends_on": (today + timedelta(days=364)).isoformat(),
            "items": [{"kind": "compute", "amount_yuan": str(party.yuan)}],
        },
        "materials": [
            {"id": name, "sha256": _hash(contract, name), "sealed": True, "matches_original": True} | fields
            for name, fields in more.items()
        ],
    }
    return await scene.service.proceedings.submit(Actor(party.holder, Role.APPLICANT), application)


def _hash(*parts: str) -> str:
    return sha256("/".join(parts).encode()).hexdigest()


async def _review(scene: Scene, case: str) -> None:
    await scene.step(case, CLERK, "pass_preliminary_review", opinion="材料齐全，合同属实")
    await scene.step(case, EXPERTS, "record_review", method="experts", opinion="算力需求合理", score="86.5")


async def _plan(scene: Scene, case: str, party: Party) -> None:
    yuan = f"{party.yuan * 2 // 5}.00"
    await scene.step(case, PLANNER, "include_in_plan", amount_yuan=yuan, basis="综合平衡会纪要（沙箱）")


async def _publish(scene: Scene, case: str) -> bool:
    """Finance signs and the notice is posted; whether the calendar of its days is known."""
    await scene.step(case, TREASURY, "agree_list", opinion="同意")
    posted = scene.step(case, PLANNER, "post_notice", address="https://notice.example.cn/sandbox")
    return await _unless(posted, "calendar-unknown") is not None


async def _unless(act: Awaitable[T], code: str) -> T | None:
    """What comes of an act; None where it is refused for this reason, which some days have, and for no other."""
    try:
        return await act
    except DomainError as error:
        if code not in {error.code, *(finding.code for finding in error.findings)}:
            raise
        return None


async def _past_round(scene: Scene) -> None:
    """Three of four parties are given a voucher, one is refused with the reason."""
    clock = scene.clock
    start = first_day(clock.today)
    round_ = await _call(scene, "算力券第一轮（沙箱）", 6)
    clock.go_to(start - 2)
    cases = [await _apply(scene, round_, party, "行业模型训练") for party in PARTIES]
    for days, case in enumerate(cases[:3], 7):
        clock.go_to(start - days)
        await _review(scene, case)
    await scene.step(cases[3], CLERK, "refuse", reason="合同的服务期早于本轮申报期")
    clock.go_to(start - 12)
    for party, case in zip(PARTIES, cases[:3], strict=False):
        await _plan(scene, case, party)
        if await _publish(scene, case):
            scene.given.append(party)
    clock.go_to(start - FIRST_DAYS + 1)
    for case in cases[: len(scene.given)]:
        await scene.step(case, CHIEF, "approve", basis="批复（沙箱）")
        await scene.service.issue_approved(case)


async def _second_round(scene: Scene) -> None:
    round_ = await _call(scene, "算力券第二轮（沙箱）", 6)
    scene.cases = [await _apply(scene, round_, party, "推理服务扩容") for party in PARTIES[1:3]]


async def _plan_second(scene: Scene) -> None:
    for case in scene.cases:
        await _review(scene, case)
    for party, case in zip(PARTIES[1:3], scene.cases, strict=True):
        await _plan(scene, case, party)


async def _publish_second(scene: Scene) -> None:
    """One is in public notice, the other waits for finance."""
    await _publish(scene, scene.cases[0])


async def _open_round(scene: Scene) -> None:
    """What the ready company sent is returned to it, one waits for the experts, one is not looked at yet."""
    round_ = await _call(scene, "算力券第三轮（沙箱）", 20)
    company, platform, _ = [
        await _apply(scene, round_, party, "智能体评测") for party in (PARTIES[0], PARTIES[3], NEWCOMER)
    ]
    scene.clock.go_to(4)
    until = (scene.clock.today + timedelta(days=10)).isoformat()
    await scene.step(company, CLERK, "return_for_materials", reason="信用报告应为本月出具，请更换", until=until)
    await scene.step(platform, CLERK, "pass_preliminary_review", opinion="材料齐全")


# --- usage and what follows from it -----------------------------------------------------------------------------------


async def _report(scene: Scene) -> None:
    """Jobs of each day since the last report, until two days before this one."""
    last = max((one.end_us for one in scene.sent), default=0)
    today = scene.service.proceedings.today
    first = scene.clock.today - timedelta(days=first_day(scene.clock.today) - FIRST_DAYS)
    days = [first + timedelta(days=number) for number in range((today - first).days - 1)]
    found = [job for day in days for job in _jobs(scene.given, day) if job.start_us > last]
    scene.sent += found
    await scene.agent.report(found)


def _jobs(given: list[Party], day: date) -> list[UsageRecord]:
    """A job of each party, longer and shorter in turn."""
    found = []
    for at, party in enumerate(given):
        start_us = shanghai_day_us(day) + (1 + 2 * at) * HOUR_US
        hours = 3 + (day.toordinal() * 7 + at * 5) % 9
        job, end_us = f"{day:%m%d}{at}", start_us + hours * HOUR_US
        cards = (Accelerator("A100", party.cards * 1000),)
        found.append(
            UsageRecord(
                f"{CENTRE}:{day:%Y%m%d}{at}",
                party.account,
                job,
                0,
                start_us,
                end_us,
                hours * HOUR_MS,
                cards,
                "COMPLETED",
            )
        )
    return found


async def _settle(scene: Scene) -> None:
    """What the quarter's usage comes to is prepared, certified, approved by another and paid."""
    service, payee = scene.service, centre_payee(CENTRE)
    ended = scene.clock.today - timedelta(days=since_quarter(scene.clock.today) + 1)
    office, finance, desk = By(CLERK.person, CLERK.role.value), By(CASHIER.person, CASHIER.role.value), desk_of(service)
    prepared = desk.prepare(office, SCHEME, payee, f"{ended.year}Q{ended.month // 3}")
    batch = await _unless(prepared, "nothing-to-settle")
    if batch is None:  # nobody was given a voucher
        return
    await certify(service.journal, service.rules, office, batch.id)
    invoice = ("26310000", sandbox_uscc(9), batch.invoiced)
    for paper in (
        Paper("invoice", "发票.pdf", _hash(batch.id, "invoice"), None, invoice),
        Paper("payment_proof", "自付凭证.pdf", _hash(batch.id, "payment"), None, None),
    ):
        await add_paper(service.journal, office, batch.id, paper)
    details = {
        "name": NAME,
        "uscc": sandbox_uscc(9),
        "account": "62220202001",
        "bank": "沙箱银行",
        "bank_code": "1" * 12,
    }
    await payees.set_payee(service.journal, By(TREASURY.person, TREASURY.role.value), payee, details)
    await payees.confirm_payee(service.journal, finance, payee)
    await desk.approve(By(CHIEF.person, CHIEF.role.value), batch.id)
    today = service.proceedings.today.isoformat()
    await desk.pay(finance, batch.id, today, f"ZF-{format_units(batch.units, CNY)}")


async def _declare(scene: Scene) -> None:
    """The centre says what it ran last month: one job more than arrived, which is a gap until it is reported."""
    last = scene.clock.today.replace(day=1) - timedelta(days=1)
    month = last.year * 100 + last.month
    found = declarations(scene.sent, month)
    if found:
        one = found[0]
        found[0] = replace(one, jobs=one.jobs + 1, segments=one.segments + 1, gpu_ms=one.gpu_ms + HOUR_MS)
        await asyncio.to_thread(declare, scene.service.settings.url, scene.agent.key, found)


async def _dispute(scene: Scene) -> None:
    """The ready company doubts its newest line."""
    if PARTIES[0] not in scene.given:
        return
    service, account = scene.service, PARTIES[0].account
    async with service.database.read() as conn:
        line = (await statement(conn, service.catalog, EVERYTHING, CENTRE, account, 2**62))["lines"][-1]
        source = (await urns_of(conn, [line["batch"]]))[line["batch"]]
    who = Person(f"{COMPANY}/企业", "beneficiary_admin")
    await open_dispute(service.journal, Line(CENTRE, account, source, line["id"]), who, "该作业我方未提交", EVERYTHING)


async def _energy(scene: Scene) -> None:
    """What the centre's monitors counted in the last three whole months."""
    first = scene.clock.today.replace(day=1)
    for number in range(3):
        first = (first - timedelta(days=1)).replace(day=1)
        said = Said(CHIEF.person, scene.service.now_us, _hash(CENTRE, first.isoformat()))
        reading = Energy(f"{first:%Y-%m}", 124_000 - number * 3_000, 100_000, 18_600 + number * 900)
        await register_energy(scene.service.journal, CENTRE, reading, said)
