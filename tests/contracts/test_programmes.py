"""Programmes on both databases: what comes back to them, what centres hand out, what lies idle, and that accounts say it all."""

import json
from dataclasses import replace

import pytest

from ledger.scope import EVERYTHING
from ledger.sql import insert_rows
from metering.tables import centre as metering_centre
from suanquan.use_cases.allotment import Portion, Receiver, allot, hand_out, take_back
from suanquan.use_cases.books import Order as ByOfficer
from suanquan.use_cases.issue import Order, issue
from suanquan.use_cases.programme import programme_object
from suanquan.use_cases.reclaim import list_reclaims, reclaim_idle
from suanquan.use_cases.standing import change_standing
from tests.contracts.voucher_bureau import refusal
from tests.ledger.full_ledger import KEYS
from tests.voucher.application_samples import (
    APPLICANT,
    OTHER,
    SCHEME,
    ZHOU,
)
from tests.voucher.samples import PRIVATE
from voucher import store as voucher_store
from voucher.issuance import Contract, IssueRequest
from voucher.scheme import SchemeStatus

YEAR = "2025"


async def test_a_revoked_voucher_frees_its_contract(vouchers):
    """Returned whole, its contract may be claimed again; the year's budget and the holder's cap have it back."""
    round_ = await vouchers.call()
    found = await vouchers.reviewed(round_)
    await vouchers.approved(found)
    [voucher] = await vouchers.issue(found)
    await vouchers.play(found, (ZHOU, "close", {"reason": "不再继续"}))
    later = await vouchers.call(title="第二轮", opens="2025-09-23", closes="2025-09-30")
    assert (await refusal(vouchers.submit(later))).code == "supported-already"
    order = ByOfficer("周", "区发改〔2025〕1号", "r1")
    await change_standing(vouchers.desk.journal, order, voucher.jti, "revoke")
    assert await vouchers.submit(later)
    caps = await vouchers.accounts(f"budget/{SCHEME}/{YEAR}/{APPLICANT}/used")
    assert caps == {}, "nothing counts for the holder"


async def test_what_centres_hand_out(vouchers):
    """Allotted is committed at once; a centre hands out no more than it has, the same order once, and gives the rest back."""
    async with vouchers.desk.database.write() as conn:
        await insert_rows(conn, metering_centre, [("sj01", "一号")])
    scheme = vouchers.office.series[SCHEME].latest
    by = ByOfficer("周", "区发改〔2025〕2号", "a1")
    hundred = Portion(scheme, "sj01", "100")
    await allot(vouchers.desk.journal, by, hundred)
    await allot(vouchers.desk.journal, by, hundred)
    moved = await vouchers.accounts()
    assert moved[f"{YEAR}/allotted/sj01/CNY"] == 10_000, "once, though asked twice"
    sixty = Portion(scheme, "sj01", "60")
    first = await hand_out(vouchers.issuing, sixty, Receiver(APPLICANT), "k1")
    assert (await hand_out(vouchers.issuing, sixty, Receiver(APPLICANT), "k1")).token == first.token
    told = await refusal(hand_out(vouchers.issuing, Portion(scheme, "sj01", "40.01"), Receiver(APPLICANT), "k2"))
    assert told.code == "budget-exceeded"
    told = await refusal(allot(vouchers.desk.journal, by._replace(key="a2"), Portion(scheme, "nowhere", "1")))
    assert told.code == "centre-unknown"
    forty = Portion(scheme, "sj01", "40")
    await take_back(vouchers.desk.journal, by._replace(key="a3"), forty)
    assert f"{YEAR}/allotted/sj01/CNY" not in await vouchers.accounts()
    async with vouchers.desk.database.read() as conn:
        shown = await programme_object(conn, vouchers.office.series[SCHEME])
    assert (shown["agrees"], shown["totals"]["issued"], shown["totals"]["outstanding"]) == (
        True,
        "60.000000",
        "60.000000",
    )
    draft = vouchers.office.series["cn-ha-2023-2024"].latest
    told = await refusal(allot(vouchers.desk.journal, by._replace(key="a4"), Portion(draft, "sj01", "1")))
    assert told.code == "scheme-draft"


