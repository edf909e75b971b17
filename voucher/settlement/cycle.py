"""Settlement cycles (结算周期): the periods by which a scheme pays, in days of Shanghai.

A period is written `2026-11` (month), `2026Q4` (quarter), `2026H2` (half year), `2026` (year) or, where a scheme pays at once,
`2026-11-28` (day). What was recorded until its end and not settled before belongs to it, however late it was reported.
"""

from __future__ import annotations

import re
from datetime import date
from typing import NamedTuple

from metering.zones import shanghai_day_us
from voucher.errors import VoucherError

_FORMS = {
    "month": (re.compile(r"(20\d\d)-(0[1-9]|1[0-2])"), 1, "2026-11"),
    "quarter": (re.compile(r"(20\d\d)Q([1-4])"), 3, "2026Q4"),
    "half_year": (re.compile(r"(20\d\d)H([12])"), 6, "2026H2"),
    "year": (re.compile(r"(20\d\d)"), 12, "2026"),
}
_DAY = re.compile(r"20\d\d-\d\d-\d\d")


class Period(NamedTuple):
    """A period: its name, its first day, and the day after its last one."""

    name: str
    first: date
    after: date

    @property
    def from_us(self) -> int:
        """Its beginning, UTC epoch microseconds."""
        return shanghai_day_us(self.first)

    @property
    def until_us(self) -> int:
        """Its end, exclusive, UTC epoch microseconds."""
        return shanghai_day_us(self.after)


def read_period(text: str, cycle: str | None) -> Period:
    """The period of a name, which must be of a scheme's cycle; a scheme that fixes none takes every form.

    Raises:
        VoucherError: `period-malformed`, or `period-other-cycle`.

    """
    for name, (pattern, months, form) in _FORMS.items():
        if match := pattern.fullmatch(text):
            _require_cycle(text, name, cycle)
            first = (int(match[2]) - 1) * months if form != "2026" else 0
            year = int(match[1])
            return Period(text, date(year, first + 1, 1), _first_of(year, first + months))
    if _DAY.fullmatch(text) and (day := _day(text)) is not None:
        _require_cycle(text, "immediate", cycle)
        return Period(text, day, date.fromordinal(day.toordinal() + 1))
    raise VoucherError(
        "period-malformed",
        f"结算期间“{text[:20]}”应形如 2026-11、2026Q4、2026H2、2026 或 2026-11-28",
        f"a period is written 2026-11, 2026Q4, 2026H2, 2026 or 2026-11-28, not {text[:20]!r}",
    )


def _first_of(year: int, month: int) -> date:
    return date(year + month // 12, month % 12 + 1, 1)


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _require_cycle(text: str, found: str, cycle: str | None) -> None:
    if cycle is not None and found != cycle:
        raise VoucherError(
            "period-other-cycle",
            f"方案按 {cycle} 结算，而 {text} 是 {found}",
            f"the scheme settles by {cycle}, and {text} is a {found}",
        )
