"""What is checked of a hold before the ledger is asked: the voucher's signature, its issue in the log, the holder's proof."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ledger.amount import ASSETS_BY_NUMBER
from ledger.errors import Kind
from suanquan.db.database import Database
from suanquan.use_cases.presented import require_issued
from suanquan.use_cases.spend_acts import Counter, Hold, Spendable
from voucher import delegation
from voucher.document import Voucher, check_context, check_revoked, not_at, read_signed
from voucher.errors import VoucherError
from voucher.keys import KeyRegistry
from voucher.lifecycle import STEPS, Action
from voucher.presentation import Nonces, Request, check
from voucher.scheme import Series
from voucher.store import StoredVoucher

KNOWN_MAX = 20_000
"""Tokens remembered, the oldest forgotten first: about 40 MB."""


class Presented(NamedTuple):
    """What a centre sends: the voucher's token, a proof, how long the hold is to live, and the chain down to who proves."""

    voucher: str
    proof: str
    life_s: int
    delegations: tuple[str, ...] = ()


class _Signed(NamedTuple):
    """Whose signatures a token has, and what it says."""

    kids: tuple[str, ...]
    voucher: Voucher


class _Known(NamedTuple):
    """A token whose signatures hold and whose issue is in the log: neither can change, standing and time can."""

    voucher: Voucher
    kids: tuple[str, ...]
    spendable: Spendable


class Gate:
    """Verifies what is presented. What can never change of a token is found out once, by its exact text; the rest each time.

    The keys that a token was verified with may be replaced, so what is known goes with the registry that said so.
    """

    def __init__(self, database: Database, series: Mapping[str, Series]) -> None:
        self._database = database
        self._series = series
        self._known: dict[str, _Known] = {}
        self._registry: KeyRegistry | None = None
        self._revoked: Mapping[str, int] = {}

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
        known, signed = self._read(shown.voucher, keys, request.centre, now_s)
        voucher = signed.voucher
        holder_jkt = voucher.holder_jkt
        counters: tuple[Counter, ...] = ()
        if shown.delegations:
            holder_jkt, counters = _delegated(shown, voucher, request.centre, now_s)
        proved = check(shown.proof, shown.voucher, holder_jkt, request, nonces, now_s=now_s)
        if known is None:
            known = await self._learn(keys, shown.voucher, signed)
        _require_signatures(known, keys)
        return Hold(known.spendable, proved, shown.proof, shown.life_s, hold, counters)

    async def look(self, text: str, keys: KeyRegistry, *, centre: str, now_s: int) -> tuple[Voucher, Spendable]:
        """What a voucher says that is good here and now, whoever shows it; nobody has signed for anything.

        Raises:
            VoucherError: of kind PROOF, as `admit`.

        """
        known, signed = self._read(text, keys, centre, now_s)
        known = known or await self._learn(keys, text, signed)
        _require_signatures(known, keys)
        return signed.voucher, known.spendable

    def _read(self, text: str, keys: KeyRegistry, centre: str, now_s: int) -> tuple[_Known | None, _Signed]:
        """What is known of a token, and what it says, its signatures verified, for this centre and time."""
        if keys is not self._registry:
            self._registry, self._revoked, self._known = keys, keys.revocations(), {}
        known = self._known.get(text)
        signed = _Signed(*read_signed(text, keys.all_keys())) if known is None else _Signed(known.kids, known.voucher)
        check_revoked(signed.voucher, signed.kids, self._revoked)
        check_context(signed.voucher, issuer=keys.issuer, audience=None, now_s=now_s, centre=centre)
        return known, signed

    async def _learn(self, keys: KeyRegistry, text: str, signed: _Signed) -> _Known:
        async with self._database.read() as connection:
            stored = await require_issued(connection, signed.voucher, text)
        known = _Known(signed.voucher, signed.kids, spendable(stored, self._series))
        if keys is self._registry:  # it may have been replaced while we read
            if len(self._known) >= KNOWN_MAX:
                del self._known[next(iter(self._known))]
            self._known[text] = known
        return known


def _require_signatures(known: _Known, keys: KeyRegistry) -> None:
    """What a scheme asks of its vouchers: whoever strips a signature has no voucher of that scheme left (T21)."""
    if known.spendable.signatures:
        signed_by = {key.algorithm for kid, key in keys.all_keys().items() if kid in known.kids}
        if missing := [name for name in known.spendable.signatures if name not in signed_by]:
            raise VoucherError(
                "voucher-signature-missing",
                f"该方案要求券有 {missing[0]} 签名，请出示双签形式",
                f"the scheme requires a signature by {missing[0]}: present the form with two signatures",
                kind=Kind.PROOF,
            )


def _delegated(shown: Presented, voucher: Voucher, centre: str, now_s: int) -> tuple[str, tuple[Counter, ...]]:
    """The key that spends at the end of a chain, and what each link lets through: the ledger counts."""
    chain = delegation.check(shown.delegations, voucher, shown.voucher, now_s=now_s)
    centres = chain.last.grant.centres
    if centres is not None and centre not in centres:
        raise not_at(centre, centres)
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
        signatures=spending.signatures if spending else (),
        offline=spending.offline if spending else None,
        units=stored.units,
    )
