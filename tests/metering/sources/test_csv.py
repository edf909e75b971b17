"""Job tables: which rows are billed, how they are known again, and what a malformed value costs."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.errors import MeteringError
from metering.model import Accelerator
from metering.sources.options import SourceOptions
from tests.metering.sources.reading import items, records, skipped, totals

MAPPING = {"start": "began", "duration": "seconds", "gpus": "cards", "account": "team"}
HEADER = "began,seconds,cards,team"
ROW = "2017-10-09T07:01:55Z,66.0,2,量子"
JOBS = {"source": "csv", "mapping": MAPPING}


def jobs(*rows: str, header: str = HEADER) -> str:
    return "\n".join([header, *rows])


def test_a_row_is_a_record():
    """Duration and cards may be printed as decimals; what the file does not say is unknown, never guessed."""
    (record,) = records(jobs(ROW), "a/b/jobs.csv.gz".removesuffix(".gz"), **JOBS)
    assert (record.id, record.job) == ("csv:jobs.csv:000000002", "jobs.csv:000000002")
    assert (record.account, record.attempt, record.state) == ("量子", 1_507_532_515, "CLOSED")
    assert record.end_us - record.start_us == 66_000_000
    assert (record.active_ms, record.gpu_ms) == (66_000, 132_000)
    assert record.accelerators == (Accelerator("unknown", 2000),)


def test_equal_rows_are_distinct_jobs():
    """Without a job column the identity is file and line: a key made of the content would bill them once."""
    found = records(jobs(ROW, ROW), **JOBS)
    assert [record.id for record in found] == ["csv:usage.txt:000000002", "csv:usage.txt:000000003"]


def test_a_mapped_job_is_known_again_in_another_file():
    """The identity is the job and its start: a repeated row is a duplicate, another content a conflict, another start a run."""
    header, mapping = f"id,{HEADER}", {**MAPPING, "job": "id"}
    rows = [f"j:1,{ROW}", f"j:1,{ROW}", f"j:1,{ROW.replace('66.0', '67')}", f"j:1,{ROW.replace(':55Z', ':56Z')}"]
    text = jobs(*rows, header=header)
    assert skipped(text, source="csv", mapping=mapping) == [(3, "duplicate"), (4, "conflict")]
    found = records(text, source="csv", mapping=mapping)
    assert [record.id for record in found] == ["csv:job:j:1:1507532515000000", "csv:job:j:1:1507532516000000"]
    assert {record.job for record in found} == {"j:1"}
    other = records(jobs(rows[0], header=header), "other.csv", source="csv", mapping=mapping)
    assert other[0] == found[0]


def test_an_end_instead_of_a_duration():
    """Without a duration the whole interval is charged; parts of a millisecond are not."""
    text = "s,e,n,a\n2017-10-09T07:00:00.0005Z,2017-10-09T07:00:01.25Z,0.5,x"
    mapping = {"start": "s", "end": "e", "gpus": "n", "account": "a"}
    (record,) = records(text, source="csv", mapping=mapping)
    assert (record.end_us - record.start_us, record.active_ms, record.gpu_ms) == (1_249_500, 1_249, 624)


def test_a_duration_within_an_interval():
    """With both, the duration is what is charged: a job that was suspended."""
    mapping = {**MAPPING, "end": "ended"}
    text = jobs(f"{ROW},2017-10-09T07:05:00Z", f"{ROW},2017-10-09T07:02:00Z", header=f"{HEADER},ended")
    (record,) = records(text, source="csv", mapping=mapping)
    assert (record.active_ms, record.end_us - record.start_us) == (66_000, 185_000_000)
    assert skipped(text, source="csv", mapping=mapping) == [(3, "duration-exceeds-interval")]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (",66,2,a", "bad-start"),
        ("x,66,2,a", "bad-time"),
        ("2017-13-09T07:01:55Z,66,2,a", "bad-time"),
        ("2017-10-09T24:00:00Z,66,2,a", "bad-time"),
        ("2017-10-09T07:01:60Z,66,2,a", "bad-time"),
        ("2017-10-09T07:01:55.1234567Z,66,2,a", "bad-time"),
        ("2017-W41-1,66,2,a", "bad-time"),
        ("1969-12-31T23:59:59Z,66,2,a", "bad-time"),
        ("2200-01-01T00:00:00Z,66,2,a", "bad-time"),
        ("2199-12-31T23:59:59Z,66,2,a", "bad-duration"),
        ("2017-10-09T07:01:55Z,,2,a", "bad-duration"),
        ("2017-10-09T07:01:55Z,NaN,2,a", "bad-duration"),
        ("2017-10-09T07:01:55Z,inf,2,a", "bad-duration"),
        ("2017-10-09T07:01:55Z,-66,2,a", "bad-duration"),
        ("2017-10-09T07:01:55Z,1e3,2,a", "bad-duration"),
        ("2017-10-09T07:01:55Z,1_000,2,a", "bad-duration"),
        ("2017-10-09T07:01:55Z,66.,2,a", "bad-duration"),
        ("2017-10-09T07:01:55Z,0.0001,2,a", "bad-duration"),
        ("2017-10-09T07:01:55Z,٦٦,2,a", "bad-duration"),
        ("2017-10-09T07:01:55Z,0,2,a", "zero-duration"),
        ("2017-10-09T07:01:55Z,66,,a", "bad-gpus"),
        ("2017-10-09T07:01:55Z,66,-2,a", "bad-gpus"),
        ("2017-10-09T07:01:55Z,66,0.0005,a", "bad-gpus"),
        ("2017-10-09T07:01:55Z,66,100001,a", "bad-gpus"),
        ("2017-10-09T07:01:55Z,66,0.000,a", "no-gpu"),
        ("2017-10-09T07:01:55Z,66,2,", "bad-account"),
        ("2017-10-09T07:01:55Z,66,2", "field-count"),
        ("2017-10-09T07:01:55Z,66,2,a,", "field-count"),
        ('2017-10-09T07:01:55Z,66,2,"a', "bad-quoting"),
        ('2017-10-09T07:01:55Z,66,2,"a"b', "bad-quoting"),
        (HEADER, "repeated-header"),
    ],
)
def test_a_malformed_row_costs_that_row(row, reason):
    """Each with its reason and line; the rows before and after it are billed."""
    text = jobs(ROW, row, ROW)
    assert skipped(text, **JOBS) == [(3, reason if reason != "bad-start" else "bad-time")]
    assert len(records(text, **JOBS)) == 2


@pytest.mark.parametrize(
    ("text", "count_milli"), [("8", 8000), ("8.0", 8000), ("0.5", 500), ("1.125", 1125), ("0.1250", 125), (" 2 ", 2000)]
)
def test_cards_are_thousandths(text, count_milli):
    """A slice of a card is counted exactly; zeros after the third decimal change nothing."""
    (record,) = records(jobs(f"2017-10-09T07:01:55Z,66,{text},a"), **JOBS)
    assert record.accelerators[0].count_milli == count_milli


def test_a_row_that_is_not_closed_is_not_billed():
    """Where a state is mapped, running and pending rows are told apart from ends of any word."""
    rows = [f"{ROW},{state}" for state in ("Pass", "RUNNING", "Pending", "Killed", "")]
    text = jobs(*rows, header=f"{HEADER},status")
    mapping = {**MAPPING, "state": "status"}
    assert skipped(text, source="csv", mapping=mapping) == [(3, "running"), (4, "never-started"), (6, "bad-state")]
    assert [record.state for record in records(text, source="csv", mapping=mapping)] == ["Pass", "Killed"]


def test_constants_stand_for_fields_that_the_file_lacks():
    """A model, an account, a number of cards or a state may be set for all rows."""
    text = "began,seconds\n2017-10-09T07:01:55Z,66"
    constants = {"gpus": "0.5", "account": "实验室", "model": "V100-SXM2", "state": "DONE"}
    (record,) = records(text, source="csv", mapping={"start": "began", "duration": "seconds"}, constants=constants)
    assert (record.account, record.state, record.gpu_ms) == ("实验室", "DONE", 33_000)
    assert record.accelerators == (Accelerator("V100-SXM2", 500),)


def test_quoted_fields_may_hold_the_delimiter_quotes_and_line_ends():
    """As RFC 4180 has it; the line of a row is its first, and lines are counted as an editor counts them."""
    text = jobs('2017-10-09T07:01:55Z,66,2,"a,""b"""', '2017-10-09T07:01:55Z,66,2,"two', 'lines"', ROW)
    found = items(text, **JOBS)
    assert [getattr(item, "reason", item.id if hasattr(item, "id") else "") for item in found] == [
        "csv:usage.txt:000000002",
        "bad-account",
        "csv:usage.txt:000000005",
    ]
    assert found[0].account == 'a,"b"'


