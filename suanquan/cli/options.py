"""Options that many commands share."""

from __future__ import annotations

import getpass
import os
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from suanquan.cli.entering import entered, token_file

if TYPE_CHECKING:
    from suanquan.home import Home
    from suanquan.service import Service
    from suanquan.use_cases.named import Acting
    from subsidy.steps import Actor

T = TypeVar("T")
here: ContextVar[Acting | None] = ContextVar("here", default=None)
"""Who acts by this command, once the home is entered."""

HomeOption = Annotated[
    Path,
    typer.Option("--home", envvar="SUANQUAN_HOME", help="数据目录 / folder of this installation", show_default=True),
]
KEY_NAMED = {"ignore_unknown_options": True}
"""Of commands that name a key: one thumbprint in 64 begins with a hyphen and is no option."""
JsonOption = Annotated[bool, typer.Option("--json", help="输出一个 JSON 文档 / print one JSON document")]
PassphraseOption = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file", envvar="SUANQUAN_PASSPHRASE_FILE", help="私钥口令文件（0600）/ passphrase of the keys"
    ),
]
DEFAULT_HOME = Path("suanquan-home")


def run_with_service(
    home: Path, use: Callable[[Service], Awaitable[T]], passphrase_file: Path | None = None, *, sign: bool = False
) -> T:
    """Open a home for whoever acts, use it, close it. With `sign` the private key is opened, too.

    Raises:
        DomainError: the home cannot be opened, or whoever acts may not do this (see `use_cases.named`).

    """
    import asyncio

    from suanquan.home import Home, read_passphrase
    from suanquan.service import open_service

    passphrase = read_passphrase(passphrase_file or demo_passphrase(Home(home))) if sign else None

    async def run() -> T:
        async with open_service(Home(home), passphrase) as service:
            await _enter(service)
            return await use(service)

    return asyncio.run(run())


def enter_home(home: Path) -> None:
    """For a command that works on files of the home alone: find out who acts, and leave its row.

    Raises:
        DomainError: as `run_with_service`.

    """

    async def leave_row(service: Service) -> None:
        from suanquan.access.acting import acting

        act = acting.get()
        if act is not None:
            await service.audit(act)

    run_with_service(home, leave_row)


async def _enter(service: Service) -> None:
    """Find out who acts and whether he may; what is shown has its row first, what changes gets it in its transaction."""
    from suanquan.access.acting import acting, surface
    from suanquan.access.commands import COMMANDS, EVERYTHING_SHOWN, NOBODYS
    from suanquan.access.trail import Act
    from suanquan.errors import ServiceError
    from suanquan.use_cases.named import SHOWN

    command = entered.get()
    assert command is not None, "commands are run by `main`"
    action = COMMANDS[command.path]
    if action == NOBODYS:
        surface.set(SHOWN)
        return
    if command.lacks_name:
        raise ServiceError("reason-missing", "请写明经办人与理由", "name the officer and the reason")
    found = await who_acts(service, action, command.name)
    surface.set(found.surface)
    here.set(found)
    reads = action.endswith((".read", ".list")) or command.path in EVERYTHING_SHOWN
    name = f"cli.{command.path.replace(' ', '.')}"
    about = command.about(reads=reads)
    act = Act(name, found.who.name, found.who.role.value, found.who.tenant, about, via=found.surface)
    if reads:
        await service.audit(act)
    else:
        acting.set(act)


async def who_acts(service: Service, action: str, name: str) -> Acting:
    """Whom the name and the secret of a command stand for.

    Raises:
        ServiceError: see `named.acting_person`.

    """
    from suanquan.home import read_secret
    from suanquan.use_cases.named import acting_person

    file = token_file.get()
    secret = read_secret(file).decode("utf-8") if file is not None else ""
    return await acting_person(service.access, action, name=name, secret=secret, keeper=getpass.getuser())


async def second_person(service: Service, action: str, name: str, file: Path | None) -> str:
    """The name of somebody who agrees to what another does, and shows it as well where a sandbox does not spare him that.

    Raises:
        ServiceError: see `named.acting_person`.

    """
    from suanquan.home import read_secret
    from suanquan.use_cases.named import acting_person

    secret = read_secret(file).decode("utf-8") if file is not None else ""
    found = await acting_person(service.access, action, name=name, secret=secret, keeper=getpass.getuser())
    return found.who.name


def acting_name() -> str:
    """Under which name what this command does stands in the log."""
    found = here.get()
    assert found is not None, "asked before the home was entered"
    return found.who.name


async def actor_here(service: Service, person: str, *roles: str) -> Actor:
    """Who acts in a procedure: whom a secret showed, in its role; else the one named, in one of these roles if he has it.

    Raises:
        DomainError: `person-unknown`, `role-not-allowed`.

    """
    from suanquan.use_cases import officers
    from suanquan.use_cases.named import SHOWN
    from subsidy.procedure import Role

    found = here.get()
    if found is not None and found.surface == SHOWN:
        return officers.actor_of(found.who)
    async with service.database.read() as conn:
        return await officers.actor_for(conn, person, [Role(role) for role in roles])


def demo_passphrase(home: Home) -> Path | None:
    """The passphrase file that the demo made in its home; other homes have none, theirs is kept elsewhere."""
    made = home.path / "demo-passphrase"
    return made if made.is_file() else None


def quiet() -> bool:
    """True when progress should not be drawn."""
    return not os.isatty(2)
