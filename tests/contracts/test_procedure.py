"""Rounds and applications on both databases: what is refused, what is recorded, what it moves, and that the log tells it all."""

import asyncio
import contextlib
from dataclasses import replace

import pytest

from ledger.errors import DomainError
from ledger.scope import EVERYTHING
from suanquan.use_cases.applications import load_application, load_applications
from subsidy import store
from tests.contracts.bureau import OFFICE
from tests.subsidy.procedure_samples import (
    APPROVE,
    CLAUSE,
    COMPANY,
    EXPERT,
    FACTS,
    FANG,
    HE,
    LIN,
    PAY,
    POST,
    QIAN,
    REVIEW,
    XU,
    ZHOU,
    materials,
)


async def test_a_round_goes_from_call_to_payment(bureau):
    """Each state in turn; the clause's budget becomes payable and then paid, and nothing else moves."""
    found = await bureau.noticed()
    budget = f"16/2025/{CLAUSE}/budget"
    assert await bureau.balances() == {"treasury": -100_000_000, budget: 100_000_000}
    bureau.clock.set("2025-10-11T09:00:00+08:00")
    await bureau.play(found, APPROVE)
    assert (await bureau.balances())[f"{found}/payable"] == 15_000_000
    await bureau.play(found, PAY)
    case = await bureau.case(found)
    assert (case.state, case.paid) == ("paid", 15_000_000)
    assert await bureau.balances() == {
        "treasury": -100_000_000, budget: 85_000_000, f"{found}/payable": 0, f"{found}/paid": 15_000_000,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("at", "code"),
    [
        ("2025-10-10T23:59:59+08:00", "notice-running"),
        ("2025-10-10T16:00:00Z", None),
        ("2025-10-11T00:00:00+08:00", None),
    ],
)
async def test_the_day_of_rules_is_that_of_shanghai(bureau, at, code):
    """The notice of 26 September 2025 ends with 10 October at midnight in Shanghai; the make-up Saturday after it is the next step."""
    found = await bureau.noticed()
    bureau.clock.set(at)
    if code is None:
        await bureau.play(found, APPROVE)
    else:
        assert await bureau.refused(found, *APPROVE) == code


async def test_an_objection_on_the_last_day_stops_everything(bureau):
    """It is taken until midnight, not after; nothing is approved until another person has dismissed it."""
    found = await bureau.noticed()
    bureau.clock.set("2025-10-10T23:59:59+08:00")
    await bureau.play(found, (QIAN, "record_objection", {"objection": "产品并非首次通过测试"}))
    bureau.clock.set("2025-10-11T00:00:01+08:00")
    assert await bureau.refused(found, QIAN, "record_objection", {"objection": "迟到的异议"}) == "objection-late"
    assert await bureau.refused(found, *APPROVE) == "objection-open"
    dismissal = {"objection_number": 1, "reason": "经核实为首次"}
    assert await bureau.refused(found, QIAN, "dismiss_objection", dismissal) == "four-eyes"
    assert (
        await bureau.refused(found, ZHOU, "dismiss_objection", dismissal | {"objection_number": 2})
        == "objection-unknown"
    )
    await bureau.play(found, (ZHOU, "dismiss_objection", dismissal), APPROVE, PAY)


async def test_what_an_officer_must_establish_is_not_believed(bureau):
    """The applicant's word that the project is done pays nothing."""
    found = await bureau.noticed(facts=FACTS | {"project_completed": True})
    bureau.clock.set("2025-10-20T09:00:00+08:00")
    await bureau.play(found, APPROVE)
    assert await bureau.refused(found, XU, "pay", {"reference": "1", "facts": {"confidential": False}}) == "fact-needed"


async def test_an_upheld_objection_ends_the_application(bureau):
    """Nothing follows, nothing was paid, and the project may be applied for elsewhere."""
    found = await bureau.noticed()
    await bureau.play(
        found,
        (QIAN, "record_objection", {"objection": "虚报"}),
        (ZHOU, "uphold_objection", {"objection_number": 1, "reason": "属实"}),
    )
    assert await bureau.refused(found, *APPROVE) == "step-not-possible"
    assert (await bureau.balances())["treasury"] == -100_000_000
    async with bureau.desk.database.read() as conn:
        claims = await store.claims_of(conn, found)
    assert [claim.released for claim in claims] == [0, 0, 1, 1]


