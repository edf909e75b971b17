"""Offline leases: given to one centre out of a voucher, and settled by what that centre reports (see `voucher.lease`).

Both look at tables that they write themselves, so they take turns of the writer's alone (`Till.ask_alone`).
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import cbor2

from ledger import jws
from ledger.amount import format_units, parse_units
from ledger.errors import Kind
from metering.zones import rfc3339
from suanquan.use_cases.ingest import Issuer, Request
from suanquan.use_cases.spend_acts import Hold, Report
from suanquan.use_cases.spending import Turn, check_terms, open_state, own_parts, record_hold, take_units, use_proof
from voucher import lease_store
from voucher.errors import VoucherError
from voucher.hold_store import LEASED, Part
from voucher.lease import LEASE_TYPE, LIFE_S_MIN, WINDOW_S, Lease, Spend, new_spends, require_in_time, require_numbers
from voucher.lease_store import LeaseRow
from voucher.spending import require_open

_US = 1_000_000
_LEASED = "leased"


async def give_lease(turn: Turn, request: Request, act: Hold, issuer: Issuer) -> dict[str, Any]:
    """Set aside what the holder signed for, for one centre to spend offline; the answer to it, with the signed lease.

    Raises:
        DomainError: `lease-not-allowed`, `lease-too-long`, `lease-limit`, `lease-delegated`, or what a hold is refused for.

    """
    voucher, shown, tx = act.voucher, act.shown, turn.tx
    check_terms(turn, act)
    now_s = turn.now_us // _US
    ends_s = min(now_s + act.life_s, voucher.until_us // _US)
    await _check_limits(turn, request, act, ends_s - now_s)
    use_proof(turn, shown)
    event_id = (tx.now_ns // 1_000_000).to_bytes(6) + tx.entropy(10)
    hold = event_id.hex()
    entry = await record_hold(tx, request, act, hold, event_id, (ends_s + WINDOW_S) * _US)
    part = Part(entry.seq, hold, voucher.jti, request.centre, shown.units, shown.reference, LEASED + act.proof)
    turn.parts.append(part)
    turn.seen.parts.setdefault(hold, []).append(part)
    row = LeaseRow(hold, entry.seq, voucher.jti, request.centre, voucher.asset.number, now_s, ends_s)
    await lease_store.write_lease(tx.connection, row)
    tx.noted[_LEASED, entry.seq] = (
        row,
        shown.units,
    )  # its hold reaches the tables with the whole group, and others may ask before
    lease = Lease(
        hold, issuer.name, voucher.jti, request.centre, voucher.asset, shown.units, shown.reference, entry.seq, now_s, ends_s,
        ends_s + WINDOW_S,
    )  # fmt: skip
    return {
        "hold": hold,
        "voucher": voucher.jti,
        "unit": voucher.asset.code,
        "amount": format_units(shown.units, voucher.asset),
        "reference": shown.reference,
        "expires_at": rfc3339(ends_s * _US),
        "report_until": rfc3339(lease.report_until_s * _US),
        "event_id": hold,
        "log_index": entry.seq,
        "token": jws.sign(lease.to_claims(), typ=LEASE_TYPE, kid=issuer.kid, signer=issuer.sign),
    }


async def _check_limits(turn: Turn, request: Request, act: Hold, life_s: int) -> None:
    """A lease is out of reach until it is reported: the scheme says how long, how much of a voucher, and how much at a centre."""
    voucher, units = act.voucher, act.shown.units
    offline, asset = voucher.offline, voucher.asset
    most = offline.centre_units.get(asset.number) if offline else None
    if offline is None or most is None:
        raise VoucherError(
            "lease-not-allowed",
            "该券的方案不准离线使用",
            "the voucher's scheme allows no leases",
            kind=Kind.NOT_ALLOWED,
        )
    if act.counters:
        raise VoucherError("lease-delegated", "经转授的额度不能离线使用", "what was delegated is not leased")
    if not LIFE_S_MIN <= life_s <= offline.hours * 3600:
        raise VoucherError(
            "lease-too-long",
            f"租约应为 {LIFE_S_MIN} 秒至 {offline.hours} 小时，且在券的有效期内",
            f"a lease lasts {LIFE_S_MIN} s to {offline.hours} h, and not longer than its voucher",
        )
    of_voucher, at_centre = await lease_store.units_out(turn.tx.connection, asset.number, voucher.jti, request.centre)
    for row, more in [said for key, said in turn.tx.noted.items() if key[0] == _LEASED]:
        of_voucher += more if row.jti == voucher.jti else 0
        at_centre += more if (row.centre, row.asset) == (request.centre, asset.number) else 0
    limits = (voucher.units * offline.percent // 100 - of_voucher, most - at_centre)
    if units > min(limits):
        left = format_units(max(0, min(limits)), asset)
        which = ("此券", "of this voucher") if limits[0] <= limits[1] else ("本中心", "at this centre")
        raise VoucherError(
            "lease-limit",
            f"超出{which[0]}可离线使用的额度，尚可 {left}",
            f"more than may be out in leases {which[1]}: {left} is left",
            kind=Kind.INSUFFICIENT,
        )


async def settle_lease(turn: Turn, request: Request, act: Report) -> dict[str, Any]:
    """Capture what a centre says it spent of its lease, each number once; the answer to it.

    Raises:
        DomainError: `lease-unknown`, `lease-spend-late`, `lease-spend-conflict`, `lease-number-repeated`, or what a capture is
            refused for; nothing of the report is then recorded.

    """
    own_parts(turn, request, act.hold)
    row = await lease_store.load_lease(turn.tx.connection, act.hold)
    if row is None:
        raise VoucherError("lease-unknown", "这笔冻结不是租约", "this hold is no lease", kind=Kind.NOT_FOUND)
    found = await open_state(turn, request, act.hold)
    spends = [Spend(number, parse_units(amount, found.asset), at_s, ref) for number, amount, at_s, ref in act.spends]
    _check_report(spends, row)
    known = await lease_store.load_spends(turn.tx.connection, act.hold, [one.number for one in spends])
    fresh = new_spends(spends, known)
    units = sum(one.units for one in fresh)
    answer = {"accepted": [one.number for one in fresh], "duplicate": sorted(known)}
    if not fresh and not act.final:
        left = sum(part.units for part in found.parts)
        return {
            "hold": act.hold,
            "captured": format_units(0, found.asset),
            "remaining": format_units(left, found.asset),
        } | answer
    if not fresh:
        require_open(found.parts)
    digest = sha256(cbor2.dumps([list(one) for one in fresh], canonical=True)).hexdigest()
    told = {"spends": len(fresh), "spends_sha256": digest}
    moved = await take_units(turn, request, act.hold, found, units, final=act.final, told=told)
    await lease_store.write_spends(turn.tx.connection, act.hold, fresh, moved["log_index"])
    return moved | answer


def _check_report(spends: list[Spend], row: LeaseRow) -> None:
    if any(one.units <= 0 for one in spends):
        raise VoucherError("amount-not-positive", "数量须大于零", "the amount must be more than zero")
    require_numbers(spends)
    require_in_time(spends, row.from_s, row.ends_s)
