"""Generated histories of cases, batches, findings and disputes, through the use cases, by people of whom many may not do what they try."""

import re
from collections import Counter
from datetime import date, timedelta

from ledger.errors import DomainError
from ledger.scope import EVERYTHING
from metering.dispute import Act
from suanquan.db.tokens import create_token
from suanquan.http.settlements import desk_of
from suanquan.use_cases import evidence, payees
from suanquan.use_cases.findings import Examination, review
from suanquan.use_cases.findings import record as keep_findings
from suanquan.use_cases.issue import Order, issue
from suanquan.use_cases.line_disputes import Line, Person, open_dispute, take_step
from suanquan.use_cases.officers import add_officer
from suanquan.use_cases.settlement_facts import By
from suanquan.use_cases.setup import bind_account, register_centre
from subsidy.procedure import Role
from subsidy.steps import Actor
from tests.suanquan.harness import HOUR_MS, SCHEME, usage
from tests.suanquan.test_portal import FROM_HERE
from tests.suanquan.test_truth import Desk
from tests.subsidy.procedure_samples import CALLED, OFFICERS
from tests.voucher.application_samples import (
    APPROVE,
    BALANCED,
    CALL,
    LIST,
    OVER,
    PLAN,
    POST,
    POSTED,
    REVIEW,
    application,
    contract,
    materials,
)
from voucher.finding import Evidence, Suspicion
from voucher.findings import State, Verdict, finding_id
from voucher.holder import sandbox_uscc
from voucher.issuance import IssueRequest

MORE = (
    Actor("吴", Role.DEPARTMENT),
    Actor("O'Neil <郑>", Role.DEPARTMENT),
    Actor("第三方", Role.REVIEWER),
    Actor("冯", Role.FINANCE),
)
ACTORS = (*OFFICERS, *MORE)
DEPARTMENT = [one for one in ACTORS if one.role is Role.DEPARTMENT]
READER = "审计员"
PHASES = ((CALLED, 6), ("2025-09-05T09:00:00+08:00", 6), (BALANCED, 4), (POSTED, 4), (OVER, 5))
"""Instants at which each application is acted on, and how many tries each gets there: in the round, after it, in and after notice."""
PROPER = {CALLED: REVIEW, BALANCED: (PLAN, LIST), POSTED: (POST,), OVER: (APPROVE,)}
RARE = {"withdraw", "refuse", "uphold_objection", "close", "propose_override"}
OVER_THE_QUARTER = "2025-10-09T09:00:00+08:00"


class World:
    """A service with people, on which histories are made."""

    def __init__(self, service, clock, random, client):
        self.service, self.clock, self.random, self.client = service, clock, random, client
        self.tokens, self.refused, self.words = {}, Counter(), 0

    def word(self):
        """Words that nobody has said yet."""
        self.words += 1
        return f"第{self.words}条意见 <i>&"

    async def tried(self, work):
        """Do what may be refused."""
        try:
            return await work
        except DomainError as error:
            self.refused[error.code] += 1
            return None

    def headers(self, who):
        """Of a request by somebody."""
        return FROM_HERE | {"Authorization": f"Bearer {self.tokens[who]}"}


async def people_of(world):
    """Accounts of everybody who acts, and a token of one who only reads."""
    for one in ACTORS:
        world.tokens[one.person] = await add_officer(world.service.journal, world.clock, one.person, one.role.value)
    async with world.service.database.write() as conn:
        world.tokens[READER] = await create_token(conn, "auditor", READER, world.service.now_us)


def inputs_of(world):
    """Whatever steps take."""
    until = (date.fromisoformat(world.clock.text[:10]) + timedelta(days=5)).isoformat()
    every = {
        "method": world.random.choice(["experts", "third_party"]), "score": "86.5", "amount_yuan": "1000.00", "until": until,
        "address": "https://notice.example.cn/1", "objection_number": 1,
    }  # fmt: skip
    return every | {key: world.word() for key in ("opinion", "reason", "basis", "objection", "reference")}


async def case_of(world, found):
    """An application as it stands."""
    async with world.service.database.read() as conn:
        return next(one for one in await world.service.cases.applications(conn) if one.id == found)


