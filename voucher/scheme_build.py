"""What was read of a scheme file, table by table, and the `Scheme` that is made of it once it is sound."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from ledger.amount import CNY, COMPUTE, Asset
from metering.zones import shanghai_day_us
from subsidy.facts import Dictionary
from subsidy.operators import Condition
from subsidy.yaml_text import Table
from voucher import scheme_schema as schema
from voucher.scheme import (
    ACTIONS,
    Base,
    Budget,
    Cap,
    Contract,
    Offline,
    Override,
    Procedure,
    RatioRow,
    Reclaim,
    ReclaimRow,
    Requirement,
    Rounding,
    Scheme,
    SchemeStatus,
    Settlement,
    Share,
    Span,
    Spending,
    Stage,
    Target,
    Terms,
    Tranche,
)

MICRO_YUAN_PER_FEN = 10_000
DENOMINATIONS: Mapping[str, tuple[Asset, str]] = {"CNY_FACE": (CNY, "fen"), "PFLOPS.h": (COMPUTE, "pflops_h")}
"""Asset of a denomination, and how the keys of its amounts end."""


@dataclass(frozen=True, slots=True)
class Row:
    """One item of an array of tables, with its note and its condition."""

    table: Table
    path: str
    values: Mapping[str, Any]
    note: str
    when: Condition | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """One table of a version."""

    table: Table
    path: str
    values: Mapping[str, Any]
    note: str
    when: Condition | None = None
    rows: list[Mapping[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Version:
    """One `[[version]]` as read."""

    table: Table
    path: str
    values: Mapping[str, Any]
    note: str
    sections: dict[str, Section] = field(default_factory=dict)
    rows: dict[str, list[Row]] = field(default_factory=dict)

    @property
    def span(self) -> Span:
        """The days on which it is in force."""
        return Span(self.values.get("from"), self.values.get("to"))

    def get(self, place: str) -> Any:
        """Value at `section.key`, of a key of the version itself, or the rows of an array; None where there is none."""
        section, _, key = place.partition(".")
        if key:
            return self.sections[section].values.get(key) if section in self.sections else None
        return self.rows.get(section) or self.values.get(section)

    def given(self, parameter: str) -> bool:
        """Whether the file fixes a parameter of `PARAMETERS`."""
        return any(self.get(place) is not None for place in schema.PARAMETERS[parameter].places)

    def notes(self) -> Iterator[tuple[Table, str, str]]:
        """Every table that may cite a source, with its path and note."""
        yield self.table, self.path, self.note
        parts: list[Section | Row] = [*self.sections.values(), *(row for rows in self.rows.values() for row in rows)]
        yield from ((part.table, part.path, part.note) for part in parts)

    def source_of(self, section: str) -> str:
        """The note of a section, of the first row of an array, or of the version."""
        part = self._part(section)
        return part.note if part else self.note

    def table_of(self, section: str) -> Table:
        """The table that stands for a section in messages."""
        part = self._part(section)
        return part.table if part else self.table

    def path_of(self, section: str) -> str:
        """Its path."""
        part = self._part(section)
        return part.path if part else self.path

    def _part(self, section: str) -> Section | Row | None:
        rows = self.rows.get(section)
        return self.sections.get(section) or (rows[0] if rows else None)

    def denominations(self) -> list[tuple[Asset, str]]:
        """Assets of its vouchers and how the keys of their amounts end."""
        return [DENOMINATIONS[name] for name in self.values.get("denomination", ())]

    def year_cap(self, suffix: str) -> int | None:
        """The cap of a beneficiary and year for everybody, in fen or in units of compute."""
        for row in self.rows["cap"]:
            if row.values.get("limit") == "beneficiary_year" and row.when is None and suffix in row.values:
                return int(row.values[suffix])
        return None

    def lacking(self) -> tuple[str, ...]:
        """What suanquan still needs in order to issue under it."""
        lacks = [f"voucher.{key}" for key in schema.ISSUING if key not in self._values("voucher")]
        lacks += [name for name in ("window", "validity", "budget", "caps") if not self.given(name)]
        return tuple(lacks)

    def _values(self, section: str) -> Mapping[str, Any]:
        return self.sections[section].values if section in self.sections else {}

    def terms(self) -> Iterator[Terms]:
        """What is issued in each unit for which budget and cap of the year are fixed; a bound that is not fixed is wide open."""
        for asset, suffix in self.denominations():
            scale = MICRO_YUAN_PER_FEN if asset is CNY else 1
            budget, cap = self.get(f"budget.per_year_{suffix}"), self.year_cap(suffix)
            if budget is None or cap is None:
                continue
            least = self.get(f"thresholds.min_voucher_{suffix}") or 1
            most = self.get(f"thresholds.max_voucher_{suffix}") or cap
            over = self.get("budget.over_issue") or False
            yield Terms(asset, budget * scale, cap * scale, least * scale, most * scale, over)


def build(identity: Mapping[str, Any], version: Version, facts: Dictionary, digest: str) -> Scheme:
    """The scheme of a sound version."""
    lacks = version.lacking()
    ready = not lacks
    months = version.get("voucher.validity_months")
    valid_from, valid_to = version.get("voucher.valid_from"), version.get("voucher.valid_to")
    issue_from, issue_to = version.get("window.from"), version.get("window.to")
    if months is not None and issue_to is not None:  # the last voucher of the window decides how long any may live
        valid_from, valid_to = issue_from, issue_to + timedelta(days=31 * months)
    return Scheme(
        id=identity["id"],
        name_zh=identity["name_zh"],
        name_en=identity["name_en"],
        authority=identity["authority"],
        version=version.values["version"],
        status=SchemeStatus(version.values["status"]),
        claim_mode=version.get("claim_mode") or schema.UNSET,
        unknown=version.values["unknown"],
        in_force=version.span,
        decisive=version.values["decisive_date"],
        facts=facts,
        requirements=tuple(
            Requirement(row.values["id"], row.when, row.note) for row in version.rows["condition"] if row.when
        ),
        contract=_contract(version),
        application=_span(version, "application"),
        base=_base(version),
        ratio=tuple(RatioRow(row.values["max_percent"], row.when, row.note) for row in version.rows["ratio"]),
        combine=version.get("combine") or "first",
        caps=tuple(map(_cap, version.rows["cap"])),
        override=_override(version),
        min_spend_fen=version.get("thresholds.min_spend_fen"),
        min_voucher_fen=version.get("thresholds.min_voucher_fen"),
        rounding=_rounding(version),
        budget=_budget(version),
        tranches=tuple(Tranche(row.values["share"], row.values["after"], row.note) for row in version.rows["tranche"]),
        reclaim=_reclaim(version),
        spending=Spending(
            months=months,
            transferable=version.get("voucher.transferable"),
            multi_use=version.get("voucher.multi_use"),
            at_expiry=version.get("voucher.at_expiry"),
            interrupted=version.get("voucher.interrupted_time"),
            signatures=tuple(version.get("voucher.signatures") or ()),
            offline=_offline(version),
        ),
        settlement=_settlement(version),
        target=_target(version),
        procedure=_procedure(version),
        notes=_notes(version),
        digest=digest,
        lacks=lacks,
        terms=tuple(version.terms()) if ready else (),
        issue_from_us=_from_us(issue_from) if ready else 0,
        issue_until_us=_until_us(issue_to) if ready else 0,
        valid_from_us=_from_us(valid_from) if ready else 0,
        valid_until_us=_until_us(valid_to) if ready else 0,
        priority=version.get("voucher.priority") or 0,
        centres=_names(version.get("voucher.centres")),
        actions=tuple(action for action in ACTIONS if action in (version.get("voucher.actions") or ())),
        accelerators=_names(version.get("voucher.accelerators")),
        price_list=version.get("voucher.price_list") or "",
        late_days=version.get("reporting.late_days"),
    )


def _notes(version: Version) -> dict[str, str]:
    return {"": version.note, **{name: section.note for name, section in version.sections.items()}}


def _from_us(day: date) -> int:
    return shanghai_day_us(day)


def _until_us(day: date) -> int:
    return shanghai_day_us(day + timedelta(days=1))


def _names(values: tuple[str, ...] | None) -> frozenset[str] | None:
    return None if values is None else frozenset(values)


def _span(version: Version, section: str) -> Span | None:
    if section not in version.sections:
        return None
    return Span(version.get(f"{section}.from"), version.get(f"{section}.to"))


def _contract(version: Version) -> Contract | None:
    if "contract" not in version.sections:
        return None
    get = version.sections["contract"].values.get
    return Contract(get("max_duration_months"), get("claims_per_contract"), version.source_of("contract"))


def _base(version: Version) -> Base | None:
    if version.get("base.kind") is None:
        return None
    get = version.sections["base"].values.get
    first, last = get("period_from"), get("period_to")
    return Base(
        kind=version.get("base.kind"),
        included=_names(get("included")),
        excluded=frozenset(get("excluded") or ()),
        tax=get("tax"),
        period=Span(first, last) if first else None,
        prorate=get("prorate"),
        source=version.source_of("base"),
    )


def _cap(row: Row) -> Cap:
    values = row.values
    units, unit = (values["fen"], None) if "fen" in values else (values["pflops_h"], COMPUTE.code)
    return Cap(values["limit"], units, unit, values.get("counts") or (), row.when, row.note)


def _override(version: Version) -> Override | None:
    section = version.sections.get("override")
    return None if section is None else Override(section.when, section.note)


def _offline(version: Version) -> Offline | None:
    """Leases are allowed where all three limits are given, in each unit on its own."""
    hours, percent = version.get("voucher.offline_hours"), version.get("voucher.offline_percent")
    fen, compute = version.get("voucher.offline_centre_fen"), version.get("voucher.offline_centre_pflops_h")
    if hours is None or percent is None:
        return None
    limits = {CNY.number: (fen or 0) * MICRO_YUAN_PER_FEN, COMPUTE.number: compute or 0}
    return Offline(hours, percent, {asset: units for asset, units in limits.items() if units})


def _rounding(version: Version) -> Rounding | None:
    if version.get("rounding.mode") is None:
        return None
    return Rounding(version.get("rounding.mode"), version.get("rounding.quantum_fen"), version.source_of("rounding"))


def _budget(version: Version) -> Budget | None:
    if "budget" not in version.sections:
        return None
    get = version.sections["budget"].values.get
    funding = tuple(Share(row.values["level"], row.values["share"]) for row in version.rows["funding"])
    return Budget(
        get("per_year_fen"),
        get("per_round_fen"),
        get("on_exhaustion"),
        funding,
        get("over_issue") or False,
        version.source_of("budget"),
    )


def _reclaim(version: Version) -> Reclaim | None:
    section = version.sections.get("reclaim")
    if section is None:
        return None
    rows = tuple(ReclaimRow(row["used_up_to_percent"], row["reclaimed_percent"]) for row in section.rows)
    return Reclaim(section.values["cycle_months"], section.values["notice_days"], rows, section.note)


def _settlement(version: Version) -> Settlement | None:
    if "settlement" not in version.sections:
        return None
    get = version.sections["settlement"].values.get
    return Settlement(get("cycle"), get("payee"), get("invoice_rule"), version.source_of("settlement"))


def _target(version: Version) -> Target | None:
    section = version.sections.get("target")
    if section is None:
        return None
    values = section.values
    return Target(values["measure"], values["least"], values["exclusive"], section.note)


def _procedure(version: Version) -> Procedure:
    evidence = version.sections.get("evidence")
    return Procedure(
        channels=version.get("channels") or (),
        evidence=dict(evidence.values) if evidence else None,
        stages=tuple(Stage(row.values["step"], row.values["actor"]) for row in version.rows["stage"]),
        publication_days=version.get("publication.working_days"),
        stacking=tuple((row.values["other"], row.values["rule"]) for row in version.rows["stacking"]),
        provider_mode=version.get("providers.mode"),
        provider_criteria=version.get("providers.criteria") or (),
        sanction_years=version.get("sanctions.years"),
        retention_years=version.get("retention.years"),
        reports=version.get("reporting.reports") or (),
        log_publication=version.get("log.publication"),
    )
