"""Many clients want one thing at once, in one process and in several: as many get it as there is, each time."""

import asyncio
import multiprocessing
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from random import Random

import pytest

from ledger.entry import EntryKind, credit, debit
from ledger.leaf import decode
from suanquan.db.lease import acquire
from tests.conftest import ALL
from tests.ledger.desk import FUNDED, Desk, codes, gathered
from tests.ledger.notation import event, post

CLIENTS = 100
ROUNDS = 40 if ALL else 4
EXPIRY_NS = 1_000_000


@pytest.fixture
async def desks(desk):
    """Two processes' worth of ledger on one database."""
    async with Desk(desk.path) as other:
        yield desk, other


@pytest.fixture
def chance(seed):
    return Random(seed)


async def at_once(desks, events, chance) -> Counter:
    """What became of events that clients of every desk ask for at the same time, in any order."""
    asked = [(chance.choice(desks), one) for one in events]
    chance.shuffle(asked)
    return Counter(codes(await gathered(*(one.submit(wanted) for one, wanted in asked))))


def captures(name, account, amount, seq, *, final=True):
    return [
        event(f"{name} {at}", EntryKind.CAPTURE, (debit(account, amount),), ref_seq=seq, final=final)
        for at in range(CLIENTS)
    ]


async def kinds_of(desk, seq):
    """Kinds of the entries that refer to a hold or original, in order."""
    entries = [decode(leaf)[0] for (leaf,) in desk.rows("SELECT leaf FROM entry ORDER BY seq")]
    return [entry.kind for entry in entries if entry.ref_seq == seq]


async def test_a_hundred_clients_capture_one_hold_once(desks, chance):
    """The whole hold, by a hundred clients of two processes: one gets it, ninety-nine find it closed, the centre is paid once."""
    book = await desks[0].play(FUNDED)
    v1, centre = book.numbers["v1"], book.numbers["centre"]
    for number in range(ROUNDS):
        await desks[number % 2].play(f"hold h{number}: v1 → centre 1", book)
        seq, _ = book.holds[f"h{number}"]
        outcomes = await at_once(desks, captures(f"round {number}", v1, 1, seq), chance)
        assert outcomes == {"": 1, "hold-closed": CLIENTS - 1}
        assert await kinds_of(desks[0], seq) == [EntryKind.CAPTURE]
    await desks[0].play(f"centre has {ROUNDS}", book)
    assert desks[0].rows(f"SELECT count(*) FROM hold WHERE credit = {centre} AND status = 0") == [(0,)]


async def test_a_hundred_clients_cannot_capture_more_than_the_hold(desks, chance):
    """In parts of one unit: as many succeed as were held, however they meet."""
    book = await desks[0].play(FUNDED + "hold h: v1 → centre 10")
    seq, _ = book.holds["h"]
    outcomes = await at_once(desks, captures("part", book.numbers["v1"], 1, seq, final=False), chance)
    assert outcomes == {"": 10, "hold-closed": CLIENTS - 10}
    await desks[0].play("centre has 10\nv1 has 30, 30 available", book)


async def test_of_six_holds_on_funds_for_five_five_succeed(desks, chance):
    """A hold reduces at once what others can hold, also for those who ask another process at the same moment."""
    book = await desks[0].play(FUNDED)
    v1, centre = book.numbers["v1"], book.numbers["centre"]
    for number in range(ROUNDS):
        asked = [event(f"hold {number} {at}", EntryKind.HOLD, (debit(v1, 8), credit(centre, 8))) for at in range(6)]
        assert await at_once(desks, asked, chance) == {"": 5, "insufficient": 1}
        opened = desks[0].rows("SELECT seq FROM hold WHERE status = 0")
        assert len(opened) == 5
        frees = [event(f"free {seq}", EntryKind.RELEASE, ref_seq=seq) for (seq,) in opened]
        assert await at_once(desks, frees, chance) == {"": 5}


