"""A site with something on every page of the portal: vouchers used, held and split, a batch, a centre that reports, an open round."""

from __future__ import annotations

import contextlib
import copy
import json
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import httpx2

from ledger.ed25519 import PublicKey
from ledger.policy import Policy
from ledger.scope import EVERYTHING
from metering.completeness import Declaration
from metering.notice_store import urns_of
from suanquan.db import trail
from suanquan.db.tokens import create_token
from suanquan.home import Home
from suanquan.http.auth import COOKIE
from suanquan.note_keys import load_verifier_keys
from suanquan.settings import Settings
from suanquan.use_cases import setup
from suanquan.use_cases.completeness import declare
from suanquan.use_cases.findings import Examination
from suanquan.use_cases.findings import record as keep_findings
from suanquan.use_cases.issue import Order, issue
from suanquan.use_cases.line_disputes import Line, Person, open_dispute
from suanquan.use_cases.officers import add_officer
from suanquan.use_cases.setup import bind_account, register_agent_key, register_centre
from suanquan.use_cases.statement import statement
from suanquan.use_cases.verify_ledger import verify_ledger
from tests.suanquan.bureau import MovedService
from tests.suanquan.harness import KEYS, PASSPHRASE, request
from tests.suanquan.spender import HOLDER_KEY, Spender
from tests.suanquan.test_portal import FROM_HERE, HOLDER, record, report
from tests.subsidy.procedure_samples import OFFICERS, Clock
from tests.voucher.application_samples import CALL, REVIEW, SCHEME, application, contract, materials
from voucher.finding import Evidence, Suspicion
from voucher.findings import finding_id
from voucher.holder import sandbox_uscc
from voucher.issuance import IssueRequest

BEGIN, NOW = "2026-09-28T09:00:00+08:00", "2026-11-20T10:00:00+08:00"
DAYS = 12
PEOPLE = {
    "holder": ("beneficiary_admin", HOLDER),
    "centre": ("centre_operator", "sj01"),
    "stranger": ("beneficiary_admin", sandbox_uscc(7)),
    "other centre": ("centre_operator", "sj02"),
    "officer": ("programme_officer", ""),
    "department": ("department", ""),
    "auditor": ("auditor", ""),
}


CHARTED = ("charts", "flow", "supply", "checks", "hours")
OFFICE = (
    *("", "rounds", "uptake", "centres", "budgets", "clauses", "vouchers", "queue", "findings", "usage", "gaps"),
    *CHARTED,
)
APPLY = "/applications/new?round={round}&clause=cn-sh-songjiang-sandbox"
VISITS = {
    "home": (None, "/"),
    "notices": (None, "/notices"),
    "subsidies": (None, "/subsidies"),
    "login": (None, "/login"),
    "docs": (None, "/docs"),
    "vouchers": ("holder", "/vouchers"),
    "voucher": ("holder", "/vouchers/{jti}"),
    "usage": ("holder", "/usage"),
    "applications": ("holder", "/applications"),
    "apply": ("holder", "/applications/new"),
    "apply-company": ("holder", APPLY),
    "apply-amount": ("holder", f"{APPLY}&step=amount"),
    "apply-material": ("holder", f"{APPLY}&step=material.credit_report"),
    "application": ("holder", "/applications/{application}"),
    "supplement": ("holder", "/applications/{returned}/supplement"),
    "views": ("holder", "/views"),
    "inbox": ("holder", "/inbox"),
    "channels": ("holder", "/channels"),
    "disputes": ("holder", "/disputes"),
    "dispute": ("officer", "/disputes/{dispute}"),
    "centre": ("centre", "/centre"),
    "quarantine": ("centre", "/centre/quarantine"),
    "statements": ("holder", "/statements"),
    "month": ("holder", "/statements/sj01/covered/2026-11"),
    "line": ("holder", "/usage/line?batch={number}&record=job:000012"),
    "members": ("holder", "/members"),
    "holds": ("centre", "/holds"),
    "hold": ("centre", "/holds/{hold}"),
    "present": ("centre", "/present"),
    "settlements": ("centre", "/settlements"),
    "settlement": ("department", "/settlements/{batch}"),
    "payees": ("department", "/payees"),
    "quote": ("holder", "/quote?account=sj01/covered&model=A100&count=8&hours=10"),
    "prices": ("centre", "/prices"),
    "energy": ("centre", "/energy"),
    "clock": ("department", "/clock"),
    "bulk-applications": ("林", "/bulk/applications"),
    "bulk-quarantine": ("officer", "/bulk/quarantine"),
    "bulk-findings": ("department", "/bulk/findings"),
    "bulk-settlements": ("department", "/bulk/settlements"),
    "sheets": ("centre", "/sheets"),
    "sheet": ("centre", "/sheets/{sheet}"),
    "sheet-draft": ("centre", "/sheets/drafts/{draft}"),
    "audit": ("auditor", "/audit"),
    "finding": ("department", "/office/findings/{finding}"),
    "bulk-run": ("officer", "/bulk/runs/{run}"),
    "log": (None, "/log"),
    "verify": (None, "/verify"),
    "find": (None, "/find"),
    "policies": (None, "/policies"),
    "office-accounts": ("officer", "/office/accounts?under=centre/sj01/"),
    "office-entries": ("officer", "/office/entries?account=voucher/{jti}"),
    **{
        f"office-{name}".strip("-"): ("department" if name == "rounds" else "officer", f"/office/{name}".rstrip("/"))
        for name in OFFICE
    },
}
"""A visit to each page: who, and where."""


