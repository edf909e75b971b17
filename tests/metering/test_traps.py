"""Every trap that peers of ours have fallen into, with the wrong answer that they give.

What the service makes of them is in `tests/suanquan/test_traps.py`: a crash between inbox and ledger in `tests/suanquan/test_kill.py`,
replays over HTTP in `tests/suanquan/test_ingest.py`.
"""

from __future__ import annotations

import json
import random

import pytest

from ledger.amount import INT64_MAX
from metering.agent.events import encode_event, number_event
from metering.capacity import sweep
from metering.corrections import Correction
from metering.history import History, Status
from metering.model import Accelerator, UsageRecord
from metering.months import month_shares
from metering.quarantine import DURATION_US_MAX
from metering.rating import Tariff, rate_one
from metering.sources.slices import mig_milli
from metering.summary import Summary
from tests.metering.sources.reading import items, records, skipped, totals

HEADER = "JobIDRaw|Cluster|Account|Start|End|ElapsedRaw|State|AllocTRES|JobName"


def sacct(*rows: str, header: str = HEADER) -> str:
    return "\n".join([header, *rows])


def row(job="1", start="2026-11-01T00:00:00", end="2026-11-01T01:00:00", elapsed="3600", **changes):
    known = {"state": "COMPLETED", "tres": "cpu=8,gres/gpu:a100=2,gres/gpu=2", "name": "train"} | changes
    return f"{job}|sj01|lab|{start}|{end}|{elapsed}|{known['state']}|{known['tres']}|{known['name']}"


UTC = {"source": "sacct", "timezone": "UTC"}
HOUR_MS = 3_600_000


def sent(known: list[UsageRecord]) -> list[bytes]:
    return [number_event(encode_event(record, "urn:a"), place) for place, record in enumerate(known, 1)]


def test_a_batch_replayed_three_times_in_any_order(seed):
    """Random ids per send would bill four times (Vexa 350); keys made of content would bill 65 jobs too few (Philly)."""
    known = records(sacct(*(row(str(job)) for job in range(1, 50))), **UTC)
    events = sent(known) * 3
    random.Random(seed).shuffle(events)
    total = totals(b"[" + b",".join(events) + b"]", source="cloudevents")
    assert total["gpu_ms"] == 49 * 2 * HOUR_MS
    assert total["gpu_ms"] not in {3 * 49 * 2 * HOUR_MS, 2 * HOUR_MS}, "three times; equal content as one"


def test_dropped_and_sent_again():
    """A part that was lost and comes later, with the whole: each record once. Deltas would count the part twice."""
    known = records(sacct(*(row(str(job)) for job in range(1, 10))), **UTC)
    history = History()
    statuses = [history.apply(record).status for record in [*known[5:], *known, *known[:3]]]
    assert statuses.count(Status.ACCEPTED) == len(known)
    assert sum(record.gpu_ms for record in history.effective()) == 9 * 2 * HOUR_MS
    assert sum(record.gpu_ms for record in history.effective()) != 16 * 2 * HOUR_MS, "the resent part twice"


def test_mixed_typed_cards():
    """2 + 1 typed and 3 untyped are three cards. Summed they are 6 (1,010 instead of 505 on the live trace), the first alone 2."""
    (record,) = records(sacct(row(tres="gres/gpu:a100=2,gres/gpu:h100=1,gres/gpu=3")), **UTC)
    cards = {card.model: card.count_milli for card in record.accelerators}
    assert cards == {"a100": 2000, "h100": 1000}
    assert record.gpu_ms // HOUR_MS == 3
    assert record.gpu_ms // HOUR_MS not in {6, 2}


def test_a_requeued_job_is_billed_for_both_runs():
    """Same raw id, two starts: 4 s and 10 s. Without -D, or keyed by the id alone, the first run vanishes."""
    rows = [
        row("8", end="2026-11-01T00:00:04", elapsed="4", state="REQUEUED"),
        row("8", start="2026-11-01T00:00:10", end="2026-11-01T00:00:20", elapsed="10"),
    ]
    found = records(sacct(*rows), **UTC)
    assert len({record.id for record in found}) == 2
    assert sum(record.gpu_ms for record in found) == 2 * 14_000
    assert sum(record.gpu_ms for record in found) != 2 * 10_000, "the second run alone"