async def test_a_hold_that_expires_while_it_is_captured_ends_once(desks, chance):
    """One process is a nanosecond before the expiry, the other at it: the hold is captured or it expires, never both, and no
    capture is recorded at the expiry or later."""
    book = await desks[0].play(FUNDED)
    for number in range(ROUNDS):
        expiry = EXPIRY_NS * (number + 1)
        await desks[number % 2].play(f"hold h{number}: v1 → centre 1 until {expiry}", book)
        seq, _ = book.holds[f"h{number}"]
        early, late = chance.sample(desks, 2)
        early.now_ns, late.now_ns = expiry - 1, expiry
        outcomes = await at_once(desks, captures(f"round {number}", book.numbers["v1"], 1, seq), chance)
        assert outcomes in ({"": 1, "hold-closed": CLIENTS - 1}, {"hold-closed": CLIENTS})
        end = await kinds_of(desks[0], seq)
        assert end == ([EntryKind.CAPTURE] if outcomes[""] else [EntryKind.EXPIRE])
        [(ended_ns,)] = desks[0].rows(f"SELECT max(recorded_ns) FROM entry WHERE kind = {end[0]}")
        assert (ended_ns < expiry) == (end == [EntryKind.CAPTURE])
        late.now_ns = early.now_ns = expiry + 1


@pytest.mark.parametrize(("before_ns", "ends"), [(1, EntryKind.CAPTURE), (0, EntryKind.EXPIRE)])
async def test_the_nanosecond_of_the_expiry_decides(desk, before_ns, ends):
    """A hundred captures a nanosecond early: one succeeds. At the nanosecond of the expiry: none, it has expired before."""
    book = await desk.play(FUNDED + f"hold h: v1 → centre 1 until {EXPIRY_NS}")
    seq, _ = book.holds["h"]
    desk.now_ns = EXPIRY_NS - before_ns
    outcomes = Counter(codes(await gathered(*map(desk.submit, captures("c", book.numbers["v1"], 1, seq)))))
    assert outcomes[""] == before_ns
    assert await kinds_of(desk, seq) == [ends]


async def test_no_snapshot_shows_half_a_chain(desks, chance):
    """While chains that pass money on are recorded, and some fail at their end, no reader ever sees it on the way; and what a
    reader sees never goes back."""
    book = await desks[0].play("open treasury\nopen between\nopen goal ceiling 150")
    source, between, goal = (book.numbers[name] for name in ("treasury", "between", "goal"))
    chains = [
        [post(f"in {at}", debit(source, 2), credit(between, 2)), post(f"out {at}", debit(between, 2), credit(goal, 2))]
        for at in range(CLIENTS)
    ]
    query = "SELECT account, credits_posted, credits_posted - debits_posted FROM balance WHERE account IN (2, 3) ORDER BY account"
    seen = [0]

    async def look():
        while True:
            async with desks[0].database.read() as connection:
                (_, passed, left), (_, arrived, _) = (await connection.exec_driver_sql(query)).all()
            assert (left, passed) == (0, arrived)
            assert arrived >= seen[-1]
            seen.append(arrived)
            await asyncio.sleep(0)

    looking = asyncio.create_task(look())
    for at in range(0, CLIENTS, 10):
        asked = [chance.choice(desks).journal.submit(*chain) for chain in chains[at : at + 10]]
        told = Counter(codes(await gathered(*asked)))
        assert told.keys() <= {"", "over-ceiling"}
    looking.cancel()
    [stopped] = await gathered(looking)
    assert isinstance(stopped, asyncio.CancelledError), stopped
    assert len(set(seen)) > 2, "the reader saw nothing happen"
    await desks[0].play("goal has 150\nbetween has 0", book)


