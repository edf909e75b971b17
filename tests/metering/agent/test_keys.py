"""The agent's key is made once, kept to its owner, and named by its thumbprint."""

import stat

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ledger.ed25519 import PublicKey
from metering.agent.keys import create_key, load_key
from metering.errors import MeteringError


def test_a_new_key_is_the_owners_alone_and_loads_under_its_public_name(tmp_path):
    """The file has mode 0600, and its key id is the thumbprint of the public JWK that was printed."""
    path = tmp_path / "agent.pem"
    jwk = create_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = load_key(path)
    assert key.kid == jwk["kid"] == PublicKey.from_jwk(jwk).kid == PublicKey.of(key.private).kid
    assert "d" not in jwk


def code_of(call, path):
    with pytest.raises(MeteringError) as caught:
        call(path)
    assert str(path) in caught.value.zh
    assert str(path) in caught.value.en
    return caught.value.code


def test_a_key_is_never_overwritten(tmp_path):
    """Making a key where a file is leaves the file as it was."""
    path = tmp_path / "agent.pem"
    path.write_bytes(b"old")
    assert code_of(create_key, path) == "agent-key-exists"
    assert path.read_bytes() == b"old"
    assert code_of(create_key, tmp_path / "nowhere" / "agent.pem") == "agent-key-unwritable"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o611])
def test_a_key_that_others_may_touch_is_refused(tmp_path, mode):
    """Any right of group or others to the file is refused, with the command that mends it."""
    path = tmp_path / "agent.pem"
    create_key(path)
    path.chmod(mode)
    assert code_of(load_key, path) == "agent-key-exposed"


def test_what_is_no_ed25519_key_is_refused(tmp_path):
    """A missing file, text, or a key of another kind is refused by name."""
    path = tmp_path / "agent.pem"
    assert code_of(load_key, path) == "agent-key-unusable"
    path.touch(0o600)
    assert code_of(load_key, path) == "agent-key-unusable"
    path.write_bytes(X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    assert code_of(load_key, path) == "agent-key-unusable"
