"""The voucher spends: schemes, signed vouchers, and how they cover usage."""
