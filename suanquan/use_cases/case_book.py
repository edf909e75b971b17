"""Every application as it stands, kept between pages: steps only grow, so that a page reads those that came since the last one.

What a page is given is what its own snapshot holds: where that is older than what is kept, or does not continue it (acts that
were tried out and taken back, a database that was put back), everything is read anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ledger.scope import EVERYTHING, Scope
from ledger.sql import Connection
from suanquan.office import Office
from suanquan.use_cases.applications import (
    CALL,
    Application,
    Round,
    application_of,
    round_of,
)
from subsidy import store
from subsidy.store import StepRow


@dataclass(slots=True)
class _Kept:
    """What was read: the newest step, the steps of each round and application, and what was made of them."""

    last: StepRow | None = None
    steps: dict[str, list[StepRow]] = field(default_factory=dict)
    rounds: dict[str, Round] = field(default_factory=dict)
    cases: dict[str, dict[str, Application]] = field(default_factory=dict)


class CaseBook:
    """Applications by round, each made of its steps once."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._kept = _Kept()

    async def applications(self, conn: Connection, scope: Scope = EVERYTHING) -> list[Application]:
        """Applications inside a scope, oldest round first, in the order in which they came.

        Raises:
            SubsidyError: `procedure-changed`.

        """
        kept = await self._read(conn)
        return [
            one for cases in kept.cases.values() for one in cases.values() if scope.holds(holder=one.case.applicant)
        ]

    async def _read(self, conn: Connection) -> _Kept:
        """What is kept, brought up to the snapshot; of a snapshot that does not continue it, everything anew."""
        kept = before = self._kept
        rows = await store.steps_since(conn, kept.last.number if kept.last else 1)
        if kept.last is not None and (not rows or rows[0] != kept.last):
            kept, rows = _Kept(), await store.steps_since(conn, 1)
        new = rows[1:] if kept.last is not None else rows
        grown = self._grown(kept, new) if new else kept
        if (
            self._kept is before
        ):  # else another page went on meanwhile, and what it kept may be newer than this snapshot
            self._kept = grown
        return grown

    def _grown(self, kept: _Kept, new: Sequence[StepRow]) -> _Kept:
        """What is kept after more steps; what a page was given before stays as it is."""
        steps, touched, changed = dict(kept.steps), dict.fromkeys(row.subject for row in new), set()
        for row in new:
            steps[row.subject] = [*steps.get(row.subject, ()), row]
        rounds, cases = dict(kept.rounds), {name: dict(found) for name, found in kept.cases.items()}
        for subject in touched:
            if steps[subject][0].step == CALL:
                rounds[subject] = round_of(self._office, steps[subject])
                cases.setdefault(subject, {})
                changed.add(subject)
        for subject in changed & kept.rounds.keys():
            touched |= dict.fromkeys(cases[subject])  # its applications stand in the round as it is now
        for subject in touched:
            rows = steps[subject]
            if rows[0].step != CALL:
                cases[rows[0].round][subject] = application_of(rounds[rows[0].round], rows)
        return _Kept(new[-1], steps, rounds, cases)
