"""Text from outside, written so that neither a terminal nor a reader of logs takes part of it for anything but text."""

from __future__ import annotations

import re

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""All controls but tab and line feed, and what ends a line or turns the direction of writing in Unicode."""


def visible(text: str) -> str:
    r"""Text with its controls written out, `\u001b` for an escape.

    Names and reasons come from outside: as they are they could move the cursor and forge what a command says, or begin a line of
    a log (CWE-117, CWE-150). Within a JSON text the result means the same.
    """
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
