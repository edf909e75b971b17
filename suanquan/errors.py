"""Errors of the service itself, under the one tree of `ledger.errors`, and what each kind means outside."""

from __future__ import annotations

from ledger.errors import DomainError, Kind


class ServiceError(DomainError):
    """A call that the service cannot serve."""


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
