"""The verifier's library: a voucher's token in, a verdict out, with nothing but what was cached: keys and status lists.

    trust = Trust("https://quan.example", {key.kid: key})
    verdict = verify(text, trust, now_s=now, centre="sj01", statuses={listed.uri: listed})

It opens no file and no connection. What it cannot know offline is the balance and, for a key that was revoked, whether the
ledger has the voucher: both are the ledger's to say when the voucher is spent.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from ledger.errors import Kind
from ledger.jws import VerifyingKey
from voucher.document import Voucher, check_context, read_signed
from voucher.errors import VoucherError
from voucher.status_list import Status, StatusList


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose vouchers are believed: the issuer, its keys by id, from which second on which of them prove nothing any more.

    `required` are the algorithms by all of which a voucher must be signed, `required_of` those of single schemes.
    """

    issuer: str
    keys: Mapping[str, VerifyingKey]
    revoked: Mapping[str, int] = field(default_factory=dict)
    required: frozenset[str] = frozenset({"Ed25519"})
    required_of: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A voucher that holds: the keys that signed it, and its status, None where the caller asked for none to be looked at."""

    voucher: Voucher
    kids: tuple[str, ...]
    status: Status | None


def verify(
    text: str,
    trust: Trust,
    *,
    now_s: int,
    audience: Collection[str] | None = None,
    centre: str | None = None,
    statuses: Mapping[str, StatusList] | None,
) -> Verdict:
    """Verdict on a token (JWT, JWT with two signatures, or `SQ1:` text), verified offline.

    `audience` are the programme URNs that the verifier serves, None for any; `centre`, where given, must be admitted.
    `statuses` are verified lists by address; with None the status is not looked at, which leaves a revoked voucher unseen.

    Raises:
        VoucherError: of kind PROOF and nothing else, whatever the text. A voucher of a revoked key is `voucher-key-revoked`
            whenever it was issued: only the ledger can tell an old one from one that the key's thief dated back.

    """
    kids, voucher = read_signed(text, trust.keys)
    signed_by = {trust.keys[kid].algorithm for kid in kids}
    missing = trust.required_of.get(voucher.scheme, trust.required) - signed_by
    if missing:
        names = ", ".join(sorted(missing))
        raise _refused("voucher-signature-missing", f"缺少 {names} 签名", f"the signature by {names} is missing")
    if any(kid in trust.revoked for kid in kids):
        raise _refused(
            "voucher-key-revoked",
            "签发密钥已吊销，是否有效须问账本",
            "the signing key is revoked; whether the voucher holds is the ledger's to say",
        )
    check_context(voucher, issuer=trust.issuer, audience=audience, now_s=now_s, centre=centre)
    return Verdict(voucher, kids, None if statuses is None else _status(voucher, statuses, now_s))


def _status(voucher: Voucher, statuses: Mapping[str, StatusList], now_s: int) -> Status:
    """Status of a voucher, which must be one that may be spent."""
    if voucher.status is None:
        raise _refused("voucher-status-missing", "该券没有状态位置", "the voucher has no place in a status list")
    listed = statuses.get(voucher.status.uri)
    if listed is None:
        raise _refused(
            "voucher-status-unknown",
            f"没有状态列表 {voucher.status.uri}",
            f"the status list {voucher.status.uri} is not at hand",
        )
    found = listed.at(now_s)[voucher.status.index]
    if found != Status.VALID:
        code, zh, en = _NOT_VALID.get(found, ("voucher-status-unknown", "状态不明", "its status is unknown"))
        raise _refused(code, f"该券{zh}", f"the voucher cannot be spent: {en}")
    return Status.VALID


_NOT_VALID = {
    int(Status.REVOKED): ("voucher-revoked", "已撤销或到期", "it is revoked or over"),
    int(Status.SUSPENDED): ("voucher-suspended", "已中止", "it is suspended"),
    int(Status.EXHAUSTED): ("voucher-exhausted", "已用完", "nothing is left on it"),
}


def _refused(code: str, zh: str, en: str) -> VoucherError:
    return VoucherError(code, zh, en, kind=Kind.PROOF)
