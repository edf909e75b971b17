"""One try at delivering a batch: signed anew each time, answered with a verdict that says what the spool must do."""

from __future__ import annotations

import email.utils
import enum
import hashlib
import http.client
import secrets
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, Self
from urllib.parse import urlsplit

import msgspec

from ledger.errors import DomainError
from metering.agent.events import CONTENT_TYPE
from metering.agent.keys import AgentKey
from metering.agent.spool import Batch, RecordResult
from metering.errors import MeteringError
from metering.signature import sign

USAGE_PATH = "/v1/usage"
TIMEOUT_S = 30
"""Longest silence on the connection; the service may take its time with 10,000 records, never this long."""
ANSWER_BYTES_MAX = 8 * 2**20
PROBLEM_CHARACTERS_MAX = 64 * 1024

_PORTS = {"http": 80, "https": 443}
_BLOCKED = frozenset({401, 403, 404, 405, 407})
_RETRIED = frozenset({408, 409, 425, 429})

VerifyReceipt = Callable[[str], Mapping[str, object]]
"""Checks a receipt's signature and returns its claims; raises a DomainError when it does not hold."""


class Verdict(enum.Enum):
    """What a try came to."""

    DELIVERED = "delivered"
    RETRY = "retry"
    """Passing trouble: network, overload, an answer that proves nothing."""
    BLOCKED = "blocked"
    """The service refuses this agent or this address, not this batch: keys, clock, base URL. Try again, slowly."""
    REFUSED = "refused"
    """The service refuses this batch for good."""
    TOO_LARGE = "too-large"


@dataclass(frozen=True, slots=True)
class Reply:
    """The end of one try. `detail` is for people; `problem` is the service's own words where it gave some."""

    verdict: Verdict
    detail: str
    status: int | None = None
    problem: str = ""
    results: tuple[RecordResult, ...] = ()
    receipt: str = ""
    retry_after_s: int | None = None
    clock_skew_s: int | None = None


class _Answer(msgspec.Struct, frozen=True):
    results: tuple[RecordResult, ...]
    receipt: str


class _Named(msgspec.Struct, frozen=True):
    id: str


class Transport(Protocol):
    """A way to the service: tries a batch once at a time and says what came of it."""

    def post(self, batch: Batch) -> Reply:
        """Send a batch once; never raises for what network or service do."""

    def use_key(self, key: AgentKey) -> None:
        """Sign with another key from the next try on."""

    def close(self) -> None:
        """Close what is open; the next try opens it anew."""


