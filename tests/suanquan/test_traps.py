"""Traps that meters of others fell into, from the source's own words to the books, on both databases; each names the wrong answer.

What the readers alone decide is in `tests/metering/test_traps.py`. A crash between inbox and ledger is in `test_kill.py`, where a
service is killed; corrections after a voucher's end are in `test_reopen.py`; tiers in `test_price_parts.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from random import Random

import pytest

from ledger.scope import EVERYTHING
from metering.corrections import Correction
from metering.sources.slices import mig_milli
from suanquan.service import open_service
from suanquan.settings import Settings
from suanquan.use_cases.quarantine import list_waiting
from tests.metering.sources.reading import items, records
from tests.suanquan.harness import A100_HOUR, HOUR_MS, PASSPHRASE, give, install
from tests.suanquan.test_truth import Desk
from voucher.holder import sandbox_uscc

HEADER = "JobIDRaw|Cluster|Account|Start|End|ElapsedRaw|State|AllocTRES|JobName"
UTC = {"source": "sacct", "timezone": "UTC"}
CHINA = {"source": "sacct", "timezone": "Asia/Shanghai"}
H100_HOUR = 2 * A100_HOUR


def row(account, job, start="2025-03-03T00:00:00", end="2025-03-03T01:00:00", elapsed=3600, **changes):
    """A row of sacct: two A100 for an hour, 24 yuan, unless told otherwise."""
    known = {"state": "COMPLETED", "tres": "cpu=8,gres/gpu:a100=2,gres/gpu=2", "name": "train"} | changes
    return f"{job}|sj01|{account}|{start}|{end}|{elapsed}|{known['state']}|{known['tres']}|{known['name']}"


def sacct(*rows, **options):
    """What a file of sacct rows says."""
    return records("\n".join([HEADER, *rows]), **(options or UTC))


class Booked:
    """The service, and what its books say of one account."""

    def __init__(self, run, here):
        self.here = here
        self.run = run

    def report(self, *some):
        return self.run(self.here.report(*some))

    def correct(self, *some):
        return self.run(self.here.correct(*some))

    def units(self, account):
        """Units of yuan by month that the account's usage came to; the books as a whole are conserved."""
        found = self.run(self.here.figures())
        return {month: row["rated_units"] for (name, month), row in found.usage.items() if name == account}

    def total(self, account):
        return sum(self.units(account).values())

    def waiting(self, account):
        """Why records of an account wait."""

        async def read():
            async with self.here.service.database.read() as connection:
                return await list_waiting(connection, EVERYTHING)

        return [one["code"] for one in self.run(read()) if one["account"] == account]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def books(request, tmp_path_factory):
    """One service on each database for all traps, each of which has an account of its own."""
    databases = request.getfixturevalue("databases") if request.param == "postgresql" else None
    place = databases.create("traps") if databases else None
    settings = Settings(sandbox=True, database_url=place.url) if place else Settings(sandbox=True)
    home = install(tmp_path_factory.mktemp("traps") / "home", settings).home
    with asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()
        service = runner.run(stack.enter_async_context(open_service(home, PASSPHRASE)))
        yield Booked(runner.run, Desk(service))
        runner.run(stack.aclose())
    if place:
        databases.drop(place)


def test_a_batch_three_times_in_any_order(books, seed):
    """9 jobs thrice, shuffled, in batches of any size: 9 × 24 yuan. Wrong: 27 × 24 (ids per send), 24 (equal content as one)."""
    known, random = sacct(*(row("thrice", job) for job in range(1, 10))) * 3, Random(seed)
    random.shuffle(known)
    while known:
        size = random.randint(1, 9)
        part, known = list({one.id: one for one in known[:size]}.values()), known[size:]
        assert set(books.report(*part)) <= {"accepted", "duplicate"}
    assert books.total("thrice") == 9 * 2 * A100_HOUR


def test_a_part_that_was_lost_comes_with_the_whole(books):
    """4 of 9 jobs, then all 9: 9 × 24 yuan. Wrong: 13 × 24, the resent part as more of it."""
    known = sacct(*(row("again", job) for job in range(11, 20)))
    assert books.report(*known[5:]) == ["accepted"] * 4
    assert books.report(*known) == ["accepted"] * 5 + ["duplicate"] * 4
    assert books.total("again") == 9 * 2 * A100_HOUR


