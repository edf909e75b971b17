"""The spool loses nothing, numbers everything once, and sends a batch under one key with one body for ever."""

import contextlib
import json
import sqlite3
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from metering.agent.spool import RecordResult, Spool
from metering.agent.view import SpoolView
from metering.errors import MeteringError
from tests.metering.agent.usage_service import SOURCE, usage
from tests.shared_data import ROOT


@pytest.fixture
def path(tmp_path):
    return tmp_path / "spool.db"


@pytest.fixture
def spool(path):
    with Spool(path, SOURCE, batch_records_max=10) as spool:
        yield spool


def results(batch, status="accepted"):
    return [RecordResult(event["id"], status) for event in json.loads(batch.body)]


def numbers(batch):
    return [int(event["sequence"]) for event in json.loads(batch.body)]


def code_of(call, *arguments, **keywords):
    with pytest.raises(MeteringError) as caught:
        call(*arguments, **keywords)
    return caught.value.code


def test_records_are_numbered_without_gaps_in_the_order_given(spool):
    """The first record is 1, and a record that was spooled before takes no number."""
    assert spool.append([usage(1), usage(2)]) == 2
    assert spool.append([usage(2), usage(1), usage(3), usage(3)]) == 1
    batch = spool.next_batch()
    assert numbers(batch) == [1, 2, 3]
    assert [result.id for result in results(batch)] == [usage(n).id for n in (1, 2, 3)]


def test_the_same_id_with_other_content_is_sent_as_well(spool):
    """Whether a changed record is a conflict is the service's to say, so the spool does not swallow it."""
    assert spool.append([usage(1), usage(1, active_ms=80_000)]) == 2


def test_a_batch_stays_what_it_is_until_it_is_settled(spool, path):
    """Key and bytes of a batch survive reopening, and records that come later do not slip into it."""
    spool.append(usage(n) for n in range(3))
    batch = spool.next_batch()
    spool.append(usage(n) for n in range(3, 6))
    assert spool.next_batch() == batch
    spool.close()
    with Spool(path, SOURCE, batch_records_max=1) as again:
        assert again.next_batch() == batch


def test_batches_respect_both_limits(path):
    """No batch holds more records or more bytes than allowed, but a record too large alone is still sent, alone."""
    with Spool(path, SOURCE, batch_records_max=4, batch_bytes_max=2_000) as spool:
        spool.append([*(usage(n) for n in range(9)), usage(9, job="j" * 3_000), usage(10)])
        spool.append([usage(11)])
        sizes = []
        while batch := spool.next_batch():
            sizes.append((batch.last - batch.first + 1, len(batch.body) <= 2_000))
            assert numbers(batch) == list(range(batch.first, batch.last + 1))
            spool.settle(batch, results(batch), "receipt")
    assert sum(count for count, _ in sizes) == 12
    assert [size for size in sizes if not size[1]] == [(1, False)]
    assert max(count for count, _ in sizes) <= 4


def test_small_appends_are_sent_together(spool):
    """Records spooled one by one travel in one batch."""
    for number in range(25):
        spool.append([usage(number)])
    assert len(numbers(spool.next_batch())) == 10


def test_receipts_and_what_was_not_accepted_are_kept(spool, path):
    """After settling, the receipt and every held, rejected or conflicting record with its event can be read; the rest is gone."""
    spool.append(usage(n) for n in range(4))
    batch = spool.next_batch()
    statuses = ["accepted", "held", "duplicate", "rejected"]
    answers = [RecordResult(usage(n).id, status, "why" if n else None) for n, status in enumerate(statuses)]
    spool.settle(batch, answers, "receipt-1")
    assert spool.next_batch() is None
    with SpoolView(path) as view:
        assert [(o.sequence, o.id, o.status, o.code) for o in view.outcomes()] == [
            (2, usage(1).id, "held", "why"),
            (4, usage(3).id, "rejected", "why"),
        ]
        assert json.loads(next(view.outcomes()).event)["id"] == usage(1).id
        assert list(view.receipts()) == [(1, 4, "receipt-1")]
        status = view.status()
    assert (status.unsent, status.unsent_bytes, status.sent) == (0, 0, 4)
    assert status.outcomes == {"held": 1, "rejected": 1}
    assert status.last_receipt == "receipt-1"
    assert status.oldest_unsent_us is None


def test_a_parked_batch_waits_and_goes_out_unchanged(spool):
    """A refused batch lets the next pass, keeps the service's words, and leaves with its old key when it is released."""
    spool.append(usage(n) for n in range(15))
    refused = spool.next_batch()
    spool.park(refused, '{"code":"x"}')
    assert spool.next_batch().first == refused.last + 1
    [parked] = spool.parked()
    assert (parked.first, parked.last, parked.key, parked.problem) == (1, 10, refused.key, '{"code":"x"}')
    assert spool.status().parked_batches == 1
    assert spool.status().unsent == 15
    assert spool.release() == 1
    assert spool.next_batch() == refused


def test_a_halved_batch_is_two_with_the_same_events(spool):
    """Halving gives two batches with new keys whose events are byte for byte those of the whole."""
    spool.append([usage(n) for n in range(3)])
    spool.append([usage(n) for n in range(3, 7)])
    whole = spool.next_batch()
    spool.halve(whole)
    halves = []
    while batch := spool.next_batch():
        halves.append(batch)
        spool.settle(batch, results(batch), "receipt")
    assert b"[" + b",".join(batch.body[1:-1] for batch in halves) + b"]" == whole.body
    assert [(batch.first, batch.last) for batch in halves] == [(1, 3), (4, 7)]
    assert len({whole.key, *(batch.key for batch in halves)}) == 3


