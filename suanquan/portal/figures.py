"""How amounts, quantities and instants read on a page: integers in, text out, nothing rounded unless it says so."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from contextvars import ContextVar
from functools import cache
from types import MappingProxyType
from zoneinfo import ZoneInfo

from markupsafe import Markup

from ledger.amount import CNY, Asset, format_units
from metering.instants import parse_instant

SHANGHAI = ZoneInfo("Asia/Shanghai")
GPU_MS_PER_HOUR = 3_600_000
GFLOP_MS_PER_PFLOPS_HOUR = 3_600_000 * 1_000_000
MINUTE_US = 60_000_000
DAY_US = 86_400_000_000
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
WAN_PLACES = 4
"""Places that the decimal point moves for 万元, ten thousand yuan."""
in_wan: ContextVar[bool] = ContextVar("in_wan", default=False)
"""Whether this page shows yuan in 万元; set for each request of a page."""


def money(text: str, unit: str = "CNY") -> str:
    """A decimal text of yuan in what the page shows: the point moves, no digit is lost or rounded; other units stay."""
    if unit != "CNY" or not in_wan.get():
        return text
    sign, bare = ("-", text[1:]) if text.startswith("-") else ("", text)
    whole, _, fraction = bare.partition(".")
    whole = whole.rjust(WAN_PLACES + 1, "0")
    return f"{sign}{whole[:-WAN_PLACES]}.{whole[-WAN_PLACES:]}{fraction}"


@cache
def _in_wan(texts: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
    found = {}
    for key, text in texts:
        said = re.sub(r"(\{\w+\}) 元", r"\1 万元", text.replace("（元）", "（万元）"))
        found[key] = re.sub(r"(\{\w+\}) CNY", r"\1 × 10,000 CNY", said.replace("(CNY)", "(10,000 CNY)"))
    return MappingProxyType(found | {"unit_CNY": "万元" if found["language"] == "zh-CN" else "10,000 CNY"})


def texts_in(texts: Mapping[str, str]) -> Mapping[str, str]:
    """The texts of a page with the unit of yuan that it shows."""
    return _in_wan(tuple(texts.items())) if in_wan.get() else texts


def amount(units: int, asset: Asset = CNY) -> Markup:
    """All digits of an amount with thousands separators; those beyond the usual ones are set small, so that sums still add up."""
    whole, fraction = money(format_units(abs(units), asset), asset.code).split(".")
    sign, usual = "−" if units < 0 else "", asset.scale - (4 if asset is CNY else 6)
    return Markup('{}{:,}.{}<span class="rest">{}</span>').format(sign, int(whole), fraction[:usual], fraction[usual:])


def quotient(numerator: int, denominator: int, places: int) -> str:
    """Divide non-negative integers, rounding half up to `places` decimals; thousands are separated."""
    scaled = (2 * numerator * 10**places + denominator) // (2 * denominator)
    whole, fraction = divmod(scaled, 10**places)
    return f"{whole:,}.{fraction:0{places}d}" if places else f"{whole:,}"


def hours(gpu_ms: int) -> str:
    """GPU-hours of GPU-milliseconds."""
    return quotient(gpu_ms, GPU_MS_PER_HOUR, 2)


def pflops_hours(gflop_ms: int) -> str:
    """PFLOPS·h of GFLOPS-milliseconds."""
    return quotient(gflop_ms, GFLOP_MS_PER_PFLOPS_HOUR, 3)


def percent(part: int, whole: int) -> str:
    """Give a share with one decimal."""
    return f"{quotient(part * 100, whole, 1)}%"


def instant(at_us: int, texts: Mapping[str, str]) -> str:
    """Shanghai time of UTC epoch microseconds, to the second."""
    at = _EPOCH + dt.timedelta(microseconds=at_us)
    return at.astimezone(SHANGHAI).strftime(texts["instant"])


def day(at_us: int) -> str:
    """Shanghai day of UTC epoch microseconds."""
    return (_EPOCH + dt.timedelta(microseconds=at_us)).astimezone(SHANGHAI).date().isoformat()


def grouped(text: str) -> str:
    """A decimal text with its thousands separated, as many digits as it has."""
    whole, dot, fraction = text.partition(".")
    sign, whole = ("−", whole[1:]) if whole.startswith("-") else ("", whole)
    return f"{sign}{int(whole):,}{dot}{fraction}"


def shanghai(text: str, texts: Mapping[str, str]) -> str:
    """An RFC 3339 instant as Shanghai time."""
    return instant(parse_instant(text), texts)


def fine(text: str, unit: str = "CNY") -> Markup:
    """A decimal text with all of its digits, those beyond cents set small."""
    whole, _, fraction = grouped(money(text, unit)).partition(".")
    return Markup('{}.{}<span class="rest">{}</span>').format(whole, fraction[:2], fraction[2:])


def yuan(text: str) -> str:
    """A decimal text of yuan in the unit that the page shows, its thousands separated, as many digits as it has."""
    return grouped(money(text))


def age(span_us: int, texts: Mapping[str, str]) -> str:
    """How long ago, in the largest unit that fits."""
    minutes = max(span_us, 0) // MINUTE_US
    for key, size in (("days_ago", 1440), ("hours_ago", 60)):
        if minutes >= size:
            return texts[key].format(count=minutes // size)
    return texts["minutes_ago"].format(count=minutes)
