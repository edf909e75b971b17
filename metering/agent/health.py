"""The agent's own `/metrics`, `/status` and `/healthz`, on an address of the operator's choice; nothing of it leaves by itself.

Metrics are in Prometheus' text format, in base units, without a label that names an account, a job or a voucher.
"""

from __future__ import annotations

import http.server
import json
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Self

from ledger.errors import DomainError
from metering.agent.view import SpoolStatus, SpoolView

_US = 1_000_000


def metrics_text(status: SpoolStatus, spool_bytes_max: int, now_us: int) -> str:
    """What an operator watches, in the text format."""
    oldest_s = 0 if status.oldest_unsent_us is None else max(0, now_us - status.oldest_unsent_us) // _US
    lines: list[str] = []
    _metric(lines, "unsent_records", "gauge", "Records in the spool that the service has not confirmed.", status.unsent)
    _metric(lines, "unsent_bytes", "gauge", "Bytes that these records take in the spool.", status.unsent_bytes)
    _metric(lines, "spool_limit_bytes", "gauge", "Most that may wait in the spool.", spool_bytes_max)
    _metric(lines, "oldest_unsent_age_seconds", "gauge", "How long the oldest of them has waited.", oldest_s)
    _metric(lines, "sent_records_total", "counter", "Records for which there is a receipt.", status.sent)
    _metric(lines, "parked_batches", "gauge", "Batches that were refused and wait for a person.", status.parked_batches)
    _metric(lines, "outcomes_total", "counter", "Records that were not accepted, by status.", status.outcomes)
    if status.clock_skew_s is not None:
        _metric(lines, "clock_skew_seconds", "gauge", "This clock minus the service's.", status.clock_skew_s)
    if status.contact_us is not None:
        _metric(lines, "last_contact_timestamp_seconds", "gauge", "When it was last tried.", status.contact_us // _US)
    if status.last_receipt_us is not None:
        text = "When the last receipt came."
        _metric(lines, "last_receipt_timestamp_seconds", "gauge", text, status.last_receipt_us // _US)
    return "".join(lines)


def _metric(lines: list[str], name: str, kind: str, text: str, value: int | dict[str, int]) -> None:
    full = f"suanquan_agent_{name}"
    lines.append(f"# HELP {full} {text}\n# TYPE {full} {kind}\n")
    if isinstance(value, int):
        lines.append(f"{full} {value}\n")
        return
    lines.extend(f'{full}{{status="{status}"}} {count}\n' for status, count in sorted(value.items()))


class HealthServer:
    """Answers until it is closed; each question opens the spool for reading."""

    def __init__(self, listen: tuple[str, int], spool: Path, spool_bytes_max: int) -> None:
        class Handler(_Handler):
            place = spool
            limit = spool_bytes_max

        self._server = http.server.ThreadingHTTPServer(listen, Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that was really taken."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    place: Path
    limit: int
    timeout = 10

    def do_GET(self) -> None:
        if self.path not in {"/metrics", "/status", "/healthz"}:
            self._answer(404, "text/plain", "not found\n")
            return
        try:
            with SpoolView(self.place) as view:
                status = view.status()
        except DomainError as error:
            self._answer(503, "text/plain; charset=utf-8", f"{error.en}\n")
            return
        if self.path == "/status":
            self._answer(200, "application/json", json.dumps(asdict(status), ensure_ascii=False))
        elif self.path == "/healthz":
            self._answer(200, "text/plain", "ok\n")
        else:
            text = metrics_text(status, self.limit, time.time_ns() // 1000)
            self._answer(200, "text/plain; version=0.0.4; charset=utf-8", text)

    def _answer(self, status: int, content_type: str, text: str) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Scrapes are no news."""
