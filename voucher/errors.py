"""Errors of vouchers, under the one tree of `ledger.errors`."""

from ledger.errors import DomainError


class VoucherError(DomainError):
    """A voucher call that cannot be done."""
