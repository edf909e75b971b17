"""`suanquan account …`: who has an account, in which roles; invitations, recovery and ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from suanquan.cli.options import DEFAULT_HOME, HomeOption, JsonOption, run_with_service, who_acts
from suanquan.cli.output import emit, note

if TYPE_CHECKING:
    from suanquan.access.principal import Principal
    from suanquan.service import Service

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

AsOption = Annotated[str, typer.Option("--as", help="以哪个账号的名义 / as which account")]
NameArgument = Annotated[str, typer.Argument(help="账号名 / name of the account")]
ONCE = "一次性密码只显示这一次，七天内有效，请当面交给本人。The secret is shown only this once; it is for that person alone, within seven days."


@app.command()
def add(
    name: NameArgument,
    as_: AsOption,
    role: Annotated[str, typer.Option(help="角色，见 docs/access.md / role")],
    tenant: Annotated[str, typer.Option(help="中心编号或统一社会信用代码 / centre id or company code")] = "",
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """设立账号或增加角色，给出一次性密码。Make an account or add a role; prints a one-time secret."""
    from suanquan.db.people import Grant
    from suanquan.use_cases import accounts

    async def use(service: Service, by: Principal) -> str:
        return await accounts.invite(service.access, by, name, Grant(role, tenant))

    secret = _as(home, as_, "account.make", use)
    emit({"name": name, "role": role, "tenant": tenant, "secret": secret or None}, as_json=json)
    if secret:
        note(ONCE)


@app.command("list")
def list_(home: HomeOption = DEFAULT_HOME, json: JsonOption = False) -> None:
    """列出账号及角色。List accounts with their roles."""
    from suanquan.db import people

    async def use(service: Service) -> list[dict[str, Any]]:
        async with service.database.read() as conn:
            found = await people.list_people(conn)
        return [
            {
                "name": known.name,
                "state": known.state,
                "second_factor": known.totp is not None,
                "roles": [f"{grant.role} {grant.tenant}".strip() for grant in grants],
            }
            for known, grants in found
        ]

    emit(run_with_service(home, use), as_json=json)


@app.command()
def end(name: NameArgument, as_: AsOption, home: HomeOption = DEFAULT_HOME, json: JsonOption = False) -> None:
    """停用账号，终止其会话与令牌。End an account with its sessions and tokens."""
    from suanquan.use_cases import accounts

    async def use(service: Service, by: Principal) -> int:
        return await accounts.end_account(service.access, by, name)

    emit({"name": name, "sessions": _as(home, as_, "account.end", use)}, as_json=json)


@app.command()
def recover(
    name: NameArgument,
    as_: AsOption,
    approve: Annotated[
        bool, typer.Option("--approve", help="另一人批准，得一次性密码 / agree, as another person; prints the secret")
    ] = False,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """找回账号：一人提出，另一人批准。Recover an account: one person asks, another agrees."""
    from suanquan.use_cases import accounts

    async def use(service: Service, by: Principal) -> str | None:
        if approve:
            return await accounts.agree_recovery(service.access, by, name)
        await accounts.open_recovery(service.access, by, name)
        return None

    secret = _as(home, as_, "recovery.approve" if approve else "recovery.open", use)
    emit({"name": name, "secret": secret}, as_json=json)
    if secret:
        note(ONCE)


FileOption = Annotated[Path, typer.Option("--out", "-o", help="新文件，0600 / a new file of the session")]
PasswordOption = Annotated[
    Path | None, typer.Option("--password-file", help="口令文件（0600），不写则提问 / asked for where it is not given")
]


@app.command()
def login(
    name: NameArgument,
    out: FileOption,
    role: Annotated[str, typer.Option(help="以哪个角色，有多个时 / in which role, of several")] = "",
    code: Annotated[str, typer.Option(help="验证器的六位数字 / six digits of the authenticator")] = "",
    password_file: PasswordOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """登录，会话存入文件，供 --token-file 出示。Log in; the file of the session is what --token-file shows."""
    from suanquan.home import write_secret
    from suanquan.use_cases import sign_in

    typed = sign_in.Login(name, _typed(password_file, "口令 password"), code, role)

    async def use(service: Service) -> sign_in.Begun:
        return await sign_in.log_in(service.access, typed)

    begun = run_with_service(home, use)
    write_secret(out, begun.secret.encode())
    emit({"name": begun.who.name, "role": begun.who.role.value, "file": str(out)}, as_json=json)


@app.command("take-up")
def take_up(
    secret_file: Annotated[
        Path | None, typer.Option("--secret-file", help="一次性密码文件，不写则提问 / the one-time secret's file")
    ] = None,
    password_file: PasswordOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """以一次性密码设口令。Set the password of an account by its one-time secret."""
    from suanquan.use_cases import accounts

    secret, password = _typed(secret_file, "一次性密码 one-time secret"), _typed(password_file, "新口令 new password")

    async def use(service: Service) -> str:
        return await accounts.take_up(service.access, secret, password)

    emit({"name": run_with_service(home, use)}, as_json=json)


def _typed(file: Path | None, what: str) -> str:
    """A secret from its file, or as it is typed unseen."""
    from getpass import getpass

    from suanquan.home import read_secret

    return getpass(f"{what}: ") if file is None else read_secret(file).decode("utf-8")


def _as(home: Path, name: str, action: str, use: Callable[[Service, Principal], Awaitable[Any]]) -> Any:
    async def run(service: Service) -> Any:
        return await use(service, (await who_acts(service, action, name)).who)

    return run_with_service(home, run)
