"""A scheme that hands out compute alone, as files: its rounds, applications, awards and vouchers count PFLOPS·h, on both databases."""

import pytest

from ledger.amount import COMPUTE
from ledger.scope import EVERYTHING
from ledger.store import accounts_under
from suanquan.home import Home
from suanquan.office import load_office
from suanquan.use_cases.applications import load_application, load_round
from suanquan.use_cases.procedure_views import application_object, award_objects, round_object
from suanquan.use_cases.programme import programme_object
from tests.contracts.bureau import make
from tests.contracts.test_city_by_file import CITY, PROCEDURE, SOURCE
from tests.contracts.voucher_bureau import VoucherBureau, refusal
from tests.ledger.desk import Desk, audit
from tests.subsidy.procedure_samples import XU
from tests.voucher.application_samples import BALANCED, COMPANY, LIN, QIAN, SCHEME, SUN, contract, materials

POT = f"{CITY}@PFLOPS.h"
HOUR = 10**COMPUTE.scale
SAYS = "takes: [basis],\n     guards: [notice_over"
assert SAYS in PROCEDURE
ASKS = PROCEDURE.replace("contract], guards", "contract], may_take: [amount_yuan], guards").replace(
    SAYS, SAYS.replace("[basis],", "[basis], may_take: [amount_yuan],")
)


def scheme():
    """Free allocation of 5,000 PFLOPS·h a year, at most 800 a year for one holder; no sum of money, no base, no ratio."""
    head, _, version = SOURCE.partition("[[version]]")
    head = head.replace('id = "cn-sh-songjiang-sandbox"', f'id = "{CITY}"')
    for first, following in (
        ("[version.base]", "[[version.cap]]"), ("[version.rounding]", "[[version.condition]]"),
        ("[[version.tranche]]", "[version.reclaim]"),
    ):  # fmt: skip
        version = version[: version.index(first)] + version[version.index(following) :]
    for before, after in (
        ('claim_mode = "issue_then_offset"', 'claim_mode = "free_allocation"'),
        ('denomination = ["CNY_FACE", "PFLOPS.h"]', 'denomination = ["PFLOPS.h"]'),
        ('none = ["application", ', 'none = ["application", "base", "cost_items", "tax_basis", "ratio", "rounding", '),
        ('pflops_h = "10000000"', 'pflops_h = "800"'),
        ('per_year_pflops_h = "100000000"', 'per_year_pflops_h = "5000"'),
        ('max_voucher_pflops_h = "1000000"', 'max_voucher_pflops_h = "700"'),
    ):
        assert before in version, before
        version = version.replace(before, after)
    lines = [line for line in version.splitlines() if not line.partition("=")[0].strip().endswith("_fen")]
    start = lines.index("[[version.cap]]")
    return head + "[[version]]" + "\n".join(lines[:start] + lines[lines.index("[[version.cap]]", start + 1) :])


@pytest.fixture(scope="module")
def office(tmp_path_factory):
    home = Home(tmp_path_factory.mktemp("compute"))
    for folder in ("schemes", "procedures"):
        (home.config / folder).mkdir(parents=True)
    (home.config / "schemes/city.toml").write_text(scheme(), "utf-8")
    (home.config / "procedures/city.yaml").write_text(ASKS, "utf-8")
    return load_office(home)


@pytest.fixture
async def bureau(new_database, office):
    place = new_database(make)
    async with Desk(place) as desk:
        yield VoucherBureau(desk, office)
    report = await audit(place)
    assert report["ok"], report


async def apply(bureau, round_, project, **given):
    signed_on = given.pop("signed_on", "2025-08-20")
    papers = {"materials": materials()[1:2], "contract": contract(f"HT {project}", signed_on=signed_on)}
    return await bureau.submit(
        round_, COMPANY, **({"scheme": CITY, "unit": "PFLOPS.h", "project": project} | papers | given)
    )


async def shown(bureau, found):
    async with bureau.desk.database.read() as conn:
        one = await load_application(conn, bureau.office, found, EVERYTHING)
        return application_object(bureau.office, one, await bureau.proceedings.setting(conn, one))


async def money(bureau):
    """Units of compute by account of the programme, and what its view says; nothing anywhere is yuan."""
    async with bureau.desk.database.read() as conn:
        accounts = await accounts_under(conn, f"scheme/{CITY}/")
        told = await programme_object(conn, bureau.office.series[CITY])
    assert {one.asset for one in accounts} == {COMPUTE.number}
    assert told["agrees"], told["faults"]
    return {one.name.removeprefix(f"scheme/{CITY}/"): one.balance for one in accounts if one.balance}


