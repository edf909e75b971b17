"""Grid accounting in its three forms: one job is one record, what is no usage is named, nothing is guessed."""

from __future__ import annotations

import json

import pytest

from metering.errors import MeteringError
from tests.metering.sources.reading import items, records, skipped, totals

JOB = {
    "Site": "SJ-LCG2",
    "SubmitHost": "ce01.example.org:2119/jobmanager-slurm-gpu",
    "LocalJobId": "31564872",
    "LocalUserId": "量子019",
    "GlobalUserName": "/C=CN/CN=Li",
    "FQAN": "/quantum/Role=NULL/Capability=NULL",
    "WallDuration": "234256",
    "CpuDuration": "2345",
    "Processors": "2",
    "NodeCount": "2",
    "StartTime": "1796000000",
    "EndTime": "1796234256",
}
MONTH = {
    "MeasurementMonth": "2",
    "MeasurementYear": "2026",
    "AssociatedRecordType": "cloud",
    "AssociatedRecord": "vm-17",
    "GlobalUserName": "/C=CN/CN=Li",
    "FQAN": "/quantum/Role=NULL",
    "SiteName": "SJ-LCG2",
    "Count": "2.500",
    "Cores": "6912",
    "ActiveDuration": "60",
    "AvailableDuration": "86400",
    "Type": "GPU",
    "Model": "A100-SXM4-80GB",
}
TWO = {"source": "apel", "constants": {"gpus": "2"}}


def text(*jobs, header="APEL-individual-job-message: v0.1"):
    return "".join(
        [header, "\n", *("".join(f"{name}: {value}\n" for name, value in job.items()) + "%%\n" for job in jobs)]
    )


def car(*jobs):
    """The same jobs as Compute Accounting Records of EMI."""
    body = "".join(
        f"""<urf:UsageRecord><urf:RecordIdentity urf:recordId="x{number}" urf:createTime="2026-12-01T00:00:00Z"/>
        <urf:JobIdentity><urf:LocalJobId>{job["LocalJobId"]}</urf:LocalJobId></urf:JobIdentity>
        <urf:UserIdentity><urf:LocalUserId>量子019</urf:LocalUserId><urf:Group>quantum</urf:Group></urf:UserIdentity>
        <urf:Status>completed</urf:Status><urf:WallDuration>PT2D</urf:WallDuration>
        <urf:CpuDuration urf:usageType="all">PT2345S</urf:CpuDuration>
        <urf:StartTime>2026-11-30T00:53:20Z</urf:StartTime><urf:EndTime>2026-12-02T17:57:36Z</urf:EndTime>
        <urf:SubmitHost>{job["SubmitHost"]}</urf:SubmitHost><urf:Site>SJ-LCG2</urf:Site></urf:UsageRecord>
        """.replace("PT2D", "P2DT17H4M16S")
        for number, job in enumerate(jobs)
    )
    space = "http://eu-emi.eu/namespaces/2012/11/computerecord"
    return f'<?xml version="1.0"?>\n<urf:UsageRecords xmlns:urf="{space}">{body}</urf:UsageRecords>'


@pytest.mark.parametrize(
    "form",
    [
        text(JOB),
        text(JOB, header="APEL-individual-job-message: v0.2").replace("\n", "\r\n"),
        json.dumps({"Type": "APEL-individual-job-message", "Version": "0.1", "UsageRecords": [JOB]}),
        json.dumps({"UsageRecords": [{**JOB, "StartTime": 1796000000, "EndTime": 1796234256, "WallDuration": 234256}]}),
        car(JOB),
    ],
    ids=["text", "crlf", "json", "json-numbers", "car"],
)
def test_one_job_in_every_form(form):
    """Wall time times cards; the account is the VO, the id is what the batch system calls the job, and its start."""
    (record,) = records(form, **TWO)
    assert (record.account, record.job, record.active_ms) == ("quantum", "31564872", 234_256_000)
    assert record.id == f"apel:SJ-LCG2:{JOB['SubmitHost']}:31564872:1796000000"
    assert record.gpu_ms == 2 * 234_256_000
    assert record.gpu_ms != 2 * 2_345_000, "processor time is no card time"
    assert (record.start_us, record.end_us) == (1_796_000_000_000_000, 1_796_234_256_000_000)


def test_cards_are_said_or_the_file_is_refused():
    """A job record tells processors and nodes: neither is taken for a number of cards."""
    with pytest.raises(MeteringError, match="--map gpus"):
        items(text(JOB), source="apel")
    (record,) = records(text({**JOB, "GPUs": "8"}), source="apel", mapping={"gpus": "GPUs", "account": "LocalUserId"})
    assert (record.account, record.accelerators[0].count_milli) == ("量子019", 8000)
    assert skipped(text(JOB), source="apel", mapping={"gpus": "GPUs"}) == [(2, "bad-gpus")]


