"""Applications for vouchers on both databases: what is refused, what is recorded and moved, and that each voucher is issued once."""

import asyncio

import cbor2
import pytest

from ledger.errors import DomainError
from ledger.sql import insert_rows
from ledger.store import load_entries, load_entry
from metering.tables import centre as metering_centre
from suanquan.use_cases.allotment import Portion, allot, hand_out, take_back
from suanquan.use_cases.books import Order as ByOfficer
from suanquan.use_cases.issue_approved import take_up
from suanquan.use_cases.programme import programme_object
from suanquan.use_cases.reclaim import list_reclaims, reclaim_idle
from suanquan.use_cases.standing import change_standing
from subsidy import step_body, store
from subsidy.procedure import Role
from subsidy.steps import Actor
from tests.contracts.bureau import make
from tests.contracts.voucher_bureau import VoucherBureau
from tests.ledger.desk import Desk, audit
from tests.ledger.full_ledger import KEYS
from tests.voucher.application_samples import (
    APPLICANT,
    APPROVE,
    BALANCED,
    COMPANY,
    EXPERT,
    HE,
    LIN,
    LIST,
    OTHER,
    PLAN,
    POST,
    POSTED,
    PROGRESS,
    QIAN,
    REVIEW,
    SCHEME,
    SUN,
    XU,
    ZHOU,
    contract,
    materials,
)
from tests.voucher.samples import HOLDER_KEY
from voucher import store as voucher_store
from voucher.document import read_voucher

YEAR = "2025"
ROUND = "Rvoucher-sandbox-2025-1"


@pytest.fixture
async def bureau(new_database):
    place = new_database(make)
    async with Desk(place) as desk:
        yield VoucherBureau(desk)
    report = await audit(place)
    assert report["ok"], str(report)[-600:]


async def refusal(coroutine):
    with pytest.raises(DomainError) as caught:
        await coroutine
    return caught.value


async def test_a_round_goes_from_call_to_vouchers(bureau):
    """Year's budget → round → approved → two vouchers, one now and one after the progress report; caps say the same throughout."""
    round_ = await bureau.call()
    assert round_ == ROUND
    full = 1_000_000_000_000
    assert await bureau.accounts() == {
        f"{YEAR}/budget/CNY": full - 30_000_000, f"{YEAR}/round/{ROUND}/CNY": 30_000_000, "treasury/CNY": -full,
    }  # fmt: skip
    found = await bureau.reviewed(round_)
    await bureau.approved(found)
    moved = await bureau.accounts()
    assert (moved[f"{YEAR}/approved/CNY"], moved[f"{YEAR}/round/{ROUND}/CNY"]) == (10_000_000, 20_000_000)
    [first] = await bureau.issue(found)
    assert first.units == 5_000_000 * 10_000
    assert first.token
    assert (await bureau.case(found)).vouchers == (first.jti,)
    assert await bureau.issue(found) == [first], "nothing further is due"
    await bureau.play(found, PROGRESS)
    again, second = await bureau.issue(found)
    assert again == first
    assert second.units == first.units
    assert await bureau.refused(found, *PROGRESS) == "nothing-due"
    await bureau.proceedings.settle_round(XU, round_, {"basis": "轮次结束"})
    assert await bureau.accounts() == {
        f"{YEAR}/budget/CNY": full - 10_000_000, f"{YEAR}/unused/CNY": 20_000_000, "treasury/CNY": -full - 20_000_000,
    }  # fmt: skip
    caps = await bureau.accounts("budget/")
    used = {name: fen for name, fen in caps.items() if name.endswith("/used")}
    assert used == {
        f"budget/{SCHEME}/used": 10_000_000, f"budget/{SCHEME}/{YEAR}/used": 10_000_000,
        f"budget/{SCHEME}/{YEAR}/{APPLICANT}/used": 10_000_000,
    }  # fmt: skip


