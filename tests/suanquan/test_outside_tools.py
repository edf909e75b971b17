"""What others' tools say of our exports and metrics: focus-validator, pyarrow, promtool."""

import asyncio
import csv
import datetime as dt
import os
import shutil
import subprocess
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from metering.model import Accelerator
from metering.zones import SHANGHAI
from suanquan.service import open_service
from suanquan.use_cases.desk import Amendment, amend
from suanquan.use_cases.exports import write_export
from tests.suanquan.harness import HOUR_MS, NOON_US, PASSPHRASE, Agent, ThreadedService, give, request, usage
from voucher.holder import sandbox_uscc

SOURCE = "urn:centre:sj01:agent:test"


@pytest.fixture(scope="module")
def served(template, tmp_path_factory):
    """A home in which a month has usage of two models, paid by vouchers in yuan and compute and by accounts themselves, with corrections."""
    made = template.copy_to(tmp_path_factory.mktemp("exports") / "home")
    with ThreadedService(made.home) as running:
        running.call(give(running.service, sandbox_uscc(1), "50", accounts=["covered"]))
        running.call(give(running.service, sandbox_uscc(2), "3", unit="PFLOPS.h", accounts=["计算"]))
        agent = Agent(running.url)
        records = [usage(n, account=("alone", "covered", "计算")[n % 3]) for n in range(12)]
        records.append(usage(20, accelerators=(Accelerator("A100", 500), Accelerator("H100-SXM", 2000))))
        records.append(usage(21, end_us=NOON_US + 31 * 24 * HOUR_MS * 1000, active_ms=HOUR_MS, account="covered"))
        records.append(usage(22, model="Nobody's"))
        assert agent.report_records(records).status == 200
        running_job = replace(usage(30, account="covered"), final=False, state="RUNNING", active_ms=HOUR_MS // 2)
        assert agent.report_records([running_job]).status == 200
        for wanted in (
            Amendment(SOURCE, usage(1).id, "张三", "重复", "李四"),
            Amendment(SOURCE, usage(2).id, "张三", "半小时", "李四", None, {"active_ms": HOUR_MS // 2}),
            Amendment(SOURCE, usage(3).id, "张三", "换账户", "李四", None, {"account": "covered"}),
        ):
            running.call(amend(running.service.journal, running.service.rules, wanted))
        yield running


def month_of(running):
    return int(f"{dt.datetime.fromtimestamp(running.service.now_us // 1_000_000, SHANGHAI):%Y%m}")


def export(running, form, path):
    running.call(write_export(running.service, month_of(running), form, path))
    return path


def test_focus_validator_finds_no_fault(served, tmp_path):
    """All rules of FOCUS 1.0 hold for an export of a month with corrections."""
    place = os.environ.get("SUANQUAN_TEST_FOCUS")
    if not place:
        pytest.skip("SUANQUAN_TEST_FOCUS names no focus-validator (docs/sources.md says how to get one)")
    made = export(served, "focus-csv", tmp_path / "focus.csv")
    rows = list(csv.DictReader(made.read_text("utf-8").splitlines()))
    assert {row["ChargeClass"] for row in rows} == {"", "Correction"}
    assert {bool(row["CommitmentDiscountId"]) for row in rows} == {True, False}
    [packages] = (Path(place).parents[1] / "lib").glob("python3*/site-packages")
    command = [
        place, "--data-file", str(made), "--validate-version", "1.0", "--output-type",
        "unittest", "--output-destination", str(tmp_path / "focus.xml"),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=packages, capture_output=True, text=True, check=False)
    assert (tmp_path / "focus.xml").exists(), done.stdout[-2000:] + done.stderr[-2000:]
    suites = ET.parse(tmp_path / "focus.xml").getroot()
    faults = [case.get("name") for case in suites.iter("testcase") if len(case)]
    assert not faults, done.stdout[-3000:]
    assert {name: suites.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "133", "failures": "0", "errors": "0", "skipped": "0",
    }  # fmt: skip


def test_parquet_says_what_csv_says(served, tmp_path):
    """Read by pyarrow: the same columns and rows, null where CSV has nothing, in several row groups where it is long."""
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    rows = list(csv.DictReader(export(served, "focus-csv", tmp_path / "a.csv").read_text("utf-8").splitlines()))
    table = parquet.read_table(export(served, "parquet", tmp_path / "a.parquet"))
    assert table.column_names == list(rows[0])
    assert table.to_pylist() == [{name: value or None for name, value in row.items()} for row in rows]
    assert len(rows) > 10


def test_promtool_finds_nothing_to_say(served):
    """`promtool check metrics` on a page with usage, vouchers, quarantine and alerts."""
    program = os.environ.get("SUANQUAN_TEST_PROMTOOL") or shutil.which("promtool")
    if program is None:
        pytest.skip("no promtool")
    page = request(served.url, "GET", "/metrics").content
    done = subprocess.run([program, "check", "metrics"], input=page, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_an_empty_month_is_an_empty_export(served, tmp_path):
    """Headers alone, in every form."""

    async def run():
        async with open_service(served.service.home, PASSPHRASE) as service:
            return [
                await write_export(service, 201901, form, tmp_path / form) for form in ("focus-csv", "csv", "parquet")
            ]

    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    assert asyncio.run(run()) == [0, 0, 0]
