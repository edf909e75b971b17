"""What metrics say of centres' registers and of findings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from ledger.sql import Connection
from metering import store as metering_store
from metering.centre import green_share, pue
from suanquan.catalog import Catalog
from suanquan.use_cases.centre_admission import standing_of
from suanquan.use_cases.subsidies import Subsidies
from voucher import finding_store
from voucher.findings import CHECKS


@dataclass(frozen=True, slots=True)
class SightFigures:
    """By centre (and criterion): PUE, green share, verdicts, suspension; and open findings by check."""

    pue: Mapping[str, Fraction] = field(default_factory=dict)
    green: Mapping[str, Fraction] = field(default_factory=dict)
    admission: Mapping[tuple[str, str], bool] = field(default_factory=dict)
    suspended: Mapping[str, bool] = field(default_factory=dict)
    findings: Mapping[str, int] = field(default_factory=dict)


async def sight_figures(conn: Connection, catalog: Catalog, rules: Subsidies, now_us: int) -> SightFigures:
    """Figures of this moment; a centre without a reading has no ratio, a criterion that cannot be judged no verdict."""
    ratios: dict[str, dict[str, Fraction]] = {"pue": {}, "green": {}}
    admission: dict[tuple[str, str], bool] = {}
    suspended: dict[str, bool] = {}
    for centre in await metering_store.load_centres(conn):
        standing = await standing_of(conn, catalog, rules, centre, now_us)
        for name, ratio in (("pue", pue(standing.months)), ("green", green_share(standing.months))):
            if ratio is not None:
                ratios[name][centre] = ratio
        admission |= {(centre, criterion): verdict for criterion, verdict in standing.criteria.items()}
        suspended[centre] = any(since <= now_us < until for since, until, _ in standing.record.suspensions())
    waiting = await finding_store.count_open(conn)
    findings = {name: waiting.get(name, 0) for name in CHECKS}
    return SightFigures(ratios["pue"], ratios["green"], admission, suspended, findings)
