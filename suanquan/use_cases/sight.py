"""The second look at usage: which times are to be looked at, what was used then, and what cards and monitors say of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from ledger.errors import Finding
from ledger.sql import Connection
from metering import centre_store, segment, sight_store
from metering import store as metering_store
from metering.capacity import sweep
from metering.model import UsageRecord
from metering.overlap import Hold, fingerprint, overlaps
from metering.reconcile import Thresholds as Allowed
from metering.reconcile import allocated_ms, reconcile
from metering.sight_store import Segment, Span
from metering.telemetry import HOUR_US, DeviceRun, Hour
from metering.zones import SHANGHAI, rfc3339, shanghai_day_us
from suanquan.catalog import Catalog
from voucher import finding_store, hold_store
from voucher.finding import Suspicion, Thresholds
from voucher.finding_store import RunRow
from voucher.findings_sight import Run, contradictions, hoarding, look_alike, over_capacity, shared_devices
from voucher.findings_usage import Job, sham_use

BATCHES_AT_ONCE = 200
RECORDS_AT_ONCE = 200_000
"""Records of one window; a window of more is halved, down to a day."""
DAY_US = 86_400_000_000
SHANGHAI_US = 8 * HOUR_US
WORKLOAD = "workload"
"""Extension attribute of a usage event: what the job ran (image and command), as a digest that the centre makes."""


States = dict[tuple[int, str], bytes]
"""What counts of records of which more is known than a report: canonical bytes (none: voided) by source and id."""


class Window(NamedTuple):
    """A time of one centre that is to be looked at again."""

    centre: str
    from_us: int
    until_us: int


@dataclass(slots=True)
class Plan:
    """What a run looks at: windows, the spans of batches that are new, and how far it will then have looked."""

    windows: list[Window]
    spans: dict[int, Span]
    last_batch: int
    settled_us: int


@dataclass(slots=True)
class Use:
    """What was used in a window: records that count, by canonical model, and what they ran by their ids.

    `held` are records of jobs for which a hold was taken, `vouchers` those that name one: hold or voucher, account, record.
    """

    records: list[UsageRecord] = field(default_factory=list)
    workloads: dict[str, str] = field(default_factory=dict)
    held: list[tuple[str, str, str]] = field(default_factory=list)
    vouchers: list[tuple[str, str, str]] = field(default_factory=list)


def day_of(at_us: int) -> str:
    """The day in Shanghai."""
    return datetime.fromtimestamp(at_us // 1_000_000, UTC).astimezone(SHANGHAI).date().isoformat()


def month_of(at_us: int) -> str:
    """The month in Shanghai."""
    return day_of(at_us)[:7]


async def make_plan(conn: Connection, last: RunRow, now_us: int, limits: Thresholds) -> Plan:
    """What has to be looked at since a run: times of new batches, newly reported telemetry, and hours that are due now."""
    spans = await _new_spans(conn, last.last_batch)
    touched: dict[str, list[tuple[int, int]]] = {}
    for span in spans.values():
        touched.setdefault(span.centre, []).append((span.first_us, span.last_us))
    settled_us = (now_us - limits.settle_hours * HOUR_US) // HOUR_US * HOUR_US
    for centre, (first, end, since, until) in (await sight_store.telemetry_reach(conn, last.at_us)).items():
        due = max(first, last.judged_us), min(end + HOUR_US, settled_us)
        touched.setdefault(centre, []).append(due)
        if since is not None and until is not None:
            touched[centre].append((since, until + HOUR_US))
    for centre, (begin, end) in (await sight_store.runs_reach(conn, last.at_us)).items():
        touched.setdefault(centre, []).append((begin, end))
    windows = []
    for centre, times in sorted(touched.items()):
        for from_us, until_us in _days(times):
            windows += await _halved(conn, Window(centre, from_us, until_us), list(spans.values()))
    return Plan(windows, spans, max(spans, default=last.last_batch), settled_us)


async def _new_spans(conn: Connection, after: int) -> dict[int, Span]:
    found: dict[int, Span] = {}
    while rows := await sight_store.segments_after(conn, after, BATCHES_AT_ONCE):
        for row in rows:
            times = segment.times_of(row.segment)
            if times:
                first, last = min(start for start, _ in times), max(end for _, end in times)
                found[row.batch] = Span(row.batch, row.centre, first, max(last, first + 1), row.records)
            after = row.batch
    return found


def _days(times: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Whole days in Shanghai that cover the times, runs of them put together."""
    begin = end = 0
    for first, last in sorted(times):
        if first >= last:
            continue
        low = (first + SHANGHAI_US) // DAY_US * DAY_US - SHANGHAI_US
        high = -(-(last + SHANGHAI_US) // DAY_US) * DAY_US - SHANGHAI_US
        if end and low <= end:
            end = max(end, high)
            continue
        if end:
            yield begin, end
        begin, end = low, high
    if end:
        yield begin, end


async def _halved(conn: Connection, window: Window, new: Sequence[Span]) -> list[Window]:
    """The window in parts with few enough records, as far as parts have fewer."""
    spans = await _meeting(conn, window, new)
    days = (window.until_us - window.from_us) // DAY_US
    if sum(span.records for span in spans) <= RECORDS_AT_ONCE or days <= 1:
        return [window]
    middle = window.from_us + days // 2 * DAY_US
    parts = window._replace(until_us=middle), window._replace(from_us=middle)
    if all([len(await _meeting(conn, part, new)) == len(spans) for part in parts]):
        return [window]
    return [one for part in parts for one in await _halved(conn, part, new)]


async def _meeting(conn: Connection, window: Window, new: Sequence[Span]) -> list[Span]:
    known = {span.batch: span for span in await sight_store.spans_meeting(conn, *window)}
    own = (span for span in new if span.centre == window.centre)
    known |= {span.batch: span for span in own if span.first_us < window.until_us and span.last_us > window.from_us}
    return list(known.values())


async def look_at_use(
    conn: Connection, catalog: Catalog, plan: Plan, limits: Thresholds
) -> tuple[list[Suspicion], Use]:
    """Look at every window; also what the checks of vouchers want to know of the records."""
    steps = await centre_store.load_steps(conn)
    declared = await metering_store.load_capacity(conn)
    holds = await hold_store.references(conn)
    found: list[Suspicion] = []
    seen = Use()
    states: dict[str, States] = {}
    for window in plan.windows:
        if window.centre not in states:
            states = {window.centre: await _states(conn, window.centre)}
        use = await _use_of(conn, catalog, window, list(plan.spans.values()), states[window.centre])
        found += _of_records(window, use, (steps.get(window.centre), declared.get(window.centre, {})), limits)
        found += await _of_monitors(conn, window, use, plan.settled_us, limits)
        for one in use.records:
            if (hold := holds.get((window.centre, one.job))) and one.voucher != hold:  # else the hold pays for it, once
                seen.held.append((hold, f"{window.centre}/{one.account}", one.id))
            if one.voucher:
                seen.vouchers.append((one.voucher, f"{window.centre}/{one.account}", one.id))
    return found, seen


async def _states(conn: Connection, centre: str) -> States:
    return {(source, name): record for source, name, record in await sight_store.centre_states(conn, centre)}


async def pools(conn: Connection, catalog: Catalog, window: Window) -> list[dict[str, Any]]:
    """Hours of pools: GPU time allocated as reported, busy and seen by monitors, and energy, by model and hour."""
    spans = await _new_spans(conn, (await finding_store.last_run(conn)).last_batch)
    use = await _use_of(conn, catalog, window, list(spans.values()), await _states(conn, window.centre))
    held = allocated_ms(use.records)
    seen = await sight_store.load_hours(conn, *window)
    inside = (pool for pool in held.keys() | seen.keys() if window.from_us <= pool[1] < window.until_us)
    return [
        {
            "hour": rfc3339(hour_us),
            "model": model,
            "allocated_ms": str(held.get((model, hour_us), 0)),
            "busy_ms": str(hour.busy_ms) if hour else None,
            "seen_ms": str(hour.seen_ms) if hour else None,
            "energy_mj": str(hour.energy_mj) if hour else None,
        }
        for hour_us, model in sorted((hour_us, model) for model, hour_us in inside)
        for hour in [seen.get((model, hour_us))]
    ]


async def _use_of(conn: Connection, catalog: Catalog, window: Window, new: Sequence[Span], states: States) -> Use:
    """Records that count and meet the window: reports as they stand, corrected ones as corrected, checkpoints."""
    batches = [span.batch for span in await _meeting(conn, window, new)]
    waiting = await sight_store.waiting_ids(conn, batches)
    urns = {one.number: one.urn for one in await metering_store.load_sources(conn)}
    use = Use()
    for at in range(0, len(batches), BATCHES_AT_ONCE):
        for row in await sight_store.load_segments(conn, batches[at : at + BATCHES_AT_ONCE]):
            for leaf in _leaves(row, window):
                record = segment.decode(leaf)
                if (row.source, record.id) not in states and (row.batch, record.id) not in waiting:
                    _add(use, catalog, urns[row.source], record, segment.extensions_of(leaf))
    for (source, _), leaf in states.items():
        if not leaf:  # it was voided
            continue
        record = segment.decode(leaf)
        if record.start_us < window.until_us and record.end_us > window.from_us:
            _add(use, catalog, urns[source], record, segment.extensions_of(leaf))
    return use


def _leaves(row: Segment, window: Window) -> Iterator[bytes]:
    for (start, end), leaf in zip(segment.times_of(row.segment), segment.unpack(row.segment), strict=True):
        if start < window.until_us and end > window.from_us:
            yield leaf


def _add(use: Use, catalog: Catalog, urn: str, record: UsageRecord, extensions: str) -> None:
    """Take a record with the register's names of its cards; words that nobody registered stay as they are."""
    cards = tuple(
        replace(card, model=known.model if known else card.model)
        for card in record.accelerators
        for known in [catalog.accelerators.resolve(card.model, record.start_us)]
    )
    name = f"{urn} {record.id}"
    record = replace(record, id=name, accelerators=cards)
    use.records.append(record)
    if extensions:
        use.workloads[name] = str(json.loads(extensions).get(WORKLOAD, ""))


def _of_records(
    window: Window,
    use: Use,
    capacity: tuple[dict[str, list[tuple[int, int]]] | None, dict[str, int]],
    limits: Thresholds,
) -> Iterator[Suspicion]:
    """What records say by themselves: more cards at once than there were, one job again and again, flat lines."""
    steps, declared = capacity

    def milli(model: str, at_us: int) -> int:
        return declared.get(model, 0) if steps is None else centre_store.count_at(steps.get(model, ()), at_us)

    if steps is not None or declared:
        breaches = (one for one in sweep(use.records, milli) if window.from_us <= one.at_us < window.until_us)
        yield from over_capacity(window.centre, breaches, day_of)
    jobs = [
        Job(one.id, window.centre, one.account, one.start_us, one.end_us, one.gpu_ms, (), use.workloads.get(one.id, ""))
        for one in use.records
        if one.final
    ]
    yield from sham_use(jobs, (), limits)
    alike: dict[tuple[str, str], list[str]] = {}
    for record in use.records:
        alike.setdefault((f"{window.centre} {record.account}", fingerprint(record)), []).append(record.id)
    yield from look_alike(alike)


async def _of_monitors(
    conn: Connection, window: Window, use: Use, settled_us: int, limits: Thresholds
) -> list[Suspicion]:
    """What monitors contradict: hours of pools once reports are due, devices with two holders, devices held and idle."""
    runs = await sight_store.load_runs(conn, *window)
    holds = [Hold(run.device, run.account, run.job, run.start_us, run.end_us) for run in runs if run.account or run.job]
    found = list(shared_devices(window.centre, overlaps(holds)))
    whole = await sight_store.load_runs(conn, window.centre, *_months(window)) if runs else []
    found += hoarding(window.centre, map(_run, (run for run in whole if run.account or run.job)), month_of, limits)
    until_us = min(window.until_us, settled_us)
    seen = (
        await sight_store.load_hours(conn, window.centre, window.from_us, until_us) if until_us > window.from_us else {}
    )
    if seen:
        found += contradictions(window.centre, _compared(use, seen, (window.from_us, until_us), limits), day_of)
    return found


def _months(window: Window) -> tuple[int, int]:
    """The whole months in Shanghai that a window meets."""
    first, last = (date.fromisoformat(day_of(at_us)) for at_us in (window.from_us, window.until_us - 1))
    following = (last.replace(day=28) + timedelta(days=4)).replace(day=1)
    return shanghai_day_us(first.replace(day=1)), shanghai_day_us(following)


def _run(run: DeviceRun) -> Run:
    return Run(run.device, run.account, run.job, run.start_us, run.end_us, run.busy_ms, run.seen_ms)


def _compared(
    use: Use, seen: dict[tuple[str, int], Hour], times: tuple[int, int], limits: Thresholds
) -> Iterator[tuple[str, int, Finding]]:
    """Pools and hours between the first and the last that the monitor saw, and what contradicts itself there."""
    from_us = max(times[0], min(hour_us for _, hour_us in seen))
    until_us = min(times[1], max(hour_us for _, hour_us in seen) + HOUR_US)
    held = allocated_ms(use.records)
    allowed = Allowed(limits.idle_permille, limits.unreported_permille, limits.idle_watts)
    for model, hour_us in sorted(held.keys() | seen.keys()):
        if from_us <= hour_us < until_us:
            pool = model, hour_us
            some = {pool: held[pool]} if pool in held else {}
            for finding in reconcile(some, {pool: seen[pool]} if pool in seen else {}, allowed):
                yield model, hour_us, finding
