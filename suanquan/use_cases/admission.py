"""What is checked of a hold before the ledger is asked: the voucher's signature, its issue in the log, the holder's proof."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ledger.amount import ASSETS_BY_NUMBER
from ledger.errors import Kind
from suanquan.db.database import Database
from suanquan.use_cases.presented import not_logged, read_presented
from suanquan.use_cases.spend_acts import Counter, Hold, Spendable
from voucher import delegation
from voucher.document import Voucher, signed_bytes, verify_voucher
from voucher.errors import VoucherError
from voucher.keys import KeyRegistry
from voucher.lifecycle import STEPS, Action
from voucher.presentation import Nonces, Request, check
from voucher.scheme import Series
from voucher.store import StoredVoucher

KNOWN_MAX = 50_000
"""Vouchers remembered: their issue was found in the log, which never changes."""


class Presented(NamedTuple):
    """What a centre sends: the voucher's token, a proof, how long the hold is to live, and the chain down to who proves."""

    voucher: str
    proof: str
    life_s: int
    delegations: tuple[str, ...] = ()


class _Known(NamedTuple):
    spendable: Spendable
    signed: tuple[bytes, bytes]


class Gate:
    """Verifies what is presented; what the log says of a voucher's issue is looked up once."""

    def __init__(self, database: Database, series: Mapping[str, Series]) -> None:
        self._database = database
        self._series = series
        self._known: dict[str, _Known] = {}

    async def admit(
        self,
        shown: Presented,
        keys: KeyRegistry,
        nonces: Nonces,
        request: Request,
        *,
        now_s: int,
        hold: str | None = None,
    ) -> Hold:
        """The hold that the holder signed for.

        Raises:
            VoucherError: of kind PROOF: the voucher or its proof is not good here and now, or the log has no issue of it.

        """
        voucher = verify_voucher(
            shown.voucher, keys.all_keys(), revoked=keys.revocations(), issuer=keys.issuer, audience=None,
            now_s=now_s, centre=request.centre,
        )  # fmt: skip
        holder_jkt = voucher.holder_jkt
        counters: tuple[Counter, ...] = ()
        if shown.delegations:
            holder_jkt, counters = _delegated(shown, voucher, request.centre, now_s)
        proved = check(shown.proof, shown.voucher, holder_jkt, request, nonces, now_s=now_s)
        known = self._known.get(voucher.jti)
        if known is None:
            known = await self._learn(keys, shown.voucher, voucher.jti, now_s)
        if signed_bytes(shown.voucher) not in known.signed:
            raise not_logged()
        return Hold(known.spendable, proved, shown.proof, shown.life_s, hold, counters)

    async def _learn(self, keys: KeyRegistry, text: str, jti: str, now_s: int) -> _Known:
        async with self._database.read() as connection:
            stored, _ = await read_presented(connection, keys, text, now_s=now_s)
        if len(self._known) >= KNOWN_MAX:
            self._known.clear()
        known = self._known[jti] = _Known(spendable(stored, self._series), (stored.jwt_input, stored.cwt_input))
        return known


def _delegated(shown: Presented, voucher: Voucher, centre: str, now_s: int) -> tuple[str, tuple[Counter, ...]]:
    """The key that spends at the end of a chain, and what each link lets through: the ledger counts."""
    chain = delegation.check(shown.delegations, voucher, shown.voucher, now_s=now_s)
    centres = chain.last.grant.centres
    if centres is not None and centre not in centres:
        raise VoucherError(
            "voucher-centre", f"不适用于中心 {centre}", f"not valid at the centre {centre}", kind=Kind.PROOF
        )
    links = chain.links[1:]
    return chain.last.holder_jkt, tuple(Counter(f"{link.issuer}/{link.jti}", link.grant.units) for link in links)


def spendable(stored: StoredVoucher, series: Mapping[str, Series]) -> Spendable:
    """What spending goes by: the terms of the day of issue stay."""
    found = series.get(stored.scheme)
    scheme = None if found is None else found.at(stored.issued_us) or found.latest
    spending = scheme.spending if scheme else None
    return Spendable(
        stored.jti,
        stored.scheme,
        stored.account,
        ASSETS_BY_NUMBER[stored.asset],
        stored.from_us,
        stored.until_us,
        runs_on=spending is not None and spending.at_expiry == "run_to_end",
        multi_use=spending is None or spending.multi_use is not False,
        is_held=scheme is None or Action.HOLD in STEPS.get(scheme.claim_mode, {}),
    )
