"""The money of a programme before it is a voucher: budget of the year → round → approved, or → allotted to a centre; and back.

Caps follow: what is set aside counts under a leaf of its own (the round, the centre) until it counts for a holder, so that
programme and year are never over-committed in any prefix of the log.
"""

from __future__ import annotations

from hashlib import sha256
from typing import NamedTuple

import cbor2

from ledger.amount import Asset, format_units
from ledger.entry import EntryKind, Event, Leg, credit, debit
from ledger.errors import Kind
from ledger.transaction import Transaction
from suanquan.use_cases.caps import give_back, hand_back, hand_over, open_reserve, year_to_date
from suanquan.use_cases.issue import budget_name
from voucher.errors import VoucherError
from voucher.scheme import Scheme, Terms


class Programme(NamedTuple):
    """A scheme's budget of a calendar year in one unit."""

    scheme: Scheme
    terms: Terms
    year: int

    @property
    def asset(self) -> Asset:
        """Its unit."""
        return self.terms.asset

    @property
    def treasury(self) -> str:
        """Account that its money comes from."""
        return f"scheme/{self.scheme.id}/treasury/{self.asset.code}"

    @property
    def budget(self) -> str:
        """Account of what the year may still give."""
        return budget_name(self.scheme.id, self.year, self.asset)

    @property
    def approved(self) -> str:
        """Account of what was approved and not issued yet."""
        return f"scheme/{self.scheme.id}/{self.year}/approved/{self.asset.code}"

    @property
    def unused(self) -> str:
        """Account of what was set aside and put back: the budget was given as much again."""
        return f"scheme/{self.scheme.id}/{self.year}/unused/{self.asset.code}"

    def round(self, round_: str) -> str:
        """Account of what a round may still approve."""
        return f"scheme/{self.scheme.id}/{self.year}/round/{round_}/{self.asset.code}"

    def allotted(self, centre: str) -> str:
        """Account of what a centre may still hand out."""
        return f"scheme/{self.scheme.id}/{self.year}/allotted/{centre}/{self.asset.code}"

    def path(self, leaf: str) -> tuple[str, str, str]:
        """Caps along programme, year and a leaf: a holder, a round or a centre."""
        return self.scheme.id, str(self.year), leaf


SET_ASIDE = ("round", "approved", "allotted", "unused")
"""Fourth part of the names of accounts whose money left the budget without becoming a voucher."""


def is_set_aside(name: str, code: str) -> bool:
    """Whether an account under a scheme's year holds units of a unit that were set aside."""
    parts = name.split("/")
    return len(parts) > 4 and parts[3] in SET_ASIDE and parts[-1] == code


def centre_leaf(centre: str) -> str:
    """Leaf of the caps for what a centre may hand out; no holder and no round is called so."""
    return f"centre:{centre}"


async def set_aside(tx: Transaction, of: Programme, account: str, leaf: str, units: int, what: str) -> list[Event]:
    """Budget of the year → an account, counted under a leaf of the caps.

    Raises:
        VoucherError: `budget-exceeded`.

    """
    path = of.path(leaf)
    used = (await year_to_date(tx, path, of.asset)).programme_units
    left = of.terms.budget_year_units - used
    if of.terms.over_issue:
        left = max(left, units)
    if units > left:
        raise _too_little(of, "本年预算", "the budget of the year", left, units)
    caps = await open_reserve(tx, path, of.terms, units)
    accounts = await tx.open([(of.treasury, of.asset, None), (of.budget, of.asset, 0), (account, of.asset, 0)])
    short = max(left - accounts[of.budget].available, 0)
    legs = caps.changes
    if short:
        legs = (debit(accounts[of.treasury].number, short), credit(accounts[of.budget].number, short), *legs)
    moved = (debit(accounts[of.budget].number, units), credit(accounts[account].number, units), *caps.spend(units))
    before = [_event(tx, of, f"fund {what}", legs)] if legs else []
    return [*before, _event(tx, of, f"set-aside {what}", moved)]


