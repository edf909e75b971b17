"""A whole round on both surfaces with a clock that is moved: officers at the command line, applicants and officers over HTTP."""

import re

import pytest

from ledger.ed25519 import PublicKey
from suanquan.home import Home
from suanquan.http.auth import COOKIE
from suanquan.settings import Settings
from suanquan.use_cases import setup
from tests.suanquan.bureau import Bureau, MovedService
from tests.suanquan.command import suanquan
from tests.suanquan.harness import CHINESE, KEYS, PASSPHRASE, Agent, give, usage
from tests.suanquan.paying import pay_on_the_page
from tests.subsidy.procedure_samples import (
    APPLICANT,
    APPROVE,
    CALL,
    CLAUSE,
    COMPANY,
    FACTS,
    OFFICERS,
    PAY,
    POST,
    REVIEW,
    Clock,
    application,
    materials,
)

OTHER = "91310000MA1K35QN0G"
NUMBER = "沪松数〔2025〕16号"


@pytest.fixture
def bureau(tmp_path):
    clock, home = Clock(), Home(tmp_path / "home")
    administrator = setup.initialise(home, Settings(sandbox=True), PASSPHRASE, clock)
    with MovedService(home, clock) as service:
        bureau = Bureau(home, clock, service, tmp_path)
        bureau.tokens["administrator"] = administrator
        for actor in (*OFFICERS, COMPANY):
            added = bureau.ok("officer", "add", actor.person, "--role", actor.role.value)
            bureau.tokens[actor.person] = added["token"]
        yield bureau
        service.figures()  # the books agree with the log


def assert_problem(answer, status, code):
    """A refusal as documented; its English may name clauses and persons, which are written in Chinese."""
    assert (answer.status, answer.content["code"]) == (status, code), answer
    assert answer.headers["content-type"] == "application/problem+json"
    assert CHINESE.search(answer.content["title"])
    assert answer.content["detail"]


def paid_by(bureau):
    """What the ledger says the subsidies' accounts hold, in yuan by account."""
    found = {}
    for name in ("subsidy/treasury", f"subsidy/16/2025/{CLAUSE}/budget"):
        found[name.removeprefix("subsidy/")] = bureau.ok("ledger", "balance", name)["balance"]
    return found


def cites(page):
    """Every part of a page that rests on the text says which words: clause, quote, line, document."""
    bases = []

    def walk(value):
        if isinstance(value, dict):
            bases.extend(item for name, item in value.items() if name == "basis" and isinstance(item, dict))
            for item in value.values():
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)

    walk(page)
    assert bases
    for basis in bases:
        assert basis["document"] == NUMBER
        assert basis["clause"].startswith("16:")
        assert basis["quote"]
        assert basis["line"] > 0
    return {basis["clause"] for basis in bases}


def call(bureau):
    """A call at the command line; the id of its round."""
    called = bureau.ok(
        "round", "call", "--as", "方", "--procedure", "16", "--title", "2025 年度", "--opens", "2025-09-01",
        "--closes", "2025-09-30", "--budget", f"{CLAUSE}=1000000", "--budget", "16:三(三)=500000",
    )  # fmt: skip
    assert cites(called) == {"16:六(一)"}
    return called["id"]


def apply_twice(bureau, round_):
    """The company applies over HTTP and lacks a material; it is returned at the command line and supplemented over HTTP."""
    body = application(round_, materials=materials(without=["two_year_credit_report"]))
    sent = bureau.post("applications", APPLICANT, body, Idempotency_Key="a1")
    assert sent.status == 201, sent.content
    found = sent.content["id"]
    assert bureau.post("applications", APPLICANT, body, Idempotency_Key="a1").content["id"] == found
    assert bureau.post("applications", APPLICANT, body).content["id"] == found, "the same application sent twice is one"
    lacking = bureau.step_by_command(found, *REVIEW[0])
    assert lacking.status == 2
    assert "two_year_credit_report" in lacking.err
    returned = bureau.ok(
        "application",
        "step",
        found,
        "return_for_materials",
        "--as",
        "林",
        "--reason",
        "缺信用报告",
        "--until",
        "2025-09-12",
    )
    assert returned["state"]["id"] == "returned"
    assert [one["id"] for one in returned["materials"] if one["verdict"] == "lacking"] == ["two_year_credit_report"]
    bureau.clock.set("2025-09-12T23:00:00+08:00")
    again = bureau.step_by_http(found, COMPANY, "supplement", {"materials": materials()})
    assert again.content["state"]["id"] == "submitted", again.content
    return found


