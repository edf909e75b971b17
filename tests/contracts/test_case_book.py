"""Applications kept between pages are those that the database has, in whichever snapshot a page reads."""

import asyncio

from ledger.scope import EVERYTHING, Scope
from suanquan.use_cases.applications import load_applications, load_rounds
from suanquan.use_cases.case_book import CaseBook
from subsidy.procedure import Role
from subsidy.steps import Actor
from tests.subsidy.procedure_samples import HE
from tests.voucher.application_samples import APPLICANT, OTHER, REVIEW, SCHEME, contract, materials

SECOND = "Rvoucher-sandbox-2025-2"


async def plainly(conn, office, scope=EVERYTHING):
    """Applications read from nothing."""
    rounds = await load_rounds(conn, office)
    return [one for round_ in rounds for one in await load_applications(conn, office, round_.id, scope)]


async def test_what_is_kept_is_what_there_is(vouchers):
    """After each step, for every scope, and for two pages at once; what a page was given before stays as it was."""
    database, office = vouchers.desk.database, vouchers.office
    book, given = CaseBook(office), []

    async def same():
        async with database.read() as conn:
            wanted = await plainly(conn, office)
            both = await asyncio.gather(book.applications(conn), CaseBook(office).applications(conn))
            assert both == [wanted, wanted]
            for holder in (APPLICANT, OTHER):
                scope = Scope(everything=False, holder=holder)
                assert await book.applications(conn, scope) == await plainly(conn, office, scope)
        given.append((both[0], list(wanted)))

    await same()
    round_ = await vouchers.call()
    await same()
    mine = await vouchers.submit(round_)
    await same()
    deal = contract(number="HT-2025-002")
    await vouchers.submit(
        round_, Actor(OTHER, Role.APPLICANT), applicant=OTHER, contract=deal, materials=materials(OTHER)
    )
    for step in REVIEW:
        await vouchers.play(mine, step)
        await same()
    assert await vouchers.call(title="第二轮", budgets={SCHEME: "1000.00"}) == SECOND
    more = {"budgets": {SCHEME: "5000"}, "basis": "区财政局 2025-18"}
    await vouchers.proceedings.fund(HE, round_, more)  # changes the round in which both stand
    await same()
    assert all(shown == then for shown, then in given), "a page keeps what it was given"


async def test_an_older_snapshot_is_read_for_itself(vouchers):
    """A page whose snapshot was taken before the newest step is told what was true then; so is one of a database put back."""
    database, office = vouchers.desk.database, vouchers.office
    book = CaseBook(office)
    round_ = await vouchers.call()
    async with database.read() as old:
        before = await plainly(old, office)  # the snapshot begins with its first query
        found = await vouchers.submit(round_)
        async with database.read() as new:
            assert [one.id for one in await book.applications(new)] == [found]
        assert await book.applications(old) == before == []
    async with database.read() as new:
        assert [one.id for one in await book.applications(new)] == [found]
