"""The agent at work: collect, spool, send until the service holds everything, wait, again."""

from __future__ import annotations

import itertools
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from ledger.errors import DomainError
from metering.agent.client import Reply, Transport, Verdict, VerifyReceipt
from metering.agent.config import AgentConfig
from metering.agent.keys import AgentKey, KeyRing
from metering.agent.spool import Batch, Spool
from metering.agent.transport import make_transport
from metering.errors import MeteringError
from metering.model import UsageRecord

BACKOFF_FIRST_S = 1
BACKOFF_S_MAX = 60
RETRY_AFTER_S_MAX = 3600
"""A service may ask for patience, but not for silence: longer wishes are cut to an hour."""
COLLECT_CHUNK = 10_000

Collect = Callable[[], Iterable[UsageRecord]]
"""Yields closed records; may yield what it yielded before, which costs little and keeps it free of memory."""

KEY_TRIED_EVERY_S = 60
"""How often a key that waits is tried: the service refuses it until it is registered."""
SKEW_WARNED_S = 2
UNAUTHORISED = 401

_NS = 1_000_000_000
_log = logging.getLogger("suanquan.agent")


class Watch(Protocol):
    """What is told beside usage: telemetry."""

    def look(self) -> None:
        """Read and keep what there is."""

    def send(self, key: AgentKey) -> None:
        """Send what waits."""


class Clock:
    """Time as the daemon sees it; a simulation has its own."""

    def now_ns(self) -> int:
        """Nanoseconds that only ever grow."""
        return time.monotonic_ns()

    def wait(self, stop: threading.Event, seconds: int) -> None:
        """Sleep, or less where the agent is told to stop."""
        stop.wait(seconds)