async def test_a_round_of_compute_ends_in_vouchers_of_compute(bureau):
    """Asked, ranked, cut, noticed, approved and issued in PFLOPS·h; what nobody got is the year's again; books and documents agree."""
    round_ = await bureau.call(procedure="city", budgets={POT: "1000"})
    later = await apply(bureau, round_, "后签", amount="600.5", signed_on="2025-08-25")
    first = await apply(bureau, round_, "先签", amount="450.25")
    assert (await shown(bureau, first))["evaluation"]["ceiling"] == "700.000000000", "the largest voucher"
    bureau.clock.set("2025-09-11T09:00:00+08:00")
    awards = await bureau.proceedings.allocate(LIN, round_, {"basis": "纪要"})
    assert [(one["application"], one["unit"], one["amount"], one["cut"], one["amount_yuan"]) for one in award_objects(awards)] == [
        (first, "PFLOPS.h", "450.250000000", "0.000000000", None), (later, "PFLOPS.h", "549.750000000", "50.750000000", None),
    ]  # fmt: skip
    bureau.clock.set("2025-09-15T09:00:00+08:00")
    for found in (first, later):
        await bureau.play(found, (QIAN, "notice", {"address": "https://x.example"}))
    bureau.clock.set("2025-09-28T09:00:00+08:00")
    await bureau.play(first, (SUN, "approve", {"basis": "批复"}))
    assert await money(bureau) == {
        "treasury/PFLOPS.h": -5000 * HOUR, "2025/budget/PFLOPS.h": 4000 * HOUR,
        f"2025/round/{round_}/PFLOPS.h": 54_975 * HOUR // 100, "2025/approved/PFLOPS.h": 45_025 * HOUR // 100,
    }  # fmt: skip
    [voucher] = await bureau.issue(first)
    assert (voucher.asset, voucher.units) == (COMPUTE.number, 45_025 * HOUR // 100)
    assert voucher.token
    told = await refusal(bureau.play(later, (SUN, "approve", {"basis": "批复"})))
    assert (told.code, told.findings[0].where) == ("above-ceiling", "/amount"), "800 a year are the holder's cap"
    assert "349.750000000 PFLOPS.h" in told.zh
    await bureau.play(later, (SUN, "approve", {"basis": "批复", "amount": "349.75"}))
    [second] = await bureau.issue(later)
    assert second.units == 34_975 * HOUR // 100
    page = await shown(bureau, later)
    assert (page["unit"], page["amount_yuan"], page["in_kind"]["issued"]) == ("PFLOPS.h", None, "349.750000000")
    assert page["steps"][-2]["inputs"]["amount"] == "349.750000000"
    await bureau.proceedings.settle_round(XU, round_, {"basis": "轮次结束"})
    assert (await money(bureau))["2025/budget/PFLOPS.h"] == 4200 * HOUR


async def test_a_budget_of_another_unit_is_refused_where_it_stands(bureau):
    """Yuan where the scheme gives none, a unit that nobody knows, digits beyond the last, and compute of a clause."""
    clause = "16:三(四)@PFLOPS.h"
    for name, amount, code in (
        (CITY, "1000", "scheme-incomplete"), (f"{CITY}@GPU.h", "1000", "input-malformed"),
        (POT, "0.0000000001", "input-malformed"), (clause, "1", "clause-foreign"),
    ):  # fmt: skip
        told = await refusal(bureau.call(procedure="city", budgets={name: amount}))
        assert [(one.code, one.where) for one in told.findings] == [(code, f"/budgets/{name}")]


async def test_an_application_says_its_amount_in_its_unit(bureau):
    """Yuan in an application for compute, another unit than the round's, and no unit at all are refused; nothing is written."""
    round_ = await bureau.call(procedure="city", budgets={POT: "1000"})
    for given, code in (
        ({"amount_yuan": "5"}, "inputs-malformed"), ({"amount": "-1"}, "inputs-malformed"),
        ({"unit": "卡时"}, "inputs-malformed"), ({"unit": ["PFLOPS.h"]}, "inputs-malformed"), ({"unit": "CNY"}, "clause-not-called"),
    ):  # fmt: skip
        assert (await refusal(apply(bureau, round_, "错", **given))).code == code, given
    assert bureau.desk.rows("SELECT count(*) FROM procedure_step") == [(1,)]
    found = await apply(bureau, round_, "对", amount="2")
    assert await apply(bureau, round_, "对", amount="2") == found, "the same content is the same application"


async def test_one_round_of_the_sandbox_has_money_and_compute(vouchers):
    """Two budgets of one scheme stand beside each other, each shared among its own applications."""
    compute = f"{SCHEME}@PFLOPS.h"
    round_ = await vouchers.call(budgets={SCHEME: "300000.00", compute: "12.5"})
    yuan = await vouchers.reviewed(round_)
    hours = await vouchers.reviewed(round_, project="另一项目", contract=contract("HT-2"), unit="PFLOPS.h", amount="20")
    vouchers.clock.set(BALANCED)
    awards = await vouchers.proceedings.allocate(QIAN, round_, {"basis": "纪要"})
    assert {one.claim: (one.amount, one.unit.code) for one in awards} == {
        yuan: (10_000_000, "CNY"), hours: (12_500_000_000, "PFLOPS.h"),
    }  # fmt: skip
    async with vouchers.desk.database.read() as conn:
        listed = round_object(vouchers.office, await load_round(conn, vouchers.office, round_))
    assert listed["budgets_yuan"] == {SCHEME: "300000.00"}
    assert [(one["unit"], one["amount"]) for one in listed["budgets"]] == [
        ("CNY", "300000.00"),
        ("PFLOPS.h", "12.500000000"),
    ]
