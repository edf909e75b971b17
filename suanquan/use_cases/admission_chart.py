"""Do centres meet admission: each criterion of the policy with its threshold, and what a centre comes to (chart 12)."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from ledger.sql import Connection
from metering import store as metering_store
from suanquan.catalog import Catalog
from suanquan.use_cases.centre_admission import standing_of
from suanquan.use_cases.subsidies import Subsidies
from subsidy.facts import Facts
from subsidy.operators import Compare, Quantity
from subsidy.outcome import Outcome

SCALE = 1_000
"""A bar runs to this; its threshold stands in the middle."""


class Criterion(NamedTuple):
    """A criterion of one centre: the words of the text, its number with the sense of it, what the centre has, the verdict.

    `threshold` and `value` are exact; both None for a criterion that is no number, the value also where it is not known.
    """

    id: str
    fact: str
    quote: str
    operator: str
    threshold: Fraction | None
    value: Fraction | None
    verdict: bool | None
    least: int = 0
    """Where the measure begins: PUE at 1, all else at 0."""

    @property
    def place(self) -> int | None:
        """How far the value reaches, in thousandths; the threshold is at 500, and what is more than twice it ends at 1000."""
        if self.value is None or self.threshold is None or self.threshold <= self.least:
            return None
        return max(0, min(SCALE, int((self.value - self.least) * SCALE / (2 * (self.threshold - self.least)))))


class Admission(NamedTuple):
    """A centre's criteria, and how many months of electricity are known of the twelve that count."""

    centre: str
    name: str
    months: int
    criteria: list[Criterion]


def criteria_of(outcome: Outcome, facts: Facts) -> list[Criterion]:
    """What the policy asks of a centre, in the order of the text."""
    known = outcome.known or facts
    return [
        Criterion(
            need.id,
            need.condition.name,
            need.quote.text,
            need.condition.operator,
            number(need.condition.operand, known),
            number(known.get(need.condition.name), known),
            verdict,
            1 if need.condition.name == "pue" else 0,
        )
        for need, verdict in outcome.judged()
        if isinstance(need.condition, Compare)
    ]


def number(value: object, known: Facts) -> Fraction | None:
    """An exact number; None for what is none."""
    if isinstance(value, Quantity):
        return number(value.value(known), known)
    if isinstance(value, bool) or not isinstance(value, int | Fraction | Decimal):
        return None
    return Fraction(value)


async def load_admissions(conn: Connection, catalog: Catalog, rules: Subsidies, now_us: int) -> list[Admission]:
    """Every centre as it stands now."""
    found = []
    for centre, name in (await metering_store.load_centres(conn)).items():
        standing = await standing_of(conn, catalog, rules, centre, now_us)
        found.append(Admission(centre, name, len(standing.months), criteria_of(standing.outcome, dict(standing.facts))))
    return found
