"""`suanquan agent`: the centre's side."""

from __future__ import annotations

import re
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from suanquan.cli.options import JsonOption
from suanquan.cli.output import emit, note
from suanquan.cli.sources import source_options

if TYPE_CHECKING:
    from collections.abc import Iterable

    from metering.agent.config import AgentConfig
    from metering.model import UsageRecord

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

ConfigOption = Annotated[Path, typer.Option("--config", help="代理设置（TOML）/ the agent's settings")]
UsageFile = Annotated[Path, typer.Argument(help="用量文件，可为 .gz / usage file")]
Source = Annotated[str, typer.Option(help="sacct csv gauge-csv cloudevents apel prometheus kubernetes 等/…")]
Mapped = Annotated[list[str] | None, typer.Option("--map", help="字段=列 / field=column")]
Constants = Annotated[list[str] | None, typer.Option("--set", help="字段=值 / field=value")]
Zone = Annotated[str | None, typer.Option(help="无时区时间的时区 / zone of naive times")]
Delimiter = Annotated[str | None, typer.Option(help="分隔符 / delimiter")]
Columns = Annotated[str | None, typer.Option("--format", help="无表头文件的列 / columns of a file without header")]
Step = Annotated[str | None, typer.Option(help="gauge-csv、prometheus 每行时长，如 60s / how long a level holds")]
MeantFor = Annotated[str, typer.Option("--centre", help="只在该中心登记有效 / the proof holds at this centre alone")]
SKIPS_SHOWN = 20
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
    report: Annotated[
        Path | None, typer.Option(help="把每个跳过的行写入此文件（JSON 行）/ every skipped line, as JSON lines")
    ] = None,
    json: JsonOption = False,
) -> None:
    """读取并汇总，不发送、不保存。Read and add up; send and store nothing."""
    from metering.sources import read
    from metering.summary import Summary

    options = source_options(source, map_, set_, timezone, delimiter, format_, step)
    summary = Summary(options.timezone)
    with path.open("rb") as stream, _Skips(report) as skips:
        for item in read(path.name, stream, options):
            summary.add(item)
            skips.note(item)
    emit(summary.as_json(), as_json=json)


class _Skips:
    """Says on stderr which lines were skipped and why, the first few of them; all of them into a file where one is named."""

    def __init__(self, report: Path | None) -> None:
        self._file = report.open("w", encoding="utf-8") if report else None
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()
        if self._count > SKIPS_SHOWN:
            note(f"… 共 {self._count} 行，--report 文件 可得全部 / {self._count} in all: --report FILE lists them")

    def note(self, item: object) -> None:
        """Take note of an item of a source; a record is none of our business."""
        from dataclasses import asdict

        from metering.agent.collectors import NO_USAGE
        from metering.sources.faults import Skipped

        if not isinstance(item, Skipped) or item.reason in NO_USAGE:
            return
        self._count += 1
        if self._count <= SKIPS_SHOWN:
            note(f"{item.file}:{item.line} {item.reason} {item.detail}".rstrip())
        if self._file:
            told = asdict(item) | {"checkpoint": None}
            self._file.write(dumps({name: value for name, value in told.items() if value is not None}) + "\n")


@app.command()
def keygen(
    file: Annotated[Path, typer.Argument(help="私钥文件，新建，0600 / private key file, created")],
    centre: MeantFor = "",
    json: JsonOption = False,  # noqa: ARG001 -- taken like everywhere; a JWK is JSON in any case
) -> None:
    """生成代理密钥，输出公钥。Make the agent's key; print its public half."""
    from metering.agent.keys import create_key

    emit(create_key(file, centre), as_json=True)
    note("请把以上公钥交给主管部门登记。Have this public key registered: suanquan centre key CENTRE FILE")


@app.command("show-key")
def show_key(
    file: Annotated[Path, typer.Argument(help="私钥文件 / private key file")],
    centre: MeantFor = "",
    json: JsonOption = False,  # noqa: ARG001 -- a JWK is JSON in any case
) -> None:
    """输出已有密钥的公钥和持有证明。Print the public half of a key that is there, with the proof that it is held."""
    from metering import possession
    from metering.agent.keys import load_key

    emit(possession.shown(load_key(file).private, centre), as_json=True)


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
        items = read(path.name, stream, options)
        records = (record for item in items if (record := item.checkpoint if isinstance(item, Skipped) else item))
        sent = _send(load_config(config), records)
    emit(sent, as_json=json)
    if sent["unsent"] or sent["parked"]:
        raise typer.Exit(7)


