"""A home: the folder that holds everything of one installation, and how it is made."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import suanquan
from ledger.ed25519 import PublicKey
from ledger.errors import Kind
from suanquan.db.place import Place, Server
from suanquan.errors import ServiceError
from suanquan.settings import Settings, settings_text
from voucher.keys import KeyRegistry, decode_private_key, encode_private_key

PASSPHRASE_MIN = 12


@dataclass(frozen=True, slots=True)
class Home:
    """Paths of a home. Nothing is read before it is asked for."""

    path: Path

    @property
    def settings_file(self) -> Path:
        """What an operator sets."""
        return self.path / "suanquan.toml"

    @property
    def database(self) -> Path:
        """The embedded database."""
        return self.path / "suanquan.db"

    def place(self, settings: Settings) -> Place:
        """Where the data are: the embedded database, or the server that a setting names."""
        if not settings.database_url:
            return self.database
        file = settings.database_password_file
        return Server(settings.database_url, self.path / file if file else None)

    @property
    def config(self) -> Path:
        """The operator's reviewed copy of schemes, prices and accelerators."""
        return self.path / "config"

    @property
    def keys(self) -> Path:
        """The issuer's key registry and encrypted private keys."""
        return self.path / "keys"

    @property
    def registry_file(self) -> Path:
        """The issuer's public keys and their states; the last file that making a key writes."""
        return self.keys / "registry.json"

    @property
    def log_keys(self) -> Path:
        """Keys that sign the log's heads."""
        return self.keys / "log"

    @property
    def log_head(self) -> Path:
        """The last head that was signed, outside the database: what shows that an older one was put in its place."""
        return self.path / "log-head"

    @property
    def audit_head(self) -> Path:
        """The last head of the audit log that was signed, outside the database."""
        return self.path / "audit-head"

    @property
    def sandbox_clock(self) -> Path:
        """How far a sandbox is ahead of today."""
        return self.path / "sandbox-clock.json"

    @property
    def has_keys(self) -> bool:
        """Whether the issuer's keys were made, which happens after the database and before the settings are written."""
        return self.registry_file.exists()

    def require(self) -> Home:
        """This home, if it was initialised.

        Raises:
            ServiceError: `home-missing`.

        """
        if not self.settings_file.is_file():
            raise ServiceError(
                "home-missing",
                f"{self.path} 不是 suanquan 的数据目录；请先运行 suanquan init --home {self.path}",
                f"{self.path} is no suanquan home; run suanquan init --home {self.path} first",
                kind=Kind.NOT_FOUND,
            )
        return self

    def require_new(self) -> None:
        """Refuse a home that was initialised.

        Raises:
            ServiceError: `home-exists`.

        """
        if self.settings_file.exists():
            raise ServiceError(
                "home-exists",
                f"{self.path} 已初始化，未作任何改动",
                f"{self.path} is initialised already; nothing was changed",
                kind=Kind.CONFLICT,
            )

    def create_folder(self) -> None:
        """Make the folder for its owner alone; one that holds something keeps its mode, which `doctor` looks at."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not any(self.path.iterdir()):
            self.path.chmod(0o700)

    def load_registry(self) -> KeyRegistry:
        """The issuer's keys, public parts.

        Raises:
            DomainError: `key-registry-malformed`.

        """
        file = self.registry_file
        try:
            data = json.loads(file.read_bytes())
        except ValueError as fault:
            raise ServiceError(
                "key-registry-malformed",
                f"{file} 不是 JSON，请从备份恢复",
                f"{file} is not JSON; restore it from a backup",
            ) from fault
        return KeyRegistry.from_data(data)

    def save_registry(self, registry: KeyRegistry) -> None:
        """Write the issuer's keys, whole or not at all."""
        write_secret(self.registry_file, json.dumps(registry.to_data(), indent=1).encode())

    def load_signing_key(self, passphrase: bytes) -> Ed25519PrivateKey:
        """The active private key.

        Raises:
            VoucherError: wrong passphrase, or no active key.

        """
        kid = self.load_registry().signing_key().kid
        return decode_private_key((self.keys / f"{kid}.pem").read_bytes(), passphrase)


def packaged_config() -> Path:
    """The reviewed configuration that ships with suanquan: inside the wheel, or beside the packages in a checkout."""
    package = Path(suanquan.__file__).parent
    inside = package / "config"
    return inside if inside.is_dir() else package.parent / "config"


def read_passphrase(path: Path | None) -> bytes:
    """The passphrase of the private keys, from a file only its owner can read.

    Raises:
        ServiceError: none named, unreadable, open to others, or too short.

    """
    if path is None:
        raise ServiceError(
            "passphrase-missing",
            "请用 --passphrase-file 或环境变量 SUANQUAN_PASSPHRASE_FILE 指明口令文件",
            "name the passphrase file with --passphrase-file or SUANQUAN_PASSPHRASE_FILE",
        )
    text = read_secret(path)
    if len(text) < PASSPHRASE_MIN:
        raise ServiceError(
            "passphrase-short",
            f"口令至少 {PASSPHRASE_MIN} 个字节",
            f"the passphrase has at least {PASSPHRASE_MIN} bytes",
        )
    return text


def read_secret(path: Path) -> bytes:
    """What a file holds that only its owner can read, without white space around it.

    Raises:
        ServiceError: `passphrase-unreadable` or `passphrase-exposed`.

    """
    try:
        mode = path.stat().st_mode
        text = path.read_bytes().strip()
    except OSError as fault:
        raise ServiceError(
            "passphrase-unreadable", f"读不到口令文件 {path}", f"cannot read {path}: {fault.strerror}"
        ) from fault
    if mode & 0o077:
        raise ServiceError(
            "passphrase-exposed",
            f"口令文件 {path} 可被他人读取，请 chmod 600",
            f"{path} can be read by others; chmod 600 it",
        )
    return text


def create_home(home: Home, settings: Settings, passphrase: bytes) -> None:
    """Make the keys and the configuration of a new home; the database is made by migration.

    The settings come last: without them a home is not initialised, and what a first try left is taken up, never erased.

    Raises:
        ServiceError: `home-exists`, or `home-of-another-issuer` where an unfinished try was for another one.
        VoucherError: the passphrase is not that of the unfinished try.

    """
    home.require_new()
    home.create_folder()
    home.keys.mkdir(exist_ok=True, mode=0o700)
    if home.has_keys:
        if home.load_registry().issuer != settings.issuer:
            raise another_issuer(home)
        home.load_signing_key(passphrase)
    else:
        _create_key(home, settings.issuer, passphrase)
    if not home.config.exists():
        fresh = home.path / ".config"
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(packaged_config(), fresh)
        fresh.rename(home.config)
    write_secret(home.settings_file, settings_text(settings).encode())


def another_issuer(home: Home) -> ServiceError:
    """The refusal to go on with a home that was begun for another issuer."""
    return ServiceError(
        "home-of-another-issuer",
        f"{home.path} 是为另一签发方建立的；请用原来的 --issuer，或另选 --home",
        f"{home.path} was begun for another issuer; use the same --issuer, or choose another --home",
        kind=Kind.CONFLICT,
    )


def _create_key(home: Home, issuer: str, passphrase: bytes) -> None:
    key = Ed25519PrivateKey.generate()
    public = PublicKey.of(key)
    registry = KeyRegistry(issuer).announced(public).activated(public.kid)
    write_secret(home.keys / f"{public.kid}.pem", encode_private_key(key, passphrase))
    home.save_registry(registry)


def write_secret(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
