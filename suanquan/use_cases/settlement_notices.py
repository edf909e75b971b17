"""What payees, holders, centres and the office are told of settlement: batches, claims, disputes of receipts, details of payees."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ledger.amount import CNY, format_units
from ledger.sql import Connection
from suanquan.db.notices import put
from suanquan.notices.model import OFFICE, Kind, Notice, of_centre, of_holder
from voucher.settlement.accounts import centre_of
from voucher.settlement.batch import fold
from voucher.settlement.fact import Fact
from voucher.settlement.store import facts_of


class _Words(NamedTuple):
    """What a fact is told as, and whether its payee is told, too."""

    zh: str
    en: str
    payee: bool


_STEPS = {
    "prepare": _Words("已编制，待批准", "was prepared and waits for approval", payee=False),
    "approve": _Words("已批准，待支付", "was approved and is to be paid", payee=True),
    "return": _Words("已退回，各行可列入新的批次", "was returned; its lines are free for another one", payee=True),
    "pay": _Words("已支付", "was paid", payee=True),
    "demand": _Words("要求退回款项", "has an amount that is demanded back", payee=True),
    "recover": _Words("款项已收回", "has had its amount recovered", payee=True),
}
_CLAIMED = {
    "claim": ("已提交", "was submitted"),
    "withdraw": ("已撤回，额度退回原处", "was withdrawn; its amount is back where it was"),
    "give_back": ("已退回补正，额度退回原处", "was returned for correction; its amount is back where it was"),
    "refuse": ("不予通过，额度退回原处", "was refused; its amount is back where it was"),
}
_DISPUTED = {
    "dispute": ("已提出：在了结之前不列入结算", "was raised: it stays out of settlement until it is resolved"),
    "confirmed": ("已了结：收据无误", "was resolved: the receipt is right"),
    "corrected": ("已了结：用量已更正", "was resolved: the usage was corrected"),
}


async def tell(conn: Connection, fact: Fact) -> None:
    """Put the notices of a fact that was just recorded, in its transaction."""
    for notice in _of(fact, await facts_of(conn, fact.subject)):
        await put(conn, notice, fact.at_us)


def _of(fact: Fact, facts: list[Fact]) -> Iterator[Notice]:
    """Notices of a fact, the last of its subject: of who is paid, who claims, and whose receipt is in dispute, and of nobody else."""
    begun = facts[0].kind
    if fact.kind == "payee":
        data = {"payee": fact.subject}
        words = f"收款方 {fact.subject} 的信息待另一人复核", f"details of payee {fact.subject} wait for a second person"
        yield Notice(Kind.PAYEE_WAITING, OFFICE, fact.subject, *words, data)
    elif begun == "prepare" and fact.kind in _STEPS:
        yield from _of_batch(fact, facts)
    elif begun == "claim" and fact.kind in _CLAIMED:
        yield from _of_claim(fact, facts[0])
    elif begun == "dispute" and fact.kind in {"dispute", "resolve"}:
        yield from _of_dispute(fact, facts[0])


def _of_batch(fact: Fact, facts: list[Fact]) -> Iterator[Notice]:
    words, batch = _STEPS[fact.kind], fold(facts)
    data = {"batch": batch.id, "step": fact.kind, "state": batch.state.value, "period": batch.period}
    said = f"结算批次 {batch.id}：{words.zh}", f"settlement batch {batch.id} {words.en}"
    for audience in (OFFICE, *([_paid(batch.payee)] if words.payee else [])):
        yield Notice(Kind.SETTLEMENT_STEP, audience, batch.id, *said, data)


def _paid(payee: str) -> str:
    """Audience of a payee: a centre, or a company by its code."""
    centre = centre_of(payee)
    return of_holder(payee.partition(":")[2]) if centre is None else of_centre(centre)


def _of_claim(fact: Fact, first: Fact) -> Iterator[Notice]:
    said, (zh, en) = first.content, _CLAIMED[fact.kind]
    data = {
        "claim": fact.subject,
        "step": fact.kind,
        "scheme": said["scheme"],
        "amount": format_units(said["units"], CNY),
    }
    words = f"兑付申请 {fact.subject}（{data['amount']} 元）{zh}", f"claim {fact.subject} ({data['amount']} CNY) {en}"
    for audience in (of_holder(said["holder"]), OFFICE):
        yield Notice(Kind.CLAIM_STEP, audience, fact.subject, *words, data)


def _of_dispute(fact: Fact, first: Fact) -> Iterator[Notice]:
    said, state = first.content, fact.content.get("outcome", "dispute")
    zh, en = _DISPUTED[state]
    data = {"dispute": fact.subject, "centre": said["centre"], "receipt": said["receipt"], "state": state}
    words = f"收据争议 {fact.subject} {zh}", f"dispute {fact.subject} of a receipt {en}"
    for audience in (of_holder(said["holder"]), of_centre(said["centre"]), OFFICE):
        yield Notice(Kind.RECEIPT_DISPUTE, audience, fact.subject, *words, data)
