"""Libraries that only some installations need, loaded where they are asked for."""

from __future__ import annotations

import importlib
from types import ModuleType

from ledger.errors import Kind
from suanquan.errors import ServiceError


def load_asyncpg() -> ModuleType:
    """The PostgreSQL driver.

    Raises:
        ServiceError: `driver-missing`.

    """
    try:
        return importlib.import_module("asyncpg")
    except ImportError as fault:
        raise ServiceError(
            "driver-missing",
            "缺少 PostgreSQL 驱动；请安装 suanquan[pg]",
            "the PostgreSQL driver is missing; install suanquan[pg]",
            kind=Kind.UNAVAILABLE,
        ) from fault
