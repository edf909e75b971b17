"""`suanquan findings`: run the checks, work through the queue, and tell what is known of parties."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from suanquan.cli.options import DEFAULT_HOME, HomeOption, JsonOption, run_with_service
from suanquan.cli.output import emit

if TYPE_CHECKING:
    from suanquan.service import Service
    from suanquan.use_cases.findings import Examination

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
FindingArgument = Annotated[str, typer.Argument(help="list 给出的 id / as `list` shows it")]
OfficerOption = Annotated[str, typer.Option("--officer", help="经办人 / who does this")]
ReasonOption = Annotated[str, typer.Option("--reason", help="理由 / reason")]
PartyArgument = Annotated[str, typer.Argument(help="统一社会信用代码或姓名 / its code, or a name")]


@app.command("list")
def list_(
    state: Annotated[
        str | None, typer.Option(help="open、explained、upheld、dismissed；默认全部 / default all")
    ] = None,
    check: Annotated[str | None, typer.Option(help="核查，如 A13、S1 / a check")] = None,
    subject: Annotated[str | None, typer.Option(help="对象 / whom it concerns")] = None,
    after: Annotated[str, typer.Option(help="接在此 id 之后 / continue behind this id")] = "",
    limit: Annotated[int, typer.Option(help="至多几条 / at most so many", min=1, max=10_000)] = 100,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """核查提示，由新到旧。Findings, newest first."""
    from suanquan.use_cases.findings import list_findings

    async def use(service: Service) -> dict[str, Any]:
        async with service.database.read() as conn:
            return await list_findings(conn, state=state, check=check, subject=subject, after=after, limit=limit)

    emit(run_with_service(home, use), as_json=json)


@app.command()
def show(finding: FindingArgument, home: HomeOption = DEFAULT_HOME, json: JsonOption = False) -> None:
    """一条提示及其证据、复核。One finding with its evidence and its reviews."""
    from suanquan.use_cases.findings import finding_object

    async def use(service: Service) -> dict[str, Any]:
        async with service.database.read() as conn:
            return await finding_object(conn, finding)

    emit(run_with_service(home, use), as_json=json)


@app.command()
def review(
    finding: FindingArgument,
    state: Annotated[str, typer.Option(help="explained、upheld、dismissed，或 open 重新打开 / or open it again")],
    officer: OfficerOption,
    reason: ReasonOption,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """复核：说明、成立或不成立；不影响任何业务。Decide a finding; nothing else follows from it."""
    from suanquan.use_cases.findings import review as decide
    from voucher.findings import State, Verdict

    if state not in {one.value for one in State}:
        listed = ", ".join(one.value for one in State)
        raise typer.BadParameter(f"应为 {listed} / must be one of them", param_hint="--state")
    verdict = Verdict(State(state), officer, reason)

    async def use(service: Service) -> dict[str, Any]:
        return await decide(service.journal, finding, verdict)

    emit(run_with_service(home, use), as_json=json)


AgainOption = Annotated[bool, typer.Option("--again", help="不止新用量，全部重看 / all usage, not only what is new")]


@app.command()
def run(again: AgainOption = False, home: HomeOption = DEFAULT_HOME, json: JsonOption = False) -> None:
    """运行全部核查并记录。Run every check and record what it points out."""
    from suanquan.use_cases.findings import record

    async def use(service: Service) -> dict[str, Any]:
        return await record(service.journal, await _examined(service, again=again))

    emit(run_with_service(home, use), as_json=json)


@app.command()
def look(again: AgainOption = False, home: HomeOption = DEFAULT_HOME, json: JsonOption = False) -> None:
    """看一遍，不记录。What a run would find now; nothing is recorded."""
    from suanquan.use_cases.findings import to_json

    async def use(service: Service) -> dict[str, Any]:
        return to_json(await _examined(service, again=again))

    found = run_with_service(home, use)
    emit(found if json else found["found"], as_json=json)


async def _examined(service: Service, *, again: bool) -> Examination:
    from suanquan.use_cases.findings import examine, thresholds_of

    limits = thresholds_of(service.home.config)
    async with service.database.read() as conn:
        office = service.proceedings.office
        return await examine(conn, service.catalog, office, limits, service.now_us, again=again)


@app.command()
def parties(
    party: Annotated[str | None, typer.Option(help="只看此单位 / this party alone")] = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """已登记的关联（遮盖）、处罚与举报。What ties parties (masked), sanctions and tips."""
    from suanquan.use_cases.parties import parties_object

    async def use(service: Service) -> dict[str, Any]:
        async with service.database.read() as conn:
            return await parties_object(conn, party)

    emit(run_with_service(home, use), as_json=json)


@app.command()
def learn(
    file: Annotated[Path, typer.Argument(help="CSV：party,kind,value")],
    origin: Annotated[str, typer.Option(help="来源，如工商登记 / where it is known from")],
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """登记单位之间的关联，值只存密钥摘要。Register what ties parties; values are kept as keyed digests alone."""
    from suanquan.use_cases.parties import learn as keep
    from suanquan.use_cases.parties import read_traits

    traits = read_traits(file.read_bytes(), str(file))

    async def use(service: Service) -> dict[str, int]:
        return await keep(service.journal, traits, origin)

    emit(run_with_service(home, use), as_json=json)


@app.command()
def forget(
    party: PartyArgument,
    officer: OfficerOption,
    reason: ReasonOption,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """删除一个单位的关联。Forget what ties a party to others."""
    from suanquan.use_cases.parties import forget as drop

    async def use(service: Service) -> dict[str, int]:
        return {"traits": await drop(service.journal, party, officer, reason)}

    emit(run_with_service(home, use), as_json=json)


@app.command()
def ban(
    party: PartyArgument,
    decision: Annotated[str, typer.Option(help="处罚决定 / by which decision")],
    since: Annotated[str, typer.Option("--from", help="自何日起 / from which day on")],
    officer: OfficerOption,
    until: Annotated[str, typer.Option("--until", help="至何日（不含），默认无期 / until which day, excluded")] = "",
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """登记惩戒期。Record that a party may not apply for a time."""
    from datetime import date

    from ledger.amount import INT64_MAX
    from metering.zones import shanghai_day_us
    from suanquan.use_cases.parties import ban as record

    try:
        begin = shanghai_day_us(date.fromisoformat(since))
        end = shanghai_day_us(date.fromisoformat(until)) if until else INT64_MAX
    except ValueError:
        raise typer.BadParameter("应为 2026-01-01 / must look like 2026-01-01", param_hint="--from") from None

    async def use(service: Service) -> dict[str, int]:
        return {"number": await record(service.journal, party, decision, officer, (begin, end))}

    emit(run_with_service(home, use), as_json=json)


@app.command()
def tip(
    provider: Annotated[str, typer.Argument(help="服务商代码或中心编号 / a provider's code, or a centre's id")],
    message: Annotated[str, typer.Option(help="内容 / what was told")],
    officer: OfficerOption,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """登记举报。Record what was told of a provider."""
    from suanquan.use_cases.parties import tell

    async def use(service: Service) -> dict[str, int]:
        return {"number": await tell(service.journal, provider, message, officer)}

    emit(run_with_service(home, use), as_json=json)
