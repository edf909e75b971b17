"""`suanquan programme`, and what vouchers add to rounds and applications: allocation, settlement of a round, issue."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from suanquan.cli.books import KeyOption as ActKeyOption
from suanquan.cli.books import OfficerOption, ReasonOption
from suanquan.cli.options import DEFAULT_HOME, HomeOption, JsonOption, PassphraseOption, actor_here, run_with_service
from suanquan.cli.output import emit
from suanquan.cli.procedure import (
    ApplicationArgument,
    AsOption,
    KeyOption,
    RoundArgument,
    application_app,
    round_app,
)
from suanquan.cli.voucher import ContractOption, NoContractOption

if TYPE_CHECKING:
    from suanquan.service import Service
    from suanquan.use_cases.allotment import Portion

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

SchemeArgument = Annotated[str, typer.Argument(help="方案编号 / scheme id")]
CentreOption = Annotated[str, typer.Option("--centre", help="中心 / computing centre")]
AmountOption = Annotated[str, typer.Option("--amount", help="数量（十进制）/ decimal amount")]
UnitOption = Annotated[str, typer.Option("--unit", help="CNY 或/or PFLOPS.h")]


@app.command("show")
def show_programme(
    scheme: SchemeArgument,
    year: Annotated[int | None, typer.Option(help="只看此年 / this year alone")] = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """预算、留用、已发、冻结、核销、到期、已付、追回，均取自账本账户。What became of a scheme's budget, from the ledger's accounts."""

    async def use(service: Service) -> dict[str, Any]:
        from suanquan.use_cases.catalogue import find_scheme
        from suanquan.use_cases.programme import programme_object

        async with service.database.read() as conn:
            return await programme_object(conn, find_scheme(service.catalog.series, scheme), year)

    found = run_with_service(home, use)
    emit(found, as_json=json)
    if not found["agrees"]:
        raise typer.Exit(8)


@app.command("list")
def list_programmes(home: HomeOption = DEFAULT_HOME, json: JsonOption = False) -> None:
    """列出已动用预算的方案。List schemes whose budgets were used."""

    async def use(service: Service) -> list[dict[str, Any]]:
        from suanquan.use_cases.programme import list_programmes as listed

        async with service.database.read() as conn:
            return await listed(conn, service.catalog.series)

    emit(run_with_service(home, use), as_json=json)


@app.command("reclaim")
def reclaim(
    scheme: SchemeArgument,
    now: Annotated[
        bool, typer.Option("--now", help="先办理到期的（服务每小时自动办理）/ first do what is due")
    ] = False,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """闲置额度的收回通知及结果。Notices that idle units will be taken back, and what became of each."""

    async def use(service: Service) -> list[dict[str, Any]]:
        from suanquan.use_cases.catalogue import find_scheme
        from suanquan.use_cases.reclaim import list_reclaims, reclaim_idle

        series = find_scheme(service.catalog.series, scheme)
        async with service.database.read() as conn:
            if now:
                await reclaim_idle(service.journal, conn, {scheme: series}, service.now_us)
        async with service.database.read() as conn:
            return await list_reclaims(conn, scheme)

    emit(run_with_service(home, use), as_json=json)


@app.command("allot")
def allot(
    scheme: SchemeArgument, centre: CentreOption, amount: AmountOption, officer: OfficerOption, reason: ReasonOption,
    unit: UnitOption = "CNY", key: ActKeyOption = None, home: HomeOption = DEFAULT_HOME, json: JsonOption = False,
) -> None:  # fmt: skip
    """把额度划给中心，由中心发放。Allot to a centre, which hands out."""
    _allotment("allot", scheme, (centre, amount, unit), (officer, reason, key), home, json=json)


@app.command("take-back")
def take_back(
    scheme: SchemeArgument, centre: CentreOption, amount: AmountOption, officer: OfficerOption, reason: ReasonOption,
    unit: UnitOption = "CNY", key: ActKeyOption = None, home: HomeOption = DEFAULT_HOME, json: JsonOption = False,
) -> None:  # fmt: skip
    """中心退回未发放的额度。A centre gives back what it did not hand out."""
    _allotment("take-back", scheme, (centre, amount, unit), (officer, reason, key), home, json=json)


def _allotment(
    what: str, scheme: str, portion: tuple[str, str, str], by: tuple[str, str, str | None], home: Path, *, json: bool
) -> None:
    async def use(service: Service) -> dict[str, Any]:
        from suanquan.use_cases import allotment
        from suanquan.use_cases.books import Order
        from suanquan.use_cases.catalogue import find_scheme
        from suanquan.use_cases.programme import programme_object

        act = allotment.allot if what == "allot" else allotment.take_back
        await act(service.journal, Order(*by), _portion(service, scheme, *portion))
        async with service.database.read() as conn:
            return await programme_object(conn, find_scheme(service.catalog.series, scheme))

    emit(run_with_service(home, use), as_json=json)


def _portion(service: Service, scheme: str, centre: str, amount: str, unit: str) -> Portion:
    from suanquan.use_cases.allotment import Portion
    from suanquan.use_cases.catalogue import find_scheme, version_at

    return Portion(version_at(find_scheme(service.catalog.series, scheme), service.now_us), centre, amount, unit)


@app.command("hand-out")
def hand_out(
    scheme: SchemeArgument,
    centre: CentreOption,
    holder: Annotated[str, typer.Option(help="统一社会信用代码 / unified social credit code")],
    amount: AmountOption,
    unit: UnitOption = "CNY",
    holder_key: Annotated[str | None, typer.Option(help="持券人公钥 JWK（文件或文本）/ holder's public JWK")] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="重试用同一键得同一张券 / same key, same voucher")] = None,
    contract: ContractOption = None,
    reason: NoContractOption = "",
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseOption = None,
    json: JsonOption = False,
) -> None:
    """中心从划给它的额度中发券。A voucher out of a centre's allotment."""
    import secrets

    from suanquan.cli.voucher import read_contract, read_jwk

    jwk, supported = read_jwk(holder_key), read_contract(contract)

    async def use(service: Service) -> dict[str, Any]:
        from suanquan.use_cases.allotment import Receiver
        from suanquan.use_cases.allotment import hand_out as handed
        from suanquan.use_cases.issue import with_tokens

        portion = _portion(service, scheme, centre, amount, unit)
        key = idempotency_key or secrets.token_hex(16)
        return with_tokens(await handed(service.desk, portion, Receiver(holder, jwk, supported, reason), key))

    emit(run_with_service(home, use, passphrase_file, sign=True), as_json=json)


