"""Options that many commands share."""

from __future__ import annotations

import getpass
import itertools
import os
import re
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from suanquan.access.trail import Act
    from suanquan.home import Home
    from suanquan.service import Service

T = TypeVar("T")

HomeOption = Annotated[
    Path,
    typer.Option("--home", envvar="SUANQUAN_HOME", help="数据目录 / folder of this installation", show_default=True),
]
JsonOption = Annotated[bool, typer.Option("--json", help="输出一个 JSON 文档 / print one JSON document")]
PassphraseOption = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file", envvar="SUANQUAN_PASSPHRASE_FILE", help="私钥口令文件（0600）/ passphrase of the keys"
    ),
]
DEFAULT_HOME = Path("suanquan-home")
_COMMAND = re.compile(r"[a-z][a-z-]*")


def run_with_service(
    home: Path, use: Callable[[Service], Awaitable[T]], passphrase_file: Path | None = None, *, sign: bool = False
) -> T:
    """Open a home, use it, close it. With `sign` the private key is opened, too."""
    import asyncio

    from suanquan.access.acting import acting
    from suanquan.home import Home, read_passphrase
    from suanquan.service import open_service

    passphrase = read_passphrase(passphrase_file or demo_passphrase(Home(home))) if sign else None

    async def run() -> T:
        async with open_service(Home(home), passphrase) as service:
            acting.set(acting_here())
            return await use(service)

    return asyncio.run(run())


def acting_here() -> Act:
    """What the audit log says of this command: its name, and as whom it was run (`--as`, `--officer`, else who is logged in here)."""
    from suanquan.access.trail import Act

    words = list(itertools.takewhile(_COMMAND.fullmatch, sys.argv[1:3]))
    name = "".join(f".{word}" for word in words) or ".other"
    return Act(f"cli{name}", _named(sys.argv) or getpass.getuser(), "", via="cli")


def _named(words: list[str]) -> str:
    for at, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option in {"--as", "--officer"}:
            return value if equals else next(iter(words[at + 1 :]), "")
    return ""


def demo_passphrase(home: Home) -> Path | None:
    """The passphrase file that the demo made in its home; other homes have none, theirs is kept elsewhere."""
    made = home.path / "demo-passphrase"
    return made if made.is_file() else None


def quiet() -> bool:
    """True when progress should not be drawn."""
    return not os.isatty(2)
