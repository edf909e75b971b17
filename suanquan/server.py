"""Run the service: one event loop, one writer, uvicorn with our own limits; a stop signal finishes what was accepted."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import json
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from typing import Any

import structlog
import uvicorn
from starlette.types import ASGIApp
from structlog.typing import Processor

from ledger.errors import Kind
from suanquan.errors import ServiceError
from suanquan.home import Home
from suanquan.http.app import create_app
from suanquan.http.limits import CONCURRENCY_MAX, GuardedProtocol
from suanquan.jobs import running_jobs
from suanquan.leader import holding, stand_by
from suanquan.service import Service, open_service
from suanquan.streaming.consumer import consuming
from suanquan.visible import visible

if sys.platform != "win32":
    import uvloop

SWITCH_SECONDS = 0.0005
BACKLOG = 512
SWEEP_SECONDS = 20
STOP_SECONDS = 20
"""How long a stop waits for requests under way; batches take at most a second."""


def run(home: Home, passphrase: bytes, *, host: str | None = None, port: int | None = None) -> None:
    """Serve a home until a signal says stop; beside a process that serves the same database, stand by first."""
    configure_logging()

    async def main() -> None:
        stopping = asyncio.Event()
        on_signals(lambda _: stopping.set())
        async with open_service(home, passphrase) as service:
            await service.check_history()
            listener = take_address(service, host, port)
            held = await stand_by(service.database, stopping)
            if held is None:
                listener.close()
                return
            service.journal.fences = [held.fence]
            await service.check_registers()
            listener.listen(BACKLOG)
            running = server(service)
            structlog.get_logger("suanquan").info("listening", url=service.settings.url, home=str(home.path))
            on_signals(lambda number: running.handle_exit(number, None))
            lost = functools.partial(running.handle_exit, signal.SIGTERM, None)
            async with holding(service.database, held, lost), running_jobs(service), consuming(service):
                await running.serve(sockets=[listener])

    run_loop(main())


def on_signals(stop: Callable[[int], None]) -> None:
    """Have signals that say stop do this, in the running loop."""
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop, number)


def run_loop(main: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine on the fastest loop there is."""
    # Batches make tens of thousands of short-lived objects: at Python's default threshold of 700 the collector walks
    # them hundreds of times and takes a third of the time (measured: 19,000 postings/s against 27,000; at 50,000 still
    # 2.5 µs of the 7 µs that a transfer takes to be applied).
    gc.collect()
    gc.freeze()
    gc.set_threshold(300_000, 50, 1000)
    # The database's thread waits for the interpreter between two statements, by default 5 ms while a batch is decoded.
    sys.setswitchinterval(SWITCH_SECONDS)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_swept(main))


async def _swept(main: Coroutine[Any, Any, Any]) -> Any:
    """Collect what requests leave in cycles also when they are few: at that threshold 40 MB of it come together first."""
    sweeping = asyncio.create_task(_sweep())
    try:
        return await main
    finally:
        sweeping.cancel()


async def _sweep() -> None:
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        gc.collect(1)  # not what has outlived two sweeps: the caches


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    return None if sys.platform == "win32" else uvloop.new_event_loop


def listen(service: Service, host: str | None, port: int | None) -> socket.socket:
    """Take the address: from here on nobody is turned away, and the first request waits for the application.

    Raises:
        ServiceError: `address-taken`.

    """
    listener = take_address(service, host, port)
    listener.listen(BACKLOG)
    return listener


def take_address(service: Service, host: str | None, port: int | None) -> socket.socket:
    """Take the address without letting anybody connect yet; `service.settings` say the port that was given where any was asked for.

    Raises:
        ServiceError: `address-taken`.

    """
    settings = service.settings
    address = host or settings.host
    listener = bind(address, settings.port if port is None else port)
    service.settings = settings.model_copy(update={"host": address, "port": listener.getsockname()[1]})
    return listener


def bind(host: str, port: int) -> socket.socket:
    """Take an address, without letting anybody connect yet.

    Raises:
        ServiceError: `address-taken`.

    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as fault:
        listener.close()
        raise ServiceError(
            "address-taken",
            f"无法监听 {host}:{port}（{fault.strerror}）；请换 --port",
            f"cannot listen on {host}:{port} ({fault.strerror}); choose another --port",
            kind=Kind.UNAVAILABLE,
        ) from fault
    return listener


class _Server(uvicorn.Server):
    """A server that leaves signals to the program around it: uvicorn's own would end the process before the books close."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take no signal."""
        yield


def server(service: Service) -> uvicorn.Server:
    """The HTTP server of a service."""
    return http_server(create_app(service))


def http_server(app: ASGIApp) -> uvicorn.Server:
    """A server with our own limits, which leaves signals to the program around it."""
    return _Server(
        uvicorn.Config(
            app,
            http=GuardedProtocol,
            ws="none",
            lifespan="off",
            access_log=False,
            proxy_headers=False,  # whom a request comes from is its signature, session or token; our address is `public_url`
            log_config=None,
            server_header=False,
            backlog=BACKLOG,
            limit_concurrency=4 * CONCURRENCY_MAX,
            timeout_keep_alive=10,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
    )


@contextlib.asynccontextmanager
async def serving(service: Service, listener: socket.socket) -> AsyncIterator[None]:
    """Serve in the background of this loop; on leaving, stop gracefully."""
    running = server(service)
    task = asyncio.create_task(running.serve(sockets=[listener]))
    try:
        while not running.started:
            if task.done():
                await task
            await asyncio.sleep(0.01)
        yield
    finally:
        running.should_exit = True
        await task


def configure_logging(level: int = logging.INFO) -> None:
    """JSON lines on stderr, warnings of libraries among them: one line each, whatever they hold."""
    marks: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    line = structlog.processors.JSONRenderer(serializer=_line)
    of_libraries = logging.StreamHandler(sys.stderr)
    of_libraries.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=marks, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, line]
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[of_libraries])
    structlog.configure(
        processors=[*marks, line],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )


def _line(entry: Mapping[str, Any], **options: Any) -> str:
    """An entry of the log as JSON, in which every control is written out."""
    return visible(json.dumps(entry, ensure_ascii=False, **options))
