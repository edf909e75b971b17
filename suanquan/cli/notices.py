"""`suanquan usage alerts|forecast|dispute`: what users see beside their statements."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.scope import EVERYTHING
from suanquan.cli.options import DEFAULT_HOME, HomeOption, JsonOption, run_with_service
from suanquan.cli.output import emit

if TYPE_CHECKING:
    from suanquan.service import Service

dispute = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

DisputeArgument = Annotated[int, typer.Argument(help="争议编号 / number of the dispute", min=1)]
OfficerOption = Annotated[str, typer.Option("--officer", help="经办人 / who does this")]
ReasonOption = Annotated[str, typer.Option("--reason", help="理由 / reason")]
Limit = Annotated[int, typer.Option(help="至多几条 / at most so many", min=1, max=100_000)]
After = Annotated[int, typer.Option(help="从此编号之后 / from above this number", min=0)]
ROLE = "command-line"


def alerts(
    holder: Annotated[str | None, typer.Option(help="统一社会信用代码 / unified social credit code")] = None,
    after: After = 0,
    limit: Limit = 100,
    due: Annotated[bool, typer.Option("--due", help="先写出到期应发的提醒 / write those that are due, first")] = False,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """列出可用额度与到期提醒；每个阈值每张券只提醒一次。List alerts on balances and ends; each threshold is told once."""
    from suanquan.use_cases.alerts import give_alerts, list_alerts

    async def use(service: Service) -> dict[str, Any]:
        if due:
            await give_alerts(service)
        async with service.database.read() as connection:
            return await list_alerts(connection, after, limit, holder)

    found = run_with_service(home, use)
    emit(found if json else found["alerts"], as_json=json)


def forecast(
    voucher: Annotated[str | None, typer.Option(help="券号 / id of a voucher")] = None,
    centre: Annotated[str | None, typer.Option(help="中心编号 / centre id")] = None,
    account: Annotated[str | None, typer.Option(help="账户 / account")] = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """按近 28 天的用量，可用额度还能用多久。How long a voucher, or all of an account, last by the spending of 28 days."""
    from suanquan.use_cases.forecast import account_forecast, voucher_forecast

    if (voucher is None) == (centre is None or account is None):
        raise typer.BadParameter("--voucher，或 --centre 与 --account / --voucher, or --centre and --account")

    async def use(service: Service) -> dict[str, Any]:
        async with service.database.read() as connection:
            if voucher is not None:
                return await voucher_forecast(connection, voucher, service.now_us)
            return await account_forecast(connection, str(centre), str(account), service.now_us)

    emit(run_with_service(home, use), as_json=json)


@dispute.command("list")
def list_(
    centre: Annotated[str | None, typer.Option(help="中心编号 / centre id")] = None,
    account: Annotated[str | None, typer.Option(help="账户 / account")] = None,
    state: Annotated[str | None, typer.Option(help="open answered upheld refused")] = None,
    after: After = 0,
    limit: Limit = 100,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """列出争议及其现状。List disputes and how they stand."""
    from suanquan.use_cases.line_disputes import list_disputes

    async def use(service: Service) -> dict[str, Any]:
        async with service.database.read() as connection:
            return await list_disputes(
                connection, centre=centre, account=account, state=state, after=after, limit=limit
            )

    found = run_with_service(home, use)
    emit(found if json else found["disputes"], as_json=json)


@dispute.command("open")
def open_(
    record: Annotated[str, typer.Argument(help="记录编号 / id of the record")],
    source: Annotated[str, typer.Option("--source", help="来源 / source, urn:centre:…:agent:…")],
    account: Annotated[str, typer.Option(help="账户 / account")],
    officer: OfficerOption,
    reason: ReasonOption,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """对一条用量提出争议；对账单上随即标明。Dispute a line; the statement marks it from then on."""
    from suanquan.use_cases.line_disputes import Line, Person, open_dispute

    centre = source.split(":")[2] if source.count(":") >= 4 else ""

    async def use(service: Service) -> dict[str, Any]:
        line = Line(centre, account, source, record)
        return await open_dispute(service.journal, line, Person(officer, ROLE), reason, EVERYTHING)

    emit(run_with_service(home, use), as_json=json)


@dispute.command()
def show(number: DisputeArgument, home: HomeOption = DEFAULT_HOME, json: JsonOption = False) -> None:
    """一件争议的每一步。Every step of a dispute."""
    from suanquan.use_cases.line_disputes import show_dispute

    async def use(service: Service) -> dict[str, Any]:
        async with service.database.read() as connection:
            return await show_dispute(connection, number)

    emit(run_with_service(home, use), as_json=json)


@dispute.command()
def answer(
    number: DisputeArgument, officer: OfficerOption, reason: ReasonOption, home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:  # fmt: skip
    """答复争议。Answer a dispute."""
    _step(home, json, number, "answered", officer, reason)


@dispute.command()
def uphold(
    number: DisputeArgument, officer: OfficerOption, reason: ReasonOption, home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:  # fmt: skip
    """支持争议；更正另行办理。Uphold it; the correction is made by itself."""
    _step(home, json, number, "upheld", officer, reason)


@dispute.command()
def refuse(
    number: DisputeArgument, officer: OfficerOption, reason: ReasonOption, home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:  # fmt: skip
    """不支持争议。Refuse it."""
    _step(home, json, number, "refused", officer, reason)


def _step(home: Path, as_json: bool, number: int, act: str, officer: str, reason: str) -> None:
    from metering.dispute import Act
    from suanquan.use_cases.line_disputes import Person, take_step

    async def use(service: Service) -> dict[str, Any]:
        return await take_step(service.journal, number, Act(act), Person(officer, ROLE), reason)

    emit(run_with_service(home, use), as_json=as_json)
