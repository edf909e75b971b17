"""Take messages of the usage stream: each in one transaction with its sequence, so that a redelivery changes nothing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from hashlib import sha256
from typing import NamedTuple

import msgspec

from ledger.errors import DomainError, Kind
from ledger.transaction import Transaction
from metering import signature, stream
from metering.batch import Batch
from metering.columns import COLUMNS
from metering.compact import Compact
from metering.errors import MeteringError
from metering.stream_store import Taken, load_taken, write_taken
from suanquan.errors import ServiceError
from suanquan.http.problem import problem_of
from suanquan.http.usage import CLOUDEVENTS, NONCE_KEPT_US, AgentKeys
from suanquan.service import Service
from suanquan.use_cases.ingest import Answer, Request, ingest

OK = 200


class Message(NamedTuple):
    """A message as the stream has it: `stored_us` is when it was handed over, by the clock of the stream's servers."""

    stream: str
    sequence: int
    subject: str
    headers: Mapping[str, str]
    body: bytes
    stored_us: int


class Told(NamedTuple):
    """What the source is told: a status as of HTTP, and the answer or the problem, as JSON."""

    status: int
    body: bytes


def incarnation(name: str, created: dt.datetime) -> str:
    """A stream and when it was made."""
    return f"{name}@{created.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


async def take(service: Service, keys: AgentKeys, message: Message) -> Told:
    """Record a message, or find what became of it before; what is told is durable.

    Raises:
        DomainError: of kind UNAVAILABLE: nothing was recorded, the message must come again.

    """
    async with service.database.read() as connection:
        earlier = await load_taken(connection, message.stream, message.sequence)
    if earlier is not None:
        return await _told(service, earlier, message)
    try:
        signed, batch = await _read(service, keys, message)
        return await _recorded(service, keys.centre(signed.keyid), signed, batch, message)
    except DomainError as error:
        if error.kind is Kind.UNAVAILABLE:
            raise
        return await _refused(service, message, error)


async def _told(service: Service, taken: Taken, message: Message) -> Told:
    """What was told when a message was taken: its key may have been revoked since, its answer stands.

    The batch is asked for again under its key, as a retry is, without another look at the signature.
    """
    if taken.status != OK:
        return Told(taken.status, taken.answer)
    batch = await _decode(service, message)
    rules, issuer, until_us = service.rules, service.issuer, service.now_us + NONCE_KEPT_US
    centre, digest = taken.source.split(":")[2], sha256(message.body).digest()

    async def work(tx: Transaction) -> Answer:
        about = Request(centre, taken.stream, f"{taken.sequence}/{tx.now_ns}", until_us, taken.key, digest)
        return await ingest(tx, about, batch, rules, issuer)

    return Told(OK, msgspec.json.encode(await service.journal.transact(work, keeps_memo=True)))


async def _decode(service: Service, message: Message) -> Batch | Compact:
    """What a message says.

    Raises:
        DomainError: it is of no kind that is taken, or cannot be read.

    """
    kind = _header(message, "content-type")
    if kind not in {CLOUDEVENTS, COLUMNS}:
        raise ServiceError(
            "content-type-unsupported",
            f"Content-Type 应为 {CLOUDEVENTS} 或 {COLUMNS}",
            f"the content type must be {CLOUDEVENTS} or {COLUMNS}",
        )
    return await service.decoder.decode(message.body, service.now_us, columns=kind == COLUMNS)


async def _read(
    service: Service, keys: AgentKeys, message: Message
) -> tuple[signature.SignatureInput, Batch | Compact]:
    """Who signed a message, and what it says; the signature must have held when it was handed over."""
    headers = {name.lower(): value for name, value in message.headers.items()}
    await keys.refresh(headers.get("signature-input", ""))
    signed = signature.verify(
        "POST",
        service.settings.url + stream.USAGE_PATH,
        headers.items(),
        sha256(message.body).digest(),
        now_s=message.stored_us // 1_000_000,
        key_of=keys.key,
    )
    batch = await _decode(service, message)
    if batch.source.count(":") < 4 or stream.usage_subject(batch.source) != message.subject:
        raise MeteringError(
            "foreign-source",
            f"来源 {batch.source[:80]} 不应在主题 {message.subject} 上报",
            f"the source {batch.source[:80]!r} does not report on the subject {message.subject}",
            kind=Kind.NOT_ALLOWED,
        )
    return signed, batch


async def _recorded(
    service: Service, centre: str, signed: signature.SignatureInput, batch: Batch | Compact, message: Message
) -> Told:
    key = _header(message, stream.KEY)
    until_us = max(service.now_us, message.stored_us) + NONCE_KEPT_US
    about = Request(centre, signed.keyid, signed.nonce, until_us, key, sha256(message.body).digest())
    rules, issuer = service.rules, service.issuer

    async def work(tx: Transaction) -> Answer | Taken:
        taken = await load_taken(tx.connection, message.stream, message.sequence)
        if taken is not None:
            return taken
        answer = await ingest(tx, about, batch, rules, issuer)
        row = Taken(message.stream, message.sequence, batch.source, key, OK, b"", tx.now_ns // 1000)
        await write_taken(tx.connection, row)
        return answer

    found = await service.journal.transact(work, keeps_memo=True)
    return await _told(service, found, message) if isinstance(found, Taken) else Told(OK, msgspec.json.encode(found))


async def _refused(service: Service, message: Message, error: DomainError) -> Told:
    """Remember a refusal: the message is done with, and whoever asks again in a new message is judged anew."""
    problem = problem_of(error, f"{message.sequence}")
    told = Taken(
        message.stream, message.sequence, "", _header(message, stream.KEY)[:255], problem.status_code, bytes(problem.body), service.now_us
    )  # fmt: skip

    async def work(tx: Transaction) -> Taken:
        earlier = await load_taken(tx.connection, message.stream, message.sequence)
        if earlier is None:
            await write_taken(tx.connection, told)
        return earlier or told

    kept = await service.journal.transact(work)
    return await _told(service, kept, message)


def _header(message: Message, name: str) -> str:
    return next((value for key, value in message.headers.items() if key.lower() == name), "")
