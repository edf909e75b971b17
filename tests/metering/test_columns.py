"""Usage in columns says what CloudEvents say: the same records, bytes, places and faults."""

from __future__ import annotations

import json
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.batch import decode_cloudevents, expand
from metering.columns import read_columns
from metering.compact import Compact
from metering.errors import MeteringError
from metering.instants import parse_instant
from tests.metering.events import NOW_US, body_of, events
from tests.shared_data import ROOT


def tables(values):
    """Distinct values, and the place of each."""
    distinct = [value for at, value in enumerate(values) if value not in values[:at]]
    return distinct, [distinct.index(value) for value in values]


def in_columns(batch, **changes):
    """The body that says in columns what these events say."""
    data = [event["data"] for event in batch]
    subjects, subject = tables([event["subject"] for event in batch])
    accelerators, accelerator = tables([one["accelerators"] for one in data])
    states, state = tables([one["state"] for one in data])
    vouchers, voucher = tables([one["voucher"] for one in data])
    said = {
        "source": batch[0]["source"],
        "first_sequence": 7,
        "id": [event["id"] for event in batch],
        "job": [one["job"] for one in data],
        "attempt": [one["attempt"] for one in data],
        "start_us": [parse_instant(one["start"]) for one in data],
        "end_us": [parse_instant(one["end"]) for one in data],
        "active_ms": [one["active_ms"] for one in data],
        "subjects": subjects,
        "subject": subject,
        "accelerators": accelerators,
        "accelerator": accelerator,
        "states": states,
        "state": state,
        "vouchers": vouchers,
        "voucher": voucher,
        "running": [at for at, one in enumerate(data) if not one["final"]],
    }
    return msgspec.json.encode(said | changes)


def as_columns_can_say(event, at):
    """The event with what columns always have: one source, consecutive numbers, milliseconds, the end as its time."""
    data = dict(event["data"])
    seconds = data.pop("active_s", None)
    exact = data.pop("active_ms", None)
    data["active_ms"] = 0 if (exact is None and seconds is None) else exact if seconds is None else seconds * 1000
    data["end"] = "2026-11-01T12:00:00Z" if data["end"].startswith("2026-11-31") else data["end"]
    return event | {"source": "urn:centre:sj01:agent:slurm-1", "sequence": f"{7 + at:018d}", "data": data}


def told(found):
    """A batch as it is compared: without what was worked out beforehand, and without the words of the record received."""
    batch = expand(found) if isinstance(found, Compact) else found
    faults = [(fault.position, fault.id, fault.code) for fault in batch.faults]
    return (
        batch.source, batch.count, batch.last_sequence, batch.position, batch.leaf, batch.digest, batch.accelerators,
        batch.voucher, batch.start_us, batch.end_us, batch.active_ms, batch.running, faults,
    )  # fmt: skip


@given(st.lists(events(border=True), min_size=1, max_size=6))
def test_columns_say_what_cloudevents_say(drawn):
    """Ordinary or on the border of a rule: each record has the same fate and the same bytes in either form."""
    batch = [as_columns_can_say(event, at) for at, event in enumerate(drawn)]
    assert told(read_columns(in_columns(batch), NOW_US)) == told(decode_cloudevents(body_of(batch), NOW_US))


@given(st.lists(events(), min_size=1, max_size=6))
def test_ordinary_columns_need_no_look_at_single_records(drawn):
    """Good closed records of one card model each are taken as columns throughout, in the order in which texts first appear."""
    batch = [as_columns_can_say(event, at) for at, event in enumerate(drawn)]
    found = read_columns(in_columns(batch), NOW_US)
    assert isinstance(found, Compact)
    kinds = {getattr(found, name).dtype.kind for name in ("account", "card", "start_us", "end_us", "active_ms")}
    assert kinds == {"i"}, "integers, never floats"
    assert list(found.accounts) == list(dict.fromkeys(event["subject"] for event in batch))


def plain(count=3):
    """Columns of a few good records."""
    data = {"job": "1", "attempt": 0, "start": "2026-11-01T12:00:00Z", "end": "2026-11-01T13:00:00Z"}
    data |= {"active_ms": 1, "accelerators": [{"model": "A100", "count_milli": 1}], "state": "DONE"}
    data |= {"final": True, "voucher": None}
    return [
        {"source": "urn:centre:sj01:agent:a", "id": f"r{at}", "subject": "lab", "data": data} for at in range(count)
    ]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"job": ["1", "2"]}, "`job` has 2 entries"),
        ({"subject": [0, 1, 0]}, "`subject[1]` is 1"),
        ({"subject": [0, -1, 0]}, "`subject[1]` is -1"),
        ({"subjects": ["lab", "lab"]}, "`subjects` has an entry twice"),
        ({"running": [3]}, "place 3"),
        ({"extensions": {"0": {"id": "x"}}}, "`id` is no extension"),
        ({"first_sequence": 0}, "first_sequence"),
        ({"start_us": ["x", 1, 1]}, "$.start_us"),
        ({"colour": []}, "colour"),
    ],
)
def test_what_is_no_batch_is_refused_whole(changes, named):
    """Columns that do not fit together name no record: the error says which column, where."""
    with pytest.raises(MeteringError) as refused:
        read_columns(in_columns(plain(), **changes), NOW_US)
    assert refused.value.code == "columns-malformed"
    assert named in refused.value.en


def test_one_bad_record_costs_no_other():
    """Numbers beyond 64 bits, instants beyond the calendar and extensions are told of the record alone."""
    body = in_columns(
        plain(4), attempt=[0, 2**70, 0, 0], start_us=[1_790_000_000_000_000] * 3 + [2**70], extensions={"2": {"UP": 1}}
    )  # fmt: skip
    found = read_columns(body, NOW_US)
    assert [fault.code for fault in found.faults] == ["member-invalid", "extension-invalid", "time-invalid"]
    assert found.position == [0]


def test_the_documented_example_is_a_batch():
    """The columns in docs/api.md are those of the CloudEvents record above them."""
    text = (ROOT / "docs" / "api.md").read_text("utf-8")
    record, columns = (
        json.loads(re.search(rf"```json {name}\n(.*?)```", text, re.DOTALL)[1]) for name in ("record", "columns")
    )
    found = [read_columns(msgspec.json.encode(columns), NOW_US), decode_cloudevents(body_of([record]), NOW_US)]
    assert told(found[0]) == told(found[1])
