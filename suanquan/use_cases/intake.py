"""Where batches of usage come in: those that need no look at single records are served together, the others one by one.

A batch needs none when every record is good, new and priced, and nothing waits or was said of its source but reports; or
when it repeats a batch record by record. One question and one write serve a round of them; what is recorded and answered
is what `suanquan.use_cases.ingest` would record and answer (docs/decisions/0023).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import msgspec

from ledger.amount import INT64_MAX
from ledger.errors import DomainError
from ledger.journal import Journal
from ledger.sql import Rows
from ledger.transaction import Transaction
from ledger.tree import EMPTY_ROOT
from metering import intake_store, segment
from metering.batch import Batch, expand
from metering.compact import Compact
from metering.intake_store import Found, Range, Wanted
from metering.rate_columns import Sums, rate_columns
from metering.rating import Line, LineKey, rate
from metering.store import Source, StoredBatch, nonce_rows
from suanquan.turns import Gate, Turns
from suanquan.use_cases.apart import nothing_waits
from suanquan.use_cases.hold_usage import names_hold
from suanquan.use_cases.ingest import (
    Answer,
    Issuer,
    Kept,
    Request,
    Result,
    Rules,
    check_source,
    ingest,
    nonce_replayed,
    receipt_of,
)
from suanquan.use_cases.postings import About, Charges, ReopensError, charges_of, post_batch
from suanquan.use_cases.shares import Terms
from voucher.hold_store import redeemed_rows

ROUND_MAX = 16
"""Batches served together: more gain nothing."""
ROUNDS_MAX = 2
"""Rounds under way: one is posted while the one before is on its way to the disk."""


RECORDS_MAX = 20_000
"""Records that a round begins its last batch below: a longer one gains nothing, and whoever comes next waits for it."""
ONE_BY_ONE_MAX = 8
"""Batches that need a look at single records and are under way: enough for one write of the log to serve several."""


class _Careful(Exception):  # noqa: N818 -- no error: the batch needs the careful way
    pass


class _Undone(Exception):  # noqa: N818 -- one batch of a round failed while it was posted, and took the round with it
    pass


@dataclass(slots=True)
class _Job:
    request: Request
    batch: Compact
    sums: Sums
    done: asyncio.Future[bytes]


class Intake:
    """A round on its way to the disk and one at work; whoever comes meanwhile is served together next."""

    def __init__(self, journal: Journal, rules: Callable[[], Rules], issuer: Callable[[], Issuer]) -> None:
        self._journal = journal
        self._rules = rules
        self._issuer = issuer
        self._waiting: Turns[_Job] = Turns()
        self._one_by_one = Gate(ONE_BY_ONE_MAX)
        self._rounds: set[asyncio.Task[None]] = set()

    async def take(self, request: Request, batch: Batch | Compact) -> bytes:
        """The answer to a batch whose signature was verified, as JSON, once it is durable.

        Raises:
            DomainError: see `ingest`.

        """
        if isinstance(batch, Compact):
            with contextlib.suppress(_Careful):
                return await self._quickly(request, batch)
        rules, issuer = self._rules(), self._issuer()
        async with self._one_by_one.turn(request.kid):
            answer = await self._journal.transact(lambda tx: ingest(tx, request, batch, rules, issuer), keeps_memo=True)
        return msgspec.json.encode(answer)

    async def _quickly(self, request: Request, batch: Compact) -> bytes:
        if any(map(names_hold, batch.vouchers)):
            raise _Careful
        # Rated before its turn, while the round before is on its way to the disk.
        sums = rate_columns(batch, self._rules().tariffs(request.centre))
        if sums is None or any(max(line.gpu_ms, line.yuan, line.compute) > INT64_MAX for line in sums.lines.values()):
            raise _Careful
        job = _Job(request, batch, sums, asyncio.get_running_loop().create_future())
        self._waiting.add(request.kid, job)
        self._serve()
        return await job.done

    def _serve(self) -> None:
        """Begin a round with those who wait, unless as many are under way as the journal has use for."""
        if not self._waiting or len(self._rounds) >= ROUNDS_MAX:
            return
        jobs = self._waiting.take(ROUND_MAX, lambda job: job.batch.count, RECORDS_MAX)
        task = asyncio.create_task(self._serve_round(jobs), name="intake")
        self._rounds.add(task)
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._rounds.discard(task)
        self._serve()

    async def _serve_round(self, jobs: list[_Job]) -> None:
        answers: Sequence[bytes | Exception]
        try:
            rules, issuer = self._rules(), self._issuer()
            answers = await self._journal.transact(
                lambda tx: _round(tx, jobs, rules, issuer), keeps_memo=True, flies=True
            )
        except _Undone:
            answers = [_Careful()] * len(jobs)
        except Exception as error:  # noqa: BLE001 -- everybody in the round must hear
            answers = [error] * len(jobs)
        for job, answer in zip(jobs, answers, strict=True):
            if job.done.done():
                continue
            if isinstance(answer, bytes):
                job.done.set_result(answer)
            else:
                job.done.set_exception(answer)


@dataclass(slots=True)
class _Round:
    """What a round writes once all of its batches are posted."""

    tx: Transaction
    rules: Rules
    issuer: Issuer
    seen: Found
    nonces: list[tuple[str, str, int]] = field(default_factory=list)
    batches: list[tuple[int, StoredBatch]] = field(default_factory=list)
    ranges: list[tuple[int, str, str, int]] = field(default_factory=list)
    accounts: list[tuple[str, str, int]] = field(default_factory=list)
    statuses: Counter[tuple[str, str]] = field(default_factory=Counter)
    paid: Counter[tuple[str, str]] = field(default_factory=Counter)
    sums: list[tuple[str, dict[LineKey, Line]]] = field(default_factory=list)
    touched: set[str] = field(default_factory=set)

    def rows(self) -> list[Rows]:
        """All of it."""
        paid = [(scheme, centre, units) for (scheme, centre), units in self.paid.items()]
        return [
            nonce_rows(self.nonces),
            intake_store.batch_rows(self.batches),
            intake_store.range_rows(self.ranges),
            intake_store.account_rows(self.accounts),
            intake_store.status_rows((*name, records) for name, records in self.statuses.items()),
            intake_store.usage_rows(self.sums),
            redeemed_rows(paid),
            intake_store.source_rows(self.seen.sources[urn] for urn in sorted(self.touched)),
        ]


async def _round(tx: Transaction, jobs: list[_Job], rules: Rules, issuer: Issuer) -> list[bytes | Exception]:
    wanted = [_wanted(job) for job in jobs]
    turn = _Round(tx, rules, issuer, await _look_up(tx, wanted))
    answers: list[bytes | Exception] = []
    for job, names in zip(jobs, wanted, strict=True):
        try:
            answers.append(await _serve(turn, job, names))
        except (DomainError, _Careful) as error:
            answers.append(error)
    tx.write(turn.rows())
    _note(turn)
    return answers


async def _look_up(tx: Transaction, wanted: list[Wanted]) -> Found:
    """What is recorded, on disk or by a round that is on its way there."""
    noted = dict(tx.noted)  # before the tables: what lands meanwhile is found in either
    seen = await intake_store.look_up(tx.connection, wanted)
    seen.next_batch = max(seen.next_batch, noted.get(_NEXT, 0))
    spans = [(key[1], span) for key, span in noted.items() if key[0] == "ids"]
    for one in wanted:
        if ("nonce", one.kid, one.nonce) in noted:
            seen.nonces.add((one.kid, one.nonce))
        if ("usage", one.urn, one.key) in noted:
            seen.keys.add((one.urn, one.key))
        if ("source", one.urn) in noted and one.urn in seen.sources:
            seen.sources[one.urn] = noted["source", one.urn]
        if any(urn == one.urn and first <= one.last_id and last >= one.first_id for urn, (first, last) in spans):
            seen.taken.add(one.span)
    return seen


def _note(turn: _Round) -> None:
    """Say what a look into the tables misses until this round is on disk."""
    noted, urns = turn.tx.noted, {source.number: source.urn for source in turn.seen.sources.values()}
    noted[_NEXT] = turn.seen.next_batch
    noted.update({("nonce", kid, nonce): True for kid, nonce, _ in turn.nonces})
    noted.update({("usage", urns[source], stored.key): True for source, stored in turn.batches})
    noted.update({("source", urn): turn.seen.sources[urn] for urn in turn.touched})
    noted.update({("ids", urns[source], number): (first, last) for source, first, last, number in turn.ranges})


_NEXT = ("next batch",)


def _wanted(job: _Job) -> Wanted:
    ids = job.batch.ids
    return Wanted(
        job.request.kid,
        job.request.nonce,
        job.batch.source,
        job.request.key,
        ids[: ids.find("\n")] if "\n" in ids else ids,
        ids[ids.rfind("\n") + 1 :],
    )


async def _serve(turn: _Round, job: _Job, names: Wanted) -> bytes:
    """Post a batch, or say that it needs the careful way; whatever is refused has changed nothing."""
    request, batch, seen = job.request, job.batch, turn.seen
    if (request.kid, request.nonce) in seen.nonces:
        raise nonce_replayed()
    check_source(batch.source, request.centre)
    source = seen.sources.get(batch.source)
    if source is None or (batch.source, request.key) in seen.keys:
        raise _Careful
    if not batch.ascends:
        raise _Careful
    if names.span in seen.taken or _meets(turn, source.number, names):
        twin = seen.ranges.get(names.span)
        if twin is None or (twin.records, twin.root) != (batch.count, batch.root):
            raise _Careful
        return _repeat(turn, job, source, twin)
    return await _post(turn, job, names, source)


def _meets(turn: _Round, source: int, names: Wanted) -> bool:
    """Whether a batch of this round has ids among these."""
    return any(
        number == source and first <= names.last_id and last >= names.first_id for number, first, last, _ in turn.ranges
    )


async def _post(turn: _Round, job: _Job, names: Wanted, source: Source) -> bytes:
    request, batch, tx = job.request, job.batch, turn.tx
    terms = Terms(request.centre, turn.rules.tariffs(request.centre), turn.rules.schemes)
    if batch.source in turn.seen.apart or not await nothing_waits(tx, batch, terms):
        raise _Careful
    number, first = turn.seen.next_batch, tx.size
    about = About(
        request.centre, request.kid, request.body_digest, number, batch.source, batch.root, turn.rules.ruleset
    )
    charges = _charges(turn, batch, request.centre)
    try:
        paid = await post_batch(tx, about, job.sums.accounts, charges, turn.rules.schemes, told=True, may_reopen=False)
    except ReopensError as early:
        raise _Careful from early
    except DomainError as fault:
        raise _Undone from fault
    receipt = receipt_of(batch, number, batch.count, batch.root, (first, tx.size), _now_us(tx), turn.issuer)
    stored = _keep(turn, job, source, first, Kept({}, receipt))
    turn.ranges.append((source.number, names.first_id, names.last_id, number))
    turn.accounts += [(request.centre, account, number) for account in sorted(batch.accounts)]
    turn.sums.append((request.centre, job.sums.lines))
    turn.paid.update({(scheme, request.centre): units for scheme, units in paid.items()})
    _advance(turn, source, stored, batch, names.last_id)
    return _answer(stored, "accepted", batch, receipt)


def _charges(turn: _Round, batch: Compact, centre: str) -> Charges:
    """Charges one by one, for accounts whose sum does not decide which vouchers pay."""

    @cache
    def made() -> Charges:
        single = expand(batch)
        return charges_of(single, rate(single, turn.rules.tariffs(centre), range(single.count)))

    return lambda account, *, states=False: made()(account, states=states)


def _repeat(turn: _Round, job: _Job, source: Source, twin: Range) -> bytes:
    """A batch that another was: nothing is posted, and all of it is answered as reported before."""
    batch, size = job.batch, turn.tx.size
    number = turn.seen.next_batch
    receipt = receipt_of(batch, number, 0, EMPTY_ROOT, (size, size), _now_us(turn.tx), turn.issuer)
    stored = _keep(turn, job, source, size, Kept({}, receipt, twin=twin.number))
    _advance(turn, source, stored, batch)
    return _answer(stored, "duplicate", batch, receipt)


def _keep(turn: _Round, job: _Job, source: Source, first: int, kept: Kept) -> StoredBatch:
    request, batch, new = job.request, job.batch, not kept.twin
    stored = StoredBatch(
        turn.seen.next_batch, request.key, request.body_digest, _now_us(turn.tx), batch.count,
        batch.root if new else EMPTY_ROOT, first, turn.tx.size, batch.segment if new else segment.pack([]),
        msgspec.msgpack.encode(kept),
    )  # fmt: skip
    turn.batches.append((source.number, stored))
    turn.seen.next_batch += 1
    turn.nonces.append((request.kid, request.nonce, request.nonce_until_us))
    turn.seen.nonces.add((request.kid, request.nonce))
    turn.seen.keys.add((batch.source, request.key))
    turn.statuses[request.centre, "accepted" if new else "duplicate"] += batch.count
    return stored


def _advance(turn: _Round, source: Source, stored: StoredBatch, batch: Compact, last_id: str = "") -> None:
    """Remember how far the source has reported; `last_id` of a batch with new records."""
    first_us, last_us = source.first_us, source.last_us
    if last_id:
        earliest = int(batch.start_us.min())
        first_us, last_us = min(first_us or earliest, earliest), max(last_us, int(batch.end_us.max()))
    turn.touched.add(source.urn)
    turn.seen.sources[source.urn] = replace(
        source, last_sequence=max(source.last_sequence, batch.last_sequence), last_id=max(source.last_id, last_id),
        first_us=first_us, last_us=last_us, received_us=stored.received_us,
    )  # fmt: skip


def _answer(stored: StoredBatch, status: str, batch: Compact, receipt: str) -> bytes:
    """`Answer` of a batch all of whose records have one status, without an object for each."""
    accepted, duplicate = (stored.records, 0) if status == "accepted" else (0, stored.records)
    if '"' in batch.ids or "\\" in batch.ids:
        results = [Result(name, status) for name in batch.id_list()]
        return msgspec.json.encode(Answer(str(stored.number), accepted, duplicate, 0, 0, 0, results, receipt))
    listed = batch.ids.replace("\n", f'","status":"{status}"}},{{"id":"')
    return (
        f'{{"batch":"{stored.number}","accepted":{accepted},"duplicate":{duplicate},"conflict":0,"rejected":0,"held":0,'
        f'"results":[{{"id":"{listed}","status":"{status}"}}],"receipt":"{receipt}"}}'
    ).encode()


def _now_us(tx: Transaction) -> int:
    return tx.now_ns // 1000
