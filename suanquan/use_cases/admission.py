"""What is checked of a hold before the ledger is asked: the voucher's signature, its issue in the log, the holder's proof."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ledger.amount import ASSETS_BY_NUMBER
from suanquan.db.database import Database
from suanquan.use_cases.presented import not_logged, read_presented
from suanquan.use_cases.spend_acts import Hold, Spendable
from voucher.document import signed_bytes, verify_voucher
from voucher.keys import KeyRegistry
from voucher.presentation import Nonces, Request, check
from voucher.scheme import Series
from voucher.store import StoredVoucher

KNOWN_MAX = 50_000
"""Vouchers remembered: their issue was found in the log, which never changes."""


class Presented(NamedTuple):
    """What a centre sends: the voucher's token, the holder's proof, and how long the hold is to live."""

    voucher: str
    proof: str
    life_s: int


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
        proved = check(shown.proof, shown.voucher, voucher.holder_jkt, request, nonces, now_s=now_s)
        known = self._known.get(voucher.jti)
        if known is None:
            known = await self._learn(keys, shown.voucher, voucher.jti, now_s)
        if signed_bytes(shown.voucher) not in known.signed:
            raise not_logged()
        return Hold(known.spendable, proved, shown.proof, shown.life_s, hold)

    async def _learn(self, keys: KeyRegistry, text: str, jti: str, now_s: int) -> _Known:
        async with self._database.read() as connection:
            stored, _ = await read_presented(connection, keys, text, now_s=now_s)
        if len(self._known) >= KNOWN_MAX:
            self._known.clear()
        known = self._known[jti] = _Known(spendable(stored, self._series), (stored.jwt_input, stored.cwt_input))
        return known


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
    )
