"""What holds, captures and releases do to the ledger, within a round of the till (see `till`)."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, NamedTuple

import cbor2

from ledger import jws
from ledger.amount import ASSETS_BY_NUMBER, CNY, Asset, format_units, parse_units
from ledger.entry import Entry, EntryKind, Event, Leg, credit, debit
from ledger.errors import Kind
from ledger.state import HoldStatus
from ledger.transaction import Transaction
from metering.zones import rfc3339
from suanquan.use_cases.ingest import Issuer, Request
from suanquan.use_cases.postings import COUNTERS, compute_received, receivable
from suanquan.use_cases.spend_acts import Capture, Hold, Release
from voucher import store
from voucher.days import minute_of
from voucher.document import expired
from voucher.errors import VoucherError
from voucher.hold_store import BY_HAND, LEASED, METERED, Part, Seen
from voucher.presentation import LIFE_S, Presentation
from voucher.spending import HOLD_TYPE, Open, Taken, expiry_us, require_open, spread

PROOFS = "pop"
"""Key id under which nonces and proofs of holders are remembered, beside the nonces of agents."""


@dataclass(slots=True)
class Turn:
    """One transaction's worth of requests: what was there before, and what is to be written."""

    tx: Transaction
    seen: Seen
    nonces: list[tuple[str, str, int]] = field(default_factory=list)
    requests: list[tuple[str, str, bytes, int, bytes]] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    paid: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def now_us(self) -> int:
        """UTC epoch microseconds."""
        return self.tx.now_ns // 1000

    def use(self, kid: str, nonce: str, until_us: int) -> bool:
        """Take a nonce; False when it was taken before."""
        if (kid, nonce) in self.seen.nonces:
            return False
        self.seen.nonces.add((kid, nonce))
        self.nonces.append((kid, nonce, until_us))
        return True


# --- hold -------------------------------------------------------------------------------------------------------------