def test_a_stray_quote_does_not_swallow_the_rows_after_it():
    """An open quote costs its line; the rows behind it, quoted ones too, are billed."""
    text = jobs('2017-10-09T07:01:55Z,66,2,"a', *[ROW] * 12, '2017-10-09T07:01:55Z,66,2,"b"', *[ROW] * 3)
    assert skipped(text, **JOBS) == [(2, "bad-quoting")]
    assert len(records(text, **JOBS)) == 16


def test_a_needed_field_without_a_column_is_named():
    """A field is never taken from a column of its own name by itself: the mapping says which."""
    with pytest.raises(MeteringError, match=r"lacks the column account.*--map account=COLUMN \(the file has: began"):
        items(jobs(ROW), source="csv", mapping={name: MAPPING[name] for name in ("start", "duration", "gpus")})
    with pytest.raises(MeteringError, match="duration"):
        items(jobs(ROW), source="csv", mapping={name: MAPPING[name] for name in ("start", "account", "gpus")})


def test_a_mapped_column_that_is_not_there_is_named():
    """The refusal says which column and what the file has instead."""
    with pytest.raises(
        MeteringError, match=r"lacks the column Team\. The file has: began, seconds, cards, team"
    ) as refusal:
        items(jobs(ROW), source="csv", mapping={**MAPPING, "account": "Team"})
    assert refusal.value.code == "column-missing"


