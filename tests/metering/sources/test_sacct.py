"""What a row of Slurm accounting means, and what becomes of one that contradicts itself."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.errors import MeteringError
from metering.model import Accelerator
from metering.sources.faults import RowFault
from metering.sources.sacct import cards_of
from metering.sources.values import elapsed_s
from tests.metering.sources.reading import items, records, skipped, totals

COLUMNS = ("JobIDRaw", "Cluster", "Account", "Start", "End", "ElapsedRaw", "State", "AllocTRES")
ROW = {
    "JobIDRaw": "10",
    "Cluster": "sj01",
    "Account": "实验室",
    "Start": "2026-11-22T01:15:37Z",
    "End": "2026-11-22T01:17:02Z",
    "ElapsedRaw": "81",
    "State": "COMPLETED",
    "AllocTRES": "cpu=2,gres/gpu:a100=2,gres/gpu=2",
}


def table(*changes: dict[str, str], columns: tuple[str, ...] = COLUMNS, delimiter: str = "|") -> str:
    rows = [{**ROW, **change} for change in changes]
    return "\n".join(
        delimiter.join(line) for line in [columns, *([row.get(name, "") for name in columns] for row in rows)]
    )


def one_skipped(**change: str) -> str:
    """The reason why a row with this change is skipped; the sound rows around it are not."""
    found = items(table({"JobIDRaw": "1"}, change, {"JobIDRaw": "3"}), source="sacct")
    assert [type(item).__name__ for item in found] == ["UsageRecord", "Skipped", "UsageRecord"]
    assert (found[1].file, found[1].line) == ("usage.txt", 3)
    return found[1].reason


def test_a_closed_attempt_is_a_record():
    """Every member of a record comes from the row; a Chinese account stands as it is."""
    (record,) = records(table({}), source="sacct")
    assert record.id == "sj01:slurm:10:1795310137:0"
    assert (record.account, record.job, record.attempt, record.state) == ("实验室", "10", 1_795_310_137, "COMPLETED")
    assert (record.start_us, record.end_us) == (1_795_310_137_000_000, 1_795_310_222_000_000)
    assert (record.active_ms, record.gpu_ms) == (81_000, 162_000)
    assert record.accelerators == (Accelerator("a100", 2000),)
    assert (record.final, record.voucher) == (True, None)


@pytest.mark.parametrize(
    ("tres", "cards"),
    [
        ("billing=72,cpu=8,gres/gpu:a100=8,gres/gpu=8,node=1", {"a100": 8}),
        ("gres/gpu:a100=2,gres/gpu:h100=1,gres/gpu=3", {"a100": 2, "h100": 1}),
        ("gres/gpu:a100=2", {"a100": 2}),
        ("billing=12,gres/gpu=2,mem=31000M,node=2", {"unknown": 2}),
        ("gres/gpu:a100=0,gres/gpu:h100=1,gres/gpu=1", {"h100": 1}),
        ("gres/gpu=1,gres/gpumem=80G,gres/gpuutil=7,gres/fs=1.5K", {"unknown": 1}),
        ("gres/npu:ascend910b3=8,gres/npu=8", {"ascend910b3": 8}),
        ("gres/gpu=1,gres/npu=2", {"unknown": 3}),
    ],
)
def test_cards_of_alloctres(tres, cards):
    """Per resource the typed entries where there are any, else the untyped one; the count is the whole job's."""
    assert {card.model: card.count_milli for card in cards_of(tres, "unknown")} == {
        model: 1000 * count for model, count in cards.items()
    }


@pytest.mark.parametrize(
    ("tres", "reason"),
    [
        ("", "no-gpu"),
        ("cpu=2,node=1", "no-gpu"),
        ("gres/gpu=0", "no-gpu"),
        ("gres/shard=4", "no-gpu"),
        ("gres/gpu:a100=2,gres/gpu=3", "tres-mismatch"),
        ("gres/gpu:a100=2,gres/gpu:a100=2,gres/gpu=4", "bad-tres"),
        ("gres/gpu=2,gres/gpu=2", "bad-tres"),
        ("gres/gpu=1.5K", "bad-tres"),
        ("gres/gpu=-1", "bad-tres"),
        ("gres/gpu", "bad-tres"),
        ("gres/gpu=²", "bad-tres"),
        ("gres/gpu=999999999", "bad-tres"),
        ("gres/gpu=99999999999999999999", "bad-tres"),
    ],
)
def test_cards_that_cannot_be_told_are_no_cards(tres, reason):
    """Entries that do not add up, or say no plain number, skip the row."""
    with pytest.raises(RowFault) as fault:
        cards_of(tres, "unknown")
    assert fault.value.reason == reason