def test_a_month_is_split_at_its_edge(books):
    """Two hours across Shanghai's midnight of the first: 24 yuan in each month. Wrong: 48 in the month of the start."""
    rows = row("edge", 21, "2025-02-28T23:00:00", "2025-03-01T01:00:00", 7200)
    assert books.report(*sacct(rows, **CHINA)) == ["accepted"]
    assert books.units("edge") == {202502: 2 * A100_HOUR, 202503: 2 * A100_HOUR}


def test_a_naive_time_is_of_its_zone(books):
    """00:00 to 08:00 of March 1 in Shanghai is March's. Wrong: February's, as which UTC files of a container are read."""
    rows = row("naive", 31, "2025-03-01T00:00:00", "2025-03-01T08:00:00", 28_800)
    assert books.report(*sacct(rows, **CHINA)) == ["accepted"]
    assert books.units("naive") == {202503: 16 * A100_HOUR}
    with pytest.raises(Exception, match="--timezone"):
        items(f"{HEADER}\n{rows}", source="sacct")


def test_typed_and_untyped_cards_are_the_same_cards(books):
    """2 A100, 1 H100 and 3 GPUs are three cards: 48 yuan. Wrong: 24 (the first entry), 96 (all of them), held (the untyped)."""
    rows = row("mixed", 41, tres="billing=38,cpu=2,gres/gpu:a100=2,gres/gpu:h100=1,gres/gpu=3,node=1")
    assert books.report(*sacct(rows)) == ["accepted"]
    assert books.total("mixed") == 2 * A100_HOUR + H100_HOUR


def test_both_runs_of_a_requeued_job_cost(books):
    """An hour and a quarter under one raw id: 30 yuan. Wrong: 24 or 6, the other run taken for the same or for a conflict."""
    rows = (
        row("requeue", 51, state="REQUEUED"),
        row("requeue", 51, "2025-03-03T02:00:00", "2025-03-03T02:15:00", 900),
    )
    assert books.report(*sacct(*rows)) == ["accepted"] * 2
    assert books.total("requeue") == 2 * A100_HOUR * 5 // 4


def test_suspended_time_costs_nothing(books):
    """81 of 85 seconds: 0.54 yuan. Wrong: 0.566666, End less Start."""
    assert books.report(*sacct(row("paused", 61, end="2025-03-03T00:01:25", elapsed=81))) == ["accepted"]
    assert books.total("paused") == 2 * 81 * A100_HOUR // 3600 == 540_000


def test_a_job_of_45_days_is_billed(books):
    """25,920 yuan, 31 days of them January's; 91 days wait for a person. Wrong: unreadable or dropped (parsers that know 31 days)."""
    header = HEADER.replace("ElapsedRaw", "Elapsed")
    whole = row("long", 71, "2025-01-01T00:00:00", "2025-02-15T00:00:00", "45-00:00:00")
    longer = row("longer", 72, "2024-12-01T00:00:00", "2025-03-02T00:00:00", "91-00:00:00")
    known = records(f"{header}\n{whole}\n{longer}", **CHINA)
    assert books.report(*known) == ["accepted", "held"]
    assert books.units("long") == {202501: 31 * 48 * A100_HOUR, 202502: 14 * 48 * A100_HOUR}
    assert (books.total("longer"), books.waiting("longer")) == (0, ["implausible-duration"])


def test_an_unknown_model_waits(books):
    """No word, and one nobody registered: held. Wrong: free, or the price of another card."""
    known = sacct(row("unheard", 81, tres="gres/gpu=2"), row("unheard", 82, tres="gres/gpu:xpu9000=2,gres/gpu=2"))
    assert books.report(*known) == ["held", "held"]
    assert (books.total("unheard"), books.waiting("unheard")) == (0, ["model-unknown"] * 2)


def test_more_cards_than_there_are_wait(books):
    """1,001 of 1,000 cards wait. Wrong: 12,012 yuan. Jobs that exceed it only together are found in `test_findings.py`."""
    one = sacct(row("beyond", 91, tres="gres/gpu:a100=1001,gres/gpu=1001"))
    assert books.report(*one) == ["held"]
    assert (books.total("beyond"), books.waiting("beyond")) == (0, ["over-capacity"])