async def test_a_returned_application_comes_back_whole(bureau):
    """What is lacking is named and stops the preliminary review; it is supplemented in time, or not at all."""
    round_ = await bureau.call()
    found = await bureau.submit(round_, materials=materials(without=["project_situation_report"]))
    with pytest.raises(DomainError) as caught:
        await bureau.play(found, REVIEW[0])
    assert [finding.where for finding in caught.value.findings] == ["/materials/project_situation_report"]
    assert "16:七(六)" in caught.value.en
    back = (LIN, "return_for_materials", {"reason": "缺项目情况报告", "until": "2025-09-20"})
    await bureau.play(found, back)
    late = (COMPANY, "supplement", {"materials": materials()})
    bureau.clock.set("2025-09-21T00:00:00+08:00")
    assert await bureau.refused(found, *late) == "supplement-late"
    bureau.clock.set("2025-09-20T23:59:00+08:00")
    await bureau.play(found, late, *REVIEW)
    assert (await bureau.case(found)).state == "listed"


async def test_nobody_approves_what_he_prepared(bureau):
    """Each who took part before is refused, whatever his role says; so is a role that the step is not for."""
    found = await bureau.noticed()
    bureau.clock.set("2025-10-13T09:00:00+08:00")
    _, step, inputs = APPROVE
    for actor in (LIN, QIAN):
        assert await bureau.refused(found, actor, step, inputs) == "four-eyes"
    for actor in (HE, EXPERT, COMPANY):
        assert await bureau.refused(found, actor, step, inputs) == "role-not-allowed"
    await bureau.play(found, APPROVE)
    assert await bureau.refused(found, HE, *PAY[1:]) == "four-eyes", "who agreed the list"
    assert (
        await bureau.refused(found, XU, "pay", {"reference": "1", "facts": {"project_completed": False}})
        == "fact-needed"
    )


async def test_the_same_application_twice_is_one(bureau):
    """Sent again it is the same, whoever enters it; with other content it is refused and names the first."""
    round_ = await bureau.call()
    first = await bureau.submit(round_)
    assert await bureau.submit(round_) == first
    assert await bureau.submit(round_, FANG) == first
    with pytest.raises(DomainError, match=first) as caught:
        await bureau.submit(round_, applicant_name="另一名称")
    assert caught.value.code == "application-exists"
    async with bureau.desk.database.read() as conn:
        assert len(await store.steps_of(conn, first)) == 1


async def test_a_step_twice_is_one(bureau):
    """Without a key the newest step can be repeated; with one any step can, and another request under it is refused."""
    found = await bureau.submit(await bureau.call())
    actor, step, inputs = REVIEW[0]
    for key in (None, None, "k", "k"):
        if key is None:
            await bureau.proceedings.take(actor, found, step, inputs)
    assert len((await bureau.case(found)).persons) == 2
    await bureau.proceedings.take(EXPERT, found, REVIEW[1][1], REVIEW[1][2], "k")
    await bureau.play(found, REVIEW[2])
    await bureau.proceedings.take(EXPERT, found, REVIEW[1][1], REVIEW[1][2], "k")
    with pytest.raises(DomainError) as caught:
        await bureau.proceedings.take(EXPERT, found, REVIEW[1][1], REVIEW[1][2] | {"score": "1"}, "k")
    assert caught.value.code == "idempotency-key-reused"
    assert (await bureau.case(found)).state == "planned"


async def test_a_project_or_cost_is_supported_once(bureau):
    """However it is spelt, under whichever clause, in another round and by another applicant's invoice; withdrawn, it is free."""
    clauses = {CLAUSE: "1000000", "16:三(三)": "500000"}
    round_ = await bureau.call(budgets=clauses)
    first = await bureau.submit(round_)
    again = {"clause": "16:三(三)", "project": "存储系统 密码安全测试！", "costs": []}
    with pytest.raises(DomainError, match=first) as caught:
        await bureau.submit(round_, **again)
    assert (caught.value.code, caught.value.findings[0].where) == ("supported-already", "/project")
    cost = [{"issuer": "国家检测中心", "document": "发票０００１", "yuan": "300000"}]
    with pytest.raises(DomainError) as caught:
        await bureau.submit(round_, project="另一项目", costs=cost)
    assert caught.value.findings[0].where == "/costs/0"
    with pytest.raises(DomainError) as caught:
        await bureau.submit(round_, project="第三项目", costs=cost + cost)
    assert caught.value.code == "cost-repeated"
    await bureau.play(first, (COMPANY, "withdraw", {"reason": "改报另一条款"}))
    assert await bureau.submit(round_, **again)
    bureau.clock.set("2026-03-02T09:00:00+08:00")
    later = await bureau.call(opens="2026-03-02", closes="2026-03-31")
    with pytest.raises(DomainError) as caught:
        await bureau.submit(later, materials=materials(previous_year_audit_or_financial_statements={"year": 2025}))
    assert caught.value.code == "supported-already", "in another year, too"


