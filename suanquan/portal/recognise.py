"""What a text that somebody pasted is: a number or a code of ours in any dress, an address of a page, or words to look for.

People paste what they have at hand, with labels, blanks, quotation marks and full-width letters around it; a box that takes
one kind only is a box that refuses the others (pretix/pretix #4670).
"""

from __future__ import annotations

import re
import unicodedata
from enum import StrEnum
from typing import NamedTuple
from urllib.parse import urlsplit

from voucher.holder import is_uscc

TEXT_MAX = 64
"""Letters of words to look for."""


class Kind(StrEnum):
    """What a text can be."""

    NOTHING = "nothing"
    RECEIPT = "receipt"
    CODE = "code"
    NUMBER = "number"
    """A voucher, a hold or an entry: sixteen bytes."""
    APPLICATION = "application"
    ROUND = "round"
    BATCH = "batch"
    COMPANY = "company"
    MONTH = "month"
    """A statement: centre, account and month."""
    PAGE = "page"
    WORDS = "words"


class Recognised(NamedTuple):
    """A kind, and the text as pages write it."""

    kind: Kind
    value: str


RECEIPT = "c2sp.org/tlog-proof"
_UNSEEN = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad"))
_LABEL = re.compile(r"^[^\W\d_][^:]{0,24}:\s*(?!//)")
_AROUND = " \t\r\n\"'“”‘’「」『』《》<>()[]【】,.;、。"
_JWT = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+")
_HEX = re.compile(r"[0-9a-f]{32}")
_CASE = re.compile(r"R[a-z0-9][a-z0-9-]{0,40}-\d{4}-\d{1,3}(-\d{4})?", re.IGNORECASE)
_BATCH = re.compile(r"B\d{4}[A-Z0-9-]{0,12}-\d{4}", re.IGNORECASE)
_MONTH = re.compile(r"([\w.-]{1,40})/([\w.@-]{1,120})/(\d{4}-\d{2})")


def recognise(text: str) -> Recognised:
    """What a pasted text is."""
    bare = text.strip().translate(_UNSEEN)
    if bare.startswith(RECEIPT):
        return Recognised(Kind.RECEIPT, bare.replace("\r\n", "\n"))
    if bare.startswith("{"):
        return Recognised(Kind.CODE, bare)
    said = unicodedata.normalize("NFKC", bare).strip(_AROUND)
    without = _LABEL.sub("", said).strip(_AROUND)
    return _code(said) or _code(without) or _page(said) or _numbered(without) or _words(said)


def _code(said: str) -> Recognised | None:
    joined = "".join(said.split())
    if joined[:4].upper() == "SQ1:" or _JWT.fullmatch(joined):
        return Recognised(Kind.CODE, joined)
    return None


def _page(said: str) -> Recognised | None:
    """The path of an address: whose host it names does not matter, it is asked for here."""
    if not re.match(r"https?://", said) or re.search(r"\s", said):
        return None
    try:
        parts = urlsplit(said)
    except ValueError:
        return None
    safe = parts.path.startswith("/") and not parts.path.startswith(("//", "/\\")) and parts.path.isprintable()
    return Recognised(Kind.PAGE, parts.path + (f"?{parts.query}" if parts.query else "")) if safe else None


def _numbered(said: str) -> Recognised | None:
    joined = "".join(said.split())
    plain = joined.replace("-", "").lower()
    if _HEX.fullmatch(plain):
        return Recognised(Kind.NUMBER, plain)
    if is_uscc(joined.upper()):
        return Recognised(Kind.COMPANY, joined.upper())
    if found := _CASE.fullmatch(joined):
        return Recognised(Kind.APPLICATION if found[1] else Kind.ROUND, f"R{joined[1:].lower()}")
    if _BATCH.fullmatch(joined):
        return Recognised(Kind.BATCH, joined.upper())
    if _MONTH.fullmatch(joined):
        return Recognised(Kind.MONTH, joined)
    return None


def _words(said: str) -> Recognised:
    short = " ".join(said.split())[:TEXT_MAX]
    return Recognised(Kind.WORDS, short) if short else Recognised(Kind.NOTHING, "")


def as_uuid(number: str) -> str:
    """Sixteen bytes in the way in which numbers of vouchers are written."""
    return "-".join((number[:8], number[8:12], number[12:16], number[16:20], number[20:]))