async def test_the_decision_stays_with_the_case(bureau):
    """Approval and issue keep the scheme's version, its digest, the decisive date and every step of the figure."""
    found = await bureau.reviewed(await bureau.call())
    await bureau.approved(found)
    await bureau.issue(found)
    async with bureau.desk.database.read() as conn:
        rows = {row.step: step_body.decode(row) for row in await store.steps_of(conn, found)}
    for step in ("approve", "issue"):
        told = rows[step]["derived"]["evaluation"]
        assert (told["version"], told["decisive_date"], told["decisive_on"]) == (
            "1", "application.received_on", "2025-09-01",
        )  # fmt: skip
        assert told["digest"] == bureau.office.series[SCHEME].latest.digest
        assert [one["step"] for one in told["steps"]][:3] == ["cost_item", "cost_item", "base"]
        assert told["amount_yuan"] == "100000", "half of the compute, storage not counted"


async def test_whatever_stops_between_approval_and_issue_issues_once(bureau, monkeypatch):
    """Before the record nothing is there, after it the same voucher is signed; many who look at once find one."""
    found = await bureau.reviewed(await bureau.call())
    await bureau.approved(found)

    def fail(*_, **__):
        raise OSError("the power went")

    with monkeypatch.context() as patched:
        patched.setattr("suanquan.use_cases.voucher_matter.record", fail)
        with pytest.raises(DomainError):
            await bureau.issue(found)
    assert (await bureau.case(found)).state == "approved", "nothing half-written"
    assert bureau.desk.rows("SELECT count(*) FROM voucher") == [(0,)]

    with monkeypatch.context() as patched:
        patched.setattr("suanquan.use_cases.issue_approved.release", fail)
        with pytest.raises(OSError, match="the power went"):
            await bureau.issue(found)
    assert (await bureau.case(found)).state == "issued"
    [jti] = (await bureau.case(found)).vouchers
    assert bureau.desk.rows("SELECT count(*) FROM released") == [(0,)]

    done, refused = await take_up(bureau.proceedings, bureau.issuing)
    assert (done, refused) == (1, [])
    [[voucher]] = [await bureau.issue(found)]
    assert voucher.jti == jti
    assert voucher.token
    assert await take_up(bureau.proceedings, bureau.issuing) == (0, [])


async def test_many_who_issue_at_once_issue_one(bureau):
    """The same approved application from several at once, and the job beside them: one voucher, one step."""
    found = await bureau.reviewed(await bureau.call())
    await bureau.approved(found)
    wishes = [bureau.issue(found) for _ in range(4)] + [take_up(bureau.proceedings, bureau.issuing)]
    told = await asyncio.gather(*wishes, return_exceptions=True)
    assert {getattr(one, "code", "") for one in told} <= {"", "step-not-possible"}
    assert bureau.desk.rows("SELECT count(*) FROM voucher") == [(1,)]
    assert len((await bureau.case(found)).vouchers) == 1


async def test_the_same_application_twice_is_one(bureau):
    """Sent again it is the same; with other content it is refused and names the first; withdrawn, it makes room."""
    round_ = await bureau.call()
    first = await bureau.submit(round_)
    assert await bureau.submit(round_) == first
    told = await refusal(bureau.submit(round_, contract=contract("HT-2")))
    assert (told.code, first in told.en) == ("application-exists", True)
    await bureau.play(first, (COMPANY, "withdraw", {"reason": "改报"}))
    assert await bureau.submit(round_, contract=contract("HT-2")) != first


