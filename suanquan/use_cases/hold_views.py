"""Holds as their centre, their holder and the office see them: what was set aside, what is left of it, and who settled it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ledger import log_store, store
from ledger.amount import ASSETS_BY_NUMBER, Asset, format_units
from ledger.entry import EntryKind, Layer
from ledger.errors import Kind
from ledger.history import recent_places
from ledger.leaf import decode
from ledger.scope import Scope
from ledger.sql import Connection
from ledger.state import HoldStatus
from metering.zones import rfc3339
from voucher.errors import VoucherError
from voucher.hold_store import LEASED, METERED
from voucher.hold_view_store import STATES, HoldFilter, PartRow, captured_by_hand, load_holds
from voucher.lease_store import load_lease, load_spends

_HOLD = re.compile("[0-9a-f]{32}")


async def list_holds(conn: Connection, scope: Scope, wanted: HoldFilter) -> list[dict[str, Any]]:
    """Holds inside a scope, oldest first; the last one's id is where the next page begins (`after`)."""
    found = await load_holds(conn, scope, wanted)
    by_hand = await captured_by_hand(conn, found)
    return [_summary(parts, by_hand=hold in by_hand) for hold, parts in found.items()]


async def show_hold(conn: Connection, scope: Scope, hold: str) -> dict[str, Any]:
    """One hold with its parts, and what centres captured of it.

    Raises:
        VoucherError: `hold-unknown`, also for one outside the scope.

    """
    found = await load_holds(conn, scope, HoldFilter(hold=hold)) if _HOLD.fullmatch(hold) else {}
    if hold not in found:
        raise VoucherError("hold-unknown", "没有这笔冻结", "no such hold", kind=Kind.NOT_FOUND)
    parts, asset = found[hold], ASSETS_BY_NUMBER[found[hold][0].asset]
    by_hand = await captured_by_hand(conn, [hold])
    captured = await _captured(conn, parts)
    return _summary(parts, by_hand=hold in by_hand) | {
        "captured": format_units(sum(captured.values()), asset),
        "parts": [_part(part, captured.get(part.seq, 0)) for part in parts],
        **(await _offline(conn, hold, asset) if parts[0].proof.startswith(LEASED) else {}),
    }


async def _offline(conn: Connection, lease: str, asset: Asset) -> dict[str, Any]:
    """Until when a lease may be spent, and what its centre says it spent."""
    row, spends = await load_lease(conn, lease), await load_spends(conn, lease)
    assert row is not None, "a hold with this mark is a lease"
    return {
        "spent_until": rfc3339(row.ends_s * 1_000_000),
        "spends": [
            {
                "number": one.number,
                "amount": format_units(one.units, asset),
                "at": rfc3339(one.at_s * 1_000_000),
                "reference": one.reference,
            }
            for one in spends.values()
        ],
    }


def _summary(parts: Sequence[PartRow], *, by_hand: bool) -> dict[str, Any]:
    first, last = parts[0], parts[-1]
    asset = ASSETS_BY_NUMBER[first.asset]
    is_open = any(part.status == HoldStatus.OPEN for part in parts)
    metered = any(part.proof == METERED for part in parts)
    ends = [part.expires_ns for part in parts if part.expires_ns is not None]
    signed = sum(part.amount for part in parts if part.proof != METERED)  # what metering holds again was held before
    return {
        "hold": first.hold,
        "voucher": first.jti,
        "centre": first.centre,
        "unit": asset.code,
        "amount": format_units(signed, asset),
        "remaining": format_units(sum(part.remaining for part in parts), asset),
        "state": STATES[HoldStatus.OPEN if is_open else last.status],
        "reference": first.reference,
        "settled_by": "centre" if by_hand else "metering" if metered else None,
        "delegated": first.lines > 1,
        "lease": first.proof.startswith(LEASED),
        "taken_at": rfc3339(first.taken_ns // 1000),
        "expires_at": rfc3339(max(ends) // 1000) if ends else None,
    }


def _part(part: PartRow, captured: int) -> dict[str, Any]:
    asset = ASSETS_BY_NUMBER[part.asset]
    return {
        "log_index": part.seq,
        "amount": format_units(part.amount, asset),
        "captured": format_units(captured, asset),
        "remaining": format_units(part.remaining, asset),
        "state": STATES[part.status],
        "taken_at": rfc3339(part.taken_ns // 1000),
        "expires_at": None if part.expires_ns is None else rfc3339(part.expires_ns // 1000),
        "held_by": "metering" if part.proof == METERED else "proof",
    }


async def _captured(conn: Connection, parts: Sequence[PartRow]) -> dict[int, int]:
    """Units captured of each part, read off the entries of the voucher's account since the hold."""
    [account] = await store.load_accounts(conn, [parts[0].account])
    rows = await store.load_places(conn, account.number, parts[0].taken_ns, 1)
    rows += await log_store.load_places_from(conn, account.number, parts[0].taken_ns)
    places = [place for row in (*rows, recent_places(account)) for place in row]
    leaves = await store.load_leaves(conn, [place.seq for place in places if place.seq > parts[0].seq])
    sums = {part.seq: 0 for part in parts}
    for entry in (decode(leaf)[0] for leaf in leaves):
        if entry.kind == EntryKind.CAPTURE and entry.ref_seq in sums:
            sums[entry.ref_seq] += sum(
                leg.amount
                for leg in entry.legs
                if leg.public_id == account.public_id and leg.layer == Layer.POSTED and leg.side == 0
            )
    return sums
