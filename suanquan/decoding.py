"""Decode batches in processes of their own: JSON, checks and hashes take half of the work and need no database.

One interpreter runs one thread at a time; with the decoding elsewhere, the writer has a core to itself. A large batch goes
there alone, small ones together and only where many come: for one of them the way there costs as much as its decoding.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import NamedTuple

from ledger.errors import DomainError
from metering.batch import Batch, read_cloudevents
from metering.columns import read_columns
from metering.compact import Compact

OFFLOAD_BYTES = 256 * 1024
"""Smaller bodies are decoded where they are, unless there is a crowd: sending one to another process costs as much."""
CROWD = 4
"""Requests under way from which small bodies are decoded elsewhere, all that wait at once."""
TOGETHER_MAX = 16
"""Small bodies sent elsewhere at once."""
WORKERS = min(4, (os.cpu_count() or 1) - 1)
WATCH_SECONDS = 1


class _Body(NamedTuple):
    """What is decoded, and as what."""

    body: bytes
    now_us: int
    columns: bool

    def read(self) -> Batch | Compact:
        return (read_columns if self.columns else read_cloudevents)(self.body, self.now_us)


_Read = Batch | Compact | DomainError


class BatchDecoder:
    """Decodes here or elsewhere with the same result. The processes start with the first large batch and end with ours."""

    def __init__(self, workers: int = WORKERS) -> None:
        self._workers = workers
        self._pool: ProcessPoolExecutor | None = None
        self._ready = False
        self._waiting: list[tuple[_Body, asyncio.Future[Batch | Compact]]] = []
        self._together: set[asyncio.Task[None]] = set()

    async def decode(self, body: bytes, now_us: int, *, columns: bool = False, crowd: int = 0) -> Batch | Compact:
        """`read_cloudevents` or `read_columns`, away from the event loop where that pays; `crowd`: requests under way."""
        one = _Body(body, now_us, columns)
        if self._workers > 0 and (len(body) >= OFFLOAD_BYTES or crowd >= CROWD):
            if self._pool is None:
                self._start()
            if self._ready and len(body) < OFFLOAD_BYTES:
                return await self._among_others(one)
            if self._ready:
                with contextlib.suppress(BrokenProcessPool):
                    return await asyncio.get_running_loop().run_in_executor(self._pool, one.read)
                self._pool, self._ready = None, False  # a process was killed; the next batch starts new ones
        return one.read()

    async def _among_others(self, one: _Body) -> Batch | Compact:
        done: asyncio.Future[Batch | Compact] = asyncio.get_running_loop().create_future()
        self._waiting.append((one, done))
        asyncio.get_running_loop().call_soon(self._send)  # not at once: who comes in the same moment goes along
        return await done

    def _send(self) -> None:
        """Have those who wait decoded, unless as many are away as there are processes."""
        if self._waiting and len(self._together) < self._workers:
            sent, self._waiting = self._waiting[:TOGETHER_MAX], self._waiting[TOGETHER_MAX:]
            task = asyncio.create_task(self._decode_together(sent), name="decode")
            self._together.add(task)
            task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._together.discard(task)
        self._send()

    async def _decode_together(self, sent: list[tuple[_Body, asyncio.Future[Batch | Compact]]]) -> None:
        found: Sequence[Batch | Compact | Exception]
        try:
            found = await self._read_elsewhere([one for one, _ in sent])
        except Exception as error:  # noqa: BLE001 -- everybody must hear
            found = [error] * len(sent)
        for (_, done), read in zip(sent, found, strict=True):
            if done.done():
                continue
            if isinstance(read, Exception):
                done.set_exception(read)
            else:
                done.set_result(read)

    async def _read_elsewhere(self, bodies: list[_Body]) -> Sequence[_Read]:
        pool = self._pool
        if pool is not None:
            with contextlib.suppress(BrokenProcessPool):
                return await asyncio.get_running_loop().run_in_executor(pool, _read_all, bodies)
            if self._pool is pool:
                self._pool, self._ready = None, False  # a process was killed; the next crowd starts new ones
        return _read_all(bodies)

    @property
    def is_ready(self) -> bool:
        """Whether a process is there to decode."""
        return self._ready

    @property
    def pids(self) -> list[int]:
        """Processes that were started."""
        return [] if self._pool is None else list(self._pool._processes)  # noqa: SLF001 -- the library tells nobody

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")  # a forked copy of a threaded process may hold a lock for ever
        self._pool = ProcessPoolExecutor(self._workers, mp_context=context, initializer=_prepare)
        for _ in range(self._workers):
            self._pool.submit(os.getpid).add_done_callback(self._note_ready)

    def _note_ready(self, started: Future[int]) -> None:
        self._ready = not started.cancelled() and started.exception() is None

    def close(self) -> None:
        """End the processes, those that are only starting among them: what they need to start is gone once we are."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool, self._ready = None, False


def _read(one: _Body) -> _Read:
    try:
        return one.read()
    except DomainError as error:
        return error


def _read_all(bodies: Sequence[_Body]) -> list[_Read]:
    return [_read(one) for one in bodies]


def _prepare() -> None:
    """A stop signal is for the service, which ends its helpers; should it be killed, they end themselves."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    os._exit(0)