def duplicate(bureau, round_):
    """The same project under another clause, entered by an officer from paper, is refused on both surfaces."""
    copy = application(round_, clause="16:三(三)", costs=[])
    done = bureau.submit_by_command("方", copy)
    assert done.status == 4
    assert "supported-already" in done.err
    assert "16:八(二)" in done.err
    assert_problem(bureau.post("applications", "方", copy), 409, "supported-already")


def review(bureau, found):
    """Preliminary review, experts, balancing and the list, by turns at the command line and over HTTP."""
    for at, one in enumerate(REVIEW):
        if at % 2:
            answer = bureau.step_by_http(found, *one)
            assert answer.status == 200, answer.content
        else:
            done = bureau.step_by_command(found, *one)
            assert done.status == 0, done.err


def notice_with_objection(bureau, found):
    """Posted before the holidays; an objection in the last minute of the last day, decided by another person."""
    bureau.clock.set("2025-09-26T10:00:00+08:00")
    posted = bureau.step_by_http(found, *POST).content
    assert posted["notice"] == {
        "waived": False, "last_publicity_day": "2025-10-10", "earliest_next_step": "2025-10-11",
    }  # fmt: skip
    [notice] = bureau.http("GET", "/v1/subsidies/notices").content
    assert (notice["application"], notice["amount_yuan"]) == (found, "150000.00")
    assert bureau.ok("round", "notices") == [notice]
    assert cites(notice) == {"16:六(三)"}
    for language in ("", "?lang=en"):
        page = bureau.http("GET", f"/notices{language}").content.decode()
        assert all(text in page for text in (notice["project"], "150,000.00", "2025-10-10", notice["basis"]["quote"]))
        assert page.count(NUMBER) > 25, "each step and material cites the document"
    early = bureau.step_by_command(found, *APPROVE)
    assert early.status == 4
    assert "notice-running" in early.err

    bureau.clock.set("2025-10-10T23:59:50+08:00")
    objected = bureau.step_by_command(found, REVIEW[2][0], "record_objection", {"objection": "并非首次通过测试"})
    assert objected.status == 0, objected.err
    assert bureau.told("application.notice_ended") == set()
    bureau.clock.set("2025-10-11T00:00:00+08:00")
    assert bureau.told("application.notice_ended") == {("office", found), (f"holder:{APPLICANT}", found)}
    assert bureau.http("GET", "/v1/subsidies/notices").content == []
    assert_problem(
        bureau.step_by_http(found, REVIEW[2][0], "record_objection", {"objection": "迟"}), 409, "objection-late"
    )
    assert_problem(bureau.step_by_http(found, *APPROVE), 409, "objection-open")
    dismissed = bureau.ok(
        "application",
        "step",
        found,
        "dismiss_objection",
        "--as",
        "周",
        "--objection-number",
        "1",
        "--reason",
        "查无实据",
    )
    assert dismissed["objections"] == [{"number": 1, "open": False}]


def approve_and_pay(bureau, found):
    """By persons who did not prepare it; the clause's budget becomes what was paid."""
    assert_problem(bureau.step_by_http(found, REVIEW[0][0], *APPROVE[1:]), 403, "four-eyes")
    approved = bureau.step_by_command(found, *APPROVE)
    assert approved.status == 0, approved.err
    assert paid_by(bureau)[f"16/2025/{CLAUSE}/budget"] == "850000.000000"
    pay_on_the_page(bureau, found)
    assert bureau.ok("ledger", "balance", f"subsidy/{found}/paid")["balance"] == "150000.000000"


