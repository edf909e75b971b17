"""One try at delivering a batch through a JetStream stream: hand it over durably, then wait for the service's answer.

The stream takes one waiting message of a source. A try that finds one there waits for its answer instead of adding a copy,
so that an agent that starts again, or a service that is away for days, never fills the stream. What the stream loses is
handed over again: the spool gives nothing up before it holds the receipt.
"""

from __future__ import annotations

import asyncio
import ssl
import time
import zlib
from typing import Self

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import AuthorizationError, MaxPayloadError, NoRespondersError
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import APIError, NoStreamResponseError, NotFoundError

from metering import stream
from metering.agent.client import (
    Answered,
    Reply,
    Verdict,
    VerifyReceipt,
    judge,
    signed_headers,
    skew_from,
    usage_uri,
)
from metering.agent.config import NatsConfig
from metering.agent.keys import AgentKey
from metering.agent.spool import Batch

CONNECT_S, PUBLISH_S = 5, 15
ANSWER_S = 20
"""How long one try waits for an answer; what was handed over stays in the stream, whoever goes away."""
HEADERS_BYTES = 4096
"""Room for the headers of a message beside its body."""
ANSWER_BYTES_MAX = 64 * 2**20
LEAVING_ROUNDS, LEAVING_S = 10, 1
"""How often, and how many seconds apart, a batch is handed over again while an answered message is about to leave."""
FULL = 10077
"""JetStream's code for a message that its stream has no room for."""


class NatsClient:
    """A way to the service through its streams; signs what an HTTP report would, for the same address."""

    def __init__(
        self,
        config: NatsConfig,
        base_url: str,
        source: str,
        key: AgentKey,
        verify_receipt: VerifyReceipt,
        *,
        answer_s: int = ANSWER_S,
    ) -> None:
        self._config, self._source, self._key = config, source, key
        self._target = usage_uri(base_url)
        self._verify_receipt = verify_receipt
        self._answer_s = answer_s
        self._servers = config.url.split(",")
        self._runner = asyncio.Runner()
        self._connection: Client | None = None
        self._answers: Subscription | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self._runner.close()

    def close(self) -> None:
        """Close the connection; the next try opens a new one."""
        self._runner.run(self._close())

    def use_key(self, key: AgentKey) -> None:
        """Sign with another key from the next try on."""
        self._key = key

    def post(self, batch: Batch) -> Reply:
        """Hand a batch over and wait for its answer. Never raises for what servers or service do."""
        try:
            return self._runner.run(self._post(batch))
        except MaxPayloadError:
            return Reply(Verdict.TOO_LARGE, "larger than a message of this server may be")
        except (NoRespondersError, NoStreamResponseError):
            self.close()
            return Reply(Verdict.RETRY, "NATS: there is no usage stream yet: the service makes it (setting nats_url)")
        except AuthorizationError as error:
            self.close()
            return Reply(Verdict.BLOCKED, f"NATS: {error}")
        except (OSError, NatsError, TimeoutError, ValueError) as error:
            self.close()
            self._servers.append(self._servers.pop(0))  # another server of the cluster may do better
            return Reply(Verdict.RETRY, f"NATS: {type(error).__name__}: {error}")

    async def _post(self, batch: Batch) -> Reply:
        connection, answers = await self._connected()
        if len(batch.body) + HEADERS_BYTES > connection.max_payload:
            raise MaxPayloadError
        known = await self._kept(connection.jetstream())
        if known is not None and known.headers[stream.KEY] == batch.key and known.headers[stream.STATUS] == "200":
            return self._judged(batch, known)
        sequence = await self._hand_over(connection.jetstream(), batch, known)
        deadline = time.monotonic() + self._answer_s
        while (left := deadline - time.monotonic()) > 0:
            try:
                message = _Answer.of(await answers.next_msg(left))
            except TimeoutError:
                break
            if message is not None and message.is_for(batch, sequence):
                return self._judged(batch, message)
        last = await self._kept(connection.jetstream())
        if last is not None and last.is_for(batch, sequence):
            return self._judged(batch, last)
        place = f"message {sequence}" if sequence else "an earlier message"
        return Reply(Verdict.RETRY, f"{place} waits in the stream; the service has not answered yet")

    async def _connected(self) -> tuple[Client, Subscription]:
        if self._connection is None or self._answers is None or not self._connection.is_connected:
            await self._close()
            async with asyncio.timeout(CONNECT_S):
                connection = await nats.connect(
                    self._servers[0], allow_reconnect=False, max_reconnect_attempts=1, reconnect_time_wait=0,
                    connect_timeout=CONNECT_S, error_cb=_ignore, name=self._source, **_access(self._config),
                )  # fmt: skip
            self._connection = connection
            self._answers = await connection.subscribe(stream.answer_subject(self._source))
            await connection.flush(CONNECT_S)
        return self._connection, self._answers

    async def _hand_over(self, jetstream: JetStreamContext, batch: Batch, known: _Answer | None) -> int | None:
        """Sequence of the message in the stream; None: an earlier one of this source waits there for its answer.

        The service answers before it takes a message out: one whose answer is known is about to go, and ours comes after it.
        """
        headers = signed_headers(self._key, self._target, batch)
        subject = stream.usage_subject(self._source)
        for _ in range(LEAVING_ROUNDS):
            try:
                return (await jetstream.publish(subject, batch.body, PUBLISH_S, stream.USAGE, headers)).seq
            except APIError as error:
                if error.err_code != FULL:
                    raise
            if known is None or not await self._leaves(jetstream, subject, known):
                break
            await asyncio.sleep(LEAVING_S)
        return None

    async def _leaves(self, jetstream: JetStreamContext, subject: str, known: _Answer) -> bool:
        """Whether the message in the stream has gone meanwhile, or is the one that was answered."""
        try:
            waiting = await jetstream.get_last_msg(stream.USAGE, subject)
        except NotFoundError:
            return True
        return known.headers[stream.SEQUENCE] == str(waiting.seq)

    async def _kept(self, jetstream: JetStreamContext) -> _Answer | None:
        """The last answer that this source was given."""
        try:
            found = await jetstream.get_last_msg(stream.ANSWERS, stream.answer_subject(self._source), direct=True)
        except NotFoundError:
            return None
        return _Answer.made(found.headers, found.data)

    def _judged(self, batch: Batch, answer: _Answer) -> Reply:
        date_s = int(answer.headers[stream.DATE])
        inflate = zlib.decompressobj()
        try:
            data = inflate.decompress(answer.data, ANSWER_BYTES_MAX)
        except zlib.error as error:
            return Reply(Verdict.RETRY, f"the answer cannot be read: {error}")
        answered = Answered(int(answer.headers[stream.STATUS]), data, skew_from(date_s) if answer.fresh else None)
        return judge(batch, self._source, self._verify_receipt, answered)

    async def _close(self) -> None:
        connection, self._connection, self._answers = self._connection, None, None
        if connection is not None and not connection.is_closed:
            await connection.close()


