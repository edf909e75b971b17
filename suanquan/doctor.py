"""`suanquan doctor`: what could be wrong with an installation, each fault with one line of advice."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from ledger.errors import DomainError
from suanquan.catalog import load_catalog
from suanquan.db.place import Server
from suanquan.db.schema import check_server, require_head
from suanquan.decision_keys import folder_of, load_decision_keys
from suanquan.errors import cause_of
from suanquan.home import Home, read_passphrase
from suanquan.key_ring import KeyRing
from suanquan.note_keys import load_verifier_keys
from suanquan.pkcs11_signer import SUFFIX
from suanquan.settings import load_settings
from suanquan.use_cases.retention import FILE, load_terms

FREE_BYTES_MIN = 1 << 30
SQLITE_MIN = (3, 37, 0)
"""STRICT tables came with 3.37."""
PACKAGES = ("ledger", "metering", "voucher", "subsidy", "suanquan")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at."""

    name: str
    ok: bool
    found: str
    fix: str = ""


def examine(home: Home, passphrase_file: Path | None) -> list[Check]:
    """Look at everything; a check that raises is a fault with the error's own words."""
    return [*_machine(home), *_home(home, passphrase_file)]


def _machine(home: Home) -> Iterator[Check]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Check("python", sys.version_info >= (3, 11), version, "安装 Python 3.11 以上 / install Python 3.11 or newer")
    yield Check(
        "sqlite",
        sqlite3.sqlite_version_info >= SQLITE_MIN,
        sqlite3.sqlite_version,
        "升级 SQLite 至 3.37 / upgrade SQLite",
    )
    existing = next(path for path in (home.path, *home.path.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    yield Check("disk", free >= FREE_BYTES_MIN, f"{free >> 20} MiB", "至少留出 1 GiB / free at least 1 GiB")
    owners = metadata.packages_distributions()
    doubles = [name for name in PACKAGES if len(set(owners.get(name, ()))) > 1]
    yield Check(
        "packages",
        not doubles,
        ", ".join(doubles) or "无冲突 no clash",
        "换独立环境安装：有同名包 / install in an environment of its own: packages of the same name",
    )


def _home(home: Home, passphrase_file: Path | None) -> Iterator[Check]:
    present = _try("home", lambda: str(home.require().path), f"suanquan init --home {home.path}")
    yield present
    if not present.ok:
        return
    mode = home.path.stat().st_mode & 0o777
    yield Check("home-mode", not mode & 0o077, oct(mode), f"chmod 700 {home.path}")
    settings = _try("settings", lambda: load_settings(home.settings_file).url, f"改正 correct {home.settings_file}")
    yield settings
    yield _try("config", lambda: f"{len(load_catalog(home.config).schemes)} scheme(s)", f"改正 correct {home.config}")
    if settings.ok:  # the table must agree with them
        yield _try("retention", lambda: _terms(home), f"改正 correct {home.config / FILE}")
    yield from _database(home)
    keys = _try("keys", lambda: _signing_key(home), f"从备份恢复 restore from a backup: {home.keys}")
    yield keys
    yield _try("log-keys", lambda: _log_name(home), f"suanquan keys log --home {home.path}")
    yield _try("decision-keys", lambda: _decision_key(home), f"suanquan keys decisions --home {home.path}")
    if keys.ok:
        made = home.path / "demo-passphrase"
        chosen = passphrase_file or (made if made.is_file() else None)
        yield _try(
            "passphrase",
            lambda: (KeyRing(home, read_passphrase(chosen)), "ok")[1],
            "--passphrase-file 指向正确的 0600 文件 / point --passphrase-file to the right file, mode 0600",
        )


def _database(home: Home) -> Iterator[Check]:
    try:
        place = home.place(load_settings(home.settings_file))
    except DomainError:
        return  # the settings were looked at
    if isinstance(place, Server):
        whole = _try("database", lambda: check_server(place), f"检查数据库服务器 look after the server: {place}")
    else:
        whole = _try("database", lambda: _quick_check(place), f"从备份恢复 restore from a backup: {place}")
    yield whole
    if whole.ok:
        yield _try("schema", lambda: require_head(place), f"suanquan db upgrade --home {home.path}")


def _terms(home: Home) -> str:
    kept = [term for term in load_terms(home, load_settings(home.settings_file)) if term.days]
    return ", ".join(f"{term.what.value} {term.days} d" for term in kept) or "不自动删除 nothing is dropped"


def _quick_check(database: Path) -> str:
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise ValueError(str(found))
    return "ok"


def _signing_key(home: Home) -> str:
    kid = home.load_registry().signing_key().kid
    if not any((home.keys / f"{kid}{form}").exists() for form in (".pem", SUFFIX)):
        raise ValueError(f"没有私钥 there is no private key of {kid}")
    return kid


def _decision_key(home: Home) -> str:
    keys = load_decision_keys(home)
    if keys is None:
        raise ValueError("没有决定签名密钥 there is no key for decisions")
    (folder_of(home) / f"{keys.signing_key().kid}.pem").stat()
    return keys.signing_key().kid


def _log_name(home: Home) -> str:
    keys = load_verifier_keys(home.log_keys)
    if not keys:
        raise ValueError("没有日志密钥 the log has no keys")
    return keys[0].name


def _try(name: str, look: Callable[[], str], fix: str) -> Check:
    try:
        return Check(name, True, look())
    except DomainError as error:
        places = [f"{finding.where}: {finding.zh} / {finding.en}" for finding in error.findings]
        return Check(
            name, False, "; ".join([f"{error.zh} / {error.en}", *filter(None, [cause_of(error)]), *places]), fix
        )
    except (OSError, ValueError, KeyError, sqlite3.Error) as fault:
        return Check(name, False, f"{type(fault).__name__}: {fault}", fix)