def recover(bureau, found):
    """A third comes back; the ledger's sums are those of the payments."""
    bureau.clock.set("2026-03-02T09:00:00+08:00")
    demanded = bureau.ok(
        "application", "step", found, "demand_recovery", "--as", "周", "--amount", "50000", "--reason", "发票作废"
    )
    assert demanded["state"]["id"] == "recovery_demanded"
    recovered = bureau.step_by_http(found, PAY[0], "record_recovery", {"reference": "SK-1"}).content
    assert recovered["money_yuan"] == {
        "approved": "150000.00", "paid": "150000.00", "recovery_demanded": "0.00", "recovered": "50000.00",
    }  # fmt: skip
    assert bureau.ok("ledger", "balance", f"subsidy/{found}/paid")["balance"] == "100000.000000"
    assert bureau.ok("ledger", "balance", f"subsidy/{found}/payable")["balance"] == "0.000000"
    assert paid_by(bureau) == {"treasury": "-1500000.000000", f"16/2025/{CLAUSE}/budget": "900000.000000"}
    assert (
        f'subsidy_committed_yuan{{clause="{CLAUSE}",year="2025"}} 100000.0'
        in bureau.http("GET", "/metrics").content.decode()
    )


def test_a_whole_round(bureau):
    """Call, a returned application, a duplicate, notice, an objection on the last day, approval, payment, recovery; pages cite."""
    round_ = call(bureau)
    found = apply_twice(bureau, round_)
    duplicate(bureau, round_)
    for part in (review, notice_with_objection, approve_and_pay, recover):
        part(bureau, found)
    shown = bureau.ok("application", "show", found)
    assert shown == bureau.http("GET", f"/v1/subsidies/applications/{found}", "何").content
    assert [line["step"] for line in shown["steps"]] == [
        "submit", "return_for_materials", "supplement", "pass_preliminary_review", "record_review", "include_in_plan",
        "agree_list", "post_notice", "record_objection", "dismiss_objection", "approve", "pay", "demand_recovery",
        "record_recovery",
    ]  # fmt: skip
    assert {"16:四", "16:六(一)", "16:六(二)", "16:六(三)", "16:七", "16:七(十)"} <= cites(shown)
    [procedure] = bureau.http("GET", "/v1/subsidies/procedures").content
    assert bureau.ok("round", "procedure", "16") == procedure
    cites(procedure)
    assert bureau.ok("ledger", "verify")["ok"]


def test_the_moved_clock_reaches_the_rules(bureau):
    """What the command line and the service call today is the moved day: windows, the document's life and the journal's time."""
    bureau.clock.set("2026-05-26T09:00:00+08:00")
    call = CALL | {"opens": "2026-05-26", "closes": "2026-05-30"}
    answer = bureau.post("rounds", "方", call)
    assert_problem(answer, 422, "call-refused")
    assert {error["code"] for error in answer.content["errors"]} == {"clause-closed"}
    options = ("round", "call", "--as", "方", "--procedure", "16", "--title", "x", "--budget", f"{CLAUSE}=1")
    done = bureau.run(*options, "--opens", "2026-05-26", "--closes", "2026-05-30")
    assert (done.status, "document_expired" in done.err) == (2, True)
    bureau.clock.set("2026-05-20T09:00:00+08:00")
    assert bureau.ok(*options, "--opens", "2026-05-20", "--closes", "2026-05-25")["called"] == "2026-05-20"
    [line] = bureau.ok("ledger", "lines", "subsidy/treasury", "--limit", "1")["lines"]
    assert line["recorded_at"].startswith("2026-05-20T01:00:0")


