"""The anti-double-funding register: keyed commitments of what is supported, each taken by one application at a time.

A commitment is a digest that only this ledger can make (its key salts it), so that equal things meet and nobody reads the
register like a list of companies. It knows no scheme, clause or year: a project that one scheme supports is taken for every
other, and so is each cost, whoever claims it. Vouchers claim in the same register.
"""

from __future__ import annotations

import enum
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import cbor2

Keyed = Callable[[bytes], bytes]
"""A digest under the ledger's own key, such as `Transaction.keyed`."""


class ClaimKind(enum.Enum):
    """What a commitment stands for."""

    PROJECT = "project"
    COST = "cost"
    CONTRACT = "contract"
    APPLICATION = "application"


class Commitment(NamedTuple):
    """One commitment; `place` is where the thing it stands for was written."""

    kind: ClaimKind
    digest: bytes
    place: str


class Claim(NamedTuple):
    """A row of the register: who claimed (or released) a commitment, for what, and the event that says so."""

    number: int
    digest: bytes
    kind: str
    subject: str
    clause: bytes
    released: int
    event_id: bytes = b""


def commitments(keyed: Keyed, applicant: str, project: str, costs: Sequence[Mapping[str, Any]]) -> list[Commitment]:
    """What an application claims: its project, and each cost by issuer and number of its document."""
    found = [Commitment(ClaimKind.PROJECT, commit(keyed, ClaimKind.PROJECT, applicant, project), "/project")]
    for at, cost in enumerate(costs):
        digest = commit(keyed, ClaimKind.COST, cost["issuer"], cost["document"])
        found.append(Commitment(ClaimKind.COST, digest, f"/costs/{at}"))
    return found


def commit(keyed: Keyed, kind: ClaimKind, *parts: str) -> bytes:
    """The commitment of parts, however they are spaced, cased or punctuated."""
    return keyed(cbor2.dumps(["claim", kind.value, *map(normal, parts)], canonical=True))


def contract_slot(keyed: Keyed, provider: str, number: str, claim: int) -> Commitment:
    """The commitment of the n-th claim on a contract, from 1. The first is that of a cost whose document is the contract."""
    parts = (provider, number) if claim == 1 else (provider, number, f"claim {claim}")
    return Commitment(ClaimKind.CONTRACT, commit(keyed, ClaimKind.COST, *parts), "/contract/number")


def application_commitment(keyed: Keyed, applicant: str, project: str, round_: str) -> Commitment:
    """The commitment of an applicant's project in one round: that there is one application of it."""
    digest = keyed(cbor2.dumps(["claim", "application", normal(applicant), normal(project), round_], canonical=True))
    return Commitment(ClaimKind.APPLICATION, digest, "/project")


def clause_commitment(keyed: Keyed, applicant: str, project: str, clause: str) -> bytes:
    """The commitment of an applicant's project under one clause: what the row says it was claimed for."""
    return keyed(cbor2.dumps(["claim", "clause", normal(applicant), normal(project), clause], canonical=True))


def normal(text: str) -> str:
    """A name without what people write differently: width, case, spaces and punctuation."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = "".join(character for character in folded if unicodedata.category(character)[0] in "LN")
    return kept or folded


def live(claims: Iterable[Claim]) -> dict[bytes, Claim]:
    """The claim that holds each commitment, by the rows of the register in order."""
    holding: dict[bytes, Claim] = {}
    for claim in claims:
        if not claim.released:
            holding[claim.digest] = claim
        elif (holder := holding.get(claim.digest)) is not None and holder.subject == claim.subject:
            del holding[claim.digest]
    return holding


def taken(wanted: Sequence[Commitment], holding: Mapping[bytes, Claim], subject: str) -> list[tuple[Commitment, Claim]]:
    """What another subject holds of what is wanted."""
    found = [(one, holding[one.digest]) for one in wanted if one.digest in holding]
    return [(one, claim) for one, claim in found if claim.subject != subject]


def repeated(wanted: Sequence[Commitment]) -> list[Commitment]:
    """Commitments that stand twice in one claim: a cost counted twice."""
    first: dict[bytes, Commitment] = {}
    return [one for one in wanted if first.setdefault(one.digest, one) is not one]
