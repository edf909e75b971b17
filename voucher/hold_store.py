"""SQL of holds and of what else leaves a voucher, on a connection that the caller owns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ledger.sql import Conflict, Connection, Rows, Statement, execute_all, insert_rows, select_in
from voucher import tables

METERED, BY_HAND = "", "captured"
"""What stands for a proof: of a part that metering held again, and of the row that notes the first capture by hand."""
LEASED = "lease "
"""Stands before the proof of a hold that its centre may spend offline."""


class Part(NamedTuple):
    """A hold of the ledger (its entry is `seq`) that belongs to a hold which a centre knows by an id.

    Who settles a hold is noted beside: with `METERED` for a proof metering held it again, with `BY_HAND` it is no hold but
    the first capture by a centre.
    """

    seq: int
    hold: str
    jti: str
    centre: str
    units: int
    reference: str
    proof: str


class Seen(NamedTuple):
    """What was recorded before: nonces by key id, requests (digest and answer) by centre and key, parts by hold."""

    nonces: set[tuple[str, str]]
    requests: dict[tuple[str, str], tuple[bytes, bytes]]
    parts: dict[str, list[Part]]


_NONCES = "SELECT kid, nonce FROM nonce WHERE kid = ? AND nonce"
_REQUESTS = 'SELECT centre, "key", digest, answer FROM spend_request WHERE centre = ? AND "key"'
_PARTS = f"SELECT {', '.join(Part._fields)} FROM hold_part WHERE hold"  # noqa: S608 -- own names


Pairs = Iterable[tuple[str, str]]


async def look_up(conn: Connection, nonces: Pairs, keys: Pairs, holds: Sequence[str]) -> Seen:
    """What is recorded of nonces (by key id), idempotency keys (by centre) and holds, read at once; parts in their order."""
    asked = [_by_first(_NONCES, nonces), _by_first(_REQUESTS, keys), select_in(_PARTS, holds)]
    answers: list[list[tuple[Any, ...]]] = await execute_all(conn, [one for some in asked for one in some])
    rows: list[list[tuple[Any, ...]]] = []
    for some in asked:
        rows.append([row for answer in answers[: len(some)] for row in answer])
        answers = answers[len(some) :]
    parts: dict[str, list[Part]] = {}
    for row in sorted(rows[2]):
        parts.setdefault(row[1], []).append(Part(*row))
    return Seen({(row[0], row[1]) for row in rows[0]}, {(row[0], row[1]): (row[2], row[3]) for row in rows[1]}, parts)


async def parts_of_vouchers(conn: Connection, jtis: Iterable[str]) -> list[Part]:
    """Every part of every hold of these vouchers."""
    query = f"SELECT {', '.join(Part._fields)} FROM hold_part WHERE jti"  # noqa: S608 -- own names
    return [Part(*row) for rows in await execute_all(conn, select_in(query, sorted(jtis))) for row in rows]


def _by_first(text: str, pairs: Pairs) -> list[Statement]:
    """Statements that find pairs by the key that begins with their first half."""
    groups: dict[str, list[str]] = {}
    for first, second in pairs:
        groups.setdefault(first, []).append(second)
    return [statement for first, seconds in groups.items() for statement in select_in(text, seconds, first)]


def request_rows(rows: Sequence[tuple[str, str, bytes, int, bytes]]) -> Rows:
    """Requests with digest, time and answer, to be written once."""
    return tables.spend_request, rows, Conflict.REFUSE


def part_rows(parts: Sequence[Part]) -> Rows:
    """Parts of holds, to be written once."""
    return tables.hold_part, parts, Conflict.REFUSE


def redeemed_rows(paid: Iterable[tuple[str, str, int]]) -> Rows:
    """Yuan units by scheme and centre, to be added up."""
    return tables.redeemed, list(paid), Conflict.ADD


async def write_outflow(
    conn: Connection, event_id: bytes, jti: str, kind: str, units: int, at_us: int, child: str | None = None
) -> None:
    """Note what left a voucher without paying: `expired`, or `split` into a child."""
    await insert_rows(conn, tables.outflow, [(event_id, jti, kind, units, at_us, child)])


async def children_of(conn: Connection, jtis: Iterable[str]) -> list[tuple[str, str, int]]:
    """Voucher, the one that was split off it, and when (UTC epoch microseconds), newest first."""
    query = "SELECT jti, child, at_us FROM outflow WHERE kind = 'split' AND jti"
    found = await execute_all(conn, select_in(query, jtis))
    return sorted(((str(jti), str(child), int(at_us)) for rows in found for jti, child, at_us in rows), key=_newest)


def _newest(row: tuple[str, str, int]) -> tuple[int, str]:
    return -row[2], row[1]


async def load_broken(conn: Connection, jtis: Iterable[str]) -> list[tuple[str, bytes]]:
    """Voucher and event of each time that something of these broke, oldest first."""
    query = "SELECT jti, event_id FROM outflow WHERE kind = 'expired' AND units > 0 AND jti"
    found = await execute_all(conn, select_in(query, jtis))
    return sorted(((str(jti), bytes(event_id)) for rows in found for jti, event_id in rows), key=lambda row: row[1])


async def broken_units(conn: Connection, jtis: Iterable[str]) -> dict[str, int]:
    """Units of these vouchers that broke at their end and were not reopened since."""
    found = await execute_all(conn, select_in("SELECT jti, units FROM outflow WHERE kind = 'expired' AND jti", jtis))
    sums: dict[str, int] = {}
    for rows in found:
        for jti, units in rows:
            sums[jti] = sums.get(jti, 0) + int(units)
    return sums


class Over(NamedTuple):
    """A voucher that is over and still has something available."""

    jti: str
    is_revoked: int


_OVER = """
SELECT v.jti, CASE WHEN r.jti IS NULL THEN 0 ELSE 1 END
FROM voucher v JOIN balance b ON b.account = v.account LEFT JOIN revoked r ON r.jti = v.jti
WHERE b.credits_posted - b.debits_posted - b.debits_held > 0 AND b.restriction < ? AND (v.until_us <= ? OR r.jti IS NOT NULL)
ORDER BY v.jti LIMIT ?
"""


async def vouchers_over(conn: Connection, now_us: int, limit: int, legal_hold: int) -> list[Over]:
    """Vouchers whose time is over, or that were revoked, with something left; those under a legal hold wait."""
    [rows] = await execute_all(conn, [(_OVER, (legal_hold, now_us, limit))])
    return [Over(*row) for row in rows]


async def scheme_digest(conn: Connection, jti: str) -> tuple[str, int]:
    """Digest of the scheme's version that a voucher was issued under, and its year."""
    [[(digest, year)]] = await execute_all(conn, [("SELECT scheme_digest, year FROM voucher WHERE jti = ?", (jti,))])
    return str(digest), int(year)


async def references(conn: Connection) -> dict[tuple[str, str], str]:
    """Holds by centre and by the job that they were taken for."""
    [rows] = await execute_all(conn, [("SELECT centre, reference, hold FROM hold_part ORDER BY seq DESC", ())])
    return {(centre, reference): hold for centre, reference, hold in rows}
