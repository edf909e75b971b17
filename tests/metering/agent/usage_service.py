"""A small honest usage service on loopback that can be told to misbehave, try by try."""

import contextlib
import hashlib
import http.server
import json
import threading
import time
from collections import deque

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger import jws
from ledger.ed25519 import PublicKey
from metering import signature
from metering.model import Accelerator, UsageRecord

SOURCE = "urn:centre:sj01:agent:slurm-1"
RECEIPT_KEY = Ed25519PrivateKey.from_private_bytes(b"r" * 32)
RECEIPT_KEYS = {PublicKey.of(RECEIPT_KEY).kid: PublicKey.of(RECEIPT_KEY)}


def usage(number, **changes):
    """A record like any other; the number makes it this one."""
    fields = {
        "id": f"sj01:slurm:{number}:1795310137:0",
        "account": "startup1",
        "job": str(number),
        "attempt": 1795310137,
        "start_us": 1795310137_000_000 + number,
        "end_us": 1795310222_000_000,
        "active_ms": 81_000,
        "accelerators": (Accelerator("H100-SXM", 4000),),
        "state": "COMPLETED",
    }
    return UsageRecord(**fields | changes)


def verify_receipt(token):
    """What an agent is given to check receipts with."""
    return jws.verify(token, RECEIPT_KEYS, "usage-receipt+jwt")


def receipt(source, up_to_sequence, records, *, key=RECEIPT_KEY, typ="usage-receipt+jwt"):
    claims = {"iss": "https://quan.example", "source": source, "up_to_sequence": up_to_sequence, "records": records}
    return jws.sign(claims, typ=typ, kid=PublicKey.of(RECEIPT_KEY).kid, signer=key.sign)


class Service:
    """Takes reports as the real service does; `faults` are applied to the next tries, one each.

    `bodies` holds every body seen under a key, `events` every record taken by id, `statuses` what to say about one.
    """

    def __init__(self, *public_keys):
        self.keys = {key.kid: key for key in public_keys}
        self.faults = deque()
        self.statuses = {}
        self.bodies = {}
        self.events = {}
        self.nonces = set()
        self.tries = []
        self.connections = 0
        self.lock = threading.Lock()
        service = self

        class Handler(_Handler):
            def setup(self):
                super().setup()
                self.service = service
                service.connections += 1

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self):
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def take(self, headers, body):
        """Status and answer of an honest service."""
        try:
            signed = signature.verify(
                "POST",
                f"{self.base_url}/v1/usage",
                headers.items(),
                hashlib.sha256(body).digest(),
                now_s=int(time.time()),
                key_of=self.keys.get,
            )
        except signature.SignatureError as error:
            return 401, {"code": error.code, "title": error.zh, "detail": error.en}
        if signed.nonce in self.nonces:
            return 401, {"code": "signature-replayed"}
        self.nonces.add(signed.nonce)
        bodies = self.bodies.setdefault(headers["idempotency-key"], set())
        bodies.add(body)
        if len(bodies) > 1:
            return 422, {"code": "idempotency-key-reused"}
        return 200, self._settle(json.loads(body))

    def _settle(self, events):
        results = []
        for event in events:
            known = self.events.setdefault(event["id"], event)
            usual = "accepted" if known is event else "duplicate"
            results.append({"id": event["id"], "status": self.statuses.get(event["id"], usual)})
        last = int(events[-1]["sequence"])
        return {"batch": "b", "results": results, "receipt": receipt(SOURCE, last, len(events))}


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = False

    def handle_error(self, request, client_address):
        """Agents are killed while they send; the service shrugs."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 5
    disable_nagle_algorithm = True

    def do_POST(self):
        service = self.service
        service.tries.append(self.path)
        fault = service.faults.popleft() if service.faults else None
        if fault is not None and getattr(fault, "early", False):
            fault(self, None)
            return
        body = self.rfile.read(int(self.headers["content-length"]))
        with service.lock:
            status, answer = service.take(self.headers, body)
        (fault or answer_with)(self, (status, answer))

    def log_message(self, *_):
        """Keep the test's output to itself."""


def answer_with(handler, reply, **headers):
    status, answer = reply
    data = json.dumps(answer).encode()
    handler.send_response(status)
    for name, value in {"content-length": len(data), **headers}.items():
        handler.send_header(name.replace("_", "-"), str(value))
    handler.end_headers()
    handler.wfile.write(data)


def status(code, **headers):
    """Do the work, but answer with another status."""
    return lambda handler, _reply: answer_with(handler, (code, {"code": "because", "status": code}), **headers)


def instead(change):
    """Do the work, but answer 200 with something else made of the honest answer."""
    return lambda handler, reply: answer_with(handler, (200, change(reply[1])))


def early_413(handler, _reply):
    """Refuse the body by its length, without reading it, and hang up."""
    answer_with(handler, (413, {"code": "too-large"}), connection="close")
    handler.close_connection = True


early_413.early = True


def lost_before_work(handler, _reply):
    """Hang up without having read anything."""
    handler.close_connection = True


lost_before_work.early = True


def lost_answer(handler, _reply):
    """Do the work and hang up without a word: the agent cannot know."""
    handler.close_connection = True


def cut_answer(handler, reply):
    """Do the work and lose the connection in the middle of the answer."""
    data = json.dumps(reply[1]).encode()
    handler.send_response(200)
    handler.send_header("content-length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data[: len(data) // 2])
    handler.close_connection = True


def silence(seconds):
    """Do the work and answer after the agent has given up."""

    def fault(handler, reply):
        time.sleep(seconds)
        with contextlib.suppress(OSError):
            answer_with(handler, reply)
        handler.close_connection = True

    return fault
