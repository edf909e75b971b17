"""Canonical bytes of records: one spelling, read back as written, and damage is noticed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.errors import MeteringError
from metering.model import Accelerator, UsageRecord
from metering.segment import decode, encode, encode_ascii, pack, unpack

INT64 = st.integers(-(2**63), 2**63 - 1)
UINT64 = st.integers(0, 2**64 - 1)
texts = st.text(st.characters(codec="utf-8"), max_size=255)
ascii_texts = st.text(st.characters(codec="ascii"), max_size=255)
records = st.builds(
    UsageRecord,
    id=texts,
    account=texts,
    job=texts,
    attempt=INT64,
    start_us=INT64,
    end_us=INT64,
    active_ms=UINT64,
    accelerators=st.lists(st.builds(Accelerator, texts, UINT64), min_size=1, max_size=16).map(tuple),
    state=texts,
    final=st.booleans(),
    voucher=st.none() | texts.filter(bool),
)


def leaf_of(record, extensions=""):
    return encode(*(getattr(record, name) for name in UsageRecord.__slots__), extensions)


@given(records, texts)
def test_a_record_is_read_back_as_it_was_written(record, extensions):
    """Every member survives; extensions stay in the bytes alone."""
    assert decode(leaf_of(record, extensions)) == record


@given(records, records, texts, texts)
def test_different_records_have_different_bytes(one, other, *extensions):
    """No text can run into the next: lengths are part of the bytes."""
    leaves = [leaf_of(record, text) for record, text in zip((one, other), extensions, strict=True)]
    assert (leaves[0] == leaves[1]) == ((one, extensions[0]) == (other, extensions[1]))


@given(
    st.lists(ascii_texts, min_size=5, max_size=5),
    st.tuples(INT64, INT64, INT64, UINT64, UINT64),
    st.none() | ascii_texts,
)
def test_the_short_way_for_ordinary_records_writes_the_same_bytes(names, numbers, voucher):
    """`encode_ascii` is `encode` for a closed record of one card model in ASCII."""
    name, account, job, model, state = names
    attempt, start, end, active, count = numbers
    ordinary = encode_ascii(name, account, job, attempt, start, end, active, model, count, state, voucher)
    assert ordinary == encode(
        name, account, job, attempt, start, end, active, [Accelerator(model, count)], state, True, voucher
    )


@given(records, st.data())
def test_damage_is_noticed(record, data):
    """Bytes cut off, added or changed are refused or are another record: they never pass for the one that was written."""
    leaf = leaf_of(record)
    at, bit = data.draw(st.integers(0, len(leaf) - 1)), data.draw(st.integers(0, 7))
    flipped = leaf[:at] + bytes([leaf[at] ^ 1 << bit]) + leaf[at + 1 :]
    for damaged in (leaf[:at], leaf + b"\x00", flipped):
        try:
            assert decode(damaged) != record
        except MeteringError as error:
            assert error.code == "record-malformed"  # noqa: PT017 -- a refusal is one of two right ends


@given(st.lists(st.binary(max_size=300), max_size=20), st.data())
def test_a_segment_gives_its_leaves_back_or_is_refused(leaves, data):
    """Leaves come back whole and in order; a segment that was cut or grew is not read at all."""
    segment = pack(leaves)
    assert list(unpack(segment)) == leaves
    cut = data.draw(st.integers(0, len(segment) - 1))
    for damaged in (segment[:cut], segment + b"\x00"):
        with pytest.raises(MeteringError):
            list(unpack(damaged))