def test_a_full_spool_refuses_new_records_and_keeps_the_old(path):
    """Over its limit the spool refuses the whole call, forgets nothing, and takes the same records once there is room."""
    with Spool(path, SOURCE, bytes_max=4_000) as spool:
        spool.append(usage(n) for n in range(10))
        before = spool.status()
        many = [usage(n, job=str(n * 7919**5)) for n in range(10, 1_000)]
        assert code_of(spool.append, many) == "spool-full"
        assert spool.status() == before
        batch = spool.next_batch()
        spool.settle(batch, results(batch), "receipt")
        assert spool.append(many[:20]) == 20


def test_a_full_disk_refuses_new_records_and_keeps_the_old(spool):
    """When the file cannot grow the call fails as a whole; what was spooled before is sent as ever."""
    spool.append(usage(n) for n in range(5))
    pages = spool._db.execute("PRAGMA page_count").fetchone()[0]
    spool._db.execute(f"PRAGMA max_page_count = {pages}")
    assert code_of(spool.append, [usage(n, job=str(n * 7919**9)) for n in range(2_000)]) == "spool-unusable"
    spool._db.execute("PRAGMA max_page_count = 100000")
    assert numbers(spool.next_batch()) == [1, 2, 3, 4, 5]
    assert spool.append([usage(1_999)]) == 1


def test_a_failing_source_leaves_the_spool_as_it_was(spool):
    """Records that come before an error of their own source are not half taken."""

    def source():
        yield usage(1)
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        spool.append(source())
    assert spool.status().unsent == 0


def test_only_one_process_may_write(spool, path):
    """A second agent on the same spool is told so, in this process and in another; looking is always allowed."""
    assert code_of(Spool, path, SOURCE) == "spool-in-use"
    script = f"from pathlib import Path; from metering.agent.spool import Spool; Spool(Path({str(path)!r}), {SOURCE!r})"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "another agent is using spool" in done.stderr
    with SpoolView(path) as view:
        assert view.status().source == SOURCE


def test_the_files_are_the_owners_alone(spool, path):
    """Usage of tenants is nobody else's: database, journal and lock have mode 0600."""
    spool.append([usage(1)])
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert set(modes) == {"spool.db", "spool.db-wal", "spool.db-shm", "spool.db.lock"}
    assert set(modes.values()) == {0o600}


def test_a_spool_belongs_to_one_source(path, tmp_path):
    """Numbers count per source, so a spool cannot be lent to another; what is no spool is refused."""
    Spool(path, SOURCE).close()
    assert code_of(Spool, path, SOURCE + "x") == "spool-of-another-source"
    Spool(path, SOURCE).close()
    other = tmp_path / "notes.txt"
    other.write_text("not a database, but long enough to be read as one " * 100)
    assert code_of(Spool, other, SOURCE) == "spool-unusable"
    assert code_of(Spool, tmp_path / "nowhere" / "spool.db", SOURCE) == "spool-unusable"
    assert code_of(SpoolView, tmp_path / "absent.db") == "spool-absent"


def test_delivered_records_give_their_room_back(path):
    """A spool that is emptied again and again does not grow with what has passed through it."""
    with Spool(path, SOURCE) as spool:
        sizes = []
        for turn in range(6):
            spool.append(usage(turn * 1_000 + n, job=str(n * 7919**9)) for n in range(1_000))
            batch = spool.next_batch()
            spool.settle(batch, results(batch), "receipt")
            with contextlib.closing(sqlite3.connect(path)) as db:
                sizes.append(db.execute("PRAGMA page_count").fetchone()[0])
    remembered = 6_000 * 21 // 4096  # the digests alone
    assert sizes[-1] <= sizes[0] + 2 * remembered


class SpoolMachine(RuleBasedStateMachine):
    """Any order of appending, sending, refusing, halving, releasing and reopening keeps every record exactly once."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "spool.db"
        self.spool = self.open()
        self.given = {}
        self.delivered = {}
        self.bodies = {}

    def open(self):
        return Spool(self.path, SOURCE, batch_records_max=5, batch_bytes_max=2_500)

    @rule(wanted=st.lists(st.integers(0, 60), max_size=8))
    def append(self, wanted):
        fresh = list(dict.fromkeys(number for number in wanted if number not in self.given))
        assert self.spool.append(usage(number) for number in wanted) == len(fresh)
        for number in fresh:
            self.given[number] = len(self.given) + 1

    @rule(answer=st.sampled_from(["settle", "park", "halve", "nothing"]))
    def send(self, answer):
        batch = self.spool.next_batch()
        if batch is None:
            return
        assert self.bodies.setdefault(batch.key, batch.body) == batch.body
        if answer == "settle":
            for event in json.loads(batch.body):
                assert event["id"] not in self.delivered
                self.delivered[event["id"]] = int(event["sequence"])
            self.spool.settle(batch, results(batch), "receipt")
        elif answer == "park":
            self.spool.park(batch, "{}")
        elif answer == "halve" and batch.first < batch.last:
            self.spool.halve(batch)

    @rule()
    def release(self):
        self.spool.release()

    @rule()
    def reopen(self):
        self.spool.close()
        self.spool = self.open()

    @invariant()
    def nothing_is_lost(self):
        assert self.spool.status().unsent == len(self.given) - len(self.delivered)

    def teardown(self):
        self.spool.release()
        while self.spool.next_batch():
            self.send("settle")
        assert self.delivered == {usage(number).id: sequence for number, sequence in self.given.items()}
        self.spool.close()
        self.folder.cleanup()


TestSpoolMachine = SpoolMachine.TestCase
TestSpoolMachine.settings = settings(max_examples=25, stateful_step_count=20)
