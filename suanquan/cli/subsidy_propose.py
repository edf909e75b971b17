"""`suanquan subsidy propose`, `proposals` and `adopt`: how the rules change, by two people."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from suanquan.cli import rules
from suanquan.cli.options import DEFAULT_HOME, HomeOption, JsonOption, enter_home
from suanquan.cli.output import emit, note
from suanquan.cli.progress import Bar

if TYPE_CHECKING:
    from suanquan.use_cases.proposals import Act
    from subsidy.facts import Facts
    from subsidy.proposal import Candidate

app = typer.Typer()

AsOption = Annotated[str, typer.Option("--as", help="姓名 / who you are")]
LISTED_MAX = 20


@app.command()
def propose(
    file: Annotated[Path, typer.Argument(help="修改后的政策文件 / changed policy file")],
    as_: AsOption,
    applications: Annotated[
        Path | None, typer.Option(help="以往申报（CSV），比较金额 / past applications, to compare the money")
    ] = None,
    cases: Annotated[
        Path | None,
        typer.Option(help="随之修改的案例目录 / folder of cases changed along", exists=True, file_okay=False),
    ] = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """提出修改：核对引文、案例、变异得分与金额差。Propose a changed document; quotes, cases, sharpness and money are checked."""
    from suanquan.home import Home
    from suanquan.use_cases.proposals import Desk
    from subsidy.mutants import mutants
    from subsidy.yaml_text import read_yaml

    enter_home(home)
    desk = Desk(Home(home))
    candidate = desk.candidate(file)
    total = sum(1 for _ in mutants(read_yaml(candidate.text, candidate.name)))
    with Bar("检查 checking", total) as bar:
        report = desk.propose(candidate, _act(as_), _applicants(candidate, applications), bar.to, cases)
    if json:
        emit(report, as_json=True)
    else:
        _show(report)
    raise typer.Exit(1 if report["refusals"] else 0)


def _act(name: str) -> Act:
    from suanquan.use_cases.proposals import Act

    return Act(name, datetime.fromtimestamp(time.time_ns() // 1_000_000_000, UTC).isoformat().replace("+00:00", "Z"))


def _applicants(candidate: Candidate, table: Path | None) -> Callable[[], Iterable[tuple[Facts, date]]] | None:
    """Reads the table anew for each pass; a bad row stops it, since a difference over some rows alone would mislead."""
    if table is None:
        return None

    def read() -> Iterable[tuple[Facts, date]]:
        from subsidy.applicants import BadRow, read_applicants

        with table.open(encoding="utf-8-sig", newline="") as lines:
            for row in read_applicants(candidate.policies, lines, table.name):
                if isinstance(row, BadRow):
                    rules.refuse(list(row.findings))
                else:
                    yield row.facts, row.on

    return read


def _show(report: dict[str, Any]) -> None:
    checks = report["checks"]
    print(f"提案 proposal {report['id']}")
    print(f"引文 quotes: {'已核对 compared' if checks['quotes']['compared'] else '未核对 not compared'}")
    print(f"案例 cases: {checks['cases']['cases']}，不同 different {len(checks['cases']['failing'])}")
    print(f"变异 small changes noticed: {checks['sharpness']['per_mille']}‰ / {checks['sharpness']['changes']}")
    for edit in report["edits"][:LISTED_MAX]:
        print(f"  {edit['place']}: {edit['before']} → {edit['after']}")
    for row in report["money"] or []:
        before, after = (
            f"{rules.yuan(row[side]['low_fen'])}–{rules.yuan(row[side]['high_fen'])}" for side in ("before", "after")
        )
        print(f"  {row['year']} {row['clause']}: {before} → {after} 元 yuan")
    for refusal in report["refusals"][:LISTED_MAX]:
        note(f"{refusal['where']}: {refusal['zh']} / {refusal['en']}")
    note(
        "须由另一人通过：suanquan subsidy adopt。Another person must adopt it."
        if not report["refusals"]
        else "不能通过 cannot be adopted"
    )


@app.command()
def proposals(home: HomeOption = DEFAULT_HOME, json: JsonOption = False) -> None:
    """列出提案。List the proposals."""
    from suanquan.home import Home
    from suanquan.use_cases.proposals import Desk

    emit(Desk(Home(home)).list_proposals(), as_json=json)


@app.command()
def adopt(
    proposal: Annotated[str, typer.Argument(help="提案编号 / id of the proposal")],
    as_: AsOption,
    effective: Annotated[str, typer.Option(help="自哪一日受理的申报起适用 / first day of receipt that it decides")],
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """由另一人通过提案，自生效日起适用。Another person adopts a proposal; it decides from the effective day."""
    from suanquan.home import Home
    from suanquan.use_cases.proposals import Desk

    enter_home(home)
    day, today = rules.day(effective, "--effective"), rules.day(None)
    emit(Desk(Home(home)).adopt(proposal, _act(as_), day, today), as_json=json)
    note("重启 serve 后生效。Restart serve to use it.")
