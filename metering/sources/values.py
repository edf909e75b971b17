"""Values of single fields, shared by every source: counts, durations, names, states, cards."""

from __future__ import annotations

import functools
import re

from metering.model import Accelerator
from metering.sources.faults import RowFault

UNKNOWN_MODEL = "unknown"
"""The word for cards whose model the source does not tell; no registry resolves it, so such usage is held."""

CLOSED = "CLOSED"
"""State of a closed interval whose source says nothing about how it ended."""

GPUS_MAX = 100_000
"""More cards than any centre has: a larger count is a broken column, and the wire refuses it."""

NAME_CHARACTERS_MAX = 200
WORD_CHARACTERS_MAX = 64
"""Longest account or job, and longest model or state, that a record can carry."""

_LIVE = {"RUNNING": "running", "SUSPENDED": "running", "PENDING": "never-started"}
"""Only these say that an attempt is not closed; every other state has ended and is billed, also one not seen before."""

_DECIMAL = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,30}))?")
_ELAPSED = re.compile(r"(?:([0-9]{1,6})-)?(?:([0-9]{1,2}):)?([0-5][0-9]):([0-5][0-9])")


@functools.lru_cache(maxsize=1 << 14)
def thousandths(text: str, field: str) -> int:
    """`66.0` → 66000, `0.5` → 500: cards in thousandths, seconds in milliseconds.

    Raises:
        RowFault: not a plain non-negative decimal, or finer than a thousandth.

    """
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise RowFault(f"bad-{field}", text)
    whole, fraction = match.groups()
    fraction = (fraction or "").rstrip("0")
    if len(fraction) > 3:
        raise RowFault(f"bad-{field}", text)
    return int(whole + fraction.ljust(3, "0"))


def elapsed_s(text: str) -> int:
    """Seconds of Slurm's `[DD-[HH:]]MM:SS`; days have no bound (`45-00:00:00` is a 45-day job).

    Raises:
        RowFault: any other form, such as `INVALID`.

    """
    match = _ELAPSED.fullmatch(text)
    if match is None or (match.group(1) and int(match.group(2) or 0) > 23):
        raise RowFault("bad-elapsed", text)
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


@functools.lru_cache(maxsize=4096)
def name_in(text: str, field: str, longest: int = NAME_CHARACTERS_MAX) -> str:
    """Check a name, Chinese or not; one that is empty, too long for the wire or not printable is a fault."""
    if not text or len(text) > longest or not text.isprintable():
        raise RowFault(f"bad-{field}", text.encode("unicode_escape").decode())
    return text


def live_reason(text: str) -> str:
    """Say why a state is no end: `running`, `never-started`, or nothing where it is one."""
    return _LIVE.get(text.upper(), "")


def ended_state(text: str) -> str:
    """Check that a state is an end: `CANCELLED by 1000` is CANCELLED, other words stand as they are.

    Raises:
        RowFault: the attempt still runs or waits, or there is no state.

    """
    state = name_in("CANCELLED" if text.startswith("CANCELLED by ") else text, "state", WORD_CHARACTERS_MAX)
    if reason := live_reason(state):
        raise RowFault(reason, state)
    return state


@functools.lru_cache(maxsize=4096)
def gpu_count_milli(text: str) -> int:
    """Cards in thousandths, none included."""
    count_milli = thousandths(text, "gpus")
    if count_milli > GPUS_MAX * 1000:
        raise RowFault("bad-gpus", text)
    return count_milli


@functools.lru_cache(maxsize=4096)
def cards(model: str, count_milli: int) -> tuple[Accelerator, ...]:
    """Cards of one model, as a record holds them; the few that a file repeats are built once."""
    return (Accelerator(name_in(model, "model", WORD_CHARACTERS_MAX), count_milli),)
