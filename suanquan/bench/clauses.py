"""`bench clauses`: full answers with explanation on one core, beside the bare comparisons that no evaluator can do without."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable
from datetime import date
from typing import Any

from suanquan.bench.figures import median_run, rss_mb
from suanquan.home import packaged_config
from subsidy.ask import beneficial
from subsidy.evaluate import evaluate
from subsidy.explain import Explainer
from subsidy.facts import Facts
from subsidy.policies import Policies, Rule, load_policies
from subsidy.rows import Row, read_rows
from subsidy.simulate import simulate


def measure(evaluations: int, runs: int) -> dict[str, Any]:
    """Answers a second of processor time, over the rows that ship with the rules; median of the runs by their ratio."""
    folder = packaged_config() / "policies"
    policies = load_policies(folder)
    path = folder / "cases" / "clauses.rows"
    rows = read_rows(policies, path.read_text(encoding="utf-8"), path.name)
    explainer = Explainer(policies)
    return median_run([_run(policies, explainer, rows, evaluations) for _ in range(runs)], "ratio") | {"runs": runs}


def _run(policies: Policies, explainer: Explainer, rows: list[Row], evaluations: int) -> dict[str, Any]:
    work = list(itertools.islice(itertools.cycle(rows), evaluations))
    raw = _per_second(lambda row: _compare(policies, row), work)
    figure = _per_second(lambda row: explainer.answer(evaluate(policies, row.clause, row.facts, row.on)), work)
    clauses = beneficial(policies)
    applicants = [(row.facts, row.on) for row in work[: max(1, evaluations // len(clauses))]]
    return {
        "workload": "clauses",
        "per_second": round(figure),
        "raw_per_second": round(raw),
        "ratio": round(figure / raw, 3),
        "simulated_per_second": round(len(clauses) * _simulated(policies, applicants, clauses)),
        "rss_mb": rss_mb(),
        "evaluations": evaluations,
        "rows": len(rows),
    }


def _compare(policies: Policies, row: Row) -> list[bool | None]:
    """The bare comparisons of a clause, with nothing made of them."""
    rule = policies.rule(row.clause, row.on)
    return [test(row.facts) for test in rule.tests] if isinstance(rule, Rule) else []


def _per_second(work: Callable[[Row], object], rows: Iterable[Row]) -> float:
    count = 0
    started = time.process_time()
    for row in rows:
        work(row)
        count += 1
    return count / (time.process_time() - started)


def _simulated(policies: Policies, applicants: list[tuple[Facts, date]], clauses: tuple[str, ...]) -> float:
    """Applicants a second whose budgets are added up."""
    started = time.process_time()
    for _ in simulate(policies, applicants, clauses):
        pass
    return len(applicants) / (time.process_time() - started)
