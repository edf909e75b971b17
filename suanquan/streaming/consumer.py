"""Consume the usage stream: fetch, record, answer, acknowledge, in this order; whatever dies in between is done once.

Only the holder of the lease consumes. It makes the consumer anew, so that what another process had fetched and not
acknowledged comes at once; what that process recorded is known by its sequence and answered again.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import zlib
from collections.abc import AsyncIterator
from typing import Any

import structlog

from ledger.errors import DomainError
from metering import stream
from suanquan.http.usage import AgentKeys
from suanquan.optional import load_nats
from suanquan.service import Service
from suanquan.streaming.take import Message, Told, incarnation, take

DURABLE = "suanquan"
FETCH = 8
"""Messages taken at once, of as many sources; each may have 8 MiB."""
FETCH_SECONDS = 5
ACK_SECONDS = 120
"""After this long without an acknowledgement a message is delivered again."""
AGAIN_SECONDS = 1
CRASHED_SECONDS = 30
BACKOFF_SECONDS_MAX = 30
STREAM_BYTES_MAX = 16 << 30
"""Bytes that may wait: a source has one message there at a time, so this is room for some 2,000 sources."""
ANSWERS_BYTES_MAX = 4 << 30
CONNECT_SECONDS = 5

log = structlog.get_logger("suanquan.stream")


@contextlib.asynccontextmanager
async def consuming(service: Service) -> AsyncIterator[None]:
    """Consume the stream of a service that has one while the block lasts.

    Raises:
        ServiceError: `library-missing`.

    """
    if not service.settings.nats_url:
        yield
        return
    task = asyncio.create_task(_Consumer(service, load_nats()).run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class _Consumer:
    def __init__(self, service: Service, nats: Any) -> None:
        self._service, self._nats = service, nats
        self._keys = AgentKeys(service)
        self._servers = service.settings.nats_url.split(",")
        self._stream = ""
        self._jetstream: Any = None

    async def run(self) -> None:
        """Consume, and connect again for ever."""
        pause = 1
        while True:
            try:
                connection = await self._connect()
                try:
                    await self._consume(connection)
                finally:
                    await connection.close()
            except (OSError, TimeoutError, ValueError, self._nats.errors.Error) as error:
                log.warning("stream not consumed", error=f"{type(error).__name__}: {error}", server=self._servers[0])
                self._servers.append(self._servers.pop(0))
                pause = 1 if self._stream else min(2 * pause, BACKOFF_SECONDS_MAX)
                self._stream = ""
                await asyncio.sleep(pause)

    async def _connect(self) -> Any:
        settings, home = self._service.settings, self._service.home
        options: dict[str, Any] = {}
        if settings.nats_password_file:
            password = home.path.joinpath(settings.nats_password_file).read_text("utf-8").strip()
            options |= {"user": settings.nats_user, "password": password}
        if self._servers[0].startswith("tls://"):
            ca_file = home.path / settings.nats_ca_file if settings.nats_ca_file else None
            options["tls"] = ssl.create_default_context(cafile=ca_file)
        async with asyncio.timeout(CONNECT_SECONDS):
            return await self._nats.connect(
                self._servers[0], allow_reconnect=False, max_reconnect_attempts=1, reconnect_time_wait=0,
                connect_timeout=CONNECT_SECONDS, error_cb=_ignore, name="suanquan", **options,
            )  # fmt: skip

    async def _consume(self, connection: Any) -> None:
        """Take messages until the connection is lost."""
        self._jetstream = jetstream = connection.jetstream()
        info = await _make_streams(self._nats.js, jetstream, self._service.settings.nats_replicas)
        self._stream = incarnation(stream.USAGE, info.created)
        await _make_consumer(self._nats.js, jetstream)
        fetching = await jetstream.pull_subscribe_bind(DURABLE, stream.USAGE)
        log.info("stream consumed", stream=self._stream, waiting=info.state.messages)
        while True:
            try:
                messages = await fetching.fetch(FETCH, timeout=FETCH_SECONDS)
            except TimeoutError:  # nothing came: NATS's own error is one, too
                if not connection.is_connected:
                    raise
                continue
            by_subject: dict[str, list[Any]] = {}
            for message in messages:
                by_subject.setdefault(message.subject, []).append(message)
            await asyncio.gather(*map(self._in_order, by_subject.values()))

    async def _in_order(self, messages: list[Any]) -> None:
        for message in messages:
            await self._one(message)

    async def _one(self, message: Any) -> None:
        meta = message.metadata
        stored_us = int(meta.timestamp.timestamp() * 1_000_000)
        taken = Message(
            self._stream, meta.sequence.stream, message.subject, message.headers or {}, message.data, stored_us
        )
        try:
            told = await take(self._service, self._keys, taken)
        except DomainError as error:
            log.warning("message waits", sequence=taken.sequence, code=error.code)
            await message.nak(AGAIN_SECONDS)
        except Exception:  # a fault of ours must not cost a report: it stays in the stream and comes again
            log.exception("message not taken", sequence=taken.sequence)
            await message.nak(CRASHED_SECONDS)
        else:
            await self._answer(taken, told)
            await message.ack_sync(CONNECT_SECONDS)
            log.info("message", sequence=taken.sequence, status=told.status, attempts=meta.num_delivered)

    async def _answer(self, message: Message, told: Told) -> None:
        headers = {
            stream.KEY: next((text for name, text in message.headers.items() if name.lower() == stream.KEY), ""),
            stream.STATUS: str(told.status),
            stream.SEQUENCE: str(message.sequence),
            stream.DATE: str(self._service.now_us // 1_000_000),
        }
        subject = stream.answer_to(message.subject)
        await self._jetstream.publish(subject, zlib.compress(told.body, 1), CONNECT_SECONDS, stream.ANSWERS, headers)


async def _make_streams(js: Any, jetstream: Any, replicas: int) -> Any:
    """Make the streams, or give those that are there our limits; what the usage stream is like now."""
    common = {"storage": js.api.StorageType.FILE, "num_replicas": replicas, "allow_direct": True}
    usage = js.api.StreamConfig(
        name=stream.USAGE, subjects=[stream.USAGE_SUBJECTS], retention=js.api.RetentionPolicy.WORK_QUEUE,
        discard=js.api.DiscardPolicy.NEW, discard_new_per_subject=True, max_msgs_per_subject=1,
        max_bytes=STREAM_BYTES_MAX, **common,
    )  # fmt: skip
    answers = js.api.StreamConfig(
        name=stream.ANSWERS, subjects=[stream.ANSWER_SUBJECTS], discard=js.api.DiscardPolicy.OLD,
        max_msgs_per_subject=1, max_bytes=ANSWERS_BYTES_MAX, **common,
    )  # fmt: skip
    await _make_stream(js, jetstream, answers)
    return await _make_stream(js, jetstream, usage)


async def _make_stream(js: Any, jetstream: Any, config: Any) -> Any:
    try:
        found = await jetstream.stream_info(config.name)
    except js.errors.NotFoundError:
        return await jetstream.add_stream(config)
    if found.config.num_replicas == config.num_replicas:
        return found
    return await jetstream.update_stream(config)


async def _make_consumer(js: Any, jetstream: Any) -> None:
    with contextlib.suppress(js.errors.NotFoundError):
        await jetstream.delete_consumer(stream.USAGE, DURABLE)
    await jetstream.add_consumer(
        stream.USAGE,
        js.api.ConsumerConfig(
            durable_name=DURABLE, ack_policy=js.api.AckPolicy.EXPLICIT, ack_wait=ACK_SECONDS, max_ack_pending=FETCH
        ),
    )


async def _ignore(_: Exception) -> None:
    """Say nothing: what failed is raised where it was asked for."""
