"""What a voucher scheme says, as values: one `Scheme` per version of its rules, a `Series` for all versions of one file.

Days are Asia/Shanghai dates, both ends included; what issuing needs is kept as half-open UTC epoch microseconds. Amounts
are integer fen, or units of an asset where the name says so. Whatever no text fixes is None and named in `unknown`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

from ledger.amount import Asset
from metering.zones import SHANGHAI, shanghai_day_us
from subsidy.facts import Dictionary
from subsidy.operators import Condition
from voucher.days import add_months, day_of

SIGNATURES = ("Ed25519", "SM2-SM3")
"""Algorithms that a scheme may ask of its vouchers; the second is that of the optional SM2 key."""
ACTIONS = ("train", "tune", "infer")
CLAIM_MODES = (
    *("issue_then_offset", "issue_then_reimburse", "free_allocation"),
    *("post_use_direct", "auto_enjoy", "target_responsibility"),
)
ISSUING_MODES = frozenset(CLAIM_MODES[:3])
"""The modes in which a voucher exists; in the others money follows use without one."""

COST_KINDS = (
    *("compute", "storage", "network", "security", "support", "software", "data", "model", "token", "annotation"),
    *("hardware", "labour", "other"),
)
"""Kinds of cost items; `support` is 技术支持."""

INVENTED = "虚构 invented"
"""How the source of every value of a sandbox begins, and of no other scheme's."""

ID = r"[a-z0-9]+(-[a-z0-9]+)*"
"""Names of schemes, centres and price lists."""


class SchemeStatus(enum.Enum):
    """A draft may meter and simulate, never issue or pay; a sandbox issues vouchers that are worth nothing."""

    DRAFT = "draft"
    USABLE = "usable"
    SANDBOX = "sandbox"


@dataclass(frozen=True, slots=True)
class Terms:
    """What a scheme fixes for issuing in one unit, in units of `asset`; a year is a calendar year in Asia/Shanghai.

    With `over_issue` more may be issued than the budget holds: what is used of it will be less.
    """

    asset: Asset
    budget_year_units: int
    cap_holder_year_units: int
    min_units: int
    max_units: int
    over_issue: bool = False


@dataclass(frozen=True, slots=True)
class Span:
    """Days from `first` to `last`, both included; None is open."""

    first: date | None
    last: date | None

    def holds(self, day: date) -> bool:
        """Whether the day is one of them."""
        return (self.first is None or self.first <= day) and (self.last is None or day <= self.last)

    def overlaps(self, other: Span) -> bool:
        """Whether some day is in both."""
        starts_before = self.first is None or other.last is None or self.first <= other.last
        ends_after = self.last is None or other.first is None or other.first <= self.last
        return starts_before and ends_after


@dataclass(frozen=True, slots=True)
class Requirement:
    """A condition of eligibility. `id` is the fact that fails (`beneficiary.region`), `source` the text that says so."""

    id: str
    condition: Condition
    source: str


@dataclass(frozen=True, slots=True)
class Contract:
    """What a scheme asks of a contract: its longest duration in months, and how often one contract may be claimed."""

    max_months: int | None
    claims_max: int | None
    source: str


@dataclass(frozen=True, slots=True)
class Base:
    """The cost that a ratio applies to.

    `included` are the only cost kinds that count, None for every one that is not `excluded`. With a `period`, the part of
    the contract inside it counts, by days: `days_exclusive_end` counts date differences, `days_inclusive` both ends.
    """

    kind: str
    included: frozenset[str] | None
    excluded: frozenset[str]
    tax: str | None
    period: Span | None
    prorate: str | None
    source: str

    def counts(self, kind: str) -> bool:
        """Whether a cost item of this kind is part of the base."""
        return kind not in self.excluded and (self.included is None or kind in self.included)


@dataclass(frozen=True, slots=True)
class RatioRow:
    """At most this share of the base, if `when` certainly holds; a row without a condition is for all others."""

    share: Fraction
    when: Condition | None
    source: str


@dataclass(frozen=True, slots=True)
class Cap:
    """At most `units` (of the asset `unit`; fen if None) per `limit`; of several rows of one limit the first that holds counts.

    `counts` says which sums of a beneficiary use the cap up, each on its own; empty where the text does not say.
    """

    limit: str
    units: int
    unit: str | None
    counts: tuple[str, ...]
    when: Condition | None
    source: str


@dataclass(frozen=True, slots=True)
class Override:
    """Case-by-case lifting of caps (一事一议): for whom; it needs a named approver and a reason."""

    when: Condition | None
    source: str


@dataclass(frozen=True, slots=True)
class Rounding:
    """How a figure is rounded: `truncate` or `half_up`, to a multiple of `quantum_fen`."""

    mode: str
    quantum_fen: int
    source: str


@dataclass(frozen=True, slots=True)
class Share:
    """The part of each payment that one level of government bears."""

    level: str
    share: Fraction


@dataclass(frozen=True, slots=True)
class Budget:
    """Money of a programme in fen: of a year, of one round; how it runs out, and who bears it.

    `on_exhaustion` orders the claims of a closed round. `over_issue` allows to issue more than the budget holds.
    """

    year_fen: int | None
    round_fen: int | None
    on_exhaustion: str | None
    funding: tuple[Share, ...]
    over_issue: bool
    source: str


@dataclass(frozen=True, slots=True)
class Tranche:
    """A part of an entitlement that is released `after` something happened (`approval`, `progress_report`)."""

    share: Fraction
    after: str
    source: str


@dataclass(frozen=True, slots=True)
class ReclaimRow:
    """Of an entitlement used up to this share of the plan, so much is taken back."""

    used_up_to: Fraction
    reclaimed: Fraction


