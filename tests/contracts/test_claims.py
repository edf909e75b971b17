"""Redemption claims of every claim mode on both databases: what they draw on, who may make them, and how a batch pays them."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from ledger.store import accounts_under
from suanquan.use_cases.claim_sources import metered_units
from suanquan.use_cases.setup import bind_account, register_centre
from suanquan.use_cases.standing import change_standing
from tests.contracts.settling import COMPANY, FANG, HOLDER, JULY_NS, SCHEME, YUAN, ZHAO, Bench, scheme_like
from tests.contracts.test_settlement import BY, code_of
from tests.ledger.desk import Desk, audit, codes, gathered, new_ledger
from tests.ledger.full_ledger import CATALOG, NOW_S, body, send
from voucher.holder import sandbox_uscc
from voucher.scheme import Budget, Target
from voucher.settlement.cycle import read_period

NANNING = CATALOG.series["cn-gx-nanning-2025"].latest
FACTS = {
    "contract": {"signed_on": "2026-01-01", "starts_on": "2026-01-01", "ends_on": "2026-12-31", "prior_claims": 0},
    "beneficiary": {"startup": False, "related_to_provider": False},
    "cost_items": [{"kind": "compute", "amount_yuan": "60"}],
}
PAPERS = [
    {"kind": "invoice", "name": "i.pdf", "sha256": "0" * 64,
     "invoice": {"number": "26312000", "issuer": sandbox_uscc(7), "amount_yuan": "60"}},
]  # fmt: skip


@pytest.fixture
async def bench(new_database):
    place = new_database(new_ledger)
    async with Desk(place) as desk:
        desk.now_ns = NOW_S * 10**9
        yield Bench(desk)
    report = await audit(place)
    assert report["ok"], report


def at(text):
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 10**9


def mode(name, **changes):
    return scheme_like(claim_mode=name, **changes)


async def balances(bench, prefix):
    async with bench.desk.database.read() as conn:
        return {one.name: one.balance / YUAN for one in await accounts_under(conn, prefix) if one.balance}


async def test_a_voucher_is_redeemed_for_what_was_paid(bench):
    """Issue then reimburse: half of 60 leaves a voucher of 100 with the claim, and is paid by a batch to its holder."""
    scheme = mode("issue_then_reimburse")
    bench.use(scheme)
    voucher = await bench.give()
    given = {"scheme": SCHEME.id, "holder": HOLDER, "voucher": voucher.jti, "facts": FACTS, "evidence": PAPERS}
    claim = await bench.claims.submit(COMPANY, given)
    assert (claim.units, claim.decision["status"]) == (30 * YUAN, "eligible")
    payee = f"uscc:{HOLDER}"
    assert await bench.stages(payee) == {"claimed": 30}
    assert await balances(bench, "voucher/") == {f"voucher/{voucher.jti}": 70}
    assert (await bench.claims.submit(COMPANY._replace(key="k"), given | {"evidence": []})).units == 30 * YUAN
    bench.desk.now_ns = JULY_NS
    paid = await bench.settle(payee)
    assert (paid.units, paid.lines, await bench.stages(payee)) == (60 * YUAN, 2, {"paid": 60})
    told = bench.desk.rows("SELECT audience, zh FROM notice WHERE kind = 'settlement.step' ORDER BY number")
    assert [said.partition("：")[2] for who, said in told if who == f"holder:{HOLDER}"] == ["已批准，待支付", "已支付"]
    assert await code_of(bench.claims.end(COMPANY, claim.id, "withdraw", "r")) == "claim-in-batch"


async def test_a_claim_is_the_holders_own_and_of_a_voucher_that_may_be_used(bench):
    """A stranger, a suspended, an expired and an empty voucher, a refused scheme, facts that are missing: each is told why."""
    bench.use(mode("issue_then_reimburse"))
    voucher = await bench.give()
    given = {"scheme": SCHEME.id, "holder": HOLDER, "voucher": voucher.jti, "facts": FACTS}
    submit = bench.claims.submit
    other = sandbox_uscc(2)
    assert await code_of(submit(COMPANY._replace(person=other), given)) == "not-your-claim"
    assert await code_of(submit(COMPANY._replace(person=other), given | {"holder": other})) == "not-your-claim"
    assert await code_of(submit(COMPANY, given | {"facts": {}})) == "claim-refused"
    assert (
        await code_of(submit(COMPANY, given | {"facts": FACTS | {"beneficiary": {"related_to_provider": True}}}))
        == "claim-refused"
    )
    assert await code_of(submit(COMPANY, given | {"oops": 1})) == "claim-malformed"
    assert await code_of(submit(COMPANY, given | {"voucher": "none"})) == "voucher-unknown"
    await change_standing(bench.desk.journal, BY, voucher.jti, "suspend")
    assert await code_of(submit(COMPANY, given)) == "phase-forbids"
    await change_standing(bench.desk.journal, BY, voucher.jti, "resume")
    await submit(COMPANY, given | {"amount_yuan": "1"})
    bench.desk.now_ns = voucher.until_us * 1000
    assert await code_of(submit(COMPANY, given)) == "phase-forbids"


async def test_a_claim_that_ends_gives_back_what_it_took(bench):
    """Withdrawn, returned or refused, once: the voucher has its units again and the invoice is free for another claim."""
    bench.use(mode("issue_then_reimburse"))
    voucher = await bench.give()
    given = {"scheme": SCHEME.id, "holder": HOLDER, "voucher": voucher.jti, "facts": FACTS, "evidence": PAPERS}
    for by, kind in ((COMPANY, "withdraw"), (FANG, "give_back"), (FANG, "refuse")):
        claim = await bench.claims.submit(COMPANY._replace(key=kind), given)
        assert await code_of(bench.claims.submit(COMPANY._replace(key=f"{kind} again"), given)) == "supported-already"
        assert (await bench.claims.end(by, claim.id, kind, "理由")).is_live is False
        assert await balances(bench, "voucher/") == {f"voucher/{voucher.jti}": 100}
        assert await code_of(bench.claims.end(by, claim.id, kind, "又")) == "claim-state"
    stranger = COMPANY._replace(person=sandbox_uscc(2))
    claim = await bench.claims.submit(COMPANY._replace(key="last"), given)
    assert await code_of(bench.claims.end(stranger, claim.id, "withdraw", "r")) == "claim-unknown"
    assert await code_of(bench.claims.end(COMPANY, claim.id, "refuse", "r")) == "role-not-allowed"
    told = bench.desk.rows("SELECT audience, zh FROM notice WHERE kind = 'claim.step' ORDER BY number")
    assert [who for who, _ in told] == [f"holder:{HOLDER}", "office"] * 7
    ends = ("已提交", "已撤回", "已提交", "已退回补正", "已提交", "不予通过", "已提交")
    assert all(end in said for end, (_, said) in zip(ends, told[::2], strict=True))


async def test_two_claims_at_once_never_redeem_more_than_a_voucher_has(bench):
    """Twenty claims of 30 on 100, in two processes: three of 30 and one of what is left."""
    bench.use(mode("issue_then_reimburse"))
    voucher = await bench.give()
    given = {"scheme": SCHEME.id, "holder": HOLDER, "voucher": voucher.jti, "facts": FACTS}
    async with Desk(bench.desk.path) as other:
        other.now_ns = bench.desk.now_ns
        second = Bench(other)
        second.use(mode("issue_then_reimburse"))
        done = await gathered(
            *((bench, second)[n % 2].claims.submit(COMPANY._replace(key=str(n)), given) for n in range(20))
        )
    assert sorted(one.units // YUAN for one in done if not isinstance(one, Exception)) == [10, 30, 30, 30]
    assert set(codes(done)) == {"", "claim-refused"}


async def test_nanning_pays_what_its_notice_computes(bench):
    """Post-use direct: 305/729 of 200,000 yuan is 25,102 and no other number; it comes out of the year's budget, under its caps."""
    bench.desk.now_ns = at("2026-01-10T02:00:00")
    facts = {
        "beneficiary": {
            "kind": "enterprise", "independent_legal_person": True, "years_without_major_penalty": 3,
            "related_to_provider": False, "same_cost_subsidised_elsewhere": False,
        },
        "provider": {"admitted": True},
        "contract": {"starts_on": "2025-01-01", "ends_on": "2026-12-31"},
        "purpose": "model_training",
        "cost_items": [{"kind": "compute", "amount_yuan": "200000"}],
    }  # fmt: skip
    bench.scheme = NANNING
    given = {"scheme": NANNING.id, "holder": HOLDER, "facts": facts}
    claim = await bench.claims.submit(COMPANY, given)
    assert claim.units == 25_102 * YUAN
    stated = given | {"facts": facts | {"year_to_date": {"redeemed_yuan": "1999999"}}}
    second = await bench.claims.submit(COMPANY._replace(key="what is stated does not count"), stated)
    assert second.units == 25_102 * YUAN
    budget = await balances(bench, f"scheme/{NANNING.id}/2026/budget/claims")
    assert list(budget.values()) == [50_000_000 - 2 * 25_102]
    assert (await bench.claims.end(FANG, second.id, "refuse", "重复")).reason == "重复"
    bench.desk.now_ns = at("2026-02-02T02:00:00")
    await bench.payable(payee := f"uscc:{HOLDER}")
    batch = await bench.prepare(payee, "2026-01")
    await bench.settlements.approve(ZHAO, batch.id)
    assert (await bench.pay(batch.id)).units == 25_102 * YUAN
    assert await bench.stages(payee) == {"paid": 25_102}


