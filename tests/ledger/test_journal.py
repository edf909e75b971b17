"""The single writer on a real database: what an answer promises."""

import asyncio
import shutil
from pathlib import Path

import pytest

from ledger import journal as journal_module
from ledger.amount import CNY
from ledger.entry import EntryKind, credit, debit
from ledger.errors import Kind, LedgerError
from ledger.journal import EXPIRIES_MAX
from ledger.store import load_entries
from tests.ledger.desk import FUNDED, Desk, codes, gathered, use_nonce
from tests.ledger.notation import event, post, seen


async def test_many_callers_share_a_commit(desk):
    """Three hundred requests that arrive while one commits are committed in a few transactions, in the order they came."""
    before = desk.database.transactions
    entries = await asyncio.gather(*(desk.submit(event(f"note {at}")) for at in range(300)))
    assert [entry.seq for entry in entries] == list(range(1, 301))
    assert desk.database.transactions - before <= 4
    assert desk.size() == 301


async def test_an_idle_writer_commits_at_once(desk):
    """A single request waits for nobody: one request, one transaction."""
    before = desk.database.transactions
    for at in range(3):
        await desk.submit(event(f"note {at}"))
    assert desk.database.transactions - before == 3


async def test_an_answer_means_that_the_entry_is_on_disk(desk, tmp_path):
    """At the moment of the answer another process sees the entry, and so does one that finds the files after a crash."""

    async def ask(at: int) -> None:
        entry = await desk.submit(event(f"note {at}"))
        assert desk.rows(f"SELECT leaf FROM entry WHERE seq = {entry.seq}") == [(entry.leaf,)]
        if at % 10 == 0 and isinstance(desk.path, Path):  # a server is killed in tests/contracts/test_outage.py
            crashed = tmp_path / f"crashed-{at}.db"
            for suffix in ("", "-wal"):
                shutil.copy(f"{desk.path}{suffix}", f"{crashed}{suffix}")
            async with Desk(crashed) as after:
                assert after.rows(f"SELECT leaf FROM entry WHERE seq = {entry.seq}") == [(entry.leaf,)]
                assert (await after.submit(event(f"note {at}"))).replayed

    await asyncio.gather(*map(ask, range(30)))


async def test_the_same_request_is_recorded_once(desk):
    """A repeated event gets its first entry: later, at the same time, within one chain, and after a restart."""
    book = await desk.play(FUNDED)
    asked = post("pay", debit(book.numbers["v1"], 3), credit(book.numbers["centre"], 3))
    first = await desk.submit(asked)
    again = await asyncio.gather(*(desk.submit(asked) for _ in range(20)))
    once, twice = await desk.journal.submit(event("twice"), event("twice"))
    async with Desk(desk.path) as restarted:
        again.append(await restarted.submit(asked))
    assert not first.replayed
    assert {(entry.seq, entry.leaf, entry.replayed) for entry in again} == {(first.seq, first.leaf, True)}
    assert (once.seq, once.replayed, twice.seq, twice.replayed) == (first.seq + 1, False, first.seq + 1, True)
    await desk.play("v1 has 37", book)


async def test_the_same_request_at_the_same_time_is_recorded_once(desk):
    """Twenty callers with one event share one group: one is recorded, nineteen are told of it."""
    async with desk.held_up():
        callers = [asyncio.create_task(desk.submit(event("same"))) for _ in range(20)]
    entries = [await caller for caller in callers]
    assert [entry.replayed for entry in entries] == [False] + [True] * 19
    assert {entry.seq for entry in entries} == {1}


async def test_the_same_id_for_another_request_is_a_conflict(desk):
    """Whichever request came first stands; the other is told so, at once or after a restart."""
    mine, other = event("mine"), event("other")._replace(event_id=event("mine").event_id)
    async with desk.held_up():
        both = asyncio.create_task(gathered(desk.submit(mine), desk.submit(other)))
    assert codes(await both) == ["", "event-conflict"]
    async with Desk(desk.path) as restarted:
        with pytest.raises(LedgerError, match="different request") as refused:
            await restarted.submit(other)
    assert refused.value.kind is Kind.CONFLICT
    assert desk.size() == 2


async def test_a_refused_request_stays_refused(desk):
    """A refusal is an answer like any other: the same id gets it again, also after a restart and when it could be paid."""
    book = await desk.play("open treasury\nopen v1 floor 0")
    treasury, v1 = book.numbers["treasury"], book.numbers["v1"]
    asked = post("pay", debit(v1, 3), credit(treasury, 3))
    with pytest.raises(LedgerError) as refused:
        await desk.submit(asked)
    assert (refused.value.code, refused.value.kind) == ("insufficient", Kind.INSUFFICIENT)
    await desk.play("treasury → v1 3", book)
    async with Desk(desk.path) as restarted:
        for one in (desk, restarted):
            assert codes(await gathered(one.submit(asked))) == ["event-failed"]
    assert codes(await gathered(desk.submit(asked._replace(digest=bytes(32))))) == ["event-conflict"]
    assert not (await desk.submit(asked._replace(event_id=bytes(16)))).replayed


