"""What charts are made of and does not change with every entry, kept between pages: moments that are over, batches, ways of cases."""

from __future__ import annotations

from dataclasses import dataclass, field

from suanquan.use_cases.closes import Moment, Moments, closes_at
from suanquan.use_cases.daily import Batches
from suanquan.use_cases.firsts import FirstUses
from suanquan.use_cases.public_price import covered_at


@dataclass(slots=True)
class ChartBook:
    """Each part says itself when what it keeps still holds; none goes by a clock (docs/decisions/0032)."""

    closes: Moments[Moment] = field(default_factory=lambda: Moments(closes_at))
    covered: Moments[dict[str, int]] = field(default_factory=lambda: Moments(covered_at))
    batches: Batches = field(default_factory=Batches)
    firsts: FirstUses = field(default_factory=FirstUses)
