"""Keys of logs and witnesses for tests: whole key pairs made from a number, which sign notes."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from ledger.checkpoint import Checkpoint
from ledger.note import Note
from ledger.vkey import Algorithm, VerifierKey

ORIGIN = "example.cn/ledger/0"
NOW_S = 1_767_225_600
PLAIN, COSIGNATURE, ML_DSA = Algorithm


class Pair:
    """A private key and its public half under a name."""

    def __init__(self, name: str, algorithm: Algorithm = PLAIN, seed: int = 1) -> None:
        make = MLDSA44PrivateKey.from_seed_bytes if algorithm is ML_DSA else Ed25519PrivateKey.from_private_bytes
        private = make(seed.to_bytes(32))
        self.signer = private.sign
        self.key = VerifierKey(name, algorithm, private.public_key().public_bytes_raw())


LOG = Pair(ORIGIN)


def note_of(checkpoint: Checkpoint, *pairs: Pair, time_s: int = NOW_S) -> Note:
    """A checkpoint signed by all of these, the log itself where none is named."""
    note = Note(checkpoint.text)
    for pair in pairs or (LOG,):
        note = note.sign(pair.key, pair.signer, time_s)
    return note


def data_of(note: Note) -> bytes:
    return str(note).encode()
