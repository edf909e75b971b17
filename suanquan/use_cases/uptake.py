"""How far vouchers have come: by class, centre and month, how soon they are used, and how much goes to how few."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple

from ledger.sql import Connection
from metering import month_store
from metering import store as metering_store
from suanquan.catalog import Catalog
from suanquan.use_cases.firsts import First
from suanquan.use_cases.overview import capacity_of
from voucher import uptake_store
from voucher.holder import holder_class
from voucher.uptake_store import DAY_US, Part, Sums

CLASSES = ("enterprise", "public-institution", "social-organisation", "other")
LETTERS = {
    kind: tuple(one for one in "0123456789ABCDEFGHJKLMNPQRTUWXY" if holder_class(one) == kind) for kind in CLASSES
}
"""First characters of the codes of each class of holder."""
NONE = Sums(0, 0, 0, 0, 0, 0, 0, 0)
MARKS = (7, 30, 90, 180)
"""Days after issue by which the part of vouchers that were used is told."""
MINUTE_US = 60_000_000
_EPOCH = date(1970, 1, 1)


def plus(one: Sums, other: Sums) -> Sums:
    """Both together; holders may be in both, so that they are an upper bound."""
    return Sums(*(a + b for a, b in zip(one, other, strict=True)))


async def by_class(conn: Connection, part: Part) -> list[tuple[str, Sums]]:
    """Sums by class of holder, in the order of `CLASSES`."""
    found = dict.fromkeys(CLASSES, NONE)
    for letter, sums in await uptake_store.sums_by(conn, part, "letter"):
        kind = holder_class(str(letter))
        found[kind] = plus(found[kind], sums)
    return [(kind, sums) for kind, sums in found.items() if sums.vouchers]


LEAST_SHOWN = 3
"""Holders that a group has at least where anybody may see it."""


def merged(rows: Sequence[tuple[str, Sums]], least: int = LEAST_SHOWN) -> list[tuple[str, Sums]]:
    """Classes with so many holders, the smaller ones together as `other`; the smallest joins them while they are still too few.

    Nothing is left where all together are too few: then nobody is told of.
    """
    kept = sorted(
        (row for row in rows if row[0] != "other" and row[1].holders >= least), key=lambda row: -row[1].holders
    )
    others = NONE
    for row in rows:
        if row not in kept:
            others = plus(others, row[1])
    while kept and 0 < others.holders < least:
        others = plus(others, kept.pop()[1])
    if 0 < others.holders < least:
        return []
    order = {kind: at for at, kind in enumerate(CLASSES)}
    shown = sorted(kept, key=lambda row: order[row[0]])
    return [*shown, ("other", others)] if others.holders else shown


async def by_month(conn: Connection, part: Part, key: str = "day") -> list[tuple[str, Sums]]:
    """Sums by Shanghai month of issue (`day`) or of end (`end`), oldest first."""
    found: dict[str, Sums] = {}
    for day, sums in await uptake_store.sums_by(conn, part, key):
        month = (_EPOCH + timedelta(days=int(day))).isoformat()[:7]
        found[month] = plus(found.get(month, NONE), sums)
    return list(found.items())


def month_span(month: str) -> tuple[int, int]:
    """First instant of a month such as 2026-11 in Shanghai, and of the next one, UTC epoch microseconds.

    Raises:
        ValueError: it is no month.

    """
    first = date.fromisoformat(f"{month}-01")
    following = (first + timedelta(days=32)).replace(day=1)
    begin, end = ((day - _EPOCH).days * DAY_US - uptake_store.SHANGHAI_US for day in (first, following))
    return begin, end


class FirstUse(NamedTuple):
    """Of vouchers issued: how many were used, the median of whole days until then, and how many by each of `MARKS`."""

    issued: int
    used: int
    median_days: int | None
    by: tuple[int, ...]


def first_use(vouchers: Sequence[First]) -> FirstUse:
    """How soon vouchers are first used."""
    days = sorted(one.days for one in vouchers if one.days is not None)
    median = days[(len(days) - 1) // 2] if days else None
    return FirstUse(len(vouchers), len(days), median, tuple(sum(one <= mark for one in days) for mark in MARKS))


class Concentration(NamedTuple):
    """Holders, how many are a tenth of them, and units that the first tenth, and all, have been paid."""

    holders: int
    tenth: int
    of_tenth: int
    of_all: int
    largest: Sequence[tuple[str, int]]


async def concentration(conn: Connection, part: Part, largest: int = 10) -> Concentration:
    """How much of what was redeemed went to the tenth of holders that got most (at least one)."""
    found = await uptake_store.redeemed_by_holder(conn, part)
    tenth = max(1, len(found) // 10) if found else 0
    units = [one for _, one in found]
    return Concentration(len(found), tenth, sum(units[:tenth]), sum(units), found[:largest])


class Utilised(NamedTuple):
    """A centre's month and model: GPU-milliseconds metered and there, compute in GFLOPS-milliseconds, yuan units rated.

    `capacity_gpu_ms` counts the part of the month up to the instant asked about, and 0 where the centre has no such cards.
    """

    centre: str
    model: str
    month: str
    gpu_ms: int
    capacity_gpu_ms: int
    gflop_ms: int
    yuan: int


async def utilisation(conn: Connection, catalog: Catalog, now_us: int, centre: str = "") -> list[Utilised]:
    """Usage by centre, model and month against the cards that the centre has now."""
    where: dict[str, str | int] = {"centre": centre} if centre else {}
    cards: dict[str, dict[str, int]] = {}
    found = []
    for row in await metering_store.usage_by(conn, "centre", "model", "month", **where):
        name, model = str(row["centre"]), str(row["model"])
        if name not in cards:
            cards[name] = await capacity_of(conn, name, now_us)
        month = f"{row['month'] // 100}-{row['month'] % 100:02d}"
        begin, end = month_span(month)
        span_ms = max(0, min(end, now_us) - begin) // 1000
        gflops = catalog.capacity_gflops.get(model, 0)
        capacity = cards[name].get(model, 0) * span_ms // 1000
        found.append(Utilised(name, model, month, row["gpu_ms"], capacity, row["gpu_ms"] * gflops, row["rated_units"]))
    return found


class Complete(NamedTuple):
    """A centre's accounts of a month: how many were declared, and how many of these are whole."""

    declared: int
    whole: int