async def test_a_malformed_request_may_be_corrected(desk):
    """What is at fault by itself, whatever the accounts hold, does not burn its id."""
    book = await desk.play(FUNDED)
    wrong = post("pay", debit(book.numbers["v1"], 3), credit(book.numbers["centre"], 4))
    assert codes(await gathered(desk.submit(wrong))) == ["unbalanced"]
    right = post("pay", debit(book.numbers["v1"], 3), credit(book.numbers["centre"], 3))
    assert not (await desk.submit(right)).replayed
    assert desk.rows("SELECT count(*) FROM failed") == [(0,)]


@pytest.mark.parametrize("own_sql", [False, True])
async def test_work_that_fails_is_taken_back_alone(desk, own_sql):
    """Of five works in one group the fourth raises: its entries and rows are gone, the others' are recorded, densely."""

    async def work(tx, at: int) -> int:
        await tx.append([event(f"note {at}")])
        await tx.open([(f"account {at}", CNY, None)])
        if own_sql:
            await use_nonce(tx.connection, str(at))
        if at == 3:
            raise ZeroDivisionError
        return tx.size

    before = desk.database.transactions
    async with desk.held_up():
        works = [desk.journal.transact(lambda tx, at=at: work(tx, at), own_sql=own_sql) for at in range(5)]
        group = asyncio.create_task(gathered(*works))
    outcomes = await group
    assert isinstance(outcomes.pop(3), ZeroDivisionError)
    assert outcomes == [3, 5, 7, 9]
    assert desk.database.transactions - before == 2
    kept = ["0", "1", "2", "4"]
    assert desk.rows("SELECT nonce FROM nonce ORDER BY nonce") == ([(at,) for at in kept] if own_sql else [])
    assert desk.rows("SELECT name FROM account_name ORDER BY account") == [(f"account {at}",) for at in kept]
    assert [(await desk.submit(event(f"note {at}"))).replayed for at in range(5)] == [True, True, True, False, True]


async def test_a_chain_is_recorded_whole_or_not_at_all(desk):
    """A chain whose last event is refused, or in conflict, leaves nothing; its neighbours in the group do not notice."""
    book = await desk.play(FUNDED)
    v1, centre = book.numbers["v1"], book.numbers["centre"]

    def pay(name: str, amount: int):
        return post(name, debit(v1, amount), credit(centre, amount))

    conflict = event("other")._replace(event_id=pay("third", 1).event_id)
    async with desk.held_up():
        group = asyncio.create_task(
            gathered(
                desk.submit(pay("first", 10), pay("second", 31)),
                desk.submit(pay("third", 20)),
                desk.submit(pay("fourth", 5), conflict),
                desk.submit(pay("first", 10), pay("fifth", 10)),
            )
        )
    assert codes(await group) == ["insufficient", "", "event-conflict", ""]
    await desk.play("v1 has 0\ncentre has 40", book)
    assert desk.size() == 8


async def test_a_hundred_callers_cannot_capture_more_than_was_held(desk):
    """Of a hundred captures of one unit, as many succeed as the hold had; of six holds on funds for five, five."""
    book = await desk.play(FUNDED + "hold h1: v1 → centre 10")
    v1, centre, (seq, _) = book.numbers["v1"], book.numbers["centre"], book.holds["h1"]
    captures = [event(f"capture {at}", EntryKind.CAPTURE, (debit(v1, 1),), ref_seq=seq) for at in range(100)]
    outcomes = codes(await gathered(*map(desk.submit, captures)))
    assert (outcomes.count(""), outcomes.count("hold-closed")) == (10, 90)
    holds = [event(f"hold {at}", EntryKind.HOLD, (debit(v1, 6), credit(centre, 6))) for at in range(6)]
    assert codes(await gathered(*map(desk.submit, holds))) == [""] * 5 + ["insufficient"]


async def test_two_writers_keep_one_log(desk):
    """Two processes that write in turn, or at once, see each other's balances, holds and ids: the log stays dense."""
    book = await desk.play(FUNDED + "hold h1: v1 → centre 10 until 99999999")
    v1, centre, (seq, _) = book.numbers["v1"], book.numbers["centre"], book.holds["h1"]
    async with Desk(desk.path) as other:
        desks = [desk, other]
        for at in range(10):
            part = event(f"capture {at}", EntryKind.CAPTURE, (debit(v1, 1),), ref_seq=seq)
            assert [(await one.submit(part)).replayed for one in (desks[at % 2], desks[1 - at % 2])] == [False, True]
        assert codes([*await gathered(desk.journal.submit(part._replace(event_id=bytes(16))))]) == ["hold-closed"]
        payments = [post(f"pay {at}", debit(v1, 2), credit(centre, 2)) for at in range(20)]
        outcomes = await gathered(*(desks[at % 2].submit(asked) for at, asked in enumerate(payments)))
        assert codes(outcomes).count("insufficient") == 5
        await other.journal.transact(lambda tx: tx.open([("opened elsewhere", CNY, 0)]))
        opened = await desk.journal.transact(lambda tx: tx.open([("opened elsewhere", CNY, 0), ("here", CNY, 0)]))
        assert [account.number for account in opened.values()] == [4, 5]
    assert desk.rows("SELECT debits_posted, credits_posted FROM balance WHERE account = 2") == [(40, 40)]
    desk.size()


