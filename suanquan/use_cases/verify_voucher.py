"""Verify a voucher without the service: cached public keys are enough."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NamedTuple

from ledger.amount import format_units
from ledger.ed25519 import PublicKey
from ledger.errors import Kind
from metering.zones import rfc3339
from suanquan.errors import ServiceError
from suanquan.home import Home
from suanquan.use_cases.public_keys import parse_jwks
from voucher.document import programme_urn, read_voucher, verify_voucher


class Trusted(NamedTuple):
    """Whose vouchers are believed, and under which keys."""

    issuer: str
    keys: dict[str, PublicKey]
    revocations: dict[str, int]


def trusted_keys(home: Path, jwks: Path | None, issuer: str | None) -> Trusted:
    """Keys of a JWK set file with the issuer it belongs to, else those of a home.

    Raises:
        ServiceError: neither is there, a JWK set without an issuer, or one that is none.
        OSError: the file cannot be read.

    """
    if jwks is None:
        if not Home(home).settings_file.is_file():
            raise ServiceError(
                "keys-missing",
                "没有可信的公钥：请用 --jwks 与 --issuer 给出，或用 --home 指明数据目录",
                "no keys to trust: give --jwks and --issuer, or name a home with --home",
                kind=Kind.NOT_FOUND,
            )
        registry = Home(home).load_registry()
        return Trusted(registry.issuer, registry.verifying_keys(), registry.revocations())
    if issuer is None:
        raise ServiceError("issuer-missing", "--jwks 须与 --issuer 同用", "--jwks needs --issuer: whose keys they are")
    return Trusted(issuer, parse_jwks(jwks.read_bytes(), str(jwks)), {})


def verify_text(token: str, trusted: Trusted) -> dict[str, Any]:
    """Content of a genuine voucher in time.

    Raises:
        VoucherError: kind PROOF when it is not.

    """
    _, claimed = read_voucher(token, trusted.keys)
    voucher = verify_voucher(
        token,
        trusted.keys,
        revoked=trusted.revocations,
        issuer=trusted.issuer,
        audience={programme_urn(claimed.scheme)},
        now_s=time.time_ns() // 1_000_000_000,
    )
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
    }