@given(
    typed=st.dictionaries(st.sampled_from(["a100", "h100", "v100", "l40s"]), st.integers(1, 64), min_size=1),
    noise=st.lists(st.sampled_from(["cpu=8", "billing=72", "mem=0", "node=2", "energy=1"]), unique=True),
    random=st.randoms(use_true_random=False),
)
def test_cards_do_not_depend_on_the_order_of_entries(typed, noise, random):
    """Whatever stands between them and wherever the untyped sum stands, the typed cards count once."""
    entries = [f"gres/gpu:{model}={count}" for model, count in typed.items()] + [
        f"gres/gpu={sum(typed.values())}",
        *noise,
    ]
    random.shuffle(entries)
    assert {card.model: card.count_milli // 1000 for card in cards_of(",".join(entries), "unknown")} == typed


@given(st.integers(0, 400 * 86_400))
def test_elapsed_is_read_as_slurm_prints_it(seconds):
    """`[DD-]HH:MM:SS` of any length gives back its seconds, beyond 32 days too."""
    days, rest = divmod(seconds, 86_400)
    clock = f"{rest // 3600:02d}:{rest % 3600 // 60:02d}:{rest % 60:02d}"
    assert elapsed_s(f"{days}-{clock}" if days else clock) == seconds
    if rest == seconds and rest < 3600:
        assert elapsed_s(clock[3:]) == seconds


@pytest.mark.parametrize(
    "text", ["", "INVALID", "61", "00:60:00", "00:00:60", "1-24:00:00", "-1:00", "00:01.5", "1:2:3:4"]
)
def test_other_elapsed_forms_are_refused(text):
    """Nothing is taken for a duration that Slurm does not print as one."""
    with pytest.raises(RowFault, match="bad-elapsed"):
        elapsed_s(text)


def test_long_jobs_are_whole():
    """A 45-day job has 45 days: `45-00:00:00`."""
    change = {"Start": "2026-01-01T00:00:00Z", "End": "2026-02-15T00:00:00Z", "Elapsed": "45-00:00:00"}
    columns = tuple(name.replace("ElapsedRaw", "Elapsed") for name in COLUMNS)
    (record,) = records(table(change, columns=columns), source="sacct")
    assert record.active_ms == 45 * 86_400_000


@pytest.mark.parametrize(
    ("columns", "charged_s"),
    [
        (("ElapsedRaw", "Elapsed", "Suspended"), 81),
        (("Elapsed", "Suspended"), 80),
        (("Suspended",), 82),
    ],
)
def test_charged_seconds_come_from_the_best_column(columns, charged_s):
    """ElapsedRaw before Elapsed before the interval without what was suspended."""
    names = tuple(name for name in COLUMNS if name != "ElapsedRaw") + columns
    (record,) = records(table({"Elapsed": "00:01:20", "Suspended": "00:00:03"}, columns=names), source="sacct")
    assert record.active_ms == charged_s * 1000


@pytest.mark.parametrize(
    "state",
    [
        "COMPLETED",
        "FAILED",
        "TIMEOUT",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "DEADLINE",
        "REQUEUED",
        "PREEMPTED",
        "BOOT_FAIL",
        "RESIZING",
        "REVOKED",
        "A_LATER_WORD",
    ],
)
def test_every_end_is_billed(state):
    """A list of known ends would lose usage: whatever has ended is billed under the state it ended in."""
    assert [record.state for record in records(table({"State": state}), source="sacct")] == [state]


def test_who_cancelled_is_no_part_of_the_state():
    """`CANCELLED by 0` and `CANCELLED by 1000` are CANCELLED."""
    rows = table({"JobIDRaw": "1", "State": "CANCELLED by 0"}, {"JobIDRaw": "2", "State": "CANCELLED by 1000"})
    assert {record.state for record in records(rows, source="sacct")} == {"CANCELLED"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"End": "Unknown"}, "running"),
        ({"State": "RUNNING"}, "running"),
        ({"State": "SUSPENDED"}, "running"),
        ({"Start": "None"}, "never-started"),
        ({"Start": "Unknown", "End": "Unknown"}, "never-started"),
        ({"State": "PENDING"}, "never-started"),
        ({"Start": "None", "AllocTRES": ""}, "never-started"),
        ({"AllocTRES": ""}, "no-gpu"),
        ({"JobIDRaw": "10.batch"}, "step"),
        ({"JobIDRaw": "10.0"}, "step"),
        ({"JobIDRaw": "10.extern"}, "step"),
        ({"JobIDRaw": "5_1"}, "bad-job-id"),
        ({"JobIDRaw": ""}, "bad-job-id"),
        ({"JobIDRaw": "٣"}, "bad-job-id"),
        ({"ElapsedRaw": "86"}, "duration-exceeds-interval"),
        ({"ElapsedRaw": "-1"}, "bad-elapsed"),
        ({"ElapsedRaw": ""}, "bad-elapsed"),
        ({"ElapsedRaw": "81.0"}, "bad-elapsed"),
        ({"ElapsedRaw": "0"}, "zero-duration"),
        ({"End": "2026-11-22T01:15:36Z"}, "end-before-start"),
        ({"End": "2026-02-30T00:00:00Z"}, "bad-time"),
        ({"Start": "yesterday"}, "bad-time"),
        ({"Start": "2026-11-22"}, "bad-time"),
        ({"Start": "20261122"}, "bad-time"),
        ({"Start": "1795310137000"}, "bad-time"),
        ({"State": ""}, "bad-state"),
        ({"Account": ""}, "bad-account"),
        ({"Account": "a\x07b"}, "bad-account"),
        ({"Account": "a" * 201}, "bad-account"),
        ({"Cluster": ""}, "bad-cluster"),
        ({"Cluster": "a:b"}, "bad-cluster"),
        ({"AllocTRES": "gres/gpu:a100=2,gres/gpu=3"}, "tres-mismatch"),
        ({"Account": "a|b"}, "field-count"),
    ],
)
def test_a_row_that_is_no_closed_attempt_is_skipped(change, reason):
    """Each with its own reason, its file and its line; the rows around it are read."""
    assert one_skipped(**change) == reason


