"""Errors of metering, under the one tree of `ledger.errors`."""

from ledger.errors import DomainError


class MeteringError(DomainError):
    """A metering call that cannot be done."""
