"""`suanquan hold`: what is set aside of vouchers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.scope import EVERYTHING
from suanquan.cli.options import DEFAULT_HOME, HomeOption, JsonOption, run_with_service
from suanquan.cli.output import emit

if TYPE_CHECKING:
    from suanquan.service import Service

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

STATES = ("open", "captured", "released", "expired")


@app.command("list")
def list_(
    voucher: Annotated[str | None, typer.Option(help="券编号 / voucher id")] = None,
    centre: Annotated[str | None, typer.Option(help="中心 / centre")] = None,
    state: Annotated[str | None, typer.Option(help="open captured released expired")] = None,
    after: Annotated[str, typer.Option(help="上一页最后一笔的编号 / the last hold of the page before")] = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="最多几笔 / at most so many")] = 100,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """列出冻结，先旧后新。List holds, oldest first."""
    from suanquan.use_cases.hold_views import list_holds
    from voucher.hold_view_store import HoldFilter

    if state is not None and state not in STATES:
        raise typer.BadParameter(" ".join(STATES), param_hint="--state")

    async def use(service: Service) -> list[dict[str, Any]]:
        async with service.database.read() as connection:
            return await list_holds(connection, EVERYTHING, HoldFilter(None, voucher, centre, state, after, limit))

    emit(run_with_service(home, use), as_json=json)


@app.command()
def show(
    hold: Annotated[str, typer.Argument(help="冻结编号 / hold id")],
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """一笔冻结：所余、各部分、已请款。One hold: its parts, what is left and what was captured."""
    from suanquan.use_cases.hold_views import show_hold

    async def use(service: Service) -> dict[str, Any]:
        async with service.database.read() as connection:
            return await show_hold(connection, EVERYTHING, hold)

    emit(run_with_service(home, use), as_json=json)
