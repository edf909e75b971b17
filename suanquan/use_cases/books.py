"""What officers do to the books and ask of them: balances at any moment, an event's fate, corrections, restrictions, closes."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Callable
from hashlib import sha256
from typing import Any, NamedTuple

from ledger import orders, store
from ledger.amount import Asset, format_units, parse_units
from ledger.entry import Entry, EntryKind, Event, Leg, Limits, Restriction, Side
from ledger.errors import Kind
from ledger.history import Line, balance_effective_at, lines_before, totals_at
from ledger.journal import Journal
from ledger.leaf import decode
from ledger.orders import Act
from ledger.sql import Connection
from ledger.state import Account
from ledger.transaction import Transaction
from metering.instants import parse_instant
from metering.zones import rfc3339, shanghai_day_us
from suanquan.errors import ServiceError

RESTRICTIONS = {
    "free": Restriction.NONE,
    "freeze": Restriction.FROZEN,
    "legal-hold": Restriction.LEGAL_HOLD,
    "close": Restriction.CLOSED,
}
REASON_MAX = 500
_LATEST_NS = 2**62
"""A moment after every entry, which is the year 2116."""


class Order(NamedTuple):
    """Who asks for an act, why (with the authority's reference), and under which key it may be repeated."""

    officer: str
    reason: str
    key: str | None = None


async def account_balance(conn: Connection, name: str, at: str | None, effective: str | None) -> dict[str, Any]:
    """What an account has now, had as recorded at a moment, or has by what is dated until a moment.

    Raises:
        ServiceError: `account-unknown` or `instant-invalid`.

    """
    account = await account_named(conn, name)
    asset = await asset_numbered(conn, account.asset)
    found: dict[str, Any] = {"account": name, "asset": asset.code, **_restrictions(account, asset)}
    if effective is not None:
        moment = instant_ns(effective)
        balance = await balance_effective_at(conn, account, moment)
        return found | {"effective": _rfc3339(moment), "balance": format_units(balance, asset)}
    moment = _LATEST_NS if at is None else instant_ns(at)
    totals = await totals_at(conn, account, moment)
    if at is not None:
        found["at"] = _rfc3339(moment)
    return found | {
        "balance": format_units(totals.balance, asset),
        "available": format_units(totals.available, asset),
        "held": format_units(totals.debits_held, asset),
        "incoming": format_units(totals.credits_held, asset),
    }


async def account_lines(conn: Connection, name: str, before: str | None, limit: int) -> dict[str, Any]:
    """An account's newest entries; `next` continues."""
    account = await account_named(conn, name)
    asset = await asset_numbered(conn, account.asset)
    before_ns = (
        _LATEST_NS
        if before is None
        else min(int(before[:19]), _LATEST_NS)
        if before.isdecimal()
        else instant_ns(before)
    )
    lines = await lines_before(conn, account, before_ns, limit)
    following = str(lines[-1].entry.recorded_ns) if len(lines) == limit else None
    return {"account": name, "asset": asset.code, "lines": [_line(line, asset) for line in lines], "next": following}


def _line(line: Line, asset: Asset) -> dict[str, Any]:
    return {
        **entry_object(line.entry),
        "debits": format_units(line.debits, asset),
        "credits": format_units(line.credits, asset),
        "balance": format_units(line.totals.balance, asset),
        "held": format_units(line.totals.debits_held, asset),
    }


async def event_fate(conn: Connection, event_id: str) -> dict[str, Any]:
    """What became of a request: recorded, refused for good, or unknown (then it may be sent again).

    Raises:
        ServiceError: `event-id-invalid` or `event-unknown`.

    """
    identity = parse_event_id(event_id)
    entries, failed, _ = await store.load_used(conn, [identity], identity)
    if identity in entries:
        return {"event_id": event_id, "status": "recorded", **entry_object(entries[identity])}
    if identity in failed:
        return {"event_id": event_id, "status": "refused", "code": failed[identity][1]}
    raise ServiceError("event-unknown", "没有这个事件", "no such event", kind=Kind.NOT_FOUND)


def entry_object(entry: Entry) -> dict[str, Any]:
    """What everybody may know of an entry."""
    return {
        "seq": entry.seq,
        "kind": EntryKind(entry.kind).name,
        "event_id": entry.event_id.hex(),
        "recorded_at": _rfc3339(entry.recorded_ns),
        **({"effective_at": _rfc3339(entry.effective_ns)} if abs(entry.effective_ns) < 2**62 else {}),
        **({"ref_seq": entry.ref_seq} if entry.ref_seq < 2**63 else {}),
    }


async def limit_account(journal: Journal, order: Order, name: str, floor: str | None, ceiling: str | None) -> Entry:
    """Set the limits of an account (decimal strings; None leaves a side open)."""

    async def build(tx: Transaction, act: Act) -> Event:
        account = await account_named(tx.connection, name)
        asset = await asset_numbered(tx.connection, account.asset)
        limits = Limits(*(None if bound is None else _signed_units(bound, asset) for bound in (floor, ceiling)))
        return orders.limit(act, account.number, limits)

    return await record_act(journal, order, f"limit\0{name}\0{floor}\0{ceiling}", build)


async def restrict_account(journal: Journal, order: Order, name: str, what: str) -> Entry:
    """`freeze`, `legal-hold`, `close` or `free` an account."""

    async def build(tx: Transaction, act: Act) -> Event:
        return orders.restrict(act, (await account_named(tx.connection, name)).number, RESTRICTIONS[what])

    return await record_act(journal, order, f"restrict\0{name}\0{what}", build)


async def reverse_event(journal: Journal, order: Order, event_id: str, amount: str | None = None) -> Entry:
    """Take back a recorded posting: what is left of it or, where all its lines move the same amount, a part of that."""
    identity = parse_event_id(event_id)

    async def build(tx: Transaction, act: Act) -> Event:
        original = (await store.load_entries(tx.connection, [identity])).get(identity)
        if original is None:
            raise ServiceError("event-unknown", "没有这个事件", "no such event", kind=Kind.NOT_FOUND)
        legs = () if amount is None else await _mirrored(tx.connection, original, amount)
        return orders.reverse(act, original.seq, legs)

    return await record_act(journal, order, f"reverse\0{event_id}\0{amount}", build)


async def _mirrored(conn: Connection, original: Entry, amount: str) -> list[Leg]:
    posted = [leg for leg in original.legs if leg.layer == 0]
    if len({(leg.asset, leg.amount) for leg in posted}) != 1:
        raise ServiceError(
            "reversal-ambiguous",
            "该分录各行金额不同，只能整笔冲正",
            "the lines of the entry differ in amount; it can only be taken back as a whole",
        )
    units = parse_units(amount, await asset_numbered(conn, posted[0].asset))
    numbers = await store.load_numbers(conn, [leg.public_id for leg in posted])
    return [Leg(numbers[leg.public_id], Side(1 - leg.side), units) for leg in posted]


async def close_month(journal: Journal, order: Order, month: str) -> Entry:
    """End a month (`2026-10`) and all before it, by the clock of Shanghai."""
    try:
        first = dt.date.fromisoformat(f"{month}-01")
    except ValueError:
        raise ServiceError(
            "month-invalid", f"月份“{month[:20]}”应形如 2026-10", f"the month {month[:20]!r} must look like 2026-10"
        ) from None
    until_ns = shanghai_day_us((first + dt.timedelta(days=31)).replace(day=1)) * 1000

    async def build(_tx: Transaction, act: Act) -> Event:
        return orders.close_period(act, until_ns)

    return await record_act(journal, order, f"close-month\0{month}", build)


async def erase_payload(journal: Journal, order: Order, seq: int) -> Entry:
    """Drop the private content of an entry; its commitment, and every proof, stays.

    Raises:
        ServiceError: `payload-missing`.

    """

    async def build(tx: Transaction, act: Act) -> Event:
        row = await store.load_entry(tx.connection, seq)
        if row is None or row.body is None or decode(row.leaf)[0].kind in _NEVER_ERASED:
            raise ServiceError(
                "payload-missing",
                "该分录没有可删除的内容",
                "the entry has no content that may be erased",
                kind=Kind.NOT_FOUND,
            )
        return orders.erase(act, seq)

    return await record_act(journal, order, f"erase\0{seq}", build)


_NEVER_ERASED = (EntryKind.GENESIS, EntryKind.ASSET, EntryKind.LIMIT, EntryKind.ERASE)
"""Rules of the log itself, which everybody who verifies it needs."""

Build = Callable[[Transaction, Act], Any]


async def record_act(journal: Journal, order: Order, request: str, build: Build) -> Entry:
    """One act, whole or not at all; the same key and request answer with the same entry.

    Raises:
        ServiceError: `reason-missing`.

    """
    if not order.officer or not order.reason or len(order.reason) > REASON_MAX:
        raise ServiceError(
            "reason-missing",
            f"须写明经办人与理由（至多 {REASON_MAX} 字）",
            f"name the officer and give a reason of at most {REASON_MAX} characters",
        )
    identity = sha256(b"act\0" + (order.key or secrets.token_hex(16)).encode()).digest()[:16]
    reason = f"{order.officer}: {order.reason}"

    async def work(tx: Transaction) -> Entry:
        actor = sha256(b"officer\0" + order.officer.encode()).digest()[:8]
        act = Act(identity, tx.keyed(f"{request}\0{reason}".encode()), tx.entropy(32), reason, actor)
        [entry] = await tx.append([await build(tx, act)])
        return entry

    return await journal.transact(work)


async def account_named(conn: Connection, name: str) -> Account:
    """The account of a name.

    Raises:
        ServiceError: `account-unknown`.

    """
    found = await store.load_accounts_by_name(conn, [name])
    if not found:
        raise account_unknown(name)
    return found[0]


def account_unknown(name: str) -> ServiceError:
    """There is no such account, or none for whoever asks."""
    return ServiceError("account-unknown", f"没有账户“{name}”", f"no account {name!r}", kind=Kind.NOT_FOUND)


async def asset_numbered(conn: Connection, number: int) -> Asset:
    """The asset of a number, which entries of the log name."""
    assets = await store.load_assets(conn)
    return next(asset for asset in assets.values() if asset.number == number)


def _restrictions(account: Account, asset: Asset) -> dict[str, Any]:
    floor, ceiling = (None if bound is None else format_units(bound, asset) for bound in account.limits)
    names = [name for name, bit in RESTRICTIONS.items() if bit and account.restriction & bit]
    return {"floor": floor, "ceiling": ceiling, "restrictions": names}


def _signed_units(text: str, asset: Asset) -> int:
    return -parse_units(text[1:], asset) if text.startswith("-") else parse_units(text, asset)


def parse_event_id(text: str) -> bytes:
    """The bytes of an event id.

    Raises:
        ServiceError: `event-id-invalid`.

    """
    try:
        identity = bytes.fromhex(text)
    except ValueError:
        identity = b""
    if len(identity) != 16:
        raise ServiceError("event-id-invalid", "事件编号应为 32 位十六进制数", "an event id is 32 hexadecimal digits")
    return identity


def instant_ns(text: str) -> int:
    """UTC epoch nanoseconds of an RFC 3339 instant, of the year 2116 at most.

    Raises:
        ServiceError: `instant-invalid`.

    """
    try:
        return min(parse_instant(text) * 1000, _LATEST_NS)
    except ValueError:
        raise ServiceError(
            "instant-invalid",
            f"时刻“{text[:40]}”应形如 2026-11-22T01:15:37+08:00",
            f"the instant {text[:40]!r} must look like 2026-11-22T01:15:37+08:00",
        ) from None


def _rfc3339(ns: int) -> str:
    return rfc3339(ns // 1000)
