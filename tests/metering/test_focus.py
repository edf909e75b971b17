"""FOCUS 1.0 rows: every column under both names, decimals with a point, corrections in the period of issue."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import xml.parsers.expat
from pathlib import Path

import pytest

from metering.focus import COLUMNS, RENAMED, Charge, gpu_hours, row

DAY_US = 86_400_000_000
NOVEMBER, DECEMBER, JANUARY = (seconds * 1_000_000 for seconds in (1_793_491_200, 1_796_083_200, 1_798_761_600))
VALIDATOR = os.environ.get("SUANQUAN_TEST_FOCUS", "")
"""The `focus-validator` program of an environment of its own, where there is one."""


def charge(**changes):
    fields = {
        "billing_from_us": NOVEMBER,
        "billing_to_us": DECEMBER,
        "from_us": NOVEMBER,
        "to_us": NOVEMBER + DAY_US,
        "centre": "sj01",
        "centre_name": "松江智算中心",
        "region": "cn-sh-songjiang",
        "region_name": "Songjiang",
        "account": "startup1",
        "account_name": "量子实验室",
        "beneficiary": "91350100M000100Y43",
        "beneficiary_name": "量子公司",
        "model": "A100",
        "gpu_ms": 7_200_000,
        "unit_yuan": 12_000_000,
        "list_yuan": 24_000_000,
        "billed_yuan": 24_000_000,
        "effective_yuan": 24_000_000,
        "issuer": "松江区",
        "resource": "sj01/A100",
        "tags": {"project": "大模型"},
    }
    return Charge(**fields | changes)


MONTH = [
    charge(),
    charge(voucher="SJ-2026-000123", billed_yuan=0, effective_yuan=7_200_000),
    charge(voucher="SJ-2026-000124", gpu_ms=0, list_yuan=0, billed_yuan=0, effective_yuan=5_000_000, used=False),
    charge(
        billing_from_us=DECEMBER,
        billing_to_us=JANUARY,
        correction=True,
        gpu_ms=-3_600_000,
        list_yuan=-12_000_000,
        billed_yuan=-12_000_000,
        effective_yuan=-12_000_000,
    ),
]


def exported():
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(row, MONTH))
    return out.getvalue()


def test_every_row_has_every_column_under_both_names():
    """The validator's names and the published ones say the same."""
    rows = list(csv.DictReader(io.StringIO(exported())))
    assert tuple(rows[0]) == COLUMNS
    assert len(set(COLUMNS)) == len(COLUMNS) == 42 + len(RENAMED) + 1, "one column of our own"
    for one in rows:
        assert all(one[released] == one[published] for released, published in RENAMED.items())
        assert json.loads(one["Tags"]) == {"project": "大模型"}


def test_a_voucher_is_a_commitment_that_was_spent():
    """What it paid is Used and billed as nothing; what it lost by expiring is Unused."""
    free, paid, expired, _ = (row(one) for one in MONTH)
    assert (free["CommitmentDiscountId"], free["PricingCategory"]) == ("", "Standard")
    assert (paid["CommitmentDiscountCategory"], paid["CommitmentDiscountStatus"]) == ("Spend", "Used")
    assert (paid["BilledCost"], paid["EffectiveCost"], paid["ListCost"]) == ("0.000000", "7.200000", "24.000000")
    assert expired["CommitmentDiscountStatus"] == "Unused"


def test_a_correction_stands_in_the_period_in_which_it_was_made():
    """Billed in December, for a day of November; the charge period is never moved."""
    correction = row(MONTH[-1])
    assert correction["ChargeClass"] == "Correction"
    assert (correction["BillingPeriodStart"], correction["ChargePeriodStart"]) == (
        "2026-12-01T00:00:00Z",
        "2026-11-01T00:00:00Z",
    )
    assert (correction["BilledCost"], correction["ConsumedQuantity"]) == ("-12.000000", "-1.0000000000")
    assert row(MONTH[0])["ChargeClass"] == ""


@pytest.mark.parametrize(
    ("gpu_ms", "text"),
    [(3_600_000, "1.0000000000"), (1, "0.0000002778"), (-1, "-0.0000002778"), (0, "0.0000000000")],
)
def test_hours_are_printed_with_ten_digits(gpu_ms, text):
    """A GPU-millisecond can still be seen."""
    assert gpu_hours(gpu_ms) == text


@pytest.mark.skipif(
    not VALIDATOR, reason="SUANQUAN_TEST_FOCUS names no focus-validator (docs/sources.md says how to get one)"
)
def test_the_released_validator_finds_nothing(tmp_path):
    """focus-validator 1.0.0 on a month with corrections: 0 failures. It must run in its own packages' folder."""
    file, report = tmp_path / "export.csv", tmp_path / "focus.xml"
    file.write_text(exported(), "utf-8")
    (packages,) = Path(VALIDATOR).resolve().parents[1].glob("lib/python*/site-packages")
    command = [VALIDATOR, "--data-file", file, "--validate-version", "1.0"]
    command += ["--output-type", "unittest", "--output-destination", report]
    done = subprocess.run(list(map(str, command)), cwd=packages, capture_output=True, text=True, check=False)
    totals = {}

    def note(_name, attributes):
        totals.update({name: int(attributes[name]) for name in ("tests", "failures", "errors") if name in attributes})

    parser = xml.parsers.expat.ParserCreate()
    parser.StartElementHandler = note
    parser.Parse(report.read_bytes(), True)
    print(totals, file=sys.stderr)
    assert totals["tests"] > 100, done.stdout
    assert (totals["failures"], totals.get("errors", 0)) == (0, 0), done.stdout