def test_a_repeated_row_counts_once():
    """Two overlapping exports joined: the same attempt is a duplicate, one that says otherwise a conflict; the first stands."""
    rows = table({}, {}, {"ElapsedRaw": "80"}, {"Start": "2026-11-22T01:15:40Z", "ElapsedRaw": "82"})
    assert skipped(rows, source="sacct") == [(3, "duplicate"), (4, "conflict")]
    assert [record.active_ms for record in records(rows, source="sacct")] == [81_000, 82_000], (
        "a second run is another attempt"
    )


def test_the_same_job_id_of_two_clusters_are_two_jobs():
    """The cluster is part of the identity."""
    assert len(records(table({}, {"Cluster": "sj02"}), source="sacct")) == 2


def test_a_header_in_the_middle_of_joined_files_is_passed_over():
    """`cat day1 day2` repeats the header: it is no row."""
    rows = f"{table({'JobIDRaw': '1'})}\n{table({'JobIDRaw': '2'})}"
    assert skipped(rows, source="sacct") == [(3, "repeated-header")]
    assert len(records(rows, source="sacct")) == 2


@pytest.mark.parametrize("delimiter", ["|", "\x1f", "\t"])
@pytest.mark.parametrize("ending", ["", "trailing"])
def test_delimiters_are_found_from_the_header(delimiter, ending):
    """`|`, 0x1f and tab, with and without the delimiter that `-p` puts after the last field."""
    text = table({}, delimiter=delimiter)
    if ending:
        text = "\n".join(line + delimiter for line in text.split("\n"))
    assert totals(text, source="sacct") == totals(table({}), source="sacct")


def test_commas_need_quotes_around_alloctres():
    """With commas as delimiter, a quoted AllocTRES is one field; unquoted it would shift columns and is skipped."""
    row = ",".join([*list(ROW.values())[:-1], f'"{ROW["AllocTRES"]}"'])
    header = ",".join(COLUMNS)
    assert totals(f"{header}\n{row}", source="sacct") == totals(table({}), source="sacct")
    assert skipped(f"{header}\n{row.replace(chr(34), '')}", source="sacct") == [(2, "field-count")]


