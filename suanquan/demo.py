"""The demo: the whole chain on an embedded database, with real signatures over real HTTP.

A sandbox home, vouchers from the sandbox scheme, a centre's agent that reads a scheduler's output and reports it to the
running service, debits, self-pay and receipts. The same home can be played again: nothing is counted twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import signal
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from ledger.amount import CNY, format_units
from ledger.ed25519 import PublicKey
from ledger.errors import Kind
from ledger.jws import verify as verify_jws
from metering import store as metering_store
from metering.agent.client import UsageClient
from metering.agent.daemon import Sender
from metering.agent.keys import AgentKey, create_key, load_key
from metering.agent.spool import Spool
from metering.model import UsageRecord
from metering.rating import rate_one
from metering.sources import read
from metering.sources.faults import Skipped
from metering.sources.options import SourceOptions
from suanquan import demo_scene
from suanquan.clock import ClockNs, shanghai_day
from suanquan.db.database import Database
from suanquan.db.place import Place
from suanquan.db.tokens import create_token
from suanquan.demo_scene import PastClock, begun, first_day
from suanquan.errors import ServiceError
from suanquan.home import Home, packaged_config, read_passphrase, write_secret
from suanquan.jobs import running_jobs
from suanquan.server import configure_logging, listen, run_loop, serving
from suanquan.service import Service, open_service
from suanquan.settings import Settings, load_settings
from suanquan.use_cases import setup
from suanquan.use_cases.first_account import CENTRE, COMPANY, READY, make_ready
from suanquan.use_cases.ingest import RECEIPT_TYPE
from suanquan.use_cases.overview import overview
from suanquan.use_cases.public_keys import parse_jwks
from voucher import store as voucher_store
from voucher.holder import sandbox_uscc
from voucher.issuance import IssueRequest

COVERED_PERCENT = 60
"""How much of each account's usage the demo's vouchers cover, so that self-pay shows, too."""
FEN = 10_000
SEND_FAILURES_MAX = 8
STATUSES = ("accepted", "duplicate", "conflict", "rejected", "held")


@dataclass(frozen=True, slots=True)
class Demo:
    """What to play: the built-in sample, or a usage file of one's own."""

    home: Home
    port: int
    trace: Path | None = None
    options: SourceOptions | None = None


@dataclass(slots=True)
class Centre:
    """One computing centre of the demo: its records and what became of them."""

    id: str
    name: str
    records: list[UsageRecord]
    sample: bool = False
    """Whether its records are the built-in ones, beside which the demo's other scenes are played."""
    results: Counter[str] = field(default_factory=Counter)


def run(demo: Demo, *, stay: bool, announce: Callable[[str], None], show: Callable[[dict[str, Any]], None]) -> None:
    """Play the demo and show its summary; then stay up until stopped, if asked to. `announce` tells what goes on."""
    configure_logging(logging.WARNING)
    centres = _centres(demo)
    clock = PastClock(demo.home.sandbox_clock)
    tells = demo.trace is None and not begun(demo.home)
    if tells:
        clock.go_to(first_day(shanghai_day(clock())))
    _prepare_home(demo.home, clock)
    run_loop(_play(demo, centres, clock if tells else None, stay=stay, announce=announce, show=show))


def _prepare_home(home: Home, clock: ClockNs) -> None:
    """A sandbox home with its own passphrase and token files; one that was cut short is completed.

    Raises:
        ServiceError: `home-not-demo`: somebody else's home, or one that is no sandbox (any more).

    """
    ours = (home.path / "demo-passphrase").exists()
    if home.settings_file.exists() and not (ours and load_settings(home.settings_file).sandbox):
        raise ServiceError(
            "home-not-demo",
            f"{home.path} 不是演示目录，请换 --home",
            f"{home.path} is no demo home; choose another --home",
            kind=Kind.CONFLICT,
        )
    home.create_folder()
    passphrase = home.path / "demo-passphrase"
    if not passphrase.exists():
        write_secret(passphrase, secrets.token_urlsafe(24).encode())
    settings = Settings(issuer="urn:suanquan:sandbox", sandbox=True)
    if not home.settings_file.exists():
        write_secret(
            home.path / "demo-token", setup.initialise(home, settings, read_passphrase(passphrase), clock).encode()
        )
    if not (home.path / "demo-token").exists():
        place = home.place(load_settings(home.settings_file))
        write_secret(home.path / "demo-token", asyncio.run(_new_token(place)).encode())


async def _new_token(place: Place) -> str:
    database = Database(place)
    try:
        async with database.write() as connection:
            return await create_token(connection, setup.ADMINISTRATOR, setup.FIRST, 0)
    finally:
        await database.close()


