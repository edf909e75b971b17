"""Errors of subsidies, under the one tree of `ledger.errors`."""

from ledger.errors import DomainError


class SubsidyError(DomainError):
    """A subsidy call that cannot be done, or a document, calendar or facts that cannot be used."""
