"""A real service over a real home, in a thread or in a process of its own, and centres that report to it as agents do."""

import asyncio
import contextlib
import hashlib
import http.client
import json
import multiprocessing
import os
import re
import secrets
import shutil
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger import store as ledger_store
from ledger.amount import CNY
from ledger.ed25519 import PublicKey
from metering import store as metering_store
from metering.agent.events import batch_body, encode_event, number_event
from metering.agent.keys import AgentKey
from metering.model import Accelerator, UsageRecord
from metering.signature import sign
from suanquan import cli
from suanquan.catalog import load_catalog
from suanquan.db.database import Database
from suanquan.home import Home, write_secret
from suanquan.server import listen, serving
from suanquan.service import open_service
from suanquan.settings import Settings, load_settings
from suanquan.use_cases import setup
from suanquan.use_cases.overview import overview
from suanquan.use_cases.verify_ledger import verify_ledger
from tests.suanquan.officers import make_officers, waiting
from voucher import store as voucher_store
from voucher.issuance import IssueRequest

PASSPHRASE = b"canary passphrase 9f41"
SCHEME = "cn-sh-songjiang-sandbox"
BATCH = "application/cloudevents-batch+json"
CENTRES = ("sj01", "sj02")
KEYS = {centre: Ed25519PrivateKey.from_private_bytes(centre.encode().ljust(32)) for centre in (*CENTRES, "stranger")}
NOON_US = 1_740_830_400_000_000
"""2025-03-01T12:00:00Z, when every record of these tests begins unless it says otherwise."""
HOUR_MS = 3_600_000
CHINESE = re.compile(r"[\u4e00-\u9fff]")


@dataclass(frozen=True)
class Installation:
    """A home that was initialised, with two centres whose agents are registered."""

    home: Home
    token: str

    def copy_to(self, path):
        """The same home at another place."""
        shutil.copytree(self.home.path, path)
        return Installation(Home(path), self.token)

    @property
    def passphrase_file(self):
        return self.home.path / "passphrase"


def install(path, settings=None, clock=None):
    """Initialise a home as an operator does and register its centres."""
    home = Home(path)
    token = setup.initialise(home, settings or Settings(sandbox=True), PASSPHRASE, clock)
    write_secret(path / "passphrase", PASSPHRASE)

    async def register():
        async with open_service(home, None, clock) as service:
            await make_officers(service)
            for centre in CENTRES:
                await setup.register_centre(service.journal, service.catalog, centre, centre.upper(), {"A100": 1000})
                await setup.register_agent_key(service.journal, centre, PublicKey.of(KEYS[centre]))

    asyncio.run(register())
    return Installation(home, token)


async def give(service, holder, amount, *, accounts=(), unit="CNY", scheme=SCHEME, centre="sj01"):
    """Issue a voucher to the holder to whom these accounts of a centre belong."""
    for account in accounts:
        await setup.bind_account(service.journal, centre, account, holder)
    return await service.issue(scheme, IssueRequest(holder, unit, amount))


async def figures(database, catalog):
    """What the books say, and whether they agree with the log: everything that a batch may change."""
    async with database.read() as connection:
        report = await verify_ledger(connection, lambda _done, _total: None)
        assert report["ok"], report
        seen = await overview(connection, catalog)
        usage = await metering_store.usage_by(connection, "account", "month")
        balances = {account.name: account.balance for account in await ledger_store.accounts_under(connection, "")}
        return Figures(
            report["entries"],
            report["usage_records"],
            {(row.pop("account"), row.pop("month")): row for row in usage},
            {name: balance for name, balance in balances.items() if balance},
            sum(units for _, _, units in await voucher_store.load_redeemed(connection)),
            {centre.centre: centre.statuses for centre in seen.centres if centre.statuses},
            await waiting(connection),
        )