def test_a_month_of_cards_charges_what_was_available():
    """2.5 cards for a day in February: 60 active seconds are evidence, not the bill."""
    (record,) = records(text(MONTH, header="APEL-accelerator-message: v0.1"), source="apel")
    assert record.gpu_ms == 2500 * 86_400
    assert record.gpu_ms != 2500 * 60, "what was active"
    assert record.accelerators[0].model == "A100-SXM4-80GB"
    summary = totals(text(MONTH, header="APEL-accelerator-message: v0.1"), source="apel")
    assert summary["by_month"] == {"2026-02": 2500 * 86_400}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"AvailableDuration": str(28 * 86_400 + 1)}, "duration-exceeds-interval"),
        ({"AvailableDuration": "0"}, "zero-duration"),
        ({"MeasurementMonth": "13"}, "bad-time"),
        ({"Type": "FPGA"}, "other-type"),
        ({"Count": "2.5005"}, "bad-gpus"),
        ({"FQAN": "None"}, "bad-account"),
    ],
)
def test_a_month_that_contradicts_itself_is_skipped(change, reason):
    """A month has as many seconds as it has."""
    assert skipped(text({**MONTH, **change}, header="APEL-accelerator-message: v0.1"), source="apel") == [(2, reason)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"WallDuration": "PT4"}, "bad-duration"),
        ({"WallDuration": "234257"}, "duration-exceeds-interval"),
        ({"EndTime": "1795000000"}, "end-before-start"),
        ({"StartTime": ""}, "bad-time"),
        ({"FQAN": "None"}, "bad-account"),
        ({"Status": "queued"}, "read"),
        ({"NumberOfJobs": "5"}, "summary-record"),
    ],
)
def test_a_job_that_contradicts_itself_is_skipped(change, reason):
    """The jobs around it are read."""
    found = items(text({**JOB, "LocalJobId": "1"}, {**JOB, **change}, {**JOB, "LocalJobId": "3"}), **TWO)
    assert [getattr(item, "reason", "read") for item in found] == ["read", reason, "read"]


def test_malformed_records_are_named_by_line():
    """No colon, a key that comes twice, GBK bytes, a record cut off: each costs itself."""
    good = text(JOB).removeprefix("APEL-individual-job-message: v0.1\n")
    bad = good.replace("NodeCount: 2\n", "NodeCount 2\n").replace("31564872", "2")
    double = good.replace("NodeCount: 2\n", "NodeCount: 2\nNodeCount: 3\n").replace("31564872", "3")
    gbk = good.replace("31564872", "4").encode().replace("量子".encode(), "量子".encode("gbk"))
    cut = good.replace("31564872", "5").removesuffix("EndTime: 1796234256\n%%\n")
    head = b"APEL-individual-job-message: v0.1\n"
    data = head + good.encode() + bad.encode() + double.encode() + gbk + good.replace("31564872", "6").encode()
    found = items(data + cut.encode(), **TWO)
    assert [(getattr(item, "reason", "read")) for item in found] == [
        *("read", "bad-line", "repeated-key", "bad-encoding", "read", "truncated"),
    ]
    assert [item.line for item in found if hasattr(item, "reason")] == [15, 28, 42, 68]


def test_a_repeated_job_is_known_again():
    """The same record twice is a duplicate, with another wall time a conflict; another start is another attempt."""
    later = {**JOB, "StartTime": "1796000001"}
    found = text(JOB, JOB, {**JOB, "WallDuration": "5"}, {**later, "WallDuration": "5"})
    assert skipped(found, **TWO) == [(15, "duplicate"), (28, "conflict")]


@pytest.mark.parametrize(
    "data", [b"", b"hello\n", b"<html", b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", b"{}", b'{"UsageRecords": 1}']
)
def test_another_file_is_refused(data):
    """What is none of the three forms, or carries a document type, is refused as a whole."""
    with pytest.raises(MeteringError):
        items(data, **TWO)


def test_a_car_document_cut_off_gives_its_whole_records():
    """The first of two jobs is read, the second reported."""
    whole = car(JOB, {**JOB, "LocalJobId": "2"})
    cut = whole[: whole.rindex("<urf:EndTime>") + 20]
    assert len(records(whole, **TWO)) == 2
    found = items(cut, **TWO)
    assert [getattr(item, "reason", "read") for item in found] == ["read", "truncated"]