@dataclass(frozen=True, slots=True)
class Reclaim:
    """Taking back what lies idle: looked at every `cycle_months`, announced `notice_days` ahead; rows rise."""

    cycle_months: int
    notice_days: int
    rows: tuple[ReclaimRow, ...]
    source: str


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of the procedure and who takes it."""

    step: str
    actor: str


@dataclass(frozen=True, slots=True)
class Offline:
    """What may be out in leases: hours of the longest, percent of a voucher at once, units at one centre by number of the asset."""

    hours: int
    percent: int
    centre_units: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Spending:
    """What may be done with a voucher: how long it lives (`months` from issue, or fixed days), and what becomes of it.

    `at_expiry` says whether a hold taken before expiry survives to the end of its job or stops; `interrupted` whether the
    time of a job that the centre interrupted is charged. `signatures` are the algorithms by which a voucher must be signed to be spent.
    `offline` is None where nothing may be spent from leases.
    """

    months: int | None
    transferable: bool | None
    multi_use: bool | None
    at_expiry: str | None
    interrupted: str | None
    signatures: tuple[str, ...] = ()
    offline: Offline | None = None

    def charges(self, *, interrupted: bool) -> bool | None:
        """Whether the time of a job is paid for; None where no text says what becomes of an interrupted one."""
        if not interrupted:
            return True
        return None if self.interrupted is None else self.interrupted == "charged"


@dataclass(frozen=True, slots=True)
class Settlement:
    """Who is paid, how often, and what the provider invoices."""

    cycle: str | None
    payee: str | None
    invoice_rule: str | None
    source: str


@dataclass(frozen=True, slots=True)
class Target:
    """A target-responsibility agreement: what is measured, the least of it, and that only one side may claim."""

    measure: str
    least: int
    exclusive: bool
    source: str


@dataclass(frozen=True, slots=True)
class Procedure:
    """What happens around a decision. Empty or None is what no text fixes."""

    channels: tuple[str, ...] = ()
    evidence: Mapping[str, tuple[str, ...]] | None = None
    stages: tuple[Stage, ...] = ()
    publication_days: int | None = None
    stacking: tuple[tuple[str, str], ...] = ()
    provider_mode: str | None = None
    provider_criteria: tuple[str, ...] = ()
    sanction_years: int | None = None
    retention_years: int | None = None
    reports: tuple[str, ...] = ()
    log_publication: str | None = None


@dataclass(frozen=True, slots=True)
class Scheme:
    """One version of a scheme.

    `digest` is the SHA-256 of the file, in hex: a decision names with it, and with `version`, the rules it was taken under.
    `terms` are empty, and the times of issue and validity zero, where the scheme is not complete enough to issue: `lacks`
    then says what is missing. `notes` are the sources of its tables by name, that of the version itself under the empty name. `centres` and `accelerators` are None where every one is admitted. Of several vouchers the one
    with the lower `priority` is spent first. `late_days` is how long after its end usage may be reported, None without limit.
    """

    id: str
    name_zh: str
    name_en: str
    authority: str
    version: str
    status: SchemeStatus
    claim_mode: str
    unknown: tuple[str, ...]
    in_force: Span
    decisive: str
    facts: Dictionary
    requirements: tuple[Requirement, ...]
    contract: Contract | None
    application: Span | None
    base: Base | None
    ratio: tuple[RatioRow, ...]
    combine: str
    caps: tuple[Cap, ...]
    override: Override | None
    min_spend_fen: int | None
    min_voucher_fen: int | None
    rounding: Rounding | None
    budget: Budget | None
    tranches: tuple[Tranche, ...]
    reclaim: Reclaim | None
    spending: Spending
    settlement: Settlement | None
    target: Target | None
    procedure: Procedure
    notes: Mapping[str, str]
    digest: str
    lacks: tuple[str, ...]
    terms: tuple[Terms, ...]
    issue_from_us: int
    issue_until_us: int
    valid_from_us: int
    valid_until_us: int
    priority: int
    centres: frozenset[str] | None
    actions: tuple[str, ...]
    accelerators: frozenset[str] | None
    price_list: str
    late_days: int | None

    def terms_in(self, unit: str) -> Terms | None:
        """Terms for vouchers in `unit` (an asset's code), None if the scheme has none in it."""
        return next((terms for terms in self.terms if terms.asset.code == unit), None)

    def validity(self, issued_us: int) -> tuple[int, int]:
        """When a voucher issued at that instant is valid: from, until (UTC epoch microseconds, half-open).

        A validity in months runs from the day of issue in Shanghai to the day before the same day of the last month.
        """
        if self.spending.months is None:
            return self.valid_from_us, self.valid_until_us
        return issued_us, shanghai_day_us(add_months(day_of(issued_us), self.spending.months))

    def source(self, table: str) -> str:
        """The text that a table of the file stands on."""
        return self.notes.get(table) or self.notes[""]

    @property
    def simulates(self) -> bool:
        """Whether the texts fix enough for a figure: base, ratio and cap."""
        return self.base is not None and bool(self.ratio) and bool(self.caps)


@dataclass(frozen=True, slots=True)
class Series:
    """All versions of one scheme, oldest first; no two are in force on the same day."""

    id: str
    versions: tuple[Scheme, ...]

    @property
    def latest(self) -> Scheme:
        """The version that began last."""
        return self.versions[-1]

    def on(self, day: date) -> Scheme | None:
        """The version in force on a day in Shanghai."""
        return next((version for version in self.versions if version.in_force.holds(day)), None)

    def at(self, instant_us: int) -> Scheme | None:
        """The version in force at an instant."""
        return self.on(day_of(instant_us))


def policy_year(instant_us: int) -> int:
    """Calendar year in Asia/Shanghai of a UTC instant: budgets and caps count in it."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=instant_us)).astimezone(SHANGHAI).year