class Site(NamedTuple):
    """Where it is, who may see it, and what stands in it."""

    url: str
    home: Home
    tokens: dict[str, str]
    jti: str
    batch: str
    hold: str
    number: int
    round: str
    application: str
    returned: str
    run: str
    draft: str
    finding: str
    service: object
    call: object
    sheet: str = "energy"
    dispute: str = "1"

    def policy(self):
        """What its log's heads are checked by."""
        return Policy.of_logs(*load_verifier_keys(self.home.log_keys))


@contextlib.contextmanager
def made_site(folder):
    """The site, served on a port of its own until the end of the block."""
    home, clock = Home(folder / "home"), Clock(BEGIN)
    setup.initialise(home, Settings(sandbox=True), PASSPHRASE, clock)
    with MovedService(home, clock) as served:
        tokens = served.call(_people(served.service, clock))
        jti, number = served.call(_usage(served.service, clock))
        batch, hold = _settled(served, tokens)
        site = Site(
            served.url,
            home,
            tokens,
            jti,
            batch,
            hold,
            number,
            *_case(served.url, tokens),
            _run(served.url, tokens),
            _draft(served.url, tokens),
            served.call(_finding(served.service)),
            served.service,
            served.call,
        )
        yield site
        served.call(_verified(served.service))  # whatever tests did on its pages, or tried out


async def _verified(service):
    """The ledger and the audit log hold."""
    async with service.database.read() as conn:
        report = await verify_ledger(conn, lambda _done, _total: None)
        assert report["ok"], report
        assert (await trail.verify(conn)).fault == ""


async def _people(service, clock):
    tokens = {
        actor.person: await add_officer(service.journal, clock, actor.person, actor.role.value) for actor in OFFICERS
    }
    async with service.database.write() as connection:
        for name, (role, tenant) in PEOPLE.items():
            tokens[name] = await create_token(connection, role, name, service.now_us, tenant=tenant)
    return tokens


async def _usage(service, clock):
    """Two vouchers, of which one pays for a day in September and twelve in November; a record with an unknown card waits."""
    scheme, issued = service.catalog.schemes[SCHEME], []
    for unit, amount in (("CNY", "100000.50"), ("PFLOPS.h", "12.5")):
        order = Order(IssueRequest(HOLDER, unit, amount, None), scheme, unit)
        issued.append(await issue(service.journal, order, service.keys, service.issuer.sign))
    await register_centre(service.journal, service.catalog, "sj01", "松江智算中心", {"A100": 8})
    await bind_account(service.journal, "sj01", "covered", HOLDER)
    await register_agent_key(service.journal, "sj01", PublicKey.of(KEYS["sj01"]))
    clock.set("2026-09-30T20:00:00+08:00")
    await report(service, _on(-40, record(100, "covered", 1)))
    for day in range(DAYS):
        clock.set(f"2026-11-{8 + day:02}T20:00:00+08:00")
        await report(service, _on(day, record(day + 1, "covered", 2 + day % 3)))
    clock.set(NOW)
    await report(service, _on(DAYS - 1, record(DAYS + 1, "covered", 1, model="unheard-of")))
    months = [Declaration(202611, "covered", 12, 12, 1), Declaration(202611, "silent", 3, 3, 10_800_000)]
    until_us = service.now_us + 300_000_000
    await service.journal.transact(lambda tx: declare(tx, "sj01", "kid", "declared-once-nonce", until_us, months))
    async with service.database.read() as conn:
        lines = (await statement(conn, service.catalog, EVERYTHING, "sj01", "covered", 2**62))["lines"]
        number = next(line["batch"] for line in lines if line["id"] == "job:000012")
        source = (await urns_of(conn, [number]))[number]
    line = Line("sj01", "covered", source, "job:000005")
    await open_dispute(service.journal, line, Person("holder", "beneficiary_admin"), "那一天没有用过", EVERYTHING)
    await service.log.sign()
    return issued[0].jti, number


