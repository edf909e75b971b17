"""Thousands of requests that are wrong in every way we could think of: none crashes the service, and it does not grow."""

import asyncio
import contextlib
import socket
import time
from collections import Counter

import pytest

from suanquan.db.database import Database
from suanquan.db.tokens import create_token
from suanquan.http.app import SIGNED
from suanquan.settings import load_settings
from tests.conftest import ALL
from tests.suanquan.harness import ProcessService, figures_of, request
from tests.suanquan.malformed import Malformed, operations_of

MIB = 2**20


def tokens_of(installation, count):
    """Tokens of several administrators, so that none of them asks too often."""

    async def make():
        database = Database(installation.home.place(load_settings(installation.home.settings_file)))
        async with database.write() as connection:
            made = [await create_token(connection, "administrator", f"a{n}", 0) for n in range(count)]
        await database.close()
        return made

    return asyncio.run(make())


class Asker:
    """Sends requests over a connection that it keeps as long as the service does."""

    def __init__(self, port):
        self._port = port
        self._reader = None

    def ask(self, data):
        """Status of the answer to a request of HTTP."""
        for _ in range(2):  # the service may have closed a connection after the last answer
            if self._reader is None:
                self._connection = socket.create_connection(("127.0.0.1", self._port), 60)
                self._reader = self._connection.makefile("rb")
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                self._connection.sendall(data)
                if status := self._answer(head=data.startswith(b"HEAD ")):
                    return status
            self.close()
        raise AssertionError(data[:200])

    def _answer(self, *, head):
        line = self._reader.readline()
        headers = {}
        while (more := self._reader.readline()) not in {b"\r\n", b""}:
            name, _, value = more.partition(b":")
            headers[name.lower()] = value.strip()
        if not head:
            self._reader.read(int(headers.get(b"content-length", b"0")))
        if headers.get(b"connection") == b"close":
            self.close()
        return int(line[9:12]) if line else 0

    def close(self):
        if self._reader is not None:
            self._reader.close()
            self._connection.close()
        self._reader = None


def statuses_of_noise(service, data):
    """Statuses of whatever comes back for bytes that may be no request at all."""
    with socket.create_connection(("127.0.0.1", service.port), 60) as connection:
        with contextlib.suppress(ConnectionResetError, BrokenPipeError, OSError):
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while part := connection.recv(65536):
                received += part
        lines = received.split(b"\r\n")
    return [int(line[9:12]) for line in lines if line.startswith(b"HTTP/1.1 ")]


MALFORMED = 100_000 if ALL else 5_000


@pytest.mark.timeout(3600 if ALL else 240)
def test_malformed_requests_crash_nothing(installation, seed):
    """Whatever is wrong with a request, the answer is no 5xx, and the process does not grow by 20 MB."""
    with ProcessService(installation, installation.home.path / "log") as service:
        ask_all(service, tokens_of(installation, 8), seed)
        assert service.stop() == 0
    figures_of(installation.home).assert_conserved()


def ask_all(service, tokens, seed):
    document = request(service.url, "GET", "/openapi.json").content
    drawn = Malformed(operations_of(document, SIGNED), tokens, seed)
    asker, seen, before, times = Asker(service.port), Counter(), 0, []
    for number in range(MALFORMED):
        if number == MALFORMED // 5:  # caches and pools have filled
            before, _ = service.resident_bytes()
        data, is_http = drawn.request()
        begun = time.perf_counter()
        statuses = [asker.ask(data)] if is_http else statuses_of_noise(service, data)
        times.append(time.perf_counter() - begun)
        assert all(status < 500 for status in statuses), (seed, number, statuses, data[:2000])
        seen.update(statuses)
    asker.close()
    grown = service.resident_bytes()[0] - before
    p99 = sorted(times)[len(times) * 99 // 100]
    print(f"{dict(seen)}, {grown / MIB:.1f} MiB more, p99 {p99:.3f} s, seed {seed}")
    assert seen[422] > MALFORMED // 20, "the requests do not reach the application"
    assert grown < 20_000_000
    assert p99 < 0.1 or not ALL
