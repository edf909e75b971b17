"""`suanquan round`, `suanquan application` and `suanquan officer`: calls, applications, and who acts in them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.scope import EVERYTHING
from suanquan.cli.options import DEFAULT_HOME, HomeOption, JsonOption, actor_here, run_with_service
from suanquan.cli.output import emit, note

if TYPE_CHECKING:
    from ledger.sql import Connection
    from suanquan.office import Office
    from suanquan.service import Service
    from suanquan.use_cases.applications import Application

round_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
application_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
officer_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

AsOption = Annotated[
    str,
    typer.Option("--as", help="经办人姓名，申报单位用其统一社会信用代码 / who acts; an applicant by its code"),
]
KeyOption = Annotated[str | None, typer.Option("--key", help="幂等键 / makes the request repeatable")]
ApplicationArgument = Annotated[str, typer.Argument(help="申报编号 / id of the application")]
RoundArgument = Annotated[str, typer.Argument(help="轮次编号 / id of the round")]
FileArgument = Annotated[Path, typer.Argument(help="申报内容，YAML 或 JSON / its content, YAML or JSON")]


@officer_app.command("add")
def add_officer(
    person: Annotated[str, typer.Argument(help="姓名；申报单位用其统一社会信用代码 / name; an applicant by its code")],
    role: Annotated[str, typer.Option(help="applicant、department、finance、reviewer 之一 / one of these roles")],
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """登记办理人及其角色，给出令牌。Register a person with a role; prints the token."""
    from suanquan.use_cases import officers

    async def use(service: Service) -> str:
        return await officers.add_officer(service.journal, service.clock_ns, person, role)

    emit({"person": person, "role": role, "token": run_with_service(home, use)}, as_json=json)
    note("令牌只显示这一次，请妥善保存。The token is shown only this once; keep it.")


@officer_app.command("revoke")
def revoke_officer(
    person: Annotated[str, typer.Argument(help="姓名 / name")],
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """收回一个人的全部角色与令牌。End every role and token of a person."""
    from suanquan.use_cases import officers

    async def use(service: Service) -> int:
        return await officers.revoke_officer(service.journal, service.clock_ns, person)

    emit({"person": person, "revoked": run_with_service(home, use)}, as_json=json)


@officer_app.command("list")
def list_officers(home: HomeOption = DEFAULT_HOME, json: JsonOption = False) -> None:
    """列出办理人。List everybody with a token."""
    from suanquan.use_cases import officers

    async def use(service: Service) -> list[dict[str, Any]]:
        async with service.database.read() as conn:
            return await officers.list_officers(conn)

    emit(run_with_service(home, use), as_json=json)


@round_app.command("call")
def call_round(
    as_: AsOption,
    procedure: Annotated[str, typer.Option(help="流程编号，如 16 / id of the procedure")],
    title: Annotated[str, typer.Option(help="通知标题 / title of the call")],
    opens: Annotated[str, typer.Option(help="受理首日，如 2025-09-01 / first day")],
    closes: Annotated[str, typer.Option(help="受理末日 / last day")],
    budget: Annotated[
        list[str],
        typer.Option(
            "--budget",
            help="条款=元，或 方案@PFLOPS.h=数量，可重复 / CLAUSE=YUAN or SCHEME@PFLOPS.h=AMOUNT, repeatable",
        ),
    ],
    decision: Annotated[str, typer.Option(help="本年再次组织的决定 / decision for a further round of the year")] = "",
    key: KeyOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """发布申报通知，为各条款划出预算。Call for applications and set money aside for each clause."""
    budgets = dict(_pair(item, "--budget") for item in budget)
    given: dict[str, Any] = {
        "procedure": procedure,
        "title": title,
        "opens": opens,
        "closes": closes,
        "budgets": budgets,
    }
    if decision:
        given["decision"] = decision

    async def use(service: Service) -> dict[str, Any]:
        from suanquan.use_cases import applications, procedure_views

        proceedings = service.proceedings
        round_ = await proceedings.call(await actor_here(service, as_, "department"), given, key)
        async with service.database.read() as conn:
            found = await applications.load_round(conn, proceedings.office, round_)
        return procedure_views.round_object(proceedings.office, found)

    emit(run_with_service(home, use), as_json=json)


@round_app.command("fund")
def fund_round(
    round_: RoundArgument,
    as_: AsOption,
    budget: Annotated[
        list[str],
        typer.Option(
            "--budget",
            help="条款=追加的元，或 方案@PFLOPS.h=数量，可重复 / CLAUSE=YUAN to add, or SCHEME@PFLOPS.h=AMOUNT, repeatable",
        ),
    ],
    basis: Annotated[str, typer.Option(help="依据（文号）/ authority")],
    key: KeyOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """为一轮申报的条款追加预算。Add to the budgets of a round."""
    given = {"budgets": dict(_pair(item, "--budget") for item in budget), "basis": basis}

    async def use(service: Service) -> dict[str, Any]:
        from suanquan.use_cases import applications, procedure_views

        proceedings = service.proceedings
        await proceedings.fund(await actor_here(service, as_, "finance"), round_, given, key)
        async with service.database.read() as conn:
            found = await applications.load_round(conn, proceedings.office, round_)
        return procedure_views.round_object(proceedings.office, found)

    emit(run_with_service(home, use), as_json=json)


@round_app.command("list")
def list_rounds(home: HomeOption = DEFAULT_HOME, json: JsonOption = False) -> None:
    """列出各轮申报。List rounds."""

    async def read(conn: Connection, office: Office) -> list[dict[str, Any]]:
        from suanquan.use_cases import applications, procedure_views

        found = await applications.load_rounds(conn, office)
        return [procedure_views.round_object(office, one) for one in found]

    _read(home, json, read)


@round_app.command("show")
def show_round(round_: RoundArgument, home: HomeOption = DEFAULT_HOME, json: JsonOption = False) -> None:
    """一轮申报及其全部申请。A round with its applications."""

    async def read(conn: Connection, office: Office) -> dict[str, Any]:
        from suanquan.use_cases import applications, procedure_views

        found = await applications.load_round(conn, office, round_)
        listed = await applications.load_applications(conn, office, round_, EVERYTHING)
        lines = [procedure_views.application_line(office, one) for one in listed]
        return {**procedure_views.round_object(office, found), "applications": lines}

    _read(home, json, read)


@round_app.command("notices")
def list_notices(home: HomeOption = DEFAULT_HOME, json: JsonOption = False) -> None:
    """今天处于公示期的项目。What is in public notice today."""

    async def use(service: Service) -> list[dict[str, Any]]:
        from suanquan.use_cases import procedure_views

        proceedings = service.proceedings
        async with service.database.read() as conn:
            return await procedure_views.public_notices(conn, proceedings.office, proceedings.today)

    emit(run_with_service(home, use), as_json=json)


@round_app.command("procedure")
def show_procedure(
    procedure: Annotated[str, typer.Argument(help="流程编号，如 16 / id of the procedure")],
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """流程的材料、状态与步骤，各附条款。Materials, states and steps of a procedure, each with its clause."""

    async def read(_conn: Connection, office: Office) -> dict[str, Any]:
        from suanquan.use_cases import procedure_views
        from subsidy.procedure_reader import procedure_named

        return procedure_views.procedure_object(office, procedure_named(office.procedures, procedure))

    _read(home, json, read)


@application_app.command("submit")
def submit(
    file: FileArgument,
    as_: AsOption,
    key: KeyOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """申报；同样的内容再报一次仍是同一份。Submit an application; the same content again is the same application."""
    given = _file(file)

    async def use(service: Service) -> dict[str, Any]:
        application = await service.proceedings.submit(
            await actor_here(service, as_, "applicant", "department"), given, key
        )
        return await _shown(service, application)

    emit(run_with_service(home, use), as_json=json)


@application_app.command("step")
def take_step(
    application: ApplicationArgument,
    step: Annotated[str, typer.Argument(help="步骤，见 application show 的 next / step, one of `next`")],
    as_: AsOption,
    opinion: Annotated[str | None, typer.Option(help="意见 / opinion")] = None,
    reason: Annotated[str | None, typer.Option(help="理由 / reason")] = None,
    basis: Annotated[str | None, typer.Option(help="依据（文号、会议纪要）/ authority")] = None,
    method: Annotated[str | None, typer.Option(help="评审方式 / how it was reviewed")] = None,
    score: Annotated[str | None, typer.Option(help="得分 / points")] = None,
    amount: Annotated[
        str | None, typer.Option(help="金额（元，或该申请的计量单位）/ yuan, or the unit of the application")
    ] = None,
    until: Annotated[str | None, typer.Option(help="补正期限 / last day to supplement")] = None,
    address: Annotated[str | None, typer.Option(help="公示网址 / address of the notice")] = None,
    objection: Annotated[str | None, typer.Option(help="异议内容 / what is objected")] = None,
    objection_number: Annotated[int | None, typer.Option(help="异议编号 / number of the objection")] = None,
    reference: Annotated[str | None, typer.Option(help="支付或到账凭证号 / payment voucher")] = None,
    fact: Annotated[list[str] | None, typer.Option("--fact", help="事实=值，可重复 / FACT=VALUE, repeatable")] = None,
    file: Annotated[
        Path | None, typer.Option(help="materials、costs、facts（YAML 或 JSON）/ these, as YAML or JSON")
    ] = None,
    key: KeyOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """办理一步。Take a step of an application."""
    given: dict[str, Any] = {} if file is None else _file(file)
    named = {
        "opinion": opinion, "reason": reason, "basis": basis, "method": method, "score": score, "amount": amount,
        "until": until, "address": address, "objection": objection, "objection_number": objection_number,
        "reference": reference,
    }  # fmt: skip
    given |= {name: value for name, value in named.items() if value is not None}
    if fact:
        given["facts"] = given.get("facts", {}) | {
            name: _value(text) for name, text in (_pair(f, "--fact") for f in fact)
        }

    async def use(service: Service) -> dict[str, Any]:
        actor = await actor_here(service, as_, *await _roles_for(service, application, step))
        await service.proceedings.take(actor, application, step, given, key)
        return await _shown(service, application)

    emit(run_with_service(home, use), as_json=json)


@application_app.command("show")
def show_application(
    application: ApplicationArgument, home: HomeOption = DEFAULT_HOME, json: JsonOption = False
) -> None:
    """一份申报：状态、材料、评估、可办步骤、历史，各附条款。Everything about an application, each part with its clause."""

    async def use(service: Service) -> dict[str, Any]:
        return await _shown(service, application)

    emit(run_with_service(home, use), as_json=json)


@application_app.command("list")
def list_applications(
    round_: Annotated[str, typer.Option("--round", help="轮次编号；不写则全部 / id of the round; all by default")] = "",
    state: Annotated[str, typer.Option(help="只列此状态 / this state alone")] = "",
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """列出申报。List applications."""

    async def use(service: Service) -> list[dict[str, Any]]:
        from suanquan.use_cases import procedure_views

        office = service.proceedings.office
        found = [one for one in await _everything(service, round_) if state in {"", one.case.state}]
        return [procedure_views.application_line(office, one) for one in found]

    emit(run_with_service(home, use), as_json=json)


def _read(home: Path, json: bool, ask: Callable[[Connection, Office], Awaitable[Any]]) -> None:
    async def use(service: Service) -> Any:
        async with service.database.read() as conn:
            return await ask(conn, service.proceedings.office)

    emit(run_with_service(home, use), as_json=json)


async def _everything(service: Service, round_: str = "") -> list[Application]:
    from suanquan.use_cases import applications

    office = service.proceedings.office
    async with service.database.read() as conn:
        rounds = [round_] if round_ else [one.id for one in await applications.load_rounds(conn, office)]
        return [one for name in rounds for one in await applications.load_applications(conn, office, name, EVERYTHING)]


async def _roles_for(service: Service, application: str, step: str) -> list[str]:
    from suanquan.use_cases import applications

    async with service.database.read() as conn:
        found = await applications.load_application(conn, service.proceedings.office, application, EVERYTHING)
    wanted = found.round.procedure.steps.get(step)
    return [] if wanted is None else [role.value for role in wanted.roles]


async def _shown(service: Service, application: str) -> dict[str, Any]:
    from suanquan.use_cases import applications, procedure_views

    proceedings = service.proceedings
    async with service.database.read() as conn:
        found = await applications.load_application(conn, proceedings.office, application, EVERYTHING)
        setting = await proceedings.setting(conn, found)
        return procedure_views.application_object(proceedings.office, found, setting)


def _file(path: Path) -> dict[str, Any]:
    """A mapping from YAML or JSON, read strictly, without its line numbers."""
    from subsidy.errors import SubsidyError
    from subsidy.yaml_text import read_yaml

    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SubsidyError("file-not-utf8", f"{path} 不是 UTF-8 文本", f"{path} is not UTF-8 text") from error
    plain: dict[str, Any] = _plain(read_yaml(text, path.name))
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _pair(item: str, option: str) -> tuple[str, str]:
    name, equals, value = item.partition("=")
    if not name or not equals:
        raise typer.BadParameter(f"{item!r}: 应为 名称=值 / must be NAME=VALUE", param_hint=option)
    return name, value


def _value(text: str) -> Any:
    """A fact's value as somebody types it: true, false, a list in brackets, or its text (numbers are read by the dictionary)."""
    if text in {"true", "false"}:
        return text == "true"
    if text.startswith("[") and text.endswith("]"):
        return [word.strip() for word in text[1:-1].split(",") if word.strip()]
    return text