def _centres(demo: Demo) -> list[Centre]:
    if demo.trace is None or demo.options is None:
        samples = packaged_config() / "demo"
        return [
            Centre(
                "sj01",
                "松江智算中心（沙箱）",
                _read(samples / "sj01.sacct.txt", SourceOptions("sacct", timezone="UTC")),
                sample=True,
            ),
            Centre(
                "sj02",
                "松江昇腾中心（沙箱）",
                _read(samples / "sj02.sacct.txt", SourceOptions("sacct", timezone="Asia/Shanghai")),
                sample=True,
            ),
        ]
    stem = demo.trace.name.partition(".")[0].lower()
    name = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in stem)[:24].strip("-")
    return [Centre(f"demo-{name or 'trace'}", demo.trace.name, _read(demo.trace, demo.options))]


def _read(path: Path, options: SourceOptions) -> list[UsageRecord]:
    try:
        with path.open("rb") as stream:
            return [item for item in read(path.name, stream, options) if not isinstance(item, Skipped)]
    except OSError as fault:
        raise ServiceError(
            "file-unreadable", f"读不到 {path}", f"cannot read {path}: {fault.strerror}", kind=Kind.NOT_FOUND
        ) from fault


async def _play(
    demo: Demo,
    centres: list[Centre],
    clock: PastClock | None,
    *,
    stay: bool,
    announce: Callable[[str], None],
    show: Callable[[dict[str, Any]], None],
) -> None:
    async with open_service(demo.home, read_passphrase(demo.home.path / "demo-passphrase"), clock) as service:
        listener = listen(service, None, 0 if not stay else demo.port)
        async with serving(service, listener):
            announce(f"服务已启动 / service is up: {service.settings.url}/")
            stop = threading.Event()
            with _stopping(stop) as stopped:
                if clock is not None:
                    await play_scene(service, clock, stop)
                password = await _ready(service)
                async with running_jobs(service):
                    for centre in centres:
                        await _play_centre(service, centre, stop)
                    show(await _summary(service, centres))
                    if stay:
                        announce(_addresses(service, demo.home, password))
                        await stopped.wait()


@contextlib.contextmanager
def _stopping(stop: threading.Event) -> Iterator[asyncio.Event]:
    """Ctrl-C and SIGTERM stop the agent between two batches and end the demo."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end() -> None:
        stop.set()
        stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end)
    try:
        yield stopped
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def _ready(service: Service) -> str:
    """The demo's ready accounts, made on the first run; their one password, which a file of the home keeps."""
    file = service.home.path / "demo-password"
    if not file.exists():
        password = secrets.token_urlsafe(12)
        await make_ready(service.access, password)
        write_secret(file, password.encode())
    return file.read_text()


def _addresses(service: Service, home: Home, password: str) -> str:
    url = service.settings.url
    token = (home.path / "demo-token").read_text()
    return (
        f"首页 page      {url}/\n指标 metrics   {url}/metrics\n接口 API       {url}/docs\n"
        f"令牌 token     {token}   （沙箱 sandbox only）\n"
        f"账号 accounts  {'、'.join((setup.FIRST, *READY))}\n口令 password  {password}   （沙箱 sandbox only）\n按 Ctrl-C 结束 / press Ctrl-C to end"
    )


async def play_scene(service: Service, clock: PastClock, stop: threading.Event) -> None:
    """Play what went on in the months before today, at its days; the clock is at the first of them."""
    centre = Centre(CENTRE, demo_scene.NAME, [])
    key = _agent_key(service.home, centre.id)

    async def report(records: list[UsageRecord]) -> None:
        centre.records = records
        await _send(service, centre, key, stop)

    await _register(service, centre, demo_scene.CARDS, key)
    await demo_scene.people(service)
    await demo_scene.play(demo_scene.Scene(service, clock, demo_scene.Agent(report, key)))


async def _play_centre(service: Service, centre: Centre, stop: threading.Event) -> None:
    """Register the centre, give its accounts vouchers, and let its agent report over HTTP."""
    known = service.catalog.accelerators  # cards it does not know are no capacity; their usage is held
    cards = {word: n for word, n in _capacity(centre.records).items() if known.resolve(word, service.now_us)}
    key = _agent_key(service.home, centre.id)
    await _register(service, centre, cards, key)
    await _issue(service, centre)
    await _send(service, centre, key, stop)


async def _register(service: Service, centre: Centre, cards: dict[str, int], key: AgentKey) -> None:
    await setup.register_centre(service.journal, service.catalog, centre.id, centre.name, cards)
    await setup.register_agent_key(service.journal, centre.id, PublicKey.of(key.private))


async def _send(service: Service, centre: Centre, key: AgentKey, stop: threading.Event) -> None:
    await asyncio.to_thread(_report, service.settings.url, service.home, centre, key, stop)
    if stop.is_set():
        raise KeyboardInterrupt