def test_bars_and_chinese_in_names(books):
    """A name with bars, in Chinese, stays a name: 24 yuan, the line with its name in the middle refused. Wrong: other columns read."""
    assert books.report(*sacct(row("names", 101, name="预训练|阶段二|a=b"))) == ["accepted"]
    header = "JobName|JobIDRaw|Cluster|Account|Start|End|ElapsedRaw|State|AllocTRES"
    line = "预|训|102|sj01|names|2025-03-03T00:00:00|2025-03-03T01:00:00|3600|COMPLETED|gres/gpu:a100=2,gres/gpu=2"
    assert records(f"{header}\n{line}", **UTC) == []
    assert books.total("names") == 2 * A100_HOUR


def test_a_sentinel_is_no_card(books):
    """DCGM's word for nothing among two samples: one minute of one card. Wrong: 9,223,372,036,854,775,794 cards."""
    text = "\n".join(
        f'DCGM_FI_DEV_GPU_UTIL{{gpu="{gpu}",UUID="GPU-{gpu}",modelName="NVIDIA A100-SXM4-80GB",namespace="blank",pod="p"}} {value} 1740999600000'
        for gpu, value in ((0, 97), (1, 9223372036854775794))
    )
    assert books.report(*records(text, source="prometheus", step_s=60)) == ["accepted"]
    assert books.total("blank") == A100_HOUR // 60


def test_an_open_end_is_a_checkpoint(books):
    """10 minutes so far, then the hour it was, then the checkpoint again: 24 yuan. Wrong: 28, the two added; or charged until 2200."""
    running, closed = row("open", 111, end="Unknown", elapsed=600, state="RUNNING"), row("open", 111)
    [item] = items(f"{HEADER}\n{running}", **UTC)
    assert books.report(item.checkpoint) == ["accepted"]
    assert books.total("open") == 2 * A100_HOUR // 6
    assert books.report(*sacct(closed)) == ["accepted"]
    assert books.report(item.checkpoint) == ["accepted"], "too late, and harmless"
    assert books.total("open") == 2 * A100_HOUR


def test_slices_of_cards_are_thousandths(books):
    """Seven sevenths for an hour, 0.994 of a card: 11.928 yuan. Wrong: 84 (each a card), 0 (each none)."""
    [whole] = sacct(row("slices", 121, tres="gres/gpu:a100=1,gres/gpu=1"))
    card = whole.accelerators[0]
    parts = [
        replace(whole, id=f"{whole.id}:{n}", accelerators=(replace(card, count_milli=mig_milli("1g.10gb")),))
        for n in range(7)
    ]
    assert books.report(*parts) == ["accepted"] * 7
    assert books.total("slices") == 7 * 142 * A100_HOUR // 1000


def test_what_a_voucher_paid_at_one_instant_does_not_depend_on_order(books, seed):
    """Five jobs at one instant, 120 yuan of which the voucher has 50: 70 are left in any order, and after a void and its report."""
    known = sacct(*(row("instant", job) for job in range(131, 136)))
    Random(seed).shuffle(known)
    books.run(give(books.here.service, sandbox_uscc(7), "50", accounts=["instant"]))
    for record in known:
        assert books.report(record) == ["accepted"]
    assert books.run(books.here.figures()).self_pay["sj01/instant"] == 10 * A100_HOUR - 50_000_000
    assert books.correct(Correction(known[2].id, 1, None), Correction(known[2].id, 2, known[2])) == ["accepted"] * 2
    assert books.run(books.here.figures()).self_pay["sj01/instant"] == 10 * A100_HOUR - 50_000_000
    assert books.total("instant") == 10 * A100_HOUR


def test_a_correction_of_an_old_month_stands_where_the_usage_was(books):
    """January's job, corrected now: January's page is lowered. Wrong: January untouched and a credit in this month."""
    [record] = sacct(row("late", 141, "2025-01-10T00:00:00", "2025-01-10T01:00:00"))
    assert books.report(record) == ["accepted"]
    assert books.correct(Correction(record.id, 1, replace(record, active_ms=HOUR_MS // 2))) == ["accepted"]
    assert books.units("late") == {202501: A100_HOUR}
