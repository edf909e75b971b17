"""A settlement batch: what a scheme pays one payee for one period, folded from its facts, and what may be done to it next.

Prepared → approved by somebody else (closed, once) → paid; or returned, and its lines are free for another batch. What was paid
is taken back by a demand of one person and a recovery recorded by another; a correction after payment is no change of the
batch but a negative line of the next one.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from ledger.errors import Finding, Kind
from voucher.errors import VoucherError
from voucher.settlement.fact import Fact

GENERATED = "delivery_certificate"
"""Evidence (交付凭证) that the service makes from metering itself."""


class State(enum.Enum):
    """Where a batch stands."""

    PREPARED = "prepared"
    APPROVED = "approved"
    PAID = "paid"
    RETURNED = "returned"


class InvoiceLine(NamedTuple):
    """One line of an invoice: the kind of cost it is claimed as (see `voucher.scheme.COST_KINDS`), its units, what it says."""

    kind: str
    units: int
    text: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """A paper of a batch or claim: its kind, name and SHA-256; of an invoice also number, issuer, amount in units, and its lines."""

    kind: str
    name: str
    sha256: str
    kept: bool
    invoice: tuple[str, str, int] | None = None
    lines: tuple[InvoiceLine, ...] = ()


@dataclass(frozen=True, slots=True)
class Demand:
    """What is to be given back: units, who demands it, why, and whether the corrections of later batches ask for it."""

    units: int
    person: str
    reason: str
    corrections: bool


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch. `units` are paid, a whole number of fen; `net` is what its lines come to, `carried` what they leave over.

    `invoiced` is what the provider's invoices must come to at least. `upto` is the last entry that was looked at,
    `number` that of the fact which prepared it.
    """

    id: str
    number: int
    scheme: str
    payee: str
    period: str
    mode: str
    version: str
    prepared_by: str
    prepared_us: int
    upto: int
    units: int
    net: int
    carried_in: int
    carried: int
    invoiced: int
    lines: int
    lines_sha256: bytes
    claimed: str | None
    required: tuple[str, ...]
    state: State = State.PREPARED
    evidence: tuple[Evidence, ...] = ()
    approved_by: str | None = None
    details: int = 0
    payment: Mapping[str, Any] | None = None
    demand: Demand | None = None
    recovered: int = 0
    refunded: int = 0
    reason: str = ""

    @property
    def is_live(self) -> bool:
        """Whether its lines are taken."""
        return self.state is not State.RETURNED

    @property
    def kept(self) -> int:
        """What was paid and not given back, in units."""
        return self.units - self.recovered - self.refunded if self.state is State.PAID else 0


def fold(facts: Sequence[Fact]) -> Batch:
    """The batch that its facts make; the first one prepared it."""
    first = facts[0]
    batch = _prepared(first)
    for fact in facts[1:]:
        batch = _AFTER[fact.kind](batch, fact)
    return batch


def _prepared(fact: Fact) -> Batch:
    said = fact.content
    return Batch(
        id=fact.subject,
        number=fact.number,
        scheme=said["scheme"],
        payee=said["payee"],
        period=said["period"],
        mode=said["mode"],
        version=said["version"],
        prepared_by=fact.person,
        prepared_us=fact.at_us,
        upto=said["upto"],
        units=said["units"],
        net=said["net"],
        carried_in=said["carried_in"],
        carried=said["carried"],
        invoiced=said["invoiced"],
        lines=said["lines"],
        lines_sha256=said["lines_sha256"],
        claimed=said["claimed"],
        required=tuple(said["required"]),
    )


def evidence_of(said: Mapping[str, Any]) -> Evidence:
    """Evidence as a fact keeps it."""
    invoice = said.get("invoice")
    lines = tuple(InvoiceLine(*line) for line in said.get("lines", ()))
    return Evidence(
        said["kind"], said["name"], said["sha256"], said["kept"], None if invoice is None else (*invoice,), lines
    )  # fmt: skip


def _with_evidence(batch: Batch, fact: Fact) -> Batch:
    """A paper; the certificate is made anew until the batch is closed, and the last one counts."""
    new = evidence_of(fact.content)
    kept = tuple(one for one in batch.evidence if new.kind != GENERATED or one.kind != GENERATED)
    return replace(batch, evidence=(*kept, new))


