"""Issuing in four steps: prepare, check, record, sign once.

`prepare` decides by the scheme, builds the exact bytes of both encodings and reads them back as a verifier would. The caller
records these bytes with the ledger entry in one transaction, and only then has them signed. Whatever fails in between,
what we meant to sign is on record, and `recorded` takes it up again; Ed25519 gives the same signature to the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger import jws
from ledger.amount import format_units, parse_units
from ledger.ed25519 import PublicKey
from ledger.errors import DomainError, Finding, Kind
from voucher import cwt, dual
from voucher.claims import decimal_claim
from voucher.document import JWT_TYPE, Voucher, cwt_input, jwt_input, read_voucher
from voucher.errors import VoucherError
from voucher.holder import check_uscc
from voucher.p256 import holder_key as parse_holder_key
from voucher.scheme import ISSUING_MODES, Scheme, SchemeStatus, Terms
from voucher.sm2 import Sm2Key
from voucher.status_list import StatusPlace

T = TypeVar("T")

_LINT_KEY = Ed25519PrivateKey.from_private_bytes(b"signs only what is thrown away. ")
"""Signs trial tokens that never leave this module; no registry knows it, so publishing it here gives nothing away."""
_LINT_PUBLIC = PublicKey.of(_LINT_KEY)


GROUNDS_MAX = 400
"""Characters of a reason, or of the provider or number of a contract."""


class Contract(NamedTuple):
    """A contract for compute, as the register of what is supported knows it."""

    provider: str
    number: str


class IssueRequest(NamedTuple):
    """What is asked for: a holder (USCC), an amount as a decimal string in a unit, and the holder's public JWK if he has one.

    What is issued without an application says why: the `contract` that it supports, or the `reason` why there is none.
    """

    holder: str
    unit: str
    amount: str
    holder_key: Mapping[str, object] | None = None
    contract: Contract | None = None
    reason: str = ""


class YearToDate(NamedTuple):
    """Issued under the scheme in the calendar year of the issue, in units of the request's asset: to all, and to the holder."""

    programme_units: int
    holder_units: int


class Tokens(NamedTuple):
    """One voucher, signed: the JWT, the text of its QR code, and the JWT with a second signature where there is one."""

    jwt: str
    cwt: str
    dual: str | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A checked voucher and the bytes that may be signed for it, once. `prepare` and `recorded` make it, nobody else."""

    voucher: Voucher
    jwt_input: bytes
    cwt_input: bytes
    key: PublicKey
    _turn: list[None] = field(default_factory=lambda: [None], init=False, repr=False, compare=False)

    @property
    def jwt_digest(self) -> bytes:
        """SHA-256 of the JWT's signed bytes, which a holder's proof of possession names as `ath`."""
        return hashlib.sha256(self.jwt_input).digest()

    @property
    def cwt_digest(self) -> bytes:
        """SHA-256 of the CWT's signed bytes."""
        return hashlib.sha256(self.cwt_input).digest()

    def sign(self, signer: jws.Signer) -> Tokens:
        """Both tokens, signed with the private half of `key` and verified before release.

        Raises:
            VoucherError: `already-signed` on a second call, whatever became of the first; `signer-mismatch` if the signer
                holds another key.

        """
        try:
            self._turn.pop()  # atomic: of two threads one gets it
        except IndexError:
            raise VoucherError(
                "already-signed",
                "这张券已送签，不得再签",
                "this voucher was given to be signed already",
                kind=Kind.CONFLICT,
            ) from None
        tokens = _tokens(self.jwt_input, self.cwt_input, signer)
        try:
            _read_both(tokens, self.key.kid, self.key)
        except VoucherError as error:
            raise _mismatch(self.key.kid) from error
        return tokens


def sign_again(tokens: Tokens, key: Sm2Key, signer: jws.Signer) -> Tokens:
    """The same tokens and a JWT with a second signature, by SM2, verified before release.

    Raises:
        VoucherError: `signer-mismatch` if the signer holds another key.

    """
    second = dual.second_input(tokens.jwt.encode("ascii"), typ=JWT_TYPE, kid=key.kid)
    token = jws.compact(second, signer(second))
    try:
        jws.verify(token, {key.kid: key}, JWT_TYPE)
    except jws.JwsError as error:
        raise _mismatch(key.kid) from error
    return tokens._replace(dual=dual.join(tokens.jwt, token))


