"""Issue a voucher: prepare and check, record with the ledger entry in one transaction, then sign once and release."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any, NamedTuple

import cbor2

from ledger.amount import ASSETS_BY_NUMBER, CNY, Asset, format_units, parse_units
from ledger.entry import EntryKind, Event, Leg, credit, debit
from ledger.errors import Kind
from ledger.journal import Journal
from ledger.scope import EVERYTHING, Scope
from ledger.sql import Connection
from ledger.transaction import Transaction
from metering.zones import rfc3339
from suanquan.use_cases.caps import Caps, hand_over, open_caps, year_to_date
from suanquan.use_cases.register import Claimant, claim_slot
from suanquan.use_cases.status_lists import take_status_place
from subsidy.materials import Basis
from subsidy.policy import Quote
from voucher import store
from voucher.application import claims_max
from voucher.document import make_jti
from voucher.errors import VoucherError
from voucher.holder import is_uscc
from voucher.issuance import Contract, IssueRequest, Prepared, Tokens, YearToDate, prepare, recorded, sign_again
from voucher.keys import KeyRegistry
from voucher.scheme import Scheme, Terms, policy_year
from voucher.status_list import StatusPlace
from voucher.store import StoredVoucher, VoucherRow

Signer = Callable[[bytes], bytes]
Signers = Callable[[str], Signer]
"""What signs with the key of an id."""


class Order(NamedTuple):
    """A request to issue, with what makes it one: the idempotency key and the digest of its content.

    `origin` keeps keys of different senders apart: what somebody chooses meets none that the program makes.
    """

    request: IssueRequest
    scheme: Scheme
    key: str
    origin: str = "issue"

    @property
    def event_id(self) -> bytes:
        """Id of the issue entry, from the idempotency key."""
        return sha256(f"{self.origin}\x00{self.key}".encode()).digest()[:16]

    @property
    def digest(self) -> bytes:
        """What tells another request under the same key apart."""
        asked = self.request
        jwk = sorted((asked.holder_key or {}).items())
        parts = [self.scheme.id, asked.holder, asked.unit, asked.amount, jwk]
        if asked.contract or asked.reason:
            parts += [list(asked.contract or ()), asked.reason]
        return sha256(cbor2.dumps(parts, canonical=True)).digest()


async def issue(
    journal: Journal,
    order: Order,
    keys: KeyRegistry,
    signer: Signer,
    *,
    signers: Signers | None = None,
    address: str | None = None,
) -> StoredVoucher:
    """Issue the voucher of an order; the same order again gets the same tokens.

    `signer` is the active key's; `signers` gives another key's, for a voucher that was recorded under it and not yet
    released, and for the second signature. With `address`, that of the service, the voucher gets a place in a status list.

    Raises:
        VoucherError: `issue-refused` with every reason, or `idempotency-key-reused`.
        SubsidyError: `supported-already`: its contract is claimed as often as the scheme allows.
        DomainError: the key of a recorded voucher cannot sign any more.

    """

    async def find_or_record(tx: Transaction) -> str:
        earlier = await store.find_issue(tx.connection, order.event_id)
        if earlier is None:
            return (await record(tx, order, keys, address)).voucher.jti
        jti, digest = earlier
        if digest != order.digest:
            raise VoucherError(
                "idempotency-key-reused",
                "该 Idempotency-Key 已用于内容不同的请求",
                "this Idempotency-Key was used for a different request",
                kind=Kind.CONFLICT,
            )
        return jti

    jti = await journal.transact(find_or_record)
    return await release(journal, jti, keys, signer, signers)


async def release(
    journal: Journal, jti: str, keys: KeyRegistry, signer: Signer, signers: Signers | None
) -> StoredVoucher:
    """Sign a recorded voucher under the key that it was recorded with, unless that was done before."""
    stored = await journal.transact(lambda tx: load(tx.connection, jti, EVERYTHING))
    if stored.token is not None:
        return stored
    public = keys.verifying_keys()[stored.kid]
    if signers is not None and public != keys.signing_key():
        signer = signers(stored.kid)
    tokens = recorded(stored.jwt_input, stored.cwt_input, public).sign(signer)
    second = keys.second_key()
    if signers is not None and second is not None:
        tokens = await asyncio.to_thread(sign_again, tokens, second, signers(second.kid))

    async def write(tx: Transaction) -> StoredVoucher:
        await store.write_released(tx.connection, stored.jti, tokens)
        return await load(tx.connection, stored.jti, EVERYTHING)

    return await journal.transact(write)


def released(stored: StoredVoucher) -> Tokens:
    """Tokens of a voucher that was released.

    Raises:
        VoucherError: `voucher-unreleased`: it was recorded, and its issue must be repeated.

    """
    if stored.token is None or stored.cwt is None:
        raise VoucherError(
            "voucher-unreleased",
            "该券已记账但尚未签出；请用同一 Idempotency-Key 重发",
            "the voucher was recorded and not signed yet; repeat its issue under the same Idempotency-Key",
            kind=Kind.UNAVAILABLE,
        )
    return Tokens(stored.token, stored.cwt, stored.dual)


async def load(conn: Connection, jti: str, scope: Scope) -> StoredVoucher:
    """The voucher of this id; one outside the scope is as unknown as one that is not there.

    Raises:
        VoucherError: `voucher-unknown`.

    """
    stored = await store.load_voucher(conn, jti, scope)
    if stored is None:
        raise VoucherError("voucher-unknown", "没有这张券", "no such voucher", kind=Kind.NOT_FOUND)
    return stored


class Ready(NamedTuple):
    """What was made ready for several orders together: ids and places, and the rows that are written at their end."""

    places: dict[str, StatusPlace]
    jtis: Iterator[str]
    rows: list[VoucherRow]


class Source(NamedTuple):
    """Where the money of a voucher was set aside: the account, the year that bears it, and for whom (an application, a centre).

    `reserved` is the leaf of the caps that the units count under, None where they count for the holder already.
    """

    account: str
    year: int
    subject: str
    reserved: tuple[str, str, str] | None = None


async def record(
    tx: Transaction,
    order: Order,
    keys: KeyRegistry,
    address: str | None,
    ready: Ready | None = None,
    source: Source | None = None,
) -> Prepared:
    """Check a new order and record its voucher with the ledger entry; what is returned may be signed once it is durable.

    It is paid from the programme's budget, or from a `source` that was set aside before.

    Raises:
        VoucherError: `issue-refused`.
        SubsidyError: `supported-already`: the contract is claimed as often as the scheme allows.

    """
    scheme, now_us = order.scheme, tx.now_ns // 1000
    if "SM2-SM3" in scheme.spending.signatures and keys.second_key() is None:
        raise VoucherError(
            "key-none-active",
            "该方案要求 SM2 签名，而没有在用的 SM2 密钥；请先 keys rotate --sm2",
            "the scheme requires a signature by SM2 and no such key is active; run keys rotate --sm2",
            kind=Kind.UNAVAILABLE,
        )
    jti = make_jti(now_us, tx.entropy(10)) if ready is None else next(ready.jtis)
    place = ready.places.get(jti) if ready else await take_status_place(tx, address, jti) if address else None
    year = source.year if source else policy_year(now_us)
    terms = scheme.terms_in(order.request.unit)
    asset = terms.asset if terms else CNY
    path = (scheme.id, str(year), order.request.holder)
    issued = await year_to_date(tx, path, asset) if is_uscc(path[2]) else YearToDate(0, 0)
    prepared = prepare(
        order.request,
        scheme,
        _without(issued, order.request, terms, source),
        issuer=keys.issuer,
        key=keys.signing_key(),
        jti=jti,
        now_us=now_us,
        status=place,
        applied=source is not None and source.reserved is None,
    )
    assert terms is not None
    if order.request.contract is not None:
        await tx.append(await _claim(tx, order, jti, order.request.contract))
    if source is None:
        caps = await open_caps(tx, path, terms, issued.holder_units, prepared.voucher.units)
        left = terms.budget_year_units - issued.programme_units
        left = max(left, prepared.voucher.units) if terms.over_issue else left
        number = await _post(tx, order, prepared, caps, left, fresh=ready is not None)
    else:
        number = await _post_from(tx, order, prepared, source, path, terms)
    row = store.voucher_row(
        prepared,
        account=number,
        year=year,
        priority=scheme.priority,
        scheme_digest=scheme.digest,
        event_id=order.event_id,
        request_digest=order.digest,
    )
    if ready is None:
        await store.write_vouchers(tx.connection, [row])
    else:
        ready.rows.append(row)
    return prepared


async def _claim(tx: Transaction, order: Order, jti: str, contract: Contract) -> list[Event]:
    """Claim the contract that a voucher supports, for the voucher itself.

    Raises:
        SubsidyError: `supported-already`.

    """
    claimant = Claimant(jti, order.request.holder, jti, order.scheme.id)
    basis = Basis(order.scheme.source("contract"), Quote("", ()))
    return await claim_slot(tx, claimant, contract._asdict(), claims_max(order.scheme), basis)


def _without(issued: YearToDate, request: IssueRequest, terms: Terms | None, source: Source | None) -> YearToDate:
    """What was issued, not counting what was set aside for this very voucher."""
    if source is None or terms is None:
        return issued
    units = parse_units(request.amount, terms.asset)
    own = units if source.reserved is None else 0
    return YearToDate(issued.programme_units - units, issued.holder_units - own)


async def _post_from(
    tx: Transaction, order: Order, prepared: Prepared, source: Source, path: tuple[str, str, str], terms: Terms
) -> int:
    """What was set aside → voucher; the caps count it for the holder, if they do not yet."""
    voucher, asset = prepared.voucher, terms.asset
    given = (await tx.accounts([source.account]))[source.account].number
    name = f"voucher/{voucher.jti}"
    holder = (await tx.open([(name, asset, 0)], fresh=True))[name].number
    changes, moved = (
        ((), ()) if source.reserved is None else await hand_over(tx, source.reserved, path, terms, voucher.units)
    )
    if changes:
        digest = tx.keyed(b"caps\x00%d" % tx.size)
        await tx.append([Event(EntryKind.POST, digest[:16], digest, changes)], fresh=True)
    legs = (debit(given, voucher.units), credit(holder, voucher.units), *moved)
    await tx.append([_event(tx, order, prepared, legs, {"for": source.subject, **_told(order.request)})])
    return holder


async def _post(tx: Transaction, order: Order, prepared: Prepared, caps: Caps, left: int, *, fresh: bool) -> int:
    """Programme budget → voucher, and the same units of every cap. A year's budget holds what is `left` to give."""
    scheme, asset, voucher = order.scheme, caps.asset, prepared.voucher
    names = _names(scheme.id, int(caps.path[1]), asset, voucher.jti)
    accounts = await tx.open([(names.treasury, asset, None), (names.budget, asset, 0)])
    accounts |= await tx.open([(names.voucher, asset, 0)], fresh=True)  # its id was made just now
    treasury, budget, holder = (accounts[name].number for name in names)
    ruleset = bytes.fromhex(scheme.digest)
    legs, short = caps.changes, left - accounts[names.budget].available
    if short > 0:
        legs = (debit(treasury, short), credit(budget, short), *legs)
    if legs:
        funded = tx.keyed(b"fund\x00%d" % tx.size)
        await tx.append([Event(EntryKind.POST, funded[:16], funded, legs, ruleset=ruleset)], fresh=True)
    paid = (debit(budget, voucher.units), credit(holder, voucher.units), *caps.spend(voucher.units))
    await tx.append([_event(tx, order, prepared, paid, _told(order.request))], fresh=fresh)
    return holder


