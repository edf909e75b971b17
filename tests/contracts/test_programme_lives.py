"""Programmes at random on both databases: after every act accounts, caps and documents say the same, and nothing is over-committed."""

from datetime import timedelta
from random import Random

import pytest

from ledger.errors import DomainError
from ledger.sql import insert_rows
from metering.tables import centre as metering_centre
from suanquan.home import Home
from suanquan.office import load_office
from suanquan.use_cases.allotment import Portion, Receiver, allot, hand_out, take_back
from suanquan.use_cases.books import Order as ByOfficer
from suanquan.use_cases.issue import Order, issue
from suanquan.use_cases.programme import programme_object
from suanquan.use_cases.reclaim import reclaim_idle
from suanquan.use_cases.standing import change_standing
from tests.conftest import ALL
from tests.contracts.bureau import make
from tests.contracts.voucher_bureau import VoucherBureau
from tests.ledger.desk import Desk, audit
from tests.ledger.full_ledger import KEYS
from tests.shared_data import ROOT
from tests.subsidy.procedure_samples import XU
from tests.voucher.application_samples import SCHEME
from tests.voucher.samples import PRIVATE
from voucher.holder import sandbox_uscc
from voucher.issuance import IssueRequest

ACTS = 300 if ALL else 30
BUDGET_YUAN = 1_000
MAY_BE_REFUSED = {
    "", "budget-exceeded", "issue-refused", "insufficient", "voucher-revoked-already", "round-open", "round-budget-exceeded",
}  # fmt: skip


@pytest.fixture(scope="module")
def office(tmp_path_factory):
    """The sandbox with little money: a thousand yuan a year, at most four hundred for one holder."""
    home = Home(tmp_path_factory.mktemp("poor"))
    (home.config / "schemes").mkdir(parents=True)
    text = (ROOT / "config/schemes/sandbox.toml").read_text("utf-8")
    for before, after in (
        ("per_year_fen = 1_000_000_000_000", f"per_year_fen = {BUDGET_YUAN * 100}"),
        ("fen = 100_000_000_000 ", "fen = 40_000 "),
        ("max_voucher_fen = 10_000_000_000", "max_voucher_fen = 40_000"),
    ):
        assert before in text
        text = text.replace(before, after)
    (home.config / "schemes/sandbox.toml").write_text(text, "utf-8")
    return load_office(home)


class Life:
    """One programme and everything that may happen to it."""

    def __init__(self, bureau, random):
        self.bureau, self.random, self.number = bureau, random, 0
        self.scheme = bureau.office.series[SCHEME].latest
        self.journal = bureau.desk.journal
        self.vouchers, self.rounds = [], []

    def by(self):
        self.number += 1
        return ByOfficer("周", "文号", f"k{self.number}")

    def portion(self):
        return Portion(self.scheme, self.random.choice(["sj01", "sj02"]), str(self.random.randrange(1, 300)))

    def holder(self):
        return sandbox_uscc(self.random.randrange(4))

    async def allot(self):
        await allot(self.journal, self.by(), self.portion())

    async def take_back(self):
        await take_back(self.journal, self.by(), self.portion())

    async def hand_out(self):
        self.vouchers.append(
            await hand_out(self.bureau.issuing, self.portion(), Receiver(self.holder()), self.by().key)
        )

    async def issue(self):
        request = IssueRequest(self.holder(), "CNY", str(self.random.randrange(1, 300)))
        self.vouchers.append(await issue(self.journal, Order(request, self.scheme, self.by().key), KEYS, PRIVATE.sign))

    async def revoke(self):
        if self.vouchers:
            await change_standing(self.journal, self.by(), self.random.choice(self.vouchers).jti, "revoke")

    async def call(self):
        budgets = {SCHEME: str(self.random.randrange(1, 300))}
        day = self.bureau.proceedings.today.isoformat()
        title = f"第 {self.number} 轮"
        self.number += 1
        called = await self.bureau.call(title=title, budgets=budgets, opens=day, closes=day, decision="决定")
        self.rounds.append(called)

    async def settle(self):
        if self.rounds:
            await self.bureau.proceedings.settle_round(XU, self.random.choice(self.rounds), {"basis": "结束"})

    async def later(self):
        """Days or months go by."""
        day = self.bureau.proceedings.today + timedelta(days=self.random.choice([1, 2, 40]))
        self.bureau.clock.set(f"{day}T09:00:00+08:00")

    async def idle(self):
        async with self.bureau.desk.database.read() as conn:
            await reclaim_idle(self.journal, conn, self.bureau.office.series, self.bureau.clock() // 1000)

    async def check(self, told):
        async with self.bureau.desk.database.read() as conn:
            shown = await programme_object(conn, self.bureau.office.series[SCHEME])
        assert shown["agrees"], (told, shown["faults"])
        for year in shown["years"]:
            assert float(year["left"]) >= 0, told
            assert float(year["budget"]) <= BUDGET_YUAN, told


@pytest.fixture
async def life(new_database, office, seed):
    place = new_database(make)
    async with Desk(place) as desk:
        async with desk.database.write() as conn:
            await insert_rows(conn, metering_centre, [("sj01", "一号"), ("sj02", "二号")])
        yield Life(VoucherBureau(desk, office), Random(seed))
    report = await audit(place)
    assert report["ok"], report


async def test_no_act_breaks_a_programme(life, seed):
    """Allot, hand out, take back, issue, revoke, call, settle, reclaim in any order: every figure agrees, the budget is never exceeded."""
    acts = [
        life.allot,
        life.take_back,
        life.hand_out,
        life.issue,
        life.revoke,
        life.call,
        life.settle,
        life.idle,
        life.later,
    ]
    for at in range(ACTS):
        act = life.random.choice(acts)
        code = ""
        try:
            await act()
        except DomainError as error:
            code = error.code
        assert code in MAY_BE_REFUSED, (seed, at, act.__name__, code)
        await life.check((seed, at, act.__name__))
