"""The letter of a recorded decision."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from hashlib import sha256
from typing import NamedTuple

from ledger.errors import Finding
from suanquan.home import Home
from suanquan.letters.content import letter_content, unset_authorities
from suanquan.letters.render import own_fonts, render
from suanquan.use_cases.check_decision import letter_text
from subsidy.decision import parse, token_of
from subsidy.store import StoredDecision


class Letter(NamedTuple):
    """A PDF, and what should be put right before it is sent."""

    pdf: bytes
    findings: list[Finding]


async def make_letter(home: Home, stored: StoredDecision, public_url: str) -> Letter:
    """Set the letter of a decision: the same bytes each time, while `public_url` and the operator's fonts stay.

    Raises:
        ServiceError: `glyph-missing`, with the characters that no font has.

    """
    record = parse(stored.record)
    text = letter_text(public_url, stored.id, token_of(record, stored.signature))
    content = letter_content(record, text, sha256(stored.record).hexdigest())
    fonts = own_fonts(home.path / "fonts")
    pdf = await asyncio.to_thread(render, content, stored.decided_us // 1_000_000, fonts)
    return Letter(pdf, [_unset(remedy) for remedy in unset_authorities(record)])


def _unset(remedy: Mapping[str, str]) -> Finding:
    zh, en = remedy["name_zh"], remedy["name_en"]
    return Finding(
        "authority-unset",
        f"决定作出时尚未设定{zh}的受理机关：请填写 config/letters/letters.toml，并以更正决定补正后再送达",
        f"the authority for {en} was not set when this was decided: set it in config/letters/letters.toml, and correct "
        "the decision before it is served",
        "config/letters/letters.toml",
    )