@round_app.command("allocate")
def allocate_round(
    round_: RoundArgument,
    as_: AsOption,
    basis: Annotated[str, typer.Option(help="依据（文号、会议纪要）/ authority")],
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """截止后按方案的次序平衡全部已评审的申领。Plan all reviewed applications of a closed round in the scheme's order."""

    async def use(service: Service) -> list[dict[str, Any]]:
        from suanquan.use_cases.procedure_views import award_objects

        actor = await actor_here(service, as_, "department")
        return award_objects(await service.proceedings.allocate(actor, round_, {"basis": basis}))

    emit(run_with_service(home, use), as_json=json)


@round_app.command("settle")
def settle_round(
    round_: RoundArgument,
    as_: AsOption,
    basis: Annotated[str, typer.Option(help="依据（文号）/ authority")],
    key: KeyOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """结束一轮算力券，未用的预算退回当年。End a round of vouchers: what nobody got goes back to the year's budget."""

    async def use(service: Service) -> dict[str, Any]:
        from suanquan.use_cases import applications, procedure_views

        proceedings = service.proceedings
        await proceedings.settle_round(await actor_here(service, as_, "finance"), round_, {"basis": basis}, key)
        async with service.database.read() as conn:
            found = await applications.load_round(conn, proceedings.office, round_)
        return procedure_views.round_object(proceedings.office, found)

    emit(run_with_service(home, use), as_json=json)


@application_app.command("issue")
def issue_application(
    application: ApplicationArgument,
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseOption = None,
    json: JsonOption = False,
) -> None:
    """发放已批准申领的券；服务在运行时会自动办理，重复运行不会多发。Issue what is approved; a running service does it by itself, and nothing is issued twice."""

    async def use(service: Service) -> list[dict[str, Any]]:
        from suanquan.use_cases.issue import with_tokens

        return [with_tokens(stored) for stored in await service.issue_approved(application)]

    emit(run_with_service(home, use, passphrase_file, sign=True), as_json=json)
