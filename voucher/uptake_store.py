"""SQL of how far vouchers have come, over all of them or a part, on a connection that the caller owns."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from ledger.sql import Connection, execute_all
from voucher.holder import holder_class

SHANGHAI_US = 28_800_000_000
"""Shanghai's offset, which has been the same since 1991."""
DAY_US = 86_400_000_000
PART = 1_000

_FROM = """
FROM voucher v JOIN balance b ON b.account = v.account LEFT JOIN revoked r ON r.jti = v.jti
LEFT JOIN (
  SELECT jti, SUM(units) AS units, SUM(CASE WHEN kind = 'split' THEN units ELSE 0 END) AS split,
    SUM(CASE WHEN kind = 'expired' THEN units ELSE 0 END) AS expired,
    SUM(CASE WHEN kind = 'returned' THEN units ELSE 0 END) AS returned
  FROM outflow GROUP BY jti
) f ON f.jti = v.jti
"""
_REDEEMED = "b.debits_posted - (b.credits_posted - v.units) - COALESCE(r.returned, 0) - COALESCE(f.units, 0)"
_SUMS = {
    "issued": "v.units - COALESCE(f.split, 0)",
    "available": "b.credits_posted - b.debits_posted - b.debits_held",
    "held": "b.debits_held",
    "redeemed": _REDEEMED,
    "expired": "COALESCE(f.expired, 0)",
    "returned": "COALESCE(r.returned, 0) + COALESCE(f.returned, 0)",
}
_TOTALS = "COUNT(*), COUNT(DISTINCT v.holder), " + ", ".join(f"COALESCE(SUM({text}), 0)" for text in _SUMS.values())
_ROW = "v.jti, v.scheme, v.holder, v.issued_us, v.from_us, v.until_us, " + ", ".join(_SUMS.values())


class Part(NamedTuple):
    """Which vouchers: of an asset; where given, of a scheme, a class (first characters of codes), a holder, spans of issue and end.

    Spans are UTC epoch microseconds, their end outside; `unused` are vouchers that have paid nothing, `used` the others; `year` is
    that of the budget that bears them.
    """

    asset: int = 1
    scheme: str = ""
    letters: tuple[str, ...] = ()
    holder: str = ""
    since_us: int = 0
    until_us: int = 0
    ends_since_us: int = 0
    ends_until_us: int = 0
    unused: bool = False
    used: bool = False
    year: int = 0

    def where(self) -> tuple[str, list[Any]]:
        """The condition and its values."""
        texts: list[str] = ["v.asset = ?"]
        values: list[Any] = [self.asset]
        wanted: list[tuple[str, Any]] = [
            ("v.scheme = ?", self.scheme), ("v.holder = ?", self.holder), ("v.issued_us >= ?", self.since_us),
            ("v.issued_us < ?", self.until_us), ("v.until_us >= ?", self.ends_since_us),
            ("v.until_us < ?", self.ends_until_us), ("v.year = ?", self.year),
        ]  # fmt: skip
        for text, value in wanted:
            if value:
                texts.append(text)
                values.append(value)
        if self.letters:
            texts.append(f"substr(v.holder, 1, 1) IN ({', '.join('?' for _ in self.letters)})")
            values += self.letters
        if self.unused:
            texts.append(f"{_REDEEMED} = 0")
        if self.used:
            texts.append(f"{_REDEEMED} > 0")
        return " AND ".join(texts), values


class Sums(NamedTuple):
    """Vouchers, holders, and units: issued = available + held + redeemed + expired + returned."""

    vouchers: int
    holders: int
    issued: int
    available: int
    held: int
    redeemed: int
    expired: int
    returned: int


class Line(NamedTuple):
    """One voucher in a list."""

    jti: str
    scheme: str
    holder: str
    issued_us: int
    from_us: int
    until_us: int
    issued: int
    available: int
    held: int
    redeemed: int
    expired: int
    returned: int


async def scheme_totals(conn: Connection, at_us: int) -> list[dict[str, Any]]:
    """Per scheme and asset: vouchers, holders, and units; issued = available + held + redeemed + expired + returned.

    `active` are the vouchers in force at the instant `at_us` (UTC epoch microseconds) that still have something.
    """
    in_force = "v.from_us <= ? AND v.until_us > ? AND r.jti IS NULL AND b.credits_posted > b.debits_posted"
    text = (
        f"SELECT v.scheme, v.asset, SUM(CASE WHEN {in_force} THEN 1 ELSE 0 END), {_TOTALS} {_FROM} "
        "GROUP BY v.scheme, v.asset ORDER BY v.scheme, v.asset"
    )
    [rows] = await execute_all(conn, [(text, (at_us, at_us))])
    return [
        {"scheme": scheme, "asset": int(asset), "active": int(active)} | Sums(*map(int, sums))._asdict()
        for scheme, asset, active, *sums in rows
    ]


