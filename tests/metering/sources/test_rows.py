"""Bytes to rows: encodings, line ends, packing, limits; one bad line never costs the file."""

from __future__ import annotations

import contextlib
import gzip
import io
import random
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.errors import MeteringError
from metering.sources import read
from metering.sources.faults import Skipped
from metering.sources.options import SourceOptions
from metering.sources.rows import LINE_BYTES_MAX
from tests.metering.sources.reading import items, records, skipped, totals

JOBS = {"source": "csv", "mapping": {"start": "s", "duration": "d", "gpus": "n", "account": "a"}}
TEXT = "s,d,n,a\n1507532515,66,2,甲\n1507532516,66,2,乙\n"


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode(),
        TEXT.rstrip().encode(),
        b"\xef\xbb\xbf" + TEXT.encode(),
        TEXT.replace("\n", "\r\n").encode(),
        (TEXT + "\n\n \r\n").encode(),
        TEXT.replace("\n1", "\n\n1").encode(),
        TEXT.replace(",", "\t").encode(),
        TEXT.replace(",", "|").encode(),
        TEXT.replace(",", "\x1f").encode(),
        TEXT.replace("s,d,n,a", '"s","d", n ,a').encode(),
    ],
    ids=["plain", "no-last-end", "bom", "crlf", "empty-last", "empty-between", "tab", "bar", "0x1f", "quoted-header"],
)
def test_the_same_rows_in_other_clothes(data):
    """Byte-order mark, line ends, empty lines and delimiters change nothing."""
    total = totals(data, **JOBS)
    assert (total["by_account"], total["skipped"]) == ({"乙": 132_000, "甲": 132_000}, {})


def test_a_delimiter_can_be_said():
    """One that no header would show, and names for those that no shell likes."""
    for said, delimiter in ((";", ";"), (r"\t", "\t"), ("0x1f", "\x1f"), (r"\x1f", "\x1f")):
        assert len(records(TEXT.replace(",", delimiter), delimiter=said, **JOBS)) == 2


def test_packed_files_are_read_directly_and_keep_their_identities():
    """`.gz` is no part of a row's identity, nor is the folder."""
    packed = records(gzip.compress(TEXT.encode(), mtime=0), "2017/jobs.csv.gz", **JOBS)
    assert packed == records(TEXT, "jobs.csv", **JOBS)
    assert packed[0].id == "csv:jobs.csv:000000002"


@pytest.mark.parametrize(
    "data",
    [
        gzip.compress(TEXT.encode(), mtime=0)[:5],
        b"no gzip",
        gzip.compress(TEXT.encode(), mtime=0) + b"\x01",
        gzip.compress(TEXT.encode(), mtime=0)[:-8] + bytes(8),
    ],
    ids=["head only", "not packed", "trailing", "other checksum"],
)
def test_a_damaged_packed_file_is_refused(data):
    """Not packed at all, or with another checksum: nothing in it can be believed."""
    with pytest.raises(MeteringError, match="transfer it again"):
        items(data, "jobs.csv.gz", **JOBS)


