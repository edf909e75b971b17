"""The register of payees: set by one person, confirmed by another; suspended and resumed with a reason. And bank files."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

from ledger.errors import Kind
from ledger.journal import Journal
from ledger.sql import Connection
from ledger.transaction import Transaction
from metering.zones import rfc3339
from suanquan.use_cases.settlement_facts import By, Wish
from suanquan.use_cases.settlement_reading import load_batch, load_payee
from suanquan.use_cases.settlements import paying_scheme, require_reason
from voucher.errors import VoucherError
from voucher.scheme import SchemeStatus, Series
from voucher.settlement.bank_file import FORMS, Order, Transfer
from voucher.settlement.batch import State, require_other, require_state
from voucher.settlement.payee import PAYER, Payee, read_details, require_payable


async def set_payee(journal: Journal, by: By, payee: str, given: Mapping[str, Any]) -> Payee:
    """Give the details of a payee, which count once somebody else has confirmed them.

    Raises:
        VoucherError: `payee-unknown`, `payee-malformed`.

    """
    details = {name: value for name, value in asdict(read_details(given)).items() if name not in {"revision", "set_by"}}

    async def act(wish: Wish, _found: Payee) -> None:
        await wish.record({"details": details})

    return await _act(journal, by, "payee", payee, given, act)


async def confirm_payee(journal: Journal, by: By, payee: str) -> Payee:
    """Confirm the details that wait.

    Raises:
        VoucherError: `nothing-waits`, `same-person`.

    """

    async def act(wish: Wish, found: Payee) -> None:
        if found.waiting is None:
            raise VoucherError("nothing-waits", "没有待复核的信息", "there is nothing to confirm", kind=Kind.CONFLICT)
        require_other(by.person, found.waiting.set_by)
        await wish.record({"revision": found.waiting.revision})

    return await _act(journal, by, "confirm", payee, {}, act)


async def hold_payee(journal: Journal, by: By, payee: str, reason: str, *, suspend: bool) -> Payee:
    """Suspend payments to a payee, or resume them. What it redeemed stays due."""

    async def act(wish: Wish, _found: Payee) -> None:
        await wish.record({"reason": require_reason(reason)})

    return await _act(journal, by, "suspend" if suspend else "resume", payee, {"reason": reason}, act)


async def _act(
    journal: Journal, by: By, kind: str, payee: str, given: Mapping[str, Any],
    act: Callable[[Wish, Payee], Awaitable[None]],
) -> Payee:  # fmt: skip
    async def work(tx: Transaction) -> Payee:
        wish = Wish(tx, by, kind, payee, given)
        found = await load_payee(tx.connection, payee)
        if await wish.recorded() is None:
            await act(wish, found)
        return await load_payee(tx.connection, payee)

    return await journal.transact(work)


async def bank_file(
    conn: Connection, series: Mapping[str, Series], batches: Sequence[str], form: str, execute_on: date, now_us: int
) -> tuple[str, bytes]:
    """Name and content of a bank file that pays approved batches.

    Raises:
        VoucherError: `bank-file-form`, `batch-state`, `payee-unconfirmed`, `payee-suspended`, `scheme-draft`, and what
            `bank_file` refuses.

    """
    if form not in FORMS:
        listed = ", ".join(FORMS)
        raise VoucherError("bank-file-form", f"格式应为 {listed}", f"the form is one of {listed}, not {form[:20]!r}")
    transfers = []
    for name in batches:
        found = await load_batch(conn, name)
        require_state(found, State.APPROVED)
        scheme = paying_scheme(series, found.scheme, now_us)
        details = require_payable(await load_payee(conn, found.payee))
        sandbox = "沙箱，不得支付 SANDBOX, DO NOT PAY " if scheme.status is SchemeStatus.SANDBOX else ""
        remittance = f"{sandbox}{scheme.name_zh} {found.period} {found.id}"
        transfers.append(Transfer(found.id, found.payee, details, found.units, remittance))
    payer = require_payable(await load_payee(conn, PAYER))
    order = Order(payer, tuple(transfers), execute_on, rfc3339(now_us))
    extension = "csv" if form == "csv" else "xml"
    return f"{order.id}.{extension}", FORMS[form](order)
