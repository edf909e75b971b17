"""How long a balance lasts: the mean of the last days, between the quietest and the busiest week among them. Integers alone.

Method: of the last 28 complete days (Shanghai), those since the first spending count, at least 7. The balance lasts
⌊balance × days / spent⌋ whole days at the mean; the range comes from the 7 days in a row with the most and with the least
spending. What was booked on a day counts on that day, corrections with their sign. With less than 7 days, or nothing spent,
nothing is said: a guess would look like knowledge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

DAYS = 28
WEEK = 7


@dataclass(frozen=True, slots=True)
class Forecast:
    """Days of data, what was spent in them, and whole days that the balance lasts: at the mean, at least, at most.

    `days_most` is None where the quietest week spent nothing: then there is no most.
    """

    days: int
    spent: int
    days_left: int
    days_least: int
    days_most: int | None

    def unused_after(self, balance: int, days: int) -> int:
        """What is left of a balance after so many days at the mean."""
        return max(0, balance - self.spent * days // self.days)


def forecast(balance: int, spent_by_day: Sequence[int]) -> Forecast | None:
    """Say how long a balance lasts by what was spent on each day, oldest first; None: too little is known."""
    days = list(spent_by_day[-DAYS:])
    while days and days[0] <= 0:
        del days[0]
    total = sum(days)
    if len(days) < WEEK or total <= 0 or balance < 0:
        return None
    weeks = [sum(days[at : at + WEEK]) for at in range(len(days) - WEEK + 1)]
    busiest, quietest = max(weeks), min(weeks)
    mean = balance * len(days) // total
    least = min(mean, balance * WEEK // busiest)
    most = max(mean, balance * WEEK // quietest) if quietest > 0 else None
    return Forecast(len(days), total, mean, least, most)
