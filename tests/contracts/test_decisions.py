"""Decisions on both databases: recorded with the log or not at all, repeatable, corrected by new ones, verified."""

import asyncio
from hashlib import sha256

import pytest

from ledger import jws
from ledger.errors import DomainError
from ledger.scope import EVERYTHING
from ledger.store import load_entries
from suanquan.use_cases.decisions import decide, decision_file, load, public_object
from subsidy import store
from subsidy.decision import TYP, parse
from tests.back_ends import rows
from tests.ledger.desk import Desk, audit, make_ledger
from tests.subsidy.decisions import USCC, application, decision_desk, grant, refusal
from tests.voucher.samples import KEY, PRIVATE

OFFICE = decision_desk(PRIVATE)
NOW_NS = 1_795_822_778 * 10**9


def make(place):
    asyncio.run(make_ledger(place))


@pytest.fixture
async def desk(new_database):
    opened = Desk(new_database(make))
    opened.now_ns = NOW_NS
    async with opened:
        yield opened


async def read(desk, ask):
    return await desk.journal.transact(lambda tx: ask(tx.connection))


async def refused(desk, order, by=OFFICE):
    with pytest.raises(DomainError) as caught:
        await decide(desk.journal, by, order)
    return caught.value


async def test_a_decision_is_recorded_logged_and_signed(desk):
    """The record says everything, the log commits to its digest under a salt, the key signed it, and the whole verifies."""
    made = await decide(desk.journal, OFFICE, grant("one"))
    record = parse(made.record)
    assert (record["verdict"], record["award_fen"], record["corrects"]) == ("grant", 200_000_000, None)
    assert record["id"].startswith("SQD-20261128-"), "the day is that of Shanghai"
    public = await read(desk, lambda conn: public_object(conn, made))
    claims = jws.verify(public["token"], {KEY.kid: KEY}, TYP)
    assert (claims["jti"], claims["iss"]) == (made.id, OFFICE.issuer)
    [entry] = (await read(desk, lambda conn: load_entries(conn, [made.event_id]))).values()
    assert sha256(made.record).digest() not in entry.leaf
    assert public["sha256"].encode() not in entry.leaf
    assert (await audit(desk.path))["ok"]
    assert await read(desk, lambda conn: store.load_decision(conn, made.id, EVERYTHING)) == made
    assert rows(desk.path, "SELECT kind, audience, subject FROM notice") == [
        ("decision.made", f"holder:{USCC}", made.id)
    ]


async def test_the_same_request_gets_the_same_decision(desk):
    """Also at another time and in parallel; another request under the key is refused, and nothing is recorded twice."""
    first, second = await asyncio.gather(*(decide(desk.journal, OFFICE, grant("one")) for _ in range(2)))
    desk.now_ns += 10**12
    assert first == second == await decide(desk.journal, OFFICE, grant("one"))
    for other in (refusal("one"), grant("one", {"pue_after_upgrade": "1.24"}), grant("one")._replace(officer="王五")):
        assert (await refused(desk, other)).code == "idempotency-key-reused"
    assert rows(desk.path, "SELECT count(*) FROM decision") == [(1,)]


async def test_a_correction_is_a_new_decision_that_refers_to_the_old(desk):
    """The old one stays as it is and says by which it was corrected; only the newest can be corrected again."""
    first = await decide(desk.journal, OFFICE, grant("one"))
    second = await decide(desk.journal, OFFICE, refusal("two", corrects=first.id))
    assert parse(second.record)["corrects"] == {"id": first.id, "sha256": sha256(first.record).hexdigest()}
    said = [await read(desk, lambda conn, one=one: public_object(conn, one)) for one in (first, second)]
    assert [(one["in_force"], one["corrects"], one["corrected_by"]) for one in said] == [
        (False, None, second.id),
        (True, first.id, None),
    ]
    assert (await refused(desk, refusal("three", corrects=first.id))).code == "decision-corrected"
    assert (await refused(desk, refusal("four", corrects="SQD-20261128-000000000000"))).code == "decision-unknown"
    await decide(desk.journal, OFFICE, grant("five", corrects=second.id))
    assert (await audit(desk.path))["ok"]
    assert rows(desk.path, "SELECT count(*) FROM decision") == [(3,)]


async def test_what_is_refused_leaves_nothing(desk):
    """Wrong facts, a ruling against the rules, odd names, no company, no key: no row, no entry."""
    before = rows(desk.path, "SELECT size FROM log_state")
    bad = {
        "facts-invalid": grant("a", {"pue_after_upgrade": 1.2}),
        "ruling-refused": grant("b", {"pue_after_upgrade": "1.25"}),
        "clause-unknown": grant("c")._replace(application=application("323:(十)", {})),
        "text-invalid": grant("d")._replace(officer="a\nb"),
        "uscc-check": grant("e")._replace(application=application("323:(七)", {}, uscc=USCC[:-1] + "4")),
    }
    for code, order in bad.items():
        error = await refused(desk, order)
        assert error.code == code
    keyless = decision_desk(PRIVATE)
    keyless.sign = None
    assert (await refused(desk, grant("f"), keyless)).code == "decision-key-missing"
    assert rows(desk.path, "SELECT count(*) FROM decision") == [(0,)]
    assert rows(desk.path, "SELECT size FROM log_state") == before
    await decide(
        desk.journal, OFFICE, grant("b")
    )  # a key under which nothing was recorded is free, "a key under which nothing was recorded is free"


async def test_the_file_holds_the_documents_that_were_applied(desk):
    """Kept by their hash, once however often they are applied, and given back with the decision."""
    made = [await decide(desk.journal, OFFICE, grant(key)) for key in "ab"]
    content = await read(desk, lambda conn: decision_file(conn, made[1]))
    assert content["documents"] == OFFICE.book.texts
    assert content["facts"]["pue_after_upgrade"] == "1.2499"
    assert rows(desk.path, "SELECT count(*) FROM decision_document") == [(len(OFFICE.book.texts),)]


async def test_decisions_are_listed_in_order_and_by_applicant(desk):
    """Page by page, each once."""
    made = sorted([(await decide(desk.journal, OFFICE, grant(str(at)))).id for at in range(5)])
    first = await read(desk, lambda conn: store.list_decisions(conn, EVERYTHING, limit=3))
    rest = await read(desk, lambda conn: store.list_decisions(conn, EVERYTHING, after=first[-1].id, limit=3))
    assert [one.id for one in (*first, *rest)] == made
    assert len(await read(desk, lambda conn: store.list_decisions(conn, EVERYTHING, applicant=USCC))) == 5
    assert await read(desk, lambda conn: store.list_decisions(conn, EVERYTHING, applicant="x")) == []
    with pytest.raises(DomainError) as caught:
        await read(desk, lambda conn: load(conn, "SQD-1", EVERYTHING))
    assert caught.value.code == "decision-unknown"
