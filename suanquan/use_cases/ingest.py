"""Accept a batch of usage: status per record, rating, allocation, postings and receipt in one durable transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from itertools import islice
from operator import lt
from typing import NamedTuple

import cbor2
import msgspec

from ledger import jws
from ledger.amount import ASSETS_BY_NUMBER, CNY, COMPUTE, INT64_MAX
from ledger.apply import Account
from ledger.entry import EntryKind, Event, Leg, Side, credit, debit
from ledger.errors import Kind
from ledger.journal import Transaction
from metering import segment
from metering import store as metering_store
from metering.batch import Batch
from metering.errors import MeteringError
from metering.rating import Rated, Tariffs, rate
from metering.signature import SignatureError
from metering.store import Source, StoredBatch
from voucher import store as voucher_store
from voucher.allocation import Charge, Cover, Purse, allocate
from voucher.scheme import Scheme
from voucher.store import BoundVoucher

RECEIPT_TYPE = "usage-receipt+jwt"
LEGS_PER_ENTRY = 60


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
    schemes: Mapping[str, Scheme]
    ruleset: bytes


class Result(msgspec.Struct, omit_defaults=True):
    """What became of one record."""

    id: str
    status: str
    code: str = ""
    detail: str = ""


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


class _Stored(msgspec.Struct):
    """An answer as kept: results other than `accepted` by position; accepted ids stand in the segment."""

    others: dict[int, Result]
    receipt: str


async def ingest(tx: Transaction, request: Request, batch: Batch, rules: Rules, issuer: Issuer) -> Answer:
    """Record a batch and answer it; the same batch again gets the same answer.

    Raises:
        MeteringError: `nonce-replayed`, `foreign-source`, or `idempotency-key-reused` for another body.

    """
    conn, now_us = tx.connection, tx.now_ns // 1000
    if not await metering_store.use_nonce(conn, request.kid, request.nonce, request.nonce_until_us):
        raise SignatureError("nonce-replayed", "该签名请求已被使用", "this signed request was used before")
    _check_source(batch.source, request.centre)
    source = await metering_store.open_source(conn, batch.source, request.centre)
    earlier = await metering_store.load_batch(conn, source.number, request.key)
    if earlier is not None:
        return _again(earlier, request)
    others = {fault.position: Result(fault.id, "rejected", fault.code, fault.detail) for fault in batch.faults}
    new = await _new(tx, source, batch, others)
    rated = rate(batch, rules.tariffs(request.centre), new)
    _check_range(rated)
    for index, code in rated.held.items():
        others[batch.position[index]] = Result(batch.id[index], "held", code)
    number = await metering_store.next_batch_number(conn)
    log_first, root = tx.size, batch.root_over(new)
    await _post(tx, request, batch, rated, rules, _Batch(number, batch.source, root))
    receipt = jws.sign(
        {
            "iss": issuer.name,
            "iat": now_us // 1_000_000,
            "source": batch.source,
            "batch": str(number),
            "up_to_sequence": batch.last_sequence,
            "records": len(new),
            "root": root.hex(),
            "log": {"first": log_first, "size": tx.size},
        },
        typ=RECEIPT_TYPE,
        kid=issuer.kid,
        signer=issuer.sign,
    )
    stored = StoredBatch(
        number, request.key, request.body_digest, now_us, batch.count, root, log_first, tx.size,
        segment.pack([batch.leaf[index] for index in new]), msgspec.msgpack.encode(_Stored(others, receipt)),
    )  # fmt: skip
    answer = _answer(stored, (batch.id[index] for index in new if index not in rated.held))
    await _write(tx, source, batch, rated, stored, answer)
    return answer


def _check_source(urn: str, centre: str) -> None:
    """`urn:centre:<id>:agent:<name>`: whose centre it is comes from the key, never from the body."""
    parts = urn.split(":")
    ours = len(parts) == 5 and parts[:4] == ["urn", "centre", centre, "agent"] and parts[4]
    if not (ours and urn.isprintable()):
        raise MeteringError(
            "foreign-source",
            f"该密钥只能上报 urn:centre:{centre}:agent:… 的用量",
            f"this key may report only for urn:centre:{centre}:agent:…",
            kind=Kind.NOT_ALLOWED,
        )


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
    if _ascends(source, ids):
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


class _Batch(NamedTuple):
    number: int
    source: str
    root: bytes


async def _post(tx: Transaction, request: Request, batch: Batch, rated: Rated, rules: Rules, about: _Batch) -> None:
    """One entry per account: its vouchers and self-pay against the centre's receivable."""
    purses = await _purses(tx, request.centre, rated.accounts, rules.schemes)
    places = _places(batch, rated)
    covers = {
        account: allocate(total, partial(_charges, batch, rated, places, account), purses[account])
        for account, total in rated.accounts.items()
    }
    accounts = await _open_accounts(tx, request.centre, covers)
    postings = [
        (account, legs)
        for account, cover in covers.items()
        for legs in _entries(request.centre, account, cover, accounts)
    ]
    if not postings and rated.index:  # all held, or worth nothing: what was reported is in the log all the same
        postings = [("", ())]
    await tx.append(_events(tx, request, postings, rules.ruleset, about), fresh=True)
    await voucher_store.add_redeemed(tx.connection, request.centre, _redeemed(covers.values(), purses.values()))