class UsageClient:
    """A kept-alive connection to the service for one source and key.

    `base_url` must be spelled as the service's own public address: it is part of what is signed. Plain http is for
    loopback and closed networks; https is verified against the system's authorities.
    """

    def __init__(
        self, base_url: str, source: str, key: AgentKey, verify_receipt: VerifyReceipt, *, timeout_s: int = TIMEOUT_S
    ) -> None:
        self._target = usage_uri(base_url)
        self._source = source
        self._key = key
        self._verify_receipt = verify_receipt
        parts = urlsplit(self._target)
        assert parts.hostname, "usage_uri has checked it"
        self._connection = (
            http.client.HTTPSConnection(
                parts.hostname, parts.port, timeout=timeout_s, context=ssl.create_default_context()
            )
            if parts.scheme == "https"
            else http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout_s)
        )
        self._path = parts.path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next try opens a new one."""
        self._connection.close()

    def use_key(self, key: AgentKey) -> None:
        """Sign with another key from the next try on."""
        self._key = key

    def post(self, batch: Batch) -> Reply:
        """Send a batch once. Never raises for what network or service do; the verdict says what is to be done."""
        try:
            self._send(batch)
            with self._connection.getresponse() as response:
                data = response.read(ANSWER_BYTES_MAX + 1)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            return Reply(Verdict.RETRY, f"{type(error).__name__}: {error}")
        if response.length or len(data) > ANSWER_BYTES_MAX:
            self.close()  # what is left of this answer must not be read as the next one
        return self._judge(batch, response.status, response.headers, data)

    def _send(self, batch: Batch) -> None:
        headers = signed_headers(self._key, self._target, batch)
        try:
            self._connection.request("POST", self._path, batch.body, headers)
        except (BrokenPipeError, ConnectionResetError):
            # A service that refuses a body early (413) closes while we still send; its answer may be there to read.
            if self._connection.sock is None:
                raise

    def _judge(self, batch: Batch, status: int, headers: http.client.HTTPMessage, data: bytes) -> Reply:
        date_s = _http_date(headers.get("date"))
        retry_after_s = _retry_after(headers.get("retry-after"))
        return judge(
            batch, self._source, self._verify_receipt, Answered(status, data, skew_from(date_s), retry_after_s)
        )


@dataclass(frozen=True, slots=True)
class Answered:
    """What the service said, over whatever transport."""

    status: int
    data: bytes
    skew_s: int | None = None
    retry_after_s: int | None = None


def signed_headers(key: AgentKey, target: str, batch: Batch) -> dict[str, str]:
    """Headers of one try: signed anew, with a nonce of its own."""
    return sign(
        key.private,
        key.kid,
        method="POST",
        target_uri=target,
        content_type=CONTENT_TYPE,
        body_sha256=hashlib.sha256(batch.body).digest(),
        idempotency_key=batch.key,
        created_s=time.time_ns() // 1_000_000_000,
        nonce=secrets.token_urlsafe(24),
    )


def skew_from(date_s: int | None) -> int | None:
    """Seconds that this clock is ahead of one that says `date_s`."""
    return None if date_s is None else time.time_ns() // 1_000_000_000 - date_s


def judge(batch: Batch, source: str, verify_receipt: VerifyReceipt, answered: Answered) -> Reply:
    """What an answer means for the spool."""
    if answered.status == 200:
        return _check(batch, source, verify_receipt, answered)
    problem = answered.data[:PROBLEM_CHARACTERS_MAX].decode("utf-8", "replace")
    return Reply(
        _verdict(answered.status),
        f"HTTP {answered.status}: {problem[:500]}",
        answered.status,
        problem=problem,
        retry_after_s=answered.retry_after_s,
        clock_skew_s=answered.skew_s,
    )


def _check(batch: Batch, source: str, verify_receipt: VerifyReceipt, answered: Answered) -> Reply:
    """Believe a 200 only if it speaks of every record sent and its receipt covers them."""
    skew_s = answered.skew_s
    try:
        answer = msgspec.json.decode(answered.data, type=_Answer)
        sent = msgspec.json.decode(batch.body, type=list[_Named])
        if [result.id for result in answer.results] != [event.id for event in sent]:
            return Reply(Verdict.RETRY, "the answer's results are not those of the records sent", 200)
        claims = verify_receipt(answer.receipt)
    except (msgspec.DecodeError, RecursionError, DomainError) as error:
        return Reply(Verdict.RETRY, f"the answer proves nothing: {error}", 200, clock_skew_s=skew_s)
    reach = claims.get("up_to_sequence")
    if claims.get("source") != source or not isinstance(reach, int) or reach < batch.last:
        detail = f"the receipt is for {claims.get('source')} up to {reach}, not {source} up to {batch.last}"
        return Reply(Verdict.RETRY, detail, 200, clock_skew_s=skew_s)
    return Reply(Verdict.DELIVERED, "OK", 200, results=answer.results, receipt=answer.receipt, clock_skew_s=skew_s)


def usage_uri(base_url: str) -> str:
    """Return the one URI that reports are sent to and signed for.

    Raises:
        MeteringError: `base_url` is not an absolute http(s) address without query, fragment or user.

    """
    try:
        parts = urlsplit(base_url)
        host, port = parts.hostname, parts.port
        (host or "").encode("idna")
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    plain = base_url.isascii() and base_url.isprintable() and " " not in base_url
    if parts.scheme not in _PORTS or not host or "@" in parts.netloc or "?" in base_url or "#" in base_url or not plain:
        raise MeteringError(
            "base-url-malformed",
            f"服务地址“{base_url}”应形如 https://suanquan.example.cn",
            f"base_url {base_url!r} must look like https://suanquan.example.cn",
        )
    name = f"[{host}]" if ":" in host else host
    authority = name if port in {None, _PORTS[parts.scheme]} else f"{name}:{port}"
    return f"{parts.scheme}://{authority}{parts.path.rstrip('/')}{USAGE_PATH}"


def _verdict(status: int) -> Verdict:
    if status == 413:
        return Verdict.TOO_LARGE
    if status in _BLOCKED or 300 <= status < 400:
        return Verdict.BLOCKED
    if 400 <= status < 500 and status not in _RETRIED:
        return Verdict.REFUSED
    return Verdict.RETRY


def _retry_after(value: str | None) -> int | None:
    """Seconds to wait, from either form of the field (RFC 9110 §10.2.3)."""
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return int(value[:9])
    date_s = _http_date(value)
    return None if date_s is None else max(0, date_s - time.time_ns() // 1_000_000_000)


def _http_date(value: str | None) -> int | None:
    parsed = email.utils.parsedate_tz(value) if value else None
    return None if parsed is None or parsed[9] is None else email.utils.mktime_tz(parsed)
