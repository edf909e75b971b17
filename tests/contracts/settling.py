"""An office that settles on a real ledger, and what tests do at its desk."""

import json
from dataclasses import replace

from ledger.amount import CNY
from ledger.store import accounts_under
from suanquan.use_cases.admission import spendable
from suanquan.use_cases.claims import Claims
from suanquan.use_cases.evidence import Paper, add_paper, certify
from suanquan.use_cases.issue import Order, issue
from suanquan.use_cases.job_receipts import About, Receipts
from suanquan.use_cases.payees import confirm_payee, hold_payee, set_payee
from suanquan.use_cases.settlement_facts import By
from suanquan.use_cases.settlements import Settlements
from suanquan.use_cases.spend_acts import Capture, Hold
from suanquan.use_cases.till import Till
from tests.contracts.test_holds import ISSUER, asked, shown
from tests.ledger.full_ledger import CATALOG, KEYS, NOW_S, RULES
from tests.voucher.samples import HOLDER_KEY, PRIVATE
from voucher.holder import sandbox_uscc
from voucher.issuance import IssueRequest
from voucher.scheme import Series
from voucher.scheme_reader import SchemeStatus

YUAN = 10**CNY.scale
SCHEME = CATALOG.schemes["cn-sh-songjiang-sandbox"]
HOLDER = sandbox_uscc(1)
FANG, ZHAO = By("方", "department"), By("赵", "department")
QIAN, SUN = By("钱", "finance"), By("孙", "finance")
COMPANY = By(HOLDER, "applicant")
DAY_NS = 86_400 * 10**9
JULY_NS = (NOW_S + 40 * 86_400) * 10**9
"""In July 2026; the clock of these tests begins on 28 May."""
Q2 = "2026Q2"


def scheme_like(**changes):
    """The sandbox's scheme with other values."""
    return replace(SCHEME, **changes)


def draft():
    return scheme_like(status=SchemeStatus.DRAFT)


class Bench:
    """An office at work: `series` may be changed by a test, as an operator changes a file."""

    def __init__(self, desk, scheme=SCHEME):
        self.desk, self.scheme = desk, scheme
        self.till = Till(desk.journal, lambda: ISSUER)
        self.use(scheme)

    def use(self, *schemes):
        self.series = {**CATALOG.series} | {scheme.id: Series(scheme.id, (scheme,)) for scheme in schemes}
        self.settlements = Settlements(self.desk.journal, self.series)
        self.claims = Claims(self.desk.journal, self.series)
        self.receipts = Receipts(self.desk.journal, RULES, "https://quan.example")

    async def give(self, yuan="100", key="a", number=1):
        request = IssueRequest(sandbox_uscc(number), "CNY", str(yuan), dict(HOLDER_KEY.jwk()))
        return await issue(self.desk.journal, Order(request, self.scheme, key), KEYS, PRIVATE.sign)

    async def redeem(self, voucher, yuan, centre="sj01", reference="job:1"):
        """Hold and capture; the capture's event."""
        known = spendable(voucher, self.series)
        held = json.loads(
            await self.till.ask(asked(centre), Hold(known, shown(float(yuan), centre, reference), "proof", 3600))
        )
        done = await self.till.ask(asked(centre), Capture(held["hold"], str(yuan), final=True))
        return json.loads(done)["event_ids"][0]

    async def prepare(self, payee="centre:sj01", period=Q2, by=FANG, scheme=None):
        return await self.settlements.prepare(by, scheme or self.scheme.id, payee, period)

    async def complete(self, batch, invoice="1000", number=""):
        """Every paper that the sandbox asks for."""
        papers = [
            Paper(
                "invoice", "i.pdf", "0" * 64, None, (number or f"N{batch}", sandbox_uscc(7), int(float(invoice) * YUAN))
            ),
            Paper("payment_proof", "p.pdf", "1" * 64, None, None),
        ]
        for paper in papers:
            await add_paper(self.desk.journal, FANG, batch, paper)
        return await certify(self.desk.journal, RULES, FANG, batch)

    async def payable(self, payee="centre:sj01", account="6222020200112233"):
        given = {"name": "松江一号", "uscc": sandbox_uscc(9), "account": account, "bank": "工行", "bank_code": "1" * 12}
        await set_payee(self.desk.journal, QIAN, payee, given)
        return await confirm_payee(self.desk.journal, SUN, payee)

    async def pay(self, batch, by=QIAN):
        return await self.settlements.pay(by, batch, "2026-07-09", "R-1")

    async def settle(self, payee="centre:sj01", period=Q2):
        """Prepared, approved and paid."""
        await self.payable(payee)
        batch = (await self.prepare(payee, period)).id
        await self.complete(batch)
        await self.settlements.approve(ZHAO, batch)
        return await self.pay(batch)

    async def suspend(self, payee="centre:sj01", *, suspend=True):
        await hold_payee(self.desk.journal, ZHAO, payee, "核查", suspend=suspend)

    async def stages(self, payee="centre:sj01"):
        """Yuan by stage of a payee's claims, as the ledger has them."""
        async with self.desk.database.read() as conn:
            accounts = await accounts_under(conn, f"settlement/{self.scheme.id}/{payee}/")
        return {one.name.rpartition("/")[2]: one.balance / YUAN for one in accounts if one.balance}

    async def receipt(self, about, by=COMPANY):
        return await self.receipts.receipt(by, about, ISSUER)

    async def dispute(self, about, by=COMPANY):
        found = await self.receipt(about, by)
        return await self.receipts.dispute(by, about, found["receipt"], "不是本单位的作业", "")


def of_capture(event):
    return About(event=event)
