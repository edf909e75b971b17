"""Amounts: exact integers inside, decimal strings at the edge."""

import contextlib
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.amount import CNY, COMPUTE, INT64_MAX, format_units, parse_units
from ledger.errors import Kind, LedgerError

ASSETS = st.sampled_from([CNY, COMPUTE])


@given(st.integers(0, INT64_MAX), ASSETS)
def test_what_is_written_reads_back(units, asset):
    """A stored amount and its decimal string are the same number, to the last digit."""
    assert parse_units(format_units(units, asset), asset) == units


@given(st.from_regex(r"(0|[1-9][0-9]{0,8})(\.[0-9]{1,9})?", fullmatch=True), ASSETS)
def test_a_decimal_string_means_its_exact_fraction(text, asset):
    """A string is either the exact number of units it says, or refused because it is finer than the asset."""
    exact = Fraction(text) * 10**asset.scale
    if exact.denominator == 1:
        assert parse_units(text, asset) == exact
    else:
        with pytest.raises(LedgerError, match="at most"):
            parse_units(text, asset)


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("0", 0),
        ("1", 1_000_000),
        ("0.5", 500_000),
        ("1234.567891", 1_234_567_891),
        ("1.50000000", 1_500_000),
        ("9223372036854.775807", INT64_MAX),
    ],
)
def test_yuan_are_counted_in_millionths(text, units):
    """Yuan have six decimals; zeros beyond them say nothing and are taken."""
    assert parse_units(text, CNY) == units


def test_amounts_are_shown_with_all_digits_of_their_asset():
    """A balance below zero keeps its sign, and no digit is dropped."""
    assert [format_units(units, CNY) for units in (-500_000, 0, 1)] == ["-0.500000", "0.000000", "0.000001"]
    assert format_units(3_000_000_001, COMPUTE) == "3.000000001"


@pytest.mark.parametrize(
    "text",
    ["", "-1", "+1", "01", "1.", ".5", "1e3", "1,000", "1_000", " 1", "1\n", "１", "٣", "NaN", "0x10", "1.0000001"],
)
def test_anything_but_a_plain_decimal_is_refused(text):
    """Signs, exponents, separators, other scripts' digits and a seventh decimal are refused, and the text is quoted."""
    with pytest.raises(LedgerError) as refused:
        parse_units(text, CNY)
    assert (refused.value.code, refused.value.kind) == ("amount-malformed", Kind.INVALID)
    assert refused.value.en == f"amount {text!r} must be a plain decimal with at most 6 decimals"
    assert refused.value.zh == f"金额“{text}”应为十进制数，小数不超过 6 位"


@pytest.mark.parametrize(("text", "asset"), [("9223372036854.775808", CNY), ("9223372037", COMPUTE)])
def test_an_amount_beyond_64_bits_is_refused(text, asset):
    """What a database column cannot hold exactly never reaches it."""
    with pytest.raises(LedgerError, match="is too large") as refused:
        parse_units(text, asset)
    assert refused.value.code == "amount-too-large"


@given(st.text(max_size=80))
def test_any_other_text_is_refused_and_never_crashes(text):
    """Whatever a person types gives an amount or the ledger's own error."""
    with contextlib.suppress(LedgerError):
        assert 0 <= parse_units(text, CNY) <= INT64_MAX