async def test_a_contract_and_an_invoice_are_claimed_once(bureau):
    """However it is written, by whom and in which round; the error names the field and the rule. Withdrawn, it is free."""
    round_ = await bureau.call()
    invoices = [{"issuer": "91310117MA1J00001X", "document": "发票 7", "yuan": "5"}]
    first = await bureau.submit(round_, costs=invoices)
    told = await refusal(bureau.submit(round_, project="另一用途", contract=contract("ht 2025 001")))
    assert (told.code, told.findings[0].where) == ("supported-already", "/contract/number")
    assert first in told.en
    told = await refusal(bureau.submit(round_, project="第三用途", contract=contract("HT-3"), costs=invoices))
    assert told.findings[0].where == "/costs/0"
    later = await bureau.call(title="第二轮")
    told = await refusal(bureau.submit(later))
    assert told.code == "supported-already", "in another round, too"
    await bureau.play(first, (COMPANY, "withdraw", {"reason": "改报"}))
    assert await bureau.submit(later)


async def test_four_eyes(bureau):
    """Nobody approves what he prepared; a role that a step is not for is refused; nobody but the program issues."""
    found = await bureau.reviewed(await bureau.call())
    assert await bureau.refused(found, QIAN, *PLAN[1:]) == "round-open"
    bureau.clock.set(BALANCED)
    await bureau.play(found, PLAN, LIST)
    bureau.clock.set(POSTED)
    await bureau.play(found, POST)
    assert await bureau.refused(found, *APPROVE) == "notice-running"
    bureau.clock.set("2025-09-22T10:00:00+08:00")
    assert await bureau.refused(found, *APPROVE) == "notice-running", "five working days after the fifteenth"
    bureau.clock.set("2025-09-23T00:00:00+08:00")
    for actor in (LIN, QIAN):
        assert await bureau.refused(found, actor, *APPROVE[1:]) == "four-eyes"
    for actor in (HE, EXPERT, COMPANY):
        assert await bureau.refused(found, actor, *APPROVE[1:]) == "role-not-allowed"
    await bureau.play(found, APPROVE)
    for actor in (SUN, XU, COMPANY):
        assert await bureau.refused(found, actor, "issue", {}) == "role-not-allowed"


async def test_refused_returned_withdrawn(bureau):
    """A returned application is supplemented; a refused one frees its contract; an approved one that is withdrawn gives all back."""
    round_ = await bureau.call()
    found = await bureau.submit(round_, materials=materials(without=["service_contract"]))
    told = await refusal(bureau.play(found, REVIEW[0]))
    assert [one.where for one in told.findings] == ["/materials/service_contract"]
    await bureau.play(found, (LIN, "return_for_materials", {"reason": "缺合同", "until": "2025-09-05"}))
    await bureau.play(found, (COMPANY, "supplement", {"materials": materials()}), *REVIEW)
    other = await bureau.submit(round_, project="另一用途", contract=contract("HT-9"))
    await bureau.play(other, (ZHOU, "refuse", {"reason": "不属算力"}))
    assert (await bureau.case(other)).state == "refused"
    await bureau.approved(found)
    await bureau.play(found, (COMPANY, "withdraw", {"reason": "不再需要"}))
    left = await bureau.accounts()
    assert left[f"{YEAR}/round/{ROUND}/CNY"] == 30_000_000
    assert f"{YEAR}/approved/CNY" not in left
    async with bureau.desk.database.read() as conn:
        claims = await store.claims_of(conn, found)
    assert sum(1 if claim.released else -1 for claim in claims) == 0, "the register is free again"
    assert await bureau.issue(found) == []


async def test_an_objection_on_the_last_day(bureau):
    """On the fifth working day an objection is taken, and nothing is approved before another person decided it."""
    found = await bureau.reviewed(await bureau.call())
    bureau.clock.set(BALANCED)
    await bureau.play(found, PLAN, LIST)
    bureau.clock.set(POSTED)
    await bureau.play(found, POST)
    bureau.clock.set("2025-09-22T23:59:59+08:00")
    await bureau.play(found, (QIAN, "record_objection", {"objection": "与服务商有关联"}))
    bureau.clock.set("2025-09-24T09:00:00+08:00")
    assert await bureau.refused(found, *APPROVE) == "objection-open"
    await bureau.play(found, (ZHOU, "uphold_objection", {"objection_number": 1, "reason": "属实"}))
    assert (await bureau.case(found)).state == "objection_upheld"
    assert await bureau.refused(found, *APPROVE) == "step-not-possible"


