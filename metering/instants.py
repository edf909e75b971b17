"""RFC 3339 instants to UTC epoch microseconds, fast for the common form and strict for every form."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
from collections.abc import Sequence

from metering.zones import instant_us

_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_MINUTES_CACHED_MAX = 50_000
_minutes: dict[str, int] = {}
_SECONDS = {f":{second:02d}Z": second * 1_000_000 for second in range(60)}


def parse_instant(text: str) -> int:
    """Microseconds of `2026-11-22T01:15:37Z` or any RFC 3339 instant with an offset, to the microsecond.

    Raises:
        ValueError: no offset (a naive time), finer than a microsecond, or no instant at all.

    """
    minute = _minutes.get(text[:16])
    if minute is not None and (second := _SECONDS.get(text[16:])) is not None:
        return minute + second
    if not _RFC3339.fullmatch(text):
        raise ValueError("not an RFC 3339 instant with an offset")
    value = instant_us(dt.datetime.fromisoformat(text.upper()))
    if text[16:] in _SECONDS:
        if len(_minutes) >= _MINUTES_CACHED_MAX:
            _minutes.clear()
        _minutes[text[:16]] = value - _SECONDS[text[16:]]
    return value


def parse_instants(texts: Sequence[str]) -> list[int]:
    """`parse_instant` of each; in the common form without a call per instant, for instants share their minutes."""
    for minute in {text[:16] for text in texts} - _minutes.keys():
        with contextlib.suppress(ValueError, OverflowError):
            parse_instant(f"{minute}:00Z")
    try:
        return [_minutes[text[:16]] + _SECONDS[text[16:]] for text in texts]
    except KeyError:
        return [parse_instant(text) for text in texts]
