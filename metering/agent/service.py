"""The agent's commands without a command line: run until told to stop, and what the status is."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

from metering.agent.collectors import Collection, make_collectors
from metering.agent.config import load_config
from metering.agent.daemon import run
from metering.agent.health import HealthServer
from metering.agent.keys import create_key, next_path
from metering.agent.receipts import receipt_verifier
from metering.agent.telemetry import Observer
from metering.agent.view import SpoolView


def serve(path: Path) -> None:
    """Work by a configuration until SIGINT or SIGTERM.

    Raises:
        MeteringError: key, spool or configuration cannot be used.

    """
    config = load_config(path)
    collection = Collection(make_collectors(config, path.parent))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with contextlib.ExitStack() as stack:
        if config.listen is not None:
            stack.enter_context(HealthServer(config.listen, config.spool, config.spool_bytes_max))
        observer = Observer(config, path.parent)
        run(config, collection, receipt_verifier(config.base_url), stop, watch=observer)


def status_of(path: Path) -> dict[str, Any]:
    """The spool of a configuration at a glance.

    Raises:
        MeteringError: no such configuration, or no spool yet.

    """
    with SpoolView(load_config(path).spool) as view:
        return asdict(view.status())


def make_next_key(path: Path) -> dict[str, str]:
    """Make the key that is to follow the one in use; the agent goes over to it once the service knows it.

    Raises:
        MeteringError: one is waiting already.

    """
    config = load_config(path)
    return create_key(next_path(config.key_file), config.centre)
