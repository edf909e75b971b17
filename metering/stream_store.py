"""SQL of the usage stream, on a connection that the caller owns: what became of each message."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import select

from ledger.sql import Connection, insert_rows
from metering import tables


class Taken(NamedTuple):
    """What became of a message: where a batch was taken (status 200) its answer is that of the batch, else it stands here.

    `stream` names the stream and when it was made, for one that is made anew counts from 1 again.
    """

    stream: str
    sequence: int
    source: str
    key: str
    status: int
    answer: bytes
    recorded_us: int


async def load_taken(conn: Connection, stream: str, sequence: int) -> Taken | None:
    """What became of a message; None: it was not taken yet."""
    table = tables.stream_message.c
    query = select(tables.stream_message).where(table.stream == stream, table.sequence == sequence)
    row = (await conn.execute(query)).one_or_none()
    return None if row is None else Taken(*row)


async def write_taken(conn: Connection, taken: Taken) -> None:
    """Append what became of a message."""
    await insert_rows(conn, tables.stream_message, [tuple(taken)])