def test_a_packed_file_that_ends_early_gives_its_whole_lines():
    """Cut anywhere: lines before the cut are read, the line it broke in is reported and never read as a shorter one."""
    noise = random.Random(7)
    rows = [f"{1_507_532_515 + place},{noise.randrange(60, 10**6)},2,{noise.random()}" for place in range(9_000)]
    packed = gzip.compress("\n".join(["s,d,n,a", *rows, ""]).encode(), mtime=0)
    whole = records(packed, "jobs.csv.gz", **JOBS)
    for cut in (len(packed) // 2, len(packed) - 9, len(packed) - 1):
        found = items(packed[:cut], "jobs.csv.gz", **JOBS)
        assert isinstance(found[-1], Skipped)
        assert (found[-1].reason, found[-1].file, found[-1].line) == ("truncated", "jobs.csv", len(found) + 1)
        assert found[:-1] == whole[: len(found) - 1]
        assert len(found) > len(whole) // 3


@pytest.mark.parametrize("data", [b"", b"\n\n", "s,d\n".encode("utf-16"), gzip.compress(TEXT.encode(), mtime=0)])
def test_a_file_without_a_readable_header_is_refused(data):
    """Empty, in another encoding, or packed under a name that does not say so."""
    with pytest.raises(MeteringError, match="header"):
        items(data, **JOBS)


def test_an_empty_log_without_header_has_no_usage():
    """Under `--format` nothing is just nothing."""
    assert totals(b"", format=("s", "d", "n", "a"), **JOBS)["first"] is None


def test_a_line_in_another_encoding_is_skipped():
    """GBK bytes in one line: that line, with its number; the names of the others are untouched."""
    data = TEXT.encode() + "1507532517,66,2,丙\n".encode("gbk") + b"1507532518,66,2,\xe4\xb8\x81\n"
    assert skipped(data, **JOBS) == [(4, "bad-encoding")]
    assert [record.account for record in records(data, **JOBS)] == ["甲", "乙", "丁"]


def test_an_endless_line_is_skipped_in_bounded_memory():
    """A line of 40 MiB is passed over piece by piece, and the next one is read."""
    data = TEXT.encode() + b"x" * (40 << 20) + b"\n1507532517,66,2,c\n"
    stream = io.BytesIO(data)
    tracemalloc.start()
    try:
        found = list(read("jobs.csv", stream, SourceOptions(**JOBS)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [(item.line, item.reason) for item in found if isinstance(item, Skipped)] == [(4, "line-too-long")]
    assert len(found) == 4
    assert peak < 8 * LINE_BYTES_MAX


def test_a_long_table_is_read_in_bounded_memory():
    """Rows are not kept: 10,000 jobs pass through less than a mebibyte."""
    stream = io.BytesIO(b"s,d,n,a\n" + b"".join(b"%d,66,2,a\n" % (1_507_532_515 + place) for place in range(10_000)))
    tracemalloc.start()
    try:
        count = sum(1 for _ in read("jobs.csv", stream, SourceOptions(**JOBS)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (count, peak < 1 << 20) == (10_000, True)


def test_a_file_name_that_no_id_can_carry_is_refused():
    """It would be part of every record's id."""
    with pytest.raises(MeteringError, match="printable"):
        items(TEXT, "a\nb.csv", **JOBS)


def test_the_stream_is_left_open():
    """Who opened it closes it, packed or not."""
    for name, data in (("jobs.csv", TEXT.encode()), ("jobs.csv.gz", gzip.compress(TEXT.encode(), mtime=0))):
        stream = io.BytesIO(data)
        assert len(list(read(name, stream, SourceOptions(**JOBS)))) == 2
        assert not stream.closed


@given(st.binary(max_size=300), st.sampled_from(["sacct", "csv", "gauge-csv"]))
def test_any_bytes_are_read_or_refused(data, source):
    """No bytes, whatever they are, raise anything but the one error of metering."""
    options = {"csv": JOBS, "sacct": {"source": "sacct"}}.get(
        source, {"source": source, "mapping": {"time": "s", "gpus": "n", "account": "a"}, "step_s": 60}
    )
    for header in (b"", b"s,d,n,a\n", b"JobIDRaw|Cluster|Account|Start|End|ElapsedRaw|State|AllocTRES\n", b"{"):
        with contextlib.suppress(MeteringError):
            items(header + data, **options)


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r\0"), max_size=12), min_size=1)
)
def test_any_account_survives_quoting(names):
    """A quoted name comes back as it was, or its row is reported: none is lost, none is changed."""
    rows = ["1507532515,66,2," + '"' + name.replace('"', '""') + '"' for name in names]
    found = items("\n".join(["s,d,n,a", *rows]), **JOBS)
    assert len(found) == len(names)
    for item, name in zip(found, names, strict=True):
        if isinstance(item, Skipped):
            assert not name.strip() or not name.strip().isprintable()
        else:
            assert item.account == name.strip()