def _demanded(batch: Batch, fact: Fact) -> Batch:
    said = fact.content
    return replace(batch, demand=Demand(said["units"], fact.person, said["reason"], said["corrections"]))


def _recovered(batch: Batch, fact: Fact) -> Batch:
    said = fact.content
    assert batch.demand is not None, "nothing is recovered that was not demanded"
    left = replace(batch.demand, units=batch.demand.units - said["units"])
    name = "refunded" if batch.demand.corrections else "recovered"
    total = getattr(batch, name) + said["units"]
    return replace(batch, demand=left if left.units else None, **{name: total})


_AFTER = {
    "evidence": _with_evidence,
    "approve": lambda batch, fact: replace(
        batch, state=State.APPROVED, approved_by=fact.person, details=fact.content["details"]
    ),
    "return": lambda batch, fact: replace(batch, state=State.RETURNED, reason=fact.content["reason"]),
    "pay": lambda batch, fact: replace(batch, state=State.PAID, payment=fact.content),
    "demand": _demanded,
    "recover": _recovered,
}
"""What each kind of fact makes of a batch."""


def require_state(batch: Batch, *wanted: State) -> None:
    """Refuse an act that another state forbids.

    Raises:
        VoucherError: `batch-state`.

    """
    if batch.state not in wanted:
        listed = "、".join(state.value for state in wanted)
        raise _refused(
            "batch-state",
            f"结算批次 {batch.id} 现为 {batch.state.value}，此步须在 {listed} 时办理",
            f"the batch {batch.id} is {batch.state.value}; this is done while it is {listed}",
        )


def require_other(person: str, *done: str | None) -> None:
    """Four eyes: nobody approves, pays or recovers what he prepared or demanded.

    Raises:
        VoucherError: `same-person`.

    """
    if person in done:
        raise VoucherError(
            "same-person",
            f"{person} 已经办前一步，须由他人办理",
            f"{person} took the step before; somebody else must take this one",
            kind=Kind.NOT_ALLOWED,
        )


def require_papers(batch: Batch, *, full: bool) -> None:
    """Every paper that the scheme asks for is there, and invoices come to enough.

    `full`: the provider invoices the full price, the voucher's part included.

    Raises:
        VoucherError: `evidence-missing` with a finding for each paper, or `invoice-short`.

    """
    have = {one.kind for one in batch.evidence}
    lacking = [kind for kind in batch.required if kind not in have]
    if lacking:
        raise VoucherError(
            "evidence-missing",
            f"缺少材料：{'、'.join(lacking)}",
            f"papers are missing: {', '.join(lacking)}",
            findings=[
                Finding("evidence-missing", f"缺少 {kind}", f"{kind} is missing", "/evidence") for kind in lacking
            ],
        )
    invoices = [one.invoice[2] for one in batch.evidence if one.invoice is not None]
    least = batch.invoiced if full else 0
    if invoices and sum(invoices) < least:
        raise VoucherError(
            "invoice-short",
            f"发票合计 {yuan(sum(invoices))} 元，须不少于 {yuan(least)} 元",
            f"the invoices come to {yuan(sum(invoices))} yuan, at least {yuan(least)} are needed",
            kind=Kind.INSUFFICIENT,
        )


def require_within(asked: int, most: int, what_zh: str, what_en: str) -> None:
    """Refuse an amount that is nothing, or more than there is.

    Raises:
        VoucherError: `amount-not-positive` or `not-enough`.

    """
    if asked <= 0:
        raise VoucherError("amount-not-positive", "数量须大于零", "the amount must be more than zero")
    if asked > most:
        raise VoucherError(
            "not-enough",
            f"{what_zh}只有 {yuan(most)} 元，不足 {yuan(asked)} 元",
            f"{what_en} come to {yuan(most)} yuan, not {yuan(asked)}",
            kind=Kind.INSUFFICIENT,
        )


def yuan(units: int) -> str:
    """Units as yuan with two decimals, or six where there is a part of a fen."""
    sign, rest = ("-" if units < 0 else ""), abs(units)
    text = f"{rest // 1_000_000}.{rest % 1_000_000:06d}"
    return sign + (text.removesuffix("0000"))


def _refused(code: str, zh: str, en: str) -> VoucherError:
    return VoucherError(code, zh, en, kind=Kind.CONFLICT)
