"""The holder's side of a hold: a proof of possession made offline, with the key that the voucher is bound to."""

from __future__ import annotations

import re
import secrets
import time
from pathlib import Path

from ledger.amount import ASSETS, parse_units
from ledger.ed25519 import PublicKey
from ledger.errors import Kind
from metering.agent.keys import load_key
from voucher.document import make_jti, token_digest
from voucher.errors import VoucherError
from voucher.presentation import LIFE_S, Request, present

_HOLD = re.compile("[0-9a-f]{32}")


def prove(
    token: str,
    key_file: Path,
    *,
    nonce: str,
    centre: str,
    amount: str,
    unit: str,
    reference: str,
    url: str,
    lease: bool = False,
) -> dict[str, object]:
    """Proof for a hold, for raising one where `reference` is a hold's id, or for a lease; the time is this machine's.

    Raises:
        DomainError: no such token, key or amount: said before a centre refuses it.

    """
    asset = ASSETS.get(unit)
    if asset is None:
        raise VoucherError("unit-unknown", f"单位应为 {'、'.join(ASSETS)}", f"the unit is one of {', '.join(ASSETS)}")
    units = parse_units(amount, asset)
    if units <= 0:
        raise VoucherError("amount-not-positive", "数量须大于零", "the amount must be more than zero")
    token_digest(token)
    key, now_ns = load_key(key_file), time.time_ns()
    path = f"/v1/holds/{reference}/increments" if _HOLD.fullmatch(reference) else "/v1/holds"
    path = "/v1/leases" if lease else path
    if not re.fullmatch(r"[!-~]{1,128}", reference):
        raise VoucherError(
            "reference-malformed", "ref 应为 1 至 128 个可见 ASCII 字符", "a reference has 1 to 128 visible ASCII characters",
            kind=Kind.INVALID,
        )  # fmt: skip
    proof = present(
        token, PublicKey.of(key.private), key.private.sign, Request("POST", url.rstrip("/") + path, centre),
        jti=make_jti(now_ns // 1000, secrets.token_bytes(10)), nonce=nonce, asset=asset, units=units, reference=reference,
        now_s=now_ns // 1_000_000_000,
    )  # fmt: skip
    return {"proof": proof, "path": path, "kid": key.kid, "expires_in_s": LIFE_S}
