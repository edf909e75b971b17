"""One GET, for what the agent reads itself: published keys, monitors, cluster APIs. No proxy, no redirect, bounded, verified."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from ledger.errors import Kind
from metering.errors import MeteringError

TIMEOUT_S = 30
ANSWER_BYTES_MAX = 1 << 28
"""A quarter of a gibibyte: an hour of telemetry of a large pool."""


def get(
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    ca_file: Path | None = None,
    bytes_max: int = ANSWER_BYTES_MAX,
) -> bytes:
    """Read the body of a 200.

    Raises:
        MeteringError: `unreachable`: no answer, another status, or one that is too long.

    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise MeteringError("url-malformed", f"地址“{url}”应为 http(s) 地址", f"{url!r} must be an http(s) address")
    connection = (
        http.client.HTTPSConnection(
            parts.hostname, parts.port, timeout=TIMEOUT_S, context=ssl.create_default_context(cafile=ca_file)
        )
        if parts.scheme == "https"
        else http.client.HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT_S)
    )
    target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    try:
        connection.request("GET", target, headers=dict(headers or {}))
        with connection.getresponse() as response:
            body = response.read(bytes_max + 1)
    except (OSError, http.client.HTTPException) as fault:
        raise _unreachable(url, f"{type(fault).__name__}: {fault}") from fault
    finally:
        connection.close()
    if response.status != http.HTTPStatus.OK:
        raise _unreachable(url, f"HTTP {response.status}: {body[:200].decode('utf-8', 'replace')}")
    if len(body) > bytes_max:
        raise _unreachable(url, f"more than {bytes_max} bytes")
    return body


def _unreachable(url: str, why: str) -> MeteringError:
    address = url.partition("?")[0]
    return MeteringError(
        "unreachable", f"读不到 {address}：{why}", f"cannot read {address}: {why}", kind=Kind.UNAVAILABLE
    )