async def test_a_posting_is_reversed_once(desks, chance):
    """A hundred clients take back the whole of one posting at once: one does, and the balance moves once."""
    book = await desks[0].play(FUNDED)
    for number in range(ROUNDS):
        await desks[0].play(f"p{number}: v1 → centre 7", book)
        original = book.posts[f"p{number}"]
        asked = [event(f"back {number} {at}", EntryKind.REVERSE, ref_seq=original) for at in range(CLIENTS)]
        assert await at_once(desks, asked, chance) == {"": 1, "reversal-exceeded": CLIENTS - 1}
        assert await kinds_of(desks[0], original) == [EntryKind.REVERSE]
        await desks[0].play("v1 has 40\ncentre has 0", book)


async def test_parts_that_are_reversed_at_once_do_not_exceed_the_original(desks, chance):
    """Of a hundred reversals of 3 of a posting of 10 three succeed, and what is left can still be taken back."""
    book = await desks[0].play(FUNDED + "p: v1 → centre 10")
    legs = debit(book.numbers["centre"], 3), credit(book.numbers["v1"], 3)
    asked = [event(f"back {at}", EntryKind.REVERSE, legs, ref_seq=book.posts["p"]) for at in range(CLIENTS)]
    assert await at_once(desks, asked, chance) == {"": 3, "reversal-exceeded": CLIENTS - 3}
    await desks[0].play("v1 has 39\nreverse p\nv1 has 40", book)


async def test_a_fenced_writer_and_its_successor_record_a_thing_once(desk, chance):
    """While the lease changes hands both writers are asked: who was fenced writes nothing, and one capture is recorded."""
    book = await desk.play(FUNDED)
    for number in range(ROUNDS):
        await desk.play(f"hold h{number}: v1 → centre 1", book)
        seq, _ = book.holds[f"h{number}"]
        async with Desk(desk.path) as old, Desk(desk.path) as new:
            old.journal.fences = [(await acquire(old.database, f"old {number}", 0)).fence]
            asked = captures(f"round {number}", book.numbers["v1"], 1, seq)
            chance.shuffle(asked)

            async def take_over(new=new, number=number, asked=asked):
                new.journal.fences = [(await acquire(new.database, f"new {number}", 0)).fence]
                return await gathered(*map(new.submit, asked[50:]))

            first, second = await asyncio.gather(gathered(*map(old.submit, asked[:50])), take_over())
            outcomes = Counter(codes(first)) + Counter(codes(second))
            assert outcomes[""] == 1, outcomes
            assert outcomes.keys() <= {"", "hold-closed", "writer-fenced"}
            assert set(codes(await gathered(old.submit(event(f"late {number}"))))) == {"writer-fenced"}
        assert await kinds_of(desk, seq) == [EntryKind.CAPTURE]


def ask_elsewhere(place, events):
    """What a process of its own is told."""

    async def ask():
        async with Desk(place) as desk:
            return codes(await gathered(*map(desk.submit, events)))

    return asyncio.run(ask())


async def test_processes_that_ask_at_once_share_what_there_is(desk):
    """Real processes with journals of their own: one capture, one reversal, and payments to the last unit, in one dense log."""
    book = await desk.play(FUNDED + "hold h: v1 → centre 1\np: treasury → centre 9")
    v1, centre, (seq, _) = book.numbers["v1"], book.numbers["centre"], book.holds["h"]
    asked = [
        *captures("one", v1, 1, seq),
        *(event(f"back {at}", EntryKind.REVERSE, ref_seq=book.posts["p"]) for at in range(CLIENTS)),
        *(post(f"pay {at}", debit(v1, 3), credit(centre, 3)) for at in range(CLIENTS)),
    ]
    Random(0).shuffle(asked)
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(3, multiprocessing.get_context("forkserver")) as processes:
        parts = [asked[at::3] for at in range(3)]
        told = await asyncio.gather(
            *(loop.run_in_executor(processes, ask_elsewhere, desk.path, part) for part in parts)
        )
    outcomes = Counter(code for part in told for code in part)
    assert outcomes == {
        "": 15,
        "hold-closed": CLIENTS - 1,
        "reversal-exceeded": CLIENTS - 1,
        "insufficient": CLIENTS - 13,
    }
    await desk.play("v1 has 0\ncentre has 40\ntreasury has -40", book)
    desk.size()
