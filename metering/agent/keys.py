"""The agent's own key: one Ed25519 key pair in a file that only its owner may read."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from ledger.ed25519 import PublicKey
from ledger.errors import Kind
from metering import possession
from metering.errors import MeteringError

_PEM_BYTES_MAX = 4096


@dataclass(frozen=True, slots=True)
class AgentKey:
    """A private key and the id (RFC 7638 thumbprint) under which its public half is registered."""

    private: Ed25519PrivateKey
    kid: str


def create_key(path: Path, centre: str = "") -> dict[str, str]:
    """Write a new private key (PKCS#8 PEM, mode 0600) and return the public JWK to register, with the proof of possession.

    Raises:
        MeteringError: the file exists (a key is never overwritten) or cannot be written.

    """
    key = Ed25519PrivateKey.generate()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise MeteringError(
            "agent-key-exists",
            f"{path} 已存在，不会被覆盖；请另选文件名或先移走它",
            f"{path} exists and is never overwritten: choose another name or move it away",
            kind=Kind.CONFLICT,
        ) from None
    except OSError as error:
        raise MeteringError(
            "agent-key-unwritable",
            f"无法写入 {path}（{error.strerror}）；请先建好文件夹",
            f"cannot write {path} ({error.strerror}): make its folder first",
        ) from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        file.flush()
        os.fsync(file.fileno())
    return possession.shown(key, centre)


def load_key(path: Path) -> AgentKey:
    """Read a private key.

    Raises:
        MeteringError: missing, readable by others than its owner, or not an unencrypted Ed25519 PEM.

    """
    if not path.exists() and next_path(path).exists():
        path = next_path(path)  # the agent died between the two steps of a promotion
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            pem = file.read(_PEM_BYTES_MAX)
    except OSError as error:
        raise _unusable(path, str(error)) from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise MeteringError(
            "agent-key-exposed",
            f"密钥文件 {path} 可被他人访问，请执行 chmod 600 {path}；若曾外泄请换新密钥",
            f"key file {path} is open to others: run chmod 600 {path}, and make a new key if it may have leaked",
            kind=Kind.NOT_ALLOWED,
        )
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise _unusable(path, str(error)) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _unusable(path, "not an Ed25519 key")
    return AgentKey(key, PublicKey.of(key).kid)


def next_path(path: Path) -> Path:
    """Where the key that is to follow another one waits until the service knows it."""
    return path.with_name(f"{path.name}.next")


class KeyRing:
    """The key in use, and the one that may follow it.

    A new key is made beside the old one and registered with the service; the agent tries it now and then, and from the first
    answer under it on it is the key. Nothing stops meanwhile, and the old key stays as `….old` until somebody removes it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.current = load_key(path)

    def candidate(self) -> AgentKey | None:
        """Read the key that waits; None: there is none."""
        waiting = next_path(self._path)
        return load_key(waiting) if waiting.exists() else None

    def promote(self, key: AgentKey) -> None:
        """Let the key that waited be the key; each step leaves a usable key under the usual name or the waiting one.

        Raises:
            OSError: the files cannot be renamed; the key is in use all the same, and a later call may rename them.

        """
        self.current = key
        if self._path.exists():  # else the agent died between these two steps
            self._path.replace(self._path.with_name(f"{self._path.name}.old"))
        next_path(self._path).replace(self._path)


def _unusable(path: Path, reason: str) -> MeteringError:
    return MeteringError(
        "agent-key-unusable",
        f"密钥文件 {path} 不可用（{reason}）；可用 suanquan agent keygen 生成",
        f"key file {path} cannot be used ({reason}): make one with `suanquan agent keygen`",
    )
