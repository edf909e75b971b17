"""What of a batch is settled record by record: checkpoints, and reports of records of which more was known already."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import sub

from ledger.transaction import Transaction
from metering import centre_store, segment
from metering import fate_store as fates
from metering import store as metering_store
from metering.batch import Batch
from metering.capacity import Pools
from metering.centre import CentreRecord
from metering.checkpoints import highest
from metering.compact import Compact
from metering.fate_store import State
from metering.model import UsageRecord
from metering.quarantine import DURATION_US_MAX, SKEW_HELD_US, Cause
from metering.rating import Tariffs
from metering.store import Source
from suanquan.use_cases.hold_unnamed import Use, some_hold, waits_for_hold
from suanquan.use_cases.hold_usage import names_hold
from suanquan.use_cases.settle import Change, Counted, unpriced
from suanquan.use_cases.shares import Terms


@dataclass(slots=True)
class Apart:
    """Records that are settled on their own: closed ones by column index, what changes, fates of checkpoints by position."""

    indices: set[int] = field(default_factory=set)
    changes: list[Change] = field(default_factory=list)
    held: dict[int, str] = field(default_factory=dict)
    checkpoints: dict[int, tuple[str, str, str]] = field(default_factory=dict)


async def waiting_of(tx: Transaction, batch: Batch, terms: Terms) -> dict[int, str]:
    """Why closed records of a batch wait for a person before they are rated, by column index."""
    found: dict[int, str] = {}
    if not batch.id:
        return found
    uses = [*map(Use, batch.account, batch.voucher, batch.start_us, batch.end_us)]
    found.update((at, Cause.HOLD.value) for at in await waits_for_hold(tx, terms, uses))
    if pools := await _pools(tx, terms.centre):
        found.update((at, Cause.CAPACITY.value) for at in _over(batch, pools, terms.tariffs))
    if max(map(sub, batch.end_us, batch.start_us)) > DURATION_US_MAX:
        spans = enumerate(map(sub, batch.end_us, batch.start_us))
        found.update((at, Cause.DURATION.value) for at, span in spans if span > DURATION_US_MAX)
    latest = tx.now_ns // 1000 + SKEW_HELD_US
    if max(batch.end_us) > latest:
        found.update((at, Cause.SKEW.value) for at, end in enumerate(batch.end_us) if end > latest)
    if stops := await suspensions(tx, terms.centre):
        both = enumerate(zip(batch.start_us, batch.end_us, strict=True))
        found.update((at, Cause.SUSPENDED.value) for at, (start, end) in both if _meets(stops, start, end))
    return found


async def nothing_waits(tx: Transaction, batch: Compact, terms: Terms) -> bool:
    """Whether `waiting_of` would find nothing in a batch of closed records; False also where that takes a closer look."""
    span, end = int((batch.end_us - batch.start_us).max()), int(batch.end_us.max())
    if span > DURATION_US_MAX or end > tx.now_ns // 1000 + SKEW_HELD_US or await suspensions(tx, terms.centre):
        return False
    if await some_hold(tx, terms, batch.accounts):
        return False
    pools = await _pools(tx, terms.centre)
    return not pools or _all_fit(batch.cards, pools, terms.tariffs, int(batch.start_us.min()), end)


async def suspensions(tx: Transaction, centre: str) -> list[tuple[int, int, str]]:
    """When a centre is suspended, read once and kept until anything but usage is recorded."""
    memo: dict[str, list[tuple[int, int, str]]] = tx.memo.setdefault("suspensions", {})
    if centre not in memo:
        memo[centre] = CentreRecord(await centre_store.load_suspensions(tx.connection, centre)).suspensions()
    return memo[centre]


def _meets(spans: Sequence[tuple[int, int, str]], start_us: int, end_us: int) -> bool:
    """Whether usage reaches into a suspension: that which ended before or began after it is accepted at any time."""
    return any(start_us < until and max(end_us, start_us + 1) > since for since, until, _ in spans)


async def _pools(tx: Transaction, centre: str) -> Pools:
    """What a centre has of each model, read once and kept until anything but usage is recorded."""
    memo: dict[str, Pools] = tx.memo.setdefault("pools", {})
    if centre not in memo:
        declared = (await metering_store.load_capacity(tx.connection)).get(centre, {})
        memo[centre] = Pools(declared, (await centre_store.load_steps(tx.connection)).get(centre))
    return memo[centre]


def _all_fit(cards: Iterable[tuple[str, int]], pools: Pools, tariffs: Tariffs, from_us: int, until_us: int) -> bool:
    """Whether there was room for each of these parts of records, whenever in the time its record lies."""
    for word, count in cards:
        tariff = tariffs(word, from_us)
        if tariff is None or _exceeds(count, pools.least(tariff.model, from_us, until_us + 1)):
            return False
    return True


def _exceeds(count: int, limit: int | None) -> bool:
    return limit is not None and count > limit


def _over(batch: Batch, pools: Pools, tariffs: Tariffs) -> Iterator[int]:
    """Records that alone hold more cards of a model than the centre had while they ran; of a model that is limited at all."""
    parts = set(chain.from_iterable(batch.accelerators))
    if _all_fit(parts, pools, tariffs, min(batch.start_us), max(batch.end_us)):
        return
    for at, cards in enumerate(batch.accelerators):
        start_us, end_us = batch.start_us[at], batch.end_us[at]
        for word, count in cards:
            tariff = tariffs(word, start_us)
            if tariff is not None and _exceeds(count, pools.most(tariff.model, start_us, end_us)):
                yield at
                break


async def set_apart(tx: Transaction, source: Source, batch: Batch, new: Sequence[int], terms: Terms) -> Apart:
    """Find what a batch changes of records that are known already, and its checkpoints."""
    found = Apart()
    _of_holds(found, batch, new, terms)
    if not batch.running and not await fates.has_states(tx.connection, source.number):
        return found
    running = [(position, leaf, segment.decode(leaf)) for position, leaf in batch.running]
    wanted = {batch.id[index] for index in new} | {record.id for _, _, record in running}
    states = await fates.load_states(tx.connection, source.number, wanted)
    _reports(found, batch, new, states, terms)
    if running:
        reported = {batch.id[index] for index in new}
        ids = [record.id for _, _, record in running]
        await metering_store.index_ranges(tx.connection, source.number, min(ids), max(ids))
        reported |= (await metering_store.known_ids(tx.connection, source.number, ids)).keys()
        stopped = await _stopped(tx, running, terms)
        _checkpoints(found, [one for one in running if one[0] not in stopped], states, reported, terms)
        found.checkpoints.update({at: (one.id, "held", stopped[at]) for at, _, one in running if at in stopped})
    return found


async def _stopped(tx: Transaction, running: Sequence[tuple[int, bytes, UsageRecord]], terms: Terms) -> dict[int, str]:
    """Why checkpoints wait, by position."""
    uses = [Use(one.account, one.voucher, one.start_us, one.end_us) for _, _, one in running]
    found = {running[at][0]: Cause.HOLD.value for at in await waits_for_hold(tx, terms, uses)}
    spans = await suspensions(tx, terms.centre)
    stopped = (at for at, _, record in running if _meets(spans, record.start_us, record.end_us))
    return found | dict.fromkeys(stopped, Cause.SUSPENDED.value)


def _of_holds(found: Apart, batch: Batch, new: Sequence[int], terms: Terms) -> None:
    """Records that name a hold are settled one by one: the hold pays, or was paid by hand (see `hold_usage`)."""
    if not any(batch.voucher):
        return
    for index in new:
        if names_hold(batch.voucher[index]):
            record = segment.decode(batch.leaf[index])
            if not unpriced([record], terms):  # else it waits like any record whose card is unknown
                found.indices.add(index)
                found.changes.append(Change(record.id, "report", batch.leaf[index], Counted(), record))


def _reports(found: Apart, batch: Batch, new: Sequence[int], states: Mapping[str, State], terms: Terms) -> None:
    """A report of an attempt with checkpoints settles it; one that was corrected before it came is kept and counts nothing."""
    for index in new:
        state = states.get(batch.id[index])
        if state is None:
            continue
        found.changes = [change for change in found.changes if change.id != state.id]
        found.indices.add(index)
        if state.revision:
            continue
        record = segment.decode(batch.leaf[index])
        if unpriced([record], terms):
            found.held[index] = Cause.MODEL.value
            continue
        found.changes.append(Change(record.id, "report", batch.leaf[index], _counted(state), record))


def _counted(state: State | None) -> Counted:
    if state is None:
        return Counted()
    return Counted(segment.decode(state.record) if state.record else None, state.revision, state.posted)


def _checkpoints(
    found: Apart,
    running: Sequence[tuple[int, bytes, UsageRecord]],
    states: Mapping[str, State],
    reported: set[str],
    terms: Terms,
) -> None:
    """Of each attempt the highest checkpoint counts, unless it is closed or corrected already."""
    best: dict[str, tuple[int, bytes, UsageRecord]] = {}
    unknown = unpriced([record for _, _, record in running], terms)
    for at, (position, leaf, record) in enumerate(running):
        state = states.get(record.id)
        seen = segment.decode(state.record) if state and state.record else None
        if at in unknown:
            found.checkpoints[position] = record.id, "held", Cause.MODEL.value
        elif record.id in reported or (state and state.revision) or (seen and highest(seen, record) is seen):
            same = seen == record
            found.checkpoints[position] = record.id, *(("duplicate", "") if same else ("accepted", "superseded"))
        else:
            earlier = best.get(record.id)
            found.checkpoints[position] = record.id, "accepted", ""
            if earlier is None or highest(earlier[2], record) is record:
                best[record.id] = position, leaf, record
    for name, (_, leaf, record) in best.items():
        found.changes.append(Change(name, "checkpoint", leaf, _counted(states.get(name)), record))
