"""What a centre is due from a scheme, line by line: read off the entries that touch its receivable, and nothing else.

An entry counts by when it was recorded. What is reported late, or corrected after payment, is a line of the next batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ledger import store as ledger_store
from ledger.amount import CNY
from ledger.entry import Entry, Layer, PostedLeg, Side
from ledger.history import lines_before
from ledger.sql import Connection
from suanquan.use_cases.postings import receivable, scheme_in_kind
from voucher import store as voucher_store
from voucher.lifecycle import Bucket
from voucher.settlement.accounts import centre_payee, scheme_of_stage
from voucher.settlement.line import Line

PAGE = 500

Kept = Mapping[tuple[int, str], int]
"""Units in dispute, by entry and voucher."""


class Due(NamedTuple):
    """What became due: its lines, the last entry that was looked at, and what the provider's invoices must come to."""

    lines: list[Line]
    upto: int
    invoiced: int


class _Payer(NamedTuple):
    """What a ledger account stands for: a voucher of a scheme, compute given in kind (no voucher), or a refund."""

    scheme: str
    jti: str
    refund: bool = False


async def due_lines(conn: Connection, centre: str, scheme: str, after: int, until_us: int, kept: Kept) -> Due:
    """Lines of a scheme at a centre from entries behind `after`, recorded before a moment, less what is in dispute."""
    found = await ledger_store.load_accounts_by_name(conn, [receivable(centre)])
    lines: list[Line] = []
    upto, invoiced = after, 0
    for entry, payers in await _entries(conn, found[0].public_id, centre, after, until_us) if found else ():
        upto = max(upto, entry.seq)
        own = units_of(entry, payers, scheme)
        if not own:
            continue
        invoiced += _invoiced(entry, payers, scheme, found[0].public_id)
        for (jti, refund), units in own.items():
            disputed = min(kept.get((entry.seq, jti), 0), max(units, 0))
            kind = "refunded" if refund else "redeemed" if units > 0 else "corrected"
            if units - disputed:
                lines.append(Line(entry.seq, jti, "", units - disputed, kind))
            invoiced -= disputed
    return Due(sorted(lines), upto, max(invoiced, 0))


async def _entries(
    conn: Connection, public_id: bytes, centre: str, after: int, until_us: int
) -> list[tuple[Entry, dict[bytes, _Payer]]]:
    [account] = await ledger_store.load_accounts_by_name(conn, [receivable(centre)])
    assert account.public_id == public_id
    before_ns, found = until_us * 1000, []
    while page := await lines_before(conn, account, before_ns, PAGE):
        entries = [line.entry for line in page if line.entry.seq > after]
        payers = await _payers(conn, entries, centre)
        found += [(entry, payers) for entry in entries]
        if len(entries) < len(page):
            break
        before_ns = page[-1].entry.recorded_ns
    return found[::-1]


async def _payers(conn: Connection, entries: Sequence[Entry], centre: str) -> dict[bytes, _Payer]:
    """What stands behind the accounts of these entries, by pseudonym."""
    publics = {leg.public_id for entry in entries for leg in entry.legs if _counts(leg)}
    numbers = await ledger_store.load_numbers(conn, list(publics))
    by_number = {number: public for public, number in numbers.items()}
    payers = {
        by_number[row.account]: _Payer(row.scheme, row.jti) for row in await voucher_store.vouchers_of(conn, by_number)
    }
    others = [number for number, public in by_number.items() if public not in payers]
    for account in await ledger_store.load_accounts(conn, others):
        if scheme := scheme_in_kind(account.name):
            payers[account.public_id] = _Payer(scheme, "")
        elif scheme := scheme_of_stage(account.name, centre_payee(centre), Bucket.PAID):
            payers[account.public_id] = _Payer(scheme, "", refund=True)
    return payers


def units_of(entry: Entry, payers: Mapping[bytes, _Payer], scheme: str) -> Counter[tuple[str, bool]]:
    """Units that an entry makes due from a scheme, by voucher and whether it is a refund; a reversal takes off."""
    own: Counter[tuple[str, bool]] = Counter()
    for leg in entry.legs:
        payer = payers.get(leg.public_id) if _counts(leg) else None
        if payer is not None and payer.scheme == scheme:
            own[payer.jti, payer.refund] += leg.amount if leg.side == Side.DEBIT else -leg.amount
    return Counter({name: units for name, units in own.items() if units})


def _invoiced(entry: Entry, payers: Mapping[bytes, _Payer], scheme: str, receivable_id: bytes) -> int:
    """The full price behind an entry; of several schemes that pay it, the first by name is invoiced what the user pays."""
    by_scheme: Counter[str] = Counter()
    for leg in entry.legs:
        payer = payers.get(leg.public_id) if _counts(leg) else None
        if payer is not None and not payer.refund:
            by_scheme[payer.scheme] += leg.amount if leg.side == Side.DEBIT else -leg.amount
    price = sum(
        leg.amount if leg.side == Side.CREDIT else -leg.amount
        for leg in entry.legs
        if _counts(leg) and leg.public_id == receivable_id
    )
    own_pay = price - sum(by_scheme.values()) if by_scheme and min(by_scheme) == scheme else 0
    return by_scheme[scheme] + own_pay


def _counts(leg: PostedLeg) -> bool:
    return leg.layer == Layer.POSTED and leg.asset == CNY.number
