"""SM2 as the standard has it: its example holds, a changed bit does not, and OpenSSL agrees both ways."""

import json
import shutil
import subprocess

import pytest

from ledger.errors import LedgerError
from suanquan import sm2_signer
from suanquan.errors import ServiceError
from tests.shared_data import SHARED, needs_shared
from voucher.sm2 import Sm2Key, from_der, to_der

EXAMPLE = SHARED / "vectors/sm/sm2_gbt32918_5_sign.json"


def example():
    data = json.loads(EXAMPLE.read_text())
    key = Sm2Key(bytes.fromhex(data["x"]), bytes.fromhex(data["y"]))
    return key, bytes.fromhex(data["r"] + data["s"]), data["msg_ascii"].encode(), data


@needs_shared
def test_the_example_of_the_standard_holds():
    """GB/T 32918.5 A.2: the value Z, and a signature that verifies."""
    key, signature, message, data = example()
    assert key._identity().hex().upper() == data["Z"]
    assert key.verify(signature, message)


@needs_shared
def test_nothing_near_the_example_holds():
    """Another message, every flipped bit, r and s out of range, DER in the place of r ‖ s."""
    key, signature, message, _ = example()
    assert not key.verify(signature, message + b"!")
    for place in range(512):
        flipped = int.from_bytes(signature, "big") ^ (1 << place)
        assert not key.verify(flipped.to_bytes(64, "big"), message)
    order = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
    halves = signature[:32], signature[32:]
    for r, s in [(0, 1), (1, 0), (0, 0), (order, 1), (1, order), (1, order - 1)]:
        assert not key.verify(r.to_bytes(32, "big") + s.to_bytes(32, "big"), message)
    assert not key.verify(to_der(signature), message)
    assert not key.verify(b"".join(reversed(halves)), message)
    assert from_der(to_der(signature)) == signature


@needs_shared
@pytest.mark.parametrize(
    "change",
    [
        *({"crv": "P-256"}, {"kty": "OKP"}, {"alg": "ES256"}, {"use": "enc"}, {"d": "AQ"}, {"x": None}, {"y": "AA"}),
        {"x": "A" * 43, "y": "A" * 43},
    ],
    ids=str,
)
def test_what_is_no_sm2_key_is_refused(change):
    """Another curve or algorithm, a private key, a point off the curve."""
    key = example()[0]
    assert Sm2Key.from_jwk(key.jwk()) == key
    with pytest.raises(LedgerError) as caught:
        Sm2Key.from_jwk(key.jwk() | change)
    assert caught.value.code == "key-malformed"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl command here")
@pytest.mark.parametrize("identity", ["1234567812345678", "1234567812345679"])
def test_openssl_signs_what_we_verify_under_the_same_identity(tmp_path, identity):
    """Its signature under the default identity holds here; under another one it does not."""

    def openssl(command):
        return subprocess.run(["openssl", *command.split()], cwd=tmp_path, capture_output=True, check=True).stdout

    openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:SM2 -out key.pem")
    point = openssl("pkey -in key.pem -pubout -outform DER")[-65:]
    assert point[0] == 4
    (tmp_path / "message").write_bytes(b"compute voucher")
    openssl(f"pkeyutl -sign -inkey key.pem -rawin -digest sm3 -pkeyopt distid:{identity} -in message -out signature")
    signature = from_der((tmp_path / "signature").read_bytes())
    key = Sm2Key(point[1:33], point[33:])
    assert key.verify(signature, b"compute voucher") == (identity == "1234567812345678")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl command here")
def test_openssl_verifies_what_we_sign_under_the_default_identity_alone(tmp_path):
    """Made by our signer with an encrypted key file; under another identity OpenSSL refuses it; a wrong passphrase opens nothing."""
    key = sm2_signer.create(tmp_path / "key.pem", b"correct horse battery")
    assert b"ENCRYPTED" in (tmp_path / "key.pem").read_bytes()
    signature = sm2_signer.open_signer(tmp_path / "key.pem", b"correct horse battery")(b"compute voucher")
    prefix = bytes.fromhex("3059301306072a8648ce3d020106082a811ccf5501822d03420004")  # SubjectPublicKeyInfo of SM2
    for name, data in (
        ("key", prefix + key.x + key.y),
        ("message", b"compute voucher"),
        ("signature", to_der(signature)),
    ):
        (tmp_path / name).write_bytes(data)
    for identity, expected in (("1234567812345678", 0), ("1234567812345679", 1)):
        command = "openssl pkeyutl -verify -pubin -inkey key -keyform DER -rawin -in message -sigfile signature"
        options = f"-digest sm3 -pkeyopt distid:{identity}"
        done = subprocess.run(f"{command} {options}".split(), cwd=tmp_path, capture_output=True, check=False)
        assert done.returncode == expected, done.stderr
    with pytest.raises(ServiceError) as caught:
        sm2_signer.open_signer(tmp_path / "key.pem", b"another horse battery")
    assert caught.value.code == "openssl-failed"
