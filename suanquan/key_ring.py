"""The issuer's keys of a home while it is in use: the registry as it stands now, and a signer for each private key.

`keys rotate` may run beside a service, so the registry is read again when its file is another. A private key is an encrypted
file, a key in a PKCS#11 token that a file names, or an SM2 key that OpenSSL uses; each is opened once, when it is needed.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from ledger.errors import Kind
from suanquan import pkcs11_signer, sm2_signer
from suanquan.errors import ServiceError
from suanquan.home import Home
from voucher.keys import KeyRegistry, KeyState, decode_private_key

Signer = Callable[[bytes], bytes]


class KeyRing:
    """Keys of a home; without a passphrase it signs nothing."""

    def __init__(self, home: Home, passphrase: bytes | None = None) -> None:
        self._home = home
        self._passphrase = passphrase
        self._signers: dict[str, Signer] = {}
        self._stamp: tuple[int, int] | None = None
        self._file = os.fspath(home.registry_file)
        self._registry = self.registry
        if passphrase is not None:  # a wrong one is told at once
            for key in self._registry.keys:
                if key.state is KeyState.ACTIVE:
                    self.signer(key.kid)

    @property
    def registry(self) -> KeyRegistry:
        """The registry of the moment."""
        found = os.stat(self._file)  # noqa: PTH116 -- asked with every request: a path costs four times the look itself
        stamp = found.st_mtime_ns, found.st_ino
        if stamp != self._stamp:
            self._registry, self._stamp = self._home.load_registry(), stamp
        return self._registry

    @property
    def can_sign(self) -> bool:
        """Whether it was opened with the passphrase."""
        return self._passphrase is not None

    def signer(self, kid: str) -> Signer:
        """What signs with a key: also an older one, for a voucher that was recorded under it and not yet released.

        Raises:
            DomainError: `passphrase-missing`, `key-revoked`, `key-private-missing`, or what its kind of key says.

        """
        if self.registry.state_of(kid) is KeyState.REVOKED:
            raise ServiceError(
                "key-revoked",
                f"密钥 {kid} 已吊销，不再签名；请另行发券",
                f"the key {kid} is revoked and signs nothing any more; issue another voucher",
                kind=Kind.CONFLICT,
            )
        if kid not in self._signers:
            self._signers[kid] = self._open(kid)
        return self._signers[kid]

    def _open(self, kid: str) -> Signer:
        assert self._passphrase is not None, "opened without the passphrase"
        files = {form: self._home.keys / f"{kid}{form}" for form in (".pem", pkcs11_signer.SUFFIX, sm2_signer.SUFFIX)}
        if files[pkcs11_signer.SUFFIX].exists():
            return pkcs11_signer.open_signer(files[pkcs11_signer.SUFFIX])
        if files[sm2_signer.SUFFIX].exists():
            return sm2_signer.open_signer(files[sm2_signer.SUFFIX], self._passphrase)
        if not files[".pem"].exists():
            raise ServiceError(
                "key-private-missing",
                f"{self._home.keys} 中没有密钥 {kid} 的私钥；请从备份恢复",
                f"there is no private key of {kid} in {self._home.keys}; restore it from a backup",
                kind=Kind.UNAVAILABLE,
            )
        return decode_private_key(files[".pem"].read_bytes(), self._passphrase).sign