async def test_a_second_round_of_the_year_needs_a_decision(bureau):
    """原则上每年一次: a further one says by which decision; the next year's needs none."""
    assert await bureau.call() == "R16-2025-1"
    assert await bureau.call() == "R16-2025-1", "the same call again"
    with pytest.raises(DomainError) as caught:
        await bureau.call(title="第二次")
    assert [finding.code for finding in caught.value.findings] == ["round-needs-decision"]
    assert await bureau.call(title="第二次", decision="区政府专题会议纪要 2025-12") == "R16-2025-2"
    bureau.clock.set("2026-03-02T09:00:00+08:00")
    assert await bureau.call(opens="2026-03-02", closes="2026-03-31") == "R16-2026-1"


async def test_a_clause_that_is_closed_takes_nothing(bureau):
    """Document 16 ended on 25 May 2026: no call reaches beyond it, and the error names the document."""
    bureau.clock.set("2026-05-20T09:00:00+08:00")
    with pytest.raises(DomainError, match=r"16号.*document_expired") as caught:
        await bureau.call(opens="2026-05-20", closes="2026-05-26")
    assert caught.value.findings[0].code == "clause-closed"
    round_ = await bureau.call(opens="2026-05-20", closes="2026-05-25")
    bureau.clock.set("2026-05-26T00:00:00+08:00")
    with pytest.raises(DomainError) as caught:
        await bureau.submit(round_)
    assert {finding.code for finding in caught.value.findings} == {"clause-closed"}


async def test_an_unknown_year_stops_the_notice(bureau):
    """A notice that would run into a year without a calendar is refused, and nothing is guessed."""
    bureau.clock.set("2025-09-01T09:00:00+08:00")
    found = await bureau.submit(await bureau.call())
    await bureau.play(found, *REVIEW)
    bureau.clock.set("2026-12-28T09:00:00+08:00")
    assert await bureau.refused(found, *POST) == "calendar-unknown"


async def test_the_amount_is_a_ceiling(bureau):
    """A fen more than the clause allows is refused; less is what balancing is for; approval can only lower it."""
    found = await bureau.submit(await bureau.call())
    await bureau.play(found, *REVIEW[:2])
    plan = {"basis": "纪要"}
    assert await bureau.refused(found, QIAN, "include_in_plan", plan | {"amount_yuan": "150000.01"}) == "above-ceiling"
    assert await bureau.refused(found, QIAN, "include_in_plan", plan | {"amount_yuan": "0"}) == "amount-zero"
    await bureau.play(found, (QIAN, "include_in_plan", plan | {"amount_yuan": "120000"}), REVIEW[3], POST)
    bureau.clock.set("2025-10-20T09:00:00+08:00")
    actor, step, inputs = APPROVE
    assert await bureau.refused(found, actor, step, inputs | {"amount_yuan": "120000.01"}) == "above-noticed"
    await bureau.play(found, (actor, step, inputs | {"amount_yuan": "100000"}))
    assert (await bureau.balances())[f"{found}/payable"] == 10_000_000


async def test_an_unknown_fact_leaves_the_amount_open(bureau):
    """Without what the clause asks for, nothing can be planned; the department may establish it."""
    facts = {name: value for name, value in FACTS.items() if name != "passed_crypto_security_test"}
    found = await bureau.submit(await bureau.call(), facts=facts)
    await bureau.play(found, *REVIEW[:2])
    actor, step, inputs = REVIEW[2]
    assert await bureau.refused(found, actor, step, inputs) == "facts-missing"
    await bureau.play(found, (actor, step, inputs | {"facts": {"passed_crypto_security_test": True}}))


async def test_a_budget_that_is_used_up_pays_nothing(bureau):
    """What is left is said, nothing is recorded, and the approval can be tried again when there is money."""
    round_ = await bureau.call(budgets={CLAUSE: "100000"})
    found = await bureau.submit(round_)
    await bureau.play(found, *REVIEW, POST)
    bureau.clock.set("2025-10-20T09:00:00+08:00")
    for _ in range(2):
        assert await bureau.refused(found, *APPROVE) == "budget-exhausted"
    more = {"budgets": {CLAUSE: "50000"}, "basis": "区财政局 2025-18"}
    for _ in range(2):
        assert await bureau.proceedings.fund(HE, round_, more) == round_
    foreign, written = more | {"budgets": {"16:三(一)": "1"}}, more | {"budgets": {CLAUSE: 1}}
    for actor, wrong, code in (
        (FANG, more, "role-not-allowed"),
        (HE, foreign, "clause-not-called"),
        (HE, written, "inputs-malformed"),
    ):
        with pytest.raises(DomainError) as caught:
            await bureau.proceedings.fund(actor, round_, wrong)
        assert caught.value.code == code
    assert (await bureau.balances())["treasury"] == -15_000_000, "added once"
    await bureau.play(found, APPROVE)