def _told(request: IssueRequest) -> dict[str, Any]:
    """What an issue without an application says it is for."""
    told: dict[str, Any] = {} if request.contract is None else {"contract": list(request.contract)}
    return told | ({"reason": request.reason} if request.reason else {})


def _event(tx: Transaction, order: Order, prepared: Prepared, legs: tuple[Leg, ...], more: dict[str, Any]) -> Event:
    """The issue entry; it commits to the bytes that are signed."""
    payload = {"type": "issue", "jti": prepared.voucher.jti, "jwt": prepared.jwt_digest, "cwt": prepared.cwt_digest}
    return Event(
        EntryKind.POST,
        order.event_id,
        tx.keyed(order.digest),  # holder and amount could be guessed from a plain digest
        legs,
        ruleset=bytes.fromhex(order.scheme.digest),
        actor=sha256(prepared.key.kid.encode()).digest()[:8],
        salt=tx.entropy(32),
        payload=cbor2.dumps({**payload, **more}, canonical=True),
    )


class _Names(NamedTuple):
    treasury: str
    budget: str
    voucher: str


def budget_name(scheme: str, year: int, asset: Asset) -> str:
    """Account of what a scheme may give in a year."""
    return f"scheme/{scheme}/{year}/budget/{asset.code}"


def _names(scheme: str, year: int, asset: Asset, jti: str) -> _Names:
    return _Names(f"scheme/{scheme}/treasury/{asset.code}", budget_name(scheme, year, asset), f"voucher/{jti}")


