"""A failure or a crash at every statement of the commit path, before it runs and after: nothing is lost, doubled or half done."""

import asyncio
import contextlib
import sqlite3
from functools import partial
from random import Random

import pytest
from sqlalchemy.exc import OperationalError

from ledger import sql
from ledger.entry import EntryKind, credit, debit
from tests.conftest import ALL
from tests.ledger.desk import FUNDED, Desk, audit, gathered, make_ledger, use_nonce
from tests.ledger.notation import Book, event, post

HOLDS = "hold h1: v1 → centre 10 until 3000\nhold h2: v1 → centre 10 until 2000"
POINTS = {"sqlite": 12, "postgresql": 4}
"""How many points are tried in an ordinary run, before and after, with a failure and a crash; the seed chooses."""
WAIT_S = 30


class CrashError(BaseException):
    """The process ends here."""


class Points:
    """Statements on their way to the database, counted; at one of them something happens."""

    def __init__(self, at=None, *, after=False, crash=False):
        self.at, self.after, self.crash = at, after, crash
        self.seen, self.crashed = 0, asyncio.Event()
        self._loop = asyncio.get_running_loop()

    @contextlib.contextmanager
    def statement(self):
        self.seen += 1
        hit = self.seen - 1 == self.at
        if hit and not self.after:
            self._happen()
        yield
        if hit and self.after:
            self._happen()

    def _happen(self):
        if self.crash:
            self._loop.call_soon_threadsafe(self.crashed.set)
            raise CrashError
        raise sqlite3.OperationalError("disk I/O error")

    def patch(self, monkeypatch):
        """Watch what goes to either driver."""
        run, driver = sql._run, sql._driver

        def watched_run(connection, statements):
            found = []
            for one in statements:
                try:
                    with self.statement():
                        found += run(connection, [one])
                except sqlite3.Error as fault:
                    raise OperationalError(one[0], None, fault) from fault
            return found

        monkeypatch.setattr(sql, "_run", watched_run)
        monkeypatch.setattr(
            sql, "_driver", lambda conn: Driver(driver(conn), self) if sql._is_postgresql(conn) else driver(conn)
        )


class Driver:
    """PostgreSQL's driver, each of whose calls is a point."""

    def __init__(self, driver, points):
        self._driver, self._points = driver, points

    def __getattr__(self, name):
        found = getattr(self._driver, name)
        if name not in ("execute", "fetch", "copy_records_to_table"):
            return found

        async def call(*arguments, **options):
            with self._points.statement():
                return await found(*arguments, **options)

        return call


def prepared(place):
    """A ledger with funds, a hold to be captured, and one that is due when the work begins."""

    async def make():
        await make_ledger(place)
        async with Desk(place) as desk:
            await desk.play(FUNDED + HOLDS)

    asyncio.run(make())


NUMBERS = {"treasury": 1, "v1": 2, "centre": 3}
H1, H2 = 5, 6


def wishes(desk):
    """What commits are made of: postings, a chain, a capture, work with rows of its own; and an expiry that nobody asks for."""
    v1, centre = NUMBERS["v1"], NUMBERS["centre"]

    async def own_rows(tx):
        await tx.append([event("with rows", salt=bytes(32), payload=b"private")])
        await use_nonce(tx.connection, "one")

    first, second = (post(name, debit(v1, 1), credit(centre, 1)) for name in ("first of two", "second"))
    return [
        partial(desk.submit, post("pay", debit(v1, 3), credit(centre, 3))),
        partial(desk.submit, first, second),
        partial(desk.submit, event("capture", EntryKind.CAPTURE, (debit(v1, 4),), ref_seq=H1)),
        partial(desk.journal.transact, own_rows),
        partial(desk.submit, post("dated", debit(v1, 2), credit(centre, 2), effective_ns=7)),
        partial(desk.submit, post("too much", debit(v1, 999), credit(centre, 999))),
    ]


