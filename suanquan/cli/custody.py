"""`suanquan db backup | restore | move`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from suanquan.cli.options import DEFAULT_HOME, HomeOption, JsonOption, quiet, run_with_service
from suanquan.cli.output import emit, note

if TYPE_CHECKING:
    from suanquan.service import Service

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.command()
def backup(
    output: Annotated[Path, typer.Option("--output", "-o", help="备份文件 / file to write")],
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """在线备份为一个文件。Write an online backup: one file with everything."""
    from suanquan.use_cases.custody import back_up

    async def use(service: Service) -> dict[str, Any]:
        with _progress("备份 backing up") as progress:
            return await back_up(service.database, output, progress)

    emit(run_with_service(home, use), as_json=json)


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="备份文件 / backup")],
    older: Annotated[
        bool, typer.Option("--older", help="即使备份缺少其后的内容 / even if it lacks what came later")
    ] = False,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """核验后恢复备份，旧备份须加 --older；原库另存。Restore a backup once all of it verifies, an older one with --older; the old database is kept."""
    import asyncio

    from suanquan.home import Home
    from suanquan.use_cases.custody import restore_home

    with _progress("恢复 restoring") as progress:
        found = asyncio.run(restore_home(Home(home).require(), file, progress, older=older))
    emit(found, as_json=json)


@app.command()
def move(
    to: Annotated[str, typer.Option("--to", help="postgresql://账号@主机/库 / address of an empty database")],
    password_file: Annotated[
        str, typer.Option("--password-file", help="数据目录内的口令文件 / password file in the home")
    ] = "",
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """迁移到 PostgreSQL，日志根不变。Move to PostgreSQL; the log's root stays the same."""
    import asyncio

    from suanquan.home import Home
    from suanquan.use_cases.custody import move_home

    with _progress("迁移 moving") as progress:
        found = asyncio.run(move_home(Home(home).require(), to, password_file, progress))
    emit(found, as_json=json)
    note("请在 suanquan.toml 中写入 / now set in suanquan.toml:")
    note(f'database_url = "{to}"')
    if password_file:
        note(f'database_password_file = "{password_file}"')


@contextlib.contextmanager
def _progress(text: str) -> Iterator[Callable[[int, int], None]]:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), disable=quiet()) as progress:
        task = progress.add_task(text, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
