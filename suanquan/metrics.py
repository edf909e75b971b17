"""Prometheus metrics from one snapshot of the database: figures equal the ledger, and no label names a company or a voucher."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ledger.amount import CNY, COMPUTE
from suanquan.use_cases.overview import CentreSum, Overview
from suanquan.use_cases.sight_figures import SightFigures
from suanquan.use_cases.subsidies import RuleFigures

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

NO_RULES = RuleFigures()
NO_SIGHT = SightFigures()
NOBODY: Mapping[str, int] = MappingProxyType({})


class _Snapshot(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Metric]:
        return self._families


def render(
    figures: Overview,
    verdicts: Mapping[str, bool],
    now_us: int,
    rules: RuleFigures = NO_RULES,
    sight: SightFigures = NO_SIGHT,
    refused: Mapping[str, int] = NOBODY,
) -> bytes:
    """The `/metrics` page in Prometheus text format; `verdicts` says of each invariant whether it holds.

    `refused` are requests that this process refused so that others be served, by the code they were told.
    """
    registry = CollectorRegistry(auto_describe=False)
    families = [*_families(figures, now_us), _invariants(verdicts), *_rule_families(rules), *_sight_families(sight)]
    families.append(_refusals(refused))
    registry.register(_Snapshot(families))
    return generate_latest(registry)


def _families(figures: Overview, now_us: int) -> Iterator[Metric]:
    yield from _voucher_families(figures)
    redeemed = CounterMetricFamily("voucher_redeemed_yuan", "Yuan paid by vouchers.", labels=["scheme", "centre"])
    for scheme, centre, units in figures.redeemed:
        redeemed.add_metric([scheme, centre], yuan(units))
    yield redeemed
    yield from _centre_families(figures, now_us)
    entries = GaugeMetricFamily("ledger_entries", "Entries in the ledger's log.")
    entries.add_metric([], figures.head.size)
    yield entries
    age = GaugeMetricFamily("ledger_checkpoint_age_seconds", "Time since the newest head of the log was signed.")
    witnessed = GaugeMetricFamily(
        "ledger_witnessed_size", "Entries under the newest head with its quorum of witnesses."
    )
    if figures.signed:
        age.add_metric([], (now_us - figures.signed.signed_us) / 1e6)
    if figures.witnessed:
        witnessed.add_metric([], figures.witnessed.size)
    yield age
    yield witnessed


def _invariants(verdicts: Mapping[str, bool]) -> Metric:
    holds = GaugeMetricFamily(
        "ledger_invariant_ok", "Whether the ledger's invariant held when last judged.", labels=["invariant"]
    )
    for name, holding in verdicts.items():
        holds.add_metric([name], holding)
    return holds


def _refusals(refused: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(
        "http_requests_refused", "Requests refused so that others are served, by code.", labels=["code"]
    )
    for code, count in refused.items():
        family.add_metric([code], count)
    return family


def _rule_families(rules: RuleFigures) -> Iterator[Metric]:
    expiry = GaugeMetricFamily(
        "policy_expiry_timestamp_seconds", "When a policy document ceases to be in force.", labels=["document"]
    )
    open_ = GaugeMetricFamily("subsidy_clause_open", "Whether the clause takes applications today.", labels=["clause"])
    evaluations = CounterMetricFamily(
        "subsidy_evaluations", "Answers that the service gave under a clause.", labels=["clause", "status"]
    )
    for document, second in rules.expiry_s.items():
        expiry.add_metric([document], second)
    for clause, is_open in rules.open.items():
        open_.add_metric([clause], is_open)
    for (clause, status), count in rules.evaluations.items():
        evaluations.add_metric([clause, status], count)
    committed = GaugeMetricFamily(
        "subsidy_committed_yuan",
        "Yuan approved under a clause in a year, less what came back.",
        labels=["clause", "year"],
    )
    for (clause, year), units in rules.committed.items():
        committed.add_metric([clause, str(year)], yuan(units))
    return iter((expiry, open_, evaluations, committed))


def _sight_families(sight: SightFigures) -> Iterator[Metric]:
    pue = GaugeMetricFamily("centre_pue", "PUE over the last registered months, twelve at most.", labels=["centre"])
    green = GaugeMetricFamily(
        "centre_green_power_ratio", "Green part of the electricity of those months.", labels=["centre"]
    )
    admitted = GaugeMetricFamily(
        "centre_admission_ok", "Whether the centre meets a criterion of the policy.", labels=["centre", "criterion"]
    )
    suspended = GaugeMetricFamily("centre_suspended", "Whether the centre is suspended now.", labels=["centre"])
    open_ = GaugeMetricFamily("suanquan_findings_open", "Findings that wait for a reviewer.", labels=["check"])
    for family, values in ((pue, sight.pue), (green, sight.green)):
        for centre, ratio in values.items():
            family.add_metric([centre], float(ratio))
    for (centre, criterion), meets in sight.admission.items():
        admitted.add_metric([centre, criterion], meets)
    for centre, is_suspended in sight.suspended.items():
        suspended.add_metric([centre], is_suspended)
    for check, count in sight.findings.items():
        open_.add_metric([check], count)
    return iter((pue, green, admitted, suspended, open_))


STATES = ("issued", "available", "held", "redeemed", "expired", "returned")
"""States of a voucher's face; the first is the sum of the others."""
PFLOPS_HOUR = 10**COMPUTE.scale


