"""What charts are made of and does not change with every entry, kept between pages: moments that are over, batches, ways of cases."""

from __future__ import annotations

from dataclasses import dataclass, field

from suanquan.use_cases.closes import Closes
from suanquan.use_cases.daily import Batches
from suanquan.use_cases.firsts import FirstUses


@dataclass(slots=True)
class ChartBook:
    """Each part says itself when what it keeps still holds; none goes by a clock (docs/decisions/0032)."""

    closes: Closes = field(default_factory=Closes)
    batches: Batches = field(default_factory=Batches)
    firsts: FirstUses = field(default_factory=FirstUses)
    costs: dict[object, dict[str, list[int]]] = field(default_factory=dict)
