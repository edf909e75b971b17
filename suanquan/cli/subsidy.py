"""`suanquan subsidy`: what the policy clauses say of given facts, notice periods, and whether the rules quote their texts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import suanquan
from ledger.errors import DomainError, Finding, Kind

if TYPE_CHECKING:
    from subsidy.policies import Policies

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="政策条款：评估、公示期、引文核对 / policy clauses: evaluate, notice periods, quotes")

_EXIT = {
    Kind.NOT_FOUND: 3,
    Kind.CONFLICT: 4,
    Kind.NOT_ALLOWED: 5,
    Kind.INSUFFICIENT: 6,
    Kind.UNAVAILABLE: 7,
    Kind.PROOF: 8,
}

Json = Annotated[bool, typer.Option("--json", help="输出一个 JSON 文档 / print one JSON document")]


def config_dir() -> Path:
    """The reviewed configuration: inside an installed package, beside it in the source tree."""
    package = Path(suanquan.__file__).parent
    return package / "config" if (package / "config").is_dir() else package.parent / "config"


@app.command()
def evaluate(
    cases: Annotated[Path, typer.Option("--cases", help="案例文件（YAML 或 JSON） / file of cases")], as_json: Json = False
) -> None:
    """Evaluate a file of cases: one clause, one day and one set of facts each."""
    from subsidy.cases import evaluate_case, read_cases
    from subsidy.explain import Explainer

    with _reported():
        policies = _policies()
        read = read_cases(policies, _text(cases), cases.name)
        explainer = Explainer(policies)
        answers = []
        for case in read:
            outcome = evaluate_case(policies, case)
            answer = _refused(case.findings) if outcome is None else explainer.answer(outcome)
            answers.append({"id": case.id, **answer})
    _print_json(answers) if as_json else _print_answers(answers)
    findings = [finding for case in read for finding in case.findings]
    if findings:
        _say(findings)
        raise typer.Exit(1)


@app.command()
def publicity(
    posted_on: Annotated[str, typer.Option(help="公示发布日，如 2025-09-26 / day of posting")],
    working_days: Annotated[int, typer.Option(help="至少公示几个工作日 / complete working days")] = 5,
    as_json: Json = False,
) -> None:
    """Give the last day of a public notice and the first day on which the next step may be taken."""
    from subsidy.calendar import load_calendar
    from subsidy.calendar import publicity as notice
    from subsidy.fields import parse_day

    day = parse_day(posted_on)
    if day is None:
        raise typer.BadParameter("日期应写成 2025-09-26 的形式 / write the day as 2025-09-26", param_hint="--posted-on")
    with _reported():
        period = notice(load_calendar(config_dir() / "calendars"), day, working_days)
    last, following = period.last_publicity_day, period.earliest_next_step
    if as_json:
        answer = {"last_publicity_day": last, "earliest_next_step": following, "needs_human": period.needs_human}
        _print_json({key: str(value) if key != "needs_human" and value else value for key, value in answer.items()})
    elif period.needs_human:
        typer.echo("该年度的放假通知尚未载入，请人工确定 / the calendar of that year is not known; a person must decide")
    else:
        typer.echo(f"公示截止 {last}，最早下一步 {following} / notice ends {last}, next step from {following}")


@app.command()
def check(
    text: Annotated[list[Path] | None, typer.Option(help="政策原文 / source text of a document")] = None,
    document: Annotated[str | None, typer.Option(help="原文属于哪份文件 / which document the text is of")] = None,
    as_json: Json = False,
) -> None:
    """Check the policy documents, and their quotes against the source texts that are given."""
    from subsidy.quotes import check_text, document_of

    with _reported():
        policies = _policies()
        results = []
        for path in text or []:
            content = _read(path)
            chosen = document_of(policies.documents, content, document)
            findings = check_text(chosen, content)
            results.append({"file": path.name, "document": chosen.id, "findings": [_finding(finding) for finding in findings]})
            _say(findings)
    if as_json:
        _print_json({"documents": list(policies.documents), "clauses": len(policies.clauses), "texts": results})
    else:
        typer.echo(f"{len(policies.documents)} 份文件，{len(policies.clauses)} 条，格式无误 / documents and clauses are well-formed")
        for result in results:
            agrees = "引文与原文一致 / quotes agree" if not result["findings"] else "引文与原文不一致 / quotes differ"
            typer.echo(f"{result['file']} ({result['document']})：{agrees}")
    if any(result["findings"] for result in results):
        raise typer.Exit(1)


def _policies() -> Policies:
    from subsidy.policies import load_policies

    return load_policies(config_dir() / "policies")


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise DomainError("file-missing", f"没有文件 {path}", f"there is no file {path}", kind=Kind.NOT_FOUND)
    return path.read_bytes()


def _text(path: Path) -> str:
    try:
        return _read(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise DomainError("file-not-utf8", f"{path} 不是 UTF-8 文本", f"{path} is not UTF-8 text") from error


@contextmanager
def _reported() -> Iterator[None]:
    """Print an error of the domain with every place at fault, and exit with the status of its kind."""
    try:
        yield
    except DomainError as error:
        typer.echo(f"{error.zh} / {error.en}", err=True)
        _say(error.findings)
        raise typer.Exit(_EXIT.get(error.kind, 1)) from None


def _say(findings: Any) -> None:
    for finding in findings:
        typer.echo(f"{finding.where}: {finding.zh} / {finding.en}", err=True)


def _finding(finding: Finding) -> dict[str, str]:
    return {"code": finding.code, "where": finding.where, "zh": finding.zh, "en": finding.en}


def _refused(findings: tuple[Finding, ...]) -> dict[str, Any]:
    return {"status": None, "errors": [_finding(finding) for finding in findings]}


def _print_json(document: Any) -> None:
    typer.echo(json.dumps(document, ensure_ascii=False))


def _print_answers(answers: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("id", "状态 status", "元 yuan", "需人工 person", "缺 missing / 原因 reasons")
    for answer in answers:
        amount = answer.get("amount_yuan")
        table.add_row(
            answer["id"],
            answer["status"] or "error",
            "" if amount is None else f"{amount:,}",
            "是 yes" if answer.get("needs_human") else "",
            ", ".join(answer.get("reasons", [error["en"] for error in answer.get("errors", [])])),
        )
    Console().print(table)
