"""`suanquan subsidy`: what the policy clauses say of given facts, notice periods, and whether the rules quote their texts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.errors import Finding
from suanquan.cli.decisions import app as decisions_app
from suanquan.cli.options import DEFAULT_HOME, HomeOption, JsonOption
from suanquan.cli.output import emit, note

if TYPE_CHECKING:
    from subsidy.policies import Policies

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(decisions_app)


@app.command()
def evaluate(
    cases: Annotated[Path, typer.Option(help="案例文件（YAML 或 JSON）/ file of cases")],
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """逐案评估：一条、一日、一组事实。Evaluate cases: one clause, one day and one set of facts each."""
    from subsidy.cases import evaluate_case, read_cases
    from subsidy.explain import Explainer

    policies = _policies(home)
    explainer = Explainer(policies)
    read = read_cases(policies, _text(cases), cases.name)
    answers = []
    for case in read:
        outcome = evaluate_case(policies, case)
        answer = {"status": None, "errors": _plain(case.findings)} if outcome is None else explainer.answer(outcome)
        answers.append({"id": case.id, **answer})
    if json:
        emit(answers, as_json=True)
    else:
        print("\n".join(map(_line, answers)))
    findings = [finding for case in read for finding in case.findings]
    _say(findings)
    raise typer.Exit(1 if findings else 0)


@app.command()
def publicity(
    posted_on: Annotated[str, typer.Option(help="公示发布日，如 2025-09-26 / day of posting")],
    working_days: Annotated[int, typer.Option(help="至少公示几个工作日 / complete working days")] = 5,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """公示截止日与最早的下一步。The last day of a public notice and the first day of the next step."""
    from subsidy.calendar import load_calendar, publicity
    from subsidy.fields import parse_day

    day = parse_day(posted_on)
    if day is None:
        raise typer.BadParameter("日期应写成 2025-09-26 的形式 / write the day as 2025-09-26", param_hint="--posted-on")
    period = publicity(load_calendar(_config(home, "calendars")), day, working_days)
    answer = {
        "last_publicity_day": period.last_publicity_day and period.last_publicity_day.isoformat(),
        "earliest_next_step": period.earliest_next_step and period.earliest_next_step.isoformat(),
        "needs_human": period.needs_human,
    }
    emit(answer, as_json=json)
    if period.needs_human:
        note("该年度的放假通知尚未载入，请人工确定。The calendar of that year is not known; a person must decide.")


@app.command()
def check(
    text: Annotated[list[Path] | None, typer.Option(help="政策原文 / source text of a document")] = None,
    document: Annotated[str | None, typer.Option(help="原文属于哪份文件 / which document the text is of")] = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """检查政策文件，并与所给原文核对引文。Check the policy documents, and their quotes against the texts given."""
    from subsidy.quotes import check_text, document_of

    policies = _policies(home)
    results = []
    for path in text or []:
        content = path.read_bytes()
        chosen = document_of(policies.documents, content, document)
        findings = check_text(chosen, content)
        _say(findings)
        results.append({"file": path.name, "document": chosen.id, "agrees": not findings, "findings": _plain(findings)})
    emit({"documents": list(policies.documents), "clauses": len(policies.clauses), "texts": results}, as_json=json)
    raise typer.Exit(0 if all(result["agrees"] for result in results) else 1)


def _config(home: Path, name: str) -> Path:
    """The home's own folder of that configuration, or the one that ships with suanquan."""
    from suanquan.home import Home, packaged_config

    own = Home(home).config / name
    return own if own.is_dir() else packaged_config() / name


def _policies(home: Path) -> Policies:
    from subsidy.policies import load_policies

    return load_policies(_config(home, "policies"))


def _text(path: Path) -> str:
    from subsidy.errors import SubsidyError

    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SubsidyError("file-not-utf8", f"{path} 不是 UTF-8 文本", f"{path} is not UTF-8 text") from error


def _plain(findings: Any) -> list[dict[str, str]]:
    return [{"code": finding.code, "where": finding.where, "zh": finding.zh, "en": finding.en} for finding in findings]


def _say(findings: list[Finding]) -> None:
    for finding in findings:
        note(f"{finding.where}: {finding.zh} / {finding.en}")


def _line(answer: dict[str, Any]) -> str:
    """One case on one line: what it came to, and why."""
    if answer["status"] is None:
        return f"{answer['id']}: 有误 error"
    figure = "" if answer["amount_yuan"] is None else f" {answer['amount_yuan']:,} 元"
    person = " 需人工 person" if answer["needs_human"] else ""
    reasons = f" ({', '.join(answer['reasons'])})" if answer["reasons"] else ""
    return f"{answer['id']}: {answer['status']}{figure}{person}{reasons}"
