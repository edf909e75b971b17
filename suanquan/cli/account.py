"""`suanquan account …`: who has an account, in which roles; invitations, recovery and ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from suanquan.cli.options import DEFAULT_HOME, HomeOption, JsonOption, run_with_service
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


def _as(home: Path, name: str, action: str, use: Callable[[Service, Principal], Awaitable[Any]]) -> Any:
    from suanquan.use_cases.named import named

    async def run(service: Service) -> Any:
        async with service.database.read() as conn:
            by = await named(conn, name, action)
        return await use(service, by)

    return run_with_service(home, run)