async def test_earlier_contract_later_application_wins(bureau):
    """Two race for the last of the round's budget: allocation runs on the closed round, by the signing of contracts, not by arrival."""
    round_ = await bureau.call(budgets={SCHEME: "110000"})
    first = await bureau.reviewed(round_)
    second = await bureau.submit(
        round_, COMPANY, project="另一用途", contract=contract("HT-8", signed_on="2025-07-01"),
    )  # fmt: skip
    bureau.clock.set(BALANCED)
    told = await refusal(bureau.proceedings.allocate(QIAN, round_, {"basis": "纪要"}))
    assert (told.code, second in told.en) == ("round-unreviewed", True)
    await bureau.play(second, *REVIEW)
    assert await bureau.refused(first, *PLAN) == "above-allocation"
    awards = await bureau.proceedings.allocate(QIAN, round_, {"basis": "纪要"})
    assert [(one.claim, one.amount, one.rank, one.cut) for one in awards] == [
        (second, 10_000_000, 1, 0), (first, 1_000_000, 2, 9_000_000),
    ]  # fmt: skip
    assert (await bureau.case(first)).amount_fen == 1_000_000
    assert await bureau.proceedings.allocate(QIAN, round_, {"basis": "纪要"}) == []


async def test_nothing_is_allocated_while_the_round_is_open(bureau):
    """A later application may rank higher."""
    round_ = await bureau.call()
    await bureau.reviewed(round_)
    told = await refusal(bureau.proceedings.allocate(QIAN, round_, {"basis": "纪要"}))
    assert told.code == "round-open"


BAD = [
    ({"facts": {"beneficiary": {"startup": "yes"}}}, "inputs-malformed", "/facts/beneficiary/startup"),
    ({"facts": {"beneficiary": {"size": 3}}}, "inputs-malformed", "/facts/beneficiary/size"),
    ({"facts": {"year_to_date": {"claimed_yuan": "0"}}}, "inputs-malformed", "/facts/year_to_date/claimed_yuan"),
    ({"contract": contract(signed_on="2025-8-1")}, "inputs-malformed", "/contract/signed_on"),
    ({"contract": contract(ends_on="2025-08-31")}, "inputs-malformed", "/contract/ends_on"),
    ({"contract": contract(items=[])}, "inputs-malformed", "/contract/items"),
    ({"contract": contract(price="1")}, "inputs-malformed", "/contract/price"),
    (
        {"contract": contract(items=[{"kind": "lunch", "amount_yuan": "1"}])},
        "inputs-malformed",
        "/contract/items/0/kind",
    ),
    ({"holder_key": {"kty": "OKP"}}, "inputs-malformed", "/holder_key"),
    ({"scheme": "cn-ha-2023-2024"}, "clause-not-called", ""),
    ({"contract": None}, "inputs-malformed", "/contract"),
]
"""What is wrong with an application, the code of its refusal, and the place that is named."""


async def test_a_bad_application_is_told_where(bureau):
    """The field, what to write instead, and nothing recorded."""
    round_ = await bureau.call()
    for changes, code, where in BAD:
        told = await refusal(bureau.submit(round_, **changes))
        assert told.code == code, changes
        assert where in [one.where for one in told.findings] or not where, changes
    assert bureau.desk.rows("SELECT count(*) FROM support_claim") == [(0,)]


async def test_rules_of_the_scheme_refuse_with_their_source(bureau):
    """A contract that is too long, and a holder related to the provider: the preliminary review names field, rule and source."""
    found = await bureau.submit(
        await bureau.call(),
        contract=contract(ends_on="2029-08-31"),
        facts={"beneficiary": {"startup": False, "related_to_provider": True}},
    )
    told = await refusal(bureau.play(found, REVIEW[0]))
    assert told.code == "not-eligible"
    assert [one.where for one in told.findings] == ["/facts/beneficiary/related_to_provider", "/contract/duration"]
    assert all("虚构 invented" in one.en for one in told.findings)


