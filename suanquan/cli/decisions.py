"""`suanquan subsidy decide`, `letter`, `decision`, `replay`, and `verify-letter`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.scope import EVERYTHING
from suanquan.cli.options import DEFAULT_HOME, HomeOption, JsonOption, PassphraseOption, run_with_service
from suanquan.cli.output import as_json_text, emit, note

if TYPE_CHECKING:
    from suanquan.service import Service
    from suanquan.use_cases.decisions import Application
    from subsidy.store import StoredDecision

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

IdArgument = Annotated[str, typer.Argument(help="决定编号 / id of the decision")]
JwksOption = Annotated[
    Path | None, typer.Option("--jwks", help="公钥集文件；省略则用本目录的 / JWK set, default: this home's")
]
IssuerOption = Annotated[
    str | None, typer.Option("--issuer", help="签发方 URI，与 --jwks 同用 / issuer URI, with --jwks")
]


@app.command()
def decide(
    cases: Annotated[Path, typer.Argument(help="案例文件，形式同 evaluate / file of cases, as for evaluate")],
    applicant: Annotated[str, typer.Option(help="申请人名称 / the applicant's name")],
    uscc: Annotated[str, typer.Option(help="统一社会信用代码 / unified social credit code")],
    project: Annotated[str, typer.Option(help="项目名称 / the project")],
    officer: Annotated[str, typer.Option(help="经办人 / who decides")],
    reason: Annotated[str, typer.Option(help="理由与依据 / reason and basis")],
    grant: Annotated[bool, typer.Option("--grant/--refuse", help="准予或不予 / grant or refuse")],
    case: Annotated[str | None, typer.Option(help="文件中的哪一案 / which case of the file")] = None,
    award_yuan: Annotated[str | None, typer.Option(help="准予金额（元）/ sum granted, in yuan")] = None,
    answer: Annotated[list[str] | None, typer.Option(help="问题=答复，可多次 / question=answer, repeat")] = None,
    corrects: Annotated[str | None, typer.Option(help="更正哪份决定 / which decision it corrects")] = None,
    key: Annotated[str | None, typer.Option(help="幂等键 / makes the request repeatable")] = None,
    letter: Annotated[Path | None, typer.Option(help="并写出决定书 PDF / write the letter, too")] = None,
    file: Annotated[Path | None, typer.Option(help="并写出决定文件 / write the decision file, too")] = None,
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseOption = None,
    json: JsonOption = False,
) -> None:
    """作出决定：评估、签名、入账。Decide: evaluate, sign and record."""
    import secrets

    from suanquan.use_cases.decisions import Order, decide, public_object
    from subsidy.ruling import Ruling, Verdict

    answers = dict(_pair(one, "--answer") for one in answer or [])
    award = None if award_yuan is None else _fen(award_yuan)
    ruling = Ruling(Verdict.GRANT if grant else Verdict.REFUSE, reason, award, answers)
    application = _application(cases, case)._replace(applicant=applicant, uscc=uscc, project=project)
    order = Order(application, ruling, officer, key or secrets.token_hex(16), corrects)

    async def use(service: Service) -> dict[str, Any]:
        made = await decide(service.journal, service.decisions, order)
        note(f"决定 {made.id} 已作出并入账。Decision {made.id} is made and recorded.")
        if file is not None:
            await _write_file(service, made, file)
        async with service.database.read() as connection:
            said = await public_object(connection, made)
        return said if letter is None else said | await _write_letter(service, made, letter)

    _report(run_with_service(home, use, passphrase_file, sign=True), json)


async def _write_file(service: Service, stored: StoredDecision, target: Path) -> None:
    import asyncio

    from suanquan.use_cases.decisions import decision_file

    async with service.database.read() as connection:
        content = await decision_file(connection, stored)
    await asyncio.to_thread(target.write_text, as_json_text(content) + "\n", encoding="utf-8")


async def _write_letter(service: Service, stored: StoredDecision, target: Path) -> dict[str, Any]:
    import asyncio

    from suanquan.use_cases.letters import make_letter

    made = await make_letter(service.home, stored, service.settings.public_url)
    await asyncio.to_thread(target.write_bytes, made.pdf)
    findings = [{"code": one.code, "where": one.where, "zh": one.zh, "en": one.en} for one in made.findings]
    return {"letter": str(target), "bytes": len(made.pdf), "findings": findings}


def _report(result: dict[str, Any], as_json: bool) -> None:
    """The result on stdout; what should be put right before a letter is sent on stderr."""
    emit(result if as_json else {name: value for name, value in result.items() if name != "findings"}, as_json=as_json)
    for finding in result.get("findings", ()):
        note(f"{finding['where']}: {finding['zh']} / {finding['en']}")


def _application(file: Path, name: str | None) -> Application:
    from suanquan.use_cases.decisions import read_application

    return read_application(file.read_text(encoding="utf-8"), file.name, name)


def _pair(text: str, option: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise typer.BadParameter("应写成 问题=答复 / write question=answer", param_hint=option)
    return name, value


def _fen(text: str) -> int:
    from subsidy.ruling import fen_of

    fen = fen_of(text)
    if fen is None:
        raise typer.BadParameter("应写成 1234.56 / write 1234.56", param_hint="--award-yuan")
    return fen


@app.command()
def decision(
    decision_id: IdArgument,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="写入文件 / write to a file")] = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,  # noqa: ARG001 -- taken like everywhere; a decision file is JSON in any case
) -> None:
    """决定文件：记录、事实、签名与所依文件，可离线重演。The decision file, to be replayed offline."""
    from suanquan.use_cases.decisions import decision_file, load

    async def use(service: Service) -> dict[str, Any] | None:
        async with service.database.read() as connection:
            stored = await load(connection, decision_id, EVERYTHING)
            content = await decision_file(connection, stored) if output is None else None
        if output is not None:
            await _write_file(service, stored, output)
        return content

    content = run_with_service(home, use)
    if content is not None:
        emit(content, as_json=True)


@app.command()
def letter(
    decision_id: IdArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="PDF 文件 / PDF file")],
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """决定书 PDF，附核验二维码与救济途径。The decision letter as PDF, with a QR code to verify it and the remedies."""
    from suanquan.use_cases.decisions import load

    async def use(service: Service) -> dict[str, Any]:
        async with service.database.read() as connection:
            stored = await load(connection, decision_id, EVERYTHING)
        return {"id": decision_id, **await _write_letter(service, stored, output)}

    _report(run_with_service(home, use), json)


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(help="决定文件 / decision file")],
    policies: Annotated[
        list[Path] | None, typer.Option(help="存放政策文件的目录，可多次 / folder of policy documents, repeat")
    ] = None,
    jwks: JwksOption = None,
    issuer: IssuerOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """离线重演一份决定，逐字节比较。Decide again offline, and compare bit for bit."""
    from suanquan.home import Home
    from suanquan.use_cases.check_decision import replay_file, trusted_by
    from suanquan.use_cases.subsidies import rules_folder

    for folder in policies or []:
        if not folder.is_dir():
            raise typer.BadParameter(f"没有目录 {folder} / no folder {folder}", param_hint="--policies")
    folders = [*(policies or []), rules_folder(Home(home).config, "policies")]
    report = replay_file(file.read_bytes(), folders, trusted_by(home, jwks, issuer))
    emit(report, as_json=json)
    if not report["same"]:
        note("重演结果与记录不同。The replayed decision is not the recorded one.")
    raise typer.Exit(0 if report["same"] else 8)


@app.command("verify-letter")
def verify_letter(
    text: Annotated[str, typer.Argument(help="决定书二维码中的文字 / text of the letter's QR code")],
    file: Annotated[Path | None, typer.Option(help="并与决定文件核对 / and compare with a decision file")] = None,
    jwks: JwksOption = None,
    issuer: IssuerOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """核验决定书：签名与摘要，有账本时查是否已更正。Verify a letter: signature, digest and, with the books, whether it stands."""
    from suanquan.use_cases.check_decision import confirm, confirm_by_file, require_trusted, verify_statement

    trusted = require_trusted(home, jwks, issuer)
    found = {"valid": True, **verify_statement(text, trusted)}
    if file is not None:
        confirm_by_file(file.read_bytes(), found)

    async def use(service: Service) -> dict[str, Any]:
        async with service.database.read() as connection:
            return await confirm(connection, found)

    if jwks is None:
        found |= run_with_service(home, use)
    emit(found, as_json=json)
