"""Witnesses: asking them to cosign the log's heads, and what they know of the log (c2sp.org/tlog-witness)."""

from __future__ import annotations

import asyncio
import functools
import http.client
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from hashlib import sha256
from http import HTTPStatus
from typing import Protocol
from urllib.parse import urlsplit

import structlog

from ledger import log_store
from ledger.errors import DomainError, Kind
from ledger.lines import decode_size
from ledger.log_store import SignedHead
from ledger.note import Note, SignatureLine, open_checkpoint
from ledger.policy import Policy
from ledger.proof import consistency_path
from ledger.vkey import VerifierKey
from ledger.witness import TEXT, AddCheckpoint, read_cosignatures
from suanquan.errors import ServiceError
from suanquan.use_cases.log import Log, RolledBackError

TIMEOUT_SECONDS = 5
ANSWER_BYTES_MAX = 64 * 1024
BACKOFF_SECONDS_MAX = 60
TRIES = 3
"""Requests to one witness for one head: the first may be told where the witness stands."""

UNAWARE = "witness-unaware"

Prove = Callable[[int], Awaitable[list[bytes]]]
"""The hashes that show a head to continue the log at an earlier size."""


class Signed(Protocol):
    """A signed head of a log."""

    @property
    def size(self) -> int:
        """Entries of the log."""

    @property
    def note(self) -> str:
        """The signed note."""


log_ = structlog.get_logger("suanquan.witnessing")


def post(url: str, body: bytes) -> tuple[int, bytes]:
    """Status and body of an answer to a POST; OSError where there is none in time."""
    return _send("POST", url, body)


def _send(method: str, url: str, body: bytes | None = None) -> tuple[int, bytes]:
    parts = urlsplit(url)
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            parts.netloc, timeout=TIMEOUT_SECONDS, context=context
        )
    else:
        connection = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT_SECONDS)
    try:
        connection.request(method, parts.path or "/", body, {"Content-Type": TEXT, "User-Agent": "suanquan"})
        with connection.getresponse() as answer:
            return answer.status, answer.read(ANSWER_BYTES_MAX)
    except http.client.HTTPException as fault:
        raise OSError(f"no HTTP answer: {fault!r}") from fault
    finally:
        connection.close()


@dataclass(slots=True)
class Witness:
    """One witness as the log sees it: the size it is known to have cosigned, and when it may be asked again."""

    url: str
    keys: tuple[VerifierKey, ...]
    size: int = 0
    failures: int = 0
    not_before: float = 0

    def failed(self, error: Exception) -> None:
        """Wait longer after each failure."""
        self.failures += 1
        pause = min(BACKOFF_SECONDS_MAX, 2 ** min(self.failures - 1, 10))
        self.not_before = time.monotonic() + pause
        code = getattr(error, "code", type(error).__name__)
        log_.warning("witness failed", url=self.url, code=code, cause=str(error)[:200], retry_s=pause)

    async def cosign(self, head: Signed, prove: Prove) -> tuple[SignatureLine, ...]:
        """The witness's cosignatures of a signed head, proved to continue what the witness has cosigned.

        Raises:
            ServiceError: `database-rolled-back` where the witness knows more of this log, or another history of it;
                `witness-unaware` of one that does not know this log, `witness-refused`.
            LedgerError: an answer that is no cosignature.
            OSError: it cannot be reached, or does not answer.

        """
        note = Note.parse(head.note.encode())
        for _ in range(TRIES):
            request = AddCheckpoint(self.size, tuple(await prove(self.size)), note).to_bytes()
            sent = asyncio.to_thread(post, f"{self.url.rstrip('/')}/add-checkpoint", request)
            status, body = await asyncio.wait_for(sent, 2 * TIMEOUT_SECONDS)
            if status == HTTPStatus.OK:
                lines = read_cosignatures(body, note, self.keys)
                self.size, self.failures = head.size, 0
                return lines
            if status == HTTPStatus.CONFLICT:
                self._learn(body, head)
            elif status == HTTPStatus.UNPROCESSABLE_ENTITY:
                raise RolledBackError(head.size, self.size, self.url)
            elif status == HTTPStatus.NOT_FOUND:
                zh, en = "见证方不认识这份日志", "the witness does not know this log"
                raise ServiceError(UNAWARE, zh, en, kind=Kind.UNAVAILABLE)
            else:
                break
        raise ServiceError(
            "witness-refused", f"见证方答复 {status}", f"the witness answered {status}", kind=Kind.UNAVAILABLE
        )

    def _learn(self, body: bytes, head: Signed) -> None:
        """Take over the size that the witness says it has cosigned."""
        try:
            size = decode_size(body.decode("ascii").removesuffix("\n"))
        except ValueError:
            size = self.size
        if size > head.size or size == self.size:  # the same size again says that the roots differ
            raise RolledBackError(head.size, size, self.url)
        self.size = size


