"""Decoding a batch: the fast way and the careful way say the same, and no bytes whatever do any harm."""

from itertools import pairwise

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from metering import batch as batching
from metering.batch import CloudEvent, decode_cloudevents, expand
from metering.errors import MeteringError
from metering.segment import decode
from tests.metering.events import MODELS, NOW_US, body_of, events


def both_ways(batch):
    """The columns of a batch the fast way (None where it declines) and the careful way."""
    decoded = msgspec.json.decode(body_of(batch), type=list[CloudEvent])
    found, careful = batching._ordinary(decoded, NOW_US), batching._columns(batching._numbered(decoded), NOW_US)
    if found is None:
        return None, careful
    fast, everything = expand(found), range(len(batch))
    assert fast.root_over(everything) == careful.root_over(everything)
    assert found.ascends is all(before < after for before, after in pairwise(careful.id))
    fast.root = b""  # worked out beforehand
    return fast, careful


@given(st.lists(events(), min_size=1, max_size=6))
def test_the_fast_way_takes_every_ordinary_batch(batch):
    """Records of one card model each, whole and closed, never need the careful way, which would say the same."""
    fast, careful = both_ways(batch)
    assert fast == careful
    assert careful.faults == []


@given(st.lists(events(border=True), min_size=1, max_size=3))
def test_the_fast_way_says_what_the_careful_way_says(batch):
    """On the border of every rule the fast way either declines or gives the same columns."""
    fast, careful = both_ways(batch)
    assert fast is None or fast == careful
    if fast is None:
        assert careful.faults or careful.last_sequence == 0 or unusual(batch)


def unusual(batch):
    """True where a good record is none of the ordinary kind."""
    data = [event["data"] for event in batch]
    return any("active_ms" in one or len(one["accelerators"]) > 1 or not one["final"] for one in data)


@given(
    st.lists(
        events(border=True) | st.sampled_from([1, None, {}, {"id": "x", "source": "s", "sequence": "3"}]), max_size=5
    )
)
def test_every_record_of_a_batch_has_one_fate(batch):
    """Each record is in the columns or among the faults, under its own place, and its canonical bytes say what it said."""
    try:
        found = decode_cloudevents(body_of(batch), NOW_US)
    except MeteringError as error:
        assert error.code == "source-missing"  # noqa: PT017 -- a refusal is one of two right ends
        return
    assert found.count == len(batch)
    running = [place for place, _ in found.running]
    assert sorted(found.position + running + [fault.position for fault in found.faults]) == list(range(len(batch)))
    assert all(decode(leaf).final is batch[place]["data"]["final"] is False for place, leaf in found.running)
    assert {fault.code for fault in found.faults} <= CODES
    for index, place in enumerate(found.position):
        record, event = decode(found.leaf[index]), batch[place]
        assert (record.id, record.account, record.job) == (event["id"], event["subject"], event["data"]["job"])
        assert record.gpu_ms == gpu_ms(event["data"])
        assert record.voucher == event["data"]["voucher"]
        assert found.start_us[index] == record.start_us


CODES = {
    *("not-an-event", "member-missing", "member-invalid", "source-mixed", "sequence-invalid", "time-invalid"),
    *("active-invalid", "end-before-start", "active-exceeds-interval", "in-the-future", "text-invalid"),
}


def gpu_ms(data):
    active_ms = data["active_s"] * 1000 if data["active_s"] is not None else data["active_ms"]
    return sum(part["count_milli"] for part in data["accelerators"]) * active_ms // 1000


@given(st.lists(events(), min_size=1, max_size=2), st.data())
def test_no_bytes_do_any_harm(batch, data):
    """A body with bytes cut, doubled and overwritten is read, or refused as a whole: nothing else can happen."""
    body = bytearray(body_of(batch))
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(body)))
        body[at : at + data.draw(st.integers(0, 9))] = data.draw(
            st.binary(max_size=5) | st.sampled_from([b"{", b'"\\u'])
        )
    try:
        found = decode_cloudevents(bytes(body), NOW_US)
    except MeteringError as error:
        assert error.code in {"body-unreadable", "source-missing"}  # noqa: PT017
    else:
        assert found.count == len(found.id) + len(found.running) + len(found.faults)


@given(
    events(),
    st.dictionaries(
        st.from_regex(r"[a-z0-9]{1,20}", fullmatch=True), st.integers() | st.booleans() | st.text(max_size=9)
    ),
)
def test_extensions_do_not_depend_on_their_order(event, extensions):
    """Extension attributes are kept in one spelling, whatever the order they came in."""
    extensions = {name: value for name, value in extensions.items() if name not in event}
    leaves = [
        batch.leaf
        for members in (extensions, dict(reversed(extensions.items())))
        for batch in [decode_cloudevents(body_of([event | members]), NOW_US)]
    ]
    assert leaves[0] == leaves[1]


def test_an_instant_means_the_same_in_every_spelling():
    """Offsets and fractions are resolved; what has no offset or is finer than a microsecond is refused."""
    event = msgspec.json.decode(msgspec.json.encode(EVENT))
    spellings = [
        "2026-11-01T12:00:00Z",
        "2026-11-01t12:00:00.000000z",
        "2026-11-01T20:00:00+08:00",
        "2026-11-01T06:30:00-05:30",
    ]
    leaves = set()
    for start in spellings:
        event["data"]["start"] = start
        leaves.update(decode_cloudevents(body_of([event]), NOW_US).leaf)
    assert len(leaves) == 1
    for start in (
        "2026-11-01T12:00:00",
        "2026-11-01T12:00:00.0000001Z",
        "2026-11-01 12:00:00Z",
        "2026-11-01T24:00:00Z",
    ):
        event["data"]["start"] = start
        assert decode_cloudevents(body_of([event]), NOW_US).faults[0].code == "time-invalid"


EVENT = {
    "specversion": "1.0",
    "type": "cn.suanquan.usage.interval.v1",
    "source": "urn:centre:sj01:agent:slurm-1",
    "id": "1",
    "time": "2026-11-01T13:00:00Z",
    "subject": "a",
    "sequence": "1",
    "data": {
        "job": "1",
        "attempt": 0,
        "start": "2026-11-01T12:00:00Z",
        "end": "2026-11-01T13:00:00Z",
        "active_s": 3600,
        "accelerators": [{"model": MODELS[0], "count_milli": 1000}],
        "state": "COMPLETED",
        "final": True,
    },
}
