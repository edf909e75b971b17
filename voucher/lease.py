"""Offline leases: a hold for exactly one centre, which it may spend while it is cut off, and reports afterwards.

The quantity has left the voucher when the lease is signed, so that nothing a centre does offline can be spent twice: what it
reports beyond the lease is refused, and another centre cannot use it. A lease ends; what was spent before its end may be
reported during a window, after which the ledger gives the rest back. Its epoch is its place in the log: of two leases the
later one is newer, whatever any clock says. Spends are numbered from 1; a number is spent once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ledger import jws
from ledger.amount import ASSETS, Asset, format_units
from ledger.errors import Kind
from ledger.jws import VerifyingKey
from voucher.claims import CENTRE_URN, JTI, equal, instant, members, number, text, units_claim
from voucher.errors import VoucherError

LEASE_TYPE = "compute-lease+jwt"
HOURS_MAX = 24
LIFE_S_MIN = 60
WINDOW_S = 72 * 3600
"""How long after its end a centre may report what it spent: agents keep three days of usage as well."""
SPENDS_MAX = 500
"""Spends of one report."""
NUMBER_MAX = 10**9

_HOLD = re.compile("[0-9a-f]{32}")
_ISSUER = re.compile(r"[a-z][a-z0-9+.-]*:[!-~]{1,120}")
REFERENCE = re.compile(r"[!-~]{1,128}")
_NAMES = {"iss", "iat", "exp", "aud", "lease", "voucher", "unit", "amt", "ref", "report_until", "epoch"}


class Spend(NamedTuple):
    """One spend made offline: its number in the lease, units of the lease's asset, when (UTC epoch seconds), and for what."""

    number: int
    units: int
    at_s: int
    reference: str


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease as its centre reads it. Instants are UTC epoch seconds; it may be spent from `issued_at_s` until before `ends_at_s`."""

    lease: str
    issuer: str
    voucher: str
    centre: str
    asset: Asset
    units: int
    reference: str
    epoch: int
    issued_at_s: int
    ends_at_s: int
    report_until_s: int

    def to_claims(self) -> dict[str, Any]:
        """The claims that the issuer signs."""
        return {
            "iss": self.issuer,
            "iat": self.issued_at_s,
            "exp": self.ends_at_s,
            "aud": CENTRE_URN + self.centre,
            "lease": self.lease,
            "voucher": self.voucher,
            "unit": self.asset.code,
            "amt": format_units(self.units, self.asset),
            "ref": self.reference,
            "report_until": self.report_until_s,
            "epoch": self.epoch,
        }


def read_lease(
    token: str, keys: Mapping[str, VerifyingKey], *, issuer: str, centre: str, revoked: Mapping[str, int]
) -> Lease:
    """The lease of a token that the issuer signed for this centre; whether it is over, `spend` says.

    Raises:
        VoucherError: of kind PROOF and nothing else, whatever the token.

    """
    try:
        kid, claims = jws.verify_with_kid(token, keys, LEASE_TYPE)
    except jws.JwsError as error:
        raise _refused(error.code, error.zh, error.en) from error
    found = members(claims, _NAMES, "")
    equal(text(found["iss"], _ISSUER, "/iss"), issuer, "/iss")
    equal(found["aud"], CENTRE_URN + centre, "/aud")
    asset = ASSETS.get(found["unit"]) if isinstance(found["unit"], str) else None
    if asset is None:
        raise _refused("lease-unit", f"单位应为 {'、'.join(ASSETS)}", "the unit is none of ours")
    issued_s, ends_s, until_s = (instant(found[name], f"/{name}") for name in ("iat", "exp", "report_until"))
    if kid in revoked and issued_s >= revoked[kid]:
        raise _refused("lease-key-revoked", "签发密钥已吊销", "the signing key was revoked before it was signed")
    if not issued_s < ends_s <= min(issued_s + HOURS_MAX * 3600, until_s):
        raise _refused("lease-time", "租约的时间不合规", "its times are not those of a lease")
    return Lease(
        lease=text(found["lease"], _HOLD, "/lease"),
        issuer=issuer,
        voucher=text(found["voucher"], JTI, "/voucher"),
        centre=centre,
        asset=asset,
        units=units_claim(found["amt"], asset, "/amt"),
        reference=text(found["ref"], REFERENCE, "/ref"),
        epoch=number(found["epoch"], 2**53 - 1, "/epoch"),
        issued_at_s=issued_s,
        ends_at_s=ends_s,
        report_until_s=until_s,
    )


def spend(lease: Lease, spends: Sequence[Spend], units: int, reference: str, *, now_s: int) -> Spend:
    """The next spend from a lease, after those that were made from it.

    A clock that stands before the lease or before the last spend was put back, and is refused rather than believed.

    Raises:
        VoucherError: `lease-clock`, `lease-over`, `lease-exceeded`, `amount-not-positive`, `reference-malformed`.

    """
    newest_s = max([lease.issued_at_s, *(one.at_s for one in spends)])
    if now_s < newest_s:
        raise _refused(
            "lease-clock",
            "本机时钟早于已知时刻，请先校时",
            f"this clock is {newest_s - now_s} s before what is known: set it",
        )
    if now_s >= lease.ends_at_s:
        raise _refused("lease-over", "租约已到期，不能再用", "the lease is over and spends nothing any more")
    if units <= 0:
        raise VoucherError("amount-not-positive", "数量须大于零", "the amount must be more than zero")
    if not REFERENCE.fullmatch(reference):
        raise VoucherError(
            "reference-malformed",
            "ref 应为 1 至 128 个可见 ASCII 字符",
            "a reference has 1 to 128 visible ASCII characters",
        )
    left = remaining(lease, spends)
    if units > left:
        shown = format_units(left, lease.asset)
        raise VoucherError(
            "lease-exceeded", f"超出租约所余 {shown}", f"more than the lease has left, {shown}", kind=Kind.INSUFFICIENT
        )
    return Spend(len(spends) + 1, units, now_s, reference)


def remaining(lease: Lease, spends: Sequence[Spend]) -> int:
    """Units of a lease that these spends leave."""
    return lease.units - sum(one.units for one in spends)


def require_in_time(spends: Sequence[Spend], from_s: int, ends_s: int) -> None:
    """Refuse spends that say they were made before a lease began or after it was over.

    Raises:
        VoucherError: `lease-spend-late`.

    """
    for one in spends:
        if not from_s <= one.at_s < ends_s:
            raise VoucherError(
                "lease-spend-late",
                f"第 {one.number} 笔不在租约有效期内",
                f"spend {one.number} was not made while the lease was good",
                kind=Kind.CONFLICT,
            )


def require_numbers(spends: Sequence[Spend]) -> None:
    """Refuse a report that gives one number twice.

    Raises:
        VoucherError: `lease-number-repeated`.

    """
    if len({one.number for one in spends}) != len(spends):
        raise VoucherError("lease-number-repeated", "同一序号出现两次", "a number stands twice in the report")


def new_spends(spends: Sequence[Spend], known: Mapping[int, Spend]) -> list[Spend]:
    """Those that were not reported before; one that was must say the same again.

    Raises:
        VoucherError: `lease-spend-conflict`.

    """
    for one in spends:
        if known.get(one.number, one) != one:
            raise VoucherError(
                "lease-spend-conflict",
                f"第 {one.number} 笔此前上报的内容不同",
                f"spend {one.number} was reported before with other content",
                kind=Kind.CONFLICT,
            )
    return [one for one in spends if one.number not in known]


def _refused(code: str, zh: str, en: str) -> VoucherError:
    return VoucherError(code, zh, en, kind=Kind.PROOF)
