"""The log is all there is, and no database leaves a trace in it: the same events make the same leaves and root on both."""

import asyncio
from collections.abc import Iterator
from random import Random

import pytest

from ledger.amount import ASSETS_BY_NUMBER, INT64_MAX, Asset
from ledger.entry import Entry, EntryKind, Event, Layer, Leg, Limits, Opening, Side, debit, parse_limits
from ledger.leaf import decode
from ledger.store import create_log
from suanquan.db.schema import upgrade
from tests.back_ends import Files, rows
from tests.ledger.desk import Desk, audit, make_ledger
from tests.ledger.full_ledger import NOW_S, STORY, make_full
from tests.ledger.test_history import busy_ledger

LEAVES = "SELECT leaf FROM entry ORDER BY seq"
TABLES = ("account", "account_name", "asset", "balance", "hold", "reversal", "touched", "dated", "dated_day", "tile")


@pytest.fixture
def places(tmp_path, databases):
    """`places(name)` is an empty database of each kind."""
    made = []

    def new(name):
        made.append(databases.create(name))
        return Files(tmp_path).create(name), made[-1]

    yield new
    for place in made:
        databases.drop(place)


def test_a_ledger_with_everything_in_it_is_the_same_on_both(places):
    """Every kind of entry, usage and vouchers: leaves, salts, tiles, head and every projection are the same to the byte."""
    both = places("full")
    for place in both:
        make_full(place)
    for table in (*TABLES, "entry", "payload", "erased", "log_state", "usage_batch", "usage_id", "id_range"):
        one, other = (sorted(rows(place, f"SELECT * FROM {table}"), key=repr) for place in both)
        assert one == other, table


class Rebuilt:
    """Events read back from a log with its payloads: what a ledger asks for when it is played into an empty one."""

    def __init__(self, place):
        self.entries = [decode(leaf)[0] for (leaf,) in rows(place, LEAVES)]
        self.payloads = {seq: (salt, body) for seq, salt, body in rows(place, "SELECT seq, salt, body FROM payload")}
        [(self.origin, self.key)] = rows(place, "SELECT origin, pseudonym_key FROM log_state")
        opened = [entry.legs[0].public_id for entry in self.entries if entry.kind == EntryKind.OPEN]
        self.numbers = {public_id: number for number, public_id in enumerate(opened, 1)}

    def __iter__(self) -> Iterator[tuple[Entry, Event]]:
        for entry in self.entries:
            yield entry, self.event(entry)

    def event(self, entry: Entry) -> Event:
        salt, body = self.payloads.get(entry.seq, (b"", b""))
        dated = entry.effective_ns if entry.effective_ns != entry.recorded_ns else 0
        event = Event(
            EntryKind(entry.kind), entry.event_id, entry.digest, self.legs(entry), dated, entry.ref_seq,
            entry.ruleset, entry.actor, salt, body, restriction=entry.flags,
        )  # fmt: skip
        match entry.kind:
            case EntryKind.OPEN:
                limits, _, name = body.decode().partition("\n")
                leg = entry.legs[0]
                opening = Opening(name, leg.public_id, self.asset(leg.asset), parse_limits(limits))
                return event._replace(opening=opening)
            case EntryKind.ASSET:
                return event._replace(asset=self.asset_of(body))
            case EntryKind.LIMIT:
                return event._replace(limits=Limits(*parse_limits(body.decode().partition("\n")[0])))
            case EntryKind.HOLD:
                until = None if entry.effective_ns == INT64_MAX else entry.effective_ns
                return event._replace(effective_ns=0, expires_ns=until)
            case EntryKind.CAPTURE:
                return event._replace(final=self.moved(entry, Layer.HELD) != self.moved(entry, Layer.POSTED))
        return event

    def legs(self, entry: Entry) -> tuple[Leg, ...]:
        """What was asked for; a capture names one debit a line of its hold, expiries and openings nothing."""
        if entry.kind in (EntryKind.OPEN, EntryKind.RELEASE, EntryKind.EXPIRE):
            return ()
        if entry.kind != EntryKind.CAPTURE:
            return tuple(Leg(self.numbers[leg.public_id], leg.side, leg.amount) for leg in entry.legs)
        taken, lines = self.moved(entry, Layer.POSTED), self.entries[entry.ref_seq].legs
        pairs = zip(lines[::2], lines[1::2], strict=True)
        return tuple(
            debit(self.numbers[one.public_id], taken.get((one.public_id, two.public_id), 0)) for one, two in pairs
        )

    def moved(self, entry: Entry, layer: Layer) -> dict[tuple[bytes, bytes], int]:
        """Amounts of a capture by line, freed or posted."""
        legs = [leg for leg in entry.legs if leg.layer == layer]
        assert all(leg.side == at % 2 for at, leg in enumerate(legs)), Side
        pairs = zip(legs[::2], legs[1::2], strict=True)
        return {(one.public_id, two.public_id): one.amount for one, two in pairs}

    def asset(self, number: int) -> Asset:
        registered = [self.asset_of(self.payloads[e.seq][1]) for e in self.entries if e.kind == EntryKind.ASSET]
        return (ASSETS_BY_NUMBER | {asset.number: asset for asset in registered})[number]

    def asset_of(self, body: bytes) -> Asset:
        code, _, told = body.decode().rpartition("=")
        number, _, scale = told.partition("/")
        return Asset(code, int(number), int(scale))


async def play_into(place, rebuilt):
    """Ask an empty ledger for what a log tells, each at its time; expiries must come by themselves."""
    desk = Desk(place)
    async with desk.database.write() as connection:
        await create_log(connection, rebuilt.origin, rebuilt.key)
    async with desk:
        for entry, event in rebuilt:
            desk.now_ns = entry.recorded_ns
            if entry.kind == EntryKind.EXPIRE:
                await desk.journal.transact(nothing)
            else:
                await desk.submit(event)


async def nothing(_tx):
    """Work that only wakes the writer."""


async def make_story(place):
    """Every kind of entry but erasures, after which nobody can tell what an entry committed to."""
    await make_ledger(place)
    async with Desk(place) as desk:
        desk.now_ns = NOW_S * 10**9
        soon, later, ended = desk.now_ns + 10**5, desk.now_ns + 10**9, desk.now_ns - 10
        await desk.play(STORY.format(soon=soon, later=later, ended=ended))
        desk.now_ns = later
        await desk.play("note")


async def make_busy(place, seed):
    await make_ledger(place)
    await busy_ledger(place, Random(seed))


@pytest.mark.parametrize(("kind", "first"), [("story", 0), ("story", 1), ("busy", 1)])
async def test_a_log_played_into_an_empty_ledger_gives_the_same_root(places, seed, kind, first):
    """From the log alone, on either database, the same leaves, balances, holds and root come about on both."""
    source = places("source")[first]
    await (make_story(source) if kind == "story" else make_busy(source, seed))
    rebuilt = Rebuilt(source)
    for target in places("target"):
        await asyncio.to_thread(upgrade, target)
        await play_into(target, rebuilt)
        assert rows(target, LEAVES) == rows(source, LEAVES)
        for table in (*TABLES, "log_state", "payload"):
            one, other = (sorted(rows(place, f"SELECT * FROM {table}"), key=repr) for place in (source, target))
            assert one == other, table
        report = await audit(target)
        assert report["ok"], report
