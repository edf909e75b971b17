"""The one table of rights: role × action × relation to the object. HTTP, pages and commands ask it; what it does not name is refused.

A row names an action, the roles that may do it to anything, and those that may do it to what is their own tenant's (a
centre's usage, a beneficiary's vouchers). `APART` names the pairs of acts that one person may not do to the same object.
"""

from __future__ import annotations

import enum
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ledger.errors import Kind
from suanquan.errors import ServiceError


class Role(enum.Enum):
    """In which capacity somebody acts. `PUBLIC` is whoever says nothing of himself."""

    PUBLIC = "public"
    ADMINISTRATOR = "administrator"
    PROGRAMME_OFFICER = "programme_officer"
    REVIEWER = "reviewer"
    FINANCE = "finance"
    DEPARTMENT = "department"
    AUDITOR = "auditor"
    OPERATOR = "operator"
    CENTRE_OPERATOR = "centre_operator"
    CENTRE_AGENT = "centre_agent"
    SCHEDULER = "scheduler"
    BENEFICIARY_ADMIN = "beneficiary_admin"
    BENEFICIARY_MEMBER = "beneficiary_member"

    @classmethod
    def parse(cls, text: str) -> Role | None:
        """The role of a stored word, those of earlier versions among them; None for a word that is no role."""
        return _EARLIER.get(text) or next((role for role in cls if role.value == text), None)

    @property
    def is_official(self) -> bool:
        """Whether what this role reads of persons and companies is read by the authority, and so leaves a trace."""
        return self in OFFICE or self is Role.REVIEWER

    @property
    def has_tenant(self) -> bool:
        """Whether this role is one of a centre or of a beneficiary."""
        return self in CENTRE or self in BENEFICIARY


_EARLIER = MappingProxyType({"applicant": Role.BENEFICIARY_ADMIN, "officer": Role.PROGRAMME_OFFICER})
OFFICE = frozenset(
    {
        *(Role.ADMINISTRATOR, Role.PROGRAMME_OFFICER, Role.FINANCE, Role.DEPARTMENT, Role.AUDITOR, Role.OPERATOR),
    }
)
CENTRE = frozenset({Role.CENTRE_OPERATOR, Role.CENTRE_AGENT, Role.SCHEDULER})
_STAFF_OF_CENTRE = frozenset({Role.CENTRE_OPERATOR, Role.CENTRE_AGENT})
BENEFICIARY = frozenset({Role.BENEFICIARY_ADMIN, Role.BENEFICIARY_MEMBER})
STAFF = frozenset({Role.ADMINISTRATOR, Role.PROGRAMME_OFFICER})
PEOPLE = frozenset(Role) - {Role.PUBLIC, Role.CENTRE_AGENT, Role.SCHEDULER}
EVERYBODY = frozenset(Role)


class Relation(enum.Enum):
    """Whose an object is: the caller's own tenant's, another's, or anybody's (a list, or what belongs to nobody)."""

    OWN = "own"
    OTHER = "other"
    ANY = "any"


class Reach(enum.Enum):
    """How far a role's right to an action goes."""

    NOTHING = "nothing"
    OWN = "own"
    EVERYTHING = "everything"


@dataclass(frozen=True, slots=True)
class Right:
    """Who may do one action: to anything, or to what is the own tenant's."""

    anything: frozenset[Role] = frozenset()
    own: frozenset[Role] = frozenset()


def _right(anything: Iterable[Role] = (), own: Iterable[Role] = ()) -> Right:
    return Right(frozenset(anything), frozenset(own))


READERS = OFFICE - {Role.OPERATOR}
"""Who sees single vouchers, accounts and usage of everybody."""
CASES = READERS | {Role.REVIEWER}
DEPARTMENTS = STAFF | {Role.DEPARTMENT}
_SETTLERS = DEPARTMENTS | {Role.FINANCE}
_PAYEES = BENEFICIARY | {Role.CENTRE_OPERATOR}

