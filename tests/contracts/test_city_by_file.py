"""A city that nobody programmed: a scheme and a procedure as files alone, with other steps, versions and caps."""

import pytest

from ledger.errors import DomainError
from ledger.scope import EVERYTHING
from suanquan.home import Home
from suanquan.office import load_office
from suanquan.use_cases.applications import load_application
from suanquan.use_cases.procedure_views import application_object
from subsidy import step_body, store
from tests.contracts.bureau import make
from tests.contracts.voucher_bureau import VoucherBureau
from tests.ledger.desk import Desk, audit
from tests.shared_data import ROOT
from tests.voucher.application_samples import APPLICANT, COMPANY, LIN, QIAN, SUN, contract, materials

CITY = "cn-xx-city-sandbox"
SOURCE = (ROOT / "config/schemes/sandbox.toml").read_text("utf-8")
PROCEDURE = """
procedure:
  id: city
  revision: 1
  schemes: [cn-xx-city-sandbox]
  source: 虚构 invented
  title_zh: 某市算力券申领
  title_en: Vouchers of a city
  notice_working_days: 1
  rounds_per_year: 2
materials:
  - {id: business_licence_copy, zh: 执照, en: Licence}
states:
  - {id: applied, zh: 已申领, en: applied}
  - {id: ranked, zh: 已排序, en: ranked}
  - {id: noticed, zh: 公示, en: in notice}
  - {id: approved, zh: 已批准, en: approved}
  - {id: issued, zh: 已发券, en: issued, final: true}
steps:
  - {id: apply, zh: 申领, en: Apply, to: applied, roles: [applicant], takes: [materials, facts, contract], guards: [window], effects: [claim]}
  - {id: rank, zh: 排序, en: Rank, from: [applied], to: ranked, roles: [department], apart_from: [apply], takes: [amount_yuan, basis],
     guards: [materials, round_closed, within_ceiling, within_allocation]}
  - {id: notice, zh: 公示, en: Notice, from: [ranked], to: noticed, roles: [department], takes: [address], guards: [calendar_known], effects: [notice]}
  - {id: approve, zh: 批准, en: Approve, from: [noticed], to: approved, roles: [department], apart_from: [rank], takes: [basis],
     guards: [notice_over, no_open_objection, within_ceiling], effects: [commit], reaches: approval}
  - {id: issue, zh: 发券, en: Issue, from: [approved], to: issued, roles: [service], automatic: true, guards: [something_due], effects: [issue]}
"""


def scheme():
    """Two versions by the day of signing: half of the cost, and a tenth from 1 September; at most 120,000 yuan a year."""
    head, _, version = SOURCE.partition("[[version]]")
    head = head.replace('id = "cn-sh-songjiang-sandbox"', f'id = "{CITY}"')
    version = (
        version.replace('decisive_date = "application.received_on"', 'decisive_date = "contract.signed_on"')
        .replace("fen = 100_000_000_000 ", "fen = 12_000_000 ")
        .replace("max_voucher_fen = 10_000_000_000", "max_voucher_fen = 12_000_000")
        .replace("working_days = 5", "working_days = 3")
    )
    start, end = version.index("[[version.tranche]]"), version.index("[version.reclaim]")
    version = version[:start] + version[end:]
    first = version.replace('to = "open"', "to = 2025-08-31", 1)
    second = version.replace('version = "1"', 'version = "2"', 1).replace('from = "open"', "from = 2025-09-01", 1)
    return head + "[[version]]" + first + "\n[[version]]" + second.replace('max_percent = "50"', 'max_percent = "10"')


@pytest.fixture(scope="module")
def office(tmp_path_factory):
    home = Home(tmp_path_factory.mktemp("city"))
    for folder in ("schemes", "procedures"):
        (home.config / folder).mkdir(parents=True)
    (home.config / "schemes/city.toml").write_text(scheme(), "utf-8")
    (home.config / "procedures/city.yaml").write_text(PROCEDURE, "utf-8")
    return load_office(home)


@pytest.fixture
async def bureau(new_database, office):
    place = new_database(make)
    async with Desk(place) as desk:
        yield VoucherBureau(desk, office)
    report = await audit(place)
    assert report["ok"], report


async def apply(bureau, round_, project, signed_on):
    given = {"scheme": CITY, "project": project, "contract": contract(f"HT {project}", signed_on=signed_on)}
    return await bureau.submit(round_, COMPANY, materials=materials()[1:2], **given)


async def to_voucher(bureau, found, posted, over):
    bureau.clock.set(posted)
    await bureau.play(found, (QIAN, "notice", {"address": "https://x.example"}))
    bureau.clock.set(over)
    await bureau.play(found, (SUN, "approve", {"basis": "批复"}))
    [voucher] = await bureau.issue(found)
    return voucher


async def test_a_city_is_a_file(bureau):
    """Its own steps and notice; a text superseded in mid-year decides by the day of signing; the second voucher meets the cap."""
    round_ = await bureau.call(procedure="city", budgets={CITY: "250000"})
    old = await apply(bureau, round_, "旧文", "2025-08-31")
    new = await apply(bureau, round_, "新文", "2025-09-01")
    third = await apply(bureau, round_, "再一份旧文", "2025-08-30")
    bureau.clock.set("2025-09-11T09:00:00+08:00")
    awards = await bureau.proceedings.allocate(LIN, round_, {"basis": "纪要"})
    assert [(one.claim, one.amount) for one in awards] == [(third, 10_000_000), (old, 10_000_000), (new, 2_000_000)]
    first = await to_voucher(bureau, old, "2025-09-15T09:00:00+08:00", "2025-09-19T09:00:00+08:00")
    assert (first.units, first.holder) == (10_000_000 * 10_000, APPLICANT), "no tranches, three working days"
    async with bureau.desk.database.read() as conn:
        told = {row.step: step_body.decode(row) for row in await store.steps_of(conn, old)}["issue"]["derived"]
        shown = await load_application(conn, bureau.office, new, EVERYTHING)
        page = application_object(bureau.office, shown, await bureau.proceedings.setting(conn, shown))
    assert (told["evaluation"]["version"], told["evaluation"]["decisive_on"]) == ("1", "2025-08-31")
    assert page["evaluation"]["version"] == "2"
    second = await to_voucher(bureau, new, "2025-09-22T09:00:00+08:00", "2025-09-28T09:00:00+08:00")
    assert second.units == 2_000_000 * 10_000
    bureau.clock.set("2025-09-29T09:00:00+08:00")
    await bureau.play(third, (QIAN, "notice", {"address": "https://x.example"}))
    bureau.clock.set("2025-10-20T09:00:00+08:00")
    with pytest.raises(DomainError) as caught:
        await bureau.play(third, (SUN, "approve", {"basis": "批复"}))
    assert caught.value.code == "above-ceiling", "120,000 a year are used up by the first two"
