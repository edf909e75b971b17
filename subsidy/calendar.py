"""Working days as data: the State Council's yearly notice moves holidays and weekends, and no rule predicts it.

A year without its notice is unknown, and whatever would need it is left to a person: guessing a deadline is worse than
giving none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from subsidy.errors import SubsidyError
from subsidy.fields import Faults, Fields, parse_day
from subsidy.yaml_text import read_yaml

DAY = timedelta(days=1)
WORKING_DAYS_MAX = 250


@dataclass(frozen=True, slots=True)
class Year:
    """One year's notice: the days off (weekends among them or not) and the weekend days that are worked."""

    year: int
    notice: str
    holidays: frozenset[date]
    working_weekends: frozenset[date]


@dataclass(frozen=True, slots=True)
class Calendar:
    """The years whose notices are known."""

    years: Mapping[int, Year]

    def is_working_day(self, day: date) -> bool | None:
        """Whether that day (Asia/Shanghai) is worked; None if its year's notice is not known."""
        year = self.years.get(day.year)
        if year is None:
            return None
        if day in year.holidays:
            return False
        return day.weekday() < 5 or day in year.working_weekends

    def next_working_day(self, after: date) -> date | None:
        """The first working day after `after`; None as soon as an unknown year is met."""
        day = after + DAY
        while (working := self.is_working_day(day)) is False:
            day += DAY
        return day if working else None


@dataclass(frozen=True, slots=True)
class Publicity:
    """A public notice: its last day and the first day on which the next step may be taken; both None if a person must decide."""

    last_publicity_day: date | None
    earliest_next_step: date | None

    @property
    def needs_human(self) -> bool:
        """True if the calendar of a year in question is unknown."""
        return self.earliest_next_step is None


def publicity(calendar: Calendar, posted_on: date, working_days: int) -> Publicity:
    """A notice of `working_days` complete working days; the posting day does not count (the safer reading of 不少于 5 个工作日).

    Raises:
        SubsidyError: `working-days-out-of-range`.

    """
    if not 1 <= working_days <= WORKING_DAYS_MAX:
        raise SubsidyError(
            "working-days-out-of-range",
            f"工作日数应在 1 与 {WORKING_DAYS_MAX} 之间",
            f"the number of working days must be 1 to {WORKING_DAYS_MAX}",
        )
    day: date | None = posted_on if calendar.is_working_day(posted_on) is not None else None
    for _ in range(working_days):
        day = calendar.next_working_day(day) if day is not None else None
    following = calendar.next_working_day(day) if day is not None else None
    return Publicity(day if following is not None else None, following)


def load_calendar(directory: Path) -> Calendar:
    """Every `cn-*.yaml` of `directory`.

    Raises:
        SubsidyError: `yaml-refused` or `document-malformed`.

    """
    years: dict[int, Year] = {}
    for path in sorted(directory.glob("cn-*.yaml")):
        year = read_year(path.read_text(encoding="utf-8"), path.name)
        years[year.year] = year
    return Calendar(years)


def read_year(text: str, source: str) -> Year:
    """One year's notice from YAML.

    Raises:
        SubsidyError: `yaml-refused` or `document-malformed`.

    """
    faults = Faults(source)
    fields = Fields(faults, read_yaml(text, source), "")
    year = fields.integer("year")
    if source != f"cn-{year}.yaml":
        fields.fault("year", f"文件名应为 cn-{year}.yaml", f"the file must be named cn-{year}.yaml")
    notice = fields.table("notice")
    number = notice.text("number")
    notice.text("title")
    notice.day("issued_on")
    notice.done()
    holidays = _holidays(fields, year)
    weekends = _working_weekends(fields, year, holidays)
    fields.done()
    faults.raise_any()
    return Year(year, number, frozenset(holidays), frozenset(weekends))


def _holidays(fields: Fields, year: int) -> set[date]:
    holidays: set[date] = set()
    for holiday in fields.tables("holidays", required=True):
        holiday.text("name")
        first, last = holiday.day("from"), holiday.day("to")
        days = {first + DAY * at for at in range((last - first).days + 1)} if first.year == last.year == year else set()
        if not days or days & holidays:
            holiday.fault(
                "from",
                f"假期应在 {year} 年内，先后有序，不重叠",
                f"a holiday must lie in {year}, in order, without overlap",
            )
        holidays |= days
        holiday.done()
    return holidays


def _working_weekends(fields: Fields, year: int, holidays: set[date]) -> set[date]:
    weekends: set[date] = set()
    for at, written in enumerate(fields.texts("working_weekends", required=False)):
        day = parse_day(written)
        if day is None or day.year != year or day.weekday() < 5 or day in holidays:
            zh, en = (
                f"“{written}”应是 {year} 年不放假的周六或周日",
                f"{written} must be a Saturday or Sunday of {year} that is no holiday",
            )
            fields.faults.add(fields.item_place("working_weekends", at), zh, en)
        else:
            weekends.add(day)
    return weekends
