"""Accept a batch of usage: status per record, rating, allocation, postings and receipt in one durable transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import islice
from operator import lt
from typing import NamedTuple

import msgspec

from ledger import jws
from ledger.amount import INT64_MAX
from ledger.errors import Kind
from ledger.sql import Connection
from ledger.transaction import Transaction
from metering import segment
from metering import store as metering_store
from metering.batch import Batch, expand
from metering.compact import Compact
from metering.errors import MeteringError
from metering.rating import Rated, Tariffs, rate
from metering.signature import SignatureError
from metering.store import Source, StoredBatch
from suanquan.use_cases.apart import Apart, set_apart, waiting_of
from suanquan.use_cases.postings import About, charges_of, post_batch
from suanquan.use_cases.settle import Said, settle
from suanquan.use_cases.shares import Terms
from voucher import store as voucher_store
from voucher.scheme import Series

RECEIPT_TYPE = "usage-receipt+jwt"


class Request(NamedTuple):
    """A signed request that has been verified: whose it is, and what makes it unique."""

    centre: str
    kid: str
    nonce: str
    nonce_until_us: int
    key: str
    body_digest: bytes


class Issuer(NamedTuple):
    """Who signs receipts."""

    name: str
    kid: str
    sign: Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Rules:
    """What usage is rated and paid by: tariffs of a centre, and schemes by id."""

    tariffs: Callable[[str], Tariffs]
    schemes: Mapping[str, Series]
    ruleset: bytes


class Result(msgspec.Struct, omit_defaults=True):
    """What became of one record."""

    id: str
    status: str
    code: str = ""
    detail: str = ""
    checkpoint: bool = False


class Answer(msgspec.Struct):
    """The body of a 200: what became of each record, in the order received, and the signed receipt."""

    batch: str
    accepted: int
    duplicate: int
    conflict: int
    rejected: int
    held: int
    results: list[Result]
    receipt: str


class Kept(msgspec.Struct, omit_defaults=True):
    """An answer as kept: results by position but for reports that were accepted, whose ids stand in the segment.

    `apart` are ids in the segment that were settled on their own. `twin` is the number of a batch whose records this one
    repeats one by one.
    """

    others: dict[int, Result]
    receipt: str
    apart: list[str] = []
    twin: int = 0


async def ingest(tx: Transaction, request: Request, batch: Batch | Compact, rules: Rules, issuer: Issuer) -> Answer:
    """Record a batch and answer it; the same batch again gets the same answer.

    This way looks at every record; `suanquan.use_cases.intake` takes batches that need no such look.

    Raises:
        MeteringError: `nonce-replayed`, `foreign-source`, or `idempotency-key-reused` for another body.

    """
    conn, now_us = tx.connection, tx.now_ns // 1000
    if isinstance(batch, Compact):
        batch = expand(batch)
    if not await metering_store.use_nonce(conn, request.kid, request.nonce, request.nonce_until_us):
        raise nonce_replayed()
    check_source(batch.source, request.centre)
    source = await metering_store.open_source(conn, batch.source, request.centre)
    earlier = await metering_store.load_batch(conn, source.number, request.key)
    if earlier is not None:
        return await _again(conn, earlier, request)
    others = {fault.position: Result(fault.id, "rejected", fault.code, fault.detail) for fault in batch.faults}
    new = await _new(tx, source, batch, others)
    terms = Terms(request.centre, rules.tariffs(request.centre), rules.schemes)
    apart = await set_apart(tx, source, batch, new, terms)
    waiting = await waiting_of(tx, batch, terms)
    rated = _rate(batch, new, apart, waiting, terms)
    for index, code in (rated.held | apart.held).items():
        others[batch.position[index]] = Result(batch.id[index], "held", code)
    for position, (name, status, code) in apart.checkpoints.items():
        others[position] = Result(name, status, code, checkpoint=True)
    number = await metering_store.next_batch_number(conn)
    log_first, root = tx.size, batch.root_over(new)
    about = About(request.centre, request.kid, request.body_digest, number, batch.source, root, rules.ruleset)
    told = bool(new or apart.changes)
    paid = await post_batch(tx, about, rated.accounts, charges_of(batch, rated), rules.schemes, told=told)
    await voucher_store.add_redeemed(conn, request.centre, paid)
    actor = sha256(request.kid.encode()).digest()[:8]
    await settle(tx, Said(request.body_digest, actor, rules.ruleset), source, terms, apart.changes)
    receipt = receipt_of(batch, number, len(new), root, (log_first, tx.size), now_us, issuer)
    stored = StoredBatch(
        number, request.key, request.body_digest, now_us, batch.count, root, log_first, tx.size,
        segment.pack([batch.leaf[index] for index in new]), msgspec.msgpack.encode(Kept(others, receipt, [batch.id[at] for at in sorted(apart.indices)])),
    )  # fmt: skip
    held = rated.held.keys() | apart.held.keys()
    answer = _answer(stored, (batch.id[index] for index in new if index not in held))
    await _write(tx, source, batch, (new, rated), stored, answer)
    return answer


def nonce_replayed() -> SignatureError:
    """A signature is taken once."""
    return SignatureError("nonce-replayed", "该签名请求已被使用", "this signed request was used before")


def receipt_of(
    batch: Batch | Compact, number: int, records: int, root: bytes, log: tuple[int, int], now_us: int, issuer: Issuer
) -> str:
    """The signed receipt of a batch: up to which sequence its source has reported, and where its records are proved."""
    claims = {
        "iss": issuer.name,
        "iat": now_us // 1_000_000,
        "source": batch.source,
        "batch": str(number),
        "up_to_sequence": batch.last_sequence,
        "records": records,
        "root": root.hex(),
        "log": {"first": log[0], "size": log[1]},
    }
    return jws.sign(claims, typ=RECEIPT_TYPE, kid=issuer.kid, signer=issuer.sign)


def check_source(urn: str, centre: str) -> None:
    """`urn:centre:<id>:agent:<name>`: whose centre it is comes from the key, never from the body.

    Raises:
        MeteringError: `foreign-source`.

    """
    parts = urn.split(":")
    ours = len(parts) == 5 and parts[:4] == ["urn", "centre", centre, "agent"] and parts[4]
    if not (ours and urn.isprintable()):
        raise MeteringError(
            "foreign-source",
            f"该密钥只能上报 urn:centre:{centre}:agent:… 的用量",
            f"this key may report only for urn:centre:{centre}:agent:…",
            kind=Kind.NOT_ALLOWED,
        )


def _rate(batch: Batch, new: list[int], apart: Apart, waiting: dict[int, str], terms: Terms) -> Rated:
    """Rate what the batch posts together: new reports that need not wait and are not settled on their own."""
    for index in apart.indices & waiting.keys():
        apart.held.setdefault(index, waiting[index])
    names = {batch.id[index] for index in apart.held}
    apart.changes = [change for change in apart.changes if change.kind != "report" or change.id not in names]
    chosen = [index for index in new if index not in apart.indices] if apart.indices else new
    held = {index: waiting[index] for index in chosen if index in waiting} if waiting else {}
    rated = rate(batch, terms.tariffs, chosen, held)
    _check_range(rated)
    return rated


def _check_range(rated: Rated) -> None:
    if any(max(line.gpu_ms, line.yuan, line.compute) > INT64_MAX for line in rated.lines.values()):
        raise MeteringError("amount-range", "用量之和过大", "the sum of this usage is beyond all measure")


def _ascends(source: Source, ids: list[str]) -> bool:
    return not ids or (ids[0] > source.last_id and all(map(lt, ids, islice(ids, 1, None))))


async def _new(tx: Transaction, source: Source, batch: Batch, others: dict[int, Result]) -> list[int]:
    """Column indices of records not reported before; the rest are duplicates or conflicts, noted in `others`.

    Ids that ascend above every id the source has sent need no look-up.
    """
    ids = batch.id
    if not ids or (not batch.running and _ascends(source, ids)):
        return list(range(len(ids)))
    await metering_store.index_ranges(tx.connection, source.number, min(ids), max(ids))
    known = await metering_store.known_ids(tx.connection, source.number, ids)
    new: list[int] = []
    for index, (name, digest) in enumerate(zip(ids, batch.digest, strict=True)):
        earlier = known.get(name)
        if earlier is None:
            known[name] = digest[: metering_store.DIGEST_BYTES]
            new.append(index)
        elif digest.startswith(earlier):
            others[batch.position[index]] = Result(name, "duplicate")
        else:
            others[batch.position[index]] = Result(name, "conflict", "id-reused", _CONFLICT)
    return new


_CONFLICT = (
    "同一编号此前上报了不同内容，原记录不变 / this id was reported before with other content; that record stands"
)


async def _write(
    tx: Transaction, source: Source, batch: Batch, taken: tuple[list[int], Rated], stored: StoredBatch, answer: Answer
) -> None:
    """Everything about the batch that is not a posting."""
    conn, (new, rated) = tx.connection, taken
    await metering_store.write_batch(conn, source.number, stored)
    ids = [batch.id[index] for index in new]
    if ids and _ascends(source, ids):
        await metering_store.write_range(conn, source.number, stored.number, ids)
    else:
        digests = [batch.digest[index] for index in new]
        await metering_store.write_ids(conn, source.number, stored.number, ids, digests)
    await metering_store.add_usage(conn, source.centre, rated.lines)
    accounts = sorted({batch.account[index] for index in new})
    await metering_store.write_batch_accounts(conn, [(source.centre, name, stored.number) for name in accounts])
    counts = {name: getattr(answer, name) for name in ("accepted", "duplicate", "conflict", "rejected", "held")}
    await metering_store.add_statuses(conn, source.centre, counts)
    await metering_store.write_quarantine(conn, _quarantine(source.centre, batch, stored, answer))
    running = [result.id for result in answer.results if result.checkpoint]
    starts, ends = ([column[index] for index in new] for column in (batch.start_us, batch.end_us))
    await metering_store.put_source(
        conn,
        replace(
            source,
            last_sequence=max(source.last_sequence, batch.last_sequence),
            last_id=max([source.last_id, *ids, *running]),
            first_us=min([source.first_us or min(starts, default=0), *starts]),
            last_us=max([source.last_us, *ends]),
            received_us=stored.received_us,
        ),
    )


def _quarantine(
    centre: str, batch: Batch, stored: StoredBatch, answer: Answer
) -> list[tuple[int, int, str, str, str, str, bytes]]:
    """Records that wait for a person, with their content: held ones and conflicts, and what could not be read."""
    if len(answer.results) == answer.accepted + answer.duplicate:
        return []
    leaves: dict[int, bytes] = dict(zip(batch.position, batch.leaf, strict=True))
    leaves |= dict(batch.running) | {fault.position: fault.raw for fault in batch.faults}
    return [
        (stored.number, position, centre, result.id, result.status, result.code, leaves[position])
        for position, result in enumerate(answer.results)
        if result.status in {"held", "conflict", "rejected"}
    ]


async def _again(conn: Connection, earlier: StoredBatch, request: Request) -> Answer:
    if earlier.body_digest != request.body_digest:
        raise MeteringError(
            "idempotency-key-reused",
            "该 Idempotency-Key 已用于内容不同的请求",
            "this Idempotency-Key was used for a request with another body",
            kind=Kind.CONFLICT,
        )
    kept = msgspec.msgpack.decode(earlier.answer, type=Kept)
    twin = await metering_store.batch_numbered(conn, kept.twin) if kept.twin else None
    if twin is not None:
        names = [segment.decode(leaf).id for leaf in segment.unpack(twin[1].segment)]
        results = [Result(name, "duplicate") for name in names]
        return Answer(str(earlier.number), 0, len(results), 0, 0, 0, results, kept.receipt)
    held = {result.id for result in kept.others.values() if result.status == "held" and not result.checkpoint}
    ids = (segment.decode(leaf).id for leaf in segment.unpack(earlier.segment))
    return _answer(earlier, (name for name in ids if name not in held))


def _answer(stored: StoredBatch, accepted: Iterable[str]) -> Answer:
    """The answer that a stored batch gets, now and whenever it is sent again."""
    kept = msgspec.msgpack.decode(stored.answer, type=Kept)
    rest = (Result(name, "accepted") for name in accepted)
    results = (
        [kept.others.get(position) or next(rest) for position in range(stored.records)] if kept.others else [*rest]
    )
    counts = Counter(result.status for result in kept.others.values())
    counts["accepted"] += stored.records - len(kept.others)
    return Answer(
        str(stored.number), counts["accepted"], counts["duplicate"], counts["conflict"], counts["rejected"],
        counts["held"], results, kept.receipt,
    )  # fmt: skip
