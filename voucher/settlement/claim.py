"""A redemption claim (兑付申请): what somebody asks to be paid under a scheme, folded from its facts.

A claim of a beneficiary takes its units out of a voucher, an agreement or the budget when it is made; returned, refused or withdrawn
it gives them back whence they came. It is paid by a batch, never by itself. A provider's claims are its batches.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ledger.errors import Kind
from voucher.errors import VoucherError
from voucher.settlement.batch import Evidence, evidence_of
from voucher.settlement.fact import Fact


class ClaimState(enum.Enum):
    """Where a claim stands, beside what its batch says."""

    SUBMITTED = "submitted"
    RETURNED = "returned"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim. `holder` is whose claim it is, `source` the voucher or agreement it draws on, `decision` why so much.

    `claimed` is the event that moved its units,
    `period` what was assessed.
    """

    id: str
    scheme: str
    mode: str
    payee: str
    holder: str
    actor: str
    jti: str
    agreement: str
    period: str
    year: int
    units: int
    claimed: str
    by: str
    at_us: int
    decision: Mapping[str, Any]
    evidence: tuple[Evidence, ...]
    state: ClaimState = ClaimState.SUBMITTED
    reason: str = ""

    @property
    def is_live(self) -> bool:
        """Whether its units are asked for."""
        return self.state is ClaimState.SUBMITTED


_ENDS = {"withdraw": ClaimState.WITHDRAWN, "give_back": ClaimState.RETURNED, "refuse": ClaimState.REFUSED}


def fold(facts: Sequence[Fact]) -> Claim:
    """The claim that its facts make; the first one submitted it."""
    first, said = facts[0], facts[0].content
    claim = Claim(
        id=first.subject,
        scheme=said["scheme"],
        mode=said["mode"],
        payee=said["payee"],
        holder=said["holder"],
        actor=said["actor"],
        jti=said["jti"],
        agreement=said["agreement"],
        period=said["period"],
        year=said["year"],
        units=said["units"],
        claimed=said["claimed"],
        by=first.person,
        at_us=first.at_us,
        decision=said["decision"],
        evidence=tuple(evidence_of(one) for one in said["evidence"]),
    )
    for fact in facts[1:]:
        claim = replace(claim, state=_ENDS[fact.kind], reason=fact.content["reason"])
    return claim


def require_live(claim: Claim) -> None:
    """Refuse to end a claim twice.

    Raises:
        VoucherError: `claim-state`.

    """
    if not claim.is_live:
        raise VoucherError(
            "claim-state",
            f"兑付申请 {claim.id} 已 {claim.state.value}",
            f"the claim {claim.id} is {claim.state.value}",
            kind=Kind.CONFLICT,
        )


@dataclass(frozen=True, slots=True)
class Agreement:
    """A target-responsibility agreement (目标责任书): between whom, and the units that its target entitles to."""

    id: str
    scheme: str
    holder: str
    provider: str
    units: int
    basis: str


def agreement_of(fact: Fact) -> Agreement:
    """The agreement that a fact made."""
    said = fact.content
    return Agreement(fact.subject, said["scheme"], said["holder"], said["provider"], said["units"], said["basis"])