@app.command()
def declare(
    config: ConfigOption,
    path: UsageFile,
    source: Source,
    month: Annotated[str, typer.Option(help="申报的月份，如 2026-11 / the month to declare")],
    map_: Mapped = None,
    set_: Constants = None,
    timezone: Zone = None,
    delimiter: Delimiter = None,
    format_: Columns = None,
    step: Step = None,
    json: JsonOption = False,
) -> None:
    """申报某月的用量，查出未到齐的账户。Declare a month's usage and learn which accounts lack something."""
    from metering.agent.config import load_config
    from metering.agent.declare import declare as send_declaration
    from metering.agent.keys import load_key
    from metering.completeness import declarations
    from metering.sources import read
    from metering.sources.faults import Skipped

    if re.fullmatch(r"20[0-9]{2}-(0[1-9]|1[0-2])", month) is None:
        raise typer.BadParameter("应为 2026-11 / must look like 2026-11", param_hint="--month")
    options = source_options(source, map_, set_, timezone, delimiter, format_, step)
    with path.open("rb") as stream:
        records = (item for item in read(path.name, stream, options) if not isinstance(item, Skipped))
        found = declarations(records, int(month.replace("-", "")))
    settings = load_config(config)
    answer = send_declaration(settings.base_url, load_key(settings.key_file), found) if found else []
    emit({"month": month, "accounts": answer}, as_json=json)
    if any(account["state"] != "complete" for account in answer):
        raise typer.Exit(1)


@app.command()
def telemetry(
    config: ConfigOption,
    path: Annotated[Path, typer.Argument(help="监控样本文件，带时间戳 / samples of a monitor, with timestamps")],
    step: Annotated[str, typer.Option(help="样本间隔，如 60s / time between samples")],
    account: Annotated[str, typer.Option(help="指明占用者的标签 / label that says who holds a card")] = "",
    json: JsonOption = False,
) -> None:
    """把监控样本作为佐证上报，不计费。Report what a monitor saw, as evidence; nothing is billed by it."""
    from metering.agent.config import load_config
    from metering.agent.keys import load_key
    from metering.agent.telemetry import read_samples, reports_of, send_report
    from metering.sources.options import parse_step_s

    step_s = parse_step_s(step)
    settings = load_config(config)
    with path.open("rb") as stream:
        found = read_samples(path.name, stream, step_s, account)
    key = load_key(settings.key_file)
    for body in reports_of(found, settings.source, step_s):
        send_report(settings.base_url, key, body)
    emit({"hours": len(found.hours), "runs": len(found.runs), "skipped": found.skipped}, as_json=json)


def _send(config: AgentConfig, records: Iterable[UsageRecord]) -> dict[str, Any]:
    import threading
    from collections import Counter

    from metering.agent.daemon import Sender
    from metering.agent.keys import load_key
    from metering.agent.receipts import receipt_verifier
    from metering.agent.spool import Spool
    from metering.agent.transport import make_transport

    check = receipt_verifier(config.base_url)
    with (
        Spool(config.spool, config.source, bytes_max=config.spool_bytes_max) as spool,
        make_transport(config, load_key(config.key_file), check) as client,
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


@app.command()
def run(config: ConfigOption) -> None:
    """守护运行：按间隔采集 [collect] 所列来源并上报。Collect what [collect] names at every interval and report it."""
    from metering.agent.service import serve

    serve(config)


@app.command("rotate-key")
def rotate_key(config: ConfigOption, json: JsonOption = False) -> None:  # noqa: ARG001 -- a JWK is JSON in any case
    """生成下一把密钥，登记后代理自动换用。Make the key to follow; once it is registered the agent goes over to it."""
    from metering.agent.service import make_next_key

    emit(make_next_key(config), as_json=True)
    note("请把以上公钥交给主管部门登记。Have this public key registered: suanquan centre key CENTRE FILE")


@app.command()
def status(config: ConfigOption, json: JsonOption = False) -> None:
    """暂存与最后回执。The spool and the last receipt."""
    from metering.agent.service import status_of

    emit(status_of(config), as_json=json)
