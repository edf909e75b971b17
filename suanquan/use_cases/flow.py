"""Where applications get stuck, and whether time limits are kept: how long each stayed in which state (charts 3 and 14)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import NamedTuple

from suanquan.use_cases.applications import Application
from suanquan.use_cases.subsidies import day_of
from subsidy.procedure import Effect, Procedure
from subsidy.working_days import WorkingDays

RETURNED = "until"
"""Input of a step that sets a day by which something is to be supplied."""
DOTS_MAX = 300
"""Cases that are drawn one by one, the newest."""


class Stay(NamedTuple):
    """A case in one state: since when, and until when; None: it is there."""

    procedure: str
    state: str
    since: date
    until: date | None


class Stage(NamedTuple):
    """A state of a procedure: how many left it, working days of the middle one and of nine in ten, how many wait and the longest.

    `limit` are working days that the text asks for (a public notice: at least), None where it sets none. Days are None where
    nothing has left, or the calendar of a year is not known.
    """

    procedure: str
    state: str
    done: int
    median: int | None
    p90: int | None
    waiting: int
    longest: int | None
    limit: int | None
    unknown: int = 0
    """Stays that no calendar can count."""


class Passed(NamedTuple):
    """A case from the day it was received: working days to its end, or up to now, and whether it is open.

    `late` is the day by which something should have been supplied and was not; `returns` how often it was returned.
    """

    case: str
    received: date
    days: int | None
    is_open: bool
    returns: int
    late: date | None


def stays_of(procedure: Procedure, steps: Iterable[tuple[str, date]]) -> list[Stay]:
    """The states of a case, one after another; a final one is no stay."""
    found: list[Stay] = []
    for name, day in steps:
        target = procedure.steps[name].target
        if target is None or (found and found[-1].state == target and found[-1].until is None):
            continue
        if found and found[-1].until is None:
            found[-1] = found[-1]._replace(until=day)
        if not procedure.states[target].final:
            found.append(Stay(procedure.id, target, day, None))
    return found


def percentile(ordered: Sequence[int], percent: int) -> int:
    """The value that at least so many of a hundred do not exceed (nearest rank)."""
    return ordered[max(1, -(-len(ordered) * percent // 100)) - 1]


def stages_of(procedures: Iterable[Procedure], stays: Iterable[Stay], days: WorkingDays, today: date) -> list[Stage]:
    """Each state that a case was ever in, in the order of its procedure."""
    by_state: dict[tuple[str, str], list[Stay]] = defaultdict(list)
    for stay in stays:
        by_state[stay.procedure, stay.state].append(stay)
    return [
        _stage(procedure, state, by_state[procedure.id, state], days, today)
        for procedure in procedures
        for state in procedure.states
        if (procedure.id, state) in by_state
    ]


def _stage(procedure: Procedure, state: str, stays: Sequence[Stay], days: WorkingDays, today: date) -> Stage:
    left = [days.between(stay.since, stay.until) for stay in stays if stay.until is not None]
    known = sorted(span for span in left if span is not None)
    waits = [days.between(stay.since, today) for stay in stays if stay.until is None]
    longest = [span for span in waits if span is not None]
    return Stage(
        procedure.id,
        state,
        len(left),
        percentile(known, 50) if known else None,
        percentile(known, 90) if known else None,
        len(waits),
        max(longest, default=None),
        procedure.notice_working_days if state in noticed(procedure) else None,
        len(left) - len(known) + len(waits) - len(longest),
    )


def noticed(procedure: Procedure) -> frozenset[str]:
    """States that a public notice leads to."""
    return frozenset(
        step.target for step in procedure.steps.values() if Effect.NOTICE in step.effects and step.target is not None
    )


def steps_of(one: Application) -> list[tuple[str, date]]:
    """The steps of a case with their days in Shanghai."""
    return [(row.step, day_of(row.at_us)) for row in one.rows]


def passed_of(one: Application, days: WorkingDays, today: date) -> Passed:
    """A case from its receipt to its end: decided, or in a final state; paying and issuing come after."""
    procedure, steps = one.round.procedure, steps_of(one)
    received, ended = steps[0][1], decided_on(procedure, steps)
    returns = sum("until" in procedure.steps[name].takes for name, _ in steps)
    is_returned = bool(procedure.steps[steps[-1][0]].takes.count("until")) and ended is None
    late = one.case.until if is_returned and one.case.until is not None and one.case.until < today else None
    return Passed(one.id, received, days.between(received, ended or today), ended is None, returns, late)


def decided_on(procedure: Procedure, steps: Iterable[tuple[str, date]]) -> date | None:
    """The day on which a case was decided: money was committed to it, or it came to a final state."""
    for name, day in steps:
        step = procedure.steps[name]
        if Effect.COMMIT in step.effects or (step.target is not None and procedure.states[step.target].final):
            return day
    return None


class Flow(NamedTuple):
    """Both charts: stages, the newest cases one by one, those that are late, and how often cases were returned."""

    stages: list[Stage]
    cases: list[Passed]
    late: list[Passed]
    total: int
    returned: Mapping[int, int]
    """Cases by how often they were returned."""
    ended: int
    median_days: int | None


def flow_of(cases: Sequence[Application], days: WorkingDays, today: date) -> Flow:
    """What cases say of their ways."""
    procedures = {one.round.procedure.id: one.round.procedure for one in cases}
    stays = [stay for one in cases for stay in stays_of(one.round.procedure, steps_of(one))]
    passed = [passed_of(one, days, today) for one in cases]
    returned: dict[int, int] = defaultdict(int)
    for one in passed:
        returned[one.returns] += 1
    ended = sorted(one.days for one in passed if not one.is_open and one.days is not None)
    newest = sorted(passed, key=lambda one: (one.received, one.case))[-DOTS_MAX:]
    return Flow(
        stages_of(procedures.values(), stays, days, today),
        newest,
        [one for one in passed if one.late is not None],
        len(passed),
        dict(sorted(returned.items())),
        sum(not one.is_open for one in passed),
        percentile(ended, 50) if ended else None,
    )