def voucher_object(stored: StoredVoucher) -> dict[str, Any]:
    """A voucher without its tokens; issued = available + held + redeemed + returned + expired + split.

    Returned to the budget is what was free when it was revoked, expired what was not used in time, split what became
    vouchers of their own.
    """
    asset = ASSETS_BY_NUMBER[stored.asset]
    available = stored.credits_posted - stored.debits_posted - stored.debits_held
    corrected = stored.credits_posted - stored.units  # what corrections of usage gave back
    unpaid = stored.returned + stored.expired + stored.split + corrected
    return {
        "jti": stored.jti,
        "scheme": stored.scheme,
        "holder": stored.holder,
        "unit": asset.code,
        "issued": format_units(stored.units, asset),
        "available": format_units(available, asset),
        "held": format_units(stored.debits_held, asset),
        "redeemed": format_units(stored.debits_posted - unpaid, asset),
        "returned": format_units(stored.returned, asset),
        "expired": format_units(stored.expired, asset),
        "split": format_units(stored.split, asset),
        "valid_from": rfc3339(stored.from_us),
        "valid_until": rfc3339(stored.until_us),
        "event_id": stored.event_id.hex(),
    }


def with_tokens(stored: StoredVoucher) -> dict[str, Any]:
    """A voucher with what its holder presents: the JWT, the text of the QR code, and the JWT with two signatures if any."""
    twice = {} if stored.dual is None else {"dual": stored.dual}
    return voucher_object(stored) | {"token": stored.token, "cwt": stored.cwt} | twice