def test_suspension_is_not_charged():
    """81 of 85 seconds: End minus Start would charge 4 seconds on every card."""
    (record,) = records(sacct(row(end="2026-11-01T00:01:25", elapsed="81")), **UTC)
    assert record.gpu_ms == 2 * 81_000
    assert record.gpu_ms != 2 * 85_000, "End minus Start"


def test_cancelled_by_and_other_ends_are_billed():
    """APEL's parser drops `CANCELLED by 1000`, OUT_OF_MEMORY, DEADLINE and REQUEUED: nothing of these is free."""
    states = ["CANCELLED by 1000", "OUT_OF_MEMORY", "DEADLINE", "REQUEUED", "NODE_FAIL", "PREEMPTED", "TIMEOUT"]
    found = records(sacct(*(row(str(job), state=state) for job, state in enumerate(states, 1))), **UTC)
    assert [record.state for record in found] == ["CANCELLED", *states[1:]]


def test_a_job_of_45_days():
    """`45-00:00:00` is 3,888,000 s. Parsers that know 31 days raise on it; it is read, and not beyond what is rated unseen."""
    header = HEADER.replace("ElapsedRaw", "Elapsed")
    (record,) = records(sacct(row(end="2026-12-16T00:00:00", elapsed="45-00:00:00"), header=header), **UTC)
    assert record.active_ms == 45 * 86_400_000
    assert record.end_us - record.start_us < DURATION_US_MAX


def test_naive_time_has_no_default_zone():
    """Read as UTC instead of +08:00, eight hours move into another month; without a zone the file is refused."""
    text = sacct(row(start="2026-12-01T00:00:00", end="2026-12-01T08:00:00", elapsed="28800"))
    assert totals(text, source="sacct", timezone="Asia/Shanghai")["by_month"] == {"2026-12": 16 * HOUR_MS}
    summary = Summary("UTC")
    for record in records(text, source="sacct", timezone="Asia/Shanghai"):
        summary.add(record)
    assert summary.as_json()["by_month"] == {"2026-11": 16 * HOUR_MS}, "what UTC would make of it"
    with pytest.raises(Exception, match="--timezone"):
        items(text, source="sacct")
    with pytest.raises(Exception, match="Mars"):
        items(text, source="sacct", timezone="Mars/Olympus")


def test_a_month_is_split_by_seconds():
    """Two hours across midnight of the first belong half to each month; by start month all would be November's."""
    text = sacct(row(start="2026-11-30T23:00:00", end="2026-12-01T01:00:00", elapsed="7200"))
    assert totals(text, **UTC)["by_month"] == {"2026-11": 2 * HOUR_MS, "2026-12": 2 * HOUR_MS}


def test_bars_and_chinese_in_job_names():
    """`a|b` in JobName shifts columns: as the last column it is absorbed, elsewhere the line is reported, never misread."""
    assert len(records(sacct(row(name="预训练|阶段二|a=b")), **UTC)) == 1
    header = "JobName|JobIDRaw|Cluster|Account|Start|End|ElapsedRaw|State|AllocTRES"
    line = "预训练|二|9|sj01|lab|2026-11-01T00:00:00|2026-11-01T01:00:00|3600|COMPLETED|gres/gpu:a100=2,gres/gpu=2"
    assert skipped(sacct(line, header=header), **UTC) == [(2, "field-count")]
    moved = sacct(line, header=header).replace("|", "\x1f").replace("预训练\x1f二", "预训练|二")
    assert len(records(moved, **UTC)) == 1


def test_an_open_ended_instance_is_no_closed_usage():
    """A running row is a checkpoint of its elapsed time; End=Unknown read as the year 2200 would be 173 years of cards."""
    (item,) = items(sacct(row(end="Unknown", elapsed="600", state="RUNNING")), **UTC)
    assert (item.reason, item.checkpoint.active_ms, item.checkpoint.final) == ("running", 600_000, False)
    closed, *_ = records(sacct(row()), **UTC)
    assert item.checkpoint.id == closed.id, "the closed attempt settles it"
    history = History()
    assert history.apply(item.checkpoint).after.gpu_ms == 2 * 600_000
    assert history.apply(closed).after.gpu_ms == 2 * HOUR_MS
    assert sum(record.gpu_ms for record in history.effective()) != 2 * (HOUR_MS + 600_000), (
        "checkpoint and final summed"
    )


