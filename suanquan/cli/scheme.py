"""`suanquan scheme`: the schemes of a home, or those that ship with suanquan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ledger.errors import Finding
from suanquan.cli.options import DEFAULT_HOME, HomeOption, JsonOption
from suanquan.cli.output import emit, note

if TYPE_CHECKING:
    from voucher.scheme import Series
    from voucher.scheme_cases import Answer

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


def _schemes(home: Path) -> dict[str, Series]:
    from suanquan.home import Home, packaged_config
    from voucher.scheme_reader import load_series

    own = Home(home).config / "schemes"
    return load_series(own if own.is_dir() else packaged_config() / "schemes")


@app.command("list")
def list_(home: HomeOption = DEFAULT_HOME, json: JsonOption = False) -> None:
    """列出方案。List schemes."""
    from suanquan.use_cases.catalogue import scheme_object

    emit([scheme_object(series.latest) for series in _schemes(home).values()], as_json=json)


@app.command()
def show(
    scheme_id: Annotated[str, typer.Argument(help="方案编号 / scheme id")],
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """显示一个方案。Show one scheme."""
    from suanquan.use_cases.catalogue import find_scheme, scheme_terms

    emit(scheme_terms(find_scheme(_schemes(home), scheme_id)), as_json=json)


@app.command()
def check(
    file: Annotated[Path | None, typer.Argument(help="方案文件，不写则检查全部 / scheme file; all without one")] = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """检查方案文件。Check a scheme file, or all of a home."""
    from suanquan.use_cases.catalogue import scheme_object
    from voucher.scheme_reader import parse_scheme

    if file is None:
        emit([scheme_object(series.latest) for series in _schemes(home).values()], as_json=json)
    else:
        emit(scheme_object(parse_scheme(file.read_bytes(), file.name)), as_json=json)


@app.command()
def decide(
    cases: Annotated[Path, typer.Option(help="案例文件（YAML 或 JSON）/ file of cases")],
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """逐案测算：一个方案、一日、一组事实。Decide cases: one scheme, one day and one set of facts each."""
    from voucher.scheme_cases import answer_cases, decision_object

    answers = answer_cases(_schemes(home), _text(cases), cases.name)
    objects = [
        {"id": answer.id, "status": None, "errors": [_plain(finding) for finding in answer.findings]}
        if answer.decision is None
        else {"id": answer.id, **decision_object(answer.decision)}
        for answer in answers
    ]
    if json:
        emit(objects, as_json=True)
    else:
        print("\n".join(map(_line, answers)))
    for finding in (finding for answer in answers for finding in answer.findings):
        note(f"{finding.where}: {finding.zh} / {finding.en}")
    raise typer.Exit(1 if any(answer.decision is None for answer in answers) else 0)


def _text(path: Path) -> str:
    from voucher.errors import VoucherError

    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise VoucherError("file-not-utf8", f"{path} 不是 UTF-8 文本", f"{path} is not UTF-8 text") from error


def _plain(finding: Finding) -> dict[str, str]:
    return {"code": finding.code, "where": finding.where, "zh": finding.zh, "en": finding.en}


def _line(answer: Answer) -> str:
    """One case on one line: what it came to, what bound or refused it, and the steps to the figure."""
    from voucher.scheme_cases import decision_object

    if answer.decision is None:
        return f"{answer.id}: 有误 error"
    found = decision_object(answer.decision)
    figure = "" if found["amount_yuan"] is None else f" {found['amount_yuan']} 元 yuan"
    why = ", ".join([*found["limits"], *found["failed"], *(f"? {name}" for name in found["missing"])])
    steps = "；".join(step["zh"] for step in found["steps"])
    return f"{answer.id}: {found['status']}{figure}{f' ({why})' if why else ''}{f'  ← {steps}' if steps else ''}"