async def test_the_last_of_a_budget_is_given_once(bench):
    """Two claims of 30 race for a year's budget of 50: one of them gets it, the other is told that there is not enough."""
    budget = replace(SCHEME.budget, year_fen=5_000)
    bench.use(mode("post_use_direct", budget=budget))
    given = {"scheme": SCHEME.id, "holder": HOLDER, "facts": FACTS}
    done = await gathered(*(bench.claims.submit(COMPANY._replace(key=str(n)), given) for n in range(2)))
    assert sorted(codes(done)) == ["", "insufficient"]
    bench.use(mode("post_use_direct", budget=replace(budget, over_issue=True)))
    assert (await bench.claims.submit(COMPANY._replace(key="over"), given)).units == 30 * YUAN
    bench.use(mode("post_use_direct", budget=Budget(None, None, None, (), over_issue=False, source="")))
    assert await code_of(bench.claims.submit(COMPANY._replace(key="none"), given)) == "budget-unset"


async def test_government_claims_for_a_holder_what_metering_says(bench):
    """Automatic entitlement: half of what his account spent in the quarter, once; a company cannot assess itself."""
    journal = bench.desk.journal
    await register_centre(journal, CATALOG, "sj01", "松江", {"H800": 64})
    await bind_account(journal, "sj01", "lab-0", HOLDER)
    await send(bench.desk, "sj01", body("sj01", 0, 10))
    spent = await journal.transact(lambda tx: metered_units(tx, HOLDER, read_period("2026Q2", None)))
    assert spent > 0
    bench.use(mode("auto_enjoy"))
    facts = {name: FACTS[name] for name in ("contract", "beneficiary")}
    given = {"scheme": SCHEME.id, "holder": HOLDER, "as": "office", "period": "2026Q2", "facts": facts}
    assert await code_of(bench.claims.submit(COMPANY, given)) == "not-your-claim"
    assert await code_of(bench.claims.submit(FANG, given | {"period": ""})) == "claim-malformed"
    claim = await bench.claims.submit(FANG, given)
    assert claim.units == spent // 2 // 10_000 * 10_000
    assert await code_of(bench.claims.submit(ZHAO, given)) == "assessed-already"
    beneficiary = {"scheme": SCHEME.id, "holder": HOLDER, "facts": FACTS}
    assert await code_of(bench.claims.submit(COMPANY, beneficiary)) == "actor-not-allowed"


