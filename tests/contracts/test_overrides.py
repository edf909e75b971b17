"""一事一议 on both databases: a cap of one case, asked for by one person with decision and reason, confirmed by another."""

import pytest

from ledger.scope import EVERYTHING
from suanquan.home import Home
from suanquan.office import load_office
from suanquan.use_cases.applications import load_application
from suanquan.use_cases.programme import programme_object
from tests.contracts.bureau import make
from tests.contracts.voucher_bureau import VoucherBureau, refusal
from tests.ledger.desk import Desk, audit
from tests.shared_data import ROOT
from tests.subsidy.procedure_samples import COMPANY, HE, LIN, SUN
from tests.voucher.application_samples import (
    APPROVE,
    BALANCED,
    LIST,
    OVER,
    POST,
    POSTED,
    PROGRESS,
    SCHEME,
    contract,
)

RULE = "[version.override]"
ASK = {"amount_yuan": "90000.00", "basis": "沪松府专〔2025〕3号", "reason": "区重大项目"}
CONFIRM = {"opinion": "属实"}
PLAN = {"amount_yuan": "90000.00", "basis": "办公会纪要 2025-9"}
STARTUPS = 'when = { fact = "beneficiary.startup", is = true }'


@pytest.fixture(scope="module")
def offices(tmp_path_factory):
    """The sandbox with a cap of 400 yuan a year for one holder, lifted for anybody, for start-ups alone, for nobody."""

    def office(rule):
        home = Home(tmp_path_factory.mktemp("capped"))
        (home.config / "schemes").mkdir(parents=True)
        text = (ROOT / "config/schemes/sandbox.toml").read_text("utf-8")
        changes = (
            ("fen = 100_000_000_000 ", "fen = 40_000 "),
            ("max_voucher_fen = 10_000_000_000", "max_voucher_fen = 40_000"),
            (RULE, rule),
        )
        for before, after in changes:
            assert before in text
            text = text.replace(before, after)
        (home.config / "schemes/sandbox.toml").write_text(text, "utf-8")
        return load_office(home)

    return {"anybody": office(RULE), "startups": office(f"{RULE}\n{STARTUPS}\n"), "nobody": office("")}


@pytest.fixture
async def capped(new_database, offices, request):
    place = new_database(make)
    async with Desk(place) as desk:
        yield VoucherBureau(desk, offices[getattr(request, "param", "anybody")])
    report = await audit(place)
    assert report["ok"], report


async def lifted(bureau, found):
    await bureau.play(found, (LIN, "propose_override", ASK), (SUN, "approve_override", CONFIRM))


async def test_a_confirmed_cap_is_given_and_explained(capped):
    """90,000 under a cap of 400: refused before, planned, approved and issued in two parts after, with who, why and by which decision."""
    found = await capped.reviewed(await capped.call())
    capped.clock.set(BALANCED)
    before = await refusal(capped.play(found, (LIN, "include_in_plan", PLAN)))
    assert (before.code, before.findings[0].where) == ("above-ceiling", "/amount_yuan")
    await lifted(capped, found)
    case = await capped.case(found)
    assert (case.override.cap, case.override.asked_by, case.override.confirmed_by) == (
        9_000_000, LIN.person, SUN.person,
    )  # fmt: skip
    await capped.play(found, (LIN, "include_in_plan", PLAN), LIST)
    capped.clock.set(POSTED)
    await capped.play(found, POST)
    capped.clock.set(OVER)
    await capped.play(found, APPROVE)
    await capped.issue(found)
    await capped.play(found, PROGRESS)
    await capped.issue(found)
    case = await capped.case(found)
    assert (case.issued, len(case.vouchers)) == (9_000_000, 2)
    async with capped.desk.database.read() as conn:
        assert (await programme_object(conn, capped.office.series[SCHEME]))["agrees"]
    told = str((await setting(capped, found)).judged.shown)
    for word in (ASK["basis"], ASK["reason"], LIN.person, SUN.person):
        assert word in told


async def test_it_lifts_the_cap_of_one_case(capped):
    """Another application of the same holder is under the scheme's cap, of which nothing is left."""
    round_ = await capped.call()
    found = await capped.reviewed(round_)
    other = await capped.reviewed(round_, project="另一项目", contract=contract("HT-2"))
    await lifted(capped, found)
    assert (await setting(capped, other)).judged.ceiling == 40_000
    assert (await setting(capped, found)).judged.ceiling == 9_000_000


async def test_one_asks_and_another_confirms(capped):
    """Nobody confirms what he asked for; nothing is confirmed that nobody asked for; an applicant asks for nothing."""
    found = await capped.reviewed(await capped.call())
    assert (await refusal(capped.play(found, (SUN, "approve_override", CONFIRM)))).code == "override-not-asked"
    assert (await refusal(capped.play(found, (COMPANY, "propose_override", ASK)))).code == "role-not-allowed"
    await capped.play(found, (LIN, "propose_override", ASK))
    assert (await capped.case(found)).override is None
    assert (await setting(capped, found)).judged.ceiling == 40_000
    assert (await refusal(capped.play(found, (LIN, "approve_override", CONFIRM)))).code == "four-eyes"
    await capped.play(found, (HE, "approve_override", CONFIRM))
    assert (await refusal(capped.play(found, (SUN, "approve_override", CONFIRM)))).code == "override-not-asked"


@pytest.mark.parametrize("missing", ["amount_yuan", "basis", "reason"])
async def test_cap_decision_and_reason_are_named(capped, missing):
    """None of the three may be left out, and the error says which."""
    found = await capped.reviewed(await capped.call())
    given = {name: value for name, value in ASK.items() if name != missing}
    error = await refusal(capped.play(found, (LIN, "propose_override", given)))
    assert (error.code, [one.where for one in error.findings]) == ("inputs-malformed", [f"/{missing}"])


@pytest.mark.parametrize(
    ("capped", "code"),
    [("nobody", "override-not-provided"), ("startups", "override-not-for-whom")],
    indirect=["capped"],
)
async def test_only_where_the_scheme_says_so(capped, code):
    """A scheme without the rule lifts nothing, and one for start-ups nothing for others; both name the rule's source."""
    found = await capped.reviewed(await capped.call())
    error = await refusal(capped.play(found, (LIN, "propose_override", ASK)))
    assert error.code == code
    assert "虚构" in error.zh


async def setting(bureau, found):
    async with bureau.desk.database.read() as conn:
        application = await load_application(conn, bureau.office, found, EVERYTHING)
        return await bureau.proceedings.setting(conn, application)