POLICY: Mapping[str, Right] = MappingProxyType(
    {
        # what anybody may see or ask; nothing of it names a company
        "service.look": _right(EVERYBODY),
        "figures.read": _right(EVERYBODY),
        "scheme.read": _right(EVERYBODY),
        "key.read": _right(EVERYBODY),
        "log.read": _right(EVERYBODY),
        "status.read": _right(EVERYBODY),
        "rules.ask": _right(EVERYBODY),
        "procedure.read": _right(EVERYBODY),
        "notice.read": _right(EVERYBODY),
        "decision.confirm": _right(EVERYBODY),
        "session.begin": _right(EVERYBODY),
        # one's own account, and those of others
        "account.self": _right(PEOPLE),
        "account.make": _right({Role.ADMINISTRATOR}, {Role.BENEFICIARY_ADMIN, Role.CENTRE_OPERATOR}),
        "account.list": _right({Role.ADMINISTRATOR, Role.AUDITOR}, {Role.BENEFICIARY_ADMIN, Role.CENTRE_OPERATOR}),
        "account.end": _right({Role.ADMINISTRATOR}, {Role.BENEFICIARY_ADMIN, Role.CENTRE_OPERATOR}),
        "recovery.open": _right({*STAFF, Role.DEPARTMENT, Role.FINANCE}),
        "recovery.approve": _right({*STAFF, Role.DEPARTMENT, Role.FINANCE}),
        # where an audience is told things
        "channel.list": _right(OFFICE, {Role.BENEFICIARY_ADMIN, Role.CENTRE_OPERATOR}),
        "channel.act": _right({Role.ADMINISTRATOR, Role.OPERATOR}, {Role.BENEFICIARY_ADMIN, Role.CENTRE_OPERATOR}),
        # who did and saw what
        "audit.read": _right({Role.ADMINISTRATOR, Role.AUDITOR}),
        "audit.erase": _right({Role.AUDITOR}),
        # a centre's agents, by their signatures
        "usage.report": _right(own=[Role.CENTRE_AGENT]),
        "usage.declare": _right(own=[Role.CENTRE_AGENT]),
        "usage.correct": _right(own=[Role.CENTRE_AGENT]),
        "hold.ask": _right(own=[Role.CENTRE_AGENT]),
        # what its people do at the counter: hold what a holder signed for, give back what is left
        "hold.act": _right(own=[Role.CENTRE_OPERATOR]),
        # what a scheduler asks before it starts a job, and what a run would cost
        "advice.ask": _right(READERS, {Role.CENTRE_OPERATOR, Role.SCHEDULER}),
        "quote.ask": _right(PEOPLE),
        # vouchers
        "voucher.issue": _right(STAFF),
        "voucher.split": _right(STAFF),
        "voucher.list": _right(READERS, BENEFICIARY),
        "voucher.read": _right(READERS, BENEFICIARY),
        "hold.list": _right(READERS, _STAFF_OF_CENTRE | BENEFICIARY),
        "hold.read": _right(READERS, _STAFF_OF_CENTRE | BENEFICIARY),
        "voucher.suspend": _right(STAFF),
        "voucher.resume": _right(STAFF),
        "voucher.revoke": _right(STAFF),
        "programme.read": _right(READERS),
        "programme.allot": _right({*STAFF, Role.DEPARTMENT}),
        # usage and what it cost
        "centre.list": _right(OFFICE, _STAFF_OF_CENTRE),
        "statement.read": _right(READERS, _STAFF_OF_CENTRE | BENEFICIARY),
        "quarantine.list": _right(OFFICE, _STAFF_OF_CENTRE),
        "quarantine.decide": _right(STAFF),
        "centre.read": _right(OFFICE, {Role.CENTRE_OPERATOR}),
        "centre.change": _right(DEPARTMENTS),
        "energy.report": _right(DEPARTMENTS, {Role.CENTRE_OPERATOR}),
        "forecast.read": _right(READERS),
        "alert.list": _right(READERS),
        "dispute.list": _right(READERS),
        "dispute.read": _right(READERS),
        "dispute.open": _right(_SETTLERS, BENEFICIARY),
        "dispute.act": _right(_SETTLERS),
        # what the checks found, and who is who
        "finding.list": _right(READERS),
        "finding.read": _right(READERS),
        "finding.decide": _right(DEPARTMENTS),
        "party.list": _right(READERS),
        "party.change": _right(DEPARTMENTS),
        # claims, receipts of jobs, settlement; the acts name the roles of their own besides
        "claim.list": _right(CASES, BENEFICIARY),
        "claim.read": _right(CASES, BENEFICIARY),
        "claim.act": _right(_SETTLERS, BENEFICIARY),
        "agreement.make": _right(_SETTLERS),
        "receipt.read": _right(READERS, BENEFICIARY),
        "receipt.list": _right(READERS),
        "receipt.act": _right(_SETTLERS, BENEFICIARY),
        "receipt.resolve": _right(_SETTLERS),
        "settlement.list": _right(READERS, _PAYEES),
        "settlement.read": _right(READERS, _PAYEES),
        "settlement.act": _right(_SETTLERS),
        "payee.list": _right(READERS),
        "payee.act": _right(_SETTLERS),
        # the ledger
        "ledger.read": _right(READERS),
        "statement.make": _right(READERS, BENEFICIARY),
        # what commands alone do: accounts of the ledger, corrections by the office, rules, keys, copies of the home
        "ledger.act": _right({*STAFF, Role.FINANCE}),
        "usage.amend": _right(DEPARTMENTS),
        "usage.approve": _right(DEPARTMENTS),
        "finding.seek": _right(DEPARTMENTS),
        "rules.propose": _right(DEPARTMENTS),
        "rules.adopt": _right(DEPARTMENTS),
        "key.change": _right({*STAFF, Role.OPERATOR}),
        "home.keep": _right({*STAFF, Role.OPERATOR}),
        # a sandbox's clock
        "clock.read": _right(PEOPLE),
        "clock.set": _right({*STAFF, Role.DEPARTMENT, Role.OPERATOR}),
        # decisions and procedures; the steps of a procedure name the roles of their own besides
        "decision.make": _right({*STAFF, Role.DEPARTMENT}),
        "decision.list": _right(READERS, BENEFICIARY),
        "decision.read": _right(READERS, BENEFICIARY),
        "cost.read": _right(READERS, BENEFICIARY),
        "round.call": _right({Role.ADMINISTRATOR, Role.DEPARTMENT, Role.FINANCE, Role.REVIEWER}),
        "application.act": _right({Role.ADMINISTRATOR, Role.DEPARTMENT, Role.FINANCE, Role.REVIEWER}, BENEFICIARY),
        "application.read": _right(CASES, BENEFICIARY),
    }
)
"""Every action there is. A role that is not in its row may not do it."""

