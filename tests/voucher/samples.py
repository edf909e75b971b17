"""What the voucher tests share: keys, the sandbox scheme, one voucher of each unit, honest and forged tokens."""

import base45
import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger import jws
from ledger.amount import CNY, COMPUTE
from ledger.ed25519 import PublicKey
from ledger.errors import DomainError, Kind
from tests.shared_data import ROOT
from voucher import cwt
from voucher.document import CWT_TYPE, Voucher, cwt_input, jwt_input, read_voucher
from voucher.errors import VoucherError
from voucher.holder import sandbox_uscc
from voucher.scheme_reader import parse_scheme

ISSUER = "https://quan.example"
PRIVATE = Ed25519PrivateKey.from_private_bytes(b"issuer".ljust(32))
KEY = PublicKey.of(PRIVATE)
KEYS = {KEY.kid: KEY}
HOLDER_KEY = PublicKey.of(Ed25519PrivateKey.from_private_bytes(b"holder".ljust(32)))

SANDBOX_FILE = ROOT / "config/schemes/sandbox.toml"
SANDBOX = parse_scheme(SANDBOX_FILE.read_bytes(), SANDBOX_FILE.name)

JTI = "01936c1e-0000-7abc-8def-0123456789ab"
NOW_S = 1_795_310_137
NOW_US = NOW_S * 1_000_000

IN_MONEY = Voucher(
    issuer=ISSUER,
    jti=JTI,
    scheme=SANDBOX.id,
    holder=sandbox_uscc(1),
    asset=CNY,
    units=50_000_500_000,
    issued_at_s=NOW_S,
    not_before_s=SANDBOX.valid_from_us // 1_000_000,
    expires_at_s=SANDBOX.valid_until_us // 1_000_000,
    centres=None,
    actions=("train", "tune", "infer"),
    holder_jkt=None,
)
IN_COMPUTE = Voucher(
    issuer=ISSUER,
    jti=JTI,
    scheme=SANDBOX.id,
    holder=sandbox_uscc(2),
    asset=COMPUTE,
    units=1_200_000_500_000,
    issued_at_s=NOW_S,
    not_before_s=NOW_S,
    expires_at_s=NOW_S + 3600,
    centres=("sj01", "sj02"),
    actions=("infer",),
    holder_jkt=HOLDER_KEY.kid,
)


def codes(error: DomainError) -> list[str]:
    """The codes of an error's findings."""
    return [finding.code for finding in error.findings]


def jwt_of(voucher, signer=PRIVATE.sign):
    signed = jwt_input(voucher, KEY.kid)
    return jws.compact(signed, signer(signed))


def qr_of(voucher, signer=PRIVATE.sign):
    signed = cwt_input(voucher, KEY.kid)
    return cwt.compact(signed, signer(signed))


def qr_text(data):
    return cwt.PREFIX + base45.b45encode(data).decode()


def qr_bytes(text):
    return base45.b45decode(text.removeprefix(cwt.PREFIX))


def forge(payload, *, header=None, signer=PRIVATE.sign, unprotected=None, tag=b"\xd2"):
    """A QR text with a right signature over whatever header and payload (bytes, or data to encode)."""
    header = {1: -19, 4: KEY.thumbprint[:8], 16: CWT_TYPE} if header is None else header
    protected, payload = (part if isinstance(part, bytes) else cbor2.dumps(part) for part in (header, payload))
    signature = signer(cwt.sig_structure(protected, payload))
    return qr_text(tag + cbor2.dumps([protected, unprotected or {}, payload, signature]))


def refusal(text, keys=KEYS):
    with pytest.raises(VoucherError) as caught:
        read_voucher(text, keys)
    assert caught.value.kind is Kind.PROOF
    return caught.value.code
