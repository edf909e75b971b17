"""The edge: what dribbles, stalls, swells or smuggles is refused or closed, and honest requests go on meanwhile."""

import socket
import time
from urllib.parse import urlsplit

import pytest

from suanquan.http.limits import BODY_SECONDS, HEADER_BYTES_MAX, HEADER_SECONDS, HEADERS_MAX
from tests.suanquan.harness import assert_problem, request

STALLED = 100
SLACK_SECONDS = 4


def connect(service):
    parts = urlsplit(service.url)
    return socket.create_connection((parts.hostname, parts.port), timeout=HEADER_SECONDS + SLACK_SECONDS + 5)


def exchange(service, data):
    """Send bytes as they are and read until the service closes the connection."""
    with connect(service) as line:
        line.sendall(data)
        return read_all(line)


def read_all(line):
    found = b""
    try:
        while part := line.recv(65536):
            found += part
    except ConnectionResetError:
        pass
    return found


def test_stalled_connections_are_closed_while_honest_requests_go_on(service):
    """A hundred connections dribble a header or a body; each is closed in time, and others are served at once."""
    lines = [connect(service) for _ in range(STALLED)]
    for at, line in enumerate(lines):
        head = b"POST /v1/usage HTTP/1.1\r\nHost: x\r\n"
        line.sendall(head if at % 2 else head + b"Content-Length: 1000\r\n\r\nabc")
    begun = time.monotonic()
    for _ in range(20):
        assert request(service.url, "GET", "/healthz").status == 200
    assert time.monotonic() - begun < HEADER_SECONDS / 2
    for line in lines:
        answer = read_all(line)
        line.close()
        assert answer == b"" or b" 408 " in answer.split(b"\r\n")[0]
    assert time.monotonic() - begun < max(HEADER_SECONDS, BODY_SECONDS) + SLACK_SECONDS


@pytest.mark.parametrize(
    "head",
    [
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * (HEADERS_MAX + 1) + b"Connection: close\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: " + b"b" * (4 * HEADER_BYTES_MAX) + b"\r\nConnection: close\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd",
        b"POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
    ],
    ids=["many headers", "long header", "length and chunks", "two lengths", "no chunk", "TLS"],
)
def test_odd_requests_are_refused_and_the_connection_closed(service, head):
    """None is served, none is answered twice, and none brings the service down."""
    answer = exchange(service, head)
    assert answer.count(b"HTTP/1.1 ") <= 1
    assert not answer or b" 4" in answer.split(b"\r\n")[0], answer[:200]
    assert request(service.url, "GET", "/healthz").status == 200


def test_a_nul_in_a_path_is_not_found(service):
    """No handler ever sees it."""
    assert_problem(request(service.url, "GET", "/v1/vouchers/a%00b"), 404, "path-invalid")


@pytest.mark.parametrize("method", ["DELETE", "PUT", "PATCH"])
def test_a_method_that_is_not_offered_names_those_that_are(service, method):
    """405 with Allow, as a problem."""
    answer = request(service.url, method, "/healthz")
    assert_problem(answer, 405, "http-405")