class _Answer:
    """An answer of the service; `fresh` when it came just now, so that its time says something about our clock."""

    def __init__(self, headers: dict[str, str], data: bytes, *, fresh: bool) -> None:
        self.headers, self.data, self.fresh = headers, data, fresh

    @classmethod
    def made(cls, headers: dict[str, str] | None, data: bytes | None, *, fresh: bool = False) -> Self | None:
        names = (stream.KEY, stream.STATUS, stream.SEQUENCE, stream.DATE)
        if headers is None or data is None or any(name not in headers for name in names):
            return None
        if not all(headers[name].isdecimal() for name in names[1:]):
            return None
        return cls(headers, data, fresh=fresh)

    @classmethod
    def of(cls, message: Msg) -> Self | None:
        return cls.made(message.headers, message.data, fresh=True)

    def is_for(self, batch: Batch, sequence: int | None) -> bool:
        own = self.headers[stream.KEY] == batch.key
        return own and (sequence is None or self.headers[stream.SEQUENCE] == str(sequence))


def _access(config: NatsConfig) -> dict[str, object]:
    """How a server is convinced of who we are, and we of who it is; the password is read at each connect."""
    options: dict[str, object] = {}
    if config.password_file is not None:
        options |= {"user": config.user, "password": config.password_file.read_text("utf-8").strip()}
    if config.url.startswith("tls://"):
        options["tls"] = ssl.create_default_context(cafile=config.ca_file)
    return options


async def _ignore(_: Exception) -> None:
    """Say nothing: what failed is raised where it was asked for."""