async def test_rounds_stay_within_budget_and_drafts_take_nothing(bureau):
    """A round beyond the year's budget, and one of a draft scheme, cannot be called; nothing is recorded."""
    told = await refusal(bureau.call(budgets={SCHEME: "10000000001"}))
    assert told.code == "budget-exceeded"
    told = await refusal(bureau.call(budgets={"cn-ha-2023-2024": "1"}))
    assert told.code in {"clause-foreign", "call-refused", "scheme-draft"}
    assert bureau.desk.rows("SELECT count(*) FROM procedure_step") == [(0,)]


async def test_a_voucher_is_bound_to_the_key_of_its_application(bureau):
    """The signed voucher names the holder's key, the year of its round bears it, and its log entry says for whom it is."""
    round_ = await bureau.call()
    found = await bureau.reviewed(round_, holder_key=dict(HOLDER_KEY.jwk()))
    await bureau.approved(found)
    [issued] = await bureau.issue(found)
    async with bureau.desk.database.read() as conn:
        stored = await voucher_store.load_voucher(conn, issued.jti)
        entry = (await load_entries(conn, [stored.event_id]))[stored.event_id]
        row = await load_entry(conn, entry.seq)
    _, voucher = read_voucher(stored.token, KEYS.all_keys())
    assert (voucher.holder_jkt, voucher.holder, stored.year) == (HOLDER_KEY.kid, APPLICANT, 2025)
    assert cbor2.loads(row.body)["for"] == found


async def test_another_applicant_has_its_own(bureau):
    """The same project name and another contract of another company is another application; each acts for itself alone."""
    round_ = await bureau.call()
    first = await bureau.submit(round_)
    other = Actor(OTHER, Role.APPLICANT)
    second = await bureau.submit(round_, other, applicant=OTHER, contract=contract("HT-1"), materials=materials(OTHER))
    assert first != second
    assert await bureau.refused(first, other, "withdraw", {"reason": "x"}) == "not-your-application"
    told = await refusal(bureau.submit(round_, other, project="冒名"))
    assert told.code == "not-your-application"


async def test_a_revoked_voucher_frees_its_contract(bureau):
    """Returned whole, its contract may be claimed again; the year's budget and the holder's cap have it back."""
    round_ = await bureau.call()
    found = await bureau.reviewed(round_)
    await bureau.approved(found)
    [voucher] = await bureau.issue(found)
    await bureau.play(found, (ZHOU, "close", {"reason": "不再继续"}))
    later = await bureau.call(title="第二轮", opens="2025-09-23", closes="2025-09-30")
    assert (await refusal(bureau.submit(later))).code == "supported-already"
    order = ByOfficer("周", "区发改〔2025〕1号", "r1")
    await change_standing(bureau.desk.journal, order, voucher.jti, "revoke")
    assert await bureau.submit(later)
    caps = await bureau.accounts(f"budget/{SCHEME}/{YEAR}/{APPLICANT}/used")
    assert caps == {}, "nothing counts for the holder"


