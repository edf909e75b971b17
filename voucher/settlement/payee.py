"""Payees (收款方): who is paid to which bank account. Details are set by one person and confirmed by another.

A changed bank account is how payments are stolen, so that nothing is paid on details that one person alone saw. A payee keeps
its id when it is renamed or merged: the new name and code are a new revision of its details, and the old ones stay on record.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ledger.errors import Finding, Kind
from voucher.errors import VoucherError
from voucher.holder import is_uscc
from voucher.settlement.fact import Fact

PAYER = "payer"
"""The payee that is the paying authority itself: whose account a bank file draws on."""
_FIELDS = {
    "name": (re.compile(r"[^\x00-\x1f\x7f]{1,70}"), "1 至 70 个可见字符", "1 to 70 printable characters"),
    "uscc": (re.compile(r"[0-9A-Z]{18}"), "统一社会信用代码", "a unified social credit code"),
    "account": (re.compile(r"[0-9]{8,34}"), "8 至 34 位数字", "8 to 34 digits"),
    "bank": (re.compile(r"[^\x00-\x1f\x7f]{1,70}"), "1 至 70 个可见字符", "1 to 70 printable characters"),
    "bank_code": (re.compile(r"[0-9]{12}"), "12 位联行号", "the 12 digits of its CNAPS code"),
}
_ID = re.compile(r"payer|centre:[a-z0-9]+(-[a-z0-9]+)*|uscc:[0-9A-Z]{18}")


@dataclass(frozen=True, slots=True)
class Details:
    """Name, code and bank account of a payee; `revision` is the number of the fact that set them."""

    name: str
    uscc: str
    account: str
    bank: str
    bank_code: str
    revision: int = 0
    set_by: str = ""


@dataclass(frozen=True, slots=True)
class Payee:
    """A payee: confirmed details, those that wait for a second person, and why nothing is paid at the moment, if so."""

    id: str
    details: Details | None = None
    waiting: Details | None = None
    suspended: str = ""


def read_details(given: Mapping[str, Any]) -> Details:
    """Details as somebody gives them.

    Raises:
        VoucherError: `payee-malformed` with a finding for each member.

    """
    findings = [
        Finding("payee-malformed", f"应为{zh}", f"must be {en}", f"/{name}")
        for name, (form, zh, en) in _FIELDS.items()
        if not isinstance(value := given.get(name), str)
        or not form.fullmatch(value)
        or (name == "uscc" and not is_uscc(value))
    ]
    findings += [
        Finding("payee-malformed", "没有这一项", "is not known here", f"/{name[:60]}")
        for name in given
        if name not in _FIELDS
    ]
    if findings:
        zh, en = (f"收款方 {findings[0].where} {findings[0].zh}", f"the payee's {findings[0].where} {findings[0].en}")
        raise VoucherError("payee-malformed", zh, en, findings=findings)
    return Details(**given)


def check_id(payee: str) -> str:
    """The id of a payee: `centre:<id>`, `uscc:<code>` or `payer`.

    Raises:
        VoucherError: `payee-unknown`.

    """
    code = payee.removeprefix("uscc:")
    if not _ID.fullmatch(payee) or (payee.startswith("uscc:") and not is_uscc(code)):
        raise VoucherError(
            "payee-unknown",
            f"收款方“{payee[:60]}”应为 centre:<中心>、uscc:<统一社会信用代码> 或 payer",
            f"a payee is centre:<id>, uscc:<code> or payer, not {payee[:60]!r}",
            kind=Kind.NOT_FOUND,
        )
    return payee


def fold(payee: str, facts: Sequence[Fact]) -> Payee:
    """The payee that its facts make."""
    found = Payee(payee)
    for fact in facts:
        said = fact.content
        if fact.kind == "payee":
            found = replace(found, waiting=Details(**said["details"], revision=fact.number, set_by=fact.person))
        elif fact.kind == "confirm":
            found = replace(found, details=found.waiting, waiting=None)
        else:
            found = replace(found, suspended=said["reason"] if fact.kind == "suspend" else "")
    return found


def require_payable(payee: Payee) -> Details:
    """The confirmed details of a payee that may be paid.

    Raises:
        VoucherError: `payee-unconfirmed` or `payee-suspended`.

    """
    if payee.details is None:
        raise VoucherError(
            "payee-unconfirmed",
            f"收款方 {payee.id} 的账户信息尚未由两人登记、复核",
            f"the bank account of {payee.id} was not set and confirmed by two persons",
            kind=Kind.CONFLICT,
        )
    if payee.suspended:
        raise VoucherError(
            "payee-suspended",
            f"收款方 {payee.id} 已暂停：{payee.suspended}",
            f"{payee.id} is suspended: {payee.suspended}",
            kind=Kind.NOT_ALLOWED,
        )
    return payee.details
