"""A sample of the audit log that anybody with the same seed, filters and log draws again: a row's place is a hash of seed and number."""

from __future__ import annotations

import heapq
from hashlib import sha256
from typing import NamedTuple

from ledger.sql import Connection
from suanquan.access.trail import Row
from suanquan.db import trail
from suanquan.db.trail import Wanted

PART = 1_000


class Draw(NamedTuple):
    """How many rows, the seed (any text, which whoever audits chooses and writes down), and the size of the log drawn from.

    Looking leaves rows, too, so that the size belongs to a draw as much as its seed.
    """

    rows: int
    seed: str
    upto: int


def place(seed: str, seq: int) -> bytes:
    """Where a row stands in the order of a draw: SHA-256 of the seed, a zero byte and the row's number in decimal."""
    return sha256(f"{seed}\0{seq}".encode()).digest()


async def sample(conn: Connection, wanted: Wanted, draw: Draw) -> list[Row]:
    """The rows whose places come first, in order of their numbers; each row that matches has the same chance."""
    best: list[tuple[int, int, Row]] = []
    after = wanted.after
    while found := await trail.search(conn, wanted._replace(after=after, limit=PART)):
        after = min(draw.upto, found[-1].seq)
        for row in found:
            if row.seq >= draw.upto:
                break
            heapq.heappush(best, (-int.from_bytes(place(draw.seed, row.seq)), row.seq, row))
            if len(best) > draw.rows:
                heapq.heappop(best)
    return sorted((row for _, _, row in best), key=lambda row: row.seq)
