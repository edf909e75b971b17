"""`suanquan agent`: the centre's side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.errors import DomainError
from suanquan.cli.options import JsonOption
from suanquan.cli.output import emit, note
from suanquan.cli.sources import source_options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ledger.ed25519 import PublicKey
    from metering.agent.config import AgentConfig
    from metering.model import UsageRecord

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

ConfigOption = Annotated[Path, typer.Option("--config", help="代理设置（TOML）/ the agent's settings")]
UsageFile = Annotated[Path, typer.Argument(help="用量文件，可为 .gz / usage file")]
Source = Annotated[str, typer.Option(help="sacct、csv 或/or gauge-csv")]
Mapped = Annotated[list[str] | None, typer.Option("--map", help="字段=列 / field=column")]
Constants = Annotated[list[str] | None, typer.Option("--set", help="字段=值 / field=value")]
Zone = Annotated[str | None, typer.Option(help="无时区时间的时区 / zone of naive times")]
Delimiter = Annotated[str | None, typer.Option(help="分隔符 / delimiter")]
Columns = Annotated[str | None, typer.Option("--format", help="无表头文件的列 / columns of a file without header")]
Step = Annotated[str | None, typer.Option(help="gauge-csv 每行时长，如 60s / how long a level holds")]
RECEIPT_TYPE = "usage-receipt+jwt"
JWKS_BYTES_MAX = 1 << 20
RETRIES = 5
"""Half a minute at most: whoever sends by hand is waiting, and what was not delivered stays in the spool."""


@app.command()
def collect(
    path: UsageFile,
    source: Source,
    map_: Mapped = None,
    set_: Constants = None,
    timezone: Zone = None,
    delimiter: Delimiter = None,
    format_: Columns = None,
    step: Step = None,
    json: JsonOption = False,
) -> None:
    """读取并汇总，不发送、不保存。Read and add up; send and store nothing."""
    from metering.sources import read
    from metering.summary import Summary

    options = source_options(source, map_, set_, timezone, delimiter, format_, step)
    summary = Summary(options.timezone)
    with path.open("rb") as stream:
        for item in read(path.name, stream, options):
            summary.add(item)
    emit(summary.as_json(), as_json=json)


@app.command()
def keygen(
    file: Annotated[Path, typer.Argument(help="私钥文件，新建，0600 / private key file, created")],
    json: JsonOption = False,  # noqa: ARG001 -- taken like everywhere; a JWK is JSON in any case
) -> None:
    """生成代理密钥，输出公钥。Make the agent's key; print its public half."""
    from metering.agent.keys import create_key

    emit(create_key(file), as_json=True)
    note("请把以上公钥交给主管部门登记。Have this public key registered: suanquan centre key CENTRE FILE")


@app.command()
def send(
    config: ConfigOption,
    path: UsageFile,
    source: Source,
    map_: Mapped = None,
    set_: Constants = None,
    timezone: Zone = None,
    delimiter: Delimiter = None,
    format_: Columns = None,
    step: Step = None,
    json: JsonOption = False,
) -> None:
    """把一个文件存入暂存并发送至收到回执。Spool one file and send until there is a receipt for all of it."""
    from metering.agent.config import load_config
    from metering.sources import read
    from metering.sources.faults import Skipped

    options = source_options(source, map_, set_, timezone, delimiter, format_, step)
    with path.open("rb") as stream:
        records = (item for item in read(path.name, stream, options) if not isinstance(item, Skipped))
        sent = _send(load_config(config), records)
    emit(sent, as_json=json)
    if sent["unsent"] or sent["parked"]:
        raise typer.Exit(7)


def _send(config: AgentConfig, records: Iterable[UsageRecord]) -> dict[str, Any]:
    import threading
    from collections import Counter

    from metering.agent.client import UsageClient
    from metering.agent.daemon import Sender
    from metering.agent.keys import load_key
    from metering.agent.spool import Spool

    with (
        Spool(config.spool, config.source, bytes_max=config.spool_bytes_max) as spool,
        UsageClient(config.base_url, config.source, load_key(config.key_file), _receipts(config)) as client,
    ):
        before = Counter(outcome.status for outcome in spool.outcomes())
        stored = spool.append(records)
        reply = Sender(spool, client).send_all(threading.Event(), failures_max=RETRIES)
        status = spool.status()
        others = Counter(outcome.status for outcome in spool.outcomes()) - before
    if reply is not None:
        note(f"未能送达：{reply.detail}；记录已在暂存中，请稍后再次运行")
        note(f"not delivered: {reply.detail}; the records are in the spool, run this again later")
    return {"spooled": stored, "unsent": status.unsent, "parked": status.parked_batches, "not_accepted": dict(others)}


def _receipts(config: AgentConfig) -> Callable[[str], Mapping[str, object]]:
    """Verifier of receipts under the keys that the service publishes; they are fetched anew for one under another key."""
    from ledger.jws import verify

    keys: dict[str, PublicKey] = {}

    def check(token: str) -> Mapping[str, object]:
        try:
            return verify(token, keys, RECEIPT_TYPE)
        except DomainError:
            keys.update(_published_keys(f"{config.base_url.rstrip('/')}/.well-known/jwks.json"))
        return verify(token, keys, RECEIPT_TYPE)

    return check


def _published_keys(address: str) -> dict[str, PublicKey]:
    import http.client
    import urllib.request

    from suanquan.use_cases.public_keys import parse_jwks

    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # reports take no proxy either
    try:
        with direct.open(address, timeout=30) as response:
            data = response.read(JWKS_BYTES_MAX)
    except (OSError, http.client.HTTPException) as fault:
        raise DomainError(
            "keys-unreachable", f"读不到 {address}：{fault}", f"cannot read {address}: {fault}"
        ) from fault
    return parse_jwks(data, address)


@app.command()
def run(config: ConfigOption) -> None:
    """守护运行：按间隔采集 [collect] 所列文件并上报。Collect the files of [collect] at every interval and report them."""
    import logging
    import signal
    import threading

    from metering.agent.config import load_config
    from metering.agent.daemon import run as work

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    settings = load_config(config)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    work(settings, lambda: _collected(settings), _receipts(settings), stop)


def _collected(config: AgentConfig) -> Iterable[UsageRecord]:
    """Closed records of every file that [collect] names; it holds the options of `agent collect`."""
    from metering.sources import read
    from metering.sources.faults import Skipped

    table = config.collect
    options = source_options(
        str(table.get("source", "sacct")),
        [f"{name}={value}" for name, value in table.get("map", {}).items()],
        [f"{name}={value}" for name, value in table.get("set", {}).items()],
        table.get("timezone"),
        table.get("delimiter"),
        table.get("format"),
        table.get("step"),
    )
    for name in table.get("paths", ()):
        with Path(name).open("rb") as stream:
            yield from (item for item in read(Path(name).name, stream, options) if not isinstance(item, Skipped))


@app.command()
def status(config: ConfigOption, json: JsonOption = False) -> None:
    """暂存与最后回执。The spool and the last receipt."""
    from dataclasses import asdict

    from metering.agent.config import load_config
    from metering.agent.view import SpoolView

    with SpoolView(load_config(config).spool) as view:
        emit(asdict(view.status()), as_json=json)