async def test_one_side_claims_on_a_target(bench):
    """Target responsibility: below the target nothing; once the provider has claimed, the demander is kept out, also later."""
    target = Target("pflops_fp16", 5000, exclusive=False, source="")
    bench.use(mode("target_responsibility", target=target))
    terms = {"scheme": SCHEME.id, "holder": HOLDER, "provider": "sj01", "amount_yuan": "500", "basis": "责任书1号"}
    agreement = await bench.claims.agree(FANG, terms)
    assert await balances(bench, "agreement/") == {f"agreement/{agreement.id}": 500}
    given = {"scheme": SCHEME.id, "holder": HOLDER, "agreement": agreement.id, "as": "provider"}
    few, enough = (
        {**FACTS, "target": {"measured": n}, "cost_items": [{"kind": "compute", "amount_yuan": "9000"}]}
        for n in (4999, 5000)
    )
    assert await code_of(bench.claims.submit(FANG, given | {"facts": few})) == "claim-refused"
    claim = await bench.claims.submit(FANG, given | {"facts": enough})
    assert (claim.units, claim.payee) == (500 * YUAN, "centre:sj01")
    await bench.claims.end(FANG, claim.id, "give_back", "补材料")
    demander = given | {"facts": enough, "as": "beneficiary"}
    assert await code_of(bench.claims.submit(COMPANY, demander)) == "other-side-claims"
    await bench.claims.submit(FANG._replace(key="again"), given | {"facts": enough})
    bench.desk.now_ns = JULY_NS
    assert (await bench.settle("centre:sj01")).units == 500 * YUAN


async def test_an_offset_is_settled_by_batches_alone(bench):
    """There is nothing for a beneficiary to claim where the provider deducted the voucher."""
    given = {"scheme": SCHEME.id, "holder": HOLDER, "facts": FACTS}
    assert await code_of(bench.claims.submit(COMPANY, given)) == "claim-by-batch"
    terms = {"scheme": SCHEME.id, "holder": HOLDER, "provider": "sj01", "amount_yuan": "5", "basis": "x"}
    assert await code_of(bench.claims.agree(FANG, terms)) == "not-a-target-scheme"
    assert await code_of(bench.claims.submit(COMPANY, given | {"holder": "x"})) == "uscc-malformed"