async def holders_by_class(conn: Connection) -> list[tuple[str, str, int]]:
    """Scheme, class of `holder_class`, and how many such holders it has."""
    text = "SELECT scheme, substr(holder, 1, 1), COUNT(DISTINCT holder) FROM voucher GROUP BY 1, 2 ORDER BY 1, 2"
    [rows] = await execute_all(conn, [(text, ())])
    found: Counter[tuple[str, str]] = Counter()
    for scheme, first, count in rows:
        found[scheme, holder_class(first)] += int(count)
    return [(scheme, kind, count) for (scheme, kind), count in found.items()]


async def sums_of(conn: Connection, part: Part) -> Sums:
    """Sums over a part."""
    where, values = part.where()
    [[row]] = await execute_all(conn, [(f"SELECT {_TOTALS} {_FROM} WHERE {where}", values)])
    return Sums(*map(int, row))


async def sums_by_year(conn: Connection, asset: int = 1) -> dict[tuple[str, int], Sums]:
    """Sums by scheme and year of the budget that vouchers are of."""
    text = f"SELECT v.scheme, v.year, {_TOTALS} {_FROM} WHERE v.asset = ? GROUP BY v.scheme, v.year ORDER BY 1, 2"
    [rows] = await execute_all(conn, [(text, (asset,))])
    return {(str(scheme), int(year)): Sums(*map(int, sums)) for scheme, year, *sums in rows}


async def sums_by(conn: Connection, part: Part, key: str) -> list[tuple[Any, Sums]]:
    """Sums by `scheme`, by `letter` (first character of the holder's code), by `day` of issue or of `end` (Shanghai days since 1970)."""
    column = {
        "scheme": "v.scheme",
        "letter": "substr(v.holder, 1, 1)",
        "day": f"(v.issued_us + {SHANGHAI_US}) / {DAY_US}",
        "end": f"(v.until_us + {SHANGHAI_US}) / {DAY_US}",
    }[key]
    where, values = part.where()
    text = f"SELECT {column}, {_TOTALS} {_FROM} WHERE {where} GROUP BY 1 ORDER BY 1"
    [rows] = await execute_all(conn, [(text, values)])
    return [(row[0], Sums(*map(int, row[1:]))) for row in rows]


async def lines_of(conn: Connection, part: Part, after: str, limit: int) -> list[Line]:
    """Vouchers of a part in order of id, which is the order of issue, from just above `after`."""
    where, values = part.where()
    text = f"SELECT {_ROW} {_FROM} WHERE {where} AND v.jti > ? ORDER BY v.jti LIMIT ?"
    [rows] = await execute_all(conn, [(text, [*values, after, limit])])
    return [Line(*row[:6], *map(int, row[6:])) for row in rows]


async def every_line(conn: Connection, part: Part) -> AsyncIterator[list[Line]]:
    """All of them, some at a time."""
    after = ""
    while found := await lines_of(conn, part, after, PART):
        yield found
        after = found[-1].jti


async def redeemed_by_holder(conn: Connection, part: Part) -> list[tuple[str, int]]:
    """Holders with what their vouchers paid, most first."""
    where, values = part.where()
    text = f"SELECT v.holder, SUM({_REDEEMED}) {_FROM} WHERE {where} GROUP BY v.holder ORDER BY 2 DESC, 1"
    [rows] = await execute_all(conn, [(text, values)])
    return [(str(holder), int(units)) for holder, units in rows]


class Payer(NamedTuple):
    """A voucher: its account, when it was issued, and units that it has paid."""

    jti: str
    account: int
    issued_us: int
    redeemed: int


async def payers(conn: Connection, part: Part) -> list[Payer]:
    """The vouchers of a part."""
    where, values = part.where()
    text = f"SELECT v.jti, v.account, v.issued_us, {_REDEEMED} {_FROM} WHERE {where}"
    [rows] = await execute_all(conn, [(text, values)])
    return [Payer(str(row[0]), *map(int, row[1:])) for row in rows]
