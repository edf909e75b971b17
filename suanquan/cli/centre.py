"""`suanquan centre`: register computing centres, their agents' keys, and whose vouchers pay for an account."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from suanquan.cli.options import DEFAULT_HOME, KEY_NAMED, HomeOption, JsonOption, run_with_service
from suanquan.cli.output import emit, note

if TYPE_CHECKING:
    from ledger.ed25519 import PublicKey
    from suanquan.service import Service

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
Centre = Annotated[str, typer.Argument(help="中心编号 / centre id")]


@app.command()
def add(
    centre: Centre,
    name: Annotated[str, typer.Option(help="名称 / name")],
    capacity: Annotated[list[str] | None, typer.Option(help="型号=卡数 / MODEL=CARDS")] = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """登记中心及其卡数。Register a centre and its card inventory."""
    from suanquan.use_cases.setup import register_centre

    cards = dict(_card(item) for item in capacity or [])

    async def use(service: Service) -> None:
        await register_centre(service.journal, service.catalog, centre, name, cards)

    run_with_service(home, use)
    emit({"centre": centre, "name": name, "capacity": cards}, as_json=json)


def _card(item: str) -> tuple[str, int]:
    model, equals, count = item.rpartition("=")
    if not equals or not count.isdigit() or int(count) <= 0:
        raise typer.BadParameter(f"{item!r}: 应为 型号=卡数 / must be MODEL=CARDS", param_hint="--capacity")
    return model, int(count)


@app.command()
def key(
    centre: Centre,
    jwk: Annotated[Path, typer.Argument(help="agent keygen 输出的公钥 / public JWK from agent keygen")],
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """登记代理的公钥，附持有证明。Let an agent's key report for a centre, on proof that its agent holds it."""
    from suanquan.use_cases.agent_keys import register_shown

    data = jwk.read_bytes()

    async def use(service: Service) -> tuple[PublicKey, bool]:
        return await register_shown(service, centre, data, str(jwk))

    public, is_proven = run_with_service(home, use)
    if not is_proven:
        note("沙箱：未附持有证明，照登。Sandbox: registered without a proof of possession.")
    emit({"centre": centre, "kid": public.kid}, as_json=json)


@app.command("end-key", context_settings=KEY_NAMED)
def end_key(
    centre: Centre,
    kid: Annotated[str, typer.Argument(help="密钥标识 / key id")],
    reason: Annotated[str, typer.Option(help="理由 / reason")],
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """停用代理的密钥，一秒内生效，不可恢复。End an agent's key for good; within a second it is refused."""
    from suanquan.use_cases import agent_keys

    async def use(service: Service) -> None:
        await agent_keys.end_key(service, centre, kid, reason)

    run_with_service(home, use)
    emit({"centre": centre, "kid": kid, "ended": True}, as_json=json)


@app.command()
def bind(
    centre: Centre,
    account: Annotated[str, typer.Argument(help="调度系统中的账户 / account in the centre's scheduler")],
    holder: Annotated[str, typer.Argument(help="统一社会信用代码 / unified social credit code")],
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """指明账户由谁的券支付。Say whose vouchers pay for an account."""
    from suanquan.use_cases.setup import bind_account

    async def use(service: Service) -> None:
        await bind_account(service.journal, centre, account, holder)

    run_with_service(home, use)
    emit({"centre": centre, "account": account, "holder": holder}, as_json=json)


@app.command()
def token(centre: Centre, home: HomeOption = DEFAULT_HOME, json: JsonOption = False) -> None:
    """给调度系统的令牌：只能询问本中心的作业可否启动。A scheduler's token: it may ask for advice on this centre's jobs."""
    from suanquan.use_cases.setup import register_scheduler

    async def use(service: Service) -> str:
        return await register_scheduler(service.journal, centre)

    emit({"centre": centre, "token": run_with_service(home, use)}, as_json=json)


@app.command("list")
def list_(home: HomeOption = DEFAULT_HOME, json: JsonOption = False) -> None:
    """列出中心及用量。List centres with their usage."""
    from suanquan.use_cases.overview import overview

    async def use(service: Service) -> list[dict[str, Any]]:
        async with service.database.read() as connection:
            figures = await overview(connection, service.catalog)
        return [
            {"id": centre.centre, "name": centre.name, "gpu_ms": centre.gpu_ms, "statuses": centre.statuses}
            for centre in figures.centres
        ]

    emit(run_with_service(home, use), as_json=json)
