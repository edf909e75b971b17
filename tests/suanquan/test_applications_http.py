"""Applications for vouchers on both surfaces: HTTP with tokens, the command line, and the job that takes up what was left behind."""

import time
from random import Random

import pytest

from suanquan import jobs
from suanquan.home import Home
from suanquan.settings import Settings
from suanquan.use_cases import setup
from suanquan.use_cases.officers import add_officer
from tests.conftest import ALL
from tests.suanquan.bureau import Bureau, MovedService
from tests.suanquan.harness import PASSPHRASE, ProcessService, install
from tests.subsidy.procedure_samples import CALLED, OFFICERS, Clock
from tests.voucher.application_samples import (
    APPLICANT,
    APPROVE,
    BALANCED,
    CALL,
    COMPANY,
    LIST,
    OVER,
    PLAN,
    POST,
    POSTED,
    REVIEW,
    SCHEME,
    application,
    contract,
)

JSON = "application/json"


@pytest.fixture
def bureau(tmp_path):
    clock, home = Clock(), Home(tmp_path / "home")
    administrator = setup.initialise(home, Settings(sandbox=True), PASSPHRASE, clock)
    with MovedService(home, clock) as service:
        bureau = Bureau(home, clock, service, tmp_path)
        bureau.tokens["administrator"] = administrator

        async def register():
            for actor in (*OFFICERS, COMPANY):
                bureau.tokens[actor.person] = await add_officer(
                    service.service.journal, clock, actor.person, actor.role.value
                )
            await setup.register_centre(service.service.journal, service.service.catalog, "sj01", "一号", {})

        service.call(register())
        yield bureau
        service.figures()  # the books agree with the log


def step(bureau, found, actor, name, inputs):
    return bureau.http("POST", f"/v1/applications/{found}/steps/{name}", actor.person, inputs)


def test_from_application_to_voucher(bureau):
    """Applied for over HTTP, allocated at the command line, issued by the approval; the programme and every list say the same."""
    called = bureau.http("POST", "/v1/rounds", "方", CALL)
    assert called.status == 201, called.content
    round_ = called.content["id"]
    sent = bureau.http("POST", "/v1/applications", APPLICANT, application(round_), Idempotency_Key="a1")
    assert sent.status == 201, sent.content
    found = sent.content["id"]
    assert sent.content["evaluation"]["ceiling_yuan"] == "100000.00"
    assert bureau.http("POST", "/v1/applications", APPLICANT, application(round_)).content["id"] == found
    other = application(round_, project="另一用途", contract=contract())
    assert_refused(bureau.http("POST", "/v1/applications", APPLICANT, other), 409, "supported-already")
    for one in REVIEW:
        assert step(bureau, found, *one).status == 200
    bureau.clock.set(BALANCED)
    [award] = bureau.ok("round", "allocate", round_, "--as", "钱", "--basis", "纪要")
    assert (award["application"], award["amount_yuan"]) == (found, "100000.00")
    assert step(bureau, found, *LIST).status == 200
    bureau.clock.set(POSTED)
    assert step(bureau, found, *POST).status == 200
    [notice] = bureau.http("GET", "/v1/subsidies/notices").content
    assert (notice["application"], notice["amount_yuan"]) == (found, "100000.00")
    assert "虚构 invented" in bureau.http("GET", "/notices").content.decode()
    bureau.clock.set(OVER)
    approved = step(bureau, found, *APPROVE).content
    assert (approved["state"]["id"], approved["money_yuan"]["issued"]) == ("issued", "50000.00"), approved
    [jti] = approved["vouchers"]
    assert bureau.http("GET", f"/v1/vouchers/{jti}", "administrator").content["available"] == "50000.000000"
    shown = bureau.http("GET", f"/v1/programmes/{SCHEME}", "administrator").content
    assert shown == bureau.ok("programme", "show", SCHEME)
    assert (shown["agrees"], shown["totals"]["issued"]) == (True, "50000.000000")
    assert_refused(bureau.http("GET", f"/v1/programmes/{SCHEME}", APPLICANT), 403, "not-permitted")
    assert [one["id"] for one in bureau.http("GET", "/v1/rounds").content] == [round_]
    assert bureau.http("GET", "/v1/subsidies/rounds").content == []
    assert [one["id"] for one in bureau.http("GET", "/v1/procedures").content] == ["voucher-sandbox"]


def test_compute_is_applied_for_in_its_own_unit(bureau):
    """Over HTTP, at the command line and on pages: budget, amount and ceiling are PFLOPS·h, never shown as yuan."""
    call = CALL | {"budgets": {f"{SCHEME}@PFLOPS.h": "12.5"}}
    round_ = bureau.http("POST", "/v1/rounds", "方", call).content
    assert (round_["budgets_yuan"], round_["budgets"][0]["amount"]) == ({}, "12.500000000")
    given = application(round_["id"], unit="PFLOPS.h", amount="7.25")
    sent = bureau.http("POST", "/v1/applications", APPLICANT, given).content
    assert (sent["unit"], sent["amount"], sent["amount_yuan"]) == ("PFLOPS.h", "7.250000000", None), sent
    assert sent["evaluation"]["ceiling"] == "1000000.000000000"
    for one in REVIEW:
        assert step(bureau, sent["id"], *one).status == 200
    bureau.clock.set(BALANCED)
    over = bureau.step_by_command(sent["id"], PLAN[0], PLAN[1], {"amount": "7.26", "basis": "纪要"})
    assert (over.status, "7.250000000 PFLOPS.h" in over.err) == (6, True), over.err
    assert (
        bureau.http("POST", f"/v1/rounds/{round_['id']}/allocation", "钱", {"basis": "纪要"}).content[0]["cut_yuan"]
        is None
    )
    assert "12.500000000 PFLOPS·h" in bureau.http("GET", "/notices").content.decode()
    page = bureau.http("GET", f"/applications/{sent['id']}", "何").content.decode()
    assert "1000000.000000000 PFLOPS·h" in page