def _mismatch(kid: str) -> VoucherError:
    return VoucherError(
        "signer-mismatch",
        f"签名不是密钥 {kid} 所签，未放行",
        f"the signature is not of the key {kid}; nothing was released",
        kind=Kind.UNAVAILABLE,
    )


def prepare(
    request: IssueRequest,
    scheme: Scheme,
    issued: YearToDate,
    *,
    issuer: str,
    key: PublicKey,
    jti: str,
    now_us: int,
    status: StatusPlace | None = None,
    applied: bool = False,
) -> Prepared:
    """Check a request against its scheme at `now_us` (UTC epoch microseconds) and build what may be signed.

    `applied`: an application stands behind it, which says what it is for.

    Raises:
        VoucherError: `issue-refused` with one finding per fault, all of them at once. Its kind is INVALID if the request is
            faulty, else NOT_ALLOWED if the scheme does not issue, else INSUFFICIENT: a cap or the budget is exceeded.

    """
    faults: list[Finding] = []
    _attempt("/holder", faults, lambda: check_uscc(request.holder))
    terms = _attempt("/unit", faults, lambda: _terms(scheme, request.unit))
    units = _attempt("/amount", faults, lambda: _units(request.amount, terms)) if terms else None
    jwk = request.holder_key
    holder_key = _attempt("/holder_key", faults, lambda: parse_holder_key(jwk)) if jwk is not None else None
    faults += _grounds(request, scheme, applied=applied)
    closed = list(_closed(scheme, now_us))
    exceeded = list(_exceeded(units, terms, issued)) if terms and units else []
    for kind, findings in ((Kind.INVALID, faults), (Kind.NOT_ALLOWED, closed), (Kind.INSUFFICIENT, exceeded)):
        if findings:
            raise _refused(kind, [*faults, *closed, *exceeded])
    assert terms is not None
    assert units is not None
    valid_from_us, valid_until_us = scheme.validity(now_us)
    voucher = Voucher(
        issuer=issuer,
        jti=jti,
        scheme=scheme.id,
        holder=request.holder,
        asset=terms.asset,
        units=units,
        issued_at_s=now_us // 1_000_000,
        not_before_s=valid_from_us // 1_000_000,
        expires_at_s=valid_until_us // 1_000_000,
        centres=None if scheme.centres is None else tuple(sorted(scheme.centres)),
        actions=scheme.actions,
        holder_jkt=None if holder_key is None else holder_key.kid,
        status=status,
    )
    prepared = recorded(jwt_input(voucher, key.kid), cwt_input(voucher, key.kid), key)
    assert prepared.voucher == voucher
    return prepared


def recorded(jwt_bytes: bytes, cwt_bytes: bytes, key: PublicKey) -> Prepared:
    """Voucher of the bytes that `prepare` made and the caller recorded, read as a verifier reads them.

    Raises:
        VoucherError: as a verifier would, `cwt-too-large`, or `encodings-differ`.

    """
    trial = _tokens(jwt_bytes, cwt_bytes, _LINT_KEY.sign)
    return Prepared(_read_both(trial, key.kid, _LINT_PUBLIC), jwt_bytes, cwt_bytes, key)


def _tokens(jwt_bytes: bytes, cwt_bytes: bytes, signer: jws.Signer) -> Tokens:
    return Tokens(jws.compact(jwt_bytes, signer(jwt_bytes)), cwt.compact(cwt_bytes, signer(cwt_bytes)))


def _read_both(tokens: Tokens, kid: str, key: PublicKey) -> Voucher:
    (_, voucher), (_, other) = (read_voucher(token, {kid: key}) for token in tokens[:2])
    if voucher != other:
        raise VoucherError("encodings-differ", "两种编码内容不一致", "the two encodings say different things")
    return voucher


# --- what the scheme says ---------------------------------------------------------------------------------------------


def _attempt(where: str, findings: list[Finding], act: Callable[[], T]) -> T | None:
    try:
        return act()
    except DomainError as error:
        findings.append(Finding(error.code, error.zh, error.en, where))
        return None