async def put_back(tx: Transaction, of: Programme, account: str, leaf: str, units: int, what: str) -> list[Event]:
    """What was set aside in an account and is not needed is the budget's again, with its caps.

    Raises:
        VoucherError: `budget-exceeded`: it has less.

    """
    accounts = await tx.open([(of.treasury, of.asset, None), (of.budget, of.asset, 0), (of.unused, of.asset, 0)])
    accounts |= await tx.accounts([account])
    left = accounts[account].available if account in accounts else 0
    if not 0 < units <= left:
        raise _too_little(of, "该账户", "the account", left, units)
    caps = await give_back(tx, of.path(leaf), units, of.asset)
    moved = (
        *(debit(accounts[account].number, units), credit(accounts[of.unused].number, units)),
        *(debit(accounts[of.treasury].number, units), credit(accounts[of.budget].number, units)),
        *caps,
    )
    return [_event(tx, of, f"put-back {what}", moved)]


async def commit(tx: Transaction, of: Programme, round_: str, holder: str, units: int, what: str) -> list[Event]:
    """Round → approved; the caps count it for the holder from now on.

    Raises:
        VoucherError: `budget-exhausted`, `holder-cap-exceeded`.

    """
    accounts = await tx.open([(of.round(round_), of.asset, 0), (of.approved, of.asset, 0)])
    left = accounts[of.round(round_)].available
    if units > left:
        error = _too_little(of, f"本轮 {round_} 预算", f"the budget of the round {round_}", left, units)
        raise VoucherError("budget-exhausted", error.zh, error.en, kind=Kind.INSUFFICIENT)
    changes, moved = await hand_over(tx, of.path(round_), of.path(holder), of.terms, units)
    before = [_event(tx, of, f"caps {what}", changes)] if changes else []
    await _require_room(tx, of, holder, units)
    legs = (debit(accounts[of.round(round_)].number, units), credit(accounts[of.approved].number, units), *moved)
    return [*before, _event(tx, of, f"commit {what}", legs)]


async def _require_room(tx: Transaction, of: Programme, holder: str, units: int) -> None:
    """The holder's cap of the year has room: what was given this year counts, spent or not."""
    path = of.path(holder)
    used = (await year_to_date(tx, path, of.asset)).holder_units
    left = of.terms.cap_holder_year_units - used
    if units > left:
        error = _too_little(of, "持券人本年上限", "the holder's cap of the year", left, units)
        raise VoucherError("holder-cap-exceeded", error.zh, error.en, kind=Kind.INSUFFICIENT)


async def uncommit(tx: Transaction, of: Programme, round_: str, holder: str, units: int, what: str) -> list[Event]:
    """Approved → round: what was approved and is not issued after all."""
    accounts = await tx.accounts([of.round(round_), of.approved])
    moved = await hand_back(tx, of.path(holder), of.path(round_), units, of.asset)
    legs = (debit(accounts[of.approved].number, units), credit(accounts[of.round(round_)].number, units), *moved)
    return [_event(tx, of, f"uncommit {what}", legs)]


def _too_little(of: Programme, zh: str, en: str, left: int, units: int) -> VoucherError:
    has, needs = (f"{format_units(max(amount, 0), of.asset)} {of.asset.code}" for amount in (left, units))
    rule = of.scheme.budget.source if of.scheme.budget else of.scheme.source("")
    return VoucherError(
        "budget-exceeded",
        f"{zh}尚余 {has}，不足 {needs}（{rule}）",
        f"{en} has {has} left, {needs} are needed ({rule})",
        kind=Kind.INSUFFICIENT,
    )


def _event(tx: Transaction, of: Programme, what: str, legs: tuple[Leg, ...]) -> Event:
    """An entry with an id of its own; that it is written once is for the step or act that it belongs to."""
    payload = cbor2.dumps({"type": "programme", "what": what}, canonical=True)
    digest = tx.keyed(payload + repr(legs).encode() + tx.size.to_bytes(8))
    identity = sha256(b"programme\0" + digest).digest()[:16]
    return Event(
        EntryKind.POST, identity, digest, legs, ruleset=bytes.fromhex(of.scheme.digest), salt=tx.entropy(32), payload=payload
    )  # fmt: skip
