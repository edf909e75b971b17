"""What payees and the office are told of a settlement batch, and of a payee's details that wait for a second person."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ledger.sql import Connection
from suanquan.db.notices import put
from suanquan.notices.model import OFFICE, Kind, Notice, of_centre
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


async def tell(conn: Connection, fact: Fact) -> None:
    """Put the notices of a fact that was just recorded, in its transaction."""
    if fact.kind == "payee":
        data = {"payee": fact.subject}
        words = f"收款方 {fact.subject} 的信息待另一人复核", f"details of payee {fact.subject} wait for a second person"
        await put(conn, Notice(Kind.PAYEE_WAITING, OFFICE, fact.subject, *words, data), fact.at_us)
    elif fact.kind in _STEPS:
        facts = await facts_of(conn, fact.subject)
        if facts[0].kind != "prepare":  # a claim, which its own page tells of
            return
        for notice in _of_batch(fact, facts):
            await put(conn, notice, fact.at_us)


def _of_batch(fact: Fact, facts: list[Fact]) -> Iterator[Notice]:
    words, batch = _STEPS[fact.kind], fold(facts)
    data = {"batch": batch.id, "step": fact.kind, "state": batch.state.value, "period": batch.period}
    said = f"结算批次 {batch.id}：{words.zh}", f"settlement batch {batch.id} {words.en}"
    centre = centre_of(batch.payee)
    for audience in (OFFICE, *([of_centre(centre)] if words.payee and centre else [])):
        yield Notice(Kind.SETTLEMENT_STEP, audience, batch.id, *said, data)
