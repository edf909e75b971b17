"""Statements of an account that prove to be complete, made and read."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ledger import orders, store
from ledger.amount import ASSETS_BY_NUMBER, Asset, format_units
from ledger.entry import Entry, EntryKind, Event
from ledger.history import Line, first_from, lines_before, opening_of
from ledger.journal import Journal
from ledger.leaf import decode
from ledger.log_store import SignedHead, with_nodes
from ledger.note import Note
from ledger.orders import Act
from ledger.policy import Policy
from ledger.proof import NodeReader, inclusion_path
from ledger.scope import Scope
from ledger.sql import Connection
from ledger.state import Account
from ledger.statement import LINES_MAX, ProvenLeaf, Statement, Sums, check, sums_of
from ledger.transaction import Transaction
from suanquan.db.database import Database
from suanquan.errors import ServiceError
from suanquan.use_cases.books import Order, account_named, account_unknown, entry_object, instant_ns, record_act
from suanquan.use_cases.log import Log
from voucher import store as voucher_store

VOUCHER = "voucher"
"""First part of the names of vouchers' accounts."""
PAGE = 1000
PATHS_AT_ONCE = 256


async def make_statement(
    log: Log, journal: Journal, now_ns: int, officer: str, name: str, from_: str | None, until: str | None
) -> bytes:
    """Statement of an account over [from, until), by default from its opening until now.

    Where the account has no entry after the period, a MARK of this officer is recorded to close it: without one nobody
    could tell that no line was left out at the end. Asked again before anything else happened, the default period ends at
    that MARK, and nothing is recorded.

    Raises:
        ServiceError: `account-unknown`, `instant-invalid`, `statement-period`, `statement-too-long`,
            or `checkpoint-missing`.

    """
    from_ns = 0 if from_ is None else instant_ns(from_)
    until_ns = now_ns if until is None else instant_ns(until)
    if not from_ns < until_ns <= now_ns:
        raise _wrong_period()
    async with log.database.read() as conn:
        account = await account_named(conn, name)
        if until is None:
            until_ns = await _closed_at(conn, account, from_ns, now_ns)
        lines = await _lines(conn, account, from_ns, until_ns)
        if not lines:
            raise _wrong_period()
        last = await _first_after(conn, account, until_ns)
    if last is None:
        last = await _mark(journal, Order(officer, f"statement until {until_ns}"), name)
    head = await log.covering(last.seq)
    async with log.database.read() as conn:
        return await _build(conn, head, account, (from_ns, until_ns), lines, last)


async def require_own_account(database: Database, scope: Scope, name: str) -> None:
    """Let a holder have statements of its own vouchers' accounts; any other account is as unknown as one that is not there.

    Raises:
        ServiceError: `account-unknown`.

    """
    if scope.everything:
        return
    prefix, _, jti = name.partition("/")
    async with database.read() as conn:
        if prefix != VOUCHER or await voucher_store.load_voucher(conn, jti, scope) is None:
            raise account_unknown(name)


async def _closed_at(conn: Connection, account: Account, from_ns: int, now_ns: int) -> int:
    """Now or, where nothing happened since a MARK closed a statement, when it did."""
    for line in await lines_before(conn, account, now_ns, 1):
        if line.entry.kind == EntryKind.MARK and line.entry.recorded_ns > from_ns:
            return line.entry.recorded_ns
    return now_ns


def _wrong_period() -> ServiceError:
    return ServiceError(
        "statement-period",
        "期间的起点须早于终点，终点须在开户之后且不晚于现在",
        "a period begins before its end, which is after the account's opening and not in the future",
    )


async def _lines(conn: Connection, account: Account, from_ns: int, until_ns: int) -> list[Entry]:
    """The account's last entry before the period, if there is, then its entries within, oldest first."""
    found: list[Line] = []
    before_ns = until_ns
    while not found or found[-1].entry.recorded_ns >= from_ns:
        page = await lines_before(conn, account, before_ns, PAGE)
        found += page
        if len(page) < PAGE:
            break
        if len(found) > LINES_MAX + PAGE:
            raise ServiceError(
                "statement-too-long",
                f"超过 {LINES_MAX} 条，请缩短期间",
                f"more than {LINES_MAX} lines; shorten the period",
            )
        before_ns = page[-1].entry.recorded_ns
    within = [line.entry for line in found if line.entry.recorded_ns >= from_ns]
    before = [line.entry for line in found if line.entry.recorded_ns < from_ns][:1]
    return [*before, *reversed(within)]


async def _first_after(conn: Connection, account: Account, until_ns: int) -> Entry | None:
    """The account's first entry recorded at or after a moment."""
    place = await first_from(conn, account, until_ns)
    if place is None:
        return None
    [leaf] = await store.load_leaves(conn, [place.seq])
    return decode(leaf)[0]


async def _mark(journal: Journal, order: Order, name: str) -> Entry:
    async def build(tx: Transaction, act: Act) -> Event:
        return orders.mark(act, (await account_named(tx.connection, name)).number)

    return await record_act(journal, order, f"mark\0{name}", build)


async def _build(
    conn: Connection, head: SignedHead, account: Account, period: tuple[int, int], entries: list[Entry], last: Entry
) -> bytes:
    opening = await opening_of(conn, account.name)
    assert opening.body is not None, "an account that has its name has the payload that says it"
    opened, _ = decode(opening.leaf)
    first, lines = (entries[0], entries[1:]) if entries and entries[0].recorded_ns < period[0] else (opened, entries)
    lines = [entry for entry in lines if entry.seq != first.seq]
    proven = await _prove(conn, head, [opened, first, *lines, last])
    statement = Statement(
        account.name, *period, proven[0], opening.salt, opening.body, proven[1], tuple(proven[2:-1]), proven[-1],
        sums_of(first, lines, account.public_id), Note.parse(head.note.encode()),
    )  # fmt: skip
    return statement.to_bytes()


async def _prove(conn: Connection, head: SignedHead, entries: list[Entry]) -> list[ProvenLeaf]:
    proven: list[ProvenLeaf] = []
    for at in range(0, len(entries), PATHS_AT_ONCE):
        part = entries[at : at + PATHS_AT_ONCE]

        def paths(node: NodeReader, part: list[Entry] = part) -> list[list[bytes]]:
            return [inclusion_path(entry.seq, head.size, node) for entry in part]

        found = await with_nodes(conn, head.size, paths)
        proven += [ProvenLeaf(entry.leaf, tuple(path)) for entry, path in zip(part, found, strict=True)]
    return proven


def statement_object(data: bytes, policy: Policy) -> dict[str, Any]:
    """What a statement proves, in words.

    Raises:
        LedgerError: see `ledger.statement.check`.

    """
    statement = Statement.parse(data)
    checked = check(statement, policy)
    asset = ASSETS_BY_NUMBER.get(checked.asset)
    show = functools.partial(_amount, asset=asset)
    return {
        "ok": True,
        "log": checked.checkpoint.origin,
        "size": checked.checkpoint.size,
        "account": statement.account,
        "asset": asset.code if asset else f"#{checked.asset}",
        **_sums(checked.sums, show),
        "lines": [
            {
                **entry_object(line.entry),
                "debits": show(line.debits),
                "credits": show(line.credits),
                "balance": show(line.balance),
            }
            for line in checked.lines
        ],
    }


def _sums(sums: Sums, show: Callable[[int], str]) -> dict[str, str]:
    return {name: show(units) for name, units in sums._asdict().items()}


def _amount(units: int, asset: Asset | None) -> str:
    return str(units) if asset is None else format_units(units, asset)
