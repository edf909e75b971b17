"""Applications for vouchers on both databases: what is refused, what is recorded and moved, and that each voucher is issued once."""

import asyncio

import cbor2
import pytest

from ledger.errors import DomainError
from ledger.scope import EVERYTHING
from ledger.store import load_entries, load_entry
from suanquan.use_cases.issue_approved import take_up
from subsidy import step_body, store
from subsidy.procedure import Role
from subsidy.steps import Actor
from tests.contracts.voucher_bureau import refusal
from tests.ledger.full_ledger import KEYS
from tests.subsidy.procedure_samples import XU
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
    ZHOU,
    contract,
    materials,
)
from tests.voucher.samples import HOLDER_KEY
from voucher import store as voucher_store
from voucher.document import read_voucher

YEAR = "2025"
ROUND = "Rvoucher-sandbox-2025-1"


async def test_a_round_goes_from_call_to_vouchers(vouchers):
    """Year's budget → round → approved → two vouchers, one now and one after the progress report; caps say the same throughout."""
    round_ = await vouchers.call()
    assert round_ == ROUND
    full = 1_000_000_000_000
    assert await vouchers.accounts() == {
        f"{YEAR}/budget/CNY": full - 30_000_000, f"{YEAR}/round/{ROUND}/CNY": 30_000_000, "treasury/CNY": -full,
    }  # fmt: skip
    found = await vouchers.reviewed(round_, holder_key=dict(HOLDER_KEY.jwk()))
    await vouchers.approved(found)
    moved = await vouchers.accounts()
    assert (moved[f"{YEAR}/approved/CNY"], moved[f"{YEAR}/round/{ROUND}/CNY"]) == (10_000_000, 20_000_000)
    [first] = await vouchers.issue(found)
    assert first.units == 5_000_000 * 10_000
    assert first.token
    assert (await vouchers.case(found)).vouchers == (first.jti,)
    assert await vouchers.issue(found) == [first], "nothing further is due"
    await vouchers.play(found, PROGRESS)
    again, second = await vouchers.issue(found)
    assert again == first
    assert second.units == first.units
    assert await vouchers.refused(found, *PROGRESS) == "nothing-due"
    await vouchers.proceedings.settle_round(XU, round_, {"basis": "轮次结束"})
    assert await vouchers.accounts() == {
        f"{YEAR}/budget/CNY": full - 10_000_000, f"{YEAR}/unused/CNY": 20_000_000, "treasury/CNY": -full - 20_000_000,
    }  # fmt: skip
    caps = await vouchers.accounts("budget/")
    used = {name: fen for name, fen in caps.items() if name.endswith("/used")}
    assert used == {
        f"budget/{SCHEME}/used": 10_000_000, f"budget/{SCHEME}/{YEAR}/used": 10_000_000,
        f"budget/{SCHEME}/{YEAR}/{APPLICANT}/used": 10_000_000,
    }  # fmt: skip
    await _the_decision_stays(vouchers, found)
    await _it_is_bound(vouchers, found, first)


async def _the_decision_stays(vouchers, found):
    """Approval and issue keep the scheme's version, its digest, the decisive date and every step of the figure."""
    async with vouchers.desk.database.read() as conn:
        rows = {row.step: step_body.decode(row) for row in await store.steps_of(conn, found)}
    for step in ("approve", "issue"):
        told = rows[step]["derived"]["evaluation"]
        assert (told["version"], told["decisive_date"], told["decisive_on"]) == (
            "1", "application.received_on", "2025-09-01",
        )  # fmt: skip
        assert told["digest"] == vouchers.office.series[SCHEME].latest.digest
        assert [one["step"] for one in told["steps"]][:3] == ["cost_item", "cost_item", "base"]
        assert told["amount_yuan"] == "100000", "half of the compute, storage not counted"


