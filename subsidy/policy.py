"""What a policy document says, as values: its life, its clauses, their conditions, benefits, questions and quotes."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from subsidy.facts import Dictionary
from subsidy.operators import Condition, Quantity


class Layer(enum.Enum):
    """Which part of the rules a condition belongs to; each has its own life."""

    ENTITLEMENT = "entitlement"
    PROCEDURE = "procedure"
    DUPLICATES = "duplicates"


class Review(enum.Enum):
    """How a clause is opened to applications."""

    IRREGULAR = "irregular"
    DEPARTMENT = "department"
    IMPLEMENTING_RULES = "implementing_rules"
    ANNUAL_ROUND = "annual_round"


class AmountKind(enum.Enum):
    """What the figure of a benefit means. Nearly all are ceilings: 不超过 and 最高 promise nothing."""

    EXACT = "exact"
    CEILING = "ceiling"
    RANGE = "range"
    UNDETERMINED = "undetermined"
    NON_MONETARY = "non_monetary"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Quote:
    """Verbatim words of the source text, but for white space and Markdown asterisks, and the lines where they begin."""

    text: str
    lines: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """What the texts leave to a person: asked when its condition holds (always, if it has none), decided by a department.

    `withholds_amount`: no figure until it is decided. `regardless`: stands whatever the result, since it could overturn it.
    `person` false makes it a remark that nobody needs to decide.
    """

    id: str
    zh: str
    en: str
    decided_by: str
    when: Condition | None = None
    withholds_amount: bool = False
    regardless: bool = False
    person: bool = True


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition of a clause with the words that state it.

    A failure refuses the application; with `question` a person must also confirm the refusal, and with `lacks` it only
    leaves the application incomplete until what `lacks` names is supplied.
    """

    id: str
    condition: Condition
    quote: Quote
    layer: Layer
    document: str
    department: str
    question: Question | None = None
    lacks: str | None = None


@dataclass(frozen=True, slots=True)
class Gift:
    """A benefit that is not money, given when its condition holds."""

    id: str
    zh: str
    en: str
    when: Condition


@dataclass(frozen=True, slots=True)
class Benefit:
    """What an eligible applicant may get: `rate` x `of`, never above `cap`, in yuan; a range; gifts; or nothing.

    `unless_known` is asked, and no figure given, while `of` is unknown because a department has to supply it.
    """

    kind: AmountKind
    quote: Quote | None = None
    rate: Fraction = Fraction(1)
    of: Quantity | None = None
    cap: Quantity | None = None
    range_yuan: tuple[int, int] | None = None
    unless_known: Question | None = None
    questions: tuple[Question, ...] = ()
    gifts: tuple[Gift, ...] = ()


@dataclass(frozen=True, slots=True)
class OpenPoint:
    """An ambiguity of the text, the readings it allows and the one taken; shown to the reviewer beside the clause."""

    id: str
    zh: str
    en: str
    options: tuple[str, ...] = ()
    taken: str = ""


@dataclass(frozen=True, slots=True)
class Clause:
    """One clause. `implements` names the clause of a higher document that it carries out and may narrow, never widen.

    `opens_when`: a condition without which nobody may apply although the clause is in force.
    """

    id: str
    document: str
    title_zh: str
    title_en: str
    departments: tuple[str, ...]
    review: Review
    requirements: tuple[Requirement, ...]
    questions: tuple[Question, ...]
    benefit: Benefit
    also: tuple[str, ...] = ()
    implements: str | None = None
    opens_when: Requirement | None = None
    open_points: tuple[OpenPoint, ...] = ()


@dataclass(frozen=True, slots=True)
class NamedQuantity:
    """A number computed from facts that several conditions and benefits use."""

    name: str
    zh: str
    en: str
    quantity: Quantity


@dataclass(frozen=True, slots=True)
class Document:
    """One policy document. Days are Asia/Shanghai dates, both ends inclusive; the smaller `precedence` prevails.

    `effective_from` is the first day of application that this revision of the rules decides; None for the first revision.
    `source_sha256` fixes the text that quotes are checked against, `digest` the rules file itself, so that a decision can
    name exactly what it applied.
    """

    id: str
    revision: int
    number: str
    title_zh: str
    title_en: str
    issuers: tuple[str, ...]
    level: str
    precedence: int
    implements: str | None
    issued_on: date
    published_on: date
    first_day: date
    last_day: date
    validity: Quote
    source_sha256: str
    digest: str
    facts: Dictionary
    quantities: Mapping[str, NamedQuantity]
    clauses: tuple[Clause, ...]
    effective_from: date | None = None

    def in_force(self, on: date) -> bool:
        """Whether the document applies to an application received on that day."""
        return self.first_day <= on <= self.last_day
