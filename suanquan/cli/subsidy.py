"""`suanquan subsidy`: what the policy clauses say of given facts, notice periods, and whether the rules quote their texts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from suanquan.cli import decisions, rules, subsidy_ask, subsidy_budget, subsidy_propose
from suanquan.cli.options import DEFAULT_HOME, HomeOption, JsonOption
from suanquan.cli.output import emit, note

if TYPE_CHECKING:
    from subsidy.readings import Reading

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(subsidy_ask.app)
app.add_typer(subsidy_budget.app)
app.add_typer(subsidy_propose.app)
app.add_typer(decisions.app)


@app.command()
def evaluate(
    cases: Annotated[Path, typer.Option(help="案例文件（YAML 或 JSON）/ file of cases")],
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """逐案评估：一条、一日、一组事实。Evaluate cases: one clause, one day and one set of facts each."""
    from subsidy.cases import evaluate_case, read_cases
    from subsidy.explain import Explainer

    policies = rules.load(home)
    explainer = Explainer(policies)
    read = read_cases(policies, rules.text_of(cases), cases.name)
    answers = []
    for case in read:
        outcome = evaluate_case(policies, case)
        answer = (
            {"status": None, "errors": rules.plain_findings(case.findings)}
            if outcome is None
            else explainer.answer(outcome)
        )
        answers.append({"id": case.id, **answer})
    if json:
        emit(answers, as_json=True)
    else:
        print("\n".join(map(_line, answers)))
    findings = [finding for case in read for finding in case.findings]
    rules.say(findings)
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

    day = rules.day(posted_on, "--posted-on")
    period = publicity(load_calendar(rules.config_folder(home, "calendars")), day, working_days)
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
    keep: Annotated[
        bool, typer.Option("--keep", help="核对无误后存入数据目录 / keep a text that agrees in the home")
    ] = False,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """检查政策文件及各种读法，并与所给原文（或数据目录里的）核对引文。Check the documents, and their quotes against texts."""
    from suanquan.office import scheme_facts
    from subsidy.procedure_reader import check_procedure_text, load_procedures
    from subsidy.quotes import check_text, document_of
    from voucher.scheme_reader import load_series

    policies = rules.load(home)
    schemes = scheme_facts(load_series(rules.config_folder(home, "schemes")))
    procedures = load_procedures(rules.config_folder(home, "procedures"), policies, schemes)
    results = []
    for path in text or _kept_texts(home):
        content = path.read_bytes()
        chosen = document_of(policies.documents, content, document)
        findings = check_text(chosen, content)
        for procedure in procedures.values():
            if procedure.document == chosen.id:
                findings += check_procedure_text(procedure, content)
        rules.say(findings)
        results.append(
            {
                "file": path.name,
                "document": chosen.id,
                "agrees": not findings,
                "findings": rules.plain_findings(findings),
            }
        )
        if keep and not findings:
            _keep(home, content, f"{chosen.id}.r{chosen.revision}.txt")
    readings = [
        {"id": reading.id, "taken": reading.taken, "options": list(reading.options), "switches": reading.switches}
        for reading in _checked_readings(home)
    ]
    names = list(policies.documents)
    emit({"documents": names, "clauses": len(policies.clauses), "readings": readings, "texts": results}, as_json=json)
    raise typer.Exit(0 if all(result["agrees"] for result in results) else 1)


def _kept_texts(home: Path) -> list[Path]:
    """The official texts that the home keeps, none where there is no home."""
    folder = home / "config" / "policies" / "texts"
    return sorted(path for path in folder.glob("*") if path.is_file())


def _keep(home: Path, content: bytes, name: str) -> None:
    from suanquan.home import Home
    from suanquan.use_cases.proposals import Desk

    note(f"已存入 kept as {Desk(Home(home)).keep_text(content, name)}")


def _checked_readings(home: Path) -> list[Reading]:
    """The register of readings, after every option that is not taken was loaded once."""
    register = list(rules.load(home).readings.values())
    for reading in register:
        for option in reading.options:
            if reading.switches and option != reading.taken:
                rules.load(home, [f"{reading.id}={option}"])
    return register


def _line(answer: dict[str, Any]) -> str:
    """One case on one line: what it came to, and why."""
    if answer["status"] is None:
        return f"{answer['id']}: 有误 error"
    figure = "" if answer["amount_yuan"] is None else f" {answer['amount_yuan']:,} 元"
    person = " 需人工 person" if answer["needs_human"] else ""
    reasons = f" ({', '.join(answer['reasons'])})" if answer["reasons"] else ""
    return f"{answer['id']}: {answer['status']}{figure}{person}{reasons}"
