"""Balances at any moment, recorded or effective, and pages of an account, against the plainest way to find them."""

from random import Random

import pytest

from ledger.amount import CNY
from ledger.entry import EntryKind, credit, debit
from ledger.history import NOTHING, balance_effective_at, first_from, line_of, lines_before, totals_at
from ledger.leaf import decode
from ledger.moments import places_of_all, totals_at_all
from ledger.store import load_accounts_by_name, load_page
from tests.ledger.desk import Desk, new_ledger
from tests.ledger.notation import event

DAY = 86_400 * 10**9
DAYS = 5


@pytest.fixture(scope="module")
def random(seed):
    return Random(seed)


async def stored(desk):
    """Every entry, decoded."""
    async with desk.database.read() as connection:
        return [decode(row.leaf)[0] for row in await load_page(connection, -1, 10_000)]


async def busy_ledger(place, random):
    """A ledger of some days with holds, captures, reversals and postings of other dates, in commits of every size."""
    async with Desk(place) as desk:
        names = ["hub", "a", "b", "c"]
        accounts = await desk.journal.transact(lambda tx: tx.open([(name, CNY, None) for name in names]))
        numbers = [accounts[name].number for name in names]
        holds = []
        for commit in range(60):
            desk.now_ns += random.randrange(DAY // 6)
            chains = []
            for at in range(random.choice([1, 3, 40])):
                what, name = random.random(), f"{commit} {at}"
                one, two = numbers[0], random.choice(numbers[1:])
                legs = (debit(one, at + 1), credit(two, at + 1))
                if what < 0.5:
                    asked = event(name, EntryKind.POST, legs)
                elif what < 0.8:
                    dated = max(1, desk.now_ns + random.randrange(-2 * DAY, DAY // 2))
                    asked = event(name, EntryKind.POST, legs[::-1], effective_ns=dated)
                elif what < 0.9 or not holds:
                    asked = event(name, EntryKind.HOLD, legs, expires_ns=desk.now_ns + DAY)
                else:
                    asked = event(
                        name, EntryKind.CAPTURE, (debit(one, 1),), ref_seq=random.choice(holds), final=what < 0.95
                    )
                chains.append((asked,))
            outcomes = await desk.journal.bulk(chains)
            holds += [entry.seq for outcome in outcomes for entry in outcome.entries if entry.kind == EntryKind.HOLD]
            holds = holds[-5:]


@pytest.fixture
async def desk(new_database, random):
    await busy_ledger(place := new_database(new_ledger), random)
    async with Desk(place) as desk:
        yield desk


async def test_totals_at_any_recorded_moment_are_those_of_the_last_entry_until_then(desk, random):
    """One index seek finds what a walk through the whole log finds, on the nanosecond of an entry and beside it."""
    entries = await stored(desk)
    moments = [0, *(entry.recorded_ns + random.choice([-1, 0, 1]) for entry in random.sample(entries, 60)), 2**62]
    async with desk.database.read() as connection:
        for account in await load_accounts_by_name(connection, ["hub", "a"]):
            for moment in moments:
                own = [
                    e
                    for e in entries
                    if e.recorded_ns <= moment and any(leg.public_id == account.public_id for leg in e.legs)
                ]
                expected = line_of(own[-1], account.public_id).totals if own else NOTHING
                assert await totals_at(connection, account, moment) == expected
        await same_for_many(connection, entries, sorted(set(moments)))


async def same_for_many(connection, entries, moments):
    """Many accounts at many moments, read together, are what each is at each; places are those of the log."""
    accounts = await load_accounts_by_name(connection, ["hub", "a", "b", "c"])
    numbers = [one.number for one in accounts]
    found, places = await totals_at_all(connection, numbers, moments), await places_of_all(connection, numbers)
    for account in accounts:
        assert found[account.number] == [await totals_at(connection, account, at) for at in moments]
        own = [entry.seq for entry in entries if any(leg.public_id == account.public_id for leg in entry.legs)]
        assert [one.seq for one in places[account.number][1]] == own
    assert await totals_at_all(connection, [10**6], moments) == {}


async def test_a_balance_by_effective_time_counts_what_is_dated_until_then(desk, random):
    """Whenever it was recorded: a sum over the whole log by date gives the same."""
    entries = await stored(desk)
    moments = [
        e.effective_ns + random.choice([-1, 0, 1]) for e in random.sample(entries, 60) if e.kind != EntryKind.HOLD
    ]
    async with desk.database.read() as connection:
        for account in await load_accounts_by_name(connection, ["hub", "b"]):
            for moment in moments:
                expected = sum(
                    leg.amount if leg.side else -leg.amount
                    for e in entries
                    if e.effective_ns <= moment
                    for leg in e.legs
                    if leg.public_id == account.public_id and leg.layer == 0
                )
                assert await balance_effective_at(connection, account, moment) == expected


@pytest.mark.parametrize("limit", [1, 7, 50])
async def test_pages_of_an_account_hold_every_entry_once(desk, limit):
    """Newest first, page after page, to the opening; each line's predecessor is the next line."""
    entries = await stored(desk)
    async with desk.database.read() as connection:
        [account] = await load_accounts_by_name(connection, ["c"])
        found, before = [], 2**62
        while page := await lines_before(connection, account, before, limit):
            found += page
            before = page[-1].entry.recorded_ns
    own = [e.seq for e in entries if any(leg.public_id == account.public_id for leg in e.legs)]
    assert [line.entry.seq for line in found] == own[::-1]
    changes = [line.credits - line.debits for line in found]
    assert sum(changes) == found[0].totals.balance == account.balance


async def test_any_page_is_what_a_walk_through_the_log_finds(desk, random):
    """Of any account, before any moment, of any length, at a moment of an entry and beside it: a filter of all entries agrees."""
    entries = await stored(desk)
    async with desk.database.read() as connection:
        accounts = await load_accounts_by_name(connection, ["hub", "a", "b", "c"])
        for _ in range(80):
            account, limit = random.choice(accounts), random.choice([1, 2, 5, 30, 1_000])
            before = random.choice([0, random.choice(entries).recorded_ns + random.choice([-1, 0, 1]), 2**62])
            own = [e for e in entries if any(leg.public_id == account.public_id for leg in e.legs)]
            expected = [e.seq for e in own if e.recorded_ns < before][-limit:][::-1]
            found = await lines_before(connection, account, before, limit)
            assert [line.entry.seq for line in found] == expected, (account.name, before, limit)
            since = await first_from(connection, account, before)
            assert (since and since.seq) == next((e.seq for e in own if e.recorded_ns >= before), None)


async def test_a_late_posting_leaves_the_past_as_it_was_recorded(new_database):
    """What was recorded until a moment stays; by effective time the moment changes; a closed period takes none."""
    async with Desk(new_database(new_ledger)) as desk:
        book = await desk.play("open a\nopen b\na → b 5")
        desk.now_ns = 2000
        await desk.play("a → b 7 dated 900", book)
        async with desk.database.read() as connection:
            [account] = await load_accounts_by_name(connection, ["b"])
            assert (await totals_at(connection, account, 1500)).balance == 5
            assert await balance_effective_at(connection, account, 1500) == 12
            assert await balance_effective_at(connection, account, 899) == 0
        desk.now_ns = 3000
        await desk.submit(event("close", EntryKind.CLOSE_PERIOD, effective_ns=1000))
        [outcome] = await desk.journal.bulk([(book.event("a → b 1 dated 999"),)])
        assert outcome.code == "period-closed"
