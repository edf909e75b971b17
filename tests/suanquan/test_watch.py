"""The running service watches its ledger: what is new at each look, everything once a day; both end in the metrics."""

import asyncio

import pytest

from ledger.amount import CNY
from ledger.invariants import INVARIANTS
from suanquan import metrics
from suanquan.jobs import recompute, watch
from suanquan.service import open_service
from suanquan.use_cases import watch as watch_module
from suanquan.use_cases.overview import overview
from suanquan.use_cases.watch import Watch
from tests.back_ends import rows
from tests.ledger.desk import Desk
from tests.ledger.full_ledger import make_full
from tests.ledger.notation import event

NAMES = {invariant.name for invariant in INVARIANTS}


@pytest.fixture
async def desk(new_database):
    async with Desk(new_database(make_full)) as desk:
        desk.now_ns = 1_790_000_000 * 10**9
        yield desk


async def look(desk, watcher) -> dict[str, str]:
    """Places of what is new and broken."""
    async with desk.database.read() as connection:
        return {fault.invariant: fault.where for fault in await watcher.look(connection)}


async def test_a_sound_ledger_breaks_nothing(desk, monkeypatch):
    """The first look sees what there is, later ones what came since, however much that is."""
    watcher = Watch()
    assert watcher.verdicts == {}
    assert await look(desk, watcher) == {}
    book = await desk.play("open rich\nopen poor\nrich → poor 5\nhold h9: rich → poor 3\ncapture h9 1")
    assert await look(desk, watcher) == {}
    monkeypatch.setattr(watch_module, "STRETCH_MAX", 3)
    await desk.play("rich → poor 1\nrich → poor 2\nrich → poor 3\nrelease h9\nrich → poor 4", book)
    assert await look(desk, watcher) == {}
    assert watcher.verdicts == dict.fromkeys(NAMES, True)


BROKEN = [
    ("balances", "UPDATE balance SET credits_posted = credits_posted + 1 WHERE account = (SELECT max(account) FROM balance)", "account"),
    ("sum-zero", "UPDATE balance SET debits_posted = debits_posted + 1 WHERE account = 2", "asset 1"),
    ("holds", "UPDATE hold SET remaining = remaining - 1 WHERE status = 0", "account"),
    ("conservation", "UPDATE balance SET credits_posted = credits_posted + 1 WHERE account = (SELECT min(account) FROM voucher)", "vouchers of"),
    ("root", "UPDATE log_state SET root = frontier", "log_state"),
    ("root", "UPDATE log_state SET size = 0, frontier = root", "log_state"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "statement", "where"), BROKEN)
async def test_what_is_broken_is_found_at_the_next_look(desk, name, statement, where):
    """It is told once, with its place, and counts as broken until it holds again."""
    watcher = Watch()
    await look(desk, watcher)
    await desk.play("open rich\nopen poor\nrich → poor 5")
    rows(desk.path, statement)
    found = await look(desk, watcher)
    assert found[name].startswith(where)
    assert not watcher.verdicts[name]
    assert await look(desk, watcher) == {}
    assert not watcher.verdicts[name]


async def test_a_look_reads_what_is_new_only(desk):
    """After a sound look the entries before it are not read again: what is changed there, the daily pass finds."""
    watcher = Watch()
    await look(desk, watcher)
    await asyncio.gather(*(desk.submit(event(f"more {at}")) for at in range(20)))
    assert await look(desk, watcher) == {}
    assert watcher._frontier.size == desk.size()


def spoil(home) -> None:
    """Drop a payload of the past, behind the back of the service."""
    place = home.database
    for (name,) in rows(place, "SELECT name FROM sqlite_schema WHERE type = 'trigger'"):
        rows(place, f"DROP TRIGGER {name}")
    rows(place, "DELETE FROM payload WHERE seq = 0")


def test_the_metrics_say_which_invariant_is_broken(installation):
    """One gauge an invariant: absent until it is judged, then 1; 0 with the daily pass that finds what looks cannot see."""

    async def page(service) -> str:
        async with service.database.read() as connection:
            return metrics.render(await overview(connection, service.catalog), service.watch.verdicts, 0).decode()

    async def run() -> None:
        async with open_service(installation.home) as service:
            assert "ledger_invariant_ok{" not in await page(service)
            await service.journal.transact(lambda tx: tx.open([("one", CNY, None)]))
            await watch(service)
            shown = await page(service)
            assert all(f'ledger_invariant_ok{{invariant="{name}"}} 1.0' in shown for name in NAMES)
            await recompute(service)
            assert 'ledger_invariant_ok{invariant="rules"} 1.0' in await page(service)
            spoil(installation.home)
            await watch(service)
            await recompute(service)
            assert 'ledger_invariant_ok{invariant="rules"} 0.0' in await page(service)

    asyncio.run(run())
