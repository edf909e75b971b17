"""What counts of usage depends on what was said, not on when, how often or in which order it was said."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.amount import INT64_MAX
from ledger.split import split
from metering.checkpoints import highest
from metering.corrections import DAY_US, HOUR_US, Correction, Window, Windows, correction_fault
from metering.history import History, Status
from metering.model import Accelerator, UsageRecord
from metering.months import month_shares
from metering.rating import Tariff, rate_one
from tests.metering.events import NOW_US

MODELS = {"A100": 12_000_000, "H100": 31_415_926}
MONTH_EDGE_US = 1_795_968_000_000_000 - 8 * HOUR_US  # 2026-11-30T00:00+08:00, a day before the month ends


def tariffs(word, at_us):
    """A price that rises in the middle of the span that records are drawn from."""
    price = MODELS.get(word)
    return price and Tariff(word, 312_000, price + (at_us > MONTH_EDGE_US), 0, INT64_MAX)


@st.composite
def closed(draw, record_id):
    start = MONTH_EDGE_US + draw(st.integers(-5 * 86_400, 5 * 86_400)) * 1_000_000
    length = draw(st.integers(1, 3 * 86_400))
    models = draw(st.lists(st.sampled_from(sorted(MODELS)), min_size=1, max_size=2, unique=True))
    cards = tuple(Accelerator(model, draw(st.integers(1, 8000))) for model in models)
    account = draw(st.sampled_from(["a", "b"]))
    end, active = start + length * 1_000_000, draw(st.integers(0, length)) * 1000
    return UsageRecord(record_id, account, "j", 1, start, end, active, cards, "COMPLETED")


@st.composite
def lives(draw, record_id):
    """Everything said of one id: checkpoints that grow, perhaps a report, perhaps corrections; each perhaps repeated."""
    report = draw(closed(record_id))
    facts = []
    for part in draw(st.lists(st.integers(1, 100), max_size=4)):
        end = report.start_us + (report.end_us - report.start_us) * part // 100
        active = min(report.active_ms * part // 100, (end - report.start_us) // 1000)
        facts.append(dataclasses.replace(report, end_us=end, active_ms=active, state="RUNNING", final=False))
    if draw(st.booleans()):
        facts.append(report)
    revisions = range(1, draw(st.integers(0, 3)) + 1)
    facts += [Correction(record_id, revision, draw(st.none() | closed(record_id)), "wrong") for revision in revisions]
    return [fact for fact in facts for _ in range(draw(st.integers(1, 3)))]


@st.composite
def histories(draw):
    ids = draw(st.lists(st.sampled_from("pqrst"), min_size=1, max_size=4, unique=True))
    return [fact for record_id in ids for fact in draw(lives(record_id))]


def owed(record):
    """What a record costs, by account, model and month, to the last unit."""
    found = Counter()
    if record is None:
        return found
    shares = month_shares(record.start_us, record.end_us)
    weights = [length * card.count_milli for _, length in shares for card in record.accelerators]
    keys = [(record.account, card.model, month) for month, _ in shares for card in record.accelerators]
    for name, total in (("yuan", rate_one(record, tariffs)), ("gpu_ms", record.gpu_ms)):
        for key, part in zip(keys, split(total, weights), strict=True):
            found[name, *key] += part
    return found


def post(books, change):
    """Reverse exactly what counted before, then post what counts now."""
    books.subtract(owed(change.before))
    books.update(owed(change.after))


def played(facts):
    """Balances after each fact was posted as it came, and the records that count at the end."""
    history, books = History(), Counter()
    for fact in facts:
        post(books, history.apply(fact))
    return {key: amount for key, amount in books.items() if amount}, list(history.effective())


def sorted_once(facts):
    """The same facts as an archivist would file them: each once, by id, reports first, then corrections in order."""
    distinct = {repr(fact): fact for fact in facts}
    return [distinct[name] for name in sorted(distinct)]


@given(histories(), st.randoms(use_true_random=False))
def test_any_interleaving_is_the_sorted_history(facts, random):
    """Late, doubled, reordered: the same balances and the same statements, fact by fact posted or filed at once."""
    expected = played(sorted_once(facts))
    shuffled = random.sample(facts, len(facts))
    assert played(shuffled) == expected
    assert played(shuffled * 2) == expected
    statements = Counter()
    for record in expected[1]:
        statements.update(owed(record))
    assert expected[0] == {key: amount for key, amount in statements.items() if amount}


@given(histories(), st.sampled_from("pqrst"), st.data())
def test_void_then_the_same_again_is_identity(facts, record_id, data):
    """A record that is voided and reported again with the same content leaves no trace in any balance."""
    record = data.draw(closed(record_id))
    history, books = History(), Counter()
    for fact in [*facts, record]:
        post(books, history.apply(fact))
    before = {key: amount for key, amount in books.items() if amount}
    standing = next((one for one in history.effective() if one.id == record_id), None)
    revision = history.revision(record_id)
    post(books, history.apply(Correction(record_id, revision + 1, None)))
    assert record_id not in {one.id for one in history.effective()}
    if standing is None:
        return
    post(books, history.apply(Correction(record_id, revision + 2, dataclasses.replace(standing, final=True))))
    assert {key: amount for key, amount in books.items() if amount} == before


def record(number=1, **changes):
    start = NOW_US - 10 * HOUR_US
    fields = {
        "id": f"r{number}",
        "account": "a",
        "job": "j",
        "attempt": 1,
        "start_us": start,
        "end_us": start + HOUR_US,
        "active_ms": 3_600_000,
        "accelerators": (Accelerator("A100", 1000),),
        "state": "COMPLETED",
    }
    return UsageRecord(**fields | changes)


def checkpoint(minutes):
    start = NOW_US - 10 * HOUR_US
    return record(end_us=start + minutes * 60_000_000, active_ms=minutes * 60_000, state="RUNNING", final=False)


def test_checkpoints_are_cumulative_never_deltas():
    """10, 30, 20 and again 30 minutes are 30 minutes; summed as deltas they would be 90."""
    history = History()
    statuses = [history.apply(checkpoint(minutes)).status for minutes in (10, 30, 20, 30)]
    assert statuses == [Status.ACCEPTED, Status.ACCEPTED, Status.SUPERSEDED, Status.DUPLICATE]
    assert [one.gpu_ms for one in history.effective()] == [30 * 60_000]
    change = history.apply(record(active_ms=25 * 60_000))
    assert change.after.gpu_ms - change.before.gpu_ms == -5 * 60_000, (
        "the final record gives back what was said too much"
    )
    assert history.apply(checkpoint(50)).after.final, "a checkpoint after the end changes nothing"


def test_the_highest_checkpoint_stands():
    """A later one that says less changes nothing of what was seen."""
    assert highest(None, checkpoint(10)) == checkpoint(10)
    assert highest(checkpoint(30), checkpoint(10)) == highest(checkpoint(10), checkpoint(30)) == checkpoint(30)


def test_the_same_id_with_other_content_is_a_conflict_and_the_first_stands():
    """It is told, changes nothing, and a revision settles it."""
    history = History()
    history.apply(record())
    change = history.apply(record(active_ms=1))
    assert (change.status, change.before, change.after) == (Status.CONFLICT, record(), record())
    assert history.apply(record()).status is Status.DUPLICATE
    assert history.apply(Correction("r1", 1, record(active_ms=1))).after.active_ms == 1
    assert history.apply(Correction("r1", 1, None)).status is Status.CONFLICT
    assert history.apply(record()).status is Status.DUPLICATE, "a resend does not undo a correction"
    assert [one.active_ms for one in history.effective()] == [1]


def test_a_correction_may_come_before_its_record():
    """The late original is known and does not count."""
    history = History()
    assert history.apply(Correction("r1", 2, None)).after is None
    assert history.apply(record()).after is None
    assert history.apply(Correction("r1", 1, record(active_ms=5))).status is Status.SUPERSEDED
    assert list(history.effective()) == []


@pytest.mark.parametrize(
    ("age", "fields", "code"),
    [
        (0, {}, None),
        (72 * HOUR_US, {}, None),
        (72 * HOUR_US + 1, {}, "reason-missing"),
        (72 * HOUR_US + 1, {"reason": "  "}, "reason-missing"),
        (45 * DAY_US, {"reason": "wrong partition"}, None),
        (45 * DAY_US + 1, {"reason": "wrong partition", "requested_by": "li"}, "approval-missing"),
        (45 * DAY_US + 1, {"reason": "wrong", "requested_by": "li", "approved_by": "li"}, "approval-missing"),
        (45 * DAY_US + 1, {"reason": "wrong", "requested_by": "li", "approved_by": "wang"}, None),
        (0, {"revision": 0}, "revision-invalid"),
        (0, {"revision": 101}, "revision-invalid"),
        (0, {"record": record(2)}, "foreign-record"),
        (0, {"record": record(final=False)}, "not-final"),
        (0, {"reason": "a\x00"}, "reason-invalid"),
    ],
)
def test_who_may_correct_depends_on_the_age_of_the_usage(age, fields, code):
    """72 hours by the centre itself, 45 days with a reason, later with the approval of a second person."""
    correction = Correction(**{"record_id": "r1", "revision": 1, "record": None} | fields)
    assert correction_fault(correction, NOW_US - age, NOW_US) == code
    assert Windows().of(NOW_US - age, NOW_US) in set(Window)
