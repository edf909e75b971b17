"""`suanquan ledger …`: the log's heads, export, receipts, statements and witnesses."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from suanquan.cli.books import EventArgument, OfficerOption, ReasonOption, SeqArgument
from suanquan.cli.options import (
    DEFAULT_HOME,
    HomeOption,
    JsonOption,
    PassphraseOption,
    acting_name,
    demo_passphrase,
    quiet,
)
from suanquan.cli.options import run_with_service as run_with
from suanquan.cli.output import emit, note

if TYPE_CHECKING:
    from ledger.policy import Policy
    from suanquan.service import Service

T = TypeVar("T")

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
witness_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(witness_app, name="witness", help="见证方 / witnesses")

OutOption = Annotated[Path, typer.Option("--out", "-o", help="写入文件 / file to write")]
VkeyOption = Annotated[str | None, typer.Option("--key", help="日志公钥，或其文件 / the log's vkey, or a file of it")]
PolicyOption = Annotated[
    Path | None, typer.Option("--policy", help="信任策略文件（含见证方）/ trust policy with witnesses")
]


@app.command()
def checkpoint(
    key: Annotated[bool, typer.Option("--key", help="只显示公钥 / show the public keys")] = False,
    witnessed: Annotated[bool, typer.Option(help="见证方已副署的 / with the quorum of witnesses")] = False,
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseOption = None,
    json: JsonOption = False,
) -> None:
    """签名的日志头；有口令时先签最新的。The signed head of the log; with the passphrase the newest is signed first."""
    from ledger import log_store
    from suanquan.errors import ServiceError

    async def use(service: Service) -> dict[str, Any]:
        await service.log.sign()
        async with service.database.read() as connection:
            head = await log_store.newest_head(connection, witnessed=witnessed)
        vkeys = [str(verifier) for verifier in service.log.verifiers]
        if head is None:
            if key:
                return {"vkeys": vkeys, "note": ""}
            raise ServiceError("checkpoint-missing", "尚无签名的检查点", "no checkpoint is signed yet")
        return {
            "origin": head.origin,
            "size": head.size,
            "root": head.root.hex(),
            "witnessed": bool(head.witnessed),
            "vkeys": vkeys,
            "note": head.note,
        }

    found = run_with_keys(home, use, passphrase_file)
    if json:
        emit(found, as_json=True)
    else:
        sys.stdout.write("".join(f"{vkey}\n" for vkey in found["vkeys"][:1]) if key else found["note"])


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="目录，可续传 / folder; an earlier export goes on")],
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseOption = None,
    json: JsonOption = False,
) -> None:
    """导出整个日志及其核验工具。Export the log as static files, with the verifier that stands alone."""
    from rich.console import Console
    from rich.progress import Progress

    from suanquan.use_cases.export_log import export_log

    async def use(service: Service) -> dict[str, Any]:
        with Progress(console=Console(stderr=True), disable=quiet()) as progress:
            task = progress.add_task("导出 exporting", total=None)
            return await export_log(
                service.log, folder, lambda done, total: progress.update(task, completed=done, total=total)
            )

    emit(run_with_keys(home, use, passphrase_file), as_json=json)


@app.command()
def prove(
    event_id: EventArgument,
    out: OutOption,
    disclose_: Annotated[
        bool, typer.Option("--payload/--no-payload", help="附上私密内容 / with the private content")
    ] = True,
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseOption = None,
) -> None:
    """一个事件的凭据，可离线核验。The receipt of an event, to be checked offline."""
    from suanquan.use_cases.receipts import prove_event

    _write(
        out,
        run_with_keys(home, lambda service: prove_event(service.log, event_id, disclose=disclose_), passphrase_file),
    )


@app.command()
def disclose(
    seq: SeqArgument, out: OutOption, home: HomeOption = DEFAULT_HOME, passphrase_file: PassphraseOption = None
) -> None:
    """披露一条分录的私密内容，附证明。Disclose the private content of one entry, with its proof."""
    from suanquan.use_cases.receipts import prove_entry

    _write(out, run_with_keys(home, lambda service: prove_entry(service.log, seq), passphrase_file))


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="凭据 / receipt")],
    key: VkeyOption = None,
    policy: PolicyOption = None,
    json: JsonOption = False,
) -> None:
    """离线核验凭据。Check a receipt offline."""
    from suanquan.use_cases.receipts import receipt_object

    emit(receipt_object(file.read_bytes(), _policy(key, policy)), as_json=json)


@app.command()
def statement(
    account: Annotated[str, typer.Argument(help="账户名 / name of the account")],
    out: OutOption,
    from_: Annotated[str | None, typer.Option("--from", help="起（含）/ first moment; default: its opening")] = None,
    until: Annotated[str | None, typer.Option("--until", help="止（不含）/ moment it ends; default: now")] = None,
    officer: Annotated[str, typer.Option("--officer", help="经办人 / who asks")] = "",
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseOption = None,
) -> None:
    """对账单，证明其完整无缺。A statement of an account that proves to be complete."""
    from suanquan.use_cases.statements import make_statement

    _write(
        out,
        run_with_keys(
            home,
            lambda service: make_statement(
                service.log, service.journal, service.clock_ns(), officer or acting_name(), account, from_, until
            ),
            passphrase_file,
        ),
    )


@app.command("check-statement")
def check_statement(
    file: Annotated[Path, typer.Argument(help="对账单 / statement")],
    key: VkeyOption = None,
    policy: PolicyOption = None,
    json: JsonOption = False,
) -> None:
    """离线核验对账单的真实与完整。Check offline that a statement is true and complete."""
    from suanquan.use_cases.statements import statement_object

    emit(statement_object(file.read_bytes(), _policy(key, policy)), as_json=json)


def accept_rollback(
    officer: OfficerOption,
    reason: ReasonOption,
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseOption = None,
    json: JsonOption = False,
) -> None:
    """接受从旧备份恢复的数据库：记入日志，以新名新钥继续。Go on with a database restored from an older backup."""
    from suanquan.home import Home, read_passphrase
    from suanquan.use_cases.books import Order
    from suanquan.use_cases.log import accept_rollback as accept

    passphrase = read_passphrase(passphrase_file or demo_passphrase(Home(home)))

    async def use(service: Service) -> dict[str, Any]:
        service.journal.guard = None
        return await accept(
            service.log, service.journal, service.check_history, Order(officer, reason), passphrase
        )  # fmt: skip

    emit(run_with_keys(home, use, passphrase_file), as_json=json)


def log_keys(
    home: HomeOption = DEFAULT_HOME, passphrase_file: PassphraseOption = None, json: JsonOption = False
) -> None:
    """日志密钥；没有则建立。The log's keys, made where there are none."""
    from suanquan.home import Home, read_passphrase
    from suanquan.use_cases.log import create_log_keys

    passphrase = read_passphrase(passphrase_file or demo_passphrase(Home(home)))

    async def use(service: Service) -> list[str]:
        log = await create_log_keys(service.home, service.settings, service.database, passphrase)
        return [str(verifier) for verifier in log.verifiers]

    emit(run_with(home, use), as_json=json)