def test_a_bar_in_a_job_name():
    """JobName as the last column takes what is too much; elsewhere it would shift columns, and the line is skipped."""
    last = table({"JobName": "pipe|name|再"}, columns=(*COLUMNS, "JobName"))
    assert len(records(last, source="sacct")) == 1
    first = table({"JobName": "pipe|name"}, {"JobIDRaw": "11", "JobName": "名 字"}, columns=("JobName", *COLUMNS))
    assert skipped(first, source="sacct") == [(2, "field-count")]
    assert len(records(first, source="sacct")) == 1


def test_columns_of_a_headerless_log_are_named_without_case():
    """`--format` takes Slurm's own names in any case, with print widths, also where the header was printed after all."""
    names = tuple(f"{name.lower()}%30" for name in COLUMNS)
    body = table({}).split("\n")[1]
    assert totals(body, source="sacct", format=names) == totals(table({}), source="sacct")
    assert skipped(table({}), source="sacct", format=COLUMNS) == [(1, "repeated-header")]


def test_the_delimiter_of_a_headerless_log_survives_a_broken_first_line():
    """Commas within AllocTRES do not win over the bars between fields."""
    rows = "\n".join(["broken,line", *table({"JobIDRaw": "1"}, {"JobIDRaw": "2"}).split("\n")[1:]])
    assert skipped(rows, source="sacct", format=COLUMNS) == [(1, "field-count")]
    assert len(records(rows, source="sacct", format=COLUMNS)) == 2


@pytest.mark.parametrize("column", [*COLUMNS])
def test_a_needed_column_that_is_missing_is_named(column):
    """The file is refused, with the column and the way to get it."""
    columns = tuple(name for name in COLUMNS if name != column)
    with pytest.raises(MeteringError, match=rf"{column}.*sacct -a -D -X -P") as refusal:
        items(table({}, columns=columns), source="sacct")
    assert [finding.en for finding in refusal.value.findings] == [f"column {column} is missing"]


def test_reqtres_and_jobid_do_not_stand_in():
    """What was asked for is not what was allocated; an array's JobID is not the id that other rows use."""
    columns = tuple({"AllocTRES": "ReqTRES", "JobIDRaw": "JobID"}.get(name, name) for name in COLUMNS)
    with pytest.raises(MeteringError) as refusal:
        items(table({}, columns=columns), source="sacct")
    assert len(refusal.value.findings) == 2


def test_a_needed_column_that_stands_twice_is_refused():
    """Which of two Account columns is meant is not guessed."""
    with pytest.raises(MeteringError, match="account appears more than once"):
        items(table({}, columns=(*COLUMNS, "Account")), source="sacct")


def test_constants_stand_for_columns_that_the_file_lacks():
    """Cluster and account may be set, and the model of cards without a type; not against a column of the file."""
    columns = tuple(name for name in COLUMNS if name not in {"Cluster", "Account"})
    rows = table({"AllocTRES": "gres/gpu=2"}, columns=columns)
    (record,) = records(rows, source="sacct", constants={"account": "univ1", "cluster": "sj09", "model": "V100-SXM2"})
    assert (record.id, record.account) == ("sj09:slurm:10:1795310137:0", "univ1")
    assert record.accelerators == (Accelerator("V100-SXM2", 2000),)
    with pytest.raises(MeteringError, match="leave out --set"):
        items(table({}), source="sacct", constants={"cluster": "sj09"})


def test_typed_cards_keep_their_word_when_a_model_is_set():
    """A constant is for cards without a type only."""
    (record,) = records(table({}), source="sacct", constants={"model": "V100-SXM2"})
    assert record.accelerators[0].model == "a100"


# ---- sacct --json


def job(**changes) -> dict:
    known = {
        "job_id": 10,
        "cluster": "sj01",
        "account": "实验室",
        "time": {"start": 1_795_310_137, "end": 1_795_310_222, "elapsed": 81},
        "state": {"current": "COMPLETED"},
        "tres": {
            "allocated": [
                {"type": "cpu", "name": None, "count": 2},
                *({"type": "gres", "name": name, "count": 2} for name in ("gpu", "gpu:a100")),
            ]
        },
    }
    return {**known, **changes}


