"""A file of orders: one JSON object a line, and what became of each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import msgspec

from ledger.errors import DomainError
from suanquan.errors import ServiceError
from suanquan.use_cases.issue import with_tokens
from voucher.issuance import Contract, IssueRequest
from voucher.store import StoredVoucher


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    holder: str
    amount: str
    unit: str = "CNY"
    holder_key: dict[str, str] | None = None
    key: str = ""
    contract: _Contract | None = None
    reason: str = ""


class _Contract(msgspec.Struct, forbid_unknown_fields=True):
    provider: str
    number: str


def read_orders(data: bytes) -> list[tuple[IssueRequest, str]]:
    """Requests of a file, each with the key that makes it one; empty lines count as nothing.

    Raises:
        ServiceError: `batch-malformed`, with the number of the line.

    """
    orders = []
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        try:
            read = msgspec.json.decode(line, type=_Line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
            raise ServiceError(
                "batch-malformed", f"第 {number} 行：{fault}", f"line {number} is no order: {fault}"
            ) from None
        key = read.key or sha256(b"%d\0%b" % (number, line)).hexdigest()
        contract = None if read.contract is None else Contract(read.contract.provider, read.contract.number)
        request = IssueRequest(read.holder, read.unit, read.amount, read.holder_key, contract, read.reason)
        orders.append((request, key))
    return orders


async def issue_file(outcomes: AsyncIterator[StoredVoucher | DomainError]) -> dict[str, Any]:
    """Vouchers with their tokens, and what was refused with its place among the orders and every reason."""
    vouchers, refused, at = [], [], 0
    async for outcome in outcomes:
        at += 1
        if isinstance(outcome, DomainError):
            refused.append({"order": at, "code": outcome.code, "title": outcome.zh, "detail": outcome.en})
        else:
            vouchers.append(with_tokens(outcome))
    return {"issued": len(vouchers), "refused": refused, "vouchers": vouchers}
