"""How many working days lie between two days, for many pairs of days: sums along the calendar."""

from __future__ import annotations

from datetime import date, timedelta

from subsidy.calendar import Calendar


class WorkingDays:
    """Working days of a calendar counted once along its years; None wherever a year in between is not known."""

    def __init__(self, calendar: Calendar) -> None:
        self._calendar = calendar
        self._before: dict[int, list[int]] = {}

    def between(self, first: date, last: date) -> int | None:
        """Working days after `first` up to and with `last`; the first day itself does not count, as with periods of notice."""
        if last < first:
            return 0
        total = 0
        for year in range(first.year, last.year + 1):
            counts = self._counts(year)
            if counts is None:
                return None
            upto = counts[last.timetuple().tm_yday] if year == last.year else counts[-1]
            since = counts[first.timetuple().tm_yday] if year == first.year else 0
            total += upto - since
        return total

    def _counts(self, year: int) -> list[int] | None:
        """Working days of a year up to each of its days."""
        if year not in self._calendar.years:
            return None
        if year not in self._before:
            counts, day = [0], date(year, 1, 1)
            while day.year == year:
                counts.append(counts[-1] + bool(self._calendar.is_working_day(day)))
                day += timedelta(days=1)
            self._before[year] = counts
        return self._before[year]