APART: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "rules.adopt": frozenset({"rules.propose"}),
        "usage.approve": frozenset({"usage.amend"}),
        "recovery.open": frozenset({"recovery.subject"}),
        "recovery.approve": frozenset({"recovery.open", "recovery.subject"}),
    }
)
"""Four eyes: who did one of the acts on the right to an object may not do the act on the left to it. Procedures have theirs in
their steps."""


def reach(role: Role, action: str) -> Reach:
    """How far a role may go with an action; an action that nobody entered reaches nothing."""
    right = POLICY.get(action)
    if right is None:
        return Reach.NOTHING
    if role in right.anything:
        return Reach.EVERYTHING
    return Reach.OWN if role in right.own else Reach.NOTHING


def allows(role: Role, action: str, relation: Relation) -> bool:
    """Whether a role may do something to an object of this relation. Of a list, a role of a tenant gets its own part."""
    found = reach(role, action)
    return found is Reach.EVERYTHING or (found is Reach.OWN and relation is not Relation.OTHER)


def require_apart(action: str, person: str, earlier: Mapping[str, str]) -> None:
    """Refuse an act by who did what it must be apart from; `earlier` has persons by act.

    Width, case and spaces do not make another person.

    Raises:
        ServiceError: `same-person`.

    """
    for act in APART.get(action, frozenset()):
        before = earlier.get(act)
        if before is not None and same_person(before, person):
            raise ServiceError(
                "same-person",
                f"须由 {before} 以外的人办理",
                f"someone other than {before} must do this",
                kind=Kind.NOT_ALLOWED,
            )


def same_person(one: str, other: str) -> bool:
    """Whether two names are one person's."""
    first, second = ("".join(unicodedata.normalize("NFKC", text).casefold().split()) for text in (one, other))
    return first == second