def _capacity(records: list[UsageRecord]) -> dict[str, int]:
    """Cards a centre declares: the most that its records ever use at once, by model, in whole cards."""
    changes: dict[str, list[tuple[int, int]]] = {}
    for record in records:
        for part in record.accelerators:
            changes.setdefault(part.model, []).extend(
                ((record.start_us, part.count_milli), (record.end_us, -part.count_milli))
            )
    peaks: dict[str, int] = {}
    for model, steps in changes.items():
        level = peak = 0
        for _, change in sorted(steps):
            level += change
            peak = max(peak, level)
        peaks[model] = -(-peak // 1000)
    return {model: peak for model, peak in peaks.items() if peak}


def _agent_key(home: Home, centre: str) -> AgentKey:
    path = home.path / "agent" / f"{centre}.pem"
    path.parent.mkdir(exist_ok=True, mode=0o700)
    if not path.exists():
        create_key(path)
    return load_key(path)


async def _issue(service: Service, centre: Centre) -> None:
    """One voucher for each account, over part of what its usage costs. The same records give the same vouchers.

    The busiest account of a trace is that of the ready company, which otherwise has its part in what went on before.
    """
    scheme = next(scheme for scheme in service.catalog.schemes.values() if "sandbox" in scheme.id)
    terms = scheme.terms_in(CNY.code)
    assert terms is not None, "the sandbox issues yuan"
    costs = sorted(_costs(service, centre).items())
    busiest = "" if centre.sample else max(costs, key=lambda pair: pair[1], default=("", 0))[0]
    for account, cost in costs:
        made_up = sandbox_uscc(int.from_bytes(sha256(f"{centre.id}/{account}".encode()).digest()[:3]))
        holder = COMPANY if account == busiest else made_up
        await setup.bind_account(service.journal, centre.id, account, holder)
        face = min(max(cost * COVERED_PERCENT // 100 // FEN * FEN, terms.min_units), terms.max_units)
        amount = format_units(face, CNY)
        await service.issue(scheme.id, IssueRequest(holder, CNY.code, amount), f"demo/{centre.id}/{account}/{amount}")


def _costs(service: Service, centre: Centre) -> dict[str, int]:
    """What each account's records will cost, in units of CNY, at the sandbox's prices."""
    tariffs = service.catalog.tariffs(centre.id)
    costs: dict[str, int] = {}
    for record in centre.records:
        costs[record.account] = costs.get(record.account, 0) + rate_one(record, tariffs)
    return costs


def _report(url: str, home: Home, centre: Centre, key: AgentKey, stop: threading.Event) -> None:
    """The centre's agent: spool, sign, send until every record has an answer and a receipt that holds."""
    source = f"urn:centre:{centre.id}:agent:demo"
    console = Console(stderr=True)
    with (
        Spool(home.path / "agent" / f"{centre.id}.spool", source) as spool,
        UsageClient(url, source, key, lambda token: verify_jws(token, _service_keys(url), RECEIPT_TYPE)) as client,
        Progress(console=console, disable=not console.is_terminal) as progress,
    ):
        spool.append(centre.records, again=True)
        task = progress.add_task(f"{centre.id} 上报 reporting", total=spool.status().unsent)
        sender = Sender(spool, client)
        failures = 0
        while not stop.is_set() and (step := sender.step()):
            reply, delay_s = step
            centre.results.update(result.status for result in reply.results)
            progress.update(task, completed=sum(centre.results.values()))
            failures = 0 if reply.results else failures + 1
            if failures > SEND_FAILURES_MAX:
                raise ServiceError("agent-failed", f"上报未被接受：{reply.detail}", f"reporting failed: {reply.detail}")
            stop.wait(delay_s)


def _service_keys(url: str) -> dict[str, PublicKey]:
    address = f"{url}/.well-known/jwks.json"
    with urllib.request.urlopen(address, timeout=10) as response:  # noqa: S310 -- our own address
        return parse_jwks(response.read(), address)


async def _summary(service: Service, centres: list[Centre]) -> dict[str, Any]:
    """Figures of the demo's centres as the ledger has them, and what the agent was told in this run."""
    ids = {centre.id for centre in centres}
    async with service.database.read() as connection:
        figures = await overview(connection, service.catalog)
        usage = [row for row in await metering_store.usage_by(connection, "centre", "account") if row["centre"] in ids]
        issued = await voucher_store.issued_to_accounts(connection, ids, CNY.number)
    ours = [centre for centre in figures.centres if centre.centre in ids]
    rated, self_pay = sum(centre.yuan for centre in ours), sum(centre.self_pay for centre in ours)
    debited = sum(units for _, centre, units in figures.redeemed if centre in ids)
    told: Counter[str] = sum((centre.results for centre in centres), Counter())
    by_account: Counter[str] = Counter()
    for row in usage:
        by_account[row["account"]] += row["gpu_ms"]
    return {
        "issued_yuan": format_units(issued, CNY),
        "records": sum(row["records"] for row in usage),
        "gpu_ms": sum(row["gpu_ms"] for row in usage),
        "rated_yuan": format_units(rated, CNY),
        "debited_yuan": format_units(debited, CNY),
        "self_pay_yuan": format_units(self_pay, CNY),
        "statuses": {status: told[status] for status in STATUSES},
        "utilisation": {
            centre.centre: f"{centre.total_gpu_ms * 10_000 // centre.capacity_gpu_ms / 100:.2f}%"
            for centre in ours
            if centre.capacity_gpu_ms
        },
        "log": {"size": figures.head.size, "root": figures.head.root.hex()},
        "by_account": dict(sorted(by_account.items())),
    }
