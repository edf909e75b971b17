"""Kinds of fields that several routes take, read as strictly as the OpenAPI document describes them."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated

from fastapi import Header
from pydantic import BeforeValidator

FIRST, LAST = date(1949, 10, 1), date(2999, 12, 31)
"""Days that a rule, a card or a verdict may speak of."""
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
KEY_HEADER = "idempotency-key"


def _day(written: object) -> object:
    """A day as it is written in RFC 3339; a number of seconds is none, which the model alone would take for one."""
    if not isinstance(written, str) or not _DAY.fullmatch(written):
        raise ValueError("must be a day such as 2026-11-22")
    day = date.fromisoformat(written)
    if not FIRST <= day <= LAST:
        raise ValueError(f"must be a day from {FIRST} to {LAST}")
    return day


Day = Annotated[date, BeforeValidator(_day)]
"""A policy day, `2026-11-22`."""

NeededKey = Annotated[str, Header(alias=KEY_HEADER, min_length=1, max_length=255)]
"""The `Idempotency-Key` of a write that nobody may send twice by mistake; without it: `idempotency-key-missing`."""