def test_what_was_approved_at_the_command_line_is_issued_by_the_service(bureau):
    """A command without the passphrase approves; the job of the running service issues, once, and hands out of allotments."""
    round_ = bureau.http("POST", "/v1/rounds", "方", CALL).content["id"]
    found = bureau.http("POST", "/v1/applications", APPLICANT, application(round_)).content["id"]
    for one in REVIEW:
        step(bureau, found, *one)
    bureau.clock.set(BALANCED)
    bureau.http("POST", f"/v1/rounds/{round_}/allocation", "钱", {"basis": "纪要"})
    step(bureau, found, *LIST)
    bureau.clock.set(POSTED)
    step(bureau, found, *POST)
    bureau.clock.set(OVER)
    done = bureau.step_by_command(found, *APPROVE)
    assert (done.status, done.json["state"]["id"]) == (0, "approved"), done.err
    for _ in range(2):
        bureau.service.call(jobs.issue_due(bureau.service.service))
    assert bureau.http("GET", f"/v1/applications/{found}", "何").content["money_yuan"]["issued"] == "50000.00"
    assert len(bureau.http("GET", "/v1/vouchers", "administrator").content["vouchers"]) == 1

    body = {"centre": "sj01", "amount": "100", "reason": "区发改〔2025〕2号"}
    allotted = bureau.http(
        "POST", f"/v1/programmes/{SCHEME}/allotments", "周", body, Idempotency_Key="x", Content_Type=JSON
    )
    assert allotted.content["years"][0]["allotted"] == {"sj01": "100.000000"}, allotted.content
    path = f"/v1/programmes/{SCHEME}/allotments/sj01/vouchers"
    order = {"holder": APPLICANT, "amount": "60"}
    first = bureau.http("POST", path, "周", order, Idempotency_Key="h", Content_Type=JSON)
    assert first.content == bureau.http("POST", path, "周", order, Idempotency_Key="h", Content_Type=JSON).content
    assert_refused(
        bureau.http("POST", path, "周", order, Idempotency_Key="i", Content_Type=JSON), 409, "budget-exceeded"
    )
    settled = bureau.http("POST", f"/v1/rounds/{round_}/settlement", "何", {"basis": "结束"}).content
    assert settled["budgets_yuan"] == {SCHEME: "100000.00"}
    bureau.service.call(jobs.take_back_idle(bureau.service.service))
    assert bureau.http("GET", f"/v1/programmes/{SCHEME}/reclaims", "周").content == []


def assert_refused(answer, status, code):
    assert (answer.status, answer.content["code"]) == (status, code), answer.content


@pytest.mark.skipif(not ALL, reason="starts and kills the service over and over: --all")
def test_a_service_that_is_killed_issues_once(tmp_path, seed):
    """Approved by a command, then the service is killed at random moments of its start: in the end there is one voucher, signed."""
    installation = install(tmp_path / "home")
    bureau = Bureau(installation.home, Clock(), None, tmp_path)
    for actor in OFFICERS:
        bureau.ok("officer", "add", actor.person, "--role", actor.role.value)
    budget = f"{SCHEME}={CALL['budgets'][SCHEME]}"
    days = ("--opens", CALL["opens"], "--closes", CALL["closes"])
    called = bureau.ok(
        *("round", "call", "--as", "方", "--procedure", CALL["procedure"], "--title", "一", "--budget", budget), *days
    )
    found = bureau.submit_by_command(APPLICANT, application(called["id"])).json["id"]
    for at, steps in ((CALLED, REVIEW), (BALANCED, (PLAN, LIST)), (POSTED, (POST,)), (OVER, (APPROVE,))):
        bureau.clock.set(at)
        for one in steps:
            assert bureau.step_by_command(found, *one).status == 0
    random, service = Random(seed), ProcessService(installation)
    for _ in range(6):
        service.start(standing_by=True)
        time.sleep(random.uniform(0.2, 2.5))
        service.kill()
    with service:
        deadline = time.monotonic() + 60
        while not bureau.ok("application", "show", found)["vouchers"] and time.monotonic() < deadline:
            time.sleep(0.2)
        time.sleep(1)
    shown = bureau.ok("application", "show", found)
    [voucher] = bureau.ok("voucher", "list")
    assert shown["vouchers"] == [voucher["jti"]]
    assert bureau.ok("voucher", "show", voucher["jti"])["token"], "signed"
    assert [line["step"] for line in shown["steps"]].count("issue") == 1
    assert bureau.ok("ledger", "verify")["ok"]
