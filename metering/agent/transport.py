"""How an agent reaches the service: over HTTP or, where its configuration has a table `[nats]`, through a stream."""

from __future__ import annotations

from contextlib import AbstractContextManager
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, cast

from metering.agent.client import Transport, UsageClient, VerifyReceipt
from metering.agent.keys import AgentKey
from metering.errors import MeteringError

if TYPE_CHECKING:
    from metering.agent.config import AgentConfig

_NATS = EntryPoint("nats", "metering.agent.nats_client:NatsClient", "suanquan.transports")
"""Loaded where it is asked for: the light agent needs no library of NATS."""


def make_transport(
    config: AgentConfig, key: AgentKey, verify_receipt: VerifyReceipt
) -> AbstractContextManager[Transport]:
    """The transport of a configuration.

    Raises:
        MeteringError: `library-missing`.

    """
    if config.nats is None:
        return UsageClient(config.base_url, config.source, key, verify_receipt)
    try:
        make = _NATS.load()
    except ImportError as fault:
        raise MeteringError(
            "library-missing",
            f"[nats] 需要 nats-py：{fault}；请安装 nats-py",
            f"[nats] needs nats-py: {fault}; install nats-py",
        ) from fault
    made = make(config.nats, config.base_url, config.source, key, verify_receipt)
    return cast("AbstractContextManager[Transport]", made)
