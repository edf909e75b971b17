"""`suanquan bench`: a figure and, from the same run, the raw limit it is compared with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from suanquan.cli.options import JsonOption
from suanquan.cli.output import emit

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

Backend = Annotated[str, typer.Option(help="sqlite | postgresql")]
Runs = Annotated[int, typer.Option(help="取中位数的轮数 / runs, of which the median counts", min=1, max=99)]


@app.command()
def ingest(
    backend: Backend = "sqlite",
    form: Annotated[str, typer.Option(help="columnar | cloudevents")] = "columnar",
    batch: Annotated[int, typer.Option(help="每批条数 / records a batch", min=1, max=10_000)] = 10_000,
    batches: Annotated[int, typer.Option(help="批数 / batches", min=1, max=10_000)] = 40,
    vouchers: Annotated[int, typer.Option(help="券数 / vouchers", min=1, max=10_000)] = 1_000,
    stored: Annotated[
        int,
        typer.Option(help="先存入的条数，并与一百万条时比较 / records stored before, compared with a million", min=0),
    ] = 0,
    clients: Annotated[
        int, typer.Option(help="同时的连接，0 为按批大小 / connections at once, 0: as the batch asks", min=0, max=256)
    ] = 0,
    runs: Runs = 3,
    json: JsonOption = False,
) -> None:
    """签名批次经 HTTP 入账的速度。Signed batches over HTTP, rated, debited and durable, per second."""
    from suanquan.bench.ingest import Plan, measure

    if form not in {"columnar", "cloudevents"}:
        raise typer.BadParameter("columnar 或 cloudevents / columnar or cloudevents", param_hint="--form")
    _check_backend(backend)
    emit(measure(Plan(backend, form, batch, batches, vouchers, stored, clients), runs), as_json=json)


def _check_backend(backend: str) -> None:
    if backend not in {"sqlite", "postgresql"}:
        raise typer.BadParameter("sqlite 或 postgresql / sqlite or postgresql", param_hint="--backend")


@app.command()
def transfers(
    backend: Backend = "sqlite",
    batch: Annotated[
        int, typer.Option(help="每次笔数，1 为逐笔 / transfers a request; 1: single callers", min=1, max=16_384)
    ] = 8_192,
    transfers: Annotated[int, typer.Option(help="笔数 / transfers", min=1, max=10_000_000)] = 200_000,
    preload: Annotated[int, typer.Option(help="预先写入的笔数 / entries there before", min=0, max=100_000_000)] = 0,
    runs: Runs = 3,
    json: JsonOption = False,
) -> None:
    """账本转账的速度：持久、逐笔入日志。Durable ledger transfers, each a leaf of the log, per second."""
    from suanquan.bench.transfers import Plan, measure

    _check_backend(backend)
    emit(measure(Plan(backend, batch, transfers, preload), runs), as_json=json)


@app.command()
def holds(
    holds: Annotated[int, typer.Option(help="笔数 / holds", min=32, max=50_000)] = 6_000,
    clients: Annotated[int, typer.Option(help="同时的连接 / connections at once", min=1, max=128)] = 32,
    vouchers: Annotated[int, typer.Option(help="券数 / vouchers", min=1, max=1_000)] = 100,
    runs: Runs = 3,
    json: JsonOption = False,
) -> None:
    """凭券与持有证明冻结的速度。Holds over HTTP with voucher and proof verified, durable, per second."""
    from suanquan.bench.holds import Plan, measure

    emit(measure(Plan(holds, clients, vouchers), runs), as_json=json)


@app.command()
def issue(
    vouchers: Annotated[int, typer.Option(help="张数 / vouchers", min=10, max=100_000)] = 10_000,
    runs: Runs = 3,
    json: JsonOption = False,
) -> None:
    """批量发券的速度：记账、签名、落盘。Vouchers issued in bulk, logged, signed and durable, per second."""
    from suanquan.bench.issue import measure

    emit(measure(vouchers, runs), as_json=json)


@app.command()
def start(runs: Runs = 3, json: JsonOption = False) -> None:
    """启动用时。Time until --help is printed, and until the demo's first page answers."""
    from suanquan.bench.start import measure

    emit(measure(runs), as_json=json)


@app.command()
def verify(
    leaves: Annotated[int, typer.Option(help="日志条数 / leaves of the log", min=2_000, max=100_000_000)] = 1_000_000,
    runs: Runs = 3,
    json: JsonOption = False,
) -> None:
    """离线核验导出日志的速度。Leaves of an export recomputed offline, per second."""
    from suanquan.bench.verify import measure

    emit(measure(leaves, runs), as_json=json)


@app.command()
def clauses(
    evaluations: Annotated[int, typer.Option(help="每轮评估次数 / answers a run", min=1_000, max=10_000_000)] = 60_000,
    runs: Runs = 3,
    json: JsonOption = False,
) -> None:
    """一个核上带解释的条款评估速度。Clauses answered with full explanation, per second of one core."""
    from suanquan.bench.clauses import measure

    emit(measure(evaluations, runs), as_json=json)


@app.command()
def prolog(
    questions: Annotated[int, typer.Option(help="每轮询问数 / questions a run", min=100, max=1_000_000)] = 4_000,
    clients: Annotated[int, typer.Option(help="同时的连接 / connections at once", min=1, max=128)] = 4,
    accounts: Annotated[int, typer.Option(help="账户数 / accounts with a voucher each", min=1, max=1_000)] = 200,
    scripts: Annotated[int, typer.Option(help="脚本运行次数 / runs of the script", min=1, max=1_000)] = 100,
    runs: Runs = 3,
    json: JsonOption = False,
) -> None:
    """作业可否启动的答复要多久。How soon a scheduler hears whether a job may start."""
    from suanquan.bench.prolog import Plan, measure

    emit(measure(Plan(questions, clients, accounts, scripts), runs), as_json=json)


@app.command()
def pages(
    backend: Backend = "sqlite",
    records: Annotated[int, typer.Option(help="用量记录数 / usage records", min=100, max=100_000_000)] = 1_000_000,
    holders: Annotated[int, typer.Option(help="受益单位数 / beneficiaries", min=10, max=50_000)] = 10_000,
    rounds: Annotated[int, typer.Option(help="每页请求次数 / requests of each page", min=2, max=1_000)] = 20,
    home: Annotated[
        Path | None, typer.Option(help="留用的目录，只限 SQLite / a folder to keep and use again, SQLite alone")
    ] = None,
    json: JsonOption = False,
) -> None:
    """每个页面、指标与导出的服务器用时及其限值。Server time of every page, of the metrics, and of a long export, with limits."""
    from suanquan.bench.pages import Plan, measure

    _check_backend(backend)
    emit(measure(Plan(backend, records, holders, rounds, home)), as_json=json)
