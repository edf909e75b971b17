"""`suanquan ledger` and `suanquan db`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from suanquan.cli.options import DEFAULT_HOME, HomeOption, JsonOption, quiet, run_with_service
from suanquan.cli.output import emit, note

if TYPE_CHECKING:
    from suanquan.db.place import Place
    from suanquan.service import Service

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
db_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

EXIT_PROOF = 8


@app.command()
def verify(
    from_: Annotated[Path | None, typer.Option("--from", help="导出目录 / an export")] = None,
    key: Annotated[
        str | None, typer.Option(help="日志公钥，或其文件，与 --from 同用 / vkey or file, with --from")
    ] = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """从头重算整个账本，或只凭公钥核验导出的日志。Recompute the ledger, or with --from an export by the public key alone."""
    if (from_ is None) != (key is None):
        raise typer.BadParameter("--from 与 --key 须同时给出 / --from and --key go together")
    if from_ is not None:
        verify_export(from_, key or "", as_json=json)
        return
    from rich.console import Console
    from rich.progress import Progress

    from suanquan.use_cases.verify_ledger import verify_ledger

    async def use(service: Service) -> dict[str, Any]:
        with Progress(console=Console(stderr=True), disable=quiet()) as progress:
            task = progress.add_task("核验 verifying", total=None)
            async with service.database.read() as connection:
                return await verify_ledger(
                    connection, lambda done, total: progress.update(task, completed=done, total=total)
                )

    found = run_with_service(home, use)
    emit(found, as_json=json)
    if not found["ok"]:
        note("账本与其记录不符。The ledger does not agree with its entries.")
        raise typer.Exit(EXIT_PROOF)


def verify_export(folder: Path, key: str, *, as_json: bool) -> None:
    """Check an export: signature, tree, and every rule that leaves alone can show."""
    from suanquan.cli.log import verifier_key
    from suanquan.use_cases import verify_export as export

    found = export.verify_export(folder, verifier_key(key))
    emit({"ok": True, "size": found.size, "root": found.root.hex()}, as_json=as_json)


@app.command()
def head(home: HomeOption = DEFAULT_HOME, json: JsonOption = False) -> None:
    """日志头：条数与根。The log's size and root."""
    from ledger.store import load_head

    async def use(service: Service) -> dict[str, Any]:
        async with service.database.read() as connection:
            found = await load_head(connection)
        assert found is not None, "an opened home has a ledger"
        return {"origin": found.origin, "size": found.size, "root": found.root.hex()}

    emit(run_with_service(home, use), as_json=json)


@db_app.command()
def upgrade(home: HomeOption = DEFAULT_HOME) -> None:
    """把数据库升级到本版结构。Bring the database to this version's schema."""
    from suanquan.db.schema import require_present, revision
    from suanquan.db.schema import upgrade as migrate

    place = _place(home)
    require_present(place)
    before = revision(place)
    migrate(place)
    note(f"{before} → {revision(place)}")


@db_app.command()
def roles(
    app_role: Annotated[str, typer.Option(help="应用角色 / role of the service", metavar="NAME")],
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """打印授权语句，由库的属主用 psql 执行。Print grants for a role that can append facts but not change them."""
    from suanquan.db.roles import grants
    from suanquan.home import Home

    Home(home).require()
    for statement in grants(app_role):
        print(statement)


def _place(home: Path) -> Place:
    from suanquan.home import Home
    from suanquan.settings import load_settings

    opened = Home(home).require()
    return opened.place(load_settings(opened.settings_file))
