"""Secrets that must be read again (seeds of one-time passwords) rest under a key of the home, apart from the database."""

from __future__ import annotations

import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from ledger.errors import Kind
from suanquan.errors import ServiceError
from suanquan.home import Home, read_secret, write_secret

_NONCE = 12


class Seal:
    """Seals and opens short secrets, each bound to the name it belongs to. The key is made on first use."""

    def __init__(self, home: Home) -> None:
        self._file: Path = home.keys / "access.key"

    def close(self, secret: bytes, name: str) -> bytes:
        """A secret as it is stored."""
        nonce = secrets.token_bytes(_NONCE)
        return nonce + self._cipher().encrypt(nonce, secret, name.encode())

    def open(self, sealed: bytes, name: str) -> bytes:
        """The secret again.

        Raises:
            ServiceError: `seal-broken`: of another home or another name, or damaged.

        """
        try:
            return self._cipher().decrypt(sealed[:_NONCE], sealed[_NONCE:], name.encode())
        except (InvalidTag, ValueError) as fault:
            raise ServiceError(
                "seal-broken",
                f"无法解开第二因素；请恢复 {self._file.name}，或为该账号找回",
                f"the second factor cannot be opened; restore {self._file.name}, or recover the account",
                kind=Kind.UNAVAILABLE,
            ) from fault

    def _cipher(self) -> ChaCha20Poly1305:
        if not self._file.exists():
            write_secret(self._file, secrets.token_hex(32).encode())
        return ChaCha20Poly1305(bytes.fromhex(read_secret(self._file).decode("ascii")))
