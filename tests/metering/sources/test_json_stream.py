"""A long array in a JSON document is read an element at a time, in little memory, as far as it is whole."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.errors import MeteringError
from metering.sources.faults import Skipped
from metering.sources.json_stream import WINDOW_CHARACTERS, JsonArray

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


def pieces(data: bytes, size: int):
    return (data[at : at + size] for at in range(0, len(data), size))


def elements(data: bytes, path=("items",), size=7):
    return list(JsonArray("f", pieces(data, size), path).elements())


@given(
    st.lists(VALUES, max_size=6),
    st.dictionaries(st.text(max_size=3).filter(lambda name: name != "items"), VALUES, max_size=3),
    st.integers(1, 50),
    st.booleans(),
)
def test_every_array_is_found_whole(values, others, size, pretty):
    """Whatever stands before it, however it is laid out and in whatever pieces it comes."""
    document = json.dumps({**others, "items": values, "z": 1}, indent=2 if pretty else None, ensure_ascii=False)
    data = document.encode("utf-8", "surrogatepass")
    assert elements(data, size=size) == list(enumerate(values, 1))


@given(st.lists(VALUES.filter(lambda value: value is not None), min_size=1, max_size=6), st.data())
def test_a_document_cut_anywhere_gives_what_is_whole(values, data):
    """The elements before the cut, then one report; never an element that is shorter than it was."""
    document = json.dumps({"items": [[value] for value in values]}).encode()
    cut = data.draw(st.integers(0, len(document) - 3))
    try:
        found = elements(document[:cut])
    except MeteringError:
        return
    whole = [item for item in found if not isinstance(item, Skipped)]
    assert whole == [(place, [value]) for place, value in enumerate(values, 1)][: len(whole)]
    assert [(item.reason, item.line) for item in found[len(whole) :]] in (
        [("truncated", len(whole) + 1)],
        [("broken-json", len(whole) + 1)],
    )


@pytest.mark.parametrize(
    "text", ['{"items": [1, nul]}', '{"items": [1 2]', '{"items": [1, NaN]}', '{"items": [1, "\x01"]}']
)
def test_what_breaks_after_a_whole_element_is_reported(text):
    """The first element stands."""
    found = elements(text.encode())
    assert found[0] == (1, 1)
    assert all(isinstance(item, Skipped) for item in found[-1:]) or found == [(1, 1), (2, 2)]


def test_an_array_of_many_megabytes_needs_little_memory():
    """Fifty megabytes of elements pass through a few windows."""
    element = json.dumps({"name": "x" * 1000}).encode()

    def chunks():
        yield b'{"items": ['
        for _ in range(50_000):
            yield element + b","
        yield element + b"]}"

    tracemalloc.start()
    try:
        count = sum(1 for _ in JsonArray("f", chunks(), ("items",)).elements())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 50_001
    assert peak < 16 * WINDOW_CHARACTERS
