"""Usage that names no hold, of a holder for whom the centre has one: it waits for a person (docs/decisions/0026).

A hold says what a job may take, not which job took it. Where the holder of an account has a voucher that the centre holds now,
or captured by hand, usage of the same time may be that very job, and posting it would pay the centre twice. A hold that metering
settles, and one that was given back without a capture, are no reason to wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from ledger.amount import INT64_MAX
from ledger.state import Hold, HoldStatus
from ledger.transaction import Transaction
from metering.model import UsageRecord
from suanquan.use_cases.hold_usage import is_captured, names_hold
from suanquan.use_cases.postings import bound_to
from suanquan.use_cases.shares import Terms
from voucher import hold_store
from voucher.hold_store import BY_HAND, METERED, Part
from voucher.scheme import Scheme
from voucher.store import BoundVoucher

Span = tuple[int, int]
"""From and until, UTC epoch microseconds: when a hold may be drawn on."""


class Use(NamedTuple):
    """What of a record tells whose it is and when it was."""

    account: str
    voucher: str | None
    start_us: int
    end_us: int


async def some_hold(tx: Transaction, terms: Terms, accounts: Iterable[str]) -> bool:
    """Whether holders of these accounts ever had a hold at the centre: remembered, for most never have one."""
    memo: dict[str, bool] = tx.memo.setdefault(_memo(terms.centre), {})
    accounts = list(accounts)
    missing = [account for account in accounts if account not in memo]
    if missing:
        memo.update((account, False) for account in missing)
        bound = [row for row, _ in _pairs(await bound_to(tx, terms.centre, missing, terms.schemes))]
        held = {part.jti for part in await _parts(tx, terms.centre, {row.jti for row in bound})}
        memo.update((row.bound_account, True) for row in bound if row.jti in held)
    return any(memo[account] for account in accounts)


def _pairs(by_account: Mapping[str, list[tuple[BoundVoucher, Scheme]]]) -> list[tuple[BoundVoucher, Scheme]]:
    return [pair for pairs in by_account.values() for pair in pairs]


def forget_holds(tx: Transaction, centres: Iterable[str]) -> None:
    """A hold was taken at these centres: what `some_hold` remembers of them is no longer so."""
    for centre in centres:
        tx.memo.pop(_memo(centre), None)


def _memo(centre: str) -> str:
    return f"holds/{centre}"


async def waits_for_hold(tx: Transaction, terms: Terms, uses: Sequence[Use]) -> list[int]:
    """Places of uses that name no hold and meet one of their holder."""
    if not await some_hold(tx, terms, dict.fromkeys(use.account for use in uses)):
        return []
    spans = await _spans(tx, terms, {use.account for use in uses if not names_hold(use.voucher)})
    return [at for at, use in enumerate(uses) if not names_hold(use.voucher) and _meets(spans, use)]


async def meets_hold(tx: Transaction, terms: Terms, record: UsageRecord) -> bool:
    """Whether one record must wait."""
    use = Use(record.account, record.voucher, record.start_us, record.end_us)
    return bool(await waits_for_hold(tx, terms, [use]))


def _meets(spans: Mapping[str, Sequence[Span]], use: Use) -> bool:
    end_us = max(use.end_us, use.start_us + 1)
    return any(use.start_us < until and end_us > since for since, until in spans.get(use.account, ()))


async def _parts(tx: Transaction, centre: str, jtis: Iterable[str]) -> list[Part]:
    """Holds of vouchers at a centre: those on disk, and those on their way there in this very group."""
    wanted = set(jtis)
    noted = [parts for key, parts in tx.noted.items() if key[0] == "hold"]
    found = {part for part in await hold_store.parts_of_vouchers(tx.connection, wanted) if part.centre == centre}
    found.update(part for parts in noted for part in parts if part.centre == centre and part.jti in wanted)
    return sorted(found, key=lambda part: (part.hold, part.seq))


async def _spans(tx: Transaction, terms: Terms, accounts: Iterable[str]) -> dict[str, list[Span]]:
    """When usage of these accounts may be what a hold is for, by account."""
    bound = _pairs(await bound_to(tx, terms.centre, accounts, terms.schemes))
    parts = await _parts(tx, terms.centre, {row.jti for row, _ in bound})
    holds = await tx.holds([part.seq for part in parts])
    spans: dict[str, list[Span]] = {}
    for _, some in groupby(parts, key=lambda part: part.hold):
        for jti, span in _span(list(some), holds, tx.now_ns):
            spans.setdefault(jti, []).append(span)
    found: dict[str, list[Span]] = {}
    for row, _ in bound:
        found.setdefault(row.bound_account, []).extend(spans.get(row.jti, ()))
    return found


def _span(parts: Sequence[Part], holds: Mapping[int, Hold], now_ns: int) -> Iterator[tuple[str, Span]]:
    """When a hold may be drawn on, with its voucher; nothing for one that metering settles or that paid and pays nothing."""
    if any(part.proof == METERED for part in parts):
        return
    own = [holds[part.seq] for part in parts if part.seq in holds and part.proof != BY_HAND]
    captured = any(part.proof == BY_HAND for part in parts) or any(map(is_captured, own))
    ends = [INT64_MAX if one.expires_ns is None else one.expires_ns for one in own]
    opened = any(one.status is HoldStatus.OPEN and now_ns < end for one, end in zip(own, ends, strict=True))
    if captured or opened:
        begun_ms = int(parts[0].hold[:12], 16)  # a hold's id begins with the time it was taken
        yield parts[0].jti, (begun_ms * 1000, max(ends, default=INT64_MAX) // 1000)