async def act_on(world, found):
    """Have somebody, who may be the wrong one, try a step of an application."""
    service, random, one = world.service, world.random, await case_of(world, found)
    following = [step for step in one.round.procedure.next_steps(one.case.state) if not step.automatic]
    asked = one.case.asked_override is not None
    likely = [step for step in following if step.id not in RARE and (asked or step.id != "approve_override")]
    if not following:
        return
    step = random.choice(likely if likely and random.random() < 0.9 else following)
    able = [who for who in ACTORS if who.role in step.roles]
    able += [Actor(one.case.applicant, Role.APPLICANT)] * 3 if Role.APPLICANT in step.roles else []
    given, wanted = inputs_of(world), {*step.takes, *({"basis"} & set(step.may_take))}
    given = {name: given[name] for name in wanted & given.keys()}
    if "materials" in wanted:
        given = {"materials": materials(one.case.applicant)}
    await world.tried(service.proceedings.take(random.choice([*able, random.choice(ACTORS)]), found, step.id, given))
    await service.try_to_issue(found)


async def cases(world, count):
    """Applications of many companies in one round, each with a history of its own, now and then several at once.

    The first goes the proper way to its voucher, so that there is a step that the program takes.
    """
    service, random = world.service, world.random
    round_ = await service.proceedings.call(DEPARTMENT[0], CALL | {"budgets": {SCHEME: "9000000.00"}})
    found = []
    for number in range(count):
        holder = sandbox_uscc(100 + number)
        content = application(
            round_, holder, contract=contract(f"HT-{number}"), project=f"项目 {number}", applicant_name=f"第{number}家",
            materials=materials(holder, without=random.choice([(), (), ("credit_report",)]) if number else ()),
        )  # fmt: skip
        actor = Actor(holder, Role.APPLICANT) if not number or random.random() < 0.7 else random.choice(DEPARTMENT)
        found.append(await service.proceedings.submit(actor, content))
    for at, tries in PHASES:
        world.clock.set(at)
        if at == BALANCED:
            await review_the_rest(world, found[1:])
        for actor, step, given in PROPER.get(at, ()):
            await service.proceedings.take(actor, found[0], step, given)
        for one in found[1:]:
            for _ in range(random.randrange(1, tries)):
                await act_on(world, one)
        await together(world, found[0])
    await service.try_to_issue(found[0])
    return found