def test_a_mapped_column_that_stands_twice_is_refused():
    """Which of the two is meant is not guessed."""
    with pytest.raises(MeteringError, match="more than once"):
        items(jobs(f"{ROW},other", header=f"{HEADER},team"), **JOBS)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"source": "pbs"}, "source-unknown"),
        ({"source": "csv", "mapping": {"begin": "x"}}, "field-unknown"),
        ({"source": "csv", "constants": {"start": "x"}}, "field-unknown"),
        ({"source": "sacct", "mapping": {"account": "x"}}, "field-unknown"),
        ({"source": "csv", "mapping": {"model": "x"}, "constants": {"model": "y"}}, "field-given-twice"),
        ({"source": "csv", "timezone": "Shanghai"}, "timezone-unknown"),
        ({"source": "csv", "timezone": "../etc/passwd"}, "timezone-unknown"),
        ({"source": "csv", "timezone": ""}, "timezone-unknown"),
        ({"source": "csv", "timezone": "+25:00"}, "timezone-unknown"),
        ({"source": "csv", "delimiter": "||"}, "delimiter-malformed"),
        ({"source": "csv", "delimiter": '"'}, "delimiter-malformed"),
        ({"source": "csv", "format": ()}, "format-malformed"),
        ({"source": "sacct", "format": ("JobIDRaw", "")}, "format-malformed"),
        ({"source": "gauge-csv"}, "step-missing"),
        ({"source": "gauge-csv", "step_s": 0}, "step-missing"),
    ],
)
def test_options_that_make_no_sense_are_refused_at_once(options, code):
    """Before any file is read, with a message in both languages."""
    with pytest.raises(MeteringError) as refusal:
        SourceOptions(**options)
    assert refusal.value.code == code
    assert refusal.value.zh
    assert refusal.value.en


@given(
    rows=st.lists(
        st.tuples(st.integers(0, 10**9), st.integers(1, 10**6), st.integers(1, 64), st.sampled_from("甲乙丙")),
        min_size=1,
    ),
    random=st.randoms(use_true_random=False),
    zone=st.sampled_from(["UTC", "Asia/Shanghai", "-03:30", "America/New_York"]),
)
def test_totals_do_not_depend_on_the_order_of_rows(rows, random, zone):
    """Shuffled rows give the same totals, and the months add up to the whole."""
    lines = [f"{1_000_000_000 + start},{seconds},{gpus},{account}" for start, seconds, gpus, account in rows]
    before = totals(jobs(*lines), timezone=zone, **JOBS)
    random.shuffle(lines)
    assert totals(jobs(*lines), timezone=zone, **JOBS) == before
    assert before["gpu_ms"] == sum(seconds * gpus for _, seconds, gpus, _ in rows) * 1000
    assert sum(before["by_month"].values()) == sum(before["by_account"].values()) == before["gpu_ms"]


def test_the_stream_stays_open():
    """Reading closes nothing that the caller opened."""
    stream = io.BytesIO(jobs(ROW).encode())
    assert len(records(stream.getvalue(), **JOBS)) == 1
    assert not stream.closed