LogOption = Annotated[
    list[str] | None,
    typer.Option("--log", help="所见证日志的公钥，或其文件，可多次 / vkey of a log, or a file; repeat"),
]


@witness_app.command("serve")
def witness_serve(
    home: Annotated[Path, typer.Option("--home", help="见证方目录 / folder of the witness")],
    log: LogOption = None,
    name: Annotated[str | None, typer.Option(help="见证方名称，首次必填 / its name, needed the first time")] = None,
    host: Annotated[str, typer.Option(help="监听地址 / address")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="端口 / port", min=0, max=65535)] = 8090,
    passphrase_file: PassphraseOption = None,
) -> None:
    """运行见证方；首次运行建立密钥。Run a witness; the first run makes its keys."""
    from suanquan.home import read_passphrase
    from suanquan.witness import open_witness, run

    logs = [verifier_key(text) for text in log or ()]
    witness = open_witness(home, name, logs, read_passphrase(passphrase_file))
    for verifier, _ in witness.keys.pairs:
        note(f"witness {verifier.name}-{verifier.algorithm.name.lower()} {verifier}")
    run(witness, host, port)


def run_with_keys(home: Path, use: Callable[[Service], Awaitable[T]], passphrase_file: Path | None) -> T:
    """Open the home with its keys where the passphrase is at hand."""
    from suanquan.home import Home

    file = passphrase_file or demo_passphrase(Home(home))
    return run_with(home, use, file, sign=file is not None)


def _write(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    note(f"{file}: {len(data)} bytes")


def _policy(key: str | None, file: Path | None) -> Policy:
    from ledger.policy import Policy

    if (key is None) == (file is None):
        raise typer.BadParameter("--key 与 --policy 须给出其一 / give either --key or --policy")
    return Policy.parse(file.read_bytes()) if file is not None else Policy.of_logs(verifier_key(key or ""))


def verifier_key(text: str) -> Any:
    """A verifier key from its text, or from the first line of a file."""
    from ledger.vkey import VerifierKey

    return VerifierKey.parse(text if "+" in text else Path(text).read_text("utf-8").split("\n")[0])
