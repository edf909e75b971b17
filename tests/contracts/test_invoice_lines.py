"""Lines of invoices on both databases: taken down with the invoice, looked at by check A12, refused where they are malformed."""

import pytest

from ledger.errors import DomainError
from suanquan.use_cases.evidence import add_paper, read_paper
from suanquan.use_cases.gather import invoice_lines
from tests.contracts.settling import FANG, JULY_NS, YUAN, ZHAO, Bench
from tests.ledger.desk import Desk, audit, new_ledger
from tests.ledger.full_ledger import NOW_S
from voucher.findings_money import misplaced_items
from voucher.holder import sandbox_uscc


@pytest.fixture
async def bench(new_database):
    place = new_database(new_ledger)
    async with Desk(place) as desk:
        desk.now_ns = NOW_S * 10**9
        yield Bench(desk)
    report = await audit(place)
    assert report["ok"], report


INVOICE = {"number": "26312000", "issuer": sandbox_uscc(7), "amount_yuan": "40"}


def invoice(lines):
    given = {"kind": "invoice", "name": "i.pdf", "sha256": "0" * 64, "invoice": INVOICE}
    return given if lines is None else given | {"invoice": INVOICE | {"lines": lines}}


def line(yuan, text, kind="compute"):
    return {"kind": kind, "amount_yuan": yuan, "text": text}


async def test_lines_of_an_invoice_are_looked_at(bench):
    """30 yuan were metered; 38 are invoiced as compute, two of them for storage: both are pointed out, and nothing is blocked."""
    await bench.redeem(await bench.give(), "30")
    bench.desk.now_ns = JULY_NS
    await bench.payable()
    batch = (await bench.prepare()).id
    lines = [line("36", "GPU 算力服务"), line("2", "对象存储"), line("2", "对象存储", "storage")]
    found = await add_paper(bench.desk.journal, FANG, batch, read_paper(invoice(lines)))
    assert [(one.kind, one.units // YUAN, one.text) for one in found.evidence[0].lines] == [
        ("compute", 36, "GPU 算力服务"), ("compute", 2, "对象存储"), ("storage", 2, "对象存储"),
    ]  # fmt: skip
    async with bench.desk.database.read() as conn:
        suspicions = list(misplaced_items(await invoice_lines(conn)))
    assert [(one.check, one.subject, [(e.name, e.value) for e in one.evidence]) for one in suspicions] == [
        ("A12", batch, [("says", "存储")]), ("A12", batch, [("over_metered_fen", "800")]),
    ]  # fmt: skip
    await bench.complete(batch)
    await bench.settlements.approve(ZHAO, batch)


@pytest.mark.parametrize(
    ("lines", "where"),
    [
        ("none", "/invoice/lines"),
        ([line("39.99", "算力")], "/invoice/lines"),
        ([line("1", "算力")] * 101, "/invoice/lines"),
        ([{"kind": "compute"}], "/invoice/lines/0"),
        ([line("40", "算力", "food")], "/invoice/lines/0/kind"),
        ([line("-40", "算力")], "/invoice/lines/0/amount_yuan"),
        ([line("4e1", "算力")], "/invoice/lines/0/amount_yuan"),
        ([line(40, "算力")], "/invoice/lines/0/amount_yuan"),
        ([line("40", "")], "/invoice/lines/0/text"),
        ([line("40", "x" * 201)], "/invoice/lines/0/text"),
    ],
)
def test_a_bad_line_of_an_invoice_is_named(lines, where):
    """Where it is wrong, and nothing else is said to be wrong."""
    with pytest.raises(DomainError) as caught:
        read_paper(invoice(lines))
    assert (caught.value.code, [one.where for one in caught.value.findings]) == ("evidence-malformed", [where])


def test_an_invoice_needs_no_lines():
    """What was taken down before, and where nobody itemises, stays as it was."""
    assert "lines" not in read_paper(invoice(None)).content
    assert "lines" not in read_paper(invoice([])).content
