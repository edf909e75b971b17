"""Decode large batches in processes of their own: JSON, checks and hashes take half of the work and need no database.

One interpreter runs one thread at a time; with the decoding elsewhere, the writer has a core to itself.
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
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from metering.batch import Batch, read_cloudevents
from metering.columns import read_columns
from metering.compact import Compact

OFFLOAD_BYTES = 256 * 1024
"""Smaller bodies are decoded where they are: sending them to another process costs as much."""
WORKERS = min(4, (os.cpu_count() or 1) - 1)
WATCH_SECONDS = 1


class BatchDecoder:
    """Decodes here or elsewhere with the same result. The processes start with the first large batch and end with ours."""

    def __init__(self, workers: int = WORKERS) -> None:
        self._workers = workers
        self._pool: ProcessPoolExecutor | None = None
        self._ready = False

    async def decode(self, body: bytes, now_us: int, *, columns: bool = False) -> Batch | Compact:
        """`read_cloudevents` or `read_columns`, away from the event loop where that pays."""
        read = read_columns if columns else read_cloudevents
        if len(body) >= OFFLOAD_BYTES and self._workers > 0:
            if self._pool is None:
                self._start()
            if self._ready:
                with contextlib.suppress(BrokenProcessPool):
                    return await asyncio.get_running_loop().run_in_executor(self._pool, read, body, now_us)
                self._pool, self._ready = None, False  # a process was killed; the next batch starts new ones
        return read(body, now_us)

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
