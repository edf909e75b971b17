"""A holder is named by a unified social credit code, taken exactly as printed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voucher.errors import VoucherError
from voucher.holder import check_uscc, holder_class, sandbox_uscc

ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
numbers = st.integers(0, 10**9 - 1)


@pytest.mark.parametrize("code", ["91350100M000100Y43", "91440300708461136T"])
def test_published_codes_are_valid(code):
    """The standard's own example and a listed company's code pass."""
    assert check_uscc(code) == code


@given(numbers)
def test_a_sandbox_code_is_valid_and_nobodys(number):
    """It names no place (000000) and the department and kind 其他."""
    code = sandbox_uscc(number)
    assert check_uscc(code) == code
    assert code.startswith("Y1000000")
    assert holder_class(code) == "other"


@given(numbers, st.integers(0, 17), st.sampled_from(ALPHABET))
def test_one_wrong_character_is_always_found(number, place, character):
    """The check character catches each single slip of the pen."""
    code = sandbox_uscc(number)
    slipped = code[:place] + character + code[place + 1 :]
    if slipped != code:
        with pytest.raises(VoucherError):
            check_uscc(slipped)


@given(numbers, st.integers(0, 16))
def test_two_exchanged_characters_are_always_found(number, place):
    """Neighbours carry different weights."""
    code = sandbox_uscc(number)
    exchanged = code[:place] + code[place + 1] + code[place] + code[place + 2 :]
    if exchanged != code:
        with pytest.raises(VoucherError):
            check_uscc(exchanged)


@pytest.mark.parametrize(
    "code",
    [
        "",
        "91350100M000100Y4",
        "91350100M000100Y433",
        "91350100m000100y43",
        " 91350100M000100Y43",
        "91350100M000100Y43\n",
        "9135O100M000100Y43",
        "91A50100M000100Y43",
        "91350100-000100Y43",
        "９1350100M000100Y43",
    ],
)
def test_nothing_is_normalised(code):
    """Lower case, spaces, look-alike letters and full-width digits are refused, not repaired."""
    with pytest.raises(VoucherError) as caught:
        check_uscc(code)
    assert caught.value.code == "uscc-malformed"


def test_the_registering_department_tells_the_class():
    """Business registration makes enterprises, 机构编制 public institutions, civil affairs social organisations."""
    assert [holder_class(first) for first in "195Y"] == [
        "public-institution",
        "enterprise",
        "social-organisation",
        "other",
    ]


def test_sandbox_numbers_end_somewhere():
    """Nine digits are there for them."""
    with pytest.raises(VoucherError):
        sandbox_uscc(10**9)
