"""`suanquan centre …`: what is registered of a centre beside its name: cards, energy, statements, admission, suspension."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from suanquan.cli.options import DEFAULT_HOME, HomeOption, JsonOption, run_with_service
from suanquan.cli.output import emit

if TYPE_CHECKING:
    from suanquan.service import Service
    from suanquan.use_cases.centres import Said

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
Centre = Annotated[str, typer.Argument(help="中心编号 / centre id")]
FromOption = Annotated[str, typer.Option("--from", help="自何日起（上海），如 2026-01-01 / from which day on")]
OfficerOption = Annotated[str, typer.Option("--officer", help="经办人 / who does this")]
ReasonOption = Annotated[str, typer.Option("--reason", help="理由 / reason")]
EvidenceOption = Annotated[
    Path | None, typer.Option("--evidence", help="证据文件，登记其 SHA-256 / file that shows it; its SHA-256 is kept")
]


@app.command()
def show(
    centre: Centre,
    on: Annotated[str | None, typer.Option("--on", help="哪一天（上海）/ on which day")] = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """中心的登记与准入条件。What is registered of a centre, and the policy's verdict on it."""
    from suanquan.use_cases.centre_admission import centre_object

    at_us = None if on is None else _day_us(on, "--on")

    async def use(service: Service) -> dict[str, Any]:
        async with service.database.read() as conn:
            when = service.now_us if at_us is None else at_us
            return await centre_object(conn, service.catalog, service.subsidies, centre, when)

    emit(run_with_service(home, use), as_json=json)


@app.command()
def inventory(
    centre: Centre,
    file: Annotated[Path, typer.Argument(help="CSV：serial,model[,from,to] / CSV of cards")],
    since: FromOption,
    officer: OfficerOption,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """登记卡的清单并重算算力；文件的 SHA-256 即证据。Register all cards; capacity is recomputed from them."""
    from metering.centre import read_inventory
    from suanquan.use_cases.centres import register_inventory

    said = _said(officer, since, file)
    cards = read_inventory(file.read_bytes(), str(file), said.from_us)

    async def use(service: Service) -> dict[str, Any]:
        return await register_inventory(service.journal, service.catalog, centre, cards, said)

    emit(run_with_service(home, use), as_json=json)


@app.command()
def energy(
    centre: Centre,
    month: Annotated[str, typer.Argument(help="月份，如 2026-10 / the month")],
    total_kwh: Annotated[int, typer.Option(help="总用电 / all electricity", min=1)],
    it_kwh: Annotated[int, typer.Option(help="设备用电 / of the computing equipment", min=1)],
    green_kwh: Annotated[int, typer.Option(help="其中绿电 / of all, green", min=0)],
    officer: OfficerOption,
    evidence: Annotated[Path, typer.Option(help="电费单等，登记其 SHA-256 / bills; their SHA-256 is kept")],
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """登记某月用电：PUE 与绿电比例由此算出。Register a month's electricity: PUE and green share follow from it."""
    from metering.centre import Energy
    from suanquan.use_cases.centres import register_energy

    reading = Energy(month, total_kwh, it_kwh, green_kwh)

    async def use(service: Service) -> None:
        await register_energy(service.journal, centre, reading, _said(officer, "1970-01-02", evidence))

    run_with_service(home, use)
    show(centre, None, home, json)


@app.command()
def fact(
    centre: Centre,
    statement: Annotated[str, typer.Argument(help="事实=值，值为 JSON 或文字 / FACT=VALUE, JSON or plain text")],
    since: FromOption,
    officer: OfficerOption,
    evidence: EvidenceOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """登记政策所问的事实、运营单位（operator）或申报算力（declared_tflops）。Register a statement on a centre."""
    from suanquan.use_cases.centres import register_statement

    name, equals, text = statement.partition("=")
    if not equals:
        raise typer.BadParameter("应为 事实=值 / must be FACT=VALUE", param_hint="STATEMENT")
    said = _said(officer, since, evidence)

    async def use(service: Service) -> None:
        await register_statement(service.journal, service.subsidies, centre, name, _value(name, text), said)

    run_with_service(home, use)
    show(centre, None, home, json)


def _value(name: str, text: str) -> Any:
    """Booleans, integers and objects are JSON; everything else, codes and decimals above all, is text."""
    import json as reader

    try:
        value = reader.loads(text, parse_float=str)
    except ValueError:
        return text
    return text if name == "operator" or value is None else value


@app.command()
def suspend(
    centre: Centre,
    since: FromOption,
    officer: OfficerOption,
    reason: ReasonOption,
    evidence: EvidenceOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """暂停：此后的用量照收，待核。Suspend: usage from then on is taken and waits for a person."""
    _switch(home, json, centre, _said(officer, since, evidence, reason), suspended=True)


@app.command()
def resume(
    centre: Centre,
    since: FromOption,
    officer: OfficerOption,
    reason: ReasonOption,
    evidence: EvidenceOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """恢复。Let a suspended centre go on."""
    _switch(home, json, centre, _said(officer, since, evidence, reason), suspended=False)


def _switch(home: Path, as_json: bool, centre: str, said: Said, *, suspended: bool) -> None:
    from suanquan.use_cases.centres import switch

    async def use(service: Service) -> None:
        await switch(service.journal, centre, said, suspended=suspended)

    run_with_service(home, use)
    show(centre, None, home, as_json)


@app.command()
def admit(
    centre: Centre,
    since: FromOption,
    officer: OfficerOption,
    evidence: EvidenceOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """按 323-2024 附则评判并记录，不阻断任何业务。Judge by the policy's definition and record the verdict."""
    from suanquan.use_cases.centre_admission import admit as record

    said = _said(officer, since, evidence)

    async def use(service: Service) -> dict[str, Any]:
        return await record(service.journal, service.catalog, service.subsidies, centre, said)

    emit(run_with_service(home, use), as_json=json)


@app.command("pools")
def pools_(
    centre: Centre,
    on: Annotated[str, typer.Option("--on", help="自哪一天（上海）/ from which day")],
    days: Annotated[int, typer.Option(help="几天 / so many days", min=1, max=31)] = 1,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """每小时每型号：上报占用、监控所见的忙碌与电量。Allocated, busy and energy, by model and hour."""
    from suanquan.use_cases.sight import DAY_US, Window, pools

    begin = _day_us(on, "--on")
    window = Window(centre, begin, begin + days * DAY_US)

    async def use(service: Service) -> list[dict[str, Any]]:
        async with service.database.read() as conn:
            return await pools(conn, service.catalog, window)

    emit(run_with_service(home, use), as_json=json)


def _said(officer: str, since: str, evidence: Path | None, reason: str = "") -> Said:
    from hashlib import sha256

    from suanquan.use_cases.centres import Said

    digest = "" if evidence is None else sha256(evidence.read_bytes()).hexdigest()
    return Said(officer, _day_us(since, "--from"), digest, reason)


def _day_us(text: str, option: str) -> int:
    from datetime import date

    from metering.zones import shanghai_day_us

    try:
        return shanghai_day_us(date.fromisoformat(text))
    except ValueError:
        raise typer.BadParameter(f"{text!r}: 应为 2026-01-01 / must look like 2026-01-01", param_hint=option) from None
