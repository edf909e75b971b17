"""CloudEvents drawn at random: ordinary ones, and ones that stand on the border of every rule."""

import msgspec
from hypothesis import strategies as st

from metering.wire import EARLIEST_US, SKEW_US
from metering.zones import rfc3339

NOW_US = 1_795_310_137_000_000
SOURCE = "urn:centre:sj01:agent:slurm-1"
S = 1_000_000

words = st.text(st.characters(codec="ascii", min_codepoint=32, max_codepoint=126), min_size=1, max_size=8)
strange = words | st.text(min_size=1, max_size=4) | st.sampled_from(["x" * 64, "松江", "a\x00", "\x7f", "١٢"])
MODELS = ("A100", "H100", "V100-SXM2", "unheard-of")


@st.composite
def spans(draw, *, border=False):
    """Start and end in microseconds, and charged milliseconds; with `border` also just beyond what is allowed."""
    latest = NOW_US + SKEW_US
    start = draw(st.integers(EARLIEST_US // S, NOW_US // S - 40 * 86_400)) * S
    length = draw(st.integers(0, 40 * 86_400)) * S
    if border:
        start = draw(st.sampled_from([start, EARLIEST_US, EARLIEST_US - S, latest - length]))
        length += draw(st.sampled_from([0, 0, 1, S, 1_000_001]))
    active = draw(st.integers(0, length // S)) * 1000
    if border:
        active = draw(st.sampled_from([active, length // S * 1000, (length // S + 1) * 1000]))
    return start, start + length, active


@st.composite
def events(draw, *, border=False):
    """One event as a JSON object."""
    start, end, active = draw(spans(border=border))
    text = strange if border else words
    data = {
        "job": draw(text),
        "attempt": draw(st.integers(0, 2**53)),
        "start": rfc3339(start),
        "end": rfc3339(end),
        "active_s": active // 1000,
        "accelerators": [{"model": draw(st.sampled_from(MODELS)), "count_milli": draw(st.integers(1, 8000))}],
        "state": draw(text),
        "final": True,
        "voucher": draw(st.none() | text),
    }
    if border:
        changes = [
            {},
            {},
            {"final": False},
            {"active_s": None, "active_ms": active},
            {"active_ms": active},
            {"active_s": None},
            {"accelerators": data["accelerators"] * draw(st.integers(1, 3))},
            {"accelerators": [{"model": draw(text), "count_milli": 1}]},
            {"start": "2026-11-01T12:00:00+08:00"},
            {"end": "2026-11-31T12:00:00Z"},
        ]
        data |= draw(st.sampled_from(changes))
    return {
        "specversion": "1.0",
        "type": "cn.suanquan.usage.interval.v1",
        "source": draw(st.sampled_from([SOURCE] * 5 + ["urn:other"])) if border else SOURCE,
        "id": draw(text),
        "time": draw(st.sampled_from([rfc3339(end), "2026-11-22T01:17:02.5+08:00"])),
        "subject": draw(text),
        "sequence": draw(st.sampled_from(["7", "12", "1x", "١٢"]) if border else st.integers(0, 10**18 - 1).map(str)),
        "data": data,
    }


def body_of(batch):
    return msgspec.json.encode(batch)
