"""What an office decides by, read from the home's configuration: policies, procedures, schemes and the calendar of working days."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from suanquan.home import Home, packaged_config
from subsidy.calendar import Calendar, load_calendar
from subsidy.policies import Policies, load_policies
from subsidy.procedure import Procedure
from subsidy.procedure_reader import load_procedures
from voucher.scheme import Series
from voucher.scheme_reader import load_series


@dataclass(frozen=True, slots=True)
class Office:
    """The rules of one installation."""

    policies: Policies
    procedures: Mapping[str, Procedure]
    calendar: Calendar
    series: Mapping[str, Series] = field(default_factory=dict)


def load_office(home: Home, policies: Policies | None = None, series: Mapping[str, Series] | None = None) -> Office:
    """Read them, but for what is given; a folder that an older home lacks is that of the package.

    Raises:
        SubsidyError, VoucherError: a file that is not valid, with file and line.

    """
    folders = {name: home.config / name for name in ("policies", "procedures", "calendars", "schemes")}
    found = {name: own if own.is_dir() else packaged_config() / name for name, own in folders.items()}
    policies = policies or load_policies(found["policies"])
    series = series or load_series(found["schemes"])
    procedures = load_procedures(found["procedures"], policies, scheme_facts(series))
    return Office(policies, procedures, load_calendar(found["calendars"]), series)


def scheme_facts(series: Mapping[str, Series]) -> dict[str, tuple[str, ...]]:
    """The names of the facts that each scheme knows, which its procedures may use."""
    return {name: tuple(one.latest.facts) for name, one in series.items()}
