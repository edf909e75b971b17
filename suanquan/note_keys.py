"""Keys that sign notes, in a folder of their own: of the log's heads, and of a witness. Private halves are encrypted."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from ledger.checkpoint import Checkpoint
from ledger.errors import Kind
from ledger.note import Note
from ledger.vkey import Algorithm, VerifierKey
from suanquan.errors import ServiceError
from suanquan.home import write_secret

LOG_ALGORITHMS = (Algorithm.ED25519, Algorithm.ML_DSA_44_COSIGNATURE)
WITNESS_ALGORITHMS = (Algorithm.ED25519_COSIGNATURE, Algorithm.ML_DSA_44_COSIGNATURE)
PUBLIC = "vkeys"
"""File of the public keys, one a line; it is written last."""

Signer = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class NoteKeys:
    """Key pairs of one name: each verifier key with what signs for it."""

    pairs: tuple[tuple[VerifierKey, Signer], ...]

    @property
    def name(self) -> str:
        """Name of all of the keys."""
        return self.pairs[0][0].name

    def sign(self, note: Note, time_s: int) -> Note:
        """The note with a signature of each key; cosignatures state the POSIX time `time_s`."""
        for key, signer in self.pairs:
            note = note.sign(key, signer, time_s)
        return note

    def sign_checkpoint(self, checkpoint: Checkpoint, time_s: int) -> Note:
        """The signed note of a checkpoint."""
        return self.sign(Note(checkpoint.text), time_s)


def create_note_keys(folder: Path, name: str, passphrase: bytes, algorithms: Iterable[Algorithm]) -> NoteKeys:
    """Make keys in a new folder, whole or not at all; what this machine's cryptography lacks is left out."""
    folder.parent.mkdir(exist_ok=True, mode=0o700)
    fresh = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    fresh.mkdir(mode=0o700)
    lines = []
    for algorithm in algorithms:
        with contextlib.suppress(UnsupportedAlgorithm):
            private = (
                MLDSA44PrivateKey.generate()
                if algorithm is Algorithm.ML_DSA_44_COSIGNATURE
                else Ed25519PrivateKey.generate()
            )
            key = VerifierKey(name, algorithm, private.public_key().public_bytes_raw())
            encrypted = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase))
            write_secret(fresh / f"{key.key_id.hex()}.pem", encrypted)
            lines.append(f"{key}\n")
    write_secret(fresh / PUBLIC, "".join(lines).encode())
    fresh.rename(folder)
    return load_note_keys(folder, passphrase)


def load_verifier_keys(folder: Path) -> tuple[VerifierKey, ...]:
    """The public keys of a folder, none where there is no such folder.

    Raises:
        LedgerError: `vkey-malformed`.

    """
    file = folder / PUBLIC
    return tuple(VerifierKey.parse(line) for line in file.read_text("utf-8").splitlines()) if file.exists() else ()


def load_note_keys(folder: Path, passphrase: bytes) -> NoteKeys:
    """The key pairs of a folder.

    Raises:
        ServiceError: `note-keys-missing`, or `key-unreadable` for a wrong passphrase.

    """
    keys = load_verifier_keys(folder)
    if not keys:
        raise ServiceError(
            "note-keys-missing",
            f"{folder} 中没有日志密钥；请运行 suanquan keys log",
            f"there are no log keys in {folder}; run suanquan keys log",
            kind=Kind.NOT_FOUND,
        )
    return NoteKeys(tuple((key, _load(folder / f"{key.key_id.hex()}.pem", passphrase)) for key in keys))


def _load(file: Path, passphrase: bytes) -> Signer:
    try:
        private = load_pem_private_key(file.read_bytes(), passphrase)
    except (OSError, ValueError, TypeError) as fault:
        raise _unreadable(file) from fault
    if not isinstance(private, Ed25519PrivateKey | MLDSA44PrivateKey):
        raise _unreadable(file)
    return private.sign


def _unreadable(file: Path) -> ServiceError:
    return ServiceError(
        "key-unreadable",
        f"读不到私钥 {file}：口令不对，或文件不是加密的 PKCS#8 PEM",
        f"cannot read the private key {file}: a wrong passphrase, or not an encrypted PKCS#8 PEM",
        kind=Kind.NOT_ALLOWED,
    )
