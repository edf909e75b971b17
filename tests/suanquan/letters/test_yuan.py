"""Sums in capitals, as bills write them."""

from random import Random

import pytest

from suanquan.letters.yuan import in_capitals, in_figures


@pytest.mark.parametrize(
    ("fen", "words"),
    [
        (0, "零元整"),
        (1, "壹分"),
        (10, "壹角整"),
        (100, "壹元整"),
        (105, "壹元零伍分"),
        (1_000, "壹拾元整"),
        (140_950, "壹仟肆佰零玖元伍角整"),
        (600_714, "陆仟零柒元壹角肆分"),
        (168_032, "壹仟陆佰捌拾元叁角贰分"),
        (32_504, "叁佰贰拾伍元零肆分"),
        (10_700_053, "壹拾万柒仟元伍角叁分"),
        (200_000_000, "贰佰万元整"),
        (1_000_000_100, "壹仟万零壹元整"),
        (299_999_999_900, "贰拾玖亿玖仟玖佰玖拾玖万玖仟玖佰玖拾玖元整"),
        (300_000_000_000, "叁拾亿元整"),
        (10_000_000_100, "壹亿零壹元整"),
        (100_000_000_010_000, "壹万亿零壹佰元整"),
    ],
)
def test_sums_are_written_in_capitals(fen, words):
    """The examples of the rules for bills, and the sums of these policies."""
    assert in_capitals(fen) == words


def value_of(words):
    """The sum that capitals say, read by another way: each digit times its place."""
    digits = {word: at for at, word in enumerate("零壹贰叁肆伍陆柒捌玖")}
    places = {"拾": 10, "佰": 100, "仟": 1000}
    total = group = digit = fen = 0
    for word in words.removesuffix("整"):
        if word in digits:
            digit = digits[word]
        elif word in places:
            group, digit = group + digit * places[word], 0
        elif word in "万亿":
            scale = {"万": 10**4, "亿": 10**8}[word]
            if word == "亿" and group + digit == 0:  # 万亿
                total *= scale
            elif word == "亿":
                total += (group + digit) * scale
            else:
                total += (group + digit) * scale
            group = digit = 0
        elif word == "元":
            total, group, digit = total + group + digit, 0, 0
        elif word == "角":
            fen, digit = fen + digit * 10, 0
        elif word == "分":
            fen, digit = fen + digit, 0
    return total * 100 + fen


def test_capitals_say_the_sum(seed):
    """Read back, the words of random sums below a 万亿 give the sum, and no sum has two 零 in a row."""
    random = Random(seed)
    for _ in range(3000):
        fen = random.randrange(10 ** random.randrange(1, 15))
        words = in_capitals(fen)
        assert value_of(words) == fen, words
        assert "零零" not in words


def test_figures_have_their_thousands():
    """Two decimals, always."""
    assert in_figures(200_000_005) == "2,000,000.05"
