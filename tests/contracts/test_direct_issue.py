"""Vouchers that no application stands behind, on both databases: each says which contract it supports, or why there is none."""

from random import Random

import pytest

from ledger.errors import DomainError
from suanquan.use_cases.books import Order as ByOfficer
from suanquan.use_cases.issue import Order, issue
from suanquan.use_cases.issue_file import read_orders
from suanquan.use_cases.issue_many import Desk as IssuingDesk
from suanquan.use_cases.issue_many import issue_many
from suanquan.use_cases.standing import change_standing
from tests.contracts.settling import Bench, scheme_like
from tests.ledger.desk import Desk, audit, codes, gathered, new_ledger
from tests.ledger.full_ledger import KEYS, NOW_S
from tests.voucher.samples import HOLDER_KEY, PRIVATE
from voucher.holder import sandbox_uscc
from voucher.issuance import Contract, IssueRequest
from voucher.scheme_reader import SchemeStatus

REAL = scheme_like(id="cn-sh-real", status=SchemeStatus.USABLE)
PAPER = Contract("松江一号智算中心", "HT-2026-001")
BY = ByOfficer("李四", "核查")


@pytest.fixture
async def office(new_database):
    place = new_database(new_ledger)
    async with Desk(place) as desk:
        desk.now_ns = NOW_S * 10**9
        yield Office(desk)
    report = await audit(place)
    assert report["ok"], report


class Office:
    """Issues by hand under a scheme that pays."""

    def __init__(self, desk, scheme=REAL):
        self.desk, self.scheme = desk, scheme

    async def issue(self, key="a", number=1, contract=None, reason="", scheme=None):
        request = IssueRequest(sandbox_uscc(number), "CNY", "100", None, contract, reason)
        return await issue(self.desk.journal, Order(request, scheme or self.scheme, key), KEYS, PRIVATE.sign)

    async def refused(self, **changes):
        with pytest.raises(DomainError) as caught:
            await self.issue(**changes)
        return caught.value


async def test_a_scheme_that_pays_asks_what_a_voucher_is_for(office):
    """Without contract and reason nothing is issued, and the rule and its place are named; a sandbox gives without asking."""
    error = await office.refused()
    assert (error.code, [(one.code, one.where) for one in error.findings]) == (
        "issue-refused", [("grounds-missing", "/contract")],
    )  # fmt: skip
    assert REAL.source("contract") in error.findings[0].zh
    assert await office.issue("b", reason="市政府专题会纪要〔2026〕3号")
    assert await office.issue("c", scheme=scheme_like())
    for changes in ({"contract": Contract("", "1")}, {"contract": Contract("甲", "\n")}, {"reason": "x" * 401}):
        error = await office.refused(**changes)
        assert {one.code for one in error.findings} == {"grounds-malformed"}


async def test_a_contract_is_supported_once(office):
    """However it is spaced and whoever asks; the same order again is the same voucher, and a revoked one frees its contract."""
    first = await office.issue("a", contract=PAPER)
    assert (await office.issue("a", contract=PAPER)).jti == first.jti
    same = Contract("松江 一号智算中心", "ht2026001")
    for number in (1, 2):
        error = await office.refused(key=f"b{number}", number=number, contract=same)
        assert (error.code, error.findings[0].where) == ("supported-already", "/contract/number")
        assert first.jti in error.findings[0].en
    assert (await office.refused(key="a", contract=same)).code == "idempotency-key-reused"
    await change_standing(office.desk.journal, BY, first.jti, "revoke")
    assert (await office.issue("d", number=2, contract=same)).holder == sandbox_uscc(2)


async def test_of_those_who_race_for_a_contract_one_gets_it(office):
    """Ten at once, in two processes: one voucher."""
    async with Desk(office.desk.path) as other:
        other.now_ns, second = office.desk.now_ns, Office(other)
        other.journal.entropy = Random(1).randbytes  # two processes draw no id twice
        asked_ = [(office, second)[at % 2].issue(f"k{at}", at % 3, PAPER) for at in range(10)]
        outcomes = codes(await gathered(*asked_))
    assert sorted(outcomes) == ["", *["supported-already"] * 9]


async def test_what_was_used_keeps_its_contract(office):
    """Revoked after a part was captured, the contract stays supported."""
    bench = Bench(office.desk)
    request = IssueRequest(sandbox_uscc(1), "CNY", "100", dict(HOLDER_KEY.jwk()), PAPER)
    used = await issue(office.desk.journal, Order(request, bench.scheme, "a"), KEYS, PRIVATE.sign)
    await bench.redeem(used, "30")
    await change_standing(office.desk.journal, BY, used.jti, "revoke")
    assert (await office.refused(key="b", contract=PAPER)).code == "supported-already"


async def test_lines_of_a_file_claim_their_contracts(office):
    """The second line of one contract is refused, and stops no other."""
    holders = [sandbox_uscc(number) for number in (1, 2, 3)]
    contract = '"contract":{"provider":"甲","number":"7"}'
    text = "\n".join(
        [
            f'{{"holder":"{holders[0]}","amount":"10",{contract}}}',
            f'{{"holder":"{holders[1]}","amount":"10",{contract}}}',
            f'{{"holder":"{holders[2]}","amount":"10","reason":"一事一议"}}',
        ]
    )
    desk = IssuingDesk(office.desk.journal, KEYS, PRIVATE.sign, lambda _kid: PRIVATE.sign, None)
    orders = [Order(request, REAL, key) for request, key in read_orders(text.encode())]
    assert codes([one async for one in issue_many(desk, orders)]) == ["", "supported-already", ""]
