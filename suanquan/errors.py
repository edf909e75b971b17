"""Errors of the service itself, under the one tree of `ledger.errors`, and what each kind means outside."""

from __future__ import annotations

from ledger.errors import DomainError, Kind


class ServiceError(DomainError):
    """A call that the service cannot serve."""


def cause_of(error: DomainError) -> str:
    """What lies at the bottom of an error, in one line (without a statement's values); empty where nothing does."""
    fault: BaseException = error
    while fault.__cause__ is not None:
        fault = fault.__cause__
    return "" if fault is error else str(fault).partition("\n")[0]


EXIT_STATUS = {
    Kind.INVALID: 2,
    Kind.NOT_FOUND: 3,
    Kind.CONFLICT: 4,
    Kind.NOT_ALLOWED: 5,
    Kind.INSUFFICIENT: 6,
    Kind.UNAVAILABLE: 7,
    Kind.PROOF: 8,
}
"""Exit status of the command line by kind; 1 is anything else."""