def witnesses_of(policy: Policy | None) -> list[Witness]:
    """The witnesses of a policy that can be reached; the keys of one address are one witness."""
    keys: dict[str, list[VerifierKey]] = {}
    for trusted in policy.witnesses.values() if policy else ():
        if trusted.url:
            keys.setdefault(trusted.url, []).append(trusted.key)
    return [Witness(url, tuple(found)) for url, found in keys.items()]


async def check_witnesses(log: Log) -> None:
    """Refuse a database that is older than what a witness has cosigned, or has another history.

    A witness that does not answer says nothing: the others and the head file are believed. One that claims to know more
    is believed unless the quorum cosigns our head and it cannot show what it claims, signed by us: no single witness can
    stop the log by a lie.

    Raises:
        ServiceError: `database-rolled-back`.

    """
    asked, refused = witnesses_of(log.policy), None
    for _ in range(TRIES if asked else 0):
        async with log.database.read() as conn:
            newest = await log_store.newest_head(conn)
        if newest is None or newest.origin != log.name:
            return
        answers = await asyncio.gather(*(_ask_once(witness, log, newest) for witness in asked))
        claim = await _standing_claim(log, newest, dict(zip((one.url for one in asked), answers, strict=True)))
        if claim is None:
            return
        if refused == newest.size:
            raise claim
        refused = newest.size  # a service beside us may have had a newer head cosigned meanwhile: look again


def _prover(log: Log, size: int) -> Prove:
    async def prove(old: int) -> list[bytes]:
        async with log.database.read() as conn:
            return await log_store.with_nodes(conn, size, functools.partial(consistency_path, old, size))

    return prove


_Answer = tuple[SignatureLine, ...] | RolledBackError


async def _ask_once(witness: Witness, log: Log, head: SignedHead) -> _Answer:
    """A witness's cosignatures, none where it cannot be asked, or what it claims against the database."""
    try:
        return await witness.cosign(head, _prover(log, head.size))
    except RolledBackError as claim:
        return claim
    except (OSError, DomainError, TimeoutError) as error:
        witness.failed(error)
        return ()


async def _standing_claim(log: Log, head: SignedHead, answers: dict[str, _Answer]) -> RolledBackError | None:
    """The claim that keeps us from writing, if there is one."""
    assert log.policy is not None, "there are witnesses"
    claims = {url: answer for url, answer in answers.items() if isinstance(answer, RolledBackError)}
    lines = [line for answer in answers.values() if isinstance(answer, tuple) for line in answer]
    agreed = log.policy.satisfied(Note(Note.parse(head.note.encode()).text, tuple(lines)))
    for url, claim in claims.items():
        if not agreed or await _is_shown(log, head, url):
            return claim
        log_.warning("witness claims what it cannot show", url=url, size=head.size, claimed=claim.known)
    return None


async def _is_shown(log: Log, head: SignedHead, url: str) -> bool:
    """Whether a witness has a head, signed by us, that the database does not continue."""
    address = f"{url.rstrip('/')}/{sha256(log.name.encode()).hexdigest()}"
    try:
        status, body = await asyncio.to_thread(_send, "GET", address)
        if status != HTTPStatus.OK:
            return False
        shown = open_checkpoint(Note.parse(body), log.verifiers)
    except (OSError, DomainError):
        return False
    async with log.database.read() as conn:
        return shown.size > head.size or await log_store.root_at(conn, shown.size) != shown.root


@dataclass(slots=True)
class Witnessing:
    """Keeps the newest head cosigned: each round asks the witnesses that lack it and may be asked."""

    log: Log
    witnesses: list[Witness] = field(init=False)

    def __post_init__(self) -> None:
        self.witnesses = witnesses_of(self.log.policy)

    async def round(self) -> None:
        """Ask, and keep what holds; a failure is logged and tried again later."""
        async with self.log.database.read() as conn:
            newest = await log_store.newest_head(conn)
        if newest is None or newest.origin != self.log.name:
            return
        now = time.monotonic()
        due = [one for one in self.witnesses if one.size < newest.size and one.not_before <= now]
        await asyncio.gather(*(self._ask(witness, newest) for witness in due))

    async def _ask(self, witness: Witness, head: SignedHead) -> None:
        try:
            await self._keep(head, await witness.cosign(head, _prover(self.log, head.size)))
        except (OSError, DomainError, TimeoutError) as error:
            witness.failed(error)

    async def _keep(self, head: SignedHead, lines: tuple[SignatureLine, ...]) -> None:
        """Add cosignatures to the note of the head as it is now: other witnesses' may have come."""
        assert self.log.policy is not None, "there are witnesses"
        async with self.log.database.write() as conn:
            kept = await log_store.newest_head(conn, until=head.size)
            if kept is None or kept.root != head.root:
                return
            note = Note.parse(kept.note.encode())
            others = (line for line in note.signatures if all(line[:2] != one[:2] for one in lines))
            note = Note(note.text, (*others, *lines))
            await log_store.set_cosigned(conn, head.size, str(note), witnessed=self.log.policy.satisfied(note))
