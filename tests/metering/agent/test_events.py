"""An event is one usage record in CloudEvents 1.0, the same bytes every time."""

import datetime as dt
import json

from hypothesis import given
from hypothesis import strategies as st

from metering.agent.events import batch_body, batch_events, encode_event, number_event
from metering.model import Accelerator, UsageRecord
from tests.metering.agent.usage_service import SOURCE, usage

EXAMPLE = {
    "specversion": "1.0",
    "type": "cn.suanquan.usage.interval.v1",
    "source": "urn:centre:sj01:agent:slurm-1",
    "id": "sj01:slurm:10:1795310137:0",
    "time": "2026-11-22T01:17:02Z",
    "subject": "startup1",
    "datacontenttype": "application/json",
    "sequence": "000000000000000042",
    "data": {
        "job": "10",
        "attempt": 1795310137,
        "start": "2026-11-22T01:15:37Z",
        "end": "2026-11-22T01:17:02Z",
        "active_s": 81,
        "accelerators": [{"model": "H100-SXM", "count_milli": 4000}],
        "state": "CANCELLED",
        "final": True,
        "voucher": None,
    },
}


def test_the_documented_example_is_what_is_sent():
    """The record of the interface description becomes exactly the event shown there."""
    record = UsageRecord(
        id="sj01:slurm:10:1795310137:0",
        account="startup1",
        job="10",
        attempt=1795310137,
        start_us=1795310137_000_000,
        end_us=1795310222_000_000,
        active_ms=81_000,
        accelerators=(Accelerator("H100-SXM", 4000),),
        state="CANCELLED",
    )
    assert json.loads(number_event(encode_event(record, SOURCE), 42)) == EXAMPLE


def test_parts_of_a_second_are_told_exactly():
    """Active time that is no whole second is sent in milliseconds, instants show microseconds only where there are some."""
    data = json.loads(encode_event(usage(1, active_ms=1_500, end_us=1795310222_000_040), SOURCE))["data"]
    assert data["active_ms"] == 1_500
    assert "active_s" not in data
    assert data["start"] == "2026-11-22T01:15:37.000001Z"
    assert data["end"] == "2026-11-22T01:17:02.000040Z"


def test_a_body_is_taken_apart_into_the_bytes_it_was_made_of():
    """Splitting a body gives back each event byte for byte, whatever its text looks like."""
    events = [number_event(encode_event(usage(n, job='},{"id":"\\'), SOURCE), n) for n in range(1, 4)]
    assert [bytes(event) for event in batch_events(batch_body(events))] == events


@given(st.integers(0, 10**15), st.integers(0, 10**12), st.text(), st.integers(1, 10**18 - 1))
def test_every_record_survives_its_event(start_us, length_us, text, sequence):
    """Whatever a record holds can be read back from its event: instants, active time, text and number."""
    record = usage(
        1, id=text, account=text, start_us=start_us, end_us=start_us + length_us, active_ms=length_us // 1000
    )
    event = json.loads(number_event(encode_event(record, SOURCE), sequence))
    data = event["data"]
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    instants = [
        (dt.datetime.fromisoformat(data[name]) - epoch) // dt.timedelta(microseconds=1) for name in ("start", "end")
    ]
    assert instants == [record.start_us, record.end_us]
    assert data.get("active_ms", data.get("active_s", 0) * 1000) == record.active_ms
    assert (event["id"], event["subject"], event["sequence"]) == (text, text, f"{sequence:018d}")
