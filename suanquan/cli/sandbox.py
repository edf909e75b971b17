"""`suanquan sandbox clock …`: what time it is in a sandbox, and setting it forwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from suanquan.cli.options import DEFAULT_HOME, HomeOption, JsonOption, run_with_service
from suanquan.cli.output import emit

if TYPE_CHECKING:
    from suanquan.service import Service

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
clock_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(clock_app, name="clock", help="沙箱时钟 / the sandbox's clock")


@clock_app.command()
def show(home: HomeOption = DEFAULT_HOME, json: JsonOption = False) -> None:
    """沙箱里现在是什么时候。What time it is in the sandbox."""
    from suanquan.use_cases.sandbox_clock import clock_object

    async def use(service: Service) -> dict[str, Any]:
        return clock_object(service)

    emit(run_with_service(home, use), as_json=json)


@clock_app.command()
def advance(
    span: Annotated[str, typer.Argument(help="向前多少 / how far: 30d 12h 90m 45s")],
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """向前拨；到期、公示、月结与各项任务随即进行。Set it forwards: what falls due meanwhile happens at once."""
    from suanquan.access.acting import acting
    from suanquan.use_cases.sandbox_clock import advance as advance_clock

    async def use(service: Service) -> dict[str, Any]:
        act = acting.get()
        assert act is not None, "the table of commands has this one, and it changes something"
        return await advance_clock(service, span, act)

    emit(run_with_service(home, use), as_json=json)
