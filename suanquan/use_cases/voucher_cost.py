"""What the ledger knows of an applicant: the R&D cost that vouchers have paid, which no subsidy may pay again."""

from __future__ import annotations

from ledger.amount import CNY
from ledger.sql import Connection
from subsidy.facts import Facts
from voucher import store as voucher_store

FACT = "rd_cost_paid_with_compute_vouchers_yuan"
_UNITS_PER_YUAN: int = 10**CNY.scale


async def voucher_paid_yuan(conn: Connection, holder: str) -> int | None:
    """Whole yuan, rounded up, that a holder's vouchers paid, all projects together; None where some paid in compute.

    What a PFLOPS.h voucher paid has no price in yuan, so that the sum is not known then and has to be asked.
    """
    spent = await voucher_store.spent_by_holder(conn, holder)
    if any(units for asset, units in spent.items() if asset != CNY.number):
        return None
    return -(-spent.get(CNY.number, 0) // _UNITS_PER_YUAN)


async def with_voucher_cost(conn: Connection, facts: Facts, holder: str) -> tuple[Facts, int | None]:
    """The facts with what the ledger knows of the holder, and that figure; a part stated for the project alone is kept.

    The ledger knows a holder, not a project: the whole sum is deducted unless a smaller part is stated, never less than that.
    """
    paid = await voucher_paid_yuan(conn, holder)
    if paid is None or FACT in facts:
        return facts, paid
    return {**facts, FACT: paid}, paid
