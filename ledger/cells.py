"""Text in cells of exported tables: what a spreadsheet would run as a formula is shown as text instead (CWE-1236)."""

from __future__ import annotations

import re

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
_STARTS = frozenset("=+-@|%\t\r\n＝＋－＠")
"""What begins a formula in some spreadsheet; the wide ones do where the language is Chinese or Japanese."""


def plain_cell(text: str) -> str:
    """A text as a cell may hold it; numbers stay numbers, whatever their sign."""
    if _NUMBER.fullmatch(text) or not text or not (text[0] in _STARTS or text.lstrip()[:1] in _STARTS):
        return text
    return f"'{text}"
