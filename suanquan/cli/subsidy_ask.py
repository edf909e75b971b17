"""`suanquan subsidy ask` and `what-if`: what an applicant should know first, and what another fact, day or reading would change."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from suanquan.cli import rules
from suanquan.cli.options import DEFAULT_HOME, HomeOption, JsonOption
from suanquan.cli.output import emit, note
from suanquan.cli.rules import ClausesOption, DayOption, DocumentsOption, ReadingsOption

if TYPE_CHECKING:
    from subsidy.ask import Asked
    from subsidy.facts import Facts
    from subsidy.policies import Policies
    from subsidy.what_if import Changed, Comparison, Situation

app = typer.Typer()

SetOption = Annotated[list[str] | None, typer.Option("--set", help="事实=值，可重复 / fact=value, repeatable")]
_VERDICTS = {True: "met", False: "failed", None: "unknown"}


@app.command()
def ask(
    answers: Annotated[Path | None, typer.Option(help="已知事实（YAML 或 JSON）/ known facts")] = None,
    set_: SetOption = None,
    clause: ClausesOption = None,
    on: DayOption = None,
    save: Annotated[Path | None, typer.Option(help="把回答存为文件 / keep the answers in a file")] = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """逐个提问，用最少的问题定下最多的条款；--json 只给出下一问。Ask the fewest questions that settle most clauses."""
    from suanquan.home import Home
    from suanquan.use_cases.subsidies import Subsidies

    policies = rules.load(home)
    facts = rules.facts_of(policies, answers, set_)
    clauses, day = rules.clauses_of(policies, clause), rules.day(on)
    if json:
        emit(Subsidies(Home(home).config).ask(clauses, facts, day), as_json=True)
        return
    _converse(policies, facts, day, clauses)
    for name in clauses:
        _show(policies, name, facts, day)
    if save is not None:
        save.write_text(_facts_text(facts), encoding="utf-8")


def _converse(policies: Policies, facts: Facts, day: date, clauses: tuple[str, ...]) -> None:
    """Ask until nothing can change, or the person has no more answers; what they skip is not asked again."""
    from subsidy.ask import questions

    skipped: list[str] = []
    while asked := questions(policies, facts, day, clauses, skipped):
        note(_question(asked[0], len(asked)))
        line = sys.stdin.readline()
        if not line:
            break
        if not _take(asked[0], line.strip(), facts):
            skipped.append(asked[0].fact.name)


def _question(asked: Asked, left: int) -> str:
    fact = asked.fact
    form = {
        "flag": "true / false",
        "set": "；".join(fact.values) + "（多个以 ; 分开，没有写 - / joined by ;, - for none）",
        "choice": " | ".join(fact.values),
        "day": "2025-05-26",
    }.get(fact.type.value, fact.unit or "数 number")
    purpose = f"关系到 {len(asked.clauses)} 条 clauses，至多还有 {left} 问 at most {left} left"
    return f"\n{fact.question_zh}\n{fact.question_en}\n  [{form}] 空行表示不知道 / empty: not known ({purpose})"


def _take(asked: Asked, text: str, facts: Facts) -> bool:
    """Take an answer, asking again while it cannot be read; false if the person does not know."""
    from subsidy.applicants import read_cell
    from subsidy.facts import Fault

    while text:
        value = read_cell(asked.fact, text)
        if not isinstance(value, Fault):
            facts[asked.fact.name] = value
            return True
        note(f"  {value.zh} / {value.en}")
        text = sys.stdin.readline().strip()
    return False


def _show(policies: Policies, name: str, facts: Facts, day: date) -> None:
    from subsidy.evaluate import evaluate

    outcome = evaluate(policies, name, facts, day)
    missing = f"，还缺 missing: {', '.join(outcome.missing)}" if outcome.missing else ""
    print(f"{name} {outcome.rule.clause.title_zh}: {rules.standing(outcome)}{missing}")


def _facts_text(facts: Facts) -> str:
    """Facts as a file that `--answers` reads."""
    import json

    from subsidy.explain import plain

    return (
        json.dumps({"facts": {name: plain(value) for name, value in facts.items()}}, ensure_ascii=False, indent=1)
        + "\n"
    )


@app.command("what-if")
def what_if(
    answers: Annotated[Path | None, typer.Option(help="事实（YAML 或 JSON）/ facts")] = None,
    set_: SetOption = None,
    change: Annotated[list[str] | None, typer.Option(help="改为 事实=值 / change to fact=value")] = None,
    clause: ClausesOption = None,
    on: DayOption = None,
    to_day: Annotated[str | None, typer.Option(help="改为该日受理 / change the day of receipt")] = None,
    reading: ReadingsOption = None,
    document: DocumentsOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """改一项事实、日期、文件版本或读法，逐条件比较。Change a fact, the day, a document or a reading; compare by condition."""
    from subsidy.what_if import Situation, compare

    policies = rules.load(home)
    facts, day = rules.facts_of(policies, answers, set_), rules.day(on)
    other = rules.load(home, reading, document) if reading or document else policies
    changed = rules.facts_of(other, answers, [*(set_ or []), *(change or [])])
    before = Situation(policies, facts, day)
    after = Situation(other, changed, rules.day(to_day, "--to-day") if to_day else day)
    compared = [compare(name, before, after) for name in _common(before, after, clause)]
    if json:
        emit(
            {"changed": [_object(item) for item in compared if not item.same], "compared": len(compared)}, as_json=True
        )
        return
    for item in compared:
        if not item.same:
            print("\n".join(_lines(item)))
    note(
        f"比较了 {len(compared)} 条，{sum(not item.same for item in compared)} 条不同 / clauses compared, and that differ"
    )


def _common(before: Situation, after: Situation, named: list[str] | None) -> list[str]:
    """The clauses to compare; one that only a side has cannot be compared unless it is named, which is refused."""
    both = set(before.policies.clause_names) & set(after.policies.clause_names)
    return [name for name in rules.clauses_of(before.policies, named) if named or name in both]


def _object(item: Comparison) -> dict[str, Any]:
    from subsidy.explain import summary

    clause = item.after.rule.clause
    return {
        "clause": clause.id,
        "title_zh": clause.title_zh,
        "before": {"on": item.before.on.isoformat(), **summary(item.before)},
        "after": {"on": item.after.on.isoformat(), **summary(item.after)},
        "conditions": [_condition(changed) for changed in item.conditions],
    }


def _condition(changed: Changed) -> dict[str, Any]:
    quote = changed.requirement.quote
    return {
        "document": changed.document,
        "condition": changed.condition,
        "before": _VERDICTS[changed.before],
        "after": _VERDICTS[changed.after],
        "quote": quote.text,
        "line": quote.lines[0],
    }


def _lines(item: Comparison) -> list[str]:
    clause = item.after.rule.clause
    lines = [f"{clause.id} {clause.title_zh}", f"  之前 before: {rules.standing(item.before)}"]
    lines.append(f"  之后 after:  {rules.standing(item.after)}")
    lines += [
        f"  {changed.document} {changed.condition}: {_VERDICTS[changed.before]} → {_VERDICTS[changed.after]}"
        f"（“{changed.requirement.quote.text}”第 {changed.requirement.quote.lines[0]} 行）"
        for changed in item.conditions
    ]
    return lines