def _events(
    tx: Transaction, request: Request, postings: list[tuple[str, tuple[Leg, ...]]], ruleset: bytes, about: _Batch
) -> list[Event]:
    """Events of a batch: what they share is encoded once, for a batch may post to thousands of accounts."""
    salts = tx.entropy(32 * len(postings))
    prefix = (tx.now_ns // 1_000_000).to_bytes(6)
    actor = sha256(request.kid.encode()).digest()[:8]
    shared = {"batch": about.number, "root": about.root, "source": about.source, "type": "usage"}
    # Deterministic CBOR (RFC 8949 §4.2.1) sorts keys by length first, so that the account stands last.
    payload = cbor2.dumps(shared | {"account": ""}, canonical=True).removesuffix(cbor2.dumps(""))
    return [
        Event(
            EntryKind.POST if legs else EntryKind.NOTE,
            prefix + sha256(b"%d %d %s" % (about.number, at, account.encode())).digest()[:10],
            request.body_digest,
            legs,
            ruleset=ruleset,
            actor=actor,
            salt=salts[32 * at : 32 * at + 32],
            payload=payload + cbor2.dumps(account),
        )
        for at, (account, legs) in enumerate(postings)
    ]


def _redeemed(covers: Iterable[Cover], purses: Iterable[Iterable[Purse]]) -> Counter[str]:
    """Yuan paid by vouchers, by scheme."""
    scheme_of = {purse.account: purse.scheme for some in purses for purse in some}
    paid: Counter[str] = Counter()
    for cover in covers:
        paid.update(cover.in_kind)
        for account, units in cover.yuan.items():
            paid[scheme_of[account]] += units
    return paid


def _places(batch: Batch, rated: Rated) -> Callable[[], dict[str, list[int]]]:
    """Places of each account's records in the rated columns; only asked for when an account's sum does not decide."""
    found: dict[str, list[int]] = {}

    def places() -> dict[str, list[int]]:
        if not found:
            for place, index in enumerate(rated.index):
                if index not in rated.held:
                    found.setdefault(batch.account[index], []).append(place)
        return found

    return places


def _charges(batch: Batch, rated: Rated, places: Callable[[], dict[str, list[int]]], account: str) -> list[Charge]:
    return [
        Charge(
            batch.start_us[index := rated.index[place]],
            int(rated.yuan[place]),
            int(rated.compute[place]),
            rated.models[place],
            batch.voucher[index],
        )
        for place in places()[account]
    ]


async def _bound(tx: Transaction, centre: str, accounts: Iterable[str]) -> list[BoundVoucher]:
    """Vouchers bound to accounts, read once and kept until anything but usage is recorded."""
    memo: dict[str, list[BoundVoucher]] = tx.memo.setdefault(f"bound/{centre}", {})
    missing = [account for account in accounts if account not in memo]
    if missing:
        memo.update((account, []) for account in missing)
        for row in await voucher_store.bound_vouchers(tx.connection, centre, missing):
            memo[row.bound_account].append(row)
    return [row for account in accounts for row in memo[account]]


async def _purses(
    tx: Transaction, centre: str, accounts: Iterable[str], schemes: Mapping[str, Scheme]
) -> dict[str, list[Purse]]:
    """Vouchers that may pay, by account, with what they still hold."""
    bound = await _bound(tx, centre, accounts)
    balances = await tx.accounts_by_number(row.account for row in bound)
    purses: dict[str, list[Purse]] = {account: [] for account in accounts}
    shared: dict[int, Purse] = {}
    for row in bound:
        scheme = schemes.get(row.scheme)
        available = balances[row.account].available
        if scheme is None or available <= 0 or (scheme.centres is not None and centre not in scheme.centres):
            continue
        if row.account not in shared:  # two accounts of one holder draw on the same purse
            shared[row.account] = Purse(
                row.jti, row.scheme, row.account, ASSETS_BY_NUMBER[row.asset], available, row.from_us, row.until_us,
                row.priority, scheme.accelerators,
            )  # fmt: skip
        purses[row.bound_account].append(shared[row.account])
    return purses


def _receivable(centre: str) -> str:
    return f"centre/{centre}/receivable"


def _compute_received(centre: str) -> str:
    return f"centre/{centre}/compute"


def _self_pay(centre: str, account: str) -> str:
    return f"self-pay/{centre}/{account}"


def _in_kind(scheme: str) -> str:
    return f"scheme/{scheme}/in-kind"


async def _open_accounts(tx: Transaction, centre: str, covers: Mapping[str, Cover]) -> dict[str, Account]:
    wanted = [(_receivable(centre), CNY, None)]
    if any(cover.compute for cover in covers.values()):
        wanted.append((_compute_received(centre), COMPUTE, None))
    for account, cover in covers.items():
        if cover.self_pay:
            wanted.append((_self_pay(centre, account), CNY, None))
        wanted.extend((_in_kind(scheme), CNY, None) for scheme in cover.in_kind)
    return await tx.open(list(dict.fromkeys(wanted)))


def _entries(centre: str, account: str, cover: Cover, accounts: Mapping[str, Account]) -> list[tuple[Leg, ...]]:
    """Legs of an account's entry; more than one entry only when more vouchers pay than an entry has legs."""
    yuan = [Leg(number, Side.DEBIT, units) for number, units in cover.yuan.items()]
    if cover.self_pay:
        yuan.append(debit(accounts[_self_pay(centre, account)].number, cover.self_pay))
    yuan.extend(debit(accounts[_in_kind(scheme)].number, units) for scheme, units in cover.in_kind.items() if units)
    compute = [debit(number, units) for number, units in cover.compute.items()]
    parts: list[tuple[Leg, ...]] = []
    for legs, name in ((yuan, _receivable(centre)), (compute, _compute_received(centre))):
        for at in range(0, len(legs), LEGS_PER_ENTRY):
            part = legs[at : at + LEGS_PER_ENTRY]
            parts.append((*part, credit(accounts[name].number, sum(leg.amount for leg in part))))
    if len(parts) == 2 and len(parts[0]) + len(parts[1]) <= LEGS_PER_ENTRY:
        return [parts[0] + parts[1]]
    return parts


async def _write(
    tx: Transaction, source: Source, batch: Batch, rated: Rated, stored: StoredBatch, answer: Answer
) -> None:
    """Everything about the batch that is not a posting."""
    conn, new = tx.connection, rated.index
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
    starts, ends = ([column[index] for index in new] for column in (batch.start_us, batch.end_us))
    await metering_store.put_source(
        conn,
        replace(
            source,
            last_sequence=max(source.last_sequence, batch.last_sequence),
            last_id=max([source.last_id, *ids]),
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
    leaves |= {fault.position: fault.raw for fault in batch.faults}
    return [
        (stored.number, position, centre, result.id, result.status, result.code, leaves[position])
        for position, result in enumerate(answer.results)
        if result.status in {"held", "conflict", "rejected"}
    ]


def _again(earlier: StoredBatch, request: Request) -> Answer:
    if earlier.body_digest != request.body_digest:
        raise MeteringError(
            "idempotency-key-reused",
            "该 Idempotency-Key 已用于内容不同的请求",
            "this Idempotency-Key was used for a request with another body",
            kind=Kind.CONFLICT,
        )
    others = msgspec.msgpack.decode(earlier.answer, type=_Stored).others
    held = {result.id for result in others.values() if result.status == "held"}
    ids = (segment.decode(leaf).id for leaf in segment.unpack(earlier.segment))
    return _answer(earlier, (name for name in ids if name not in held))


def _answer(stored: StoredBatch, accepted: Iterable[str]) -> Answer:
    """The answer that a stored batch gets, now and whenever it is sent again."""
    kept = msgspec.msgpack.decode(stored.answer, type=_Stored)
    rest = (Result(name, "accepted") for name in accepted)
    results = (
        [kept.others.get(position) or next(rest) for position in range(stored.records)] if kept.others else [*rest]
    )
    counts = Counter(result.status for result in kept.others.values())
    counts["accepted"] = stored.records - len(kept.others)
    return Answer(
        str(stored.number), counts["accepted"], counts["duplicate"], counts["conflict"], counts["rejected"],
        counts["held"], results, kept.receipt,
    )  # fmt: skip