async def test_accounts_are_opened_once(desk):
    """Twenty callers that need the same two accounts get the same two."""
    wanted = [("a", CNY, 0), ("b", CNY, None)]
    opened = await asyncio.gather(*(desk.journal.transact(lambda tx: tx.open(wanted)) for _ in range(20)))
    assert {(found["a"].number, found["b"].number) for found in opened} == {(1, 2)}
    assert desk.size() == 3


async def test_expired_holds_are_logged_before_anything_else(desk):
    """Whatever wakes the writer, it first records what has expired, in order of expiry: late captures find it closed."""
    book = await desk.play(
        FUNDED
        + """
        hold h1: v1 → centre 10 until 3000
        hold h2: v1 → centre 10 until 2000
        hold h3: v1 → centre 10 until 4000
        hold h4: v1 → centre 10
        v1 has 40, 0 available
        """
    )
    v1, centre = book.numbers["v1"], book.numbers["centre"]
    seqs = {name: seq for name, (seq, _) in book.holds.items()}
    late = event("late", EntryKind.CAPTURE, (debit(v1, 5),), ref_seq=seqs["h1"])
    desk.now_ns = 2_500
    assert (await desk.submit(late)).kind == EntryKind.CAPTURE
    desk.now_ns = 3_000
    async with Desk(desk.path) as other:
        other.now_ns = 3_500
        paid = await other.submit(post("pay", debit(v1, 15), credit(centre, 15)))
        assert paid.seq == 12
    assert codes(await gathered(desk.submit(late._replace(event_id=bytes(16))))) == ["hold-closed"]
    await desk.play("v1 has 20, 0 available", book)
    async with desk.database.read() as connection:
        expired = await load_entries(connection, [row[0] for row in desk.rows("SELECT event_id FROM entry")])
    ends = [(e.seq, e.ref_seq, e.legs[0].amount) for e in expired.values() if e.kind == EntryKind.EXPIRE]
    assert sorted(ends) == [(9, seqs["h2"], 10), (11, seqs["h1"], 5)]


async def test_more_expiries_than_one_group_takes_are_spread_over_several(desk):
    """A flood of expiries holds nobody up for long: each turn of the writer records a bounded number."""
    book = await desk.play(FUNDED)
    legs = (debit(book.numbers["treasury"], 1), credit(book.numbers["centre"], 1))
    holds = [event(f"hold {at}", EntryKind.HOLD, legs, expires_ns=5_000) for at in range(EXPIRIES_MAX + 1)]
    await desk.journal.submit(*holds)
    desk.now_ns = 6_000
    turns = [await desk.submit(event(f"turn {at}")) for at in range(3)]
    assert [turn.seq for turn in turns] == [
        5 + 2 * EXPIRIES_MAX + 1,
        5 + 2 * EXPIRIES_MAX + 3,
        5 + 2 * EXPIRIES_MAX + 4,
    ]


async def test_a_restart_finds_the_same_state(desk):
    """Accounts, totals, open holds, size and time read back from disk are those the writer had in memory."""
    book = await desk.play(
        FUNDED
        + """
        hold h1: v1 → centre 10 until 9000
        hold h2: v1 → centre 10
        capture h1 4
        capture h2 3 final
        hold h3: v1 → centre 1
        """
    )
    async with Desk(desk.path) as restarted:

        async def load(tx) -> None:
            await tx.accounts(book.numbers)
            asked = [event(name, EntryKind.RELEASE, ref_seq=seq) for name, (seq, _) in book.holds.items()]
            await tx._writer.load(tx.connection, [asked[0], asked[2]])

        await restarted.journal.transact(load)
        assert seen(restarted.journal.state) == seen(desk.journal.state)


async def test_a_journal_that_forgets_its_accounts_goes_on(desk, monkeypatch):
    """With more accounts than are kept in memory, balances and holds are read again when they are needed."""
    book = await desk.play(FUNDED + "hold h1: v1 → centre 10")
    monkeypatch.setattr(journal_module, "ACCOUNTS_CACHED_MAX", 0)
    v1, centre = book.numbers["v1"], book.numbers["centre"]

    async def pay(tx) -> None:
        await tx.accounts(["v1", "centre"])
        await tx.append([post("pay", debit(v1, 30), credit(centre, 30))])

    await desk.journal.transact(pay)
    await desk.play("capture h1 10", book)
    assert desk.rows("SELECT debits_posted, debits_held FROM balance WHERE account = 2") == [(40, 0)]
