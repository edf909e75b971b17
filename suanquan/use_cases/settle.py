"""Changes of what counts of single records: what counted is taken back exactly, what counts now is posted, both in one go.

Reports are posted by the batch; here come checkpoints, reports of attempts with checkpoints, corrections and releases. A
record that grows keeps what it posted and posts the rest; anything else is reversed on the vouchers that paid and posted
anew, by the price of its own time, in the open period.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import cbor2

from ledger import orders
from ledger.amount import CNY
from ledger.entry import Entry, EntryKind, Event, Leg, Side
from ledger.orders import Act
from ledger.transaction import Transaction
from metering import fate_store as fates
from metering import segment
from metering import store as metering_store
from metering.batch import batch_of
from metering.course import Course, growth
from metering.fate_store import Fact, State
from metering.model import UsageRecord
from metering.rating import Line, LineKey, Rated, difference, rate
from metering.store import Source, StoredBatch
from suanquan.use_cases import hold_usage
from suanquan.use_cases.hold_usage import Backing, backings_of, scheme_of
from suanquan.use_cases.postings import (
    COUNTERS,
    entries_of,
    open_accounts,
    purses_of,
    scheme_in_kind,
    waives_of,
)
from suanquan.use_cases.reopen import reopen
from suanquan.use_cases.shares import Terms, parts_of, price_changed, unpaid_ids
from voucher import store as voucher_store
from voucher.allocation import Cover, Purse, charges_along, draw_one

GROWING = ("checkpoint", "report")
_New = Sequence[tuple[int, "Change", UsageRecord]]
"""Places of changes, changes, and the records that count after them."""


class Said(NamedTuple):
    """Who says it, as entries name him: the digest of the request, eight bytes for the actor, the digest of the registers."""

    digest: bytes
    actor: bytes
    ruleset: bytes


class Counted(NamedTuple):
    """What counts of a record until now: `own` entries that are its alone, or the batch whose entries it shares."""

    record: UsageRecord | None = None
    revision: int = 0
    own: tuple[int, ...] = ()
    batch: StoredBatch | None = None


@dataclass(slots=True)
class Change:
    """A fact, what counted before it, and the record that counts after it; one that `counts` for nothing is kept alone.

    `more` is what a record that grows costs more than what it posted before; None where all of it is posted anew. `returned`
    is what ledger accounts got back of what it posted before.
    """

    id: str
    kind: str
    leaf: bytes
    before: Counted
    after: UsageRecord | None
    revision: int = 0
    reason: str = ""
    requested_by: str = ""
    approved_by: str = ""
    counts: bool = True
    fact: int = 0
    posted: tuple[int, ...] = ()
    events: int = 0
    more: Course | None = None
    returned: Counter[int] = field(default_factory=Counter)


@dataclass(slots=True)
class _Worth:
    """What records come to: yuan, how it comes up, and models by record, and the sums of pages."""

    yuan: dict[int, int] = field(default_factory=dict)
    courses: dict[int, Course] = field(default_factory=dict)
    models: dict[int, tuple[str, ...]] = field(default_factory=dict)
    lines: dict[LineKey, Line] = field(default_factory=dict)


def unpriced(records: Sequence[UsageRecord], terms: Terms) -> set[int]:
    """Places of records of which a card or its price is unknown."""
    return set(rate(batch_of(records), terms.tariffs, range(len(records))).held)


async def counted_of(tx: Transaction, source: Source, record_id: str) -> tuple[Counted, UsageRecord | None]:
    """What counts of a record, and what was last said of it, if anything: a record that waits was said and does not count."""
    conn = tx.connection
    if state := (await fates.load_states(conn, source.number, [record_id])).get(record_id):
        record = segment.decode(state.record) if state.record else None
        return Counted(record, state.revision, state.posted), record
    await metering_store.index_ranges(conn, source.number, record_id, record_id)
    places = await metering_store.load_places(conn, source.number, [record_id])
    if record_id not in places:
        return Counted(), None
    number, at = divmod(places[record_id][0], metering_store.PLACES)
    found = await metering_store.batch_numbered(conn, number)
    assert found is not None, "an id stands for a record of a batch"
    record = segment.decode(list(segment.unpack(found[1].segment))[at])
    return Counted() if record_id in unpaid_ids(found[1]) else Counted(record, batch=found[1]), record


async def last_said(tx: Transaction, source: Source, record_id: str) -> UsageRecord | None:
    """What a correction starts from: what counts now or, after a void, what was said before it."""
    _, known = await counted_of(tx, source, record_id)
    if known is None:
        for fact in reversed(await fates.facts_of(tx.connection, source.number, [record_id])):
            if fact.record and fact.kind != "drop":
                return segment.decode(fact.record)
        places = await metering_store.load_places(tx.connection, source.number, [record_id])
        if record_id in places:
            number, at = divmod(places[record_id][0], metering_store.PLACES)
            found = await metering_store.batch_numbered(tx.connection, number)
            assert found is not None, "an id stands for a record of a batch"
            return segment.decode(list(segment.unpack(found[1].segment))[at])
    return known


async def settle(tx: Transaction, said: Said, source: Source, terms: Terms, changes: Sequence[Change]) -> None:
    """Keep facts, and post what they change. Every record has its price (see `unpriced`).

    Raises:
        LedgerError: an entry is refused (a closed account, a legal hold).
        ServiceError: `posting-changed`.

    """
    if not changes:
        return
    number = await fates.next_fact(tx.connection)
    for at, change in enumerate(changes, number):
        change.fact = at
    facts = {change.fact: _fact(tx, source, change) for change in changes}
    before, after = _worth([c.before.record for c in changes], terms), _worth([c.after for c in changes], terms)
    free = await _maybe_waived(tx, terms, changes)
    for at, change in enumerate(changes):
        if change.id not in free and change.after is not None and _continues(change):
            edges = await hold_usage.edges_of(tx, terms.centre, change.after, terms.schemes)
            change.more = _growth(change, before.courses[at], after.courses[at], edges)
    redeemed = Counter[str]()
    writer = _Writer(tx, said, source, facts)
    redeemed.subtract(await _take_back(writer, terms, changes, before))
    redeemed.update(await _post(writer, terms, changes, after))
    await writer.note([change for change in changes if not change.events])
    await _keep(tx, source, terms.centre, changes, list(facts.values()))
    await voucher_store.add_redeemed(tx.connection, terms.centre, {name: n for name, n in redeemed.items() if n})
    await metering_store.add_usage(tx.connection, terms.centre, difference(before.lines, after.lines))


def _fact(tx: Transaction, source: Source, change: Change) -> Fact:
    return Fact(
        change.fact, source.number, change.id, change.kind, change.revision, change.leaf, change.reason,
        change.requested_by, change.approved_by, tx.now_ns // 1000,
    )  # fmt: skip


def _worth(records: Sequence[UsageRecord | None], terms: Terms) -> _Worth:
    """Worth of records by place; a checkpoint is no record yet, but its usage counts."""
    found = _Worth()
    for final in (True, False):
        places = [at for at, record in enumerate(records) if record is not None and record.final is final]
        chosen = [record for at in places if (record := records[at]) is not None]
        rated: Rated = rate(batch_of(chosen), terms.tariffs, range(len(chosen)))
        for at, place in enumerate(places):
            found.yuan[place], found.models[place] = int(rated.yuan[at]), rated.models[at]
            found.courses[place] = rated.course(at, chosen[at].start_us, chosen[at].end_us)
        for key, line in rated.lines.items():
            sums = found.lines.setdefault(key, Line())
            sums.add(line.records if final else 0, line.gpu_ms, line.yuan, line.compute)
    return found


async def _maybe_waived(tx: Transaction, terms: Terms, changes: Sequence[Change]) -> set[str]:
    """Attempts that ended by an interruption and may be for nothing from their beginning: what they posted is taken back."""
    ended = {one.id: one.after for one in changes if one.after is not None and one.after.interrupted and one.before.own}
    if not ended:
        return set()
    purses = await purses_of(tx, terms.centre, {one.account for one in ended.values()}, terms.schemes)
    backings = await backings_of(tx, terms.centre, (one.voucher for one in ended.values()))
    held = {name: await scheme_of(tx, one, terms.schemes) for name, one in backings.items()}
    return {
        name
        for name, record in ended.items()
        if any(purse.waives is not None for purse in purses[record.account])
        or ((scheme := held.get(record.voucher or "")) is not None and waives_of(scheme) is not None)
    }


def _continues(change: Change) -> bool:
    """Whether an attempt runs on, for the same account and by the same cards."""
    old, new = change.before.record, change.after
    if change.kind not in GROWING or old is None or new is None or not change.before.own:
        return False
    return (old.account, old.start_us, old.accelerators, old.voucher) == (
        new.account, new.start_us, new.accelerators, new.voucher,
    )  # fmt: skip


def _growth(change: Change, before: Course, after: Course, edges: Iterable[int]) -> Course | None:
    """What an attempt costs more than it did, between edges; None where it costs less in some of its time."""
    assert change.after is not None
    assert change.before.record is not None
    start, end = change.after.start_us, max(change.after.end_us, change.before.record.end_us)
    found = growth(before, after, sorted({start, end, *(at for at in edges if start < at < end)}))
    return None if found is None else tuple(found)


def fact_event_id(tx: Transaction, fact: Fact, at: int) -> bytes:
    """Id of the entry that a fact makes as its `at`th.

    It says what the fact is, not its number alone: a fact that was refused leaves its number to the next one.
    """
    return (fact.recorded_us // 1000).to_bytes(6) + tx.keyed(b"fact %d " % at + fact.digest)[:10]


class _Writer:
    """Appends the entries of changes."""

    def __init__(self, tx: Transaction, said: Said, source: Source, facts: Mapping[int, Fact]) -> None:
        self.tx = tx
        self._said = said
        self._source = source
        self._facts = facts

    def act(self, change: Change) -> Act:
        """What the next entry of a change says of itself."""
        change.events += 1
        event_id = fact_event_id(self.tx, self._facts[change.fact], change.events)
        return Act(event_id, self._said.digest, self.tx.entropy(32), "", self._said.actor)

    def dressed(self, event: Event, change: Change) -> Event:
        """The event with what the log commits to: the fact."""
        fact = {"type": "usage-fact", "fact": change.fact, "source": self._source.urn}
        payload = cbor2.dumps(fact | {"digest": self._facts[change.fact].digest}, canonical=True)
        return event._replace(payload=payload, ruleset=self._said.ruleset)

    async def note(self, changes: Iterable[Change]) -> None:
        """Changes that move nothing stand in the log all the same."""
        await self.tx.append([self.dressed(self.act(one).event(EntryKind.NOTE), one) for one in changes])


async def _take_back(writer: _Writer, terms: Terms, changes: Sequence[Change], worth: _Worth) -> Counter[str]:
    """Reverse what no longer counts; yuan that vouchers get back, by scheme."""
    events, owners, due = [], [], 0
    for at, change in enumerate(changes):
        before = change.before
        if before.record is None or change.more is not None:
            continue
        parts: list[tuple[int, tuple[Leg, ...]]] = [(seq, ()) for seq in reversed(before.own)]
        if before.batch is not None:
            parts = await parts_of(writer.tx, before.batch, before.record, terms)
        events += [writer.dressed(orders.reverse(writer.act(change), seq, legs), change) for seq, legs in parts]
        owners += [change] * len(parts)
        due += worth.yuan[at] if parts else 0  # what a hold paid by hand posted nothing
    entries = await writer.tx.append(events)
    for change, entry in zip(owners, entries, strict=True):
        change.returned.update({leg.account: leg.amount for leg in entry.legs if leg.side == Side.CREDIT})
    redeemed, moved = await _redeemed(writer.tx, entries, Side.CREDIT)
    if moved != due:
        raise price_changed()
    return redeemed


async def _post(writer: _Writer, terms: Terms, changes: Sequence[Change], after: _Worth) -> Counter[str]:
    """Post what counts now, or what it is more; yuan that vouchers pay, by scheme."""
    new = [(at, change, change.after) for at, change in enumerate(changes) if change.after is not None]
    purses = await purses_of(writer.tx, terms.centre, {record.account for _, _, record in new}, terms.schemes)
    backings = await _open_backings(writer, terms, new)
    covers, counted = _draw(new, purses, backings, after)
    await reopen(writer.tx, (purse for some in purses.values() for purse in some if purse.broken))
    accounts = await open_accounts(writer.tx, terms.centre, [(account, cover) for _, account, cover in covers])
    owners, events = [], []
    for change, account, cover in covers:
        for legs in entries_of(terms.centre, account, cover, accounts):
            if legs and any(leg.amount for leg in legs):
                events.append(writer.dressed(writer.act(change).event(EntryKind.POST)._replace(legs=legs), change))
                owners.append(change)
    counts = [(change, legs) for change, legs in counted if legs]
    events += [writer.dressed(writer.act(one).event(EntryKind.POST)._replace(legs=legs), one) for one, legs in counts]
    owners += [change for change, _ in counts]
    entries = await writer.tx.append(events)
    for change, entry in zip(owners, entries, strict=True):
        change.posted += (entry.seq,)
    await _hold_again(writer, backings, new)
    redeemed, _ = await _redeemed(writer.tx, entries, Side.DEBIT)
    return redeemed


_Counted = list[tuple["Change", tuple[Leg, ...]]]


def _draw(
    new: _New, purses: Mapping[str, list[Purse]], backings: Mapping[str, Backing], after: _Worth
) -> tuple[list[tuple[Change, str, Cover]], _Counted]:
    """Who pays for each record, by change and account; and what delegations count of it."""
    covers: list[tuple[Change, str, Cover]] = []
    counted: _Counted = []
    for at, change, record in new:
        course = after.courses[at]
        if change.more is not None:
            course, change.posted = change.more, change.before.own
        backing, named, purse = backings.get(record.voucher or ""), record.voucher, purses[record.account]
        if backing is not None:
            if backing.by_hand:
                continue
            named, purse = backing.jti, [backing.purse] if backing.purse else purse
        for one in purse:  # what names a hold that is closed is paid by its voucher, for as long as the hold would pay
            one.runs_on = backing is not None and backing.runs_on and one.jti == named
        charges = charges_along(course, after.models[at], named, interrupted=record.interrupted)
        had = backing.purse.available if backing is not None and backing.purse else 0
        covers.append((change, record.account, draw_one(charges, purse)))
        if backing is not None and backing.purse:
            counted.append((change, backing.count(had - backing.purse.available)))
    return covers, counted


async def _open_backings(writer: _Writer, terms: Terms, new: _New) -> dict[str, Backing]:
    """Holds that records name, given back so that their vouchers can be posted on in this very transaction."""
    backings = await backings_of(writer.tx, terms.centre, (record.voucher for _, _, record in new))
    for _, change, record in new:
        backing = backings.get(record.voucher or "")
        if backing is None:
            continue
        backing.runs_on = await hold_usage.pays_on(writer.tx, backing, terms.schemes)
        if backing.open and backing.purse is None:
            events = [writer.dressed(hold_usage.give_back(writer.act(change), one), change) for one in backing.open]
            await hold_usage.open_purse(writer.tx, backing, terms.schemes)
            await writer.tx.append(events)
        if change.before.record is not None and change.before.record.voucher == record.voucher:
            backing.take_back(change.returned)
    return backings


async def _hold_again(writer: _Writer, backings: Mapping[str, Backing], new: _New) -> None:
    """While a job runs, what its hold has left is held again; a last record gives it back."""
    last = {record.voucher: (change, record) for _, change, record in new}
    for name, backing in backings.items():
        change, record = last[name]
        for share in backing.shares if backing.purse is not None and not record.final else ():
            if share.left:
                (entry,) = await writer.tx.append(
                    [writer.dressed(hold_usage.hold_again(writer.act(change), backing, share), change)]
                )
                await hold_usage.keep_part(writer.tx, backing, entry.seq, share.left)


async def _redeemed(tx: Transaction, entries: Iterable[Entry], side: Side) -> tuple[Counter[str], int]:
    """Yuan that vouchers paid or got back in these entries, by scheme; and what the centre is owed more or less."""
    moved: Counter[int] = Counter()
    for entry in entries:
        for leg in entry.legs:
            moved[leg.account] += leg.amount if leg.asset == CNY.number and leg.side == side else 0
    found: Counter[str] = Counter()
    for row in await voucher_store.vouchers_of(tx.connection, moved):
        found[row.scheme] += moved[row.account]
    for number, account in (await tx.accounts_by_number(moved)).items():
        if account.name.startswith(COUNTERS):  # counts what a voucher paid once more
            moved[number] = 0
        elif scheme := scheme_in_kind(account.name):
            found[scheme] += moved[number]
    return found, sum(moved.values())


async def _keep(tx: Transaction, source: Source, centre: str, changes: Sequence[Change], facts: list[Fact]) -> None:
    conn = tx.connection
    await fates.write_facts(conn, facts)
    states = []
    for change in filter(lambda one: one.counts, changes):
        known = change.after or change.before.record
        account = known.account if known else ""
        leaf = change.leaf if change.after is not None else b""
        states.append(State(source.number, change.id, centre, account, change.revision, leaf, change.posted))
    await fates.put_states(conn, states)
