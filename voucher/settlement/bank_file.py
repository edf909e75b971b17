"""Bank files of approved batches: CSV, and a customer credit transfer of ISO 20022 (`pain.001.001.03`).

Amounts are whole fen, as approved; a file states how many transfers there are and what they come to, so that nobody has to add
up. The id of a batch is its end-to-end reference, and that of the file follows from the batches: made again it is the same
file, which banks refuse to take twice.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import date
from hashlib import sha256
from html import escape
from typing import NamedTuple

from ledger.cells import plain_cell
from ledger.errors import Kind
from voucher.errors import VoucherError
from voucher.settlement.line import UNITS_PER_FEN
from voucher.settlement.payee import Details

TRANSFERS_MAX = 5_000
PAIN = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.03"
COLUMNS = (
    *("batch", "payee", "name", "uscc", "account", "bank", "bank_code", "amount_yuan", "currency"),
    *("execute_on", "remittance"),
)
NAME_MAX, TEXT_MAX = 70, 140
"""Characters of a name and of a remittance line (ISO 20022 Max70Text and Max140Text)."""


class Transfer(NamedTuple):
    """One payment: the batch, to whom, how many units, and what its remittance line says."""

    batch: str
    payee: str
    details: Details
    units: int
    remittance: str


class Order(NamedTuple):
    """Payments of one day out of one account; `made` is when the file was asked for (RFC 3339, UTC)."""

    payer: Details
    transfers: tuple[Transfer, ...]
    execute_on: date
    made: str

    @property
    def id(self) -> str:
        """Id of the file: at most 35 characters (ISO 20022 Max35Text)."""
        text = "\n".join(f"{one.batch} {one.units} {one.details.account}" for one in self.transfers)
        return "SQ" + sha256(text.encode()).hexdigest()[:30].upper()


def check_order(order: Order) -> None:
    """Refuse a file that no bank should get: nothing to pay, twice the same, amounts that are none.

    Raises:
        VoucherError: `bank-file-empty`, `bank-file-too-large`, `bank-file-repeated`, `bank-file-amount`.

    """
    if not order.transfers:
        raise _refused("bank-file-empty", "没有待付的批次", "there is nothing to pay")
    if len(order.transfers) > TRANSFERS_MAX:
        raise _refused("bank-file-too-large", f"一个文件至多 {TRANSFERS_MAX} 笔", f"at most {TRANSFERS_MAX} in a file")
    if len({one.batch for one in order.transfers}) < len(order.transfers):
        raise _refused("bank-file-repeated", "同一批次列了两次", "a batch is listed twice")
    for one in order.transfers:
        if one.units <= 0 or one.units % UNITS_PER_FEN:
            raise _refused(
                "bank-file-amount",
                f"批次 {one.batch} 的金额不是大于零的整分",
                f"the amount of {one.batch} is no whole number of fen above zero",
            )


def total(transfers: Sequence[Transfer]) -> int:
    """Units of all payments together."""
    return sum(one.units for one in transfers)


def fen_text(units: int) -> str:
    """Yuan with two decimals."""
    fen = units // UNITS_PER_FEN
    return f"{fen // 100}.{fen % 100:02d}"


def to_csv(order: Order) -> bytes:
    """One line a payment, UTF-8 with a byte order mark, which spreadsheets of Chinese offices need; the last line is the sum."""
    check_order(order)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for one in order.transfers:
        to = one.details
        writer.writerow(
            [
                one.batch, one.payee, plain_cell(to.name), to.uscc, f"'{to.account}", plain_cell(to.bank), f"'{to.bank_code}",
                fen_text(one.units), "CNY", order.execute_on.isoformat(), plain_cell(one.remittance),
            ]
        )  # fmt: skip
    writer.writerow(
        ["TOTAL", len(order.transfers), "", "", "", "", "", fen_text(total(order.transfers)), "CNY", "", order.id]
    )
    return b"\xef\xbb\xbf" + out.getvalue().encode()


def to_pain001(order: Order) -> bytes:
    """ISO 20022 customer credit transfer initiation, version 3: one payment information block out of the payer's account."""
    check_order(order)
    count, whole, payer = len(order.transfers), fen_text(total(order.transfers)), order.payer
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<Document xmlns="{PAIN}"><CstmrCdtTrfInitn>',
        f"<GrpHdr><MsgId>{order.id}</MsgId><CreDtTm>{escape(order.made)}</CreDtTm><NbOfTxs>{count}</NbOfTxs>",
        f"<CtrlSum>{whole}</CtrlSum><InitgPty>{_party(payer)}</InitgPty></GrpHdr>",
        f"<PmtInf><PmtInfId>{order.id}</PmtInfId><PmtMtd>TRF</PmtMtd><NbOfTxs>{count}</NbOfTxs>",
        f"<CtrlSum>{whole}</CtrlSum><ReqdExctnDt>{order.execute_on.isoformat()}</ReqdExctnDt>",
        f"<Dbtr>{_party(payer)}</Dbtr><DbtrAcct>{_account(payer)}</DbtrAcct><DbtrAgt>{_agent(payer)}</DbtrAgt>",
        *(_transfer(one) for one in order.transfers),
        "</PmtInf></CstmrCdtTrfInitn></Document>",
    ]
    return "\n".join(parts).encode() + b"\n"


def _transfer(one: Transfer) -> str:
    to = one.details
    return (
        f"<CdtTrfTxInf><PmtId><EndToEndId>{escape(one.batch)}</EndToEndId></PmtId>"
        f'<Amt><InstdAmt Ccy="CNY">{fen_text(one.units)}</InstdAmt></Amt>'
        f"<CdtrAgt>{_agent(to)}</CdtrAgt><Cdtr>{_party(to)}</Cdtr><CdtrAcct>{_account(to)}</CdtrAcct>"
        f"<RmtInf><Ustrd>{escape(one.remittance[:TEXT_MAX])}</Ustrd></RmtInf></CdtTrfTxInf>"
    )


def _party(who: Details) -> str:
    code = f"<Id><OrgId><Othr><Id>{escape(who.uscc)}</Id><SchmeNm><Prtry>USCC</Prtry></SchmeNm></Othr></OrgId></Id>"
    return f"<Nm>{escape(who.name[:NAME_MAX])}</Nm>{code}"


def _account(who: Details) -> str:
    return f"<Id><Othr><Id>{escape(who.account)}</Id></Othr></Id>"


def _agent(who: Details) -> str:
    member = f"<ClrSysMmbId><ClrSysId><Cd>CNAPS</Cd></ClrSysId><MmbId>{escape(who.bank_code)}</MmbId></ClrSysMmbId>"
    return f"<FinInstnId>{member}<Nm>{escape(who.bank)}</Nm></FinInstnId>"


FORMS = {"csv": to_csv, "pain.001": to_pain001}
"""What makes a file of each form."""


def _refused(code: str, zh: str, en: str) -> VoucherError:
    return VoucherError(code, zh, en, kind=Kind.CONFLICT)
