"""What goes on in the demo beside metering: on days of every kind it comes to today, with something for everybody to do."""

import threading
import time

import pytest

from ledger.amount import CNY
from ledger.scope import EVERYTHING
from metering.instants import parse_instant
from metering.month_store import count_gaps
from suanquan.demo import play_scene
from suanquan.demo_scene import CENTRE, PARTIES, PastClock, begun, first_day
from suanquan.home import Home
from suanquan.settings import Settings
from suanquan.use_cases import setup
from suanquan.use_cases.line_disputes import list_disputes
from suanquan.use_cases.settlement_reading import load_batches
from tests.conftest import ALL
from tests.suanquan.bureau import MovedService
from tests.suanquan.harness import PASSPHRASE
from voucher.store import list_vouchers

DAYS = ["2026-11-27"]
if ALL:
    DAYS += ["2025-12-31", "2026-01-01", "2026-04-01", "2026-04-02", "2026-06-30", "2026-10-09"]
UNKNOWN_YEAR = "2099-06-15"
WAITING = {
    "算力券第一轮（沙箱）": ["issued", "issued", "issued", "refused"],
    "算力券第二轮（沙箱）": ["in_notice", "planned"],
    "算力券第三轮（沙箱）": ["preliminarily_reviewed", "returned", "submitted"],
}


class AtDay(PastClock):
    """The demo's clock where the time outside is ten o'clock of a day."""

    def __init__(self, file, day):
        super().__init__(file)
        self._from_today_ns = parse_instant(f"{day}T10:00:00+08:00") * 1000 - time.time_ns()

    @property
    def ahead_ns(self):
        return super().ahead_ns + self._from_today_ns


def left(folder, day):
    """What a demo that is played on a day leaves: states of applications by round, yuan of vouchers, gaps, disputes, batches."""
    home = Home(folder / "home")
    clock = AtDay(home.sandbox_clock, day)
    clock.go_to(first_day(clock.today))
    setup.initialise(home, Settings(sandbox=True), PASSPHRASE, clock)
    assert not begun(home)

    async def look(service):
        async with service.database.read() as conn:
            cases = await service.cases.applications(conn)
            states = {}
            for case in cases:
                states.setdefault(case.round.title, []).append(case.case.state)
            disputes = await list_disputes(conn, centre=CENTRE, account=None, state="open", after=0, limit=9)
            return (
                {name: sorted(found) for name, found in states.items()},
                sum(one.units for one in await list_vouchers(conn, EVERYTHING)) // 10**CNY.scale,
                (await count_gaps(conn)).get(CENTRE, 0),
                len(disputes["disputes"]),
                [one.state.value for one in await load_batches(conn)],
            )

    with MovedService(home, clock) as running:
        running.call(play_scene(running.service, clock, threading.Event()))
        assert begun(home)
        assert running.service.proceedings.today.isoformat() == day
        books = running.figures()
        assert books.rated == books.debited + sum(books.self_pay.values())
        return running.call(look(running.service))


@pytest.mark.parametrize("day", DAYS)
def test_there_is_something_for_everybody_to_do(day, tmp_path):
    """Three vouchers are partly spent, a quarter is paid, a month lacks a job, a line is disputed, cases wait with each office."""
    states, yuan, gaps, disputes, batches = left(tmp_path, day)
    assert states == WAITING
    assert yuan == sum(party.yuan * 2 // 5 // 2 for party in PARTIES[:3]), "the first half of what was approved"
    assert (gaps, disputes, batches) == (1, 1, ["paid"])


def test_without_a_calendar_nothing_is_published(tmp_path):
    """The working days of a year that no notice of the State Council names are not known: cases wait, and nothing is made up."""
    states, yuan, gaps, disputes, batches = left(tmp_path, UNKNOWN_YEAR)
    assert states == {
        **WAITING,
        "算力券第一轮（沙箱）": ["listed"] * 3 + ["refused"],
        "算力券第二轮（沙箱）": ["listed", "planned"],
    }
    assert (yuan, gaps, disputes, batches) == (0, 0, 0, [])