async def work(desk, points):
    """Ask for everything, some of it while the rest is under way, until all is answered or the process ends."""
    asked = [wish() for wish in wishes(desk)]
    ended = asyncio.create_task(points.crashed.wait())
    tasks = [asyncio.create_task(asked[0])]  # the first commit reads what there is, the next ones fly
    await asyncio.wait([*tasks, ended], timeout=WAIT_S, return_when=asyncio.FIRST_COMPLETED)
    tasks += [asyncio.create_task(wish) for wish in asked[1:3]]
    await asyncio.sleep(0)
    tasks += [asyncio.create_task(wish) for wish in asked[3:]]
    done = asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.wait([done, ended], timeout=WAIT_S, return_when=asyncio.FIRST_COMPLETED)
    assert done.done() or points.crashed.is_set(), "somebody was not answered"
    answered = [task.result() if task.done() and not task.exception() else None for task in tasks]
    for task in (*tasks, ended):
        task.cancel()
    await gathered(done, ended)
    return answered


async def live(place, points, monkeypatch):
    """One life of a process: it does its work, unless it ends in the middle of it."""
    desk = Desk(place)
    desk.now_ns = 2_500
    with monkeypatch.context() as patched:
        points.patch(patched)
        runs = desk.journal.running()
        await runs.__aenter__()
        answered = await work(desk, points)
        if not points.crashed.is_set():
            await runs.__aexit__(None, None, None)
    flight = getattr(desk.journal._flight, "task", None)
    for task in filter(None, (desk.journal._task, flight)):
        task.cancel()
        await gathered(task)
    await desk.database.close()
    return answered


async def check(place, answered):
    """Whatever was answered is there; asked again, everything is recorded once and nothing twice."""
    async with Desk(place) as desk:
        desk.now_ns = 2_600
        size = desk.size()
        for answer in answered:
            if answer is not None:
                assert desk.rows(f"SELECT leaf FROM entry WHERE seq = {answer.seq}") == [(answer.leaf,)]
        asked = wishes(desk)
        again = await gathered(*(wish() for wish in (*asked[:3], asked[4])))
        assert not [answer for answer in again if isinstance(answer, BaseException)], again
        assert desk.size() >= size
        await desk.play("v1 has 29, 23 available\ncentre has 11", Book(numbers=dict(NUMBERS)))
        assert desk.rows(f"SELECT count(*) FROM hold WHERE seq = {H2} AND status = 3") == [(1,)]
        kinds = [kind for (kind,) in desk.rows("SELECT kind FROM entry")]
        assert (kinds.count(EntryKind.CAPTURE), kinds.count(EntryKind.EXPIRE)) == (1, 1)
        [(rows,)] = desk.rows("SELECT count(*) FROM nonce")
        assert rows == len(desk.rows("SELECT seq FROM payload WHERE seq > 6"))
    report = await audit(place)
    assert report["ok"], report


@pytest.mark.parametrize("crash", [False, True], ids=["failure", "crash"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_whatever_statement_fails_nothing_is_lost_or_doubled(
    new_database, back_end, monkeypatch, seed, after, crash
):
    """Of an error everybody hears or the work is done again; of a crash the next process finds all that was answered."""
    counted = Points()
    place = await asyncio.to_thread(new_database, prepared)
    answered = await live(place, counted, monkeypatch)
    assert sum(answer is not None for answer in answered) == 4  # own rows answer nothing, too much is refused
    await check(place, answered)
    count = counted.seen if ALL else min(POINTS[back_end.name], counted.seen)
    tried = Random(f"{seed} {after} {crash}").sample(range(counted.seen), count)
    for at in sorted(tried):
        points = Points(at, after=after, crash=crash)
        place = await asyncio.to_thread(new_database, prepared)
        await check(place, await live(place, points, monkeypatch))
        assert points.seen > at
    print(f"{len(tried)} of {counted.seen} points")
