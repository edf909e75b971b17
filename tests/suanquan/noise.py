"""Agents that report at a steady rate over real connections, and how long each waits for its answers."""

import asyncio
import hashlib
import itertools
import secrets
import time
from urllib.parse import urlsplit

from ledger.ed25519 import PublicKey
from metering.agent.events import batch_body, encode_event, number_event
from metering.agent.keys import AgentKey
from metering.signature import sign
from tests.suanquan.harness import BATCH, NOON_US, usage

RECORDS = 10
_NUMBERS = itertools.count(1)


class Reporter:
    """One key and its connections: every report is new, signed beforehand, and sent at its time whatever became of those before."""

    def __init__(self, url, centre, name, key, connections=1):
        self._target, self._place = f"{url}/v1/usage", urlsplit(url)
        self._source, self._key = f"urn:centre:{centre}:agent:{name}", AgentKey(key, PublicKey.of(key).kid)
        self._centre, self._free, self._count = centre, asyncio.Queue(), connections
        self.statuses, self.seconds = [], []

    def report(self):
        """The bytes of one signed report."""
        first = next(_NUMBERS) * RECORDS
        records = (
            usage(number, id=f"{self._centre}:{number:012d}", start_us=NOON_US, account=self._key.kid[:8])
            for number in range(first, first + RECORDS)
        )
        body = batch_body(number_event(encode_event(one, self._source), at) for at, one in enumerate(records, first))
        headers = sign(
            self._key.private,
            self._key.kid,
            method="POST",
            target_uri=self._target,
            content_type=BATCH,
            body_sha256=hashlib.sha256(body).digest(),
            idempotency_key=secrets.token_hex(16),
            created_s=int(time.time()),
            nonce=secrets.token_urlsafe(24),
        )
        lines = [f"{name}: {value}" for name, value in headers.items()]
        head = ["POST /v1/usage HTTP/1.1", f"Host: {self._place.netloc}", f"Content-Length: {len(body)}", *lines]
        return "\r\n".join([*head, "", ""]).encode() + body

    async def open(self):
        """Connect."""
        for _ in range(self._count):
            self._free.put_nowait(await asyncio.open_connection(self._place.hostname, self._place.port))

    async def close(self):
        """Hang up."""
        while not self._free.empty():
            _, writer = self._free.get_nowait()
            writer.close()

    async def steadily(self, reports, per_second, begin_s):
        """Send these, so many a second from an instant of the loop's clock on; seconds of each from when it was due."""
        async with asyncio.TaskGroup() as group:
            for at, report in enumerate(reports):
                due = begin_s + at / per_second
                await asyncio.sleep(max(due - asyncio.get_running_loop().time(), 0))
                group.create_task(self._send(report, due))

    async def _send(self, report, due):
        connection = await self._free.get()
        reader, writer = connection
        writer.write(report)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.split(b":")[1]))
        self._free.put_nowait(connection)
        self.statuses.append(int(head[9:12]))
        self.seconds.append(asyncio.get_running_loop().time() - due)