def document(*jobs: dict) -> str:
    return json.dumps({"meta": {}, "jobs": jobs})


def number(value: int | None) -> dict:
    return {"set": value is not None, "infinite": False, "number": value or 0}


def test_json_says_the_same_as_text():
    """The same attempt in both forms is the same record, in the shapes of earlier and of later versions."""
    later = job(
        time={"start": number(1_795_310_137), "end": number(1_795_310_222), "elapsed": number(81)},
        state={"current": ["COMPLETED"]},
    )
    assert (
        records(document(job()), source="sacct")
        == records(document(later), source="sacct")
        == records(table({}), source="sacct")
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"time": {"start": None, "end": 5, "elapsed": 0}}, "never-started"),
        ({"time": {"start": 0, "end": 0, "elapsed": 0}}, "never-started"),
        ({"time": {"start": 1_795_310_137, "end": 0, "elapsed": 6}}, "running"),
        ({"time": {"start": 1_795_310_137, "end": number(None), "elapsed": 6}}, "running"),
        ({"time": {"start": 1_795_310_137, "end": 1_795_310_222, "elapsed": "81"}}, "bad-elapsed"),
        ({"time": {"start": 1_795_310_137, "end": 1_795_310_222, "elapsed": True}}, "bad-elapsed"),
        ({"time": {"start": 1_795_310_137, "end": 1_795_310_222, "elapsed": 81.5}}, "bad-elapsed"),
        ({"time": {"start": 10**12, "end": 10**12, "elapsed": 1}}, "bad-time"),
        ({"time": {"start": -5, "end": 10, "elapsed": 1}}, "bad-time"),
        ({"state": {"current": ["RUNNING"]}}, "running"),
        ({"state": {"current": []}}, "bad-state"),
        ({"state": {"current": None}}, "bad-state"),
        ({"account": None}, "bad-account"),
        ({"account": "\udcff"}, "bad-account"),
        ({"cluster": 5}, "bad-cluster"),
        ({"job_id": 0}, "bad-job-id"),
        ({"job_id": "10.batch"}, "step"),
        ({"tres": {"allocated": []}}, "no-gpu"),
        ({"tres": {"allocated": None}}, "bad-tres"),
        ({"tres": {"allocated": [{"type": "gres", "name": "gpu", "count": -1}]}}, "bad-tres"),
    ],
)
def test_a_json_job_that_is_no_closed_attempt_is_skipped(changes, reason):
    """The same reasons as in text; the line is the job's place in the list."""
    found = items(document(job(job_id=9), job(**changes), job(job_id=11)), source="sacct")
    assert [getattr(item, "reason", "read") for item in found] == ["read", reason, "read"]
    assert found[1].line == 2


@pytest.mark.parametrize(
    "path", ["job_id", "time.start", "time.elapsed", "state.current", "tres.allocated", "cluster", "account"]
)
def test_a_json_member_that_is_missing_is_named(path):
    """A version that moved a needed member is refused, not read as nothing."""
    changed = job()
    *parents, last = path.split(".")
    node = changed
    for name in parents:
        node = node[name]
    del node[last]
    with pytest.raises(MeteringError, match=path.replace(".", r"\.")):
        items(document(changed), source="sacct")


@pytest.mark.parametrize(
    "text", ['{"jobs": [', '{"jobs": [NaN]}', '{"jobs": ' + "[" * 100_000, '{"jobs": [1' + "0" * 5000 + "]}"]
)
def test_broken_json_is_refused(text):
    """Cut off, with numbers that JSON has not, or nested without end: one clear refusal."""
    with pytest.raises(MeteringError, match="JSON"):
        items(text, source="sacct")


@pytest.mark.parametrize("text", ["{}", '{"jobs": {}}'])
def test_json_without_jobs_is_refused(text):
    """Another JSON document is not an empty list of jobs."""
    with pytest.raises(MeteringError, match="jobs"):
        items(text, source="sacct")


def test_json_carries_its_own_cluster():
    """A constant against the document's own member is refused."""
    with pytest.raises(MeteringError, match="leave out --set"):
        items(document(job()), source="sacct", constants={"cluster": "x"})
