"""Whether the kept usage records are those that the log commits to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from operator import ge
from typing import NamedTuple

import cbor2

from ledger.errors import DomainError
from ledger.sql import Connection
from ledger.standing import Fault
from ledger.tree import hash_leaf, root_of
from metering import fate_store as fates
from metering import segment
from metering import store as metering_store
from metering.store import DIGEST_BYTES, PLACES

BATCHES_PAGE = 20
FACTS_PAGE = 1000


class BatchTold(NamedTuple):
    """What an entry says about a batch it posts."""

    root: bytes
    body_digest: bytes
    source: str


BatchesTold = dict[int, set[BatchTold]]
FactsTold = dict[int, set[tuple[str, bytes]]]


class UsageTold(NamedTuple):
    """What the log says of batches, and of facts: source and digest."""

    batches: BatchesTold
    facts: FactsTold


def note_usage(body: bytes, digest: bytes, told: UsageTold) -> None:
    """Collect what the payload of an entry says about a batch or a fact."""
    if not body.startswith((b"\xa4", b"\xa5")):  # only usage payloads are maps of four or five members
        return
    try:
        content = cbor2.loads(body)
    except (cbor2.CBORDecodeError, ValueError, OverflowError, RecursionError):
        return  # a payload of another kind that begins with the same byte
    match content:
        case {"type": "usage", "batch": int(number), "root": bytes(root), "source": str(source)}:
            told.batches.setdefault(number, set()).add(BatchTold(root, digest, source))
        case {"type": "usage-fact", "fact": int(number), "digest": bytes(of_fact), "source": str(source)}:
            told.facts.setdefault(number, set()).add((source, of_fact))


async def verify_usage(conn: Connection, told: UsageTold, *, erasures: bool) -> tuple[int, Fault | None]:
    """Number of records found sound, and the first fault. After erasures the log may be silent about a batch."""
    records = in_table = 0
    async for found in _check_batches(conn, told.batches, erasures=erasures):
        if isinstance(found, Fault):
            return records, found
        records += found.records
        in_table += found.in_table
    if in_table != await metering_store.count_ids(conn):
        return records, Fault("usage_id", "记录编号表中有多余的行", "the table of ids holds rows of no batch")
    return records, await _check_facts(conn, told.facts, erasures=erasures)


async def _check_facts(conn: Connection, told: FactsTold, *, erasures: bool) -> Fault | None:
    """Every fact is as the log commits to it, and none that the log speaks of is missing."""
    sources = {source.number: source.urn for source in await metering_store.load_sources(conn)}
    after = 0
    while facts := await fates.load_facts(conn, after, FACTS_PAGE):
        for fact in facts:
            is_ = {(sources.get(fact.source, ""), fact.digest)}
            if told.pop(fact.number, is_ if erasures else set()) != is_:
                return Fault(
                    f"usage_fact {fact.number}", "用量事实与日志不符", "the fact is not what the log commits to"
                )
        after = facts[-1].number
    if told:
        return Fault(f"usage_fact {min(told)}", "日志提到的事实不存在", "the log speaks of a fact that is not there")
    return None


class _Checked(NamedTuple):
    """Records of a batch, and how many of their ids stand in the table of ids."""

    records: int
    in_table: int


async def _check_batches(conn: Connection, told: BatchesTold, *, erasures: bool) -> AsyncIterator[_Checked | Fault]:
    """Every batch's records hash to the root that its entries commit to."""
    ranges = await metering_store.load_ranges(conn)
    sources = {source.number: source.urn for source in await metering_store.load_sources(conn)}
    after = 0
    while batches := await metering_store.load_batches(conn, after, BATCHES_PAGE):
        for source, batch in batches:
            about = BatchTold(batch.root, batch.body_digest, sources.get(source, ""))
            kept = ranges.pop(batch.number, None)
            claims = told.pop(batch.number, {about} if erasures else set())
            yield await _check_batch(conn, source, batch, about, (claims, kept))
        after = batches[-1][1].number
    if ranges:
        yield Fault(
            f"id_range of batch {min(ranges)}", "编号区间没有对应的批次", "the range of ids belongs to no batch"
        )
    if told:
        yield Fault(f"usage_batch {min(told)}", "日志提到的批次不存在", "the log speaks of a batch that is not there")


async def _check_batch(
    conn: Connection,
    source: int,
    batch: metering_store.StoredBatch,
    about: BatchTold,
    claims: tuple[set[BatchTold], tuple[int, str, str] | None],
) -> _Checked | Fault:
    told, kept = claims
    where = f"usage_batch {batch.number}"
    try:
        leaves = list(segment.unpack(batch.segment))
        ids = [segment.decode(leaf).id for leaf in leaves]
    except DomainError as error:
        return Fault(where, error.zh, error.en)
    hashes = [hash_leaf(leaf) for leaf in leaves]
    if root_of(hashes) != batch.root or (told if leaves else told - {about}) != ({about} if leaves else set()):
        return Fault(where, "用量记录、摘要或来源与日志不符", "its records, digest or source are not what the log says")
    if kept is not None:
        if not ids or kept != (source, ids[0], ids[-1]) or any(map(ge, ids, ids[1:])):
            return Fault(f"id_range of batch {batch.number}", "编号区间与记录不符", "the range is not that of its ids")
        return _Checked(len(leaves), 0)
    places = await metering_store.load_places(conn, source, ids)
    for at, (name, digest) in enumerate(zip(ids, hashes, strict=True)):
        if places.get(name) != (batch.number * PLACES + at, digest[:DIGEST_BYTES]):
            return Fault(
                f"usage_id {name}", "记录编号表与记录不符", "the table of ids does not say what the batch says"
            )
    return _Checked(len(leaves), len(leaves))
