"""Versions of a scheme follow one another by days of Shanghai and never overlap; published examples come out."""

from datetime import UTC, date, datetime

import pytest

from tests.voucher.samples import SANDBOX_FILE, codes
from voucher.errors import VoucherError
from voucher.scheme import policy_year
from voucher.scheme_reader import parse_scheme, parse_series

TEXT = SANDBOX_FILE.read_text("utf-8")


def refused(text):
    with pytest.raises(VoucherError) as caught:
        parse_scheme(text.encode(), "bad.toml")
    return caught.value


def second_version(first_to, second_from):
    body = TEXT[TEXT.index("[[version]]") :]
    first = body.replace('to = "open"', f"to = {first_to}", 1)
    second = body.replace('from = "open"', f"from = {second_from}", 1).replace('version = "1"', 'version = "2"')
    return TEXT[: TEXT.index("[[version]]")] + first + second.replace("priority = 100", "priority = 7")


def test_versions_follow_one_another():
    """On each day exactly the version in force answers, to the last day of the first and the first of the second."""
    series = parse_series(second_version("2025-06-30", "2025-07-01").encode(), "a.toml")
    assert [version.version for version in series.versions] == ["1", "2"]
    assert [series.on(date(2025, month, day)).priority for month, day in ((6, 30), (7, 1))] == [100, 7]
    midnight_us = int(datetime(2025, 6, 30, 16, tzinfo=UTC).timestamp()) * 1_000_000
    assert [series.at(at_us).priority for at_us in (midnight_us - 1, midnight_us)] == [100, 7]
    assert series.latest.priority == 7


def test_versions_may_leave_a_gap_but_not_overlap():
    """In a gap no version is in force; two versions on one day would let anybody choose."""
    series = parse_series(second_version("2025-06-30", "2025-08-01").encode(), "a.toml")
    assert series.on(date(2025, 7, 15)) is None
    error = refused(second_version("2025-07-01", "2025-07-01"))
    assert codes(error) == ["scheme-overlap"]
    assert error.findings[0].where.endswith(":version[1].from")
    same = second_version("2025-06-30", "2025-07-01").replace('version = "2"', 'version = "1"')
    assert codes(refused(same)) == ["scheme-overlap"]


@pytest.mark.parametrize(
    ("instant", "year"),
    [("2025-12-31T15:59:59.999999", 2025), ("2025-12-31T16:00:00", 2026), ("2026-01-01T00:00:00", 2026)],
)
def test_the_year_turns_at_midnight_in_shanghai(instant, year):
    """Local midnight is 16:00 UTC."""
    moment = datetime.fromisoformat(instant).replace(tzinfo=UTC)
    assert policy_year(int(moment.timestamp() * 1_000_000)) == year


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('prorate = "days_exclusive_end"', 'prorate = "days_inclusive"'),
        ('amount_yuan = "25102"', 'amount_yuan = "25103"'),
        ('mode = "truncate" ', 'mode = "half_up" '),
        ("quantum_fen = 100", "quantum_fen = 1"),
        ('amount_yuan = "200000"', 'amount_yuan = "2e5"'),
        ("related_to_provider = false", "related_to_provider = true"),
        ("on = 2026-01-10", "on = 2026-02-10"),
        ("[example.facts]", "[example.fact]"),
    ],
)
def test_a_published_example_must_come_out(old, new):
    """Nanning's own example is in its file: rules that give another figure are not loaded."""
    text = (SANDBOX_FILE.parent / "nanning-2025.toml").read_text("utf-8")
    assert old in text
    assert "scheme-example" in codes(refused(text.replace(old, new, 1)))
