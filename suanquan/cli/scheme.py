"""`suanquan scheme`: the schemes of a home, or those that ship with suanquan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from suanquan.cli.options import DEFAULT_HOME, HomeOption, JsonOption
from suanquan.cli.output import emit

if TYPE_CHECKING:
    from voucher.scheme import Scheme

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


def _schemes(home: Path) -> dict[str, Scheme]:
    from suanquan.home import Home, packaged_config
    from voucher.scheme import load_schemes

    own = Home(home).config / "schemes"
    return load_schemes(own if own.is_dir() else packaged_config() / "schemes")


@app.command("list")
def list_(home: HomeOption = DEFAULT_HOME, json: JsonOption = False) -> None:
    """列出方案。List schemes."""
    from suanquan.use_cases.catalogue import scheme_object

    emit([scheme_object(scheme) for scheme in _schemes(home).values()], as_json=json)


@app.command()
def show(
    scheme_id: Annotated[str, typer.Argument(help="方案编号 / scheme id")],
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """显示一个方案。Show one scheme."""
    from suanquan.use_cases.catalogue import find_scheme, scheme_terms

    emit(scheme_terms(find_scheme(_schemes(home), scheme_id)), as_json=json)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="方案文件（TOML）/ scheme file")], json: JsonOption = False
) -> None:
    """检查方案文件。Check a scheme file."""
    from suanquan.use_cases.catalogue import scheme_object
    from voucher.scheme import parse_scheme

    emit(scheme_object(parse_scheme(file.read_bytes(), file.name)), as_json=json)
