"""Sums of money as official letters write them: in figures, and in the capitals that nobody can alter (大写金额)."""

from __future__ import annotations

_DIGITS = "零壹贰叁肆伍陆柒捌玖"
_PLACES = ("", "拾", "佰", "仟")
_GROUPS = ("", "万", "亿", "万亿")


def in_figures(fen: int) -> str:
    """`2,000,000.00`, in yuan."""
    return f"{fen // 100:,}.{fen % 100:02}"


def in_capitals(fen: int) -> str:
    """`贰佰万元整`: sums below 10,000 万亿 yuan, after the rules for bills (支付结算办法, annex 1)."""
    yuan, part = divmod(fen, 100)
    jiao, rest = divmod(part, 10)
    words = f"{_integer(yuan)}元" if yuan or not part else ""
    if not part:
        return f"{words}整"
    if jiao:
        words += f"{_DIGITS[jiao]}角"
    elif yuan:
        words += "零"
    return f"{words}{_DIGITS[rest]}分" if rest else f"{words}整"


def _integer(number: int) -> str:
    """Groups of four digits; a gap of zeros between digits that are said is one 零."""
    if number == 0:
        return _DIGITS[0]
    words, gap = "", False
    groups = [number // 10_000**at % 10_000 for at in range(len(_GROUPS))]
    for at in reversed(range(len(_GROUPS))):
        group = groups[at]
        if group == 0:
            gap = bool(words)
            continue
        if words and (gap or group < 1000):
            words += _DIGITS[0]
        words += _four(group) + _GROUPS[at]
        gap = False
    return words


def _four(group: int) -> str:
    words, gap = "", False
    for at in reversed(range(4)):
        digit = group // 10**at % 10
        if digit == 0:
            gap = bool(words)
            continue
        words += (_DIGITS[0] if gap else "") + _DIGITS[digit] + _PLACES[at]
        gap = False
    return words
