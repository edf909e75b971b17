"""Events in a file: the same rules as on the wire, good ones go through, an event is one fact for ever."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.agent.events import encode_event, number_event
from metering.batch import decode_cloudevents
from metering.errors import MeteringError
from metering.model import UsageRecord
from metering.segment import decode
from metering.zones import INSTANT_US_MAX
from tests.metering.agent.usage_service import SOURCE, usage
from tests.metering.events import body_of, events
from tests.metering.sources.reading import items, records, skipped

OPTIONS = {"source": "cloudevents"}


def event(number, source=SOURCE, **changes):
    return json.loads(number_event(encode_event(usage(number, **changes), source), number))


@pytest.mark.parametrize(
    "text",
    [
        json.dumps,
        lambda sent: json.dumps(sent, indent=2),
        lambda sent: "\n".join(map(json.dumps, sent)),
        lambda sent: "\ufeff" + "\r\n".join(map(json.dumps, sent)) + "\r\n",
    ],
    ids=["array", "pretty", "lines", "bom and crlf"],
)
def test_events_are_read_in_every_layout(text):
    """What the agent sends is what the file gives back."""
    sent = [event(number) for number in range(1, 5)]
    assert records(text(sent), **OPTIONS) == [usage(number) for number in range(1, 5)]


def test_a_bad_event_costs_itself_alone():
    """A malformed line, a naive time and a fraction of a thousandth: each named, the others read."""
    naive = event(2)
    naive["data"]["start"] = "2026-11-22T01:15:37"
    fraction = event(3)
    fraction["data"]["accelerators"][0]["count_milli"] = 0.5
    lines = [
        json.dumps(event(1)),
        '{"specversion": "1.0"',
        json.dumps(naive),
        json.dumps(fraction),
        json.dumps(event(5)),
    ]
    assert skipped("\n".join(lines), **OPTIONS) == [(2, "broken-json"), (3, "time-invalid"), (4, "member-invalid")]
    assert [record.job for record in records("\n".join(lines), **OPTIONS)] == ["1", "5"]


def test_an_event_sent_again_is_a_duplicate_and_one_with_other_content_a_conflict():
    """Identity is source and id: another source's equal id is another fact."""
    other = "urn:centre:sj02:agent:slurm-1"
    sent = [event(1), event(1), event(1, active_ms=80_000), event(1, source=other)]
    assert skipped(json.dumps(sent), **OPTIONS) == [(2, "duplicate"), (3, "conflict")]
    assert len(records(json.dumps(sent), **OPTIONS)) == 2


def test_an_event_that_is_not_final_is_a_checkpoint():
    """It is skipped as running and carries what was used up to now."""
    running = event(1)
    running["data"] |= {"final": False, "state": "RUNNING"}
    (item,) = items(json.dumps([running]), **OPTIONS)
    assert (item.reason, item.checkpoint.active_ms, item.checkpoint.final) == ("running", 81_000, False)


@pytest.mark.parametrize("data", [b"", b"id,start", b"<xml/>"])
def test_another_file_is_refused(data):
    """What begins neither as an array nor as an object is no file of events."""
    with pytest.raises(MeteringError, match="CloudEvents"):
        items(data, **OPTIONS)


@given(st.lists(events(border=True), max_size=4))
def test_the_file_and_the_wire_say_the_same(batch):
    """Whatever an event holds, the source reads it as the service would, or skips what the service would refuse."""
    for members in batch:
        try:
            wire = decode_cloudevents(body_of([members]), INSTANT_US_MAX)
        except MeteringError:
            continue
        (read,) = items(body_of([members]), **OPTIONS)
        if isinstance(read, UsageRecord):
            assert [decode(leaf) for leaf in wire.leaf] == [read]
            continue
        if wire.running:
            assert [decode(leaf) for _, leaf in wire.running] == [read.checkpoint]
            continue
        (code,) = (fault.code for fault in wire.faults)
        assert code in WIRE_CODES.get(read.reason, {read.reason})


WIRE_CODES = {
    "member-invalid": {"count-invalid", "active-invalid", "type-unsupported", "member-unknown", "member-missing"}
    | {"member-invalid"}
}
"""Codes of the wire that the file reports as one."""
