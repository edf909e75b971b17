"""`suanquan subsidy simulate`: what the clauses would cost over a table of applicants."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from suanquan.cli import rules
from suanquan.cli.options import DEFAULT_HOME, HomeOption, JsonOption
from suanquan.cli.output import emit
from suanquan.cli.progress import Bar
from suanquan.cli.rules import ClausesOption, DocumentsOption, ReadingsOption

if TYPE_CHECKING:
    from subsidy.applicants import BadRow
    from subsidy.facts import Facts
    from subsidy.policies import Policies
    from subsidy.simulate import Budget, Budgets

app = typer.Typer()

BAD_ROWS_SHOWN = 100


@app.command()
def simulate(
    table: Annotated[Path, typer.Argument(help="申请单位表（CSV）/ table of applicants")],
    clause: ClausesOption = None,
    on: Annotated[
        str | None,
        typer.Option("--on", help="表中没有 date 列时的受理日 / day of receipt if there is no column `date`"),
    ] = None,
    reading: ReadingsOption = None,
    document: DocumentsOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """预算模拟：按部门、条款、年度精确求和，给出低值与高值。Exact sums by department, clause and year, low and high."""
    policies = rules.load(home, reading, document)
    day = rules.day(on) if on is not None else None
    run = _Run(policies, rules.clauses_of(policies, clause))
    total = table.stat().st_size
    try:
        with table.open(encoding="utf-8-sig", newline="") as file, Bar("模拟 simulate", total) as bar:
            run.over(file, table.name, day, bar)
    except UnicodeDecodeError as error:
        raise _not_utf8(table) from error
    result = run.result()
    if json:
        emit(result, as_json=True)
    else:
        print("\n".join(_report(result)))
    for bad in run.bad[:BAD_ROWS_SHOWN]:
        rules.say(bad.findings)
    raise typer.Exit(1 if run.bad_rows else 0)


def _not_utf8(path: Path) -> Exception:
    from subsidy.errors import SubsidyError

    zh = f"{path} 不是 UTF-8 文本，请另存为“CSV UTF-8”"
    return SubsidyError("file-not-utf8", zh, f"{path} is not UTF-8 text; save it as CSV UTF-8")


class _Run:
    """One simulation: streams the table, keeps sums and the first bad rows."""

    def __init__(self, policies: Policies, clauses: tuple[str, ...]) -> None:
        self._policies = policies
        self._clauses = clauses
        self._applicants = 0
        self._budgets: Budgets = {}
        self.bad: list[BadRow] = []
        self.bad_rows = 0

    def over(self, file: TextIO, source: str, on: date | None, bar: Bar) -> None:
        """Add up the whole table."""
        from subsidy.applicants import BadRow, read_applicants
        from subsidy.simulate import simulate

        def good() -> Iterator[tuple[Facts, date]]:
            for row in read_applicants(self._policies, _counted(file, bar), source, on):
                if isinstance(row, BadRow):
                    self.bad_rows += 1
                    self.bad += [row] if len(self.bad) < BAD_ROWS_SHOWN else []
                else:
                    yield row.facts, row.on

        for budgets in simulate(self._policies, good(), self._clauses):
            self._budgets = budgets
            self._applicants += 1

    def result(self) -> dict[str, Any]:
        """All sums as JSON carries them."""
        from subsidy.simulate import Budget, by_department

        clauses = [self._clause(name, year, budget) for (name, year), budget in sorted(self._budgets.items())]
        departments = [
            {"department": name, "year": year} | _figures(budget)
            for (name, year), budget in sorted(by_department(self._policies, self._budgets).items())
        ]
        years: dict[int, Budget] = {}
        for (_, year), budget in self._budgets.items():
            years.setdefault(year, Budget()).include(budget)
        return {
            "applicants": self._applicants,
            "bad_rows": self.bad_rows,
            "by_clause": clauses,
            "by_department": departments,
            "by_year": [{"year": year} | _figures(budget) for year, budget in sorted(years.items())],
            "errors": [error for bad in self.bad for error in rules.plain_findings(bad.findings)],
        }

    def _clause(self, name: str, year: int, budget: Budget) -> dict[str, Any]:
        clause = self._policies.clause(name)
        words = {"clause": name, "title_zh": clause.title_zh, "department": clause.departments[0], "year": year}
        return words | _figures(budget)


def _counted(file: TextIO, bar: Bar) -> Iterator[str]:
    """The lines of a file, moving the bar by their bytes."""
    done = 0
    for line in file:
        done += len(line.encode())
        bar.to(done)
        yield line


def _figures(budget: Budget) -> dict[str, Any]:
    return {
        "evaluations": budget.applicants,
        "eligible": budget.eligible,
        "undecided": budget.undecided,
        "needs_human": budget.needs_human,
        "without_figure": budget.without_figure,
        "low_yuan": _decimal(budget.low_fen),
        "high_yuan": _decimal(budget.high_fen),
        "open_questions": dict(sorted(budget.asks.items())),
    }


def _decimal(fen: int) -> str:
    return f"{fen // 100}.{fen % 100:02d}"


def _report(result: dict[str, Any]) -> list[str]:
    lines = [f"{result['applicants']:,} 个申请单位 applicants，{result['bad_rows']:,} 行有误 bad rows", ""]
    lines += [
        f"{row['year']} {row['clause']} {row['title_zh']}（{row['department']}）: {_range(row)}"
        for row in result["by_clause"]
    ]
    lines.append("")
    lines += [f"{row['year']} {row['department']}: {_range(row)}" for row in result["by_department"]]
    lines += [f"{row['year']} 合计 total: {_range(row)}" for row in result["by_year"]]
    return lines


def _range(row: dict[str, Any]) -> str:
    words = f"{row['low_yuan']} – {row['high_yuan']} 元 yuan，可申请 eligible {row['eligible']:,}"
    words += f"，待补 undecided {row['undecided']:,}，需人工 person {row['needs_human']:,}"
    return words + (f"，原文未定额 no sum in the text {row['without_figure']:,}" if row["without_figure"] else "")
