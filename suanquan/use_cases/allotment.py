"""The second channel: units of a programme are allotted to a centre, which hands them out as vouchers or gives them back.

What is allotted is committed at once: it counts under the centre's leaf of the year's cap until a holder has it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

import cbor2

from ledger import store as ledger_store
from ledger.amount import parse_units
from ledger.entry import EntryKind, Event
from ledger.errors import Kind
from ledger.journal import Journal
from ledger.orders import Act
from ledger.transaction import Transaction
from metering import store as metering_store
from suanquan.errors import ServiceError
from suanquan.use_cases import programme_money as money
from suanquan.use_cases.books import Order as ByOfficer
from suanquan.use_cases.books import record_act
from suanquan.use_cases.issue import Order, Source, record, release
from suanquan.use_cases.issue_many import Desk
from suanquan.use_cases.programme_money import Programme, centre_leaf
from subsidy.unit import UNITS, YUAN
from voucher import store
from voucher.application import closed
from voucher.errors import VoucherError
from voucher.issuance import Contract, IssueRequest
from voucher.programme import Allotment, Channel, Channels
from voucher.scheme import Scheme, policy_year
from voucher.store import StoredVoucher


class Portion(NamedTuple):
    """An amount (decimal string) in a unit of a scheme, for a centre."""

    scheme: Scheme
    centre: str
    amount: str
    unit: str = "CNY"


async def allot(journal: Journal, order: ByOfficer, portion: Portion) -> None:
    """Allot to a centre, in addition to what it has, out of the year's budget; the same key again does nothing.

    Raises:
        VoucherError: `channel-not-admitted`, `budget-exceeded`, `unit-not-in-scheme`, `scheme-draft`.
        ServiceError: `centre-unknown`, `reason-missing`.

    """

    async def move(tx: Transaction, of: Programme, units: int) -> list[Event]:
        if portion.centre not in await metering_store.load_centres(tx.connection):
            zh, en = f"没有中心“{portion.centre[:40]}”", f"there is no centre {portion.centre[:40]!r}"
            raise ServiceError("centre-unknown", zh, en, kind=Kind.NOT_FOUND)
        Channels(units, _admitted(of.scheme)).allot(portion.centre, units)
        account, leaf = of.allotted(portion.centre), centre_leaf(portion.centre)
        return await money.set_aside(tx, of, account, leaf, units, portion.centre)

    await _act(journal, order, "allot", portion, move)


async def take_back(journal: Journal, order: ByOfficer, portion: Portion) -> None:
    """A centre gives back what it did not hand out; the year's budget may give it again.

    Raises:
        VoucherError: `budget-exceeded`: the centre has less.

    """

    async def move(tx: Transaction, of: Programme, units: int) -> list[Event]:
        account, leaf = of.allotted(portion.centre), centre_leaf(portion.centre)
        return await money.put_back(tx, of, account, leaf, units, portion.centre)

    await _act(journal, order, "take-back", portion, move)


Move = Callable[[Transaction, Programme, int], Awaitable[list[Event]]]


async def _act(journal: Journal, order: ByOfficer, what: str, portion: Portion, move: Move) -> None:
    """One act of an officer: its entries, and a note that says who, why and how much; once under its key."""
    said = {"type": what, "scheme": portion.scheme.id, "centre": portion.centre, "amount": portion.amount}

    async def build(tx: Transaction, act: Act) -> Event:
        payload = cbor2.dumps({**said, "unit": portion.unit, "by": act.reason}, canonical=True)
        note = Event(EntryKind.NOTE, act.event_id, act.digest, actor=act.actor, salt=act.salt, payload=payload)
        if not await ledger_store.load_entries(tx.connection, [act.event_id]):
            of = _programme(portion, policy_year(tx.now_ns // 1000))
            await tx.append(await move(tx, of, parse_units(portion.amount, of.asset)))
        return note

    request = "\0".join(("allotment", what, portion.scheme.id, *portion[1:]))
    await record_act(journal, order, request, build)


def _programme(portion: Portion, year: int) -> Programme:
    scheme, terms = portion.scheme, portion.scheme.terms_in(portion.unit)
    unit = UNITS[scheme.terms[0].asset.code] if scheme.terms else YUAN
    if (why := closed(scheme, unit)) is not None:
        raise VoucherError(*why, kind=Kind.NOT_ALLOWED)
    if terms is None:
        units = ", ".join(one.asset.code for one in scheme.terms) or "-"
        raise VoucherError(
            "unit-not-in-scheme",
            f"方案 {scheme.id} 可发的计量单位为 {units}，没有“{portion.unit[:40]}”",
            f"the scheme {scheme.id} issues in {units}, not in {portion.unit[:40]!r}",
        )
    return Programme(scheme, terms, year)


def _admitted(scheme: Scheme) -> frozenset[Channel]:
    return frozenset(channel for channel in Channel if channel.value in scheme.procedure.channels)


class Receiver(NamedTuple):
    """Who gets a voucher of a centre, bound to which key, and what for: the contract that it supports, or why there is none."""

    holder: str
    holder_key: Mapping[str, object] | None = None
    contract: Contract | None = None
    reason: str = ""


async def hand_out(desk: Desk, portion: Portion, to: Receiver, key: str) -> StoredVoucher:
    """A centre's voucher out of its allotment; the same key and order again give the same voucher.

    It claims its contract as a voucher that is issued directly does.

    Raises:
        VoucherError: `channel-not-admitted`, `budget-exceeded`, `issue-refused`, `idempotency-key-reused`.
        SubsidyError: `supported-already`: the contract is claimed as often as the scheme allows.

    """
    request = IssueRequest(to.holder, portion.unit, portion.amount, to.holder_key, to.contract, to.reason)
    order = Order(request, portion.scheme, key, f"hand-out/{portion.centre}")

    async def find_or_record(tx: Transaction) -> str:
        earlier = await store.find_issue(tx.connection, order.event_id)
        if earlier is not None:
            jti, digest = earlier
            if digest != order.digest:
                raise VoucherError(
                    "idempotency-key-reused",
                    "该 Idempotency-Key 已用于内容不同的请求",
                    "this Idempotency-Key was used for a different request",
                    kind=Kind.CONFLICT,
                )
            return jti
        of = _programme(portion, policy_year(tx.now_ns // 1000))
        source = await _source(tx, of, portion)
        return (await record(tx, order, desk.keys, desk.address, source=source)).voucher.jti

    jti = await desk.journal.transact(find_or_record)
    return await release(desk.journal, jti, desk.keys, desk.signer, desk.signers)


async def _source(tx: Transaction, of: Programme, portion: Portion) -> Source:
    """The centre's allotment, which must have as much."""
    account, leaf = of.allotted(portion.centre), centre_leaf(portion.centre)
    found = await tx.accounts([account])
    left = found[account].available if account in found else 0
    allotments = {portion.centre: Allotment(portion.centre, left)}
    units = parse_units(portion.amount, of.asset)
    Channels(left, _admitted(of.scheme), allotments=allotments).hand_out(portion.centre, units)
    return Source(account, of.year, leaf, of.path(leaf))