def _voucher_families(figures: Overview) -> Iterator[Metric]:
    budget = GaugeMetricFamily(
        "voucher_budget_yuan", "Face value of vouchers in yuan by state.", labels=["scheme", "state"]
    )
    compute = GaugeMetricFamily(
        "voucher_budget_compute", "Face value of compute vouchers in PFLOPS-hours by state.",
        labels=["scheme", "state"],
    )  # fmt: skip
    active = GaugeMetricFamily(
        "voucher_active", "Vouchers in force that still have something to spend.", labels=["scheme"]
    )
    issued = GaugeMetricFamily("voucher_issued", "Vouchers issued so far.", labels=["scheme"])
    holders = GaugeMetricFamily(
        "voucher_beneficiaries", "Holders of vouchers by class of organisation.", labels=["scheme", "class"]
    )
    for scheme in figures.schemes:
        family, scale = (budget, 10**CNY.scale) if scheme.asset is CNY else (compute, PFLOPS_HOUR)
        for state in STATES:
            family.add_metric([scheme.scheme, state], getattr(scheme, state) / float(scale))
    for name in dict.fromkeys(scheme.scheme for scheme in figures.schemes):
        of_scheme = [scheme for scheme in figures.schemes if scheme.scheme == name]
        active.add_metric([name], sum(scheme.active for scheme in of_scheme))
        issued.add_metric([name], sum(scheme.vouchers for scheme in of_scheme))
    for name, kind, count in figures.classes:
        holders.add_metric([name, kind], count)
    return iter((budget, compute, active, issued, holders))


def _centre_families(figures: Overview, now_us: int) -> Iterator[Metric]:
    gpu = CounterMetricFamily("compute_gpu_seconds", "GPU-seconds metered.", labels=["centre", "model"])
    pflops = CounterMetricFamily("compute_pflops_seconds", "Dense FP16 PFLOPS-seconds metered.", labels=["centre"])
    capacity = GaugeMetricFamily("centre_capacity_pflops", "Declared capacity in dense FP16 PFLOPS.", labels=["centre"])
    use = GaugeMetricFamily("centre_utilisation_ratio", "Metered GPU time over declared capacity.", labels=["centre"])
    rated = CounterMetricFamily("centre_rated_yuan", "Price of metered usage in yuan.", labels=["centre"])
    lag = GaugeMetricFamily("usage_report_lag_seconds", "Time since the centre last reported.", labels=["centre"])
    records = CounterMetricFamily("usage_records", "Usage records by outcome.", labels=["centre", "status"])
    gaps = GaugeMetricFamily("usage_gaps", "Declared account-months that lack usage.", labels=["centre"])
    held = GaugeMetricFamily("usage_quarantined", "Records waiting for a person.", labels=["centre"])
    for centre in figures.centres:
        _add_centre(centre, gpu, records)
        pflops.add_metric([centre.centre], centre.gflop_ms / 1e9)
        rated.add_metric([centre.centre], yuan(centre.yuan))
        gaps.add_metric([centre.centre], centre.gaps)
        held.add_metric([centre.centre], figures.quarantined.get(centre.centre, 0))
        if centre.capacity_gflops:
            capacity.add_metric([centre.centre], centre.capacity_gflops / 1e6)
        if centre.capacity_gpu_ms:
            use.add_metric([centre.centre], centre.total_gpu_ms / centre.capacity_gpu_ms)
        if centre.received_us:
            lag.add_metric([centre.centre], (now_us - centre.received_us) / 1e6)
    return iter((gpu, pflops, capacity, use, rated, lag, records, gaps, held))


def _add_centre(centre: CentreSum, gpu: CounterMetricFamily, records: CounterMetricFamily) -> None:
    for model, milliseconds in centre.gpu_ms.items():
        gpu.add_metric([centre.centre, model], milliseconds / 1000)
    for status, count in centre.statuses.items():
        records.add_metric([centre.centre, status], count)


def yuan(units: int) -> float:
    """Yuan of CNY units, for figures that are floats by their format."""
    return units / float(10**CNY.scale)