def _on(day, one):
    """A record of that many days after the first."""
    moved = copy.deepcopy(one)
    first = datetime(2026, 11, 8, tzinfo=UTC) + timedelta(days=day)
    for name, at in (("start", first), ("end", first + timedelta(hours=10))):
        moved["data"][name] = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    moved["time"] = (first + timedelta(hours=11)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return moved


def post_json(url, token, path, body, **headers):
    sent = json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    named |= {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    answer = request(url, "POST", path, sent, named)
    assert answer.status in {200, 201}, answer
    return answer.content


def _settled(served, tokens):
    """A batch of the third quarter; a voucher of which a part is on hold and a part was split off; a month of energy."""
    service = served.service
    wanted = {"scheme": SCHEME, "payee": "centre:sj01", "period": "2026Q3"}
    batch = post_json(served.url, tokens["department"], "/v1/settlements", wanted)["id"]
    bound = served.call(service.issue(SCHEME, IssueRequest(HOLDER, "CNY", "1000", dict(HOLDER_KEY.jwk()))))
    spender = Spender(served.url, clock=lambda: service.now_us / 1_000_000)
    held = spender.hold(bound.token, 25)
    assert held.status == 200
    part = {"amount": "100", "holder_key": dict(PublicKey.of(KEYS["stranger"]).jwk())}
    post_json(served.url, tokens["officer"], f"/v1/vouchers/{bound.jti}/split", part, Idempotency_Key="split-1")
    energy = {
        "month": "2026-10",
        "total_kwh": 1_240_000,
        "it_kwh": 1_000_000,
        "green_kwh": 186_000,
        "evidence": "ab" * 32,
    }
    post_json(served.url, tokens["centre"], "/v1/centres/sj01/energy", energy)
    return batch, held.content["hold"]


def _case(url, tokens):
    """An open round, and an application that passed its first review."""
    called = CALL | {"title": "2026 年算力券第一轮", "opens": "2026-11-16", "closes": "2026-11-30"}
    round_ = post_json(url, tokens["方"], "/v1/rounds", called)["id"]
    deal = contract(signed_on="2026-11-02", starts_on="2026-11-10", ends_on="2027-10-31")
    content = application(round_, HOLDER, contract=deal, materials=materials(HOLDER))
    found = post_json(url, tokens["holder"], "/v1/subsidies/applications", content)["id"]
    actor, step, inputs = REVIEW[0]
    post_json(url, tokens[actor.person], f"/v1/subsidies/applications/{found}/steps/{step}", inputs)
    return round_, found, _returned(url, tokens, application(round_, HOLDER, contract=deal | {"number": "HT-2026-B"}))


def _returned(url, tokens, content):
    """An application that lacks a seal and a report, and was returned."""
    papers = [
        one | {"sealed": one["id"] != "business_licence_copy"} for one in materials(HOLDER, without=["credit_report"])
    ]
    found = post_json(
        url, tokens["holder"], "/v1/subsidies/applications", content | {"project": "第二个项目", "materials": papers}
    )["id"]
    why = {"reason": "营业执照未盖章，缺信用报告", "until": "2026-11-28"}
    post_json(url, tokens["林"], f"/v1/subsidies/applications/{found}/steps/return_for_materials", why)
    return found


def _run(url, tokens):
    """What came of an act on several rows, none of which was there."""
    sent = {"row.0-0": "waiting", "deed": "drop", "reason": "试办", "act": "confirm"}
    return _form(f"{url}/bulk/quarantine", tokens["officer"], data=sent)


def _draft(url, tokens):
    """A spreadsheet that was looked through: one row is right, of the other a cell is not."""
    rows = "月份,总用电（千瓦时）,设备用电（千瓦时）,其中绿电（千瓦时）\n2026-09,1200000,1000000,180000\n2026-08,1200000,百万,0\n"
    return _form(
        f"{url}/sheets/energy",
        tokens["centre"],
        data={"evidence": "cd" * 32},
        files={"file": ("用电.csv", rows.encode())},
    )


def _form(address, token, **sent):
    """The last part of where a form leads to."""
    answer = httpx2.post(address, headers=FROM_HERE | {"Cookie": f"{COOKIE}={token}"}, **sent)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"].rpartition("/")[2]


async def _finding(service):
    """Something that a check pointed out."""
    evidence = (Evidence("合同价 contract price", "52.00", "claim:C-1"), Evidence("目录价 list price", "40.00"))
    said = Suspicion(
        "A9", "sj01", "合同价高于目录价 30%", "the contract's price is 30 % over the list", "为何高于目录价", evidence
    )
    await keep_findings(service.journal, Examination([said], [], 0, service.now_us))
    return finding_id(said)