@dataclass(frozen=True)
class Figures:
    """`usage` by account and month; `balances` in units of their assets; `debited` in units of CNY."""

    entries: int
    records: int
    usage: dict
    balances: dict
    debited: int
    statuses: dict
    quarantine: list = field(repr=False)

    @property
    def rated(self):
        return sum(row["rated_units"] for row in self.usage.values())

    @property
    def gpu_ms(self):
        return sum(row["gpu_ms"] for row in self.usage.values())

    @property
    def self_pay(self):
        return {
            name.removeprefix("self-pay/"): -balance
            for name, balance in self.balances.items()
            if name.startswith("self-pay/")
        }

    @property
    def owed(self):
        """Units of CNY that the centres are owed."""
        return sum(balance for name, balance in self.balances.items() if name.endswith("/receivable"))

    def assert_conserved(self):
        """Rated usage is paid to the last millionth of a yuan, and the centres are owed exactly that."""
        assert self.rated == self.debited + sum(self.self_pay.values())
        assert self.owed == self.rated


def figures_of(home):
    """Figures of a home that may or may not be served at the moment."""

    async def read():
        database = Database(home.place(load_settings(home.settings_file)))
        try:
            return await figures(database, load_catalog(home.config))
        finally:
            await database.close()

    return asyncio.run(read())