def _grounds(request: IssueRequest, scheme: Scheme, *, applied: bool) -> Iterator[Finding]:
    """What a voucher is for. A sandbox gives without asking, for what it gives is worth nothing."""
    contract, where = request.contract, ("/contract/provider", "/contract/number", "/reason")
    for text, place in zip((*(contract or ("-", "-")), request.reason or "-"), where, strict=True):
        if not text.strip() or len(text) > GROUNDS_MAX or not text.isprintable():
            zh, en = f"应为至多 {GROUNDS_MAX} 个可打印字符", f"must be at most {GROUNDS_MAX} printable characters"
            yield Finding("grounds-malformed", zh, en, place)
    if contract is None and not request.reason and scheme.status is SchemeStatus.USABLE and not applied:
        source = scheme.source("contract")
        yield Finding(
            "grounds-missing",
            f"不经申领发券，须写明所支持的合同（一份合同按方案只能申领若干次），没有合同的写明理由（{source}）",
            f"without an application say which contract it supports, which is claimed once, or why there is none ({source})",
            "/contract",
        )


def _terms(scheme: Scheme, unit: str) -> Terms:
    terms = scheme.terms_in(unit)
    if terms is None:
        units = ", ".join(terms.asset.code for terms in scheme.terms)
        raise VoucherError(
            "unit-not-in-scheme",
            f"方案 {scheme.id} 的计量单位为 {units}，没有“{unit[:40]}”",
            f"the scheme {scheme.id} issues in {units}, not in {unit[:40]!r}",
        )
    return terms


def _units(amount: str, terms: Terms) -> int:
    units = parse_units(amount, terms.asset)
    decimal_claim(units, terms.asset)
    if not terms.min_units <= units <= terms.max_units:
        least, most = (format_units(bound, terms.asset) for bound in (terms.min_units, terms.max_units))
        raise VoucherError(
            "amount-out-of-bounds",
            f"单张金额应在 {least} 与 {most} {terms.asset.code} 之间",
            f"one voucher is worth {least} to {most} {terms.asset.code}",
        )
    return units


def _closed(scheme: Scheme, now_us: int) -> Iterator[Finding]:
    """Why the scheme issues nothing now, whoever asks."""
    if scheme.status is SchemeStatus.DRAFT:
        yield Finding("scheme-draft", "方案为草案，不得发券", "the scheme is a draft and issues nothing", "/scheme")
    if scheme.claim_mode not in ISSUING_MODES:
        yield Finding(
            "scheme-without-voucher",
            f"方案的兑现方式 {scheme.claim_mode} 不发券",
            f"with the claim mode {scheme.claim_mode} no voucher is issued",
            "/scheme",
        )
    if scheme.lacks:
        lacks = ", ".join(scheme.lacks)
        yield Finding(
            "scheme-incomplete", f"方案尚缺：{lacks}", f"the scheme still needs {lacks} to issue under it", "/scheme"
        )
    if not scheme.issue_from_us <= now_us < scheme.issue_until_us:
        yield Finding("scheme-window", "不在发放期内", "it is not the time of issue", "/scheme")
    if now_us >= scheme.valid_until_us:
        yield Finding("scheme-validity-over", "券的有效期已过", "the vouchers' validity is over", "/scheme")


def _exceeded(units: int, terms: Terms, issued: YearToDate) -> Iterator[Finding]:
    """Which limits of the calendar year the voucher would break; they count what was issued, spent or not."""
    limits = (
        ("holder-cap-exceeded", "持券人本年上限", "the holder's cap", terms.cap_holder_year_units, issued.holder_units),
        ("budget-exceeded", "方案本年预算", "the budget", terms.budget_year_units, issued.programme_units),
    )
    for code, zh, en, limit_units, used_units in limits[: 1 if terms.over_issue else 2]:
        if used_units + units > limit_units:
            left = f"{format_units(max(limit_units - used_units, 0), terms.asset)} {terms.asset.code}"
            yield Finding(
                code, f"超出{zh}，尚余 {left}", f"more than {en} of the year, of which {left} is left", "/amount"
            )


def _refused(kind: Kind, findings: list[Finding]) -> VoucherError:
    return VoucherError(
        "issue-refused",
        f"不能发券：{'；'.join(finding.zh for finding in findings)}",
        f"the voucher cannot be issued: {'; '.join(finding.en for finding in findings)}",
        kind=kind,
        findings=findings,
    )
