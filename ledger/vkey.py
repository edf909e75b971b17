"""Keys of signed notes and what each kind of key signs (c2sp.org/signed-note, c2sp.org/tlog-cosignature).

A private key is a function from message to signature: where it lives is the caller's matter.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from ledger.checkpoint import Checkpoint
from ledger.ed25519 import PublicKey
from ledger.errors import LedgerError
from ledger.lines import SIZE_MAX, decode64, encode64

_TIME_BYTES = 8


class Algorithm(enum.IntEnum):
    """Signature types that we verify; the numbers are assigned by c2sp.org/signed-note."""

    ED25519 = 0x01
    ED25519_COSIGNATURE = 0x04
    ML_DSA_44_COSIGNATURE = 0x06


SIGNATURE_BYTES = {
    Algorithm.ED25519: 64,
    Algorithm.ED25519_COSIGNATURE: _TIME_BYTES + 64,
    Algorithm.ML_DSA_44_COSIGNATURE: _TIME_BYTES + 2420,
}
"""Length of a signature in a note, after the key id; cosignatures begin with their time."""


def is_key_name(name: str) -> bool:
    """Whether a note's key may be called so: not empty, no white space, no plus, no control characters, real Unicode."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return bool(name) and not any(char.isspace() or char == "+" or char < " " for char in name)


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with the name it signs under: `vkey` in the specifications.

    Raises:
        LedgerError: `vkey-malformed`, or for Ed25519 `key-malformed` or `key-weak`.

    """

    name: str
    algorithm: Algorithm
    public: bytes

    def __post_init__(self) -> None:
        if not is_key_name(self.name):
            raise _malformed("名称为空，或含空白、加号", "the name is empty or has white space or a plus")
        if self.algorithm is not Algorithm.ML_DSA_44_COSIGNATURE:
            PublicKey(self.public)
        elif len(self.public) != 1312:
            raise _malformed("ML-DSA-44 公钥应为 1312 字节", "an ML-DSA-44 public key has 1312 bytes")

    @property
    def key_id(self) -> bytes:
        """The four bytes that name the key in a signature line beside `name`."""
        return sha256(self.name.encode() + b"\n" + bytes([self.algorithm]) + self.public).digest()[:4]

    def __str__(self) -> str:
        material = encode64(bytes([self.algorithm]) + self.public)
        return f"{self.name}+{self.key_id.hex()}+{material}"

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """Key of a text `<name>+<key id in hex>+<base64 of type and key>`.

        Raises:
            LedgerError: `vkey-malformed`, also for a type that we cannot verify, `key-malformed` or `key-weak`.

        """
        try:
            name, key_id, encoded = text.split("+", 2)
            material = decode64(encoded)
            key = cls(name, Algorithm(material[0]), material[1:])
        except (ValueError, IndexError) as error:
            raise _malformed(
                "应为 名称+编号+base64，类型为 Ed25519 或 ML-DSA-44",
                "a key is name+id+base64, of Ed25519 or ML-DSA-44",
            ) from error
        if key.key_id.hex() != key_id:
            raise _malformed("编号与公钥不符", "its id is not that of its name and key")
        return key

    def message(self, text: str, time_s: int) -> bytes:
        """The bytes that a signature of this key is over, for a note of `text`, at `time_s` seconds of POSIX time.

        A plain signature has no time. Cosignatures are over checkpoints only.

        Raises:
            LedgerError: `checkpoint-malformed`.

        """
        if self.algorithm is Algorithm.ED25519:
            return text.encode()
        checkpoint = Checkpoint.parse(text)
        if self.algorithm is Algorithm.ED25519_COSIGNATURE:
            return f"cosignature/v1\ntime {time_s}\n{text}".encode()
        return b"".join(
            (
                *(b"subtree/v1\n\0", _opaque(self.name), time_s.to_bytes(8), _opaque(checkpoint.origin)),
                *(bytes(8), checkpoint.size.to_bytes(8), checkpoint.root),
            )
        )

    def sign(self, text: str, signer: Callable[[bytes], bytes], time_s: int = 0) -> bytes:
        """What stands in a note of `text` after the key id; `signer` holds the private half, and is checked to."""
        prefix = b"" if self.algorithm is Algorithm.ED25519 else time_s.to_bytes(_TIME_BYTES)
        signature = prefix + signer(self.message(text, time_s))
        assert self.verify(text, signature) is not None, "the signer holds another key"
        return signature

    def verify(self, text: str, signature: bytes) -> int | None:
        """Time in POSIX seconds of a signature that holds, 0 for a plain one; None for one that does not."""
        if len(signature) != SIGNATURE_BYTES[self.algorithm]:
            return None
        time_s = 0
        if self.algorithm is not Algorithm.ED25519:
            time_s, signature = int.from_bytes(signature[:_TIME_BYTES]), signature[_TIME_BYTES:]
        if time_s > SIZE_MAX:
            return None
        try:
            message = self.message(text, time_s)
        except LedgerError:
            return None
        return time_s if self._holds(signature, message) else None

    def _holds(self, signature: bytes, message: bytes) -> bool:
        if self.algorithm is not Algorithm.ML_DSA_44_COSIGNATURE:
            return PublicKey(self.public).verify(signature, message)
        try:
            MLDSA44PublicKey.from_public_bytes(self.public).verify(signature, message)
        except InvalidSignature:
            return False
        return True


def _opaque(text: str) -> bytes:
    """Text after its length in one byte (`opaque<1..2^8-1>` of RFC 8446 §3.4)."""
    data = text.encode()
    if len(data) > 255:
        raise _malformed("ML-DSA 副署的名称至多 255 字节", "a name in an ML-DSA cosignature has at most 255 bytes")
    return len(data).to_bytes() + data


def _malformed(zh: str, en: str) -> LedgerError:
    return LedgerError("vkey-malformed", f"验证公钥不合规：{zh}", f"malformed verifier key: {en}")