async def review_the_rest(world, found):
    """Before anything of a round is planned, each application is reviewed or refused, by whoever may do that."""
    ways = {
        "submitted": ("pass_preliminary_review", "refuse"),
        "returned": ("refuse",),
        "preliminarily_reviewed": ("record_review",),
    }
    for one in found:
        tried = 0
        while (name := (case := await case_of(world, one)).case.state) in ways and tried < 40:
            step = case.round.procedure.steps[ways[name][tried // 2 % len(ways[name])]]
            given = {key: value for key, value in inputs_of(world).items() if key in step.takes}
            able = [who for who in ACTORS if who.role in step.roles]
            await world.tried(world.service.proceedings.take(world.random.choice(able), one, step.id, given))
            tried += 1


async def together(world, but):
    """Several rows at once, on the page for it, by somebody who may be barred from some of them."""
    who = world.random.choice([one for one in ACTORS if one.role in {Role.DEPARTMENT, Role.FINANCE}])
    headers = world.headers(who.person)
    page = (await world.client.get("/bulk/applications", headers=headers)).text
    boxes = dict(re.findall(r'type="checkbox" name="(row\.[^"]+)" value="([^"]*)"', page))
    boxes.pop(f"row.{but}", None)
    deeds = [deed for deed in re.findall(r'name="deed" value="(\w+)"', page) if deed != "refuse"]
    if boxes and deeds:
        ticked = dict(world.random.sample(sorted(boxes.items()), min(6, len(boxes))))
        sent = ticked | inputs_of(world) | {"deed": world.random.choice(deeds), "act": "confirm"}
        sent = {name: str(value) for name, value in sent.items()}
        answer = await world.client.post("/bulk/applications", data=sent, headers=headers)
        assert answer.status_code == 303, answer.text


async def usage_of(world):
    """A voucher of which something is used at a centre in September, and two more accounts of it."""
    service = world.service
    await register_centre(service.journal, service.catalog, "sj01", "松江", {"A100": 1000})
    await bind_account(service.journal, "sj01", "used", sandbox_uscc(1))
    order = Order(IssueRequest(sandbox_uscc(1), "CNY", "5000", None), service.catalog.schemes[SCHEME], SCHEME)
    await issue(service.journal, order, service.keys, service.issuer.sign)
    world.clock.set("2025-09-20T09:00:00+08:00")
    span = {"start_us": service.now_us - 7_200_000_000, "end_us": service.now_us - 3_600_000_000}
    records = [usage(number, account="used", active_ms=HOUR_MS, **span) for number in range(3)]
    assert await Desk(service).report(*records) == ["accepted"] * 3


async def disputes(world):
    """Each line is disputed and taken as far as chance has it."""
    found = []
    for number in range(3):
        line, who = (
            Line("sj01", "used", "urn:centre:sj01:agent:test", f"sj01:{number:09d}"),
            Person("holder", "beneficiary_admin"),
        )
        opened = await open_dispute(world.service.journal, line, who, world.word(), EVERYTHING)
        found.append(opened["dispute"])
        for _ in range(4):
            actor, act = world.random.choice(ACTORS), world.random.choice([Act.ANSWER, Act.UPHOLD, Act.REFUSE])
            person = Person(actor.person, actor.role.value)
            await world.tried(take_step(world.service.journal, found[-1], act, person, world.word()))
    return found


async def findings(world):
    """Findings, reviewed and opened again by several; one is about somebody who acts."""
    said = [
        Suspicion("A9", subject, f"合同价 {number}", "the price", "为何", (Evidence("价", "52.00", f"claim:{number}"),))
        for number, subject in enumerate(("sj01", "sj02", ACTORS[0].person))
    ]
    await keep_findings(world.service.journal, Examination(said, [], 0, world.service.now_us))
    for one in said:
        for _ in range(5):
            who, state = world.random.choice(ACTORS), world.random.choice(list(State))
            await world.tried(review(world.service.journal, finding_id(one), Verdict(state, who.person, world.word())))
    return [finding_id(one) for one in said]


async def batches(world):
    """Batches of a centre: a payee by two persons, papers, returns, approvals, payments, demands; many tries by the wrong one."""
    service, random, desk, found = world.service, world.random, desk_of(world.service), []
    journal, payee = service.journal, "centre:sj01"
    world.clock.set(OVER_THE_QUARTER)
    for number in range(25):
        actor = random.choice(DEPARTMENT if number < 6 else ACTORS)
        by = By(actor.person, actor.role.value)
        if number % 6 == 0:
            bank = {"account": f"6222020{number:04d}", "bank": "工行", "bank_code": "1" * 12}
            await world.tried(payees.set_payee(journal, by, payee, {"name": "松江", "uscc": sandbox_uscc(9)} | bank))
            made = await world.tried(desk.prepare(by, SCHEME, payee, "2025Q3"))
            found += [made.id] if made else []
        await world.tried(payees.confirm_payee(journal, by, payee))
        for batch in found[-1:]:
            invoice = evidence.Paper(
                "invoice", "i.pdf", f"{number:064x}", None, (f"N{number:05d}", sandbox_uscc(7), 10**12)
            )
            proof = evidence.Paper("payment_proof", "p.pdf", f"{number:064x}", None, None)
            acts = [
                *(evidence.add_paper(journal, by, batch, paper) for paper in (invoice, proof)),
                evidence.certify(journal, service.rules, by, batch),
                *([desk.return_(by, batch, world.word())] if random.random() < 0.1 else []),
                desk.approve(by, batch), desk.pay(by, batch, "2025-10-08", world.word()),
                desk.demand(by, batch, "1", world.word(), corrections=False), desk.recover(by, batch, "1", world.word()),
            ]  # fmt: skip
            for act in acts:
                await world.tried(act)
    return list(dict.fromkeys(found))
