"""Verify a voucher without the service: cached public keys and status lists are enough."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ledger.amount import format_units
from ledger.errors import Kind
from ledger.jws import VerifyingKey
from metering.zones import rfc3339
from suanquan.errors import ServiceError
from suanquan.home import Home
from suanquan.use_cases.public_keys import parse_any_jwks
from voucher import status_list
from voucher.status_list import StatusList
from voucher.verify import Trust, verify

ALGORITHMS = ("Ed25519", "SM2-SM3")


def trusted_keys(home: Path, jwks: Sequence[Path], issuer: str | None, require: Iterable[str] = ()) -> Trust:
    """Keys of JWK set files with the issuer they belong to, else those of a home.

    Raises:
        ServiceError: neither is there, a JWK set without an issuer, one that is none, or an unknown algorithm.
        OSError: the file cannot be read.

    """
    required = frozenset({"Ed25519", *require})
    if unknown := required - set(ALGORITHMS):
        raise ServiceError(
            "algorithm-unknown",
            f"没有算法 {', '.join(sorted(unknown))}；有 {', '.join(ALGORITHMS)}",
            f"no algorithm {', '.join(sorted(unknown))}; there are {', '.join(ALGORITHMS)}",
        )
    if not jwks:
        if not Home(home).settings_file.is_file():
            raise ServiceError(
                "keys-missing",
                "没有可信的公钥：请用 --jwks 与 --issuer 给出，或用 --home 指明数据目录",
                "no keys to trust: give --jwks and --issuer, or name a home with --home",
                kind=Kind.NOT_FOUND,
            )
        registry = Home(home).load_registry()
        return Trust(registry.issuer, registry.all_keys(), registry.revocations(), required)
    if issuer is None:
        raise ServiceError("issuer-missing", "--jwks 须与 --issuer 同用", "--jwks needs --issuer: whose keys they are")
    keys: dict[str, VerifyingKey] = {}
    for file in jwks:
        keys |= parse_any_jwks(file.read_bytes(), str(file))
    return Trust(issuer, keys, {}, required)


def verify_text(
    token: str, trust: Trust, lists: Sequence[Path] | None = None, centre: str | None = None
) -> dict[str, Any]:
    """Content of a genuine voucher in time; with `lists` (files) only if one of them says that it may be spent.

    Raises:
        VoucherError: kind PROOF when it is not.
        OSError: a file cannot be read.

    """
    now_s = time.time_ns() // 1_000_000_000
    statuses = _statuses(lists, trust, now_s) if lists else None
    return voucher_verdict(token, trust, now_s, centre, statuses)


def voucher_verdict(
    token: str,
    trust: Trust,
    now_s: int,
    centre: str | None = None,
    statuses: Mapping[str, StatusList] | None = None,
) -> dict[str, Any]:
    """Content of a genuine voucher in time.

    Raises:
        VoucherError: kind PROOF when it is not.

    """
    verdict = verify(token.strip(), trust, now_s=now_s, centre=centre, statuses=statuses)
    voucher = verdict.voucher
    return {
        "valid": True,
        "jti": voucher.jti,
        "issuer": voucher.issuer,
        "scheme": voucher.scheme,
        "holder": voucher.holder,
        "amount": format_units(voucher.units, voucher.asset),
        "unit": voucher.asset.code,
        "valid_from": rfc3339(voucher.not_before_s * 1_000_000),
        "valid_until": rfc3339(voucher.expires_at_s * 1_000_000),
        "signed_by": [{"kid": kid, "alg": trust.keys[kid].algorithm} for kid in verdict.kids],
        "status": "unchecked" if verdict.status is None else verdict.status.name.lower(),
        "status_list": None if voucher.status is None else voucher.status.uri,
    }


def _statuses(files: Sequence[Path], trust: Trust, now_s: int) -> dict[str, StatusList]:
    """Verified lists by address; of several of one address the newest counts."""
    found: dict[str, StatusList] = {}
    for file in files:
        listed = status_list.verify(file.read_bytes(), trust.keys, revoked=trust.revoked, now_s=now_s)
        if listed.uri not in found or found[listed.uri].issued_at_s < listed.issued_at_s:
            found[listed.uri] = listed
    return found
