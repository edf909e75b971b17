"""Receipts of jobs: what a job was, cost and who paid it, signed by the issuer; and what its beneficiary says to it.

A receipt says the same whenever it is asked for, until the job is corrected: its digest is over everything but the time of
asking. A beneficiary countersigns or disputes that digest, with a token, or with the key that his voucher is bound to.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import cbor2

from ledger import jws
from ledger.errors import Kind
from voucher.claims import LEEWAY_S, equal, fault, instant, members
from voucher.errors import VoucherError
from voucher.p256 import HolderKey, holder_key

RECEIPT_TYPE = "job-receipt+jwt"
ANSWER_TYPE = "receipt-answer+jwt"
ANSWERS = ("countersign", "dispute")
ANSWER_LIFE_S = 600
"""How old a signed answer may be when it is handed in."""


def digest_of(receipt: Mapping[str, Any]) -> str:
    """What an answer is about: SHA-256 over the receipt without its time, in hexadecimal."""
    return sha256(cbor2.dumps(dict(receipt), canonical=True)).hexdigest()


def answer(key: HolderKey, signer: jws.Signer, receipt: str, says: str, now_s: int) -> str:
    """A holder's signed answer to the receipt of a digest."""
    claims = {"rcp": receipt, "ans": says, "iat": now_s}
    return jws.sign_embedded(claims, typ=ANSWER_TYPE, jwk=key.jwk(), alg=key.algorithm, signer=signer)


def check_answer(token: str, receipt: str, says: str, now_s: int) -> str:
    """Thumbprint of the key that signed this answer to this receipt.

    Raises:
        VoucherError: of kind PROOF, whatever the token.

    """
    try:
        key, claims = jws.verify_embedded(token, holder_key, ANSWER_TYPE)
    except jws.JwsError as error:
        raise VoucherError(error.code, error.zh, error.en, kind=Kind.PROOF) from error
    found = members(claims, {"rcp", "ans", "iat"}, "")
    equal(found["rcp"], receipt, "/rcp")
    equal(found["ans"], says, "/ans")
    if not now_s - ANSWER_LIFE_S <= instant(found["iat"], "/iat") <= now_s + LEEWAY_S:
        raise fault("/iat", f"应在 {ANSWER_LIFE_S} 秒以内", f"must be within {ANSWER_LIFE_S} s of now")
    return key.kid
