"""What steps of a procedure move: clause budget → payable → paid, and back; each an entry beside the step's NOTE."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import NamedTuple

import cbor2

from ledger import store as ledger_store
from ledger.amount import CNY
from ledger.entry import EntryKind, Event, Leg, credit, debit
from ledger.errors import Kind
from ledger.orders import Act, reverse
from ledger.transaction import Transaction
from subsidy.errors import SubsidyError
from subsidy.procedure import Case, Effect
from subsidy.procedure_guards import yuan

UNITS_PER_FEN = 10**CNY.scale // 100
TREASURY = "subsidy/treasury"


class Award(NamedTuple):
    """Whose money: the application, the clause's budget account, and the number of the step that moves it."""

    application: str
    budget: str
    step: int


def budget_account(procedure: str, year: int, clause: str) -> str:
    """Account of what a clause may still give in a year."""
    return f"subsidy/{procedure}/{year}/{clause}/budget"


def payable_account(application: str) -> str:
    """Account of what was approved and not paid."""
    return f"subsidy/{application}/payable"


def paid_account(application: str) -> str:
    """Account of what an application was paid and has not given back."""
    return f"subsidy/{application}/paid"


async def fund(tx: Transaction, step: int, budgets: Mapping[str, int]) -> list[Event]:
    """Treasury → clause budgets, by account in fen, as a step of this number says."""
    accounts = await tx.open([(TREASURY, CNY, None), *((name, CNY, 0) for name in budgets)])
    return [
        _event(
            tx,
            f"fund\0{step}\0{name}",
            (
                debit(accounts[TREASURY].number, fen * UNITS_PER_FEN),
                credit(accounts[name].number, fen * UNITS_PER_FEN),
            ),
        )
        for name, fen in budgets.items()
        if fen
    ]


async def move(tx: Transaction, effect: Effect, award: Award, case: Case) -> list[Event]:
    """The entries of an effect on the case as it is before the step, except for its amount."""
    if effect is Effect.COMMIT:
        return await _commit(tx, award, case)
    if effect is Effect.PAY:
        return await _pay(tx, award, case)
    if effect is Effect.RECOVER:
        return await _recover(tx, award, case)
    if effect is Effect.RELEASE and case.committed and not case.paid:
        return [await _back(tx, award, case, "commit", case.committed)]
    return []


async def _commit(tx: Transaction, award: Award, case: Case) -> list[Event]:
    payable = payable_account(award.application)
    accounts = await tx.open([(award.budget, CNY, 0), (payable, CNY, 0)])
    units = (case.amount or 0) * UNITS_PER_FEN
    left = accounts[award.budget].available
    if units > left:
        zh = f"条款预算 {award.budget} 余 {yuan(left // UNITS_PER_FEN)} 元，不足 {yuan(case.amount or 0)} 元"
        en = f"the clause's budget {award.budget} has {yuan(left // UNITS_PER_FEN)} yuan left, {yuan(case.amount or 0)} are needed"
        raise SubsidyError("budget-exhausted", zh, en, kind=Kind.INSUFFICIENT)
    legs = (debit(accounts[award.budget].number, units), credit(accounts[payable].number, units))
    return [_event(tx, _name("commit", award), legs)]


async def _pay(tx: Transaction, award: Award, case: Case) -> list[Event]:
    payable, paid = payable_account(award.application), paid_account(award.application)
    accounts = await tx.open([(payable, CNY, 0), (paid, CNY, 0)])
    units = case.committed * UNITS_PER_FEN
    return [
        _event(tx, _name("pay", award), (debit(accounts[payable].number, units), credit(accounts[paid].number, units)))
    ]


async def _recover(tx: Transaction, award: Award, case: Case) -> list[Event]:
    """Take back the payment and then the commitment, each in part: the clause's budget has the money again."""
    return [await _back(tx, award, case, what, case.demanded) for what in ("pay", "commit")]


async def _back(tx: Transaction, award: Award, case: Case, what: str, fen: int) -> Event:
    original = bytes.fromhex(case.entries[what])
    entries = await ledger_store.load_entries(tx.connection, [original])
    names = {
        "commit": (award.budget, payable_account(award.application)),
        "pay": (payable_account(award.application), paid_account(award.application)),
    }[what]
    accounts = await tx.accounts(names)
    units = fen * UNITS_PER_FEN
    legs = (debit(accounts[names[1]].number, units), credit(accounts[names[0]].number, units))
    event = _event(tx, _name(f"back\0{what}", award), ())
    return reverse(
        Act(event.event_id, event.digest, event.salt, f"subsidy {award.application}"), entries[original].seq, legs
    )


def entry_ids(effect: Effect, award: Award) -> dict[str, str]:
    """Which entry of an effect later ones refer to, by name."""
    names = {Effect.COMMIT: "commit", Effect.PAY: "pay"}
    return {names[effect]: _identity(_name(names[effect], award)).hex()} if effect in names else {}


def _name(what: str, award: Award) -> str:
    return f"{what}\0{award.application}\0{award.step}"


def _identity(name: str) -> bytes:
    return sha256(b"subsidy\0" + name.encode()).digest()[:16]


def _event(tx: Transaction, name: str, legs: tuple[Leg, ...]) -> Event:
    payload = cbor2.dumps({"type": "subsidy", "what": name.split("\0")}, canonical=True)
    digest = tx.keyed(payload + repr(legs).encode())
    return Event(EntryKind.POST, _identity(name), digest, legs, salt=tx.entropy(32), payload=payload)