async def _it_is_bound(vouchers, found, first):
    """The signed voucher names the holder's key, the year of its round bears it, and its log entry says for whom it is."""
    async with vouchers.desk.database.read() as conn:
        stored = await voucher_store.load_voucher(conn, first.jti, EVERYTHING)
        entry = (await load_entries(conn, [stored.event_id]))[stored.event_id]
        row = await load_entry(conn, entry.seq)
    _, voucher = read_voucher(stored.token, KEYS.all_keys())
    assert (voucher.holder_jkt, voucher.holder, stored.year) == (HOLDER_KEY.kid, APPLICANT, 2025)
    assert cbor2.loads(row.body)["for"] == found


async def test_whatever_stops_between_approval_and_issue_issues_once(vouchers, monkeypatch):
    """Before the record nothing is there, after it the same voucher is signed; many who look at once find one."""
    found = await vouchers.reviewed(await vouchers.call())
    await vouchers.approved(found)

    def fail(*_, **__):
        raise OSError("the power went")

    with monkeypatch.context() as patched:
        patched.setattr("suanquan.use_cases.voucher_matter.record", fail)
        with pytest.raises(DomainError):
            await vouchers.issue(found)
    assert (await vouchers.case(found)).state == "approved", "nothing half-written"
    assert vouchers.desk.rows("SELECT count(*) FROM voucher") == [(0,)]

    with monkeypatch.context() as patched:
        patched.setattr("suanquan.use_cases.issue_approved.release", fail)
        with pytest.raises(OSError, match="the power went"):
            await vouchers.issue(found)
    assert (await vouchers.case(found)).state == "issued"
    [jti] = (await vouchers.case(found)).vouchers
    assert vouchers.desk.rows("SELECT count(*) FROM released") == [(0,)]

    assert await take_up(vouchers.proceedings, vouchers.issuing) == (1, [])
    [[voucher]] = [await vouchers.issue(found)]
    assert voucher.jti == jti
    assert voucher.token
    assert await take_up(vouchers.proceedings, vouchers.issuing) == (0, [])


async def test_what_cannot_be_issued_stays_approved(vouchers):
    """After the scheme's time of issue the job is told why, and the application stands where it stood."""
    found = await vouchers.reviewed(await vouchers.call())
    await vouchers.approved(found)
    vouchers.clock.set("2035-01-01T09:00:00+08:00")
    done, [(name, why)] = await take_up(vouchers.proceedings, vouchers.issuing)
    assert (done, name, why.code) == (0, found, "issue-refused")
    assert [one.code for one in why.findings] == ["scheme-window", "scheme-validity-over"]
    assert (await vouchers.case(found)).state == "approved"


async def test_many_who_issue_at_once_issue_one(vouchers):
    """The same approved application from several at once, and the job beside them: one voucher, one step."""
    found = await vouchers.reviewed(await vouchers.call())
    await vouchers.approved(found)
    wishes = [vouchers.issue(found) for _ in range(4)] + [take_up(vouchers.proceedings, vouchers.issuing)]
    told = await asyncio.gather(*wishes, return_exceptions=True)
    assert {getattr(one, "code", "") for one in told} <= {"", "step-not-possible"}
    assert vouchers.desk.rows("SELECT count(*) FROM voucher") == [(1,)]
    assert len((await vouchers.case(found)).vouchers) == 1


async def test_the_same_application_twice_is_one(vouchers):
    """Sent again it is the same; with other content it is refused and names the first; withdrawn, it makes room."""
    round_ = await vouchers.call()
    first = await vouchers.submit(round_)
    assert await vouchers.submit(round_) == first
    told = await refusal(vouchers.submit(round_, contract=contract("HT-2")))
    assert (told.code, first in told.en) == ("application-exists", True)
    await vouchers.play(first, (COMPANY, "withdraw", {"reason": "改报"}))
    assert await vouchers.submit(round_, contract=contract("HT-2")) != first
    first = await vouchers.submit(round_, project="又一用途", contract=contract("HT-4"))
    other = Actor(OTHER, Role.APPLICANT)
    second = await vouchers.submit(
        round_, other, applicant=OTHER, contract=contract("HT-1"), materials=materials(OTHER)
    )
    assert first != second
    assert await vouchers.refused(first, other, "withdraw", {"reason": "x"}) == "application-unknown"
    told = await refusal(vouchers.submit(round_, other, project="冒名"))
    assert told.code == "not-your-application"


