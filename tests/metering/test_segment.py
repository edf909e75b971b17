"""Canonical bytes of records: one spelling, read back as written, and damage is noticed."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.errors import MeteringError
from metering.model import Accelerator, UsageRecord
from metering.segment import Columns, decode, encode, encode_columns, pack, unpack

INT64 = st.integers(-(2**63), 2**63 - 1)
UINT64 = st.integers(0, 2**64 - 1)
UINT53 = st.integers(0, 2**53)
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


@given(records, st.data())
def test_no_text_runs_into_the_next(record, data):
    """Moving letters from one member to its neighbour makes other bytes: lengths are part of them."""
    letters = record.account + record.job
    cut = data.draw(st.integers(max(0, len(letters) - 255), min(255, len(letters))))
    other = replace(record, account=letters[:cut], job=letters[cut:])
    assert (leaf_of(other) == leaf_of(record)) == (other == record)


ordinary_rows = st.tuples(
    *(ascii_texts,) * 4, st.just("") | ascii_texts, ascii_texts, UINT53, INT64, INT64, UINT53, UINT53
)


@given(st.lists(ordinary_rows, min_size=1, max_size=5))
def test_whole_columns_of_ordinary_records_give_the_same_bytes(rows):
    """`encode_columns` is `encode` of each record: closed, one card model, ASCII."""
    one_by_one = [
        encode(
            name, account, job, attempt, start, end, active, [Accelerator(model, count)], state, True, voucher or None
        )
        for name, account, job, state, voucher, model, attempt, start, end, active, count in rows
    ]
    assert encode_columns(Columns(*map(list, zip(*rows, strict=True)))) == one_by_one


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