async def test_what_a_centre_hands_out_says_what_it_is_for(vouchers):
    """Under a scheme that pays it claims its contract, once over both channels, or takes a reason; nothing is written otherwise."""
    async with vouchers.desk.database.write() as conn:
        await insert_rows(conn, metering_centre, [("sj01", "一号")])
    paying = replace(vouchers.office.series[SCHEME].latest, status=SchemeStatus.USABLE)
    await allot(vouchers.desk.journal, ByOfficer("周", "区发改〔2025〕2号", "a1"), Portion(paying, "sj01", "100"))
    ten, paper = Portion(paying, "sj01", "10"), Contract("松江一号智算中心", "HT-1")
    told = await refusal(hand_out(vouchers.issuing, ten, Receiver(APPLICANT), "k1"))
    assert [(one.code, one.where) for one in told.findings] == [("grounds-missing", "/contract")]
    first = await hand_out(vouchers.issuing, ten, Receiver(APPLICANT, contract=paper), "k1")
    assert (await hand_out(vouchers.issuing, ten, Receiver(APPLICANT, contract=paper), "k1")).jti == first.jti
    told = await refusal(
        hand_out(vouchers.issuing, ten, Receiver(OTHER, contract=Contract(paper.provider, "ht 1")), "k2")
    )
    assert (told.code, told.findings[0].where) == ("supported-already", "/contract/number")
    direct = Order(IssueRequest(OTHER, "CNY", "10", contract=paper), paying, "d1")
    assert (await refusal(issue(vouchers.desk.journal, direct, KEYS, PRIVATE.sign))).code == "supported-already"
    assert await hand_out(vouchers.issuing, ten, Receiver(OTHER, reason="高校教学，没有合同"), "k3")
    assert (await vouchers.accounts())[f"{YEAR}/allotted/sj01/CNY"] == 8_000
    await change_standing(vouchers.desk.journal, ByOfficer("周", "区发改〔2025〕3号", "r1"), first.jti, "revoke")
    assert await hand_out(vouchers.issuing, ten, Receiver(OTHER, contract=paper), "k4"), (
        "a revoked one frees its contract"
    )


async def test_a_programme_says_what_its_accounts_say(vouchers):
    """Budget, rounds, approved, issued, held, redeemed, expired: each from accounts, equal to what documents add up to."""
    round_ = await vouchers.call()
    found = await vouchers.reviewed(round_)
    await vouchers.approved(found)
    await vouchers.issue(found)
    async with vouchers.desk.database.read() as conn:
        shown = await programme_object(conn, vouchers.office.series[SCHEME], 2025)
    [year] = shown["years"]
    assert (year["rounds"], year["approved"], year["issued"], year["vouchers"]) == (
        {round_: "200000.000000"}, "50000.000000", "50000.000000", 1,
    )  # fmt: skip
    assert year["left"] == "9999700000.000000"
    assert shown["totals"]["set_aside"] == "250000.000000", "of the round, and what is approved and not issued"
    assert shown["agrees"]
    assert [one["level"] for one in shown["funding"]] == ["city", "district"]


async def test_idle_units_are_announced_and_taken_back(vouchers):
    """After a cycle a notice, 30 days later what still lies idle; what is used meanwhile stays, and no voucher is asked twice."""
    series = {SCHEME: vouchers.office.series[SCHEME]}
    found = await vouchers.reviewed(await vouchers.call())
    await vouchers.approved(found)
    [voucher] = await vouchers.issue(found)

    async def look(at):
        vouchers.clock.set(at)
        async with vouchers.desk.database.read() as conn:
            return await reclaim_idle(vouchers.desk.journal, conn, series, vouchers.clock() // 1000)

    assert await look("2025-12-22T09:00:00+08:00") == {}, "three months are not over"
    assert await look("2025-12-23T09:00:00+08:00") == {"notice": 1}
    assert await look("2026-01-21T09:00:00+08:00") == {}
    async with vouchers.desk.database.read() as conn:
        [notice] = await list_reclaims(conn, SCHEME)
    assert (notice["stage"], notice["effective_on"], notice["jti"]) == ("notice", "2026-01-22", voucher.jti)
    assert await look("2026-01-22T09:00:00+08:00") == {"taken": 1}
    assert await look("2026-01-22T10:00:00+08:00") == {}
    async with vouchers.desk.database.read() as conn:
        stored = await voucher_store.load_voucher(conn, voucher.jti, EVERYTHING)
        taken, _ = await list_reclaims(conn, SCHEME)
        shown = await programme_object(conn, series[SCHEME])
    told = vouchers.desk.rows(
        "SELECT audience, subject, data FROM notice WHERE kind = 'voucher.reclaim' ORDER BY number"
    )
    assert {(who, about) for who, about, _ in told} == {(f"holder:{voucher.holder}", voucher.jti)}
    assert [json.loads(data)["stage"] for _, _, data in told] == ["notice", "taken"]
    assert taken["units"] == notice["units"]
    assert stored.returned * 10**-6 == pytest.approx(float(taken["units"]))
    assert shown["agrees"]