async def test_what_centres_hand_out(bureau):
    """Allotted is committed at once; a centre hands out no more than it has, the same order once, and gives the rest back."""
    async with bureau.desk.database.write() as conn:
        await insert_rows(conn, metering_centre, [("sj01", "一号")])
    scheme = bureau.office.series[SCHEME].latest
    by = ByOfficer("周", "区发改〔2025〕2号", "a1")
    hundred = Portion(scheme, "sj01", "100")
    await allot(bureau.desk.journal, by, hundred)
    await allot(bureau.desk.journal, by, hundred)
    moved = await bureau.accounts()
    assert moved[f"{YEAR}/allotted/sj01/CNY"] == 10_000, "once, though asked twice"
    sixty = Portion(scheme, "sj01", "60")
    first = await hand_out(bureau.issuing, sixty, APPLICANT, "k1")
    assert (await hand_out(bureau.issuing, sixty, APPLICANT, "k1")).token == first.token
    told = await refusal(hand_out(bureau.issuing, Portion(scheme, "sj01", "40.01"), APPLICANT, "k2"))
    assert told.code == "budget-exceeded"
    told = await refusal(allot(bureau.desk.journal, by._replace(key="a2"), Portion(scheme, "nowhere", "1")))
    assert told.code == "centre-unknown"
    forty = Portion(scheme, "sj01", "40")
    await take_back(bureau.desk.journal, by._replace(key="a3"), forty)
    assert f"{YEAR}/allotted/sj01/CNY" not in await bureau.accounts()
    async with bureau.desk.database.read() as conn:
        shown = await programme_object(conn, bureau.office.series[SCHEME])
    assert (shown["agrees"], shown["totals"]["issued"], shown["totals"]["outstanding"]) == (
        True,
        "60.000000",
        "60.000000",
    )
    draft = bureau.office.series["cn-ha-2023-2024"].latest
    told = await refusal(allot(bureau.desk.journal, by._replace(key="a4"), Portion(draft, "sj01", "1")))
    assert told.code == "scheme-draft"


async def test_a_programme_says_what_its_accounts_say(bureau):
    """Budget, rounds, approved, issued, held, redeemed, expired: each from accounts, equal to what documents add up to."""
    round_ = await bureau.call()
    found = await bureau.reviewed(round_)
    await bureau.approved(found)
    await bureau.issue(found)
    async with bureau.desk.database.read() as conn:
        shown = await programme_object(conn, bureau.office.series[SCHEME], 2025)
    [year] = shown["years"]
    assert (year["rounds"], year["approved"], year["issued"], year["vouchers"]) == (
        {round_: "200000.000000"}, "50000.000000", "50000.000000", 1,
    )  # fmt: skip
    assert year["left"] == "9999700000.000000"
    assert shown["agrees"]
    assert [one["level"] for one in shown["funding"]] == ["city", "district"]


async def test_idle_units_are_announced_and_taken_back(bureau):
    """After a cycle a notice, 30 days later what still lies idle; what is used meanwhile stays, and no voucher is asked twice."""
    series = {SCHEME: bureau.office.series[SCHEME]}
    found = await bureau.reviewed(await bureau.call())
    await bureau.approved(found)
    [voucher] = await bureau.issue(found)

    async def look(at):
        bureau.clock.set(at)
        async with bureau.desk.database.read() as conn:
            return await reclaim_idle(bureau.desk.journal, conn, series, bureau.clock() // 1000)

    assert await look("2025-12-22T09:00:00+08:00") == {}, "three months are not over"
    assert await look("2025-12-23T09:00:00+08:00") == {"notice": 1}
    assert await look("2026-01-21T09:00:00+08:00") == {}
    async with bureau.desk.database.read() as conn:
        [notice] = await list_reclaims(conn, SCHEME)
    assert (notice["stage"], notice["effective_on"], notice["jti"]) == ("notice", "2026-01-22", voucher.jti)
    assert await look("2026-01-22T09:00:00+08:00") == {"taken": 1}
    assert await look("2026-01-22T10:00:00+08:00") == {}
    async with bureau.desk.database.read() as conn:
        stored = await voucher_store.load_voucher(conn, voucher.jti)
        taken, _ = await list_reclaims(conn, SCHEME)
        shown = await programme_object(conn, series[SCHEME])
    assert taken["units"] == notice["units"]
    assert stored.returned * 10**-6 == pytest.approx(float(taken["units"]))
    assert shown["agrees"]