def test_only_a_sandbox_has_a_moved_clock(tmp_path):
    """Elsewhere the variable is refused, and so is an instant that is none."""
    home = Home(tmp_path / "home")
    setup.initialise(home, Settings(sandbox=False), PASSPHRASE)
    sandbox = Home(tmp_path / "sandbox")
    setup.initialise(sandbox, Settings(sandbox=True), PASSPHRASE)
    for opened, text, code in (
        (home, "2025-09-01T09:00:00+08:00", "clock-not-sandbox"),
        (sandbox, "2025-09-01", "clock-malformed"),
    ):
        environment = {"SUANQUAN_HOME": str(opened.path), "SUANQUAN_SANDBOX_CLOCK": text}
        done = suanquan("round", "list", cwd=tmp_path, environment=environment)
        assert (done.status, code in done.err) == (2, True)


def test_who_may_do_and_see_what(bureau):
    """Tokens say who acts: none, an administrator's, an applicant's for another, and roles that a step is not for."""
    assert_problem(bureau.post("rounds", None, CALL), 401, "token-required")
    assert_problem(bureau.post("rounds", "administrator", CALL), 403, "role-not-allowed")
    assert_problem(bureau.post("rounds", "何", CALL), 403, "role-not-allowed")
    round_ = bureau.post("rounds", "方", CALL).content["id"]
    assert_problem(
        bureau.post("applications", APPLICANT, application(round_, applicant=OTHER)), 403, "not-your-application"
    )
    found = bureau.post("applications", APPLICANT, application(round_)).content["id"]
    bureau.tokens[OTHER] = bureau.ok("officer", "add", OTHER, "--role", "applicant")["token"]
    path = f"/v1/subsidies/applications/{found}"
    for way in (path, path.replace("/subsidies", "")):
        missing = way.replace(found, "R16-2025-1-0099")
        assert_problem(bureau.http("GET", way, OTHER), 404, "application-unknown")
        foreign, none = (bureau.http("POST", f"{one}/steps/withdraw", OTHER, {"reason": "x"}) for one in (way, missing))
        assert_problem(foreign, 404, "application-unknown")
        assert foreign.content["title"].replace(found, "") == none.content["title"].replace("R16-2025-1-0099", "")
    for name in ("officer", "state", "amount_yuan"):  # who acts is whose token it is, and steps alone move a case
        for answer in (
            bureau.post("applications", APPLICANT, application(round_, project="另一个") | {name: "x"}),
            bureau.post(f"applications/{found}/steps/withdraw", APPLICANT, {"reason": "x", name: "x"}),
        ):
            assert_problem(answer, 422, "inputs-malformed")
            assert f"/{name}" in {fault["pointer"] for fault in answer.content["errors"]}
    own, foreign, none = (
        bureau.http("GET", f"/applications/{name}", person)
        for person, name in ((APPLICANT, found), (OTHER, found), (OTHER, "R16-2025-1-0099"))
    )
    assert (own.status, foreign.status, none.status) == (200, 404, 404)
    assert _without(foreign, found) == _without(none, "R16-2025-1-0099"), "a page, too, says as much of another's"
    assert found not in bureau.http("GET", "/applications", OTHER).content.decode()
    assert found in bureau.http("GET", "/applications", APPLICANT).content.decode()
    assert_problem(bureau.step_by_http(found, COMPANY, *REVIEW[0][1:]), 403, "role-not-allowed")
    assert bureau.http("GET", f"/v1/subsidies/applications?round={round_}", OTHER).content == []
    assert len(bureau.http("GET", f"/v1/subsidies/applications?round={round_}", APPLICANT).content) == 1
    assert_problem(bureau.http("GET", "/v1/vouchers", "专家组"), 403, "not-permitted")
    assert bureau.http("GET", "/v1/vouchers", APPLICANT).content == {"vouchers": [], "next": None}, (
        "its own, of which it has none"
    )
    page = bureau.http("GET", "/", Cookie=f"{COOKIE}={bureau.tokens[APPLICANT]}")
    assert page.status == 200
    assert bureau.ok("officer", "revoke", OTHER) == {"person": OTHER, "revoked": 1}
    assert_problem(bureau.http("GET", path, OTHER), 401, "token-unknown")
    nobody = bureau.run("application", "step", found, "refuse", "--as", "路人", "--reason", "x")
    assert (nobody.status, "account-unknown" in nobody.err) == (3, True)


