"""Who has an open case and until when: what its procedure says of the state that it is in, and nothing of the one before."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from datetime import date, timedelta

from subsidy.calendar import Calendar
from subsidy.procedure import Case, Guard, Procedure, Role, Step

_OF_NOTICE = frozenset({Guard.NOTICE_RUNNING, Guard.NOTICE_OVER})


def forward(procedure: Procedure, state: str) -> list[Step]:
    """The steps by which a case goes on: those that end it, or leave it where it is, only where there is no other."""
    following = procedure.next_steps(state)
    on = [step for step in following if step.target and not procedure.states[step.target].final]
    return on or following


def owners(steps: Iterable[Step]) -> list[Role]:
    """Who has it: the applicant where it is its turn, else the roles of the steps."""
    roles = {role for step in steps for role in step.roles}
    return [Role.APPLICANT] if Role.APPLICANT in roles else sorted(roles, key=lambda role: role.value)


class Limit(enum.Enum):
    """What sets the last day of a state: an officer who returned the case, or the public notice."""

    RETURN = "until"
    NOTICE = "last_notice_day"


def limit_of(procedure: Procedure, state: str) -> Limit | None:
    """Which limit a state has; that of a state before does not count any more."""
    guards = {guard for step in procedure.next_steps(state) for guard in step.guards}
    if Guard.BEFORE_UNTIL in guards:
        return Limit.RETURN
    return Limit.NOTICE if guards & _OF_NOTICE else None


def limit(procedure: Procedure, case: Case) -> date | None:
    """The last day of what comes next, where the procedure or an officer set one."""
    return last_day(limit_of(procedure, case.state), case)


def last_day(kind: Limit | None, case: Case) -> date | None:
    """The last day of a case by its kind of limit."""
    if kind is None:
        return None
    return case.until if kind is Limit.RETURN else case.last_notice_day


def working_days(calendar: Calendar, today: date, last: date) -> int:
    """Working days from tomorrow on, the last day among them; below zero where a year's calendar is not known."""
    count, day = 0, today
    while day < last:
        day += timedelta(days=1)
        works = calendar.is_working_day(day)
        if works is None:
            return -1
        count += works
    return count
