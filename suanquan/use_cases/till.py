"""Where centres spend: requests that wait together share one transaction, each with its own answer, given once.

What a holder signed is verified before; here the ledger decides. A suspended or revoked voucher has a frozen account, so
the entry itself is refused. A request is answered once: its answer is kept with it, and the same request gets the same one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from ledger.errors import DomainError, Kind
from ledger.journal import Journal
from ledger.outcome import RefusedError
from ledger.transaction import Transaction
from metering.signature import SignatureError
from metering.store import nonce_rows
from suanquan.turns import Gate, Turns
from suanquan.use_cases.hold_unnamed import forget_holds
from suanquan.use_cases.ingest import Issuer, Request
from suanquan.use_cases.leases import give_lease, settle_lease
from suanquan.use_cases.refused_hold import in_words_of_vouchers
from suanquan.use_cases.spend_acts import Act, Capture, Faulty, Hold, Release, Report
from suanquan.use_cases.spending import PROOFS, Turn, capture, release, reserve
from voucher import hold_store
from voucher.errors import VoucherError
from voucher.hold_store import Seen

TOGETHER_MAX = 256
"""Requests of one transaction."""
ALONE_MAX = 8
"""Requests under way that need a transaction of their own."""
ROUNDS_MAX = 2
"""Rounds under way: one is applied while the one before is on its way to the disk."""


@dataclass(slots=True, eq=False)
class _Job:
    request: Request
    act: Act
    done: asyncio.Future[bytes]


class Till:
    """Where centres spend: a round on its way to the disk and one at work; whoever asks meanwhile is served together next."""

    def __init__(self, journal: Journal, issuer: Callable[[], Issuer]) -> None:
        self._journal = journal
        self._issuer = issuer
        self._waiting: Turns[_Job] = Turns()
        self._alone = Gate(ALONE_MAX)
        self._rounds: set[asyncio.Task[None]] = set()

    async def ask(self, request: Request, act: Act) -> bytes:
        """The answer (JSON) to a request whose signature was verified, once it is durable.

        Raises:
            DomainError: `nonce-replayed`, `idempotency-key-reused`, `pop-replayed`, `hold-unknown`, `hold-exceeded`,
                `voucher-suspended`, `voucher-revoked`, `insufficient`, and what else the ledger refuses.

        """
        job = _Job(request, act, asyncio.get_running_loop().create_future())
        self._waiting.add(request.kid, job)
        self._serve()
        return await job.done

    async def ask_alone(self, request: Request, act: Act) -> bytes:
        """As `ask`, for what writes tables that it reads: in a transaction of its own, behind all that are under way.

        Raises:
            DomainError: as `ask`.

        """
        job, issuer = _Job(request, act, asyncio.get_running_loop().create_future()), self._issuer()
        async with self._alone.turn(request.kid):
            [answer] = await self._journal.transact(lambda tx: _round(tx, [job], issuer), keeps_memo=True)
        if isinstance(answer, bytes):
            return answer
        raise answer

    def _serve(self) -> None:
        """Begin a round with those who wait, unless as many are under way as the journal has use for."""
        if not self._waiting or len(self._rounds) >= ROUNDS_MAX:
            return
        jobs = self._waiting.take(TOGETHER_MAX)
        task = asyncio.create_task(self._serve_round(jobs), name="till")
        self._rounds.add(task)
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._rounds.discard(task)
        self._serve()

    async def _serve_round(self, jobs: list[_Job]) -> None:
        answers: Sequence[bytes | Exception]
        try:
            issuer = self._issuer()
            answers = await self._journal.transact(lambda tx: _round(tx, jobs, issuer), keeps_memo=True, flies=True)
        except Exception as error:  # noqa: BLE001 -- everybody in the round must hear
            answers = [error] * len(jobs)
        for job, answer in zip(jobs, answers, strict=True):
            if job.done.done():
                continue
            if isinstance(answer, bytes):
                job.done.set_result(answer)
            else:
                job.done.set_exception(answer)


async def _round(tx: Transaction, jobs: list[_Job], issuer: Issuer) -> list[bytes | Exception]:
    nonces = [nonce for job in jobs for nonce in _nonces(job)]
    keys = [(job.request.centre, job.request.key) for job in jobs]
    holds = [job.act.hold for job in jobs if not isinstance(job.act, Faulty) and job.act.hold]
    turn = Turn(tx, await _look_up(tx, nonces, keys, holds))
    answers = [await _answer(turn, job, issuer) for job in jobs]
    paid = [(scheme, centre, units) for (scheme, centre), units in turn.paid.items()]
    tx.write(
        [
            nonce_rows(turn.nonces),
            hold_store.request_rows(turn.requests),
            hold_store.part_rows(turn.parts),
            hold_store.redeemed_rows(paid),
        ]
    )
    for kid, nonce, _ in turn.nonces:
        tx.noted["nonce", kid, nonce] = True
    for centre, key, digest, _, told in turn.requests:
        tx.noted["request", centre, key] = digest, told
    forget_holds(tx, {part.centre for part in turn.parts})
    for hold in dict.fromkeys(part.hold for part in turn.parts):
        tx.noted["hold", hold] = list(turn.seen.parts[hold])
    return answers


async def _look_up(
    tx: Transaction, nonces: list[tuple[str, str]], keys: list[tuple[str, str]], holds: list[str]
) -> Seen:
    """What is recorded, on disk or by a round that is on its way there."""
    noted = dict(tx.noted)  # before the tables: what lands meanwhile is found in either
    seen = await hold_store.look_up(tx.connection, nonces, keys, holds)
    seen.nonces.update(place for place in nonces if ("nonce", *place) in noted)
    seen.requests.update((place, noted["request", *place]) for place in keys if ("request", *place) in noted)
    seen.parts.update((hold, list(noted["hold", hold])) for hold in holds if ("hold", hold) in noted)
    return seen


def _nonces(job: _Job) -> list[tuple[str, str]]:
    own = [(job.request.kid, job.request.nonce)]
    if isinstance(job.act, Hold):
        own += [(PROOFS, job.act.shown.nonce), (PROOFS, job.act.shown.replay_key)]
    return own


async def _answer(turn: Turn, job: _Job, issuer: Issuer) -> bytes | Exception:
    request, place = job.request, (job.request.centre, job.request.key)
    if not turn.use(request.kid, request.nonce, request.nonce_until_us):
        return SignatureError("nonce-replayed", "该签名请求已被使用", "this signed request was used before")
    if place in turn.seen.requests:
        return _again(turn.seen.requests[place], request)
    try:
        told = msgspec.json.encode(await _do(turn, request, job.act, issuer))
    except RefusedError as error:
        refused = await _told(turn, job.act, error)
        told = _REFUSED + msgspec.json.encode([refused.code, refused.zh, refused.en, refused.kind.value])
    except DomainError as error:
        return error
    turn.seen.requests[place] = request.body_digest, told
    turn.requests.append((*place, request.body_digest, turn.now_us, told))
    return _open(told)


_REFUSED = b"!"


def _open(told: bytes) -> bytes | DomainError:
    """An answer as kept: what was done, or what the ledger refused it for, which stays so."""
    if not told.startswith(_REFUSED):
        return told
    code, zh, en, kind = msgspec.json.decode(told[1:])
    return VoucherError(code, zh, en, kind=Kind(kind))


def _again(earlier: tuple[bytes, bytes], request: Request) -> bytes | DomainError:
    digest, told = earlier
    if digest != request.body_digest:
        return VoucherError(
            "idempotency-key-reused",
            "该 Idempotency-Key 已用于内容不同的请求",
            "this Idempotency-Key was used for a different request",
            kind=Kind.CONFLICT,
        )
    return _open(told)


async def _told(turn: Turn, act: Act, error: RefusedError) -> DomainError:
    """A refusal in the words of vouchers."""
    if isinstance(act, Hold):
        return await in_words_of_vouchers(turn.tx, act, error)
    return error


async def _do(turn: Turn, request: Request, act: Act, issuer: Issuer) -> dict[str, Any]:
    match act:
        case Hold(is_lease=True):
            return await give_lease(turn, request, act, issuer)
        case Hold():
            return await reserve(turn, request, act, issuer)
        case Capture():
            return await capture(turn, request, act)
        case Report():
            return await settle_lease(turn, request, act)
        case Release():
            return await release(turn, request, act)
        case Faulty():
            raise act.error
