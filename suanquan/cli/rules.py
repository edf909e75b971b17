"""What the subsidy commands share: which documents are used, facts from files and options, the day of receipt."""

from __future__ import annotations

import sys
import time
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.errors import Finding
from suanquan.cli.output import note

if TYPE_CHECKING:
    from subsidy.facts import Facts
    from subsidy.outcome import Outcome
    from subsidy.policies import Policies

ClausesOption = Annotated[
    list[str] | None,
    typer.Option("--clause", help="条款，可重复；不写则全部 / clause, repeatable; all if none is named"),
]
DayOption = Annotated[str | None, typer.Option("--on", help="申报受理日，不写则今天 / day of receipt, today if none")]
ReadingsOption = Annotated[
    list[str] | None, typer.Option("--reading", help="歧义的另一读法，如 A20=refuse / another reading of an ambiguity")
]
DocumentsOption = Annotated[
    list[Path] | None,
    typer.Option("--document", help="代替现行文件的政策文件 / policy file in place of the one in force"),
]


def config_folder(home: Path, name: str) -> Path:
    """The home's own folder of that configuration, or the one that ships with suanquan."""
    from suanquan.home import Home
    from suanquan.use_cases.subsidies import rules_folder

    return rules_folder(Home(home).config, name)


def load(home: Path, readings: list[str] | None = None, documents: list[Path] | None = None) -> Policies:
    """The documents in use, with those `documents` in place of the ones with the same id, under other readings."""
    from subsidy.policies import policy_texts, read_policies

    texts = policy_texts(config_folder(home, "policies"))
    for path in documents or []:
        texts = _in_place(texts, path)
    return read_policies(texts, dict(pair(reading, "--reading") for reading in readings or []))


def _in_place(texts: dict[str, str], path: Path) -> dict[str, str]:
    """The texts with that of `path` instead of every revision of its document."""
    from subsidy.yaml_text import read_yaml

    def document(text: str, name: str) -> object:
        header = read_yaml(text, name).get("document")
        return header.get("id") if isinstance(header, dict) else None

    new = text_of(path)
    wanted = document(new, path.name)
    kept = {name: text for name, text in texts.items() if document(text, name) != wanted}
    return {**kept, path.name: new}


def pair(text: str, option: str) -> tuple[str, str]:
    """Name and value of `name=value`."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise typer.BadParameter("应写成 名称=值 / write NAME=VALUE", param_hint=option)
    return name.strip(), value.strip()


def facts_of(policies: Policies, file: Path | None, settings: list[str] | None) -> Facts:
    """Facts of a file (a mapping, or one under `facts`) with those set by option over them.

    Raises:
        SubsidyError: `facts-refused`, with the line of each faulty fact and what to write instead.

    """
    from subsidy.facts import read_facts
    from subsidy.yaml_text import Table, read_yaml

    facts: Facts = {}
    findings: list[Finding] = []
    if file is not None:
        table = read_yaml(text_of(file), file.name)
        inner = table.get("facts")
        written = inner if isinstance(inner, Table) else table
        lines = written.lines
        facts, findings = read_facts(policies.facts, written, lambda name: f"{file.name}:{lines[name]}")
    else:
        facts, _ = read_facts(policies.facts, {}, str)
    set_facts(policies, facts, settings, findings)
    refuse(findings)
    return facts


def set_facts(policies: Policies, facts: Facts, settings: list[str] | None, findings: list[Finding]) -> None:
    """Put `fact=value` into the facts; `fact=` makes it unknown."""
    from subsidy.applicants import read_cell
    from subsidy.facts import Fault
    from subsidy.fields import nearest

    for setting in settings or []:
        name, text = pair(setting, "--set")
        fact = policies.facts.get(name)
        if fact is None:
            zh, en = nearest(name, list(policies.facts))
            findings.append(
                Finding("fact-unknown", f"没有“{name}”这项事实{zh}", f"there is no fact `{name}`{en}", setting)
            )
            continue
        facts.pop(name, None)
        value = read_cell(fact, text) if text else None
        if isinstance(value, Fault):
            findings.append(Finding("fact-malformed", f"“{name}”{value.zh}", f"`{name}` {value.en}", setting))
        elif value is not None:
            facts[name] = value


def refuse(findings: list[Finding]) -> None:
    """Raise `facts-refused`, if there are findings."""
    from subsidy.errors import SubsidyError

    if findings:
        raise SubsidyError("facts-refused", "事实有误", "some facts cannot be taken", findings=findings)


def day(written: str | None, option: str = "--on") -> date:
    """A policy day, or today in Shanghai: the only place where the clock is asked."""
    from suanquan.use_cases.subsidies import day_of
    from subsidy.fields import parse_day

    found = day_of(time.time_ns() // 1000) if written is None else parse_day(written)
    if found is None:
        raise typer.BadParameter("日期应写成 2025-09-26 的形式 / write the day as 2025-09-26", param_hint=option)
    return found


def clauses_of(policies: Policies, named: list[str] | None) -> tuple[str, ...]:
    """The clauses named, or every one that gives something.

    Raises:
        SubsidyError: `clause-unknown`.

    """
    from subsidy.ask import beneficial

    for name in named or []:
        policies.clause(name)
    return tuple(named or ()) or beneficial(policies)


def text_of(path: Path) -> str:
    """A file as text.

    Raises:
        SubsidyError: `file-not-utf8`.

    """
    from subsidy.errors import SubsidyError

    try:
        return sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SubsidyError("file-not-utf8", f"{path} 不是 UTF-8 文本", f"{path} is not UTF-8 text") from error


def plain_findings(findings: Any) -> list[dict[str, str]]:
    """Findings as JSON carries them."""
    return [{"code": finding.code, "where": finding.where, "zh": finding.zh, "en": finding.en} for finding in findings]


def say(findings: Any) -> None:
    """Findings on stderr."""
    for finding in findings:
        note(f"{finding.where}: {finding.zh} / {finding.en}")


def yuan(fen: int) -> str:
    """Fen in yuan, exactly."""
    return f"{fen // 100:,}.{fen % 100:02d}"


def standing(outcome: Outcome) -> str:
    """Where a clause stands, in a few words."""
    words = {
        "eligible": "可申请 eligible",
        "not_eligible": "不符合 not eligible",
        "need_more_info": "待补事实 needs more",
        "not_open": "未开放 not open",
    }
    figure = "" if outcome.amount.fen is None else f"，至多 at most {yuan(outcome.amount.fen)} 元"
    person = "，需人工 person" if outcome.needs_human else ""
    return f"{words[outcome.status.value]}{figure}{person}"