class ThreadedService:
    """The service of a home on a real port, in a thread of this process."""

    def __init__(self, home):
        self._home = home
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._stack = contextlib.AsyncExitStack()

    def __enter__(self):
        self._thread.start()
        self.call(self._open())
        return self

    def __exit__(self, *_):
        self.call(self._stack.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _open(self):
        self.service = await self._stack.enter_async_context(open_service(self._home, PASSPHRASE))
        await self._stack.enter_async_context(serving(self.service, listen(self.service, None, 0)))
        self.url = self.service.settings.url

    def call(self, coroutine):
        """Run a coroutine beside the service."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    def figures(self):
        return self.call(figures(self.service.database, self.service.catalog))


_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tests.suanquan.harness", "suanquan.cli.app", "suanquan.demo"])


def spawn(function, *arguments, **options):
    """Call a function in a process of its own, forked from one that has loaded our modules: that takes milliseconds."""
    process = _processes.Process(target=function, args=arguments, kwargs=options)
    process.start()
    return process


def command(arguments, log):
    """Be the command line; what it prints goes to a file."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.argv = ["suanquan", *arguments]
    cli.main()


class ProcessService:
    """The service of a home in a process of its own, started by the command line, to be signalled and killed."""

    def __init__(self, installation, log=os.devnull):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._arguments = [
            *("serve", "--home", str(installation.home.path), "--port", str(self.port)),
            *("--passphrase-file", str(installation.passphrase_file)),
        ]
        self._log = str(log)

    def start(self, *, standing_by=False):
        """Start the process and, unless it has to stand by, wait until it answers."""
        self.process = spawn(command, self._arguments, self._log)
        deadline = time.monotonic() + 90
        while not standing_by and not self.answers():
            assert self.process.is_alive(), "the service did not start"
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def answers(self):
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        return False

    def kill(self):
        """End the process at once, as a power cut does."""
        self.process.kill()
        self.process.join()

    def stop(self):
        """Ask the process to end; its exit status."""
        os.kill(self.process.pid, signal.SIGTERM)
        self.process.join(30)
        return self.process.exitcode

    def resident_bytes(self):
        """Memory of the process, now and at its highest."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8").splitlines()
        sizes = dict(line.split(":", 1) for line in lines)
        return tuple(int(sizes[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        if self.process.is_alive():
            self.stop()


@dataclass(frozen=True)
class Answer:
    """What came back: status, headers by lower-case name, and the JSON body."""

    status: int
    headers: dict
    content: object

    @property
    def statuses(self):
        return [result["status"] for result in self.content["results"]]


@dataclass
class Agent:
    """A centre's agent that signs whatever it is told to say, true or not."""

    url: str
    centre: str = "sj01"
    name: str = "test"

    @property
    def source(self):
        return f"urn:centre:{self.centre}:agent:{self.name}"

    @property
    def key(self):
        return AgentKey(KEYS[self.centre], PublicKey.of(KEYS[self.centre]).kid)

    def sign(self, body, **changes):
        """Headers of a report; `changes` are arguments of `metering.signature.sign`."""
        arguments = {
            "key": self.key.private,
            "keyid": self.key.kid,
            "method": "POST",
            "target_uri": f"{self.url}/v1/usage",
            "content_type": BATCH,
            "body_sha256": hashlib.sha256(body).digest(),
            "idempotency_key": secrets.token_hex(16),
            "created_s": int(time.time()),
            "nonce": secrets.token_urlsafe(24),
        } | changes
        return sign(arguments.pop("key"), arguments.pop("keyid"), **arguments)

    def report(self, *events, **changes):
        """Send events, honestly signed unless `changes` say otherwise."""
        body = json.dumps(events).encode()
        return self.send(body, self.sign(body, **changes))

    def report_records(self, records, **changes):
        """Send usage records in the agent's own encoding."""
        body = batch_body(number_event(encode_event(r, self.source), n) for n, r in enumerate(records, 1))
        return self.send(body, self.sign(body, **changes))

    def send(self, body, headers):
        return request(self.url, "POST", "/v1/usage", body, headers)

    def event(self, number, **changes):
        """An event like any other of this agent; `changes` go to its data where there is such a member."""
        data = {
            "job": str(number),
            "attempt": 0,
            "start": "2025-03-01T12:00:00Z",
            "end": "2025-03-01T13:00:00Z",
            "active_s": 3600,
            "accelerators": [{"model": "A100", "count_milli": 1000}],
            "state": "COMPLETED",
            "final": True,
        }
        event = {
            "specversion": "1.0",
            "type": "cn.suanquan.usage.interval.v1",
            "source": self.source,
            "id": f"{self.centre}:{number:06d}",
            "time": "2025-03-01T13:00:02Z",
            "subject": "alone",
            "sequence": f"{number:018d}",
        }
        event |= {name: value for name, value in changes.items() if name not in data}
        return event | {"data": data | {name: value for name, value in changes.items() if name in data}}


def request(url, method, path, body=None, headers=()):
    """One request on a connection of its own."""
    host, port = url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    try:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused early; the answer is there to read
            connection.request(method, path, body, dict(headers))
        with connection.getresponse() as response:
            data = response.read()
            found = {name.lower(): value for name, value in response.getheaders()}
        content = json.loads(data) if "json" in found.get("content-type", "") and data else data
        return Answer(response.status, found, content)
    finally:
        connection.close()


def assert_problem(answer, status, code):
    """A refusal as documented: RFC 9457, a Chinese title, an English detail, a stable code and the request's id."""
    assert (answer.status, answer.content["code"]) == (status, code), answer
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.content["status"] == status
    assert CHINESE.search(answer.content["title"])
    assert not CHINESE.search(answer.content["detail"])
    assert answer.content["request_id"] == answer.headers["x-request-id"]


def usage(number, **changes):
    """A usage record like any other: one A100 for an hour, 12 yuan; the number makes it this one."""
    cards = changes.pop("cards_milli", 1000)
    model = changes.pop("model", "A100")
    fields = {
        "id": f"sj01:{number:09d}",
        "account": "alone",
        "job": str(number),
        "attempt": 0,
        "start_us": NOON_US,
        "end_us": NOON_US + HOUR_MS * 1000,
        "active_ms": HOUR_MS,
        "accelerators": (Accelerator(model, cards),),
        "state": "COMPLETED",
    }
    return UsageRecord(**fields | changes)


A100_HOUR = 12 * 10**CNY.scale
"""Units of CNY that an hour of an A100 costs in the sandbox."""