async def completeness(conn: Connection) -> dict[tuple[str, str], Complete]:
    """By centre and month such as 2026-11; what was not declared is not there, and cannot be judged."""
    rows = await month_store.count_declared(conn)
    return {
        (centre, f"{month // 100}-{month % 100:02d}"): Complete(count, count - missing)
        for centre, month, count, missing in rows
    }


async def expiring(conn: Connection, part: Part, now_us: int, days: int) -> Sums:
    """What is in vouchers that end within so many days."""
    since_us, until_us = ending_within(now_us, days)
    return await uptake_store.sums_of(conn, part._replace(ends_since_us=since_us, ends_until_us=until_us))


def ending_within(now_us: int, days: int) -> tuple[int, int]:
    """The span of ends within so many days: from the beginning of this minute, so that a figure and its list mean the same."""
    since_us = now_us - now_us % MINUTE_US
    return since_us, since_us + days * DAY_US


def fold(rows: Sequence[Utilised], *keys: str) -> list[dict[str, Any]]:
    """Rows of utilisation summed by some of `centre`, `model`, `month`."""
    sums: dict[tuple[str, ...], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for row in rows:
        line = sums[tuple(getattr(row, key) for key in keys)]
        for at, value in enumerate((row.gpu_ms, row.capacity_gpu_ms, row.gflop_ms, row.yuan)):
            line[at] += value
    names = ("gpu_ms", "capacity_gpu_ms", "gflop_ms", "yuan")
    return [
        dict(zip(keys, key, strict=True)) | dict(zip(names, line, strict=True)) for key, line in sorted(sums.items())
    ]