async def test_recovery_gives_the_budget_back(bureau):
    """In parts, never more than was paid; the demand and the receipt are two persons' work; the sums agree at each step."""
    found = await bureau.noticed()
    bureau.clock.set("2025-10-20T09:00:00+08:00")
    await bureau.play(found, APPROVE, PAY)
    demand = {"amount_yuan": "150000.01", "reason": "材料不实"}
    assert await bureau.refused(found, ZHOU, "demand_recovery", demand) == "above-paid"
    budget = f"16/2025/{CLAUSE}/budget"
    for part, paid in (("50000", 10_000_000), ("100000", 0)):
        await bureau.play(
            found,
            (ZHOU, "demand_recovery", demand | {"amount_yuan": part}),
            (XU, "record_recovery", {"reference": f"SK-{part}"}),
        )
        balances = await bureau.balances()
        assert (balances[f"{found}/paid"], balances[f"{found}/payable"]) == (paid, 0)
        assert balances[budget] == 100_000_000 - paid
        assert (await bureau.case(found)).net_paid == paid
    assert await bureau.refused(found, ZHOU, "demand_recovery", demand | {"amount_yuan": "0.01"}) == "above-paid"


async def test_withdrawal_after_approval_frees_the_money(bureau):
    """What was payable is the clause's again."""
    found = await bureau.noticed()
    bureau.clock.set("2025-10-20T09:00:00+08:00")
    await bureau.play(found, APPROVE, (COMPANY, "withdraw", {"reason": "项目终止"}))
    assert (await bureau.balances())[f"16/2025/{CLAUSE}/budget"] == 100_000_000


async def test_a_confidential_project_skips_the_notice(bureau):
    """With a recorded basis, by another person than planned it."""
    found = await bureau.submit(await bureau.call())
    await bureau.play(found, *REVIEW)
    assert await bureau.refused(found, QIAN, "waive_notice", {"basis": "密级 x"}) == "four-eyes"
    await bureau.play(found, (ZHOU, "waive_notice", {"basis": "保密审查意见 3"}), APPROVE, PAY)


async def test_a_refusal_has_a_reason_and_ends_it(bureau):
    """It needs one, and afterwards the same application in the round is not taken again."""
    round_ = await bureau.call()
    found = await bureau.submit(round_)
    assert await bureau.refused(found, LIN, "refuse", {}) == "inputs-malformed"
    await bureau.play(found, (LIN, "refuse", {"reason": "不符合条件"}))
    with pytest.raises(DomainError) as caught:
        await bureau.submit(round_, applicant_name="改名再报")
    assert caught.value.code == "application-exists"


async def test_a_failed_step_leaves_nothing(bureau):
    """Rows, claims, notes and entries live or die together, whichever of them is refused."""
    round_ = await bureau.call()
    await bureau.submit(round_)
    before = (
        bureau.desk.size(),
        bureau.desk.rows("SELECT count(*) FROM procedure_step"),
        bureau.desk.rows("SELECT count(*) FROM support_claim"),
    )
    for changes in (
        {"project": "新", "costs": [{"issuer": "国家检测中心", "document": "发票0001", "yuan": "1"}]},
        {"clause": "16:三(一)"},
    ):
        with contextlib.suppress(DomainError):
            await bureau.submit(round_, **changes)
    after = (
        bureau.desk.size(),
        bureau.desk.rows("SELECT count(*) FROM procedure_step"),
        bureau.desk.rows("SELECT count(*) FROM support_claim"),
    )
    assert after == before


async def test_a_step_that_its_file_lost_is_said(bureau):
    """Who edits the file of a procedure under way is told which step to put back."""
    found = await bureau.submit(await bureau.call())
    await bureau.play(found, REVIEW[0])
    steps = {name: step for name, step in OFFICE.procedures["16"].steps.items() if name != "pass_preliminary_review"}
    changed = replace(OFFICE, procedures={"16": replace(OFFICE.procedures["16"], steps=steps)})
    async with bureau.desk.database.read() as conn:
        with pytest.raises(DomainError, match="pass_preliminary_review") as caught:
            await load_application(conn, changed, found, EVERYTHING)
    assert caught.value.code == "procedure-changed"


async def test_many_at_once_are_each_one(bureau):
    """The same application from several at once is one; of two that claim the same project under two clauses one is refused."""
    round_ = await bureau.call(budgets={CLAUSE: "1000000", "16:三(三)": "1"})
    wishes = [bureau.submit(round_) for _ in range(4)] + [bureau.submit(round_, clause="16:三(三)") for _ in range(2)]
    found = await asyncio.gather(*wishes, return_exceptions=True)
    assert len({one for one in found if isinstance(one, str)}) == 1
    async with bureau.desk.database.read() as conn:
        assert len(await load_applications(conn, OFFICE, round_, EVERYTHING)) == 1