def _without(page, name):
    """A page without the number of its request and the name that was asked for."""
    text = page.content.decode().replace(page.headers["x-request-id"], "").replace(name, "")
    return re.sub(r'name="once" value="[^"]*"', "", text)


BODIES = [
    (b'{"round": "R1", "round": "R2"}', "json-refused", "stands twice"),
    (b'{"facts": {"pue": 1.25}}', "json-refused", "write decimals in quotes"),
    (b"[1]", "json-refused", "a JSON object"),
    (b"\xff", "json-refused", "UTF-8"),
    (b'{"project": "x"}', "inputs-malformed", "/round"),
]


def test_a_malformed_body_is_told_what_is_wrong(bureau):
    """Repeated members, floats, other values and missing fields: where, and what to write instead."""
    for body, code, says in BODIES:
        answer = bureau.post("applications", APPLICANT, body)
        assert_problem(answer, 422, code)
        assert says in answer.content["detail"], body


def test_a_malformed_file_names_the_line(bureau, tmp_path):
    """A file is read as strictly as the policies: a float and a repeated key are refused with file and line."""
    for text, says in (("project: a\nproject: b\n", "app.yaml:2"), ("facts:\n  pue: 1.25\n", "app.yaml:2")):
        (tmp_path / "app.yaml").write_text(text, encoding="utf-8")
        done = bureau.run("application", "submit", "app.yaml", "--as", APPLICANT)
        assert (done.status, says in done.err) == (2, True), done.err


VERTICAL = {
    name: value
    for name, value in FACTS.items()
    if name.startswith(("applicant", "files", "on_", "project", "company", "claims"))
} | {
    "benchmark_solution_in_own_vertical": True,
    "model_completed_accepted_and_operating_at_application": True,
    "model_deployed_in_songjiang": True,
    "generative_ai_filing_or_registration": "filing",
    "application_case_with_scenario_process_effect_feedback": True,
    "rd_cost_non_hardware_yuan": 300_000,
    "rd_cost_hardware_yuan": 0,
}
"""Facts of 16 三(二): at most 80 % of what was spent on research."""


def spend_vouchers(bureau):
    """The company's vouchers pay ten hours of an A100, 120 yuan."""
    service = bureau.service.service

    async def prepare():
        await setup.register_centre(service.journal, service.catalog, "sj01", "SJ01", {"A100": 1000})
        await setup.register_agent_key(service.journal, "sj01", PublicKey.of(KEYS["sj01"]))
        await give(service, APPLICANT, "500", accounts=["lab"])

    bureau.service.call(prepare())
    records = [usage(number, account="lab") for number in range(10)]
    answer = Agent(bureau.service.url).report_records(records, created_s=service.now_us // 10**6)
    assert answer.content["accepted"] == 10, answer


def test_what_vouchers_paid_is_deducted(bureau):
    """The ledger knows it, whatever the applicant says; an officer may establish how much of it went into the project."""
    clause = "16:三(二)"
    round_ = bureau.post("rounds", "方", CALL | {"budgets": {clause: "5000000"}}).content["id"]
    sent = bureau.post("applications", APPLICANT, application(round_, clause=clause, facts=VERTICAL)).content
    assert sent["evaluation"]["ceiling_yuan"] == "240000.00", sent["evaluation"]
    spend_vouchers(bureau)
    shown = bureau.ok("application", "show", sent["id"])
    assert shown["evaluation"]["ceiling_yuan"] == "239904.00", "80 % of 300,000 less 120"
    fact = {"facts": {"rd_cost_paid_with_compute_vouchers_yuan": 20}}
    actor, step, inputs = REVIEW[0]
    decided = bureau.step_by_http(sent["id"], actor, step, inputs | fact).content
    assert decided["evaluation"]["ceiling_yuan"] == "239984.00"