async def test_a_contract_and_an_invoice_are_claimed_once(vouchers):
    """However it is written, by whom and in which round; the error names the field and the rule. Withdrawn, it is free."""
    round_ = await vouchers.call()
    invoices = [{"issuer": "91310117MA1J00001X", "document": "发票 7", "yuan": "5"}]
    first = await vouchers.submit(round_, costs=invoices)
    told = await refusal(vouchers.submit(round_, project="另一用途", contract=contract("ht 2025 001")))
    assert (told.code, told.findings[0].where) == ("supported-already", "/contract/number")
    assert first in told.en
    told = await refusal(vouchers.submit(round_, project="第三用途", contract=contract("HT-3"), costs=invoices))
    assert told.findings[0].where == "/costs/0"
    later = await vouchers.call(title="第二轮")
    told = await refusal(vouchers.submit(later))
    assert told.code == "supported-already", "in another round, too"
    await vouchers.play(first, (COMPANY, "withdraw", {"reason": "改报"}))
    assert await vouchers.submit(later)


async def test_four_eyes(vouchers):
    """Nobody approves what he prepared; a role that a step is not for is refused; nobody but the program issues."""
    found = await vouchers.reviewed(await vouchers.call())
    assert await vouchers.refused(found, QIAN, *PLAN[1:]) == "round-open"
    vouchers.clock.set(BALANCED)
    await vouchers.play(found, PLAN, LIST)
    vouchers.clock.set(POSTED)
    await vouchers.play(found, POST)
    assert await vouchers.refused(found, *APPROVE) == "notice-running"
    vouchers.clock.set("2025-09-22T10:00:00+08:00")
    assert await vouchers.refused(found, *APPROVE) == "notice-running", "five working days after the fifteenth"
    vouchers.clock.set("2025-09-23T00:00:00+08:00")
    for actor in (LIN, QIAN):
        assert await vouchers.refused(found, actor, *APPROVE[1:]) == "four-eyes"
    for actor in (HE, EXPERT, COMPANY):
        assert await vouchers.refused(found, actor, *APPROVE[1:]) == "role-not-allowed"
    await vouchers.play(found, APPROVE)
    for actor in (SUN, XU, COMPANY):
        assert await vouchers.refused(found, actor, "issue", {}) == "role-not-allowed"


async def test_refused_returned_withdrawn(vouchers):
    """A returned application is supplemented; a refused one frees its contract; an approved one that is withdrawn gives all back."""
    round_ = await vouchers.call()
    found = await vouchers.submit(round_, materials=materials(without=["service_contract"]))
    told = await refusal(vouchers.play(found, REVIEW[0]))
    assert [one.where for one in told.findings] == ["/materials/service_contract"]
    another = await vouchers.submit(round_, project="别的文件", contract=contract("HT-7", sha256="cd" * 32))
    told = await refusal(vouchers.play(another, REVIEW[0]))
    assert [one.where for one in told.findings] == ["/materials/service_contract/sha256"]
    await vouchers.play(another, (ZHOU, "refuse", {"reason": "合同与材料不符"}))
    await vouchers.play(found, (LIN, "return_for_materials", {"reason": "缺合同", "until": "2025-09-05"}))
    await vouchers.play(found, (COMPANY, "supplement", {"materials": materials()}), *REVIEW)
    other = await vouchers.submit(round_, project="另一用途", contract=contract("HT-9"))
    await vouchers.play(other, (ZHOU, "refuse", {"reason": "不属算力"}))
    assert (await vouchers.case(other)).state == "refused"
    await vouchers.approved(found)
    await vouchers.play(found, (COMPANY, "withdraw", {"reason": "不再需要"}))
    left = await vouchers.accounts()
    assert left[f"{YEAR}/round/{ROUND}/CNY"] == 30_000_000
    assert f"{YEAR}/approved/CNY" not in left
    async with vouchers.desk.database.read() as conn:
        claims = await store.claims_of(conn, found)
    assert sum(1 if claim.released else -1 for claim in claims) == 0, "the register is free again"
    assert await vouchers.issue(found) == []


