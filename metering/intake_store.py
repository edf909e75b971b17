"""SQL of batches that need no look at single records: all that a round of them asks in one visit, and their rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ledger.sql import Conflict, Connection, Rows, execute_all
from metering import tables
from metering.rating import Line, LineKey
from metering.store import Source, StoredBatch

_SOURCE = ", ".join(Source.__dataclass_fields__)
_NUMBER = "(SELECT number FROM source WHERE urn = ?)"
_STATES = f"SELECT 1 FROM usage_state WHERE source = {_NUMBER} LIMIT 1"  # noqa: S608 -- own names, as below
_KEY = f"SELECT 1 FROM usage_batch WHERE source = {_NUMBER} AND key = ?"  # noqa: S608
_RANGE = f"""SELECT b.number, b.records, b.root FROM id_range r JOIN usage_batch b ON b.number = r.batch
 WHERE r.source = {_NUMBER} AND r.first_id = ? AND r.last_id = ?"""  # noqa: S608
# Ranges never meet: the last one that begins before a span's end is the only one that may reach into it.
_MET = f"""SELECT 1 FROM (SELECT last_id FROM id_range WHERE source = {_NUMBER} AND first_id <= ?
 ORDER BY first_id DESC LIMIT 1) AS before WHERE last_id >= ?"""  # noqa: S608
_SINGLE = f"SELECT 1 FROM usage_id WHERE source = {_NUMBER} AND id >= ? AND id <= ? LIMIT 1"  # noqa: S608


class Range(NamedTuple):
    """A batch of a source whose ids all are new and ascend: number, records, Merkle root over them."""

    number: int
    records: int
    root: bytes


Span = tuple[str, str, str]
"""Source, first and last id of a batch whose ids ascend."""


class Wanted(NamedTuple):
    """What a request names: its nonce, its source and key, and its first and last id."""

    kid: str
    nonce: str
    urn: str
    key: str
    first_id: str
    last_id: str

    @property
    def span(self) -> Span:
        """Where its ids lie."""
        return self.urn, self.first_id, self.last_id


@dataclass(slots=True)
class Found:
    """What is known of the requests of a round.

    `ranges` are batches with just these ends; `taken` are spans in which some id was reported before. `apart` are sources
    of which more than reports is known.
    """

    nonces: set[tuple[str, str]] = field(default_factory=set)
    sources: dict[str, Source] = field(default_factory=dict)
    keys: set[tuple[str, str]] = field(default_factory=set)
    ranges: dict[Span, Range] = field(default_factory=dict)
    taken: set[Span] = field(default_factory=set)
    apart: set[str] = field(default_factory=set)
    next_batch: int = 1


async def look_up(conn: Connection, wanted: Sequence[Wanted]) -> Found:
    """What is known of these requests."""
    urns = list(dict.fromkeys(one.urn for one in wanted))
    statements: list[tuple[str, Sequence[object]]] = [
        ("SELECT max(number) FROM usage_batch", ()),
        (f"SELECT {_SOURCE} FROM source WHERE urn IN ?", (urns,)),  # noqa: S608 -- own names
        *((_STATES, (urn,)) for urn in urns),
    ]
    for one in wanted:
        statements += [
            ("SELECT 1 FROM nonce WHERE kid = ? AND nonce = ?", (one.kid, one.nonce)),
            (_KEY, (one.urn, one.key)),
            (_RANGE, one.span),
            (_MET, (one.urn, one.last_id, one.first_id)),
            (_SINGLE, one.span),
        ]
    [[(last,)], sources, *rest] = await execute_all(conn, statements)
    found = Found(sources={row[1]: Source(*row) for row in sources}, next_batch=int(last or 0) + 1)
    found.apart = {urn for urn, rows in zip(urns, rest, strict=False) if rows}
    answers = iter(rest[len(urns) :])
    for one, nonces, keys, ranges, met, single in zip(wanted, *[answers] * 5, strict=True):
        if nonces:
            found.nonces.add((one.kid, one.nonce))
        if keys:
            found.keys.add((one.urn, one.key))
        if ranges:
            found.ranges[one.span] = Range(*ranges[0])
        if met or single:
            found.taken.add(one.span)
    return found


def source_rows(sources: Iterable[Source]) -> Rows:
    """How far sources have reported."""
    names = tuple(Source.__dataclass_fields__)
    return tables.source, [tuple(getattr(source, name) for name in names) for source in sources], Conflict.REPLACE


def batch_rows(batches: Iterable[tuple[int, StoredBatch]]) -> Rows:
    """Batches, each with the number of its source."""
    return (
        tables.usage_batch,
        [
            (
                batch.number, source, batch.key, batch.body_digest, batch.received_us, batch.records, batch.root,
                batch.log_first, batch.log_size, batch.segment, batch.answer,
            )
            for source, batch in batches
        ],
        Conflict.REFUSE,
    )  # fmt: skip


def range_rows(ranges: Iterable[tuple[int, str, str, int]]) -> Rows:
    """Source, first and last id, and number of batches whose ids ascend where no id was before."""
    return tables.id_range, [(*one, 0) for one in ranges], Conflict.REFUSE


def usage_rows(sums: Iterable[tuple[str, Mapping[LineKey, Line]]]) -> Rows:
    """Sums of batches, each with its centre, to be added to the monthly totals."""
    rows = [
        (centre, account, model, month, line.records, line.gpu_ms, line.compute, line.yuan)
        for centre, lines in sums
        for (account, model, month), line in lines.items()
    ]
    return tables.usage_month, rows, Conflict.ADD


def status_rows(rows: Iterable[tuple[str, str, int]]) -> Rows:
    """Numbers of records by centre and status, to be added up."""
    return tables.status_count, [row for row in rows if row[2]], Conflict.ADD


def account_rows(rows: Sequence[tuple[str, str, int]]) -> Rows:
    """Index from an account of a centre to the batches that hold its records."""
    return tables.batch_account, rows, Conflict.REFUSE