async def reserve(turn: Turn, request: Request, act: Hold, issuer: Issuer) -> dict[str, Any]:
    """Hold what was signed for, or raise a hold; the answer to it.

    Raises:
        DomainError: what time, unit, proof or the ledger refuse.

    """
    voucher, shown, tx = act.voucher, act.shown, turn.tx
    check_terms(turn, act)
    use_proof(turn, shown)
    if act.hold is not None:
        _check_raise(turn, request, act)
    ends_us = expiry_us(turn.now_us, act.life_s, voucher.until_us, runs_on=voucher.runs_on)
    event_id = (tx.now_ns // 1_000_000).to_bytes(6) + tx.entropy(10)
    hold = act.hold or event_id.hex()
    entry = await record_hold(tx, request, act, hold, event_id, ends_us)
    part = Part(entry.seq, hold, voucher.jti, request.centre, shown.units, shown.reference, act.proof)
    turn.parts.append(part)
    turn.seen.parts.setdefault(hold, []).append(part)
    claims = {
        "iss": issuer.name,
        "iat": turn.now_us // 1_000_000,
        "exp": ends_us // 1_000_000,
        "aud": f"urn:centre:{request.centre}",
        "hold": hold,
        "voucher": voucher.jti,
        "unit": voucher.asset.code,
        "amt": format_units(shown.units, voucher.asset),
        "ref": shown.reference,
        "log": {"index": entry.seq, "event_id": event_id.hex()},
    }
    token = jws.sign(claims, typ=HOLD_TYPE, kid=issuer.kid, signer=issuer.sign)
    return {
        "hold": hold,
        "voucher": voucher.jti,
        "unit": voucher.asset.code,
        "amount": claims["amt"],
        "reference": shown.reference,
        "expires_at": rfc3339(ends_us),
        "event_id": event_id.hex(),
        "log_index": entry.seq,
        "token": token,
    }


def use_proof(turn: Turn, shown: Presentation) -> None:
    """Take a proof and its nonce, each for good.

    Raises:
        VoucherError: `pop-replayed`.

    """
    forget_us = shown.forget_at_s * 1_000_000
    for once in (shown.nonce, shown.replay_key):
        if not turn.use(PROOFS, once, forget_us):
            raise VoucherError(
                "pop-replayed",
                f"该出示凭证已用过，每次出示只能用 1 次，{LIFE_S} 秒内有效。请持券人重新出示",
                f"the proof was used before: each is good once, within {LIFE_S} s; have the holder present again",
                kind=Kind.PROOF,
            )


def check_terms(turn: Turn, act: Hold) -> None:
    """What only time and unit decide; the ledger sees to balance and standing.

    Raises:
        VoucherError: `action-not-in-mode`, `voucher-expired`, `unit-mismatch` or `amount-not-positive`.

    """
    voucher = act.voucher
    if not voucher.is_held:
        until = minute_of(voucher.until_us // 1_000_000)
        raise VoucherError(
            "action-not-in-mode",
            f"该券凭发票兑付，不用于预占。请在 {until}（上海时间）前凭发票申请兑付，或改用其他券",
            f"it is redeemed by a claim and not held; claim with invoices before {until} (Shanghai time), or use another",
        )
    if turn.now_us < voucher.from_us:
        begins = minute_of(voucher.from_us // 1_000_000)
        raise VoucherError(
            "voucher-not-yet-valid",
            f"该券 {begins}（上海时间）起生效。请在此之后使用",
            f"the voucher is valid from {begins} (Shanghai time); use it after that",
            kind=Kind.PROOF,
        )
    if turn.now_us >= voucher.until_us:
        raise expired(voucher.until_us // 1_000_000)
    if act.shown.asset != voucher.asset:
        raise VoucherError(
            "unit-mismatch", f"该券以 {voucher.asset.code} 计", f"the voucher counts in {voucher.asset.code}"
        )
    if act.shown.units <= 0:
        raise VoucherError("amount-not-positive", "数量须大于零", "the amount must be more than zero")


def _check_raise(turn: Turn, request: Request, act: Hold) -> None:
    """A hold is raised by its own centre, from its own voucher, and its holder signed for this hold."""
    parts = own_parts(turn, request, act.hold or "")
    if is_lease(parts):
        raise VoucherError(
            "lease-not-raised", "租约不能追加，请另立租约", "a lease is not raised: ask for another", kind=Kind.CONFLICT
        )
    if parts[0].jti != act.voucher.jti or act.shown.reference != act.hold:
        raise VoucherError(
            "hold-mismatch", "出示凭证不是给这笔冻结的", "the proof is not for this hold: its `ref` is the hold's id",
            kind=Kind.PROOF,
        )  # fmt: skip


async def record_hold(tx: Transaction, request: Request, act: Hold, hold: str, event_id: bytes, ends_us: int) -> Entry:
    """Record a hold of what the holder signed for, and of what each delegation counts.

    Raises:
        DomainError: `single-use`, or what the ledger refuses.

    """
    voucher, units = act.voucher, act.shown.units
    account = (await tx.accounts_by_number([voucher.account]))[voucher.account]
    if not voucher.multi_use and (account.debits_posted or account.debits_held):
        raise VoucherError("single-use", "此券只能用一次", "this voucher is used once only", kind=Kind.CONFLICT)
    name = (receivable if voucher.asset == CNY else compute_received)(request.centre)
    payee = (await tx.open([(name, voucher.asset, None)]))[name]
    through = await _count(tx, act)
    payload = {
        "type": "lease" if act.is_lease else "hold",
        "hold": hold,
        "jti": voucher.jti,
        "ref": act.shown.reference,
    }
    event = Event(
        EntryKind.HOLD,
        event_id,
        tx.keyed(request.body_digest),
        (debit(voucher.account, units), credit(payee.number, units), *through),
        actor=_actor(request.kid),
        salt=tx.entropy(32),
        payload=cbor2.dumps(payload, canonical=True),
        expires_ns=ends_us * 1000,
    )
    return (await tx.append([event], fresh=True))[0]


async def _count(tx: Transaction, act: Hold) -> list[Leg]:
    """Lines that draw on what each delegation lets through: they are held, captured and given back with the voucher's."""
    lines: list[Leg] = []
    for counter in act.counters:
        left, used, granter = (f"{COUNTERS}{name}" for name in (f"{counter.id}/open", f"{counter.id}/used", "granted"))
        asset, known = act.voucher.asset, await tx.accounts([left])
        accounts = await tx.open([(f"{granter}/{asset.code}", asset, None), (left, asset, 0), (used, asset, 0)])
        granted, open_, drawn = (accounts[name].number for name in (f"{granter}/{asset.code}", left, used))
        if not known:
            digest = tx.keyed(f"delegation\0{counter.id}".encode())
            legs = (debit(granted, counter.units), credit(open_, counter.units))
            await tx.append([Event(EntryKind.POST, digest[:16], digest, legs)], fresh=True)
        lines += [debit(open_, act.shown.units), credit(drawn, act.shown.units)]
    return lines


@functools.lru_cache(maxsize=4096)
def _actor(kid: str) -> bytes:
    return sha256(kid.encode()).digest()[:8]


# --- capture and release ----------------------------------------------------------------------------------------------


def is_lease(parts: Sequence[Part]) -> bool:
    """Whether a hold is spent offline, and so neither raised nor captured as others are."""
    return parts[0].proof.startswith(LEASED)


def own_parts(turn: Turn, request: Request, hold: str) -> list[Part]:
    """Parts of a centre's hold.

    Raises:
        VoucherError: `hold-unknown`.

    """
    parts = turn.seen.parts.get(hold, [])
    if not parts or parts[0].centre != request.centre:  # another centre's hold is nobody's
        raise VoucherError("hold-unknown", "没有这笔冻结", "no such hold", kind=Kind.NOT_FOUND)
    return parts


class State(NamedTuple):
    """A hold with its parts that are open, and the accounts that each line of a part draws on."""

    jti: str
    asset: Asset
    parts: list[Open]
    drawn: dict[int, list[int]]


async def open_state(turn: Turn, request: Request, hold: str) -> State:
    """A centre's hold as the ledger has it.

    Raises:
        VoucherError: `hold-unknown`.

    """
    parts = own_parts(turn, request, hold)
    holds = await turn.tx.holds([part.seq for part in parts])
    lines = [(seq, held.lines[0]) for seq, held in holds.items() if held.status is HoldStatus.OPEN]
    account = next(iter(holds.values())).lines[0].debit
    known = (await turn.tx.accounts_by_number([account]))[account]
    opened = [Open(seq, line.remaining) for seq, line in lines]
    drawn = {seq: [line.debit for line in held.lines] for seq, held in holds.items()}
    return State(parts[0].jti, ASSETS_BY_NUMBER[known.asset], opened, drawn)


async def capture(turn: Turn, request: Request, act: Capture) -> dict[str, Any]:
    """Debit a part of a hold; the answer to it.

    Raises:
        DomainError: `hold-unknown`, `hold-closed`, `hold-exceeded`, or what the ledger refuses.

    """
    found = await open_state(turn, request, act.hold)
    told = turn.seen.parts[act.hold]
    if is_lease(told):
        raise VoucherError(
            "lease-captured", "这是离线租约：请按笔上报", "this is a lease: report what was spent to its own address",
            kind=Kind.CONFLICT,
        )  # fmt: skip
    units = parse_units(act.amount, found.asset)
    if units <= 0:
        raise VoucherError("amount-not-positive", "数量须大于零", "the amount must be more than zero")
    return await take_units(turn, request, act.hold, found, units, final=act.final)


async def take_units(
    turn: Turn,
    request: Request,
    hold: str,
    found: State,
    units: int,
    *,
    final: bool,
    told: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Debit units of a hold, which a centre thereby settles by hand; the answer. `told` is committed to with each entry.

    Raises:
        DomainError: `hold-metered`, `hold-closed`, `hold-exceeded`, or what the ledger refuses.

    """
    parts = turn.seen.parts[hold]
    if any(part.proof == METERED for part in parts):
        raise VoucherError(
            "hold-metered", "这笔冻结由计量结算，不再手工请款", "metering settles this hold; it is not captured by hand",
            kind=Kind.CONFLICT,
        )  # fmt: skip
    taken = spread(require_open(found.parts), units, final=final)
    entries = await _take(turn.tx, request, hold, found, taken, told)
    if all(part.proof != BY_HAND for part in parts) and units:
        parts.append(parts[0]._replace(seq=entries[0].seq, units=units, proof=BY_HAND))
        turn.parts.append(parts[-1])
    if found.asset == CNY and units:
        scheme = await store.scheme_of(turn.tx.connection, found.jti)
        turn.paid[scheme, request.centre] += units
    left = 0 if final else sum(part.units for part in found.parts) - units
    return _moved(hold, found, {"captured": units, "remaining": left}, entries)


async def release(turn: Turn, request: Request, act: Release) -> dict[str, Any]:
    """Give back what a hold has left; the answer to it.

    Raises:
        DomainError: `hold-unknown`, `hold-closed`, or what the ledger refuses.

    """
    found = await open_state(turn, request, act.hold)
    opened = require_open(found.parts)
    taken = [Taken(part.seq, 0, final=True) for part in opened]
    entries = await _take(turn.tx, request, act.hold, found, taken)
    return _moved(act.hold, found, {"released": sum(part.units for part in opened), "remaining": 0}, entries)


async def _take(
    tx: Transaction, request: Request, hold: str, found: State, taken: list[Taken], told: dict[str, Any] | None = None
) -> list[Entry]:
    events = []
    for one in taken:
        kind = EntryKind.CAPTURE if one.units else EntryKind.RELEASE
        payload = {"type": kind.name.lower(), "hold": hold} | (told or {})
        events.append(
            Event(
                kind,
                (tx.now_ns // 1_000_000).to_bytes(6) + tx.entropy(10),
                tx.keyed(request.body_digest),
                tuple(debit(account, one.units) for account in found.drawn[one.seq]) if one.units else (),
                ref_seq=one.seq,
                actor=_actor(request.kid),
                salt=tx.entropy(32),
                payload=cbor2.dumps(payload, canonical=True),
                final=one.final,
            )
        )
    return await tx.append(events, fresh=True)


def _moved(hold: str, found: State, units: dict[str, int], entries: list[Entry]) -> dict[str, Any]:
    amounts = {name: format_units(amount, found.asset) for name, amount in units.items()}
    return {
        "hold": hold,
        "voucher": found.jti,
        "unit": found.asset.code,
        **amounts,
        "event_ids": [entry.event_id.hex() for entry in entries],
        "log_index": entries[-1].seq,
    }