async def test_an_objection_on_the_last_day(vouchers):
    """On the fifth working day an objection is taken, and nothing is approved before another person decided it."""
    found = await vouchers.reviewed(await vouchers.call())
    vouchers.clock.set(BALANCED)
    await vouchers.play(found, PLAN, LIST)
    vouchers.clock.set(POSTED)
    await vouchers.play(found, POST)
    vouchers.clock.set("2025-09-22T23:59:59+08:00")
    await vouchers.play(found, (QIAN, "record_objection", {"objection": "与服务商有关联"}))
    vouchers.clock.set("2025-09-24T09:00:00+08:00")
    assert await vouchers.refused(found, *APPROVE) == "objection-open"
    await vouchers.play(found, (ZHOU, "uphold_objection", {"objection_number": 1, "reason": "属实"}))
    assert (await vouchers.case(found)).state == "objection_upheld"
    assert await vouchers.refused(found, *APPROVE) == "step-not-possible"


async def test_earlier_contract_later_application_wins(vouchers):
    """Two race for the last of the round's budget: allocation runs on the closed round, by the signing of contracts, not by arrival."""
    round_ = await vouchers.call(budgets={SCHEME: "110000"})
    first = await vouchers.reviewed(round_)
    told = await refusal(vouchers.proceedings.allocate(QIAN, round_, {"basis": "纪要"}))
    assert told.code == "round-open", "a later application may rank higher"
    second = await vouchers.submit(
        round_, COMPANY, project="另一用途", contract=contract("HT-8", signed_on="2025-07-01"),
    )  # fmt: skip
    vouchers.clock.set(BALANCED)
    told = await refusal(vouchers.proceedings.allocate(QIAN, round_, {"basis": "纪要"}))
    assert (told.code, second in told.en) == ("round-unreviewed", True)
    await vouchers.play(second, *REVIEW)
    assert await vouchers.refused(first, *PLAN) == "above-allocation"
    awards = await vouchers.proceedings.allocate(QIAN, round_, {"basis": "纪要"})
    assert [(one.claim, one.amount, one.rank, one.cut) for one in awards] == [
        (second, 10_000_000, 1, 0), (first, 1_000_000, 2, 9_000_000),
    ]  # fmt: skip
    assert (await vouchers.case(first)).amount == 1_000_000
    assert await vouchers.proceedings.allocate(QIAN, round_, {"basis": "纪要"}) == []


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


async def test_a_bad_application_is_told_where(vouchers):
    """The field, what to write instead, and nothing recorded; rules of the scheme with field, rule and source."""
    round_ = await vouchers.call()
    for changes, code, where in BAD:
        told = await refusal(vouchers.submit(round_, **changes))
        assert told.code == code, changes
        assert where in [one.where for one in told.findings] or not where, changes
    assert vouchers.desk.rows("SELECT count(*) FROM support_claim") == [(0,)]
    found = await vouchers.submit(
        round_,
        contract=contract(ends_on="2029-08-31"),
        facts={"beneficiary": {"startup": False, "related_to_provider": True}},
    )
    told = await refusal(vouchers.play(found, REVIEW[0]))
    assert told.code == "not-eligible"
    assert [one.where for one in told.findings] == ["/facts/beneficiary/related_to_provider", "/contract/duration"]
    assert all("虚构 invented" in one.en for one in told.findings)


async def test_rounds_stay_within_budget_and_drafts_take_nothing(vouchers):
    """A round beyond the year's budget, and one of a draft scheme, cannot be called; nothing is recorded."""
    told = await refusal(vouchers.call(budgets={SCHEME: "10000000001"}))
    assert told.code == "budget-exceeded"
    told = await refusal(vouchers.call(budgets={"cn-ha-2023-2024": "1"}))
    assert told.code in {"clause-foreign", "call-refused", "scheme-draft"}
    assert vouchers.desk.rows("SELECT count(*) FROM procedure_step") == [(0,)]