class Sender:
    """Moves batches from the spool to the service, one try a step, and says how long to wait before the next."""

    def __init__(
        self,
        spool: Spool,
        client: Transport,
        *,
        backoff_first_s: int = BACKOFF_FIRST_S,
        keys: KeyRing | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._spool = spool
        self._client = client
        self._backoff_first_s = backoff_first_s
        self._failures = 0
        self._keys = keys
        self._clock = clock or Clock()
        self._key_tried_ns: int | None = None

    def step(self) -> tuple[Reply, int] | None:
        """Try the next batch once; return what came of it and the seconds to wait, or None when nothing is left."""
        batch = self._spool.next_batch()
        if batch is None:
            self._client.close()  # the service would close an idle connection before the next round
            return None
        reply = self._tried_with_next_key(batch) or self._client.post(batch)
        self._file(batch, reply)
        if reply.verdict not in {Verdict.RETRY, Verdict.BLOCKED}:
            self._failures = 0
            return reply, 0
        self._failures += 1
        _log.warning("batch %d..%d not delivered: %s", batch.first, batch.last, reply.detail)
        return reply, self._delay_s(reply)

    def send_all(self, stop: threading.Event, *, failures_max: int) -> Reply | None:
        """Send until the spool has nothing to send: None; else the reply after which it gave up.

        It gives up when stopped, when the service refuses the agent itself, or after so many failures in a row.
        """
        while step := self.step():
            reply, delay_s = step
            gave_up = reply.verdict is Verdict.BLOCKED or self._failures >= failures_max
            if gave_up or stop.wait(delay_s):
                return reply
        return None

    def _tried_with_next_key(self, batch: Batch) -> Reply | None:
        """Try a key that waits; None where there is none to try, or the service does not know it yet."""
        now_ns = self._clock.now_ns()
        if self._keys is None or (
            self._key_tried_ns is not None and now_ns - self._key_tried_ns < KEY_TRIED_EVERY_S * _NS
        ):
            return None
        self._key_tried_ns = now_ns
        try:
            key = self._keys.candidate()
        except MeteringError as error:  # the old key is good: nothing waits for the new one to be mended
            _log.error("the key that waits is left alone: %s", error)
            return None
        if key is None:
            return None
        if key.kid == self._keys.current.kid:
            _promote(self._keys, key)
            return None
        self._client.use_key(key)
        reply = self._client.post(batch)
        if reply.verdict is Verdict.DELIVERED:
            _promote(self._keys, key)
            return reply
        self._client.use_key(self._keys.current)
        return None if reply.status == UNAUTHORISED else reply

    def _file(self, batch: Batch, reply: Reply) -> None:
        self._spool.note_contact(reply.detail, reply.clock_skew_s)
        if reply.clock_skew_s is not None and abs(reply.clock_skew_s) > SKEW_WARNED_S:
            _log.warning("this clock is %d s ahead of the service's: set it by NTP", reply.clock_skew_s)
        if reply.verdict is Verdict.DELIVERED:
            self._spool.settle(batch, reply.results, reply.receipt)
        elif reply.verdict is Verdict.TOO_LARGE and batch.first < batch.last:
            self._spool.halve(batch)
        elif reply.verdict in {Verdict.REFUSED, Verdict.TOO_LARGE}:
            self._spool.park(batch, reply.problem)
            _log.error("batch %d..%d refused and parked: %s", batch.first, batch.last, reply.detail)

    def _delay_s(self, reply: Reply) -> int:
        """Exponential backoff with full jitter, and never sooner than the service asked for."""
        ceiling = min(BACKOFF_S_MAX, self._backoff_first_s << min(self._failures - 1, 10))
        return max(min(reply.retry_after_s or 0, RETRY_AFTER_S_MAX), secrets.randbelow(ceiling + 1))


def _promote(keys: KeyRing, key: AgentKey) -> None:
    """Use a key from now on; where its file cannot be renamed, that is tried again later."""
    try:
        keys.promote(key)
    except OSError as error:
        _log.error("key %s is in use, but its file cannot be renamed: %s", key.kid, error)
    else:
        _log.warning("key %s is in use from now on", key.kid)


def run(
    config: AgentConfig,
    collect: Collect,
    verify_receipt: VerifyReceipt,
    stop: threading.Event,
    clock: Clock | None = None,
    watch: Watch | None = None,
) -> None:
    """Work until `stop` is set; collect at every interval, also while the service cannot be reached.

    A `collect` that has a method `done` is told when all that it yielded lies in the spool. `watch` looks at every
    interval, too, and sends when no usage is left to send.

    Raises:
        MeteringError: key, spool or configuration cannot be used. Later troubles are logged and tried again.

    """
    keys, clock = KeyRing(config.key_file), clock or Clock()
    with (
        Spool(config.spool, config.source, bytes_max=config.spool_bytes_max) as spool,
        make_transport(config, keys.current, verify_receipt) as client,
    ):
        sender = Sender(spool, client, keys=keys, clock=clock)
        collect_at_ns = send_at_ns = clock.now_ns()
        while not stop.is_set():
            if clock.now_ns() >= collect_at_ns:
                collect_at_ns = clock.now_ns() + config.interval_s * _NS
                _collect(spool, collect)
                if watch is not None:
                    watch.look()
            if clock.now_ns() >= send_at_ns:
                delay_s = _send(sender)
                if delay_s is None and watch is not None:
                    watch.send(keys.current)
                send_at_ns = collect_at_ns if delay_s is None else clock.now_ns() + delay_s * _NS
            wait_ns = min(collect_at_ns, send_at_ns) - clock.now_ns()
            clock.wait(stop, max(0, -(-wait_ns // _NS)))


def _collect(spool: Spool, collect: Collect) -> None:
    """Spool what the source yields; what fails or finds the spool full is yielded again at the next interval."""
    try:
        records = iter(collect())
        while chunk := list(itertools.islice(records, COLLECT_CHUNK)):
            spool.append(chunk)
        getattr(collect, "done", _nothing)()
    except (DomainError, OSError) as error:
        _log.error("not everything was collected: %s", error)


def _nothing() -> None:
    """Say nothing to a source that wants to be told nothing."""


def _send(sender: Sender) -> int | None:
    """One try; the seconds to wait before the next, None when nothing is left to send."""
    try:
        step = sender.step()
    except MeteringError as error:  # the spool: a full disk may have room again later
        _log.error("the spool cannot be used: %s", error)
        return BACKOFF_S_MAX
    return None if step is None else step[1]
