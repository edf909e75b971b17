"""`suanquan usage …`: what waits for a decision, corrections by the office, and exports."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from suanquan.cli import notices
from suanquan.cli.options import DEFAULT_HOME, HomeOption, JsonOption, run_with_service, second_person
from suanquan.cli.output import emit

if TYPE_CHECKING:
    from suanquan.service import Service
    from suanquan.use_cases.desk import Amendment

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
quarantine = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(quarantine, name="quarantine", help="待核用量 / usage that waits for a decision")

PlaceArgument = Annotated[str, typer.Argument(help="list 给出的 place / as `list` shows it, e.g. 12-3")]
RecordArgument = Annotated[str, typer.Argument(help="记录编号 / id of the record")]
SourceOption = Annotated[str, typer.Option("--source", help="来源 / source, urn:centre:…:agent:…")]
OfficerOption = Annotated[str, typer.Option("--officer", help="经办人 / who does this")]
ReasonOption = Annotated[str, typer.Option("--reason", help="理由 / reason")]
ApprovedOption = Annotated[
    str, typer.Option("--approved-by", help="复核人，超过 45 天须有 / second person, after 45 days")
]
ApproverOption = Annotated[
    Path | None,
    typer.Option("--approver-token-file", help="复核人的令牌或会话文件 / token or session of the second person"),
]
RevisionOption = Annotated[
    int | None, typer.Option("--revision", help="修订号，默认下一个 / by default the next", min=1)
]


app.add_typer(notices.dispute, name="dispute", help="对账单行的争议 / disputes of statement lines")
app.command()(notices.alerts)
app.command()(notices.forecast)


@quarantine.command("list")
def list_(
    centre: Annotated[str | None, typer.Option(help="中心编号 / centre id")] = None,
    decided: Annotated[bool, typer.Option("--decided", help="含已决定的 / decided ones, too")] = False,
    limit: Annotated[int, typer.Option(help="至多几条 / at most so many", min=1, max=100_000)] = 100,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """列出待核用量及原因，由新到旧。List usage that waits, with its reason, newest first."""
    from ledger.scope import EVERYTHING
    from suanquan.use_cases.quarantine import list_waiting

    async def use(service: Service) -> list[dict[str, Any]]:
        async with service.database.read() as connection:
            return await list_waiting(connection, EVERYTHING, centre=centre, limit=limit, every=decided)

    emit(run_with_service(home, use), as_json=json)


@quarantine.command()
def release(
    place: PlaceArgument,
    officer: OfficerOption,
    reason: ReasonOption,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """放行：按用量发生时的价格计价、入账。Rate and post it, by the time of its usage."""
    _decide(home, json, place, "release", officer, reason)


@quarantine.command()
def drop(
    place: PlaceArgument,
    officer: OfficerOption,
    reason: ReasonOption,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """不予计价：保留原文与理由。Leave it unrated; it is kept with the reason."""
    _decide(home, json, place, "reject", officer, reason)


def _decide(home: Path, as_json: bool, place: str, verdict: str, officer: str, reason: str) -> None:
    from metering.quarantine import Verdict
    from suanquan.use_cases.desk import decide_waiting
    from suanquan.use_cases.quarantine import Decision, parse_place

    decision = Decision(parse_place(place), Verdict(verdict), officer, reason)

    async def use(service: Service) -> dict[str, Any]:
        return await decide_waiting(service.journal, service.rules, decision)

    emit(run_with_service(home, use), as_json=as_json)


@app.command()
def quote(
    centre: Annotated[str, typer.Option(help="中心编号 / centre id")],
    account: Annotated[str, typer.Option(help="账户 / account")],
    card: Annotated[list[str], typer.Option(help="型号=卡数 / MODEL=COUNT, e.g. A100=8 or A100=0.5")],
    start: Annotated[str, typer.Option(help="开始，RFC 3339 / start")],
    seconds: Annotated[str, typer.Option(help="时长（秒，至多三位小数） / seconds it runs")],
    voucher: Annotated[str | None, typer.Option(help="只用这张券 / this voucher alone")] = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """运行前报价：与用量上报后的扣款分毫不差；不记任何账。What a run would cost and who would pay. Nothing is recorded."""
    from suanquan.use_cases.quote_usage import parse_run, quote_usage

    run = parse_run(centre, account, card, start, seconds, voucher)

    async def use(service: Service) -> dict[str, Any]:
        return await quote_usage(service.journal, service.rules, run)

    emit(run_with_service(home, use), as_json=json)


@app.command()
def void(
    record: RecordArgument,
    source: SourceOption,
    officer: OfficerOption,
    reason: ReasonOption,
    approved_by: ApprovedOption = "",
    approver_token_file: ApproverOption = None,
    revision: RevisionOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """作废一条用量：按原价退回原来支付的券。Void a record: exactly what it took goes back to the vouchers that paid."""
    from suanquan.use_cases.desk import Amendment

    _amend(home, json, Amendment(source, record, officer, reason, approved_by, revision), approver_token_file)


@app.command()
def revise(
    record: RecordArgument,
    source: SourceOption,
    officer: OfficerOption,
    reason: ReasonOption,
    account: Annotated[str | None, typer.Option(help="账户 / account")] = None,
    start: Annotated[str | None, typer.Option(help="开始，RFC 3339 / start")] = None,
    end: Annotated[str | None, typer.Option(help="结束，RFC 3339 / end")] = None,
    active_ms: Annotated[int | None, typer.Option(help="计费毫秒 / charged milliseconds", min=0)] = None,
    card: Annotated[list[str] | None, typer.Option(help="型号=千分之一卡数 / MODEL=THOUSANDTHS")] = None,
    approved_by: ApprovedOption = "",
    approver_token_file: ApproverOption = None,
    revision: RevisionOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """更正一条用量：冲回原额，按更正后的内容重新计价。Revise a record: what is not given stays as it was."""
    from suanquan.use_cases.desk import Amendment, changes_of

    changes = changes_of(account, start, end, active_ms, card)
    _amend(home, json, Amendment(source, record, officer, reason, approved_by, revision, changes), approver_token_file)


def _amend(home: Path, as_json: bool, amendment: Amendment, approver: Path | None) -> None:
    from suanquan.use_cases.desk import amend

    async def use(service: Service) -> dict[str, Any]:
        if amendment.approved_by:
            await second_person(service, "usage.approve", amendment.approved_by, approver)
        return (await amend(service.journal, service.rules, amendment))._asdict()

    emit(run_with_service(home, use), as_json=as_json)


@app.command()
def statement(
    account: Annotated[str, typer.Argument(help="账户 / account")],
    centre: Annotated[str, typer.Option(help="中心编号 / centre id")],
    month: Annotated[str, typer.Option(help="月份，如 2026-11 / the month")],
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """账户的月对账单：入账用量、价格、谁付了款、凭据编号。A month of an account: usage, prices, who paid, entries to prove."""
    from ledger.scope import EVERYTHING
    from suanquan.use_cases.month_statement import month_statement

    number = _month(month)

    async def use(service: Service) -> dict[str, Any]:
        return await month_statement(service, EVERYTHING, centre, account, number)

    emit(run_with_service(home, use), as_json=json)


def _month(text: str) -> int:
    """The month 2026-11 as 202611."""
    if re.fullmatch(r"20[0-9]{2}-(0[1-9]|1[0-2])", text) is None:
        raise typer.BadParameter("应为 2026-11 / must look like 2026-11", param_hint="--month")
    return int(text.replace("-", ""))


@app.command()
def export(
    month: Annotated[str, typer.Option(help="月份，如 2026-11 / the month")],
    out: Annotated[Path, typer.Option("-o", "--out", help="输出文件 / file to write")],
    form: Annotated[str, typer.Option(help="focus-csv、csv 或 parquet")] = "focus-csv",
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """导出当月入账的用量与谁付了款；focus-csv 为 FOCUS 1.0。Export what was posted in a month, and who paid."""
    from suanquan.use_cases.exports import FORMS, write_export

    number = _month(month)
    if form not in FORMS:
        raise typer.BadParameter(f"应为 {', '.join(FORMS)} 之一 / must be one of them", param_hint="--form")

    async def use(service: Service) -> int:
        return await write_export(service, number, form, out)

    emit({"file": str(out), "rows": run_with_service(home, use)}, as_json=json)