def test_fractions_of_cards_are_thousandths():
    """A seventh of a card is 142 thousandths: rounded to a card it would be charged sevenfold, as a float it would drift."""
    assert [mig_milli(f"{slices}g.10gb") for slices in (1, 2, 3, 4, 7)] == [142, 285, 428, 571, 1000]
    assert 7 * mig_milli("1g.10gb") <= 1000
    slice_ = records(
        "t,d,n,a\n1795305600,3600,0.142,lab",
        source="csv",
        mapping={"start": "t", "duration": "d", "gpus": "n", "account": "a"},
    )
    assert slice_[0].gpu_ms == 142 * 3_600


def test_the_sentinel_is_no_number_of_cards():
    """9223372036854775794 is DCGM's word for nothing."""
    text = 'x{UUID="a",namespace="b"} 9223372036854775794 1795305600000'
    assert totals(text, source="prometheus", step_s=60)["gpu_ms"] == 0
    assert skipped(text, source="prometheus", step_s=60) == [(1, "missing-value")]


def test_an_unknown_model_is_held_never_free():
    """No tariff: the record costs nothing yet and says so. Rated as zero it would be free, as infinity (verl) endless."""
    (record,) = records(sacct(row(tres="gres/gpu=2")), **UTC)
    assert record.accelerators == (Accelerator("unknown", 2000),)
    assert rate_one(record, lambda _word, _at: None) == 0
    priced = rate_one(record, lambda word, _at: Tariff(word, 1, 12_000_000, 0, INT64_MAX))
    assert priced == 2 * 12_000_000


def test_a_segment_beyond_capacity_is_found():
    """Ten cards reported of a pool of eight: the sum would be billed by whoever only adds up."""
    known = records(sacct(row("1", tres="gres/gpu:a100=8"), row("2", tres="gres/gpu:a100=2")), **UTC)
    assert [breach.record_id for breach in sweep(known, lambda _model, _at: 8000)] == [known[1].id]


def test_a_correction_of_an_old_month_is_rated_by_its_own_time():
    """The price of the day of use, after the price has risen: rated by the day of correction it would cost twice."""
    (record,) = records(sacct(row()), **UTC)

    def tariffs(word: str, at_us: int) -> Tariff:
        return Tariff(word, 1, 12_000_000 * (1 + (at_us > record.end_us)), 0, INT64_MAX)

    history = History()
    history.apply(record)
    change = history.apply(Correction(record.id, 1, record))
    assert rate_one(change.before, tariffs) - rate_one(change.after, tariffs) == 0
    assert rate_one(change.after, tariffs) == 24_000_000
    assert rate_one(change.after, tariffs) != 48_000_000
    assert month_shares(record.start_us, record.end_us)[0][0] == 202611


def test_equal_starts_are_told_apart_by_id():
    """Three records at one instant: one result in any order (a meter that looked at time alone tripled a bill)."""
    rows = [row(str(job)) for job in (3, 1, 2)]
    found = [sorted(record.id for record in records(sacct(*order), **UTC)) for order in (rows, rows[::-1])]
    assert found[0] == found[1]
    assert totals(sacct(*rows), **UTC)["gpu_ms"] == 3 * 2 * HOUR_MS


def test_a_report_names_file_line_and_reason():
    """A malformed line, one in GBK, one cut short: each is named, and the good lines around them are read."""
    good = [row(str(job)).encode() for job in (1, 2, 3)]
    data = b"\n".join([HEADER.encode(), good[0], b"nonsense", good[1], "量子|".encode("gbk"), good[2], good[2][:40]])
    found = [item for item in items(data, "2026/sacct.txt", **UTC) if not isinstance(item, UsageRecord)]
    assert [(item.file, item.line, item.reason) for item in found] == [
        ("sacct.txt", 3, "field-count"),
        ("sacct.txt", 5, "bad-encoding"),
        ("sacct.txt", 7, "field-count"),
    ]
    assert totals(data, **UTC)["records"] == 3
    assert json.dumps(totals(data, **UTC))
